// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from "node:assert/strict";
import path from "node:path";
import test from "node:test";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";

const root = path.join(path.dirname(fileURLToPath(import.meta.url)), "..");
const { outputFiles } = await build({ entryPoints: [path.join(root, "src/format.ts")], bundle: true, write: false, format: "esm" });
const format = await import(`data:text/javascript;base64,${Buffer.from(outputFiles[0].contents).toString("base64")}`);

test("bytes", () => {
    assert.equal(format.bytes(0), "0 B");
    assert.equal(format.bytes(1536), "1.5 KiB");
    assert.equal(format.bytes(512 * 2 ** 20), "512 MiB");
    assert.equal(format.bytes(2 ** 50), "1024 TiB");
});

test("durations", () => {
    assert.equal(format.duration(59.9), "00:00:59");
    assert.equal(format.duration(86400 + 3661), "1d 01:01:01");
    assert.equal(format.duration(-3), "00:00:00");
});

test("sizes that are typed", () => {
    assert.equal(format.parseSize("512"), 512);
    assert.equal(format.parseSize(" 4g "), 4 * 2 ** 30);
    assert.equal(format.parseSize("1MiB"), 2 ** 20);
    for (const text of ["", "G", "-1", "1.5G", "4GB5"])
        assert.ok(Number.isNaN(format.parseSize(text)), text);
});

test("load", () => {
    const at = (time, used) => ({ time, cpu: { guest_us: used, host_us: 0 } });
    assert.equal(format.load(at(1000, 0), at(2000, 500)), 0.5);
    assert.equal(format.load(undefined, at(2000, 500)), null);
    assert.equal(format.load(at(1000, 900), at(2000, 500)), null, "it was started again");
    assert.equal(format.load(at(2000, 0), at(2000, 500)), null);
});

test("a tree of checkpoints", () => {
    const one = (id, parent) => ({ id, parent, name: String(id), created_at: 0, type: "off" });
    const roots = format.tree([one(1, 0), one(2, 1), one(3, 1), one(5, 4)]);
    assert.deepEqual(roots.map(branch => branch.checkpoint.id), [1, 5]);
    assert.deepEqual(roots[0].children.map(branch => branch.checkpoint.id), [2, 3]);
    assert.deepEqual(format.tree([one(1, 1)]).map(branch => branch.checkpoint.id), [1]);
});

test("errors", () => {
    assert.deepEqual(format.explain({ name: "org.vmms1.Error.Busy", message: "later" }), { message: "later", kind: "Busy" });
    assert.deepEqual(format.explain({ problem: "not-found", message: "" }), { message: "not-found", kind: "not-found" });
    assert.deepEqual(format.explain(null), { message: "", kind: "" });
});

test("what guests say is shown, and not obeyed", () => {
    assert.equal(format.printable("a\u001b[31mb\u202ec\nd"), "a\\x1b[31mb\\x202ec\nd");
});

test("definitions", () => {
    const wanted = { name: "web", generation: 2, processors: 2, memory: "1G", disk: { path: "/a.vhdx", format: "vhdx" },
        iso: "/cd.iso", adapter: "default", screen: true };
    const made = JSON.parse(format.definition(wanted));
    assert.deepEqual(made.disks, [{ lun: 0, path: "/a.vhdx", format: "vhdx" }, { lun: 1, type: "dvd", path: "/cd.iso" }]);
    assert.deepEqual(made.network_adapters, [{ switch: "default" }]);
    assert.deepEqual(made.video, {});
    const bare = JSON.parse(format.definition({ ...wanted, disk: null, iso: "", adapter: "", screen: false }));
    assert.deepEqual([bare.disks, bare.network_adapters, "video" in bare], [[], [], false]);
});

test("names, states and limits", () => {
    assert.ok(format.isName("web-1.x"));
    for (const text of ["", "-a", "a b", "a".repeat(65)])
        assert.ok(!format.isName(text), text);
    assert.ok(format.allowed("Start", "saved"));
    assert.ok(!format.allowed("Start", "running"));
    assert.ok(!format.allowed("None", "off"));
    const limits = { cpu_weight: 1 };
    format.setMember(limits, "cpu_weight", " ");
    format.setMember(limits, "cpus", "3");
    format.setMember(limits, "io_weight", "200");
    format.setMember(limits, "memory_max", "64M");
    assert.deepEqual(limits, { cpus: "3", io_weight: 200, memory_max: "64M" });
});
