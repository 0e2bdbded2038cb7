/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* All machines that the user may see, as they are now. */
import { useEffect, useRef, useState } from "react";
import { Alert } from "@patternfly/react-core/dist/esm/components/Alert";
import { Button } from "@patternfly/react-core/dist/esm/components/Button";
import { EmptyState, EmptyStateBody } from "@patternfly/react-core/dist/esm/components/EmptyState";
import { SearchInput } from "@patternfly/react-core/dist/esm/components/SearchInput";
import { Title } from "@patternfly/react-core/dist/esm/components/Title";
import { Toolbar, ToolbarContent, ToolbarItem } from "@patternfly/react-core/dist/esm/components/Toolbar";
import { Table, Tbody, Td, Th, Thead, Tr } from "@patternfly/react-table/dist/esm/components/Table";

import { Actions } from "./actions";
import { Create } from "./create";
import { bytes, Counters, load, printable } from "./format";
import { VM } from "./service";
import { _, StateLabel, useDialogs, useService } from "./shared";

const INTERVAL = 3000; /* milliseconds between two counts */

/* Of each VM, part of one CPU. Nothing is asked while the page is hidden. */
export function useLoads(): Map<string, number | null> {
    const service = useService();
    const before = useRef(new Map<string, Counters>());
    const [loads, setLoads] = useState(new Map<string, number | null>());

    useEffect(() => {
        const count = async () => {
            if (document.hidden || service.state !== "ready")
                return;
            const answer = await service.callManager("GetStatistics").catch(() => null);
            if (!answer)
                return;
            const now = new Map<string, Counters>();
            const next = new Map<string, number | null>();
            for (const vm of JSON.parse(answer[0]).vms) {
                now.set(vm.uuid, vm);
                next.set(vm.uuid, load(before.current.get(vm.uuid), vm));
            }
            before.current = now;
            setLoads(next);
        };
        count();
        const timer = setInterval(count, INTERVAL);
        return () => clearInterval(timer);
    }, [service]);
    return loads;
}

export function percent(part: number | null | undefined): string {
    return part === null || part === undefined ? "" : `${Math.round(part * 100)} %`;
}

export function MachineList() {
    const service = useService();
    const show = useDialogs();
    const loads = useLoads();
    const [wanted, setWanted] = useState("");
    const all = service.items(VM).sort((a, b) => a.Name.localeCompare(b.Name));
    const vms = all.filter(vm => (vm.Name + " " + (vm.Tags || []).join(" ")).toLowerCase()
            .includes(wanted.toLowerCase()));
    const broken = service.manager.BrokenDefinitions || [];

    return (
        <>
            <Toolbar>
                <ToolbarContent>
                    <ToolbarItem><Title headingLevel="h1">{_("Machines")}</Title></ToolbarItem>
                    <ToolbarItem>
                        <SearchInput aria-label={_("Filter by name or tag")} placeholder={_("Filter by name or tag")}
                            value={wanted} onChange={(_event, text) => setWanted(text)} onClear={() => setWanted("")} />
                    </ToolbarItem>
                    <ToolbarItem align={{ default: "alignEnd" }}>
                        <Button onClick={() => show(<Create />)}>{_("Create machine")}</Button>
                    </ToolbarItem>
                </ToolbarContent>
            </Toolbar>
            {broken.map(([name, path, line, key, why]: [string, string, number, string, string]) => (
                <Alert key={path} variant="warning" isInline title={cockpit.format(_("The definition of $0 is broken"), name)}>
                    {[path, line || "", key, why].filter(Boolean).join(": ")}
                </Alert>
            ))}
            {all.length === 0
                ? (
                    <EmptyState titleText={_("No machines yet")} headingLevel="h2">
                        <EmptyStateBody>{_("Those that you create, or may see, are listed here.")}</EmptyStateBody>
                    </EmptyState>
                )
                : (
                    <Table aria-label={_("Machines")} variant="compact">
                        <Thead>
                            <Tr>
                                <Th>{_("Name")}</Th><Th>{_("State")}</Th><Th>{_("Load")}</Th><Th>{_("Memory")}</Th>
                                <Th>{_("Address")}</Th><Th>{_("Owner")}</Th>
                                <Th screenReaderText={_("Actions")} />
                            </Tr>
                        </Thead>
                        <Tbody>
                            {vms.map(vm => (
                                <Tr key={vm.UUID} data-vm={vm.Name}>
                                    <Td dataLabel={_("Name")}>
                                        <Button variant="link" isInline
                                            onClick={() => cockpit.location.go(["vm", vm.UUID])}>{vm.Name}</Button>
                                    </Td>
                                    <Td dataLabel={_("State")}><StateLabel state={vm.State} /></Td>
                                    <Td dataLabel={_("Load")}>{vm.State === "running" ? percent(loads.get(vm.UUID)) : ""}</Td>
                                    <Td dataLabel={_("Memory")}>{bytes(vm.MemoryAssigned || vm.Memory)}</Td>
                                    <Td dataLabel={_("Address")}>{printable((vm.Addresses || [])
                                            .map((row: string[]) => row[1]).slice(0, 2)
                                            .join(", "))}</Td>
                                    <Td dataLabel={_("Owner")}>{vm.Owner}</Td>
                                    <Td className="actions"><Actions vm={vm} /></Td>
                                </Tr>
                            ))}
                        </Tbody>
                    </Table>
                )}
        </>
    );
}
