/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The host's service manager, systemd, as far as VMs have to do with it: each worker is put into a
 * transient unit, where its VM is limited, seen, and ended when the host shuts down.
 *
 * A unit is a scope, not a service: the worker is spawned by us, with its socket, as where there is
 * no systemd, and is in its unit some milliseconds later; no start waits for that. The scope is
 * vmms-NAME-PID.scope in vmms.slice: another one each time, so that one which remains is in
 * nobody's way. It belongs to systemd: it outlives this process, and goes with the last process in
 * it.
 *
 * What comes to a VM that runs cannot join it there: systemd adds processes to delegated units
 * alone, and of those systemd 252 does not notice that they ran out of memory
 * (vmms/units/unit_properties.c). It gets a scope of its own, beside the worker's and with the same
 * limits.
 *
 * Calls are made on a connection of its own, and nothing here blocks. Thread: the event loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/cleanup.h"
#include "common/definition/definition.h"
#include "vmms/units/owner_slice.h"
#include "vmms/units/quota.h"
#include "vmms/units/slice_name.h"
#include "vmms/units/unit_properties.h"

#include <stdbool.h>
#include <sys/types.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

struct dbus_settings;
struct units;
struct unit;

enum units_mode {
	UNITS_AUTO, /* where systemd runs, and we are on the system bus */
	UNITS_ALWAYS,
	UNITS_NEVER,
};

/* Of limits, where no units are used. */
#define UNITS_NOBODY_ENFORCES "without systemd there is nobody to enforce them"

#define UNIT_NAME_SIZE   128
#define UNIT_PROBLEM_MAX 512

/* bus: on which systemd is asked; borrowed. Return: 0, -errno. */
int units_new(sd_event *loop, const struct dbus_settings *bus, enum units_mode mode,
	      struct units **ret_units) MUST_CHECK;
void units_free(struct units *units);
DEFINE_CLEANUP(struct units *, units_free)

/* Workers are put into units. */
bool units_are_used(const struct units *units);

/* ---- One unit ---- */

struct unit_callbacks {
	/* The worker is in its unit, or cannot be, or its limits are others: unit_problem(). */
	void (*changed)(void *owner);

	/*
	 * Why the unit ended, by unit_ask_result(): "oom-kill", "timeout", … NULL: nobody asks, and
	 * systemd forgets the unit by itself.
	 */
	void (*ended)(void *owner, const char *result);
};

/*
 * The unit of a VM's worker, or of another process of a VM, which need not be in it, or be any
 * more. process: its PID. callbacks: borrowed. Return: 0, -ENOMEM.
 */
int unit_new(struct units *units, const char *vm, pid_t process,
	     const struct unit_callbacks *callbacks, void *owner,
	     struct unit **ret_unit) MUST_CHECK;

/* Forgets it: nothing happens to what is in it. */
void unit_free(struct unit *unit);
DEFINE_CLEANUP(struct unit *, unit_free)

const char *unit_name(const struct unit *unit);

/* The process is in it. */
bool unit_is_up(const struct unit *unit);

/* Why limits are not in force; "": they are, or will be in a moment. */
const char *unit_problem(const struct unit *unit);

/*
 * Puts these processes, its own among them, into the unit, with the limits of the definition. A
 * unit that is there already, since an earlier daemon made it, gets the limits. changed() tells.
 */
void unit_open(struct unit *unit, const struct definition *definition, const pid_t *processes,
	       size_t count);

/* The limits are those of this definition now. changed() tells, if the unit is up. */
void unit_limit(struct unit *unit, const struct definition *definition);

/*
 * The VM shows in machinectl(1), if systemd-machined(8) runs; it notices the end of the unit by
 * itself. netifs: indexes of the VM's interfaces on the host.
 */
void unit_register_machine(struct unit *unit, const struct definition *definition,
			   const int *netifs, size_t count);

/*
 * The worker has ended: ended() tells the unit's result when it has failed, as systemd may find
 * some moments later; systemd forgets such a unit then.
 */
void unit_ask_result(struct unit *unit);

/* ---- For who asks systemd for other units, as CPU groups for slices ---- */

#define SYSTEMD_ERROR_UNIT_EXISTS "org.freedesktop.systemd1.UnitExists"

/*
 * A call of a method of systemd's manager, for the caller to append to, to send and to unreference.
 * The connection is made if there is none. Return: 0; -errno.
 */
int units_new_call(struct units *units, const char *method, sd_bus_message **ret_call) MUST_CHECK;
