/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the guest says of itself: key-value pairs, addresses, heartbeat. */
import { useState } from "react";
import { Button } from "@patternfly/react-core/dist/esm/components/Button";
import { Form } from "@patternfly/react-core/dist/esm/components/Form";
import { Table, Tbody, Td, Th, Thead, Tr } from "@patternfly/react-table/dist/esm/components/Table";

import { printable } from "./format";
import { Item, VM } from "./service";
import { _, Choice, Failure, Field, Question, service, useAnswer, useDialogs } from "./shared";
import { Terms } from "./detail";

function SetValue({ vm, done }: { vm: Item; done: () => void }) {
    const [key, setKey] = useState("");
    const [value, setValue] = useState("");
    return (
        <Question title={_("Tell the guest a value")} label={_("Set")} disabled={!key} act={async () => {
            await service.call(vm.path, VM, "SetGuestValue", "sss", "external", key, value);
            done();
        }}>
            <Field label={_("Key")} value={key} onChange={setKey} required />
            <Field label={_("Value")} value={value} onChange={setValue} />
        </Question>
    );
}

export function Guest({ vm }: { vm: Item }) {
    const show = useDialogs();
    const [pool, setPool] = useState("auto");
    const running = vm.State === "running";
    const { answer, error, again } = useAnswer(async () => {
        if (!running)
            return [];
        const [values] = await service.call(vm.path, VM, "ListGuestValues", "s", pool);
        return values as [string, string][];
    }, [pool, running, vm.path]);
    const heartbeats: Record<string, string> = { ok: _("ok"), lost: _("lost"), unknown: _("unknown") };

    return (
        <>
            <Terms rows={[
                [_("Guest"), printable(vm.GuestOS)],
                [_("Host name"), printable(vm.GuestHostName)],
                [_("Heartbeat"), heartbeats[vm.Heartbeat] || vm.Heartbeat],
                [_("VMBus"), vm.VMBusVersion],
                [_("Addresses"), printable((vm.GuestAddresses || []).join(", "))],
                [_("File systems"), vm.FileSystems === "frozen" ? _("frozen") : _("in use")],
            ]} />
            {!running && <p>{_("The guest is asked for its values while it runs.")}</p>}
            {running &&
                <>
                    <Form className="part"><Choice label={_("Values")} value={pool} onChange={setPool} options={[["auto", _("that the guest tells of itself")],
                        ["guest", _("that programs in the guest have set")], ["external", _("that the host has set")],
                        ["auto-external", _("that the host tells of itself")]]} /></Form>
                    <div className="bar">
                        <Button variant="secondary" onClick={() => show(<SetValue vm={vm} done={again} />)}>{_("Set a value…")}</Button>
                        <Button variant="secondary" onClick={again}>{_("Ask again")}</Button>
                    </div>
                    <Failure error={error} />
                    <Table aria-label={_("Values")} variant="compact">
                        <Thead><Tr><Th>{_("Key")}</Th><Th>{_("Value")}</Th></Tr></Thead>
                        <Tbody>
                            {(answer || []).map(([key, value]) => (
                                <Tr key={key}>
                                    <Td dataLabel={_("Key")}>{printable(key)}</Td>
                                    <Td dataLabel={_("Value")}><span className="text">{printable(value)}</span></Td>
                                </Tr>
                            ))}
                        </Tbody>
                    </Table>
                </>}
        </>
    );
}
