/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Standard input and output of a program on the host, in the shape of a WebSocket, as noVNC takes it. */
export class Stream {
    binaryType = "arraybuffer";
    protocol = "";
    readyState = "connecting";
    onopen: (() => void) | null = null;
    onmessage: ((event: { data: ArrayBuffer }) => void) | null = null;
    onclose: ((event: object) => void) | null = null;
    onerror: (() => void) | null = null;
    onproblem: ((problem: CockpitError) => void) | null = null;
    private channel: CockpitChannel;

    constructor(words: string[]) {
        this.channel = cockpit.channel({ payload: "stream", spawn: words, binary: true, superuser: "try", err: "message" });
        this.channel.addEventListener("ready", () => {
            this.readyState = "open";
            this.onopen?.();
        });
        this.channel.addEventListener("message", (_event, data: Uint8Array) => {
            const copy = Uint8Array.from(data);
            this.onmessage?.({ data: copy.buffer });
        });
        this.channel.addEventListener("close", (_event, options) => {
            this.readyState = "closed";
            if (options.problem || options.message)
                this.onproblem?.({ message: options.message || options.problem, problem: options.problem });
            this.onclose?.({ code: options.problem ? 1006 : 1000, reason: options.message || "", wasClean: !options.problem });
        });
    }

    send(data: Uint8Array | ArrayBuffer) {
        this.channel.send(data instanceof Uint8Array ? data : new Uint8Array(data));
    }

    close() {
        this.readyState = "closing";
        this.channel.close();
    }
}
