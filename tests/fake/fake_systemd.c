/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * systemd and systemd-machined on a test's bus, as far as the daemon asks them: scopes and slices
 * are made and remembered, and every call is written to standard output, a line of JSON each:
 *
 *     {"method": "StartTransientUnit", "arguments": ["vmms-a-1.scope", "fail", [["Slice", …], …],
 * []]}
 *
 * No process is moved. A scope that is asked for its state is active for two times, as systemd's
 * is for a while after its last process; then it is inactive, or failed with what --result says.
 *
 * usage: fake_systemd --address ADDRESS [--refuse] [--job RESULT] [--refuse-limits] [--result
 * RESULT] [--unit-file NAME=STATE]...
 *     --refuse          there are no new scopes
 *     --job RESULT      how the job ends that makes one, instead of "done"
 *     --refuse-limits   what is set later is not taken
 *     --unit-file NAME=STATE   a unit that is installed, and whether it is enabled
 */
#include "common/base/json.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-bus.h>

#define UNITS_MAX 1000

static struct {
	const char *address, *job, *result;
	int refuse, refuse_limits;
	const char *unit_files[8];
	size_t unit_file_count;
} settings = { .job = "done" };

static char *units[UNITS_MAX];
static size_t unit_count;

static void check(int r, const char *what)
{
	if (r >= 0)
		return;
	fprintf(stderr, "fake systemd: %s: %s\n", what, strerror(-r));
	exit(EXIT_FAILURE);
}

/* ---- A message as JSON ---- */

static struct json_object *read_value(sd_bus_message *message);

static struct json_object *read_basic(sd_bus_message *message, char type)
{
	union {
		const char *text;
		int32_t number;
		uint32_t unsigned_number;
		uint64_t large;
		uint8_t byte;
	} value = { 0 };

	check(sd_bus_message_read_basic(message, type, &value), "an argument");
	switch (type) {
	case 's':
	case 'o':
		return json_object_new_string(value.text);
	case 'b':
		return json_object_new_boolean(value.number);
	case 'i':
		return json_object_new_int64(value.number);
	case 'u':
		return json_object_new_int64(value.unsigned_number);
	case 't':
		return json_object_new_uint64(value.large);
	default:
		return json_object_new_int64(value.byte);
	}
}

/* Of arrays and structs the elements; of a variant what is in it. */
static struct json_object *read_container(sd_bus_message *message, char type, const char *contents)
{
	struct json_object *array = json_object_new_array();

	check(sd_bus_message_enter_container(message, type, contents), "a container");
	while (!sd_bus_message_at_end(message, false))
		json_append(&array, read_value(message));
	check(sd_bus_message_exit_container(message), "the end of a container");
	if (type == 'v') {
		struct json_object *inner = json_object_get(json_object_array_get_idx(array, 0));

		json_object_put(array);
		return inner;
	}
	return array;
}

static struct json_object *read_value(sd_bus_message *message)
{
	const char *contents;
	char type;

	check(sd_bus_message_peek_type(message, &type, &contents), "a type");
	return strchr("arev", type) ? read_container(message, type, contents)
				    : read_basic(message, type);
}

/* Writes the call down, and rewinds it. */
static void record(sd_bus_message *message)
{
	AUTO_JSON struct json_object *arguments = json_object_new_array(), *line = NULL;

	while (!sd_bus_message_at_end(message, true))
		json_append(&arguments, read_value(message));
	line = json_make("method", json_object_new_string(sd_bus_message_get_member(message)),
			 "arguments", json_object_get(arguments), NULL);
	puts(json_object_to_json_string_ext(line, JSON_C_TO_STRING_PLAIN));
	fflush(stdout);
	check(sd_bus_message_rewind(message, true), "rewinding");
}

/* ---- systemd ---- */

static char **find_unit(const char *name)
{
	for (size_t i = 0; i < unit_count; i++) {
		if (units[i] && strcmp(units[i], name) == 0)
			return &units[i];
	}
	return NULL;
}

static int start(sd_bus_message *call, void *data, sd_bus_error *error)
{
	static uint32_t job;
	const char *name;
	int r;

	record(call);
	check(sd_bus_message_read(call, "s", &name), "the unit");
	if (settings.refuse)
		return sd_bus_error_set(error, SD_BUS_ERROR_ACCESS_DENIED, "not \x1b[31mtoday");
	if (find_unit(name))
		return sd_bus_error_setf(error, "org.freedesktop.systemd1.UnitExists",
					 "Unit %s was already loaded.", name);
	if (unit_count < UNITS_MAX)
		units[unit_count++] = strdup(name);
	r = sd_bus_reply_method_return(call, "o", "/org/freedesktop/systemd1/job/1");
	if (r >= 0)
		r = sd_bus_emit_signal(sd_bus_message_get_bus(call), "/org/freedesktop/systemd1",
				       "org.freedesktop.systemd1.Manager", "JobRemoved", "uoss",
				       ++job, "/org/freedesktop/systemd1/job/1", name,
				       settings.job);
	return r < 0 ? r : 1;
}

static int set_properties(sd_bus_message *call, void *data, sd_bus_error *error)
{
	const char *name;

	record(call);
	check(sd_bus_message_read(call, "s", &name), "the unit");
	if (settings.refuse_limits || !find_unit(name))
		return sd_bus_error_setf(error, "org.freedesktop.systemd1.NoSuchUnit",
					 "Unit %s not loaded.", name);
	return sd_bus_reply_method_return(call, "");
}

static int stop(sd_bus_message *call, void *data, sd_bus_error *error)
{
	const char *name;
	char **unit;

	record(call);
	check(sd_bus_message_read(call, "s", &name), "the unit");
	unit = find_unit(name);
	if (!unit)
		return sd_bus_error_setf(error, "org.freedesktop.systemd1.NoSuchUnit",
					 "Unit %s not loaded.", name);
	free(*unit);
	*unit = NULL;
	return sd_bus_reply_method_return(call, "o", "/org/freedesktop/systemd1/job/1");
}

static int acknowledge(sd_bus_message *call, void *data, sd_bus_error *error)
{
	record(call);
	return sd_bus_reply_method_return(call, "");
}

static int get_result(sd_bus *bus, const char *path, const char *interface, const char *property,
		      sd_bus_message *reply, void *data, sd_bus_error *error)
{
	return sd_bus_message_append(reply, "s", settings.result);
}

static int get_state(sd_bus *bus, const char *path, const char *interface, const char *property,
		     sd_bus_message *reply, void *data, sd_bus_error *error)
{
	static unsigned questions;

	if (questions++ < 2)
		return sd_bus_message_append(reply, "s", "active");
	return sd_bus_message_append(reply, "s", settings.result ? "failed" : "inactive");
}

static int find_scope(sd_bus *bus, const char *path, const char *interface, void *data,
		      void **ret_found, sd_bus_error *error)
{
	char *name = NULL, **unit = NULL;

	if (sd_bus_path_decode(path, "/org/freedesktop/systemd1/unit", &name) > 0)
		unit = find_unit(name);
	free(name);
	*ret_found = unit;
	return unit != NULL;
}

static int get_unit_file_state(sd_bus_message *call, void *data, sd_bus_error *error)
{
	const char *name;

	check(sd_bus_message_read(call, "s", &name), "a name");
	for (size_t i = 0; i < settings.unit_file_count; i++) {
		const char *file = settings.unit_files[i];

		if (strncmp(file, name, strlen(name)) == 0 && file[strlen(name)] == '=')
			return sd_bus_reply_method_return(call, "s", file + strlen(name) + 1);
	}
	return sd_bus_error_setf(error, SD_BUS_ERROR_FILE_NOT_FOUND, "no such file");
}

static const sd_bus_vtable manager_vtable[] = {
	SD_BUS_VTABLE_START(0),
	SD_BUS_METHOD("StartTransientUnit", "ssa(sv)a(sa(sv))", "o", start,
		      SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD("SetUnitProperties", "sba(sv)", "", set_properties,
		      SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD("StopUnit", "ss", "o", stop, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD("GetUnitFileState", "s", "s", get_unit_file_state,
		      SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD("ResetFailedUnit", "s", "", acknowledge, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_SIGNAL("JobRemoved", "uoss", 0),
	SD_BUS_VTABLE_END,
};

static const sd_bus_vtable unit_vtable[] = {
	SD_BUS_VTABLE_START(0),
	SD_BUS_PROPERTY("ActiveState", "s", get_state, 0, 0),
	SD_BUS_VTABLE_END,
};

static const sd_bus_vtable scope_vtable[] = {
	SD_BUS_VTABLE_START(0),
	SD_BUS_PROPERTY("Result", "s", get_result, 0, 0),
	SD_BUS_VTABLE_END,
};

/* ---- systemd-machined ---- */

static int register_machine(sd_bus_message *call, void *data, sd_bus_error *error)
{
	record(call);
	return sd_bus_reply_method_return(call, "o", "/org/freedesktop/machine1/machine/x");
}

static const sd_bus_vtable machined_vtable[] = {
	SD_BUS_VTABLE_START(0),
	SD_BUS_METHOD("RegisterMachineWithNetwork", "sayssusai", "o", register_machine,
		      SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_VTABLE_END,
};

/* ---- The program ---- */

static sd_bus *serve(void)
{
	sd_bus *bus = NULL;

	check(sd_bus_new(&bus), "a bus");
	check(sd_bus_set_address(bus, settings.address), "the address");
	check(sd_bus_set_bus_client(bus, true), "the bus");
	check(sd_bus_start(bus), "connecting");
	check(sd_bus_add_object_vtable(bus, NULL, "/org/freedesktop/systemd1",
				       "org.freedesktop.systemd1.Manager", manager_vtable, NULL),
	      "the manager");
	check(sd_bus_add_fallback_vtable(bus, NULL, "/org/freedesktop/systemd1/unit",
					 "org.freedesktop.systemd1.Unit", unit_vtable, find_scope,
					 NULL),
	      "the units");
	check(sd_bus_add_fallback_vtable(bus, NULL, "/org/freedesktop/systemd1/unit",
					 "org.freedesktop.systemd1.Scope", scope_vtable, find_scope,
					 NULL),
	      "the scopes");
	check(sd_bus_add_object_vtable(bus, NULL, "/org/freedesktop/machine1",
				       "org.freedesktop.machine1.Manager", machined_vtable, NULL),
	      "the machines");
	check(sd_bus_request_name(bus, "org.freedesktop.machine1", 0), "a name");
	check(sd_bus_request_name(bus, "org.freedesktop.systemd1", 0), "a name");
	return bus;
}

static void read_settings(int argc, char *argv[])
{
	static const struct option options[] = {
		{ "address", required_argument, NULL, 'a' },
		{ "job", required_argument, NULL, 'j' },
		{ "result", required_argument, NULL, 'r' },
		{ "unit-file", required_argument, NULL, 'u' },
		{ "refuse", no_argument, &settings.refuse, 1 },
		{ "refuse-limits", no_argument, &settings.refuse_limits, 1 },
		{ 0 },
	};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'a')
			settings.address = optarg;
		else if (option == 'j')
			settings.job = optarg;
		else if (option == 'r')
			settings.result = optarg;
		else if (option == 'u' &&
			 settings.unit_file_count < sizeof(settings.unit_files) / sizeof(char *))
			settings.unit_files[settings.unit_file_count++] = optarg;
		else if (option != 0)
			exit(2);
	}
}

int main(int argc, char *argv[])
{
	sd_bus *bus;

	read_settings(argc, argv);
	bus = serve();
	for (;;) {
		int r = sd_bus_process(bus, NULL);

		check(r, "the bus");
		if (r == 0)
			check(sd_bus_wait(bus, UINT64_MAX), "waiting");
	}
}
