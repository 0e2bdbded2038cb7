/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl meter show, enable, disable, reset: what VMs have used of the host, over all their runs. */
#include "common/base/cleanup.h"
#include "vmms/vmctl/output.h"
#include "vmms/vmctl/screen.h"
#include "vmms/vmctl/service.h"
#include "vmms/vmctl/table.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define TIME_SIZE 32

/* ---- show ---- */

/* In the order of the columns. */
static const char *const sums[] = { "run_us",         "cpu_us",          "disk_reads",
				    "disk_writes",    "disk_bytes_read", "disk_bytes_written",
				    "received_bytes", "sent_bytes" };
enum { RUN, CPU, READS, WRITES, BYTES_READ, BYTES_WRITTEN, RECEIVED, SENT, SUMS };
_Static_assert(ARRAY_SIZE(sums) == SUMS, "every sum has a name");

struct usage {
	uint64_t sums[SUMS];
	uint64_t average, maximum; /* bytes of memory; of several VMs: 0 */
};

static uint64_t meter_number(struct json_object *tree, const char *key)
{
	return json_object_get_uint64(json_object_object_get(tree, key));
}

static const char *meter_text(struct json_object *tree, const char *key)
{
	const char *text = json_object_get_string(json_object_object_get(tree, key));

	return text ? text : "";
}

static bool meter_is_on(struct json_object *meter)
{
	return json_object_get_boolean(json_object_object_get(meter, "on"));
}

static void meter_read(struct json_object *meter, struct usage *usage)
{
	struct json_object *memory = json_object_object_get(meter, "memory");

	for (size_t i = 0; i < SUMS; i++)
		usage->sums[i] = meter_number(meter, sums[i]);
	usage->average = meter_number(memory, "average");
	usage->maximum = meter_number(memory, "maximum");
}

/* "3d 4:05:06" */
static void meter_add_time(struct table *table, uint64_t us)
{
	uint64_t seconds = us / 1000000, days = seconds / 86400;
	char text[TIME_SIZE];

	snprintf(text, sizeof(text), "%u:%02u:%02u", (unsigned)(seconds / 3600 % 24),
		 (unsigned)(seconds / 60 % 60), (unsigned)(seconds % 60));
	if (days > 0)
		table_add(table, "%" PRIu64 "d %s", days, text);
	else
		table_add(table, "%s", text);
}

static void meter_add_bytes(struct table *table, uint64_t bytes)
{
	char text[SCREEN_CELL];

	screen_format_bytes((double)bytes, text);
	table_add(table, "%s", text);
}

/* Of several VMs there is none. */
static void meter_add_memory(struct table *table, uint64_t bytes)
{
	if (bytes > 0)
		meter_add_bytes(table, bytes);
	else
		table_add(table, "%s", "-");
}

static void meter_add_since(struct table *table, uint64_t us)
{
	time_t seconds = (time_t)(us / 1000000);
	char text[TIME_SIZE] = "-";
	struct tm tm;

	if (us > 0 && localtime_r(&seconds, &tm))
		(void)strftime(text, sizeof(text), "%Y-%m-%d %H:%M", &tm);
	table_add(table, "%s", text);
}

static void meter_add_usage(struct table *table, const struct usage *usage)
{
	meter_add_time(table, usage->sums[RUN]);
	meter_add_time(table, usage->sums[CPU]);
	meter_add_memory(table, usage->average);
	meter_add_memory(table, usage->maximum);
	table_add(table, "%" PRIu64, usage->sums[READS]);
	table_add(table, "%" PRIu64, usage->sums[WRITES]);
	meter_add_bytes(table, usage->sums[BYTES_READ]);
	meter_add_bytes(table, usage->sums[BYTES_WRITTEN]);
	meter_add_bytes(table, usage->sums[RECEIVED]);
	meter_add_bytes(table, usage->sums[SENT]);
}

static void meter_add_row(struct table *table, struct json_object *meter, struct usage *total)
{
	struct usage usage;

	meter_read(meter, &usage);
	table_add(table, "%s", meter_text(meter, "name"));
	table_add(table, "%s", meter_text(meter, "owner"));
	table_add(table, "%s", meter_is_on(meter) ? "on" : "off");
	meter_add_since(table, meter_number(meter, "since"));
	meter_add_usage(table, &usage);
	for (size_t i = 0; i < SUMS; i++)
		total->sums[i] += usage.sums[i];
}

static int meter_print_table(struct json_object *meters)
{
	static const char *const titles[] = { "NAME", "OWNER",   "METER", "SINCE", "RUN",
					      "CPU",  "MEMORY",  "MOST",  "READS", "WRITES",
					      "READ", "WRITTEN", "IN",    "OUT" };
	struct table *table = table_new(titles, ARRAY_SIZE(titles));
	size_t count = json_object_array_length(meters);
	struct usage total = { 0 };

	if (!table)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		meter_add_row(table, json_object_array_get_idx(meters, i), &total);
	if (count > 1) {
		for (size_t i = 0; i < 4; i++)
			table_add(table, "%s", i == 0 ? "all" : "");
		meter_add_usage(table, &total);
	}
	table_print(table);
	table_free(table);
	return 0;
}

/* Those that have been named, or whose meters have been on. */
static bool meter_is_wanted(const struct invocation *invocation, struct json_object *meter)
{
	const char *owner = invocation_value(invocation, "owner");

	if (owner && strcmp(meter_text(meter, "owner"), owner) != 0)
		return false;
	for (size_t i = 0; i < invocation->argument_count; i++) {
		if (strcmp(invocation->arguments[i], meter_text(meter, "name")) == 0 ||
		    strcmp(invocation->arguments[i], meter_text(meter, "uuid")) == 0)
			return true;
	}
	return invocation->argument_count == 0 && meter_number(meter, "since") > 0;
}

static enum status meter_get(struct invocation *invocation, struct json_object **ret_meters)
{
	AUTO_MESSAGE sd_bus_message *reply = NULL;
	AUTO_JSON struct json_object *tree = NULL;
	struct json_object *all = NULL, *meters = json_object_new_array();
	enum status status;
	int r;

	status = service_call_manager(invocation, "GetMeters", SERVICE_TIMEOUT, &reply, "");
	if (status != STATUS_OK) {
		json_object_put(meters);
		return status;
	}
	r = service_read_json(reply, &tree);
	if (r == 0 && json_object_object_get_ex(tree, "vms", &all))
		for (size_t i = 0; i < json_object_array_length(all); i++) {
			struct json_object *meter = json_object_array_get_idx(all, i);

			if (meter_is_wanted(invocation, meter))
				json_append(&meters, json_object_get(meter));
		}
	*ret_meters = meters;
	return r < 0 || !meters ? service_failed(r < 0 ? r : -ENOMEM, NULL) : STATUS_OK;
}

/* Of a name that is no VM's, that is said. */
static enum status meter_check_names(struct invocation *invocation)
{
	enum status first = STATUS_OK;

	for (size_t i = 0; i < invocation->argument_count; i++) {
		AUTO_FREE char *path = NULL;
		enum status status;

		status = service_find_vm(invocation, invocation->arguments[i], &path);
		if (first == STATUS_OK)
			first = status;
	}
	return first;
}

enum status command_meter_show(struct invocation *invocation)
{
	AUTO_JSON struct json_object *meters = NULL;
	enum status status = meter_check_names(invocation);
	int r;

	if (status == STATUS_OK)
		status = meter_get(invocation, &meters);
	if (status != STATUS_OK)
		return status;
	r = invocation->json ? json_print(json_make("vms", json_object_get(meters), NULL))
			     : meter_print_table(meters);
	return r < 0 ? service_failed(r, NULL) : STATUS_OK;
}

/* ---- enable, disable, reset ---- */

static const struct meter_verb {
	const char *command, *method, *done;
	bool takes_state, state;
} verbs[] = {
	{ "meter enable", "SwitchMeter", "is metered", true, true },
	{ "meter disable", "SwitchMeter", "is not metered any more", true, false },
	{ "meter reset", "ResetMeter", "is metered from 0", false, false },
};

static enum status meter_call(struct invocation *invocation, const struct meter_verb *verb,
			      const char *name)
{
	AUTO_MESSAGE sd_bus_message *call = NULL, *reply = NULL;
	AUTO_FREE char *path = NULL;
	enum status status;
	int r = 0;

	status = service_find_vm(invocation, name, &path);
	if (status == STATUS_OK)
		status = service_new_call(invocation, path, verb->method, &call);
	if (status != STATUS_OK)
		return status;
	if (verb->takes_state)
		r = sd_bus_message_append(call, "b", verb->state);
	if (r < 0)
		return service_failed(r, NULL);
	status = service_send(invocation, call, SERVICE_TIMEOUT, &reply);
	if (status == STATUS_OK)
		output_say(invocation, "VM '%s' %s", name, verb->done);
	return status;
}

enum status command_meter_change(struct invocation *invocation)
{
	const struct meter_verb *verb = verbs;
	enum status first = STATUS_OK;

	while (strcmp(verb->command, invocation->command->name) != 0)
		verb++;
	for (size_t i = 0; i < invocation->argument_count; i++) {
		enum status status = meter_call(invocation, verb, invocation->arguments[i]);

		if (first == STATUS_OK)
			first = status;
	}
	return first;
}
