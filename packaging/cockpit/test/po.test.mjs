// SPDX-License-Identifier: LGPL-2.1-or-later
// Translations are whole, and say nothing that the page does not.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import test from "node:test";
import { fileURLToPath } from "node:url";

import { compile, readPo, texts, textsOf, updatePo } from "../po.mjs";

const root = path.join(path.dirname(fileURLToPath(import.meta.url)), "..");
const wanted = textsOf(path.join(root, "src"));

for (const language of ["de", "fr"]) {
    const file = fs.readFileSync(path.join(root, "po", `${language}.po`), "utf8");
    const entries = readPo(file);

    test(`${language}: each text has a translation`, () => {
        assert.deepEqual([...wanted].filter(text => !entries.get(text)), []);
    });
    test(`${language}: no translation is left over`, () => {
        assert.deepEqual([...entries.keys()].filter(text => !wanted.has(text)), []);
    });
    test(`${language}: places to be filled are the same`, () => {
        const places = text => (text.match(/\$\d/g) || []).sort().join();
        assert.deepEqual([...entries].filter(([text, translation]) => places(text) !== places(translation)), []);
    });
    test(`${language}: the file is as scripts/cockpit texts would write it`, () => {
        assert.equal(updatePo(file, wanted), file);
    });
}

test("texts of a source", () => {
    assert.deepEqual(texts('_("a") + cockpit.format(_("b \\"$0\\""), x) + no("c")'), ["a", 'b "$0"']);
});

test("a file of gettext's", () => {
    const entries = readPo('msgid ""\nmsgstr "head"\n\n#: x\nmsgid "long "\n"text"\nmsgstr "langer "\n"Text"\n\nmsgid "new"\nmsgstr ""\n');
    assert.deepEqual([...entries], [["long text", "langer Text"], ["new", ""]]);
    let loaded;
    new Function("cockpit", compile("fr", entries))({ locale: data => { loaded = data } });
    assert.deepEqual(loaded["long text"], [null, "langer Text"]);
    assert.equal("new" in loaded, false);
    assert.equal(loaded[""]["plural-forms"](0), false);
    assert.equal(loaded[""].language, "fr");
});
