/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vmms on the bus: calls, and a copy of all objects that the user may see, kept true by signals.
 *
 * Nobody but this file knows how the bus is spoken to.
 */
export type Values = Record<string, any>;

export interface Item extends Values {
    path: string;
}

export const MANAGER = "org.vmms1.Manager";
export const VM = "org.vmms1.VM";
export const JOB = "org.vmms1.Job";
export const SWITCH = "org.vmms1.Switch";
const ROOT = "/org/vmms1";
const OBJECTS = "org.freedesktop.DBus.ObjectManager";
const PROPERTIES = "org.freedesktop.DBus.Properties";

export interface Logged {
    path: string;
    entry: LogEntry;
}

/* As GetLog has it: sequence, time, priority, kind, message. */
export type LogEntry = [number, number, number, string, string];

function plain(values: Values): Values {
    return Object.fromEntries(Object.entries(values).map(([name, variant]) => [name, variant.v]));
}

export class Service {
    private bus: CockpitBus;
    private objects = new Map<string, Map<string, Item>>();
    private listeners = new Set<() => void>();
    private loggers = new Set<(logged: Logged) => void>();
    private told = false;
    state: "connecting" | "ready" | "absent" | "refused" = "connecting";
    problem: CockpitError | null = null;
    manager: Values = {};

    constructor() {
        this.bus = cockpit.dbus("org.vmms1", { bus: "system", superuser: "try" });
        this.bus.subscribe({ interface: PROPERTIES, path_namespace: ROOT }, (path, _iface, _signal, args) =>
            this.changed(path, args[0], args[1], args[2]));
        this.bus.subscribe({ interface: OBJECTS, path: ROOT }, (_path, _iface, signal, args) => {
            if (signal === "InterfacesAdded")
                this.add(args[0], args[1]);
            else
                this.objects.delete(args[0]);
            this.tell();
        });
        this.bus.subscribe({ interface: VM, path_namespace: ROOT, member: "Logged" }, (path, _iface, _signal, args) =>
            this.loggers.forEach(logger => logger({ path, entry: args as LogEntry })));
        this.bus.addEventListener("owner", (_event, owner) => {
            if (owner)
                this.load();
            else
                this.lose("absent", null);
        });
        this.bus.addEventListener("close", (_event, options) =>
            this.lose("absent", { message: options?.message || options?.problem || "", problem: options?.problem }));
        this.load();
    }

    private lose(state: "absent" | "refused", problem: CockpitError | null) {
        this.state = state;
        this.problem = problem;
        this.objects.clear();
        this.tell();
    }

    /* Subscribed first, so that nothing is missed between. */
    async load() {
        try {
            await this.callManager("Subscribe").catch(why => {
                if (why.name !== "org.freedesktop.DBus.Error.UnknownMethod")
                    throw why;
            });
            const [objects] = await this.call(ROOT, OBJECTS, "GetManagedObjects");
            const [values] = await this.call(ROOT, PROPERTIES, "GetAll", "s", MANAGER);
            this.objects.clear();
            for (const path of Object.keys(objects))
                this.add(path, objects[path]);
            this.manager = plain(values);
            this.state = "ready";
            this.problem = null;
            this.tell();
        } catch (why: any) {
            const refused = /AccessDenied|InteractiveAuthorization|access-denied/.test(why.name || why.problem || "");
            this.lose(refused ? "refused" : "absent", why);
        }
    }

    private add(path: string, interfaces: Record<string, Values>) {
        const own = this.objects.get(path) || new Map<string, Item>();
        for (const [name, values] of Object.entries(interfaces)) {
            if (name.startsWith("org.vmms1."))
                own.set(name, { ...plain(values), path });
        }
        this.objects.set(path, own);
    }

    private changed(path: string, iface: string, values: Values, invalidated: string[]) {
        const item = this.objects.get(path)?.get(iface);
        if (path === ROOT && iface === MANAGER)
            this.manager = { ...this.manager, ...plain(values) };
        if (item) {
            const next = { ...item, ...plain(values) };
            // Whoever shows what is not sent along reads it again.
            if (invalidated.length)
                next.revision = (item.revision || 0) + 1;
            this.objects.get(path)!.set(iface, next);
        }
        this.tell();
    }

    /* What comes at once is shown at once, in one go. */
    private tell() {
        if (this.told)
            return;
        this.told = true;
        setTimeout(() => {
            this.told = false;
            this.listeners.forEach(listener => listener());
        }, 0);
    }

    onChange(listener: () => void) {
        this.listeners.add(listener);
        return () => { this.listeners.delete(listener) };
    }

    onLogged(logger: (logged: Logged) => void) {
        this.loggers.add(logger);
        return () => { this.loggers.delete(logger) };
    }

    items(iface: string): Item[] {
        const found: Item[] = [];
        for (const interfaces of this.objects.values()) {
            const item = interfaces.get(iface);
            if (item)
                found.push(item);
        }
        return found;
    }

    item(path: string, iface: string): Item | undefined {
        return this.objects.get(path)?.get(iface);
    }

    /* Cockpit's own promises do not take handlers that throw. */
    async call(path: string, iface: string, method: string, type = "", ...args: unknown[]): Promise<any[]> {
        return await this.bus.call(path, iface, method, args, type ? { type } : undefined);
    }

    callManager(method: string, type = "", ...args: unknown[]) {
        return this.call(ROOT, MANAGER, method, type, ...args);
    }

    async get(path: string, iface: string, property: string): Promise<any> {
        const [variant] = await this.call(path, PROPERTIES, "Get", "ss", iface, property);
        return variant.v;
    }

    /* The end of a job: its result, or its error. */
    async wait(path: string): Promise<any> {
        await this.call(path, JOB, "Wait");
        const result = await this.get(path, JOB, "Result");
        return result ? JSON.parse(result) : null;
    }
}
