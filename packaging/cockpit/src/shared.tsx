/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the parts of the page share: the service, dialogs, errors, and small texts. */
import React, { createContext, useContext, useEffect, useId, useState } from "react";
import { Alert } from "@patternfly/react-core/dist/esm/components/Alert";
import { Button } from "@patternfly/react-core/dist/esm/components/Button";
import { Form, FormGroup, FormHelperText } from "@patternfly/react-core/dist/esm/components/Form";
import { FormSelect, FormSelectOption } from "@patternfly/react-core/dist/esm/components/FormSelect";
import { HelperText, HelperTextItem } from "@patternfly/react-core/dist/esm/components/HelperText";
import { Label } from "@patternfly/react-core/dist/esm/components/Label";
import { Modal, ModalBody, ModalFooter, ModalHeader } from "@patternfly/react-core/dist/esm/components/Modal";
import { TextInput } from "@patternfly/react-core/dist/esm/components/TextInput";

import { explain } from "./format";
import { Service } from "./service";

export const _ = cockpit.gettext;

/* ---- The service ---- */

export const service = new Service();

/* Draws anew whenever an object has changed. */
export function useService(): Service {
    const [, draw] = useState(0);
    useEffect(() => service.onChange(() => draw(count => count + 1)), []);
    return service;
}

/* What a call returns, read again whenever one of the reasons has changed. */
export function useAnswer<T>(ask: () => Promise<T>, reasons: unknown[]):
    { answer: T | undefined; error: unknown; again: () => void } {
    const [answer, setAnswer] = useState<T | undefined>();
    const [error, setError] = useState<unknown>(null);
    const [count, setCount] = useState(0);

    useEffect(() => {
        let current = true;
        ask().then(value => { if (current) { setAnswer(value); setError(null) } })
                .catch(why => { if (current) setError(why) });
        return () => { current = false };
        // eslint-disable-next-line
    }, [...reasons, count]);
    return { answer, error, again: () => setCount(number => number + 1) };
}

/* ---- Errors ---- */

export function Failure({ error, title }: { error: unknown; title?: string }) {
    if (!error)
        return null;
    const { message, kind } = explain(error);
    return (
        <Alert variant="danger" isInline title={title || _("That failed")} className="failure" role="alert">
            <p>{message}</p>
            {kind && <small>{kind}</small>}
        </Alert>
    );
}

/* ---- Dialogs: one at a time ---- */

type Show = (dialog: React.ReactElement | null) => void;
const DialogContext = createContext<Show>(() => {});

export function Dialogs({ children }: { children: React.ReactNode }) {
    const [dialog, show] = useState<React.ReactElement | null>(null);
    return <DialogContext.Provider value={show}>{children}{dialog}</DialogContext.Provider>;
}

export function useDialogs(): Show {
    return useContext(DialogContext);
}

/*
 * A question with an answer that may fail: what vmms says then is shown in the dialog, which stays.
 */
export function Question({ title, label, children, act, danger, disabled, wide }: {
    title: string;
    label: string;
    children?: React.ReactNode;
    act: () => Promise<unknown>;
    danger?: boolean;
    disabled?: boolean;
    wide?: boolean;
}) {
    const show = useDialogs();
    const [busy, setBusy] = useState(false);
    const [error, setError] = useState<unknown>(null);

    const answer = async () => {
        setBusy(true);
        setError(null);
        try {
            await act();
            show(null);
        } catch (why) {
            setError(why);
            setBusy(false);
        }
    };
    return (
        <Modal isOpen variant={wide ? "large" : "medium"} onClose={() => show(null)} aria-labelledby="question-title"
            aria-describedby="question-body">
            <ModalHeader title={title} labelId="question-title" />
            <ModalBody id="question-body">
                <Form onSubmit={event => { event.preventDefault(); if (!busy && !disabled) answer() }}>
                    {children}
                    {/* Return answers, also where there are several fields. */}
                    <button type="submit" hidden />
                </Form>
                <Failure error={error} />
            </ModalBody>
            <ModalFooter>
                <Button variant={danger ? "danger" : "primary"} isLoading={busy} isDisabled={busy || disabled}
                    onClick={answer}>{label}</Button>
                <Button variant="link" onClick={() => show(null)}>{_("Cancel")}</Button>
            </ModalFooter>
        </Modal>
    );
}

/* ---- Fields ---- */

export function Field({ label, value, onChange, help, type = "text", required, invalid }: {
    label: string;
    value: string;
    onChange: (value: string) => void;
    help?: string;
    type?: "text" | "number";
    required?: boolean;
    invalid?: boolean;
}) {
    const id = useId();
    return (
        <FormGroup label={label} fieldId={id} isRequired={required}>
            <TextInput id={id} value={value} type={type} isRequired={required}
                validated={invalid ? "error" : "default"} aria-describedby={help ? `${id}-help` : undefined}
                onChange={(_event, text) => onChange(text)} />
            {help &&
                <FormHelperText>
                    <HelperText>
                        <HelperTextItem id={`${id}-help`} variant={invalid ? "error" : "default"}>{help}</HelperTextItem>
                    </HelperText>
                </FormHelperText>}
        </FormGroup>
    );
}

export function Choice({ label, value, onChange, options }: {
    label: string;
    value: string;
    onChange: (value: string) => void;
    options: [string, string][];
}) {
    const id = useId();
    return (
        <FormGroup label={label} fieldId={id}>
            <FormSelect id={id} value={value} onChange={(_event, choice) => onChange(choice)}>
                {options.map(([word, text]) => <FormSelectOption key={word} value={word} label={text} />)}
            </FormSelect>
        </FormGroup>
    );
}

/* ---- States ---- */

export function stateText(state: string): string {
    const texts: Record<string, string> = {
        off: _("off"), starting: _("starting"), running: _("running"), paused: _("paused"),
        stopping: _("stopping"), saving: _("saving"), saved: _("saved"), crashed: _("crashed"), kept: _("kept"),
        up: _("up"), down: _("down"), done: _("done"), failed: _("failed"), cancelled: _("cancelled"),
        waiting: _("waiting"),
    };
    return texts[state] || state;
}

export function StateLabel({ state }: { state: string }) {
    const colors: Record<string, "green" | "red" | "blue" | "orange" | "grey"> = {
        running: "green", up: "green", done: "green", crashed: "red", kept: "red", failed: "red", down: "orange",
        paused: "orange", starting: "blue", stopping: "blue", saving: "blue", waiting: "blue",
    };
    return <Label color={colors[state] || "grey"} className={`state-${state}`}>{stateText(state)}</Label>;
}

export function when(microseconds: number): string {
    return microseconds ? new Date(microseconds / 1000).toLocaleString(cockpit.language?.replace("_", "-") || "en") : "";
}
