/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The consoles of a machine in the page: its serial port, and its screen. */
import { useEffect, useRef, useState } from "react";
import { Button } from "@patternfly/react-core/dist/esm/components/Button";
import { EmptyState, EmptyStateBody } from "@patternfly/react-core/dist/esm/components/EmptyState";
import { ToggleGroup, ToggleGroupItem } from "@patternfly/react-core/dist/esm/components/ToggleGroup";
import RFB from "@novnc/novnc/lib/rfb.js";
import { FitAddon } from "@xterm/addon-fit";
import { Terminal } from "@xterm/xterm";
import "@xterm/xterm/css/xterm.css";

import { Stream } from "./stream";
import { Item } from "./service";
import { _, Failure } from "./shared";

const KEYS: [string, [number, string][]][] = [
    ["Ctrl+Alt+Del", [[0xffe3, "ControlLeft"], [0xffe9, "AltLeft"], [0xffff, "Delete"]]],
    ["Ctrl+Alt+F1", [[0xffe3, "ControlLeft"], [0xffe9, "AltLeft"], [0xffbe, "F1"]]],
    ["Ctrl+Alt+F2", [[0xffe3, "ControlLeft"], [0xffe9, "AltLeft"], [0xffbf, "F2"]]],
];

function Serial({ vm }: { vm: Item }) {
    const place = useRef<HTMLDivElement>(null);
    const [ended, setEnded] = useState<CockpitError | null>(null);
    const [count, setCount] = useState(0);

    useEffect(() => {
        const terminal = new Terminal({ cursorBlink: true, scrollback: 5000, screenReaderMode: true, fontFamily: "RedHatMono, monospace" });
        const fit = new FitAddon();
        terminal.loadAddon(fit);
        terminal.open(place.current!);
        fit.fit();
        const size = () => ({ rows: terminal.rows, cols: terminal.cols });
        const channel = cockpit.channel({
            payload: "stream", spawn: ["vmctl", "console", "--escape", "none", vm.Name], pty: true, window: size(),
            environ: ["TERM=xterm-256color"], superuser: "try" });
        const typed = terminal.onData(text => channel.send(text));
        channel.addEventListener("message", (_event, data) => terminal.write(data));
        channel.addEventListener("close", (_event, options) => setEnded({
            message: options.message || _("The console has ended"), problem: options.problem }));
        const sized = new ResizeObserver(() => {
            fit.fit();
            channel.control({ window: size() });
        });
        sized.observe(place.current!);
        terminal.focus();
        // Renamed meanwhile, it is the same console.
        return () => {
            sized.disconnect();
            typed.dispose();
            channel.close();
            terminal.dispose();
        };
    }, [vm.path, count]);
    return (
        <>
            {ended &&
                <>
                    <Failure error={ended} title={_("The console has ended")} />
                    <Button variant="secondary" onClick={() => { setEnded(null); setCount(count + 1) }}>{_("Connect again")}</Button>
                </>}
            <div ref={place} className="serial" role="group" aria-label={cockpit.format(_("Serial console of $0"), vm.Name)}
                style={{ height: "calc(100vh - 23rem)", minHeight: "16rem" }} />
        </>
    );
}

function Screen({ vm }: { vm: Item }) {
    const place = useRef<HTMLDivElement>(null);
    const viewer = useRef<any>(null);
    const [state, setState] = useState("connecting");
    const [error, setError] = useState<CockpitError | null>(null);
    const [count, setCount] = useState(0);

    useEffect(() => {
        const stream = new Stream(["vmctl", "view", "--socket", "-", vm.UUID]);
        const rfb = new RFB(place.current, stream, { shared: true });
        stream.onproblem = problem => setError(problem);
        rfb.scaleViewport = true;
        rfb.background = "#000";
        rfb.addEventListener("connect", () => setState("connected"));
        rfb.addEventListener("disconnect", () => setState("ended"));
        viewer.current = rfb;
        return () => {
            viewer.current = null;
            rfb.disconnect();
        };
    }, [vm.UUID, count]);
    const press = (keys: [number, string][]) => {
        keys.forEach(([sym, code]) => viewer.current?.sendKey(sym, code, true));
        [...keys].reverse().forEach(([sym, code]) => viewer.current?.sendKey(sym, code, false));
        viewer.current?.focus();
    };
    return (
        <>
            {state === "ended" &&
                <>
                    <Failure error={error || { message: _("The screen has gone") }} title={_("The screen has gone")} />
                    <Button variant="secondary" onClick={() => { setError(null); setState("connecting"); setCount(count + 1) }}>
                        {_("Connect again")}</Button>
                </>}
            <div className="bar">
                {state === "connected" && KEYS.map(([text, keys]) =>
                    <Button key={text} variant="secondary" size="sm" onClick={() => press(keys)}>{text}</Button>)}
            </div>
            <div ref={place} className="screen" data-state={state} hidden={state === "ended"} role="group"
                aria-label={cockpit.format(_("Screen of $0"), vm.Name)} />
        </>
    );
}

export function Console({ vm }: { vm: Item }) {
    const [kind, setKind] = useState("serial");
    const running = ["running", "paused", "kept"].includes(vm.State);
    return (
        <>
            <ToggleGroup aria-label={_("Which console")}>
                <ToggleGroupItem text={_("Serial")} buttonId="console-serial" isSelected={kind === "serial"}
                    onChange={() => setKind("serial")} />
                <ToggleGroupItem text={_("Screen")} buttonId="console-screen" isSelected={kind === "screen"}
                    onChange={() => setKind("screen")} />
            </ToggleGroup>
            {kind === "serial"
                ? <Serial vm={vm} />
                : running
                    ? <Screen vm={vm} />
                    : (
                        <EmptyState titleText={_("The machine does not run")} headingLevel="h2">
                            <EmptyStateBody>{_("Its screen is shown when it does.")}</EmptyStateBody>
                        </EmptyState>
                    )}
        </>
    );
}
