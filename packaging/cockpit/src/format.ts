/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Numbers, texts and definitions: functions without a page or a bus, which test/ tries. */

export interface Checkpoint {
    id: number;
    name: string;
    notes?: string;
    parent: number;
    created_at: number;
    type: string;
}

export interface Branch {
    checkpoint: Checkpoint;
    children: Branch[];
}

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

export function bytes(value: number): string {
    let unit = 0;
    while (value >= 1024 && unit < UNITS.length - 1) {
        value /= 1024;
        unit++;
    }
    return `${Number.isInteger(value) || value >= 100 ? Math.round(value) : value.toFixed(1)} ${UNITS[unit]}`;
}

export function duration(seconds: number): string {
    const whole = Math.max(0, Math.floor(seconds));
    const two = (number: number) => String(number).padStart(2, "0");
    const clock = `${two(Math.floor(whole / 3600) % 24)}:${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}`;
    return whole >= 86400 ? `${Math.floor(whole / 86400)}d ${clock}` : clock;
}

/* Of text such as "10G" or a number of bytes; NaN: it is no size. */
export function parseSize(text: string): number {
    const found = /^\s*(\d+)\s*(?:([KMGT])(?:i?B)?)?\s*$/i.exec(text);
    if (!found)
        return NaN;
    return Number(found[1]) * 1024 ** ("KMGT".indexOf((found[2] || "").toUpperCase() || " ") + 1);
}

export interface Counters {
    time?: number;
    cpu?: { guest_us: number; host_us: number };
}

/* Processor time between two counts, as part of one CPU; null: not known. */
export function load(before: Counters | undefined, now: Counters | undefined): number | null {
    if (!before?.cpu || !now?.cpu || !before.time || !now.time || now.time <= before.time)
        return null;
    const used = now.cpu.guest_us + now.cpu.host_us - before.cpu.guest_us - before.cpu.host_us;
    return used < 0 ? null : used / (now.time - before.time);
}

/* Roots first, each with what stands on it; one whose parent is not there is a root. */
export function tree(checkpoints: Checkpoint[]): Branch[] {
    const branches = new Map(checkpoints.map(checkpoint =>
        [checkpoint.id, { checkpoint, children: [] } as Branch]));
    const roots: Branch[] = [];
    for (const branch of branches.values()) {
        const parent = branches.get(branch.checkpoint.parent);
        (parent && parent !== branch ? parent.children : roots).push(branch);
    }
    return roots;
}

/* What vmms has said, and the kind of error, for whoever looks it up. */
export function explain(why: any): { message: string; kind: string } {
    const kind = String(why?.name || why?.problem || "").replace(/^org\.vmms1\.Error\./, "");
    return { message: String(why?.message || kind || why || ""), kind };
}

/* What guests say may hold anything: control characters are shown, and not obeyed. */
export function printable(text: string): string {
    return text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g,
        code => `\\x${code.charCodeAt(0).toString(16).padStart(2, "0")}`);
}

export interface MachineRequest {
    name: string;
    generation: 1 | 2;
    processors: number;
    memory: string;
    disk: { path: string; format: string } | null;
    iso: string;
    adapter: string; /* name of a switch; empty: none */
    screen: boolean;
}

/* The text of a definition, vmms-vm.json(5). */
export function definition(wanted: MachineRequest): string {
    const disks: object[] = [];
    if (wanted.disk)
        disks.push({ lun: 0, path: wanted.disk.path, format: wanted.disk.format });
    if (wanted.iso)
        disks.push({ lun: 1, type: "dvd", path: wanted.iso });
    return JSON.stringify({
        name: wanted.name,
        generation: wanted.generation,
        processors: { count: wanted.processors },
        memory: { size: wanted.memory },
        disks,
        network_adapters: wanted.adapter ? [{ switch: wanted.adapter }] : [],
        boot_order: ["disk", "dvd"],
        ...(wanted.screen ? { video: {}, keyboard: true } : {}),
    });
}

export function isName(text: string): boolean {
    return /^[A-Za-z0-9][-A-Za-z0-9_.]{0,63}$/.test(text);
}

/* What may be done in a state; the service has the last word. */
export function allowed(action: string, state: string): boolean {
    const states: Record<string, string[]> = {
        Start: ["off", "saved", "crashed"],
        Shutdown: ["running"],
        Save: ["running", "paused"],
        Pause: ["running"],
        Resume: ["paused"],
        Reset: ["running", "paused", "kept"],
        TurnOff: ["starting", "running", "paused", "stopping", "saving", "kept"],
        DiscardSavedState: ["saved"],
        Delete: ["off", "crashed"],
        Migrate: ["running"],
    };
    return states[action]?.includes(state) ?? false;
}

/* A resource limit as it is typed: nothing is no limit. */
export function setMember(object: Record<string, any>, name: string, text: string): void {
    if (text.trim() === "")
        delete object[name];
    else
        object[name] = /^\d+$/.test(text.trim()) && name !== "cpus" && name !== "cpu_group" ? Number(text) : text.trim();
}
