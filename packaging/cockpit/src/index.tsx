/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The page: where one is in it, and what is shown there. */
import { useEffect, useState } from "react";
import { createRoot } from "react-dom/client";
import "@patternfly/react-core/dist/styles/base.css";
import { Alert } from "@patternfly/react-core/dist/esm/components/Alert";
import { EmptyState, EmptyStateBody } from "@patternfly/react-core/dist/esm/components/EmptyState";
import { Nav, NavItem, NavList } from "@patternfly/react-core/dist/esm/components/Nav";
import { Page, PageSection } from "@patternfly/react-core/dist/esm/components/Page";
import { Spinner } from "@patternfly/react-core/dist/esm/components/Spinner";
import "./index.css";

import { Detail } from "./detail";
import { Host } from "./host";
import { JobList } from "./jobs";
import { MachineList } from "./list";
import { _, Dialogs, Failure, useService } from "./shared";
import { SwitchList } from "./switches";
import { VM } from "./service";

function usePath(): string[] {
    const [path, setPath] = useState(cockpit.location.path);
    useEffect(() => {
        const moved = () => setPath(cockpit.location.path);
        cockpit.addEventListener("locationchanged", moved);
        return () => cockpit.removeEventListener("locationchanged", moved);
    }, []);
    return path;
}

function Content({ path }: { path: string[] }) {
    const service = useService();

    if (path[0] === "switches")
        return <SwitchList />;
    if (path[0] === "jobs")
        return <JobList />;
    if (path[0] === "host")
        return <Host />;
    if (path[0] === "vm") {
        const vm = service.items(VM).find(item => item.UUID === path[1]);
        return vm ? <Detail key={vm.UUID} vm={vm} tab={path[2] || "overview"} />
            : <Alert variant="info" isInline title={_("There is no such machine, or it is another's")} />;
    }
    return <MachineList />;
}

function App() {
    const service = useService();
    const path = usePath();
    const places: [string, string][] = [["", _("Machines")], ["switches", _("Switches")], ["jobs", _("Jobs")],
        ["host", _("Host")]];
    const here = path[0] === "vm" ? "" : path[0] || "";

    if (service.state === "connecting")
        return <PageSection><Spinner aria-label={_("Connecting to vmms")} /></PageSection>;
    if (service.state === "refused")
        return (
            <EmptyState titleText={_("You may not see virtual machines here")} headingLevel="h1">
                <EmptyStateBody>
                    <p>{_("Members of the group of vmms have machines of their own; administrative access shows all.")}</p>
                    <Failure error={service.problem} />
                </EmptyStateBody>
            </EmptyState>
        );
    if (service.state === "absent")
        return (
            <EmptyState titleText={_("vmms does not run")} headingLevel="h1">
                <EmptyStateBody>
                    <p>{_("It is started by: systemctl enable --now vmms")}</p>
                    <Failure error={service.problem} />
                </EmptyStateBody>
            </EmptyState>
        );
    return (
        <Dialogs>
            <Page className="no-masthead-sidebar">
                <PageSection hasBodyWrapper={false} type="subnav" padding={{ default: "noPadding" }}>
                    <Nav variant="horizontal-subnav" aria-label={_("Parts of this page")}>
                        <NavList>
                            {places.map(([word, text]) => (
                                <NavItem key={word} isActive={here === word} preventDefault
                                    to={`#/${word}`} onClick={() => cockpit.location.go(word ? [word] : [])}>
                                    {text}
                                </NavItem>
                            ))}
                        </NavList>
                    </Nav>
                </PageSection>
                <PageSection hasBodyWrapper={false} isFilled>
                    <Content path={path} />
                </PageSection>
            </Page>
        </Dialogs>
    );
}

/* Light or dark, as the shell around the page says. */
function followStyle() {
    const dark = window.matchMedia("(prefers-color-scheme: dark)");
    const set = () => {
        const style = localStorage.getItem("shell:style") || "auto";
        document.documentElement.classList.toggle("pf-v6-theme-dark",
            style === "dark" || (style === "auto" && dark.matches));
    };
    window.addEventListener("storage", event => { if (event.key === "shell:style") set() });
    window.addEventListener("cockpit-style", set);
    dark.addEventListener("change", set);
    set();
}

followStyle();
document.title = _("Hyper-V machines");
document.documentElement.lang = (cockpit.language || "en").replace("_", "-");
cockpit.transport.wait(() => createRoot(document.getElementById("app")!).render(<App />));
