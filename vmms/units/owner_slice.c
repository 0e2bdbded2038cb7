/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The slices of owners.
 *
 * Whether there is one already is systemd's to know: it is asked for one, and then gives it the
 * limits, in this order on one connection. That there was one is no failure.
 */
#include "vmms/units/owner_slice.h"

#include "common/base/log.h"
#include "common/base/text.h"
#include "vmms/units/slice_name.h"
#include "vmms/units/units.h"

#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define NOT_SET       UINT64_MAX /* of systemd: no limit */
#define SECOND        1000000    /* microseconds: one CPU's time in each second */
#define MEMORY_BEYOND (UINT64_C(512) << 20)

/* ---- Its limits ---- */

static uint64_t slice_number_or_none(uint64_t limit, uint64_t value)
{
	return limit > 0 ? value : NOT_SET;
}

/* Workers, image servers and passt take memory beside what guests have. */
static int slice_append_limits(sd_bus_message *call, const struct quota *quota)
{
	uint64_t cpus = quota->limits[QUOTA_PROCESSORS], memory = quota->limits[QUOTA_MEMORY],
		 tasks = quota->limits[QUOTA_TASKS];

	return sd_bus_message_append(
		call, "(sv)(sv)(sv)", "CPUQuotaPerSecUSec", "t",
		slice_number_or_none(cpus, cpus * SECOND), "MemoryMax", "t",
		slice_number_or_none(memory, memory + memory / 8 + MEMORY_BEYOND), "TasksMax", "t",
		slice_number_or_none(tasks, tasks));
}

static int slice_append_accounting(sd_bus_message *call)
{
	return sd_bus_message_append(call, "(sv)(sv)(sv)(sv)", "CPUAccounting", "b", true,
				     "MemoryAccounting", "b", true, "TasksAccounting", "b", true,
				     "IOAccounting", "b", true);
}

/* ---- Asking ---- */

static int slice_answered(sd_bus_message *reply, void *data, sd_bus_error *error)
{
	const sd_bus_error *why = sd_bus_message_get_error(reply);
	AUTO_FREE char *text = why ? text_escape_new(why->message, strlen(why->message)) : NULL;

	if (why && !sd_bus_error_has_name(why, SYSTEMD_ERROR_UNIT_EXISTS))
		log_warning("the slice of an owner of VMs: %s", text ? text : "");
	return 0;
}

static int slice_send_call(sd_bus_message *call, int r)
{
	if (r >= 0)
		r = sd_bus_call_async(sd_bus_message_get_bus(call), NULL, call, slice_answered,
				      NULL, 0);
	sd_bus_message_unref(call);
	return r < 0 ? r : 0;
}

static int slice_make(struct units *units, const char *slice, const char *owner)
{
	char description[DEFINITION_OWNER_MAX + 32];
	sd_bus_message *call = NULL;
	int r;

	snprintf(description, sizeof(description), "Virtual Machines of %s", owner);
	r = units_new_call(units, "StartTransientUnit", &call);
	if (r >= 0)
		r = sd_bus_message_append(call, "ss", slice, "fail");
	if (r >= 0)
		r = sd_bus_message_open_container(call, 'a', "(sv)");
	if (r >= 0)
		r = sd_bus_message_append(call, "(sv)", "Description", "s", description);
	if (r >= 0)
		r = slice_append_accounting(call);
	if (r >= 0)
		r = sd_bus_message_close_container(call);
	if (r >= 0)
		r = sd_bus_message_append(call, "a(sa(sv))", 0);
	return slice_send_call(call, r);
}

static int limit(struct units *units, const char *slice, const struct quota *quota)
{
	sd_bus_message *call = NULL;
	int r;

	r = units_new_call(units, "SetUnitProperties", &call);
	if (r >= 0)
		r = sd_bus_message_append(call, "sb", slice, true);
	if (r >= 0)
		r = sd_bus_message_open_container(call, 'a', "(sv)");
	if (r >= 0)
		r = slice_append_limits(call, quota);
	if (r >= 0)
		r = sd_bus_message_close_container(call);
	return slice_send_call(call, r);
}

void owner_slice_enter(struct units *units, const struct definition *definition,
		       const struct quota *quota)
{
	char slice[SLICE_NAME_SIZE];
	int r;

	if (!slice_name_of_owner(definition, slice))
		return;
	r = slice_make(units, slice, definition->owner);
	if (r == 0)
		r = limit(units, slice, quota);
	if (r < 0)
		log_warning("systemd cannot be asked for the slice of owner %s: %s",
			    definition->owner, strerror(-r));
}
