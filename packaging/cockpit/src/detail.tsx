/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One machine. */
import React from "react";
import { Alert } from "@patternfly/react-core/dist/esm/components/Alert";
import { Breadcrumb, BreadcrumbItem } from "@patternfly/react-core/dist/esm/components/Breadcrumb";
import { DescriptionList, DescriptionListDescription, DescriptionListGroup, DescriptionListTerm } from "@patternfly/react-core/dist/esm/components/DescriptionList";
import { Button } from "@patternfly/react-core/dist/esm/components/Button";
import { Tab, Tabs, TabTitleText } from "@patternfly/react-core/dist/esm/components/Tabs";
import { Title } from "@patternfly/react-core/dist/esm/components/Title";
import { Toolbar, ToolbarContent, ToolbarItem } from "@patternfly/react-core/dist/esm/components/Toolbar";

import { Actions } from "./actions";
import { Checkpoints } from "./checkpoints";
import { Console } from "./console";
import { Disks } from "./disks";
import { bytes, duration, printable } from "./format";
import { Guest } from "./guest";
import { Jobs } from "./jobs";
import { percent, useLoads } from "./list";
import { Log } from "./log";
import { Network } from "./network";
import { Resources } from "./resources";
import { Item, JOB } from "./service";
import { _, service, StateLabel, when } from "./shared";

export function Terms({ rows }: { rows: [string, React.ReactNode][] }) {
    return (
        <DescriptionList isHorizontal isCompact columnModifier={{ lg: "2Col" }}>
            {rows.filter(([, value]) => value !== "" && value !== undefined && value !== null).map(([term, value]) => (
                <DescriptionListGroup key={term}>
                    <DescriptionListTerm>{term}</DescriptionListTerm>
                    <DescriptionListDescription><span className="text">{value}</span></DescriptionListDescription>
                </DescriptionListGroup>
            ))}
        </DescriptionList>
    );
}

function Overview({ vm }: { vm: Item }) {
    const loads = useLoads();
    const running = vm.StartedAt > 0;
    const heartbeats: Record<string, string> = { ok: _("ok"), lost: _("lost"), unknown: _("unknown") };
    return (
        <Terms rows={[
            [_("State"), <StateLabel key="state" state={vm.State} />],
            [_("Reason"), printable(vm.StateReason)],
            [_("Load"), running ? percent(loads.get(vm.UUID)) : ""],
            [_("Processors"), `${vm.Processors} (${vm.ProcessorModel})`],
            [_("Memory"), running && vm.MemoryAssigned && vm.MemoryAssigned !== vm.Memory
                ? cockpit.format(_("$0 of $1"), bytes(vm.MemoryAssigned), bytes(vm.Memory)) : bytes(vm.Memory)],
            [_("Up for"), running ? duration(Date.now() / 1000 - vm.StartedAt / 1e6) : ""],
            [_("Saved"), when(vm.SavedAt)],
            [_("Heartbeat"), running ? heartbeats[vm.Heartbeat] || vm.Heartbeat : ""],
            [_("Guest"), printable(vm.GuestOS)],
            [_("Host name"), printable(vm.GuestHostName)],
            [_("Addresses"), printable((vm.Addresses || []).map((row: string[]) => `${row[1]} (${row[0]})`).join(", "))],
            [_("Engine"), vm.Engine],
            [_("Owner"), vm.Owner],
            [_("Tags"), (vm.Tags || []).join(", ")],
            [_("Notes"), printable(vm.Notes)],
            [_("UUID"), vm.UUID],
        ]} />
    );
}

/* What is wrong, on whatever tab one is. */
function Problems({ vm }: { vm: Item }) {
    const texts: [string, string][] = [
        ...(vm.DiskProblems || []).map((row: any[]) => [cockpit.format(_("Disk $0:$1"), row[0], row[1]), row[3]]),
        ...(vm.LimitsProblem ? [[_("Limits are not in force"), vm.LimitsProblem]] : []),
        ...(vm.GuestProblem ? [[_("The guest has not found its devices"), vm.GuestProblem]] : []),
        ...(vm.CrashText ? [[_("The guest crashed"), vm.CrashText]] : []),
        ...(vm.State === "crashed" && vm.StateReason ? [[_("The machine has crashed"), vm.StateReason]] : []),
    ] as [string, string][];
    return (
        <>
            {texts.map(([title, text]) =>
                <Alert key={title} variant="warning" isInline title={title}><span className="text">{printable(text)}</span></Alert>)}
            {(vm.PendingChanges || []).length > 0 &&
                <Alert variant="info" isInline title={_("Changes wait for the next start")}>{vm.PendingChanges.join(", ")}</Alert>}
        </>
    );
}

export function Detail({ vm, tab }: { vm: Item; tab: string }) {
    const tabs: [string, string, React.ReactElement][] = [
        ["overview", _("Overview"), <Overview key="o" vm={vm} />],
        ["console", _("Console"), <Console key="c" vm={vm} />],
        ["disks", _("Disks"), <Disks key="d" vm={vm} />],
        ["network", _("Network"), <Network key="n" vm={vm} />],
        ["checkpoints", _("Checkpoints"), <Checkpoints key="k" vm={vm} />],
        ["resources", _("Resources"), <Resources key="r" vm={vm} />],
        ["guest", _("Guest"), <Guest key="g" vm={vm} />],
        ["log", _("Log"), <Log key="l" vm={vm} />],
    ];
    const jobs = service.items(JOB).filter(job => job.VM === vm.path && ["running", "waiting"].includes(job.State));
    const shown = tabs.find(([word]) => word === tab) || tabs[0];

    return (
        <>
            <Breadcrumb>
                <BreadcrumbItem>
                    <Button variant="link" isInline onClick={() => cockpit.location.go([])}>{_("Machines")}</Button>
                </BreadcrumbItem>
                <BreadcrumbItem isActive>{vm.Name}</BreadcrumbItem>
            </Breadcrumb>
            <Toolbar>
                <ToolbarContent>
                    <ToolbarItem><Title headingLevel="h1">{vm.Name}</Title></ToolbarItem>
                    <ToolbarItem alignSelf="center"><StateLabel state={vm.State} /></ToolbarItem>
                    <ToolbarItem align={{ default: "alignEnd" }}>
                        <Actions vm={vm} afterDelete={() => cockpit.location.go([])} />
                    </ToolbarItem>
                </ToolbarContent>
            </Toolbar>
            <Problems vm={vm} />
            {jobs.length > 0 && <Jobs jobs={jobs} />}
            <Tabs activeKey={shown[0]} aria-label={_("Parts of the machine")} mountOnEnter unmountOnExit
                onSelect={(_event, key) => cockpit.location.go(["vm", vm.UUID, String(key)])}>
                {tabs.map(([word, text, element]) => (
                    <Tab key={word} eventKey={word} title={<TabTitleText>{text}</TabTitleText>}>
                        <section style={{ paddingBlockStart: "1rem" }} aria-label={text}>{element}</section>
                    </Tab>
                ))}
            </Tabs>
        </>
    );
}
