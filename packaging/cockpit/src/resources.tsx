/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a machine has, and what it may take of the host. */
import { useState } from "react";
import { Button } from "@patternfly/react-core/dist/esm/components/Button";

import { setMember } from "./format";
import { Item, VM } from "./service";
import { _, Choice, Failure, Field, Question, service, useAnswer, useDialogs } from "./shared";
import { Terms } from "./detail";

/* Keys of "resources" that are a number or a text. */
function limits(): [string, string][] {
    return [
        ["cpu_weight", _("Weight for processor time")], ["cpu_quota", _("Processor time, percent of one CPU")],
        ["memory_high", _("Memory beyond the guest's: throttled above")], ["memory_max", _("Memory beyond the guest's: at most")],
        ["io_weight", _("Weight for disks")], ["io_read_bandwidth", _("Bytes read a second")],
        ["io_write_bandwidth", _("Bytes written a second")], ["io_read_operations", _("Reads a second")],
        ["io_write_operations", _("Writes a second")], ["tasks_max", _("Threads at most")], ["cpus", _("CPUs of the host")],
        ["cpu_group", _("CPU group")],
    ];
}

/* Changes the definition as it is now; whoever has changed it meanwhile is not overwritten. */
async function change(vm: Item, edit: (definition: any) => void) {
    const base: string = await service.get(vm.path, VM, "Definition");
    const definition = JSON.parse(base);
    edit(definition);
    await service.call(vm.path, VM, "Change", "sa{sv}", JSON.stringify(definition), { base: { t: "s", v: base } });
}

function Machine({ vm, definition }: { vm: Item; definition: any }) {
    const [processors, setProcessors] = useState(String(definition.processors.count));
    const [memory, setMemory] = useState(String(definition.memory.size));
    const [start, setStart] = useState(definition.automatic_start?.action || "none");
    const [stop, setStop] = useState(definition.automatic_stop?.action || "save");
    const [notes, setNotes] = useState(definition.notes || "");
    return (
        <Question title={cockpit.format(_("Change $0"), vm.Name)} label={_("Change")} act={() => change(vm, wanted => {
            if (Number(processors) !== wanted.processors.count)
                wanted.processors = { ...wanted.processors, count: Number(processors), sockets: 1, cores: Number(processors), threads: 1 };
            wanted.memory.size = /^\d+$/.test(memory) ? Number(memory) : memory;
            wanted.automatic_start = { ...wanted.automatic_start, action: start };
            wanted.automatic_stop = { ...wanted.automatic_stop, action: stop };
            wanted.notes = notes;
        })}>
            <Field label={_("Processors")} type="number" value={processors} onChange={setProcessors} />
            <Field label={_("Memory")} value={memory} onChange={setMemory} help={_("Such as 512M or 4G")} />
            <Choice label={_("When the host starts")} value={start} onChange={setStart}
                options={[["none", _("it stays off")], ["start", _("it is started")]]} />
            <Choice label={_("When the host shuts down")} value={stop} onChange={setStop} options={[["save", _("it is saved")],
                ["shut-down", _("it is shut down")], ["turn-off", _("it is turned off")]]} />
            <Field label={_("Notes")} value={notes} onChange={setNotes} />
        </Question>
    );
}

function Limits({ vm, definition }: { vm: Item; definition: any }) {
    const [texts, setTexts] = useState<Record<string, string>>(Object.fromEntries(limits().map(([key]) =>
        [key, String(definition.resources?.[key] ?? "")])));
    return (
        <Question title={cockpit.format(_("Limits of $0"), vm.Name)} label={_("Change")} act={() => change(vm, wanted => {
            wanted.resources = wanted.resources || {};
            limits().forEach(([key]) => setMember(wanted.resources, key, texts[key]));
        })}>
            {limits().map(([key, text]) =>
                <Field key={key} label={text} value={texts[key]} onChange={value => setTexts({ ...texts, [key]: value })} />)}
        </Question>
    );
}

export function Resources({ vm }: { vm: Item }) {
    const show = useDialogs();
    const { answer, error } = useAnswer(async () => JSON.parse(await service.get(vm.path, VM, "Definition")),
        [vm.revision, vm.Memory, vm.Processors]);
    if (error)
        return <Failure error={error} />;
    if (!answer)
        return null;
    const resources = answer.resources || {};
    return (
        <>
            <Terms rows={[
                [_("Generation"), answer.generation ? String(answer.generation) : _("a kernel is loaded")],
                [_("Processors"), String(answer.processors.count)],
                [_("Memory"), String(answer.memory.size)],
                [_("When the host starts"), answer.automatic_start?.action === "start" ? _("it is started") : _("it stays off")],
                [_("When the host shuts down"), { save: _("it is saved"), "shut-down": _("it is shut down"),
                    "turn-off": _("it is turned off") }[answer.automatic_stop?.action as string] || ""],
                ...limits().map(([key, text]) => [text, String(resources[key] ?? "")] as [string, string]),
            ]} />
            <div className="bar part">
                <Button variant="secondary" onClick={() => show(<Machine vm={vm} definition={answer} />)}>{_("Change…")}</Button>
                <Button variant="secondary" onClick={() => show(<Limits vm={vm} definition={answer} />)}>{_("Change limits…")}</Button>
            </div>
        </>
    );
}
