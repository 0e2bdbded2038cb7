/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Disks and DVD drives of a machine. */
import { useState } from "react";
import { Button } from "@patternfly/react-core/dist/esm/components/Button";
import { Checkbox } from "@patternfly/react-core/dist/esm/components/Checkbox";
import { Table, Tbody, Td, Th, Thead, Tr } from "@patternfly/react-table/dist/esm/components/Table";

import { bytes, parseSize } from "./format";
import { Item, VM } from "./service";
import { _, Choice, Failure, Field, Question, service, useAnswer, useDialogs } from "./shared";

function Attach({ vm, done }: { vm: Item; done: () => void }) {
    const [kind, setKind] = useState("new");
    const [path, setPath] = useState("");
    const [size, setSize] = useState("20G");
    const [readOnly, setReadOnly] = useState(false);

    const attach = async () => {
        let disk: object = { type: "dvd", ...(path ? { path } : {}) };
        if (kind !== "dvd") {
            const request = kind === "new" ? { operation: "create", path, format: "vhdx", size } : { operation: "info", path };
            const [job] = await service.callManager("WorkOnDisk", "s", JSON.stringify(request));
            const { format } = await service.wait(job);
            disk = { path, format, ...(readOnly ? { read_only: true } : {}) };
        }
        await service.call(vm.path, VM, "AttachDisk", "s", JSON.stringify(disk));
        done();
    };
    return (
        <Question title={_("Add a disk")} label={_("Add")} act={attach}
            disabled={(kind !== "dvd" && !path) || (kind === "new" && Number.isNaN(parseSize(size)))}>
            <Choice label={_("Kind")} value={kind} onChange={setKind} options={[["new", _("A new disk")],
                ["image", _("An image that is there")], ["dvd", _("A DVD drive")]]} />
            <Field label={kind === "dvd" ? _("Path of the medium; may be left out") : _("Path of the disk")} value={path}
                onChange={setPath} required={kind !== "dvd"} />
            {kind === "new" && <Field label={_("Size of the disk")} value={size} onChange={setSize} help={_("Such as 512M or 4G")}
                invalid={Number.isNaN(parseSize(size))} />}
            {kind === "image" && <Checkbox id="read-only" label={_("Only to be read")} isChecked={readOnly}
                onChange={(_event, on) => setReadOnly(on)} />}
        </Question>
    );
}

function Insert({ vm, disk, done }: { vm: Item; disk: any; done: () => void }) {
    const [path, setPath] = useState("");
    return (
        <Question title={_("Insert a medium")} label={_("Insert")} disabled={!path} act={async () => {
            await service.call(vm.path, VM, "InsertMedium", "uus", disk.controller, disk.lun, path);
            done();
        }}>
            <Field label={_("Path of the medium")} value={path} onChange={setPath} required />
        </Question>
    );
}

export function Disks({ vm }: { vm: Item }) {
    const show = useDialogs();
    const { answer, error, again } = useAnswer(async () => {
        const [text] = await service.call(vm.path, VM, "GetDisks");
        return JSON.parse(text).disks as any[];
    }, [vm.State, vm.revision, JSON.stringify(vm.DiskProblems)]);

    const detach = (disk: any) => show(
        <Question title={cockpit.format(_("Remove disk $0:$1"), disk.controller, disk.lun)} label={_("Remove")} danger
            act={async () => {
                await service.call(vm.path, VM, "DetachDisk", "uu", disk.controller, disk.lun);
                again();
            }}>
            <p>{_("Its image stays.")}</p>
        </Question>);
    const eject = (disk: any) => show(
        <Question title={_("Eject the medium")} label={_("Eject")} act={async () => {
            await service.call(vm.path, VM, "EjectMedium", "uua{sv}", disk.controller, disk.lun, {});
            again();
        }}>
            <p className="text">{disk.path}</p>
        </Question>);
    return (
        <>
            <Button variant="secondary" onClick={() => show(<Attach vm={vm} done={again} />)}>{_("Add a disk")}</Button>
            <Failure error={error} />
            <Table aria-label={_("Disks")} variant="compact">
                <Thead>
                    <Tr>
                        <Th>{_("Place")}</Th><Th>{_("Kind")}</Th><Th>{_("Path")}</Th><Th>{_("Format")}</Th><Th>{_("Size")}</Th>
                        <Th>{_("Health")}</Th><Th screenReaderText={_("Actions")} />
                    </Tr>
                </Thead>
                <Tbody>
                    {(answer || []).map(disk => (
                        <Tr key={`${disk.controller}:${disk.lun}`}>
                            <Td dataLabel={_("Place")}>{disk.controller}:{disk.lun}</Td>
                            <Td dataLabel={_("Kind")}>{disk.type === "dvd" ? _("DVD") : disk.read_only ? _("disk, only read") : _("disk")}</Td>
                            <Td dataLabel={_("Path")} modifier="breakWord">{disk.path || _("empty")}</Td>
                            <Td dataLabel={_("Format")}>{disk.format}</Td>
                            <Td dataLabel={_("Size")}>{disk.size ? bytes(disk.size) : ""}</Td>
                            <Td dataLabel={_("Health")}>{disk.problem || disk.health || ""}</Td>
                            <Td className="actions">
                                {disk.type === "dvd" && (disk.path
                                    ? <Button variant="link" onClick={() => eject(disk)}>{_("Eject")}</Button>
                                    : <Button variant="link" onClick={() => show(<Insert vm={vm} disk={disk} done={again} />)}>{_("Insert…")}</Button>)}
                                <Button variant="link" isDanger onClick={() => detach(disk)}
                                    aria-label={cockpit.format(_("Remove disk $0:$1"), disk.controller, disk.lun)}>{_("Remove…")}</Button>
                            </Td>
                        </Tr>
                    ))}
                </Tbody>
            </Table>
        </>
    );
}
