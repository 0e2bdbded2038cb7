/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One CPU group, and its slice. */
#include "vmms/cpu_group/cpu_group.h"

#include "common/base/log.h"
#include "common/base/text.h"
#include "vmms/units/units.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* ---- Life ---- */

int cpu_group_new(struct units *units, const char *name, struct cpu_group_definition *definition,
		  struct cpu_group **ret_group)
{
	struct cpu_group *group = calloc(1, sizeof(*group));

	if (!group) {
		cpu_group_definition_free(definition);
		return -ENOMEM;
	}
	list_init(&group->link);
	group->units = units;
	group->definition = definition;
	snprintf(group->name, sizeof(group->name), "%s", name);
	*ret_group = group;
	return 0;
}

void cpu_group_free(struct cpu_group *group)
{
	if (!group)
		return;
	list_unlink(&group->link);
	sd_bus_slot_unref(group->call);
	cpu_group_definition_free(group->definition);
	free(group);
}

/* ---- The slice ---- */

static void group_set_problem(struct cpu_group *group, const char *what, const char *why)
{
	char text[UNIT_PROBLEM_MAX];

	snprintf(text, sizeof(text), "%s: %s", what, why);
	text_repair(group->problem, sizeof(group->problem), text, strlen(text));
	log_warning("CPU group %s: %s", group->name, group->problem);
	group->changed(group->data, group);
}

static void group_set_up(struct cpu_group *group)
{
	group->problem[0] = '\0';
	group->changed(group->data, group);
}

static int group_send_call(struct cpu_group *group, sd_bus_message *call,
			   sd_bus_message_handler_t answered)
{
	group->call = sd_bus_slot_unref(group->call);
	return sd_bus_call_async(sd_bus_message_get_bus(call), &group->call, call, answered, group,
				 0);
}

static int group_limited(sd_bus_message *reply, void *data, sd_bus_error *error)
{
	struct cpu_group *group = data;
	const sd_bus_error *why = sd_bus_message_get_error(reply);

	group->call = sd_bus_slot_unref(group->call);
	if (why)
		group_set_problem(group, "systemd does not take the limits of its CPU group",
				  why->message);
	else
		group_set_up(group);
	return 0;
}

/* Of a slice that is there. */
static int group_limit(struct cpu_group *group)
{
	char slice[SLICE_NAME_SIZE];
	sd_bus_message *call = NULL;
	int r;

	slice_name_of_cpu_group(group->name, slice);
	r = units_new_call(group->units, "SetUnitProperties", &call);
	if (r >= 0)
		r = sd_bus_message_append(call, "sb", slice, true);
	if (r >= 0)
		r = sd_bus_message_open_container(call, 'a', "(sv)");
	if (r >= 0)
		r = unit_properties_append_shares(call, group->definition->cpu_weight,
						  group->definition->cpu_quota,
						  &group->definition->cpus);
	if (r >= 0)
		r = sd_bus_message_close_container(call);
	if (r >= 0)
		r = group_send_call(group, call, group_limited);
	sd_bus_message_unref(call);
	return r < 0 ? r : 0;
}

static int group_open_answered(sd_bus_message *reply, void *data, sd_bus_error *error)
{
	struct cpu_group *group = data;
	const sd_bus_error *why = sd_bus_message_get_error(reply);
	int r = 0;

	group->call = sd_bus_slot_unref(group->call);
	if (!why)
		group_set_up(group);
	else if (sd_bus_error_has_name(why, SYSTEMD_ERROR_UNIT_EXISTS))
		r = group_limit(group);
	else
		group_set_problem(group, "systemd makes no slice of its CPU group", why->message);
	if (r < 0)
		group_set_problem(group, "systemd cannot be asked for its CPU group", strerror(-r));
	return 0;
}

static int group_open_slice(struct cpu_group *group)
{
	char slice[SLICE_NAME_SIZE], description[DEFINITION_CPU_GROUP_NAME_MAX + 64];
	sd_bus_message *call = NULL;
	int r;

	slice_name_of_cpu_group(group->name, slice);
	snprintf(description, sizeof(description), "Virtual Machines of CPU group %s", group->name);
	r = units_new_call(group->units, "StartTransientUnit", &call);
	if (r >= 0)
		r = sd_bus_message_append(call, "ss", slice, "fail");
	if (r >= 0)
		r = sd_bus_message_open_container(call, 'a', "(sv)");
	if (r >= 0)
		r = sd_bus_message_append(call, "(sv)(sv)", "Description", "s", description,
					  "CPUAccounting", "b", true);
	if (r >= 0)
		r = unit_properties_append_shares(call, group->definition->cpu_weight,
						  group->definition->cpu_quota,
						  &group->definition->cpus);
	if (r >= 0)
		r = sd_bus_message_close_container(call);
	if (r >= 0)
		r = sd_bus_message_append(call, "a(sa(sv))", 0);
	if (r >= 0)
		r = group_send_call(group, call, group_open_answered);
	sd_bus_message_unref(call);
	return r < 0 ? r : 0;
}

void cpu_group_apply(struct cpu_group *group)
{
	int r;

	if (!group->definition || !units_are_used(group->units))
		return;
	r = group_open_slice(group);
	if (r < 0)
		group_set_problem(group, "systemd cannot be asked for its CPU group", strerror(-r));
}

void cpu_group_remove(struct cpu_group *group)
{
	char slice[SLICE_NAME_SIZE];
	sd_bus_message *call = NULL;
	int r;

	if (!units_are_used(group->units))
		return;
	slice_name_of_cpu_group(group->name, slice);
	r = units_new_call(group->units, "StopUnit", &call);
	if (r >= 0)
		r = sd_bus_message_append(call, "ss", slice, "fail");
	if (r >= 0)
		r = sd_bus_message_set_expect_reply(call, false);
	if (r >= 0)
		r = sd_bus_send(NULL, call, NULL);
	sd_bus_message_unref(call);
	if (r < 0)
		log_warning("CPU group %s: its slice stays: %s", group->name, strerror(-r));
}
