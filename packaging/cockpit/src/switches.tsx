/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Virtual switches of the host. */
import { useState } from "react";
import { Button } from "@patternfly/react-core/dist/esm/components/Button";
import { Checkbox } from "@patternfly/react-core/dist/esm/components/Checkbox";
import { Title } from "@patternfly/react-core/dist/esm/components/Title";
import { Toolbar, ToolbarContent, ToolbarItem } from "@patternfly/react-core/dist/esm/components/Toolbar";
import { Table, Tbody, Td, Th, Thead, Tr } from "@patternfly/react-table/dist/esm/components/Table";

import { isName } from "./format";
import { SWITCH } from "./service";
import { _, Choice, Field, Question, StateLabel, useDialogs, useService } from "./shared";

function typeText(type: string): string {
    const texts: Record<string, string> = { private: _("private"), internal: _("internal"), external: _("external") };
    return texts[type] || type;
}

function Create() {
    const service = useService();
    const [name, setName] = useState("");
    const [type, setType] = useState("private");
    const [to, setTo] = useState("");
    const [takes, setTakes] = useState("bridge");
    const [address, setAddress] = useState("");
    const [force, setForce] = useState(false);
    const definition = {
        name, type,
        ...(type === "external" ? { [takes]: to } : {}),
        ...(type === "internal" && address ? { addresses: [address] } : {}),
    };
    return (
        <Question title={_("Create switch")} label={_("Create")} disabled={!isName(name) || (type === "external" && !to)}
            act={() => service.callManager("CreateSwitch", "sa{sv}", JSON.stringify(definition),
                force ? { force: { t: "b", v: true } } : {})}>
            <Field label={_("Name")} value={name} onChange={setName} required />
            <Choice label={_("Type")} value={type} onChange={setType} options={[["private", _("private: machines among themselves")],
                ["internal", _("internal: machines and the host")], ["external", _("external: machines and a network of the host's")]]} />
            {type === "internal" &&
                <Field label={_("Address of the host; may be left out")} value={address} onChange={setAddress} help={_("Such as 192.0.2.1/24")} />}
            {type === "external" &&
                <>
                    <Choice label={_("It leads to")} value={takes} onChange={setTakes}
                        options={[["bridge", _("a bridge of the host")], ["interface", _("an interface, which it takes")]]} />
                    <Field label={_("Its name")} value={to} onChange={setTo} required />
                    {takes === "interface" && <Checkbox id="force" label={_("Also if the host's default route leads through it")}
                        isChecked={force} onChange={(_event, on) => setForce(on)} />}
                </>}
        </Question>
    );
}

export function SwitchList() {
    const service = useService();
    const show = useDialogs();
    const switches = service.items(SWITCH).sort((a, b) => a.Name.localeCompare(b.Name));
    return (
        <>
            <Toolbar>
                <ToolbarContent>
                    <ToolbarItem><Title headingLevel="h1">{_("Switches")}</Title></ToolbarItem>
                    <ToolbarItem align={{ default: "alignEnd" }}>
                        <Button onClick={() => show(<Create />)}>{_("Create switch")}</Button>
                    </ToolbarItem>
                </ToolbarContent>
            </Toolbar>
            {switches.length === 0 && <p>{_("There are none, or you may not see them. Every machine can be connected to default.")}</p>}
            {switches.length > 0 &&
                <Table aria-label={_("Switches")} variant="compact">
                    <Thead>
                        <Tr>
                            <Th>{_("Name")}</Th><Th>{_("Type")}</Th><Th>{_("State")}</Th><Th>{_("Bridge")}</Th><Th>{_("Notes")}</Th>
                            <Th screenReaderText={_("Actions")} />
                        </Tr>
                    </Thead>
                    <Tbody>
                        {switches.map(item => (
                            <Tr key={item.path}>
                                <Td dataLabel={_("Name")}>{item.Name}</Td>
                                <Td dataLabel={_("Type")}>{typeText(item.Type)}</Td>
                                <Td dataLabel={_("State")}><StateLabel state={item.State} /> {item.StateReason}</Td>
                                <Td dataLabel={_("Bridge")}>{item.Bridge}</Td>
                                <Td dataLabel={_("Notes")}>{item.Notes}</Td>
                                <Td className="actions">
                                    <Button variant="link" isDanger aria-label={cockpit.format(_("Delete switch $0"), item.Name)}
                                        onClick={() => show(
                                            <Question title={cockpit.format(_("Delete switch $0"), item.Name)} label={_("Delete")} danger
                                                act={() => service.call(item.path, SWITCH, "Delete")} />)}>{_("Delete…")}</Button>
                                </Td>
                            </Tr>
                        ))}
                    </Tbody>
                </Table>}
        </>
    );
}
