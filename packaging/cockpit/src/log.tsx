/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What happened to a machine, and what happens now. */
import { useEffect, useState } from "react";
import { Table, Tbody, Td, Th, Thead, Tr } from "@patternfly/react-table/dist/esm/components/Table";

import { printable } from "./format";
import { Item, LogEntry, VM } from "./service";
import { _, Failure, service, when } from "./shared";

const SHOWN = 500; /* events */

export function Log({ vm }: { vm: Item }) {
    const [entries, setEntries] = useState<LogEntry[]>([]);
    const [error, setError] = useState<unknown>(null);

    useEffect(() => {
        const merge = (more: LogEntry[]) => setEntries(before => {
            const known = new Map([...before, ...more].map(entry => [entry[0], entry]));
            return [...known.values()].sort((a, b) => b[0] - a[0]).slice(0, SHOWN);
        });
        const forget = service.onLogged(({ path, entry }) => { if (path === vm.path) merge([entry]) });
        service.call(vm.path, VM, "GetLog", "u", SHOWN).then(([log]) => merge(log), setError);
        return forget;
    }, [vm.path]);
    return (
        <>
            <Failure error={error} />
            <Table aria-label={cockpit.format(_("Log of $0"), vm.Name)} variant="compact">
                <Thead><Tr><Th modifier="fitContent">{_("Time")}</Th><Th modifier="fitContent">{_("Kind")}</Th><Th width={80}>{_("Event")}</Th></Tr></Thead>
                <Tbody>
                    {entries.map(([sequence, time, , kind, message]) => (
                        <Tr key={sequence}>
                            <Td dataLabel={_("Time")} className="log-time">{when(time)}</Td>
                            <Td dataLabel={_("Kind")}>{kind}</Td>
                            <Td dataLabel={_("Event")}><span className="text">{printable(message)}</span></Td>
                        </Tr>
                    ))}
                </Tbody>
            </Table>
        </>
    );
}
