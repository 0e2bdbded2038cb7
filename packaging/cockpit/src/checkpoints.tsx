/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Checkpoints of a machine, as the tree that they are. */
import { useState } from "react";
import { Button } from "@patternfly/react-core/dist/esm/components/Button";
import { Checkbox } from "@patternfly/react-core/dist/esm/components/Checkbox";
import { Table, Tbody, Td, Th, Thead, Tr } from "@patternfly/react-table/dist/esm/components/Table";

import { Branch, Checkpoint, printable, tree } from "./format";
import { Item, VM } from "./service";
import { _, Choice, Failure, Field, Question, service, useAnswer, useDialogs, when } from "./shared";

function typeText(type: string): string {
    const texts: Record<string, string> = {
        off: _("off"), production: _("production"), "crash-consistent": _("crash-consistent"), standard: _("standard, with memory"),
    };
    return texts[type] || type;
}

function Create({ vm, done }: { vm: Item; done: () => void }) {
    const [name, setName] = useState("");
    const [notes, setNotes] = useState("");
    const [type, setType] = useState("");
    return (
        <Question title={_("Create a checkpoint")} label={_("Create")} act={async () => {
            await service.call(vm.path, VM, "CreateCheckpoint", "ssa{sv}", name, notes, type ? { type: { t: "s", v: type } } : {});
            done();
        }}>
            <Field label={_("Name")} value={name} onChange={setName} help={_("Without one: the time")} />
            <Field label={_("Notes")} value={notes} onChange={setNotes} />
            {["running", "paused"].includes(vm.State) &&
                <Choice label={_("Type")} value={type} onChange={setType} options={[["", _("As the machine's definition says")],
                    ["production", _("production")], ["production-only", _("production, or none")],
                    ["standard", _("standard, with memory")]]} />}
        </Question>
    );
}

function Change({ vm, checkpoint, done }: { vm: Item; checkpoint: Checkpoint; done: () => void }) {
    const [name, setName] = useState(checkpoint.name);
    const [notes, setNotes] = useState(checkpoint.notes || "");
    return (
        <Question title={cockpit.format(_("Checkpoint $0"), checkpoint.name)} label={_("Change")} act={async () => {
            await service.call(vm.path, VM, "ChangeCheckpoint", "uss", checkpoint.id, name, notes);
            done();
        }}>
            <Field label={_("Name")} value={name} onChange={setName} required />
            <Field label={_("Notes")} value={notes} onChange={setNotes} />
        </Question>
    );
}

function Delete({ vm, branch, done }: { vm: Item; branch: Branch; done: () => void }) {
    const [subtree, setSubtree] = useState(false);
    return (
        <Question title={cockpit.format(_("Delete checkpoint $0"), branch.checkpoint.name)} label={_("Delete")} danger act={async () => {
            await service.call(vm.path, VM, "DeleteCheckpoint", "ua{sv}", branch.checkpoint.id, subtree ? { subtree: { t: "b", v: true } } : {});
            done();
        }}>
            <p>{_("What the machine has on its disks now stays.")}</p>
            {branch.children.length > 0 && <Checkbox id="subtree" label={_("And all that stand on it")} isChecked={subtree}
                onChange={(_event, on) => setSubtree(on)} />}
        </Question>
    );
}

/* Rows of a tree, in the order in which they are shown, with how deep each is. */
function flatten(branches: Branch[], depth = 1): [Branch, number][] {
    return branches.flatMap(branch => [[branch, depth] as [Branch, number], ...flatten(branch.children, depth + 1)]);
}

export function Checkpoints({ vm }: { vm: Item }) {
    const show = useDialogs();
    const { answer, error, again } = useAnswer(async () => {
        const [text] = await service.call(vm.path, VM, "ListCheckpoints");
        return JSON.parse(text) as { current: number; checkpoints: Checkpoint[] };
    }, [vm.Checkpoints, vm.State, vm.revision]);
    const rows = flatten(tree(answer?.checkpoints || []));

    return (
        <>
            <Button variant="secondary" onClick={() => show(<Create vm={vm} done={again} />)}>{_("Create a checkpoint")}</Button>
            <Failure error={error} />
            {rows.length === 0 && !error && <p>{_("There are none.")}</p>}
            {rows.length > 0 &&
                <Table aria-label={_("Checkpoints")} isTreeTable variant="compact" role="treegrid">
                    <Thead>
                        <Tr>
                            <Th>{_("Name")}</Th><Th>{_("Type")}</Th><Th>{_("Created")}</Th><Th>{_("Notes")}</Th><Th screenReaderText={_("Actions")} />
                        </Tr>
                    </Thead>
                    <Tbody>
                        {rows.map(([branch, depth]) => {
                            const { checkpoint } = branch;
                            const current = checkpoint.id === answer!.current;
                            return (
                                <Tr key={checkpoint.id} aria-level={depth} data-checkpoint={checkpoint.name}>
                                    <Td dataLabel={_("Name")} className={current ? "current" : ""}
                                        style={{ paddingInlineStart: `${depth * 1.5}rem` }}>
                                        {depth > 1 ? "└ " : ""}{printable(checkpoint.name)}{current ? ` ${_("(now)")}` : ""}
                                    </Td>
                                    <Td dataLabel={_("Type")}>{typeText(checkpoint.type)}</Td>
                                    <Td dataLabel={_("Created")}>{when(checkpoint.created_at)}</Td>
                                    <Td dataLabel={_("Notes")} modifier="breakWord">{printable(checkpoint.notes || "")}</Td>
                                    <Td className="actions">
                                        <Button variant="link" aria-label={cockpit.format(_("Apply checkpoint $0"), checkpoint.name)}
                                            onClick={() => show(
                                                <Question title={cockpit.format(_("Apply checkpoint $0"), checkpoint.name)} label={_("Apply")} danger
                                                    act={async () => { await service.call(vm.path, VM, "ApplyCheckpoint", "u", checkpoint.id); again() }}>
                                                    <p>{_("What the machine has been since its last checkpoint is lost; a checkpoint before keeps it.")}</p>
                                                </Question>)}>{_("Apply…")}</Button>
                                        <Button variant="link" aria-label={cockpit.format(_("Change checkpoint $0"), checkpoint.name)}
                                            onClick={() => show(<Change vm={vm} checkpoint={checkpoint} done={again} />)}>{_("Change…")}</Button>
                                        <Button variant="link" isDanger aria-label={cockpit.format(_("Delete checkpoint $0"), checkpoint.name)}
                                            onClick={() => show(<Delete vm={vm} branch={branch} done={again} />)}>{_("Delete…")}</Button>
                                    </Td>
                                </Tr>
                            );
                        })}
                    </Tbody>
                </Table>}
        </>
    );
}
