#!/usr/bin/env node
// SPDX-License-Identifier: LGPL-2.1-or-later
// Makes dist/, the folder that Cockpit serves, of src/ and po/. Needs node_modules (npm ci), and no network.
import { build } from "esbuild";
import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

import { compile, readPo } from "./po.mjs";

const here = path.dirname(fileURLToPath(import.meta.url));
const dist = path.join(here, "dist");

/* What is in the bundle, whose it is, and under which licence: of each module its own text. */
function licences(inputs) {
    const names = new Set();
    for (const input of Object.keys(inputs)) {
        const found = /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(input);
        if (found)
            names.add(found[1]);
    }
    let text = "Modules of others in index.js and index.css, with their licences.\n";
    for (const name of [...names].sort()) {
        const folder = path.join(here, "node_modules", name);
        const about = JSON.parse(fs.readFileSync(path.join(folder, "package.json"), "utf8"));
        const file = fs.readdirSync(folder).find(entry => /^licen[sc]e/i.test(entry));
        text += `\n==== ${name} ${about.version}, ${about.license}\n\n`;
        text += file ? fs.readFileSync(path.join(folder, file), "utf8") : `${about.license}\n`;
    }
    return text;
}

fs.rmSync(dist, { recursive: true, force: true });
fs.mkdirSync(dist, { recursive: true });
const result = await build({
    absWorkingDir: here,
    entryPoints: ["src/index.tsx"],
    outdir: dist,
    bundle: true,
    minify: true,
    jsx: "automatic",
    target: ["es2020"],
    metafile: true,
    legalComments: "none",
    external: ["../../static/*"],
    loader: { ".woff2": "empty", ".woff": "empty", ".ttf": "empty", ".eot": "empty", ".svg": "empty", ".png": "empty",
        ".jpg": "empty" },
    define: { "process.env.NODE_ENV": '"production"' },
});
for (const file of ["index.html", "manifest.json"])
    fs.copyFileSync(path.join(here, "src", file), path.join(dist, file));
for (const file of fs.readdirSync(path.join(here, "po")).filter(name => name.endsWith(".po"))) {
    const language = path.basename(file, ".po");
    const entries = readPo(fs.readFileSync(path.join(here, "po", file), "utf8"));
    fs.writeFileSync(path.join(dist, `po.${language}.js`), compile(language, entries));
    fs.writeFileSync(path.join(dist, `po.manifest.${language}.js`), compile(language, entries));
}
fs.writeFileSync(path.join(dist, "licences.txt"), licences(result.metafile.inputs));
