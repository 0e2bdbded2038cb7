/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is done with a VM as a whole. */
import { useState } from "react";
import { Button } from "@patternfly/react-core/dist/esm/components/Button";
import { Checkbox } from "@patternfly/react-core/dist/esm/components/Checkbox";
import { Dropdown, DropdownItem, DropdownList } from "@patternfly/react-core/dist/esm/components/Dropdown";
import { Divider } from "@patternfly/react-core/dist/esm/components/Divider";
import { MenuToggle } from "@patternfly/react-core/dist/esm/components/MenuToggle";

import { allowed } from "./format";
import { Migrate } from "./migrate";
import { Item, VM } from "./service";
import { _, Failure, Field, Question, service, useDialogs } from "./shared";

function ShutDown({ vm }: { vm: Item }) {
    const [force, setForce] = useState(false);
    const [timeout, setTimeout] = useState("120");
    return (
        <Question title={cockpit.format(_("Shut down $0"), vm.Name)} label={_("Shut down")}
            act={() => service.call(vm.path, VM, "Shutdown", "a{sv}", {
                force: { t: "b", v: force }, timeout: { t: "u", v: Number(timeout) || 0 } })}>
            <Field label={_("Seconds to wait; 0: for ever")} type="number" value={timeout} onChange={setTimeout} />
            <Checkbox id="shut-down-force" label={_("End programs that hold it up")} isChecked={force}
                onChange={(_event, on) => setForce(on)} />
        </Question>
    );
}

function Rename({ vm }: { vm: Item }) {
    const [name, setName] = useState<string>(vm.Name);
    return (
        <Question title={cockpit.format(_("Rename $0"), vm.Name)} label={_("Rename")} disabled={!name}
            act={() => service.call(vm.path, VM, "Rename", "s", name)}>
            <Field label={_("Name")} value={name} onChange={setName} required />
        </Question>
    );
}

/* Questions whose answer is a call without arguments. */
function ask(vm: Item, method: string, title: string, label: string, text: string) {
    return (
        <Question title={cockpit.format(title, vm.Name)} label={label} danger
            act={() => service.call(vm.path, VM, method)}>
            <p>{text}</p>
        </Question>
    );
}

export function Actions({ vm, afterDelete }: { vm: Item; afterDelete?: () => void }) {
    const show = useDialogs();
    const [open, setOpen] = useState(false);
    const state = vm.State as string;

    const failed = (title: string, why: unknown) => show(
        <Question title={title} label={_("Close")} act={async () => {}}><Failure error={why} /></Question>);
    const simple = (method: string, title: string) =>
        service.call(vm.path, VM, method).catch(why => failed(title, why));
    const rows: [string, string, () => void][] = [
        ["Pause", _("Pause"), () => simple("Pause", _("Pause"))],
        ["Resume", _("Resume"), () => simple("Resume", _("Resume"))],
        ["Save", _("Save"), () => simple("Save", _("Save"))],
        ["Migrate", _("Move to another host…"), () => show(<Migrate vm={vm} />)],
        ["Reset", _("Reset…"), () => show(ask(vm, "Reset", _("Reset $0"), _("Reset"),
            _("The guest is not asked; what it has not written to its disks is lost.")))],
        ["TurnOff", _("Turn off…"), () => show(ask(vm, "TurnOff", _("Turn $0 off"), _("Turn off"),
            _("The guest is not asked; what it has not written to its disks is lost.")))],
        ["DiscardSavedState", _("Discard saved state…"), () => show(ask(vm, "DiscardSavedState",
            _("Discard what was saved of $0"), _("Discard"), _("It is as if its power had been cut when it was saved.")))],
    ];
    return (
        <>
            {allowed("Start", state) &&
                <Button variant="secondary" aria-label={cockpit.format(_("Start $0"), vm.Name)}
                    onClick={() => simple("Start", cockpit.format(_("Start $0"), vm.Name))}>{_("Start")}</Button>}
            {allowed("Shutdown", state) &&
                <Button variant="secondary" aria-label={cockpit.format(_("Shut down $0"), vm.Name)}
                    onClick={() => show(<ShutDown vm={vm} />)}>{_("Shut down")}</Button>}
            {" "}
            <Dropdown isOpen={open} onOpenChange={setOpen} onSelect={() => setOpen(false)}
                popperProps={{ position: "right" }}
                toggle={ref => (
                    <MenuToggle ref={ref} isExpanded={open} variant="plain" onClick={() => setOpen(!open)}
                        aria-label={cockpit.format(_("More actions for $0"), vm.Name)}>⋮</MenuToggle>
                )}>
                <DropdownList>
                    {rows.filter(([action]) => allowed(action, state)).map(([action, text, act]) =>
                        <DropdownItem key={action} onClick={act}>{text}</DropdownItem>)}
                    <DropdownItem key="rename" onClick={() => show(<Rename vm={vm} />)}>{_("Rename…")}</DropdownItem>
                    {allowed("Delete", state) && <Divider component="li" key="divider" />}
                    {allowed("Delete", state) &&
                        <DropdownItem key="delete" isDanger onClick={() => show(
                            <Question title={cockpit.format(_("Delete $0"), vm.Name)} label={_("Delete")} danger
                                act={async () => {
                                    await service.call(vm.path, VM, "Delete");
                                    afterDelete?.();
                                }}>
                                <p>{_("Images of its disks stay.")}</p>
                            </Question>)}>{_("Delete…")}</DropdownItem>}
                </DropdownList>
            </Dropdown>
        </>
    );
}
