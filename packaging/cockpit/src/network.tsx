/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Network adapters of a machine. */
import { useState } from "react";
import { Button } from "@patternfly/react-core/dist/esm/components/Button";
import { Table, Tbody, Td, Th, Thead, Tr } from "@patternfly/react-table/dist/esm/components/Table";

import { printable } from "./format";
import { Item, SWITCH, VM } from "./service";
import { _, Choice, Field, Question, service, StateLabel, useDialogs } from "./shared";

function switchOptions(): [string, string][] {
    const names = service.items(SWITCH).map(item => item.Name as string);
    return ["default", ...names.filter(name => name !== "default")].map(name => [name, name]);
}

/* name: of an adapter that is there; without it, a new one. */
function Adapter({ vm, name, connected }: { vm: Item; name?: string; connected?: string }) {
    const [to, setTo] = useState(connected || "default");
    const [vlan, setVlan] = useState("");

    const act = async () => {
        if (!name) {
            await service.call(vm.path, VM, "AddAdapter", "s", JSON.stringify({ switch: to, ...(vlan ? { vlan: Number(vlan) } : {}) }));
            return;
        }
        const all = JSON.parse(await service.get(vm.path, VM, "Definition")).network_adapters;
        const adapter = all.find((row: any) => row.name === name) || { name };
        adapter.switch = to;
        if (to !== "default")
            delete adapter.forward;
        if (vlan)
            adapter.vlan = Number(vlan);
        await service.call(vm.path, VM, "ChangeAdapter", "ss", name, JSON.stringify(adapter));
    };
    return (
        <Question title={name ? cockpit.format(_("Connect $0"), name) : _("Add an adapter")} label={name ? _("Connect") : _("Add")}
            act={act}>
            <Choice label={_("Switch")} value={to} onChange={setTo} options={switchOptions()} />
            {to !== "default" &&
                <Field label={_("VLAN; may be left out")} type="number" value={vlan} onChange={setVlan} />}
        </Question>
    );
}

export function Network({ vm }: { vm: Item }) {
    const show = useDialogs();
    const addresses = (adapter: string) => (vm.Addresses || []).filter((row: string[]) => row[0] === adapter)
            .map((row: string[]) => row[1]).join(", ");
    return (
        <>
            <Button variant="secondary" onClick={() => show(<Adapter vm={vm} />)}>{_("Add an adapter")}</Button>
            <Table aria-label={_("Network adapters")} variant="compact">
                <Thead>
                    <Tr>
                        <Th>{_("Name")}</Th><Th>{_("MAC address")}</Th><Th>{_("Switch")}</Th><Th>{_("State")}</Th><Th>{_("Addresses")}</Th>
                        <Th screenReaderText={_("Actions")} />
                    </Tr>
                </Thead>
                <Tbody>
                    {(vm.Adapters || []).map(([name, mac, to, , state, why]: string[]) => (
                        <Tr key={name}>
                            <Td dataLabel={_("Name")}>{name}</Td>
                            <Td dataLabel={_("MAC address")}>{mac}</Td>
                            <Td dataLabel={_("Switch")}>{to}</Td>
                            <Td dataLabel={_("State")}><StateLabel state={state} /> {why}</Td>
                            <Td dataLabel={_("Addresses")}>{printable(addresses(name))}</Td>
                            <Td className="actions">
                                <Button variant="link" onClick={() => show(<Adapter vm={vm} name={name} connected={to} />)}
                                    aria-label={cockpit.format(_("Connect $0"), name)}>{_("Connect…")}</Button>
                                <Button variant="link" isDanger aria-label={cockpit.format(_("Remove adapter $0"), name)}
                                    onClick={() => show(
                                        <Question title={cockpit.format(_("Remove adapter $0"), name)} label={_("Remove")} danger
                                            act={() => service.call(vm.path, VM, "RemoveAdapter", "s", name)} />)}>{_("Remove…")}</Button>
                            </Td>
                        </Tr>
                    ))}
                </Tbody>
            </Table>
        </>
    );
}
