/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A new machine: with a new disk, or an image that is there, and perhaps a medium to install from. */
import { useState } from "react";
import { Checkbox } from "@patternfly/react-core/dist/esm/components/Checkbox";

import { definition, isName, parseSize } from "./format";
import { SWITCH } from "./service";
import { _, Choice, Field, Question, service } from "./shared";

/* The place of a disk: made first, or looked at for its format. */
async function prepareDisk(kind: string, path: string, size: string): Promise<{ path: string; format: string } | null> {
    if (kind === "none")
        return null;
    const request = kind === "new" ? { operation: "create", path, format: "vhdx", size } : { operation: "info", path };
    const [job] = await service.callManager("WorkOnDisk", "s", JSON.stringify(request));
    const result = await service.wait(job);
    return { path, format: result.format };
}

export function Create() {
    const [name, setName] = useState("");
    const [generation, setGeneration] = useState("2");
    const [processors, setProcessors] = useState("1");
    const [memory, setMemory] = useState("2G");
    const [kind, setKind] = useState("new");
    const [path, setPath] = useState("");
    const [size, setSize] = useState("20G");
    const [iso, setIso] = useState("");
    const [adapter, setAdapter] = useState("default");
    const [screen, setScreen] = useState(true);
    const [start, setStart] = useState(false);
    const switches = service.items(SWITCH).map(item => item.Name as string).filter(word => word !== "default");
    const memoryIsWrong = Number.isNaN(parseSize(memory));
    const sizeIsWrong = Number.isNaN(parseSize(size));
    const ready = isName(name) && !memoryIsWrong && Number(processors) > 0 && (kind === "none" || path) &&
        (kind !== "new" || !sizeIsWrong);

    const create = async () => {
        const disk = await prepareDisk(kind, path, size);
        const [vm] = await service.callManager("CreateVM", "s", definition({
            name, generation: generation === "1" ? 1 : 2, processors: Number(processors), memory, disk, iso, adapter,
            screen }));
        if (start)
            await service.call(vm, "org.vmms1.VM", "Start");
    };
    return (
        <Question title={_("Create machine")} label={_("Create")} act={create} disabled={!ready}>
            <Field label={_("Name")} value={name} onChange={setName} required invalid={name !== "" && !isName(name)}
                help={_("Letters, digits, - _ and . ; a letter or digit first")} />
            <Choice label={_("Generation")} value={generation} onChange={setGeneration}
                options={[["2", _("2: UEFI")], ["1", _("1: BIOS")]]} />
            <Field label={_("Processors")} type="number" value={processors} onChange={setProcessors} />
            <Field label={_("Memory")} value={memory} onChange={setMemory} invalid={memoryIsWrong}
                help={_("Such as 512M or 4G")} />
            <Choice label={_("Disk")} value={kind} onChange={setKind}
                options={[["new", _("A new one")], ["image", _("An image that is there")], ["none", _("None")]]} />
            {kind !== "none" &&
                <Field label={_("Path of the disk")} value={path} onChange={setPath} required
                    help={_("Of this host, such as /var/lib/images/web.vhdx")} />}
            {kind === "new" &&
                <Field label={_("Size of the disk")} value={size} onChange={setSize} invalid={sizeIsWrong}
                    help={_("Such as 512M or 4G")} />}
            <Field label={_("Medium to install from (ISO)")} value={iso} onChange={setIso}
                help={_("Of this host; may be left out")} />
            <Choice label={_("Network")} value={adapter} onChange={setAdapter}
                options={[["default", _("default: reaches what the host reaches")],
                    ...switches.map(word => [word, word] as [string, string]), ["", _("None")]]} />
            <Checkbox id="create-screen" label={_("With a screen and a keyboard")} isChecked={screen}
                onChange={(_event, on) => setScreen(on)} />
            <Checkbox id="create-start" label={_("Start it at once")} isChecked={start}
                onChange={(_event, on) => setStart(on)} />
        </Question>
    );
}
