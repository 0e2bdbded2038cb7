/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Workers' units: what is asked of systemd and of systemd-machined, and what they answer.
 *
 * StartTransientUnit() answers when the unit's start is queued; that it is done, and the worker in
 * it, is told by the signal JobRemoved. A unit has one call under way at a time whose answer
 * matters: a later one takes the place of the earlier, whose answer nobody waits for then.
 */
#include "vmms/units/units.h"

#include "common/base/list.h"
#include "common/base/log.h"
#include "common/base/text.h"
#include "vmms/base/bus_connection.h"
#include "vmms/units/machine_name.h"
#include "vmms/units/unit_properties.h"
#include "vmms/units/units.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-id128.h>

#define SYSTEMD          "org.freedesktop.systemd1"
#define SYSTEMD_PATH     "/org/freedesktop/systemd1"
#define SYSTEMD_MANAGER  SYSTEMD ".Manager"
#define SYSTEMD_SCOPE    SYSTEMD ".Scope"
#define SYSTEMD_UNIT     SYSTEMD ".Unit"
#define MACHINED         "org.freedesktop.machine1"
#define MACHINED_PATH    "/org/freedesktop/machine1"
#define MACHINED_MANAGER MACHINED ".Manager"

/* How a unit has ended. */
#define QUESTIONS_MAX     50
#define QUESTION_INTERVAL 100000 /* microseconds */

struct units {
	sd_event *loop;
	const struct dbus_settings *settings; /* NULL: no units are used */
	sd_bus *bus;                          /* NULL: not connected */
	struct list list;                     /* of struct unit */
};

struct unit {
	struct list link;
	struct units *units;
	const struct unit_callbacks *callbacks;
	void *owner;
	pid_t process;
	char vm[DEFINITION_NAME_MAX + 1];
	char name[UNIT_NAME_SIZE];
	char problem[UNIT_PROBLEM_MAX];
	bool starting, up;
	sd_bus_slot *call;             /* NULL: none is under way */
	sd_event_source *timer;        /* of the next question; NULL: none */
	unsigned questions;            /* asked in vain */
	struct definition *definition; /* whose limits it is to have; while it is starting */
	bool stale;                    /* those that it was begun with are others */
};

/* ---- The connection ---- */

static int units_job_removed(sd_bus_message *message, void *data, sd_bus_error *error);

static void units_disconnect(struct units *units)
{
	units->bus = sd_bus_flush_close_unref(units->bus);
}

static int units_connect_bus(struct units *units)
{
	int r;

	r = dbus_open(units->settings, false, &units->bus);
	if (r >= 0)
		r = sd_bus_match_signal_async(units->bus, NULL, SYSTEMD, SYSTEMD_PATH,
					      SYSTEMD_MANAGER, "JobRemoved", units_job_removed,
					      NULL, units);
	if (r >= 0)
		r = sd_bus_attach_event(units->bus, units->loop, SD_EVENT_PRIORITY_NORMAL);
	return r < 0 ? r : 0;
}

/* Also again, after the bus was gone. */
static int units_have_bus(struct units *units)
{
	int r;

	if (units->bus && sd_bus_is_open(units->bus) > 0)
		return 0;
	units_disconnect(units);
	r = units_connect_bus(units);
	if (r < 0)
		units_disconnect(units);
	return r;
}

static bool units_want_units(const struct dbus_settings *settings, enum units_mode mode)
{
	if (mode == UNITS_AUTO)
		return settings->scope == DBUS_SYSTEM && sd_booted() > 0;
	return mode == UNITS_ALWAYS;
}

int units_new(sd_event *loop, const struct dbus_settings *bus, enum units_mode mode,
	      struct units **ret_units)
{
	struct units *units = calloc(1, sizeof(*units));

	if (!units)
		return -ENOMEM;
	units->loop = sd_event_ref(loop);
	units->settings = units_want_units(bus, mode) ? bus : NULL;
	list_init(&units->list);
	*ret_units = units;
	return 0;
}

void units_free(struct units *units)
{
	if (!units)
		return;
	units_disconnect(units);
	sd_event_unref(units->loop);
	free(units);
}

bool units_are_used(const struct units *units)
{
	return units->settings != NULL;
}

/* ---- Calls ---- */

int units_new_call(struct units *units, const char *method, sd_bus_message **ret_call)
{
	int r = units_have_bus(units);

	if (r < 0)
		return r;
	return sd_bus_message_new_method_call(units->bus, ret_call, SYSTEMD, SYSTEMD_PATH,
					      SYSTEMD_MANAGER, method);
}

/* Sends, if all went well until then. answered: NULL: nobody waits for the answer. */
static int units_send_call(struct unit *unit, sd_bus_message *call, int r,
			   sd_bus_message_handler_t answered)
{
	if (r >= 0 && !answered)
		r = sd_bus_message_set_expect_reply(call, false);
	if (r >= 0 && answered) {
		unit->call = sd_bus_slot_unref(unit->call);
		r = sd_bus_call_async(unit->units->bus, &unit->call, call, answered, unit, 0);
	} else if (r >= 0) {
		r = sd_bus_send(unit->units->bus, call, NULL);
	}
	sd_bus_message_unref(call);
	return r < 0 ? r : 0;
}

static void units_set_problem(struct unit *unit, const char *what, const char *why)
{
	char text[UNIT_PROBLEM_MAX];

	snprintf(text, sizeof(text), "%s: %s", what, why);
	text_repair(unit->problem, sizeof(unit->problem), text, strlen(text));
	unit->callbacks->changed(unit->owner);
}

static void units_set_up(struct unit *unit)
{
	unit->starting = false;
	unit->up = true;
	unit->problem[0] = '\0';
	unit->callbacks->changed(unit->owner);
}

/* ---- Life ---- */

int unit_new(struct units *units, const char *vm, pid_t process,
	     const struct unit_callbacks *callbacks, void *owner, struct unit **ret_unit)
{
	struct unit *unit = calloc(1, sizeof(*unit));

	if (!unit)
		return -ENOMEM;
	unit->units = units;
	unit->callbacks = callbacks;
	unit->owner = owner;
	unit->process = process;
	snprintf(unit->vm, sizeof(unit->vm), "%s", vm);
	/* All that a VM's name may hold, a unit's may. */
	snprintf(unit->name, sizeof(unit->name), "vmms-%s-%d.scope", vm, process);
	list_append(&units->list, &unit->link);
	*ret_unit = unit;
	return 0;
}

void unit_free(struct unit *unit)
{
	if (!unit)
		return;
	list_unlink(&unit->link);
	sd_bus_slot_unref(unit->call);
	sd_event_source_disable_unref(unit->timer);
	definition_free(unit->definition);
	free(unit);
}

const char *unit_name(const struct unit *unit)
{
	return unit->name;
}

bool unit_is_up(const struct unit *unit)
{
	return unit->up;
}

const char *unit_problem(const struct unit *unit)
{
	return unit->problem;
}

/* ---- Limits ---- */

static int units_limited(sd_bus_message *reply, void *data, sd_bus_error *error)
{
	struct unit *unit = data;
	const sd_bus_error *why = sd_bus_message_get_error(reply);

	unit->call = sd_bus_slot_unref(unit->call);
	if (why)
		units_set_problem(unit, "systemd does not take the limits", why->message);
	else
		units_set_up(unit);
	return 0;
}

static int units_limit(struct unit *unit, const struct definition *definition)
{
	sd_bus_message *call = NULL;
	int r;

	r = units_new_call(unit->units, "SetUnitProperties", &call);
	if (r >= 0)
		r = sd_bus_message_append(call, "sb", unit->name, true);
	if (r >= 0)
		r = sd_bus_message_open_container(call, 'a', "(sv)");
	if (r >= 0)
		r = unit_properties_append_limits(call, definition);
	if (r >= 0)
		r = sd_bus_message_close_container(call);
	return units_send_call(unit, call, r, units_limited);
}

void unit_limit(struct unit *unit, const struct definition *definition)
{
	int r = 0;

	if (unit->up) {
		r = units_limit(unit, definition);
	} else if (unit->starting) {
		definition_free(TAKE_PTR(unit->definition));
		r = definition_copy(definition, &unit->definition);
		unit->stale = true;
	}
	if (r < 0)
		units_set_problem(unit, "systemd cannot be asked for limits", strerror(-r));
}

/* ---- Opening ---- */

static void units_opened(struct unit *unit)
{
	CLEANUP(definition_freep) struct definition *definition = TAKE_PTR(unit->definition);

	units_set_up(unit);
	if (unit->stale && definition)
		unit_limit(unit, definition);
	unit->stale = false;
}

static void units_not_opened(struct unit *unit, const char *why)
{
	unit->starting = false;
	units_set_problem(unit, "systemd makes no unit", why);
}

static int units_open_answered(sd_bus_message *reply, void *data, sd_bus_error *error)
{
	struct unit *unit = data;
	const sd_bus_error *why = sd_bus_message_get_error(reply);

	unit->call = sd_bus_slot_unref(unit->call);
	if (sd_bus_error_has_name(why, SYSTEMD_ERROR_UNIT_EXISTS)) {
		/* An earlier daemon has made it, and perhaps with other limits. */
		unit->stale = true;
		units_opened(unit);
	} else if (why) {
		units_not_opened(unit, why->message);
	}
	return 0;
}

static int units_job_removed(sd_bus_message *message, void *data, sd_bus_error *error)
{
	struct units *units = data;
	const char *name, *result;

	if (sd_bus_message_read(message, "uoss", NULL, NULL, &name, &result) < 0)
		return 0;
	list_for_each (link, &units->list) {
		struct unit *unit = container_of(link, struct unit, link);

		if (!unit->starting || strcmp(unit->name, name) != 0)
			continue;
		if (strcmp(result, "done") == 0)
			units_opened(unit);
		else
			units_not_opened(unit, result);
		return 0;
	}
	return 0;
}

static int units_append_open(sd_bus_message *call, struct unit *unit,
			     const struct definition *definition, const pid_t *processes,
			     size_t count)
{
	int r;

	r = sd_bus_message_append(call, "ss", unit->name, "fail");
	if (r >= 0)
		r = sd_bus_message_open_container(call, 'a', "(sv)");
	if (r >= 0)
		r = unit_properties_append(call, definition, processes, count,
					   unit->callbacks->ended != NULL);
	if (r >= 0)
		r = unit_properties_append_limits(call, definition);
	if (r >= 0)
		r = sd_bus_message_close_container(call);
	return r < 0 ? r : sd_bus_message_append(call, "a(sa(sv))", 0);
}

void unit_open(struct unit *unit, const struct definition *definition, const pid_t *processes,
	       size_t count)
{
	sd_bus_message *call = NULL;
	int r;

	unit->starting = true;
	r = definition_copy(definition, &unit->definition);
	if (r >= 0)
		r = units_new_call(unit->units, "StartTransientUnit", &call);
	if (r >= 0)
		r = units_append_open(call, unit, definition, processes, count);
	r = units_send_call(unit, call, r, units_open_answered);
	if (r < 0)
		units_not_opened(unit, strerror(-r));
}

/* ---- The end ---- */

static void units_forget_failed(struct unit *unit)
{
	sd_bus_message *call = NULL;
	int r;

	r = units_new_call(unit->units, "ResetFailedUnit", &call);
	if (r >= 0)
		r = sd_bus_message_append(call, "s", unit->name);
	(void)units_send_call(unit, call, r, NULL);
}

static void units_get_property(struct unit *unit, const char *interface, const char *property,
			       sd_bus_message_handler_t answered)
{
	sd_bus_message *call = NULL;
	AUTO_FREE char *path = NULL;
	int r;

	r = units_have_bus(unit->units);
	if (r >= 0)
		r = sd_bus_path_encode(SYSTEMD_PATH "/unit", unit->name, &path);
	if (r >= 0)
		r = sd_bus_message_new_method_call(unit->units->bus, &call, SYSTEMD, path,
						   "org.freedesktop.DBus.Properties", "Get");
	if (r >= 0)
		r = sd_bus_message_append(call, "ss", interface, property);
	r = units_send_call(unit, call, r, answered);
	if (r < 0)
		log_debug("VM %s: its unit cannot be asked about its end: %s", unit->vm,
			  strerror(-r));
}

static int units_result_answered(sd_bus_message *reply, void *data, sd_bus_error *error)
{
	struct unit *unit = data;
	const char *result;

	unit->call = sd_bus_slot_unref(unit->call);
	if (sd_bus_message_is_method_error(reply, NULL) ||
	    sd_bus_message_read(reply, "v", "s", &result) < 0)
		return 0;
	units_forget_failed(unit);
	unit->callbacks->ended(unit->owner, result);
	return 0;
}

static int units_ask_again(sd_event_source *source, uint64_t usec, void *data);

/* The kernel tells systemd a little later than us what has become of a worker. */
static void units_state_is(struct unit *unit, const char *state)
{
	if (strcmp(state, "failed") == 0)
		units_get_property(unit, SYSTEMD_SCOPE, "Result", units_result_answered);
	else if (strcmp(state, "inactive") != 0 && unit->questions++ < QUESTIONS_MAX)
		(void)sd_event_add_time_relative(unit->units->loop, &unit->timer, CLOCK_MONOTONIC,
						 QUESTION_INTERVAL, 0, units_ask_again, unit);
}

static int units_state_answered(sd_bus_message *reply, void *data, sd_bus_error *error)
{
	struct unit *unit = data;
	const char *state;

	unit->call = sd_bus_slot_unref(unit->call);
	if (!sd_bus_message_is_method_error(reply, NULL) &&
	    sd_bus_message_read(reply, "v", "s", &state) >= 0)
		units_state_is(unit, state);
	return 0;
}

static int units_ask_again(sd_event_source *source, uint64_t usec, void *data)
{
	struct unit *unit = data;

	unit->timer = sd_event_source_disable_unref(unit->timer);
	units_get_property(unit, SYSTEMD_UNIT, "ActiveState", units_state_answered);
	return 0;
}

void unit_ask_result(struct unit *unit)
{
	unit->starting = unit->up = false;
	units_get_property(unit, SYSTEMD_UNIT, "ActiveState", units_state_answered);
}

/* ---- systemd-machined ---- */

static int units_registered(sd_bus_message *reply, void *data, sd_bus_error *error)
{
	const sd_bus_error *why = sd_bus_message_get_error(reply);

	if (why)
		log_debug("a VM is not registered with systemd-machined: %s", why->message);
	return 0;
}

static int units_append_machine(sd_bus_message *call, const struct unit *unit,
				const struct definition *definition, const int *netifs,
				size_t count)
{
	char name[MACHINE_NAME_SIZE], uuid[GUID_TEXT_SIZE];
	sd_id128_t id;
	int r;

	machine_name_make(unit->vm, &definition->uuid, name);
	guid_format(&definition->uuid, uuid);
	r = sd_id128_from_string(uuid, &id);
	if (r >= 0)
		r = sd_bus_message_append(call, "s", name);
	if (r >= 0)
		r = sd_bus_message_append_array(call, 'y', &id, sizeof(id));
	if (r >= 0)
		r = sd_bus_message_append(call, "ssus", "vmms", "vm", (uint32_t)unit->process, "");
	return r < 0 ? r : sd_bus_message_append_array(call, 'i', netifs, count * sizeof(*netifs));
}

void unit_register_machine(struct unit *unit, const struct definition *definition,
			   const int *netifs, size_t count)
{
	sd_bus_message *call = NULL;
	int r;

	r = units_have_bus(unit->units);
	if (r >= 0)
		r = sd_bus_message_new_method_call(unit->units->bus, &call, MACHINED, MACHINED_PATH,
						   MACHINED_MANAGER, "RegisterMachineWithNetwork");
	if (r >= 0)
		r = units_append_machine(call, unit, definition, netifs, count);
	if (r >= 0)
		r = sd_bus_call_async(unit->units->bus, NULL, call, units_registered, NULL, 0);
	sd_bus_message_unref(call);
	if (r < 0)
		log_debug("VM %s: systemd-machined cannot be asked: %s", unit->vm, strerror(-r));
}
