/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Moving a machine to another host: by vmctl, which makes the connection by ssh, as descriptors do
 * not pass through Cockpit's bridge.
 */
import { useRef, useState } from "react";
import { Button } from "@patternfly/react-core/dist/esm/components/Button";

import { Item } from "./service";
import { _, Failure, Field, Question } from "./shared";

export function Migrate({ vm }: { vm: Item }) {
    const [host, setHost] = useState("");
    const [said, setSaid] = useState("");
    const [error, setError] = useState<unknown>(null);
    const running = useRef<CockpitPromise<string> | null>(null);

    const run = async (...options: string[]) => {
        const process = cockpit.spawn(["vmctl", "migrate", ...options, "--", vm.UUID, host],
            { superuser: "try", err: "message" }) as CockpitPromise<string>;
        running.current = process;
        process.stream(text => setSaid(before => before + text));
        try {
            await process;
        } finally {
            running.current = null;
        }
    };
    const check = () => {
        setSaid("");
        setError(null);
        run("--check").catch(setError);
    };
    return (
        <Question title={cockpit.format(_("Move $0 to another host"), vm.Name)} label={_("Move")} disabled={!host}
            act={() => { setSaid(""); setError(null); return run() }}>
            <p>{_("The guest runs on meanwhile. Both hosts have to reach the images of its disks at the same paths.")}</p>
            <Field label={_("Host, such as root@host")} value={host} onChange={setHost} required
                help={_("It is reached by ssh, without a password")} />
            <div className="bar">
                <Button variant="secondary" isDisabled={!host} onClick={check}>{_("Only check")}</Button>
                <Button variant="secondary" onClick={() => running.current?.close("cancelled")}>{_("Stop")}</Button>
            </div>
            <Failure error={error} title={_("Something is in the way")} />
            {said && <pre className="text" aria-live="polite">{said}</pre>}
        </Question>
    );
}
