/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What this page uses of Cockpit's own library, which the host serves (base1/cockpit.js). */

interface CockpitError {
    name?: string;
    problem?: string;
    message: string;
}

interface CockpitPromise<T> extends Promise<T> {
    close(problem?: string): void;
    stream(callback: (data: string) => void): CockpitPromise<T>;
    input(data: string | null, stream?: boolean): CockpitPromise<T>;
}

interface CockpitEvents {
    addEventListener(type: string, callback: (event: Event, ...rest: any[]) => void): void;
    removeEventListener(type: string, callback: (event: Event, ...rest: any[]) => void): void;
}

interface CockpitBus extends CockpitEvents {
    call(path: string, iface: string, method: string, args: unknown[] | null,
         options?: { type?: string; timeout?: number }): Promise<any[]>;
    subscribe(match: object,
              callback: (path: string, iface: string, signal: string, args: any[]) => void): { remove(): void };
    wait(): Promise<void>;
    close(): void;
}

interface CockpitChannel extends CockpitEvents {
    ready: boolean;
    send(data: string | Uint8Array): void;
    control(options: object): void;
    close(problem?: string): void;
}

declare const cockpit: {
    gettext(text: string): string;
    ngettext(one: string, many: string, count: number): string;
    format(format: string, ...values: unknown[]): string;
    language?: string;
    location: { path: string[]; go(path: string[]): void };
    addEventListener(type: string, callback: () => void): void;
    removeEventListener(type: string, callback: () => void): void;
    dbus(name: string, options?: object): CockpitBus;
    spawn(words: string[], options?: object): CockpitPromise<any>;
    channel(options: object): CockpitChannel;
    transport: { wait(callback: () => void): void };
};

declare module "@novnc/novnc/lib/rfb.js";
