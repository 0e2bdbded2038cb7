/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What vmms finds of the host, and what mends what it lacks. */
import { Button } from "@patternfly/react-core/dist/esm/components/Button";
import { Label } from "@patternfly/react-core/dist/esm/components/Label";
import { Spinner } from "@patternfly/react-core/dist/esm/components/Spinner";
import { Title } from "@patternfly/react-core/dist/esm/components/Title";
import { Toolbar, ToolbarContent, ToolbarItem } from "@patternfly/react-core/dist/esm/components/Toolbar";
import { Table, Tbody, Td, Th, Thead, Tr } from "@patternfly/react-table/dist/esm/components/Table";

import { _, Failure, useAnswer, useService } from "./shared";

interface Check { name: string; verdict: string; found: string; mend: string }

export function Host() {
    const service = useService();
    const { answer, error, again } = useAnswer(async () => {
        const [text] = await service.callManager("CheckHost");
        return JSON.parse(text) as { version: string; checks: Check[] };
    }, []);
    const texts: Record<string, string> = { ok: _("ok"), warning: _("warning"), fault: _("fault"), unknown: _("unknown") };
    const colors: Record<string, "green" | "orange" | "red" | "grey"> = { ok: "green", warning: "orange", fault: "red" };
    const order = ["fault", "warning", "unknown", "ok"];
    const checks = [...(answer?.checks || [])].sort((a, b) => order.indexOf(a.verdict) - order.indexOf(b.verdict));

    return (
        <>
            <Toolbar>
                <ToolbarContent>
                    <ToolbarItem><Title headingLevel="h1">{_("Host")}</Title></ToolbarItem>
                    <ToolbarItem alignSelf="center">{answer ? cockpit.format(_("vmms $0"), answer.version) : ""}</ToolbarItem>
                    <ToolbarItem align={{ default: "alignEnd" }}>
                        <Button variant="secondary" onClick={again}>{_("Check again")}</Button>
                    </ToolbarItem>
                </ToolbarContent>
            </Toolbar>
            <Failure error={error} />
            {!answer && !error && <Spinner aria-label={_("The host is being checked")} />}
            {answer &&
                <Table aria-label={_("Checks of the host")} variant="compact">
                    <Thead><Tr><Th>{_("Check")}</Th><Th>{_("Verdict")}</Th><Th>{_("Found")}</Th><Th>{_("What mends it")}</Th></Tr></Thead>
                    <Tbody>
                        {checks.map(check => (
                            <Tr key={check.name}>
                                <Td dataLabel={_("Check")}>{check.name}</Td>
                                <Td dataLabel={_("Verdict")}><Label color={colors[check.verdict] || "grey"}>{texts[check.verdict] || check.verdict}</Label></Td>
                                <Td dataLabel={_("Found")}>{check.found}</Td>
                                <Td dataLabel={_("What mends it")}><span className="text">{check.mend}</span></Td>
                            </Tr>
                        ))}
                    </Tbody>
                </Table>}
        </>
    );
}
