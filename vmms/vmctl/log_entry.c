/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An event of a VM's log. */
#include "vmms/vmctl/log_entry.h"

#include "common/base/cleanup.h"
#include "common/base/text.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

int log_entry_read(sd_bus_message *message, struct log_entry *ret_entry)
{
	return sd_bus_message_read(message, "ttyss", &ret_entry->sequence, &ret_entry->time,
				   &ret_entry->priority, &ret_entry->event, &ret_entry->message);
}

struct json_object *log_entry_to_json(const struct log_entry *entry, const char *vm)
{
	struct json_object *tree =
		json_make("sequence", json_object_new_uint64(entry->sequence), "time",
			  json_object_new_uint64(entry->time), "priority",
			  json_object_new_int64(entry->priority), "event",
			  json_object_new_string(entry->event), "message",
			  json_object_new_string(entry->message), NULL);

	if (vm)
		json_add(&tree, "vm", json_object_new_string(vm));
	return tree;
}

static void entry_print_line(const struct log_entry *entry, const char *vm)
{
	AUTO_FREE char *event = text_escape_new(entry->event, strlen(entry->event)),
		       *message = text_escape_new(entry->message, strlen(entry->message)),
		       *name = vm ? text_escape_new(vm, strlen(vm)) : NULL;
	time_t seconds = (time_t)(entry->time / 1000000);
	char when[32] = "";
	struct tm tm;

	if (localtime_r(&seconds, &tm))
		strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", &tm);
	printf("%s  ", when);
	if (name)
		printf("%-15s ", name);
	printf("%-8s %s\n", event ? event : "", message ? message : "");
}

/* For a reader that does not know where it ends. */
static void entry_print_json_line(const struct log_entry *entry, const char *vm)
{
	AUTO_JSON struct json_object *tree = log_entry_to_json(entry, vm);
	const char *text = json_object_to_json_string_ext(
		tree, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
	AUTO_FREE char *safe = text ? text_escape_json_new(text, strlen(text)) : NULL;

	if (safe)
		puts(safe);
}

void log_entry_print(const struct log_entry *entry, const char *vm, bool json)
{
	if (json)
		entry_print_json_line(entry, vm);
	else
		entry_print_line(entry, vm);
}
