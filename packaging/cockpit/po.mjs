// SPDX-License-Identifier: LGPL-2.1-or-later
// Translations: of gettext's files what this page uses, and what of the sources is to be translated.
// Run by itself, it brings po/*.po up to date with src/.
import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

/* Of a .po file: a map from each text to its translation. */
export function readPo(text) {
    const entries = new Map();
    let msgid = "", msgstr = "", field = "";
    const end = () => {
        if (msgid)
            entries.set(msgid, msgstr);
        msgid = msgstr = "";
    };
    for (const line of text.split("\n")) {
        const found = /^(msgid|msgstr)?\s*"(.*)"\s*$/.exec(line);
        if (!found)
            continue;
        if (found[1] === "msgid")
            end();
        field = found[1] || field;
        const part = JSON.parse(`"${found[2]}"`);
        if (field === "msgid")
            msgid += part;
        else
            msgstr += part;
    }
    end();
    return entries;
}

/* The script that Cockpit loads for a language. */
export function compile(language, entries) {
    const data = { "": { language, "language-direction": "ltr" } };
    for (const [text, translation] of entries) {
        if (translation)
            data[text] = [null, translation];
    }
    // French has its singular for 0, too.
    const plural = language === "fr" ? "n => n > 1" : "n => n != 1";
    return `cockpit.locale(Object.assign(${JSON.stringify(data)}, { "": { "plural-forms": ${plural}, "language": ` +
        `${JSON.stringify(language)}, "language-direction": "ltr" } }));\n`;
}

/* The texts of a source that are to be translated. */
export function texts(source) {
    return [...source.matchAll(/\b_\(\s*"((?:[^"\\]|\\.)*)"\s*\)/g)].map(found => JSON.parse(`"${found[1]}"`));
}

/* All of a folder of sources, and the label that Cockpit's menu shows. */
export function textsOf(folder) {
    const found = new Set([JSON.parse(fs.readFileSync(path.join(folder, "manifest.json"), "utf8")).menu.index.label]);
    for (const file of fs.readdirSync(folder).filter(name => /\.tsx?$/.test(name)))
        texts(fs.readFileSync(path.join(folder, file), "utf8")).forEach(text => found.add(text));
    return found;
}

/* The same .po file with all texts of the sources, and no others. */
export function updatePo(text, wanted) {
    const entries = readPo(text);
    const head = text.slice(0, text.indexOf("\n\nmsgid"));
    const quoted = [...wanted].sort().map(source =>
        `\n\nmsgid ${JSON.stringify(source)}\nmsgstr ${JSON.stringify(entries.get(source) || "")}`);
    return head + quoted.join("") + "\n";
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
    const here = path.dirname(process.argv[1]);
    for (const file of fs.readdirSync(path.join(here, "po"))) {
        const name = path.join(here, "po", file);
        fs.writeFileSync(name, updatePo(fs.readFileSync(name, "utf8"), textsOf(path.join(here, "src"))));
    }
}
