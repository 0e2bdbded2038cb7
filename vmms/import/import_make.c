/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The definition that a configuration of Hyper-V's becomes.
 *
 * Source of the keys: the table in docs/import.md. What is not understood becomes a note, so that
 * nothing is lost without a word. The definition need not be valid: vmms says what is wrong with it.
 */
#include "vmms/import/import_tree.h"

#include "common/base/guid.h"
#include "common/base/text.h"
#include "common/definition/definition.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- The VM as such ---- */

/* Names here are words of a host's names; what else is in theirs becomes a dash. */
static void make_name(const char *theirs, char name[static DEFINITION_NAME_MAX + 1])
{
	size_t size = 0;

	for (; *theirs && size < DEFINITION_NAME_MAX; theirs++) {
		bool good =
			isascii((unsigned char)*theirs) &&
			(isalnum((unsigned char)*theirs) || (size > 0 && strchr("-_.", *theirs)));

		if (good)
			name[size++] = *theirs;
		else if (size > 0 && name[size - 1] != '-')
			name[size++] = '-';
	}
	while (size > 0 && name[size - 1] == '-')
		size--;
	name[size] = '\0';
	if (size == 0)
		strcpy(name, "imported");
}

static int make_identity(struct import_work *work)
{
	const char *theirs = import_text(work->configuration, "properties/name");
	const char *id = import_text(work->configuration, "properties/global_id");
	const char *notes = import_text(work->configuration, "properties/notes");
	char name[DEFINITION_NAME_MAX + 1];
	uint64_t kind = 0;

	if (!theirs || !import_node(work->configuration, "settings"))
		return import_refuse(work->error,
				     "it has no name or no settings: it is not that of a VM");
	make_name(theirs, name);
	json_add(&work->definition, "version", json_object_new_int64(DEFINITION_VERSION));
	json_add(&work->definition, "name", json_object_new_string(name));
	if (strcmp(name, theirs) != 0)
		import_note(work, "its name was '%s'", theirs);
	if (id)
		import_add_guid(work, work->definition, "uuid", id);
	if (notes && *notes)
		json_add(&work->definition, "notes", json_object_new_string(notes));
	(void)!import_number(work->configuration, "properties/subtype", &kind);
	work->generation = kind == 1 ? 2 : 1;
	json_add(&work->definition, "generation", json_object_new_int64(work->generation));
	return 0;
}

static void make_processors(struct import_work *work)
{
	const char *const unknown[] = { "limit_cpuid", "nested_virtualization/enabled" };
	struct json_object *theirs = import_node(work->configuration, "settings/processors");
	uint64_t number;
	bool on;

	if (import_number(theirs, "count", &number))
		json_add(&work->definition, "processors",
			 json_make("count", json_object_new_uint64(number), NULL));
	if (import_number(theirs, "weight", &number) && number != 100)
		json_add(&work->definition, "resources",
			 json_make("cpu_weight", json_object_new_uint64(number), NULL));
	if (import_number(theirs, "limit", &number) && number != 100000)
		import_note(work,
			    "its processors were limited to %" PRIu64 ".%03" PRIu64
			    " percent: 'vmctl set' has resources.cpu_quota",
			    number / 1000, number % 1000);
	if (import_number(theirs, "reservation", &number) && number != 0)
		import_note(work,
			    "%" PRIu64 ".%03" PRIu64 " percent of its processors were "
			    "reserved for it",
			    number / 1000, number % 1000);
	if (import_node(theirs, "vnuma"))
		import_note(work, "its NUMA nodes: 'vmctl set' has numa");
	for (size_t i = 0; i < ARRAY_SIZE(unknown); i++)
		if (import_truth(theirs, unknown[i], &on) && on)
			import_note(work, "processors/%s", unknown[i]);
}

/* Of mebibytes; a multiple of 2, as ours are. */
static struct json_object *make_size(uint64_t mebibytes)
{
	char text[32];

	snprintf(text, sizeof(text), "%" PRIu64 "M", mebibytes + mebibytes % 2);
	return json_object_new_string(text);
}

static void make_memory(struct import_work *work)
{
	struct json_object *theirs = import_node(work->configuration, "settings/memory/bank");
	struct json_object *memory, *dynamic;
	uint64_t size, minimum, maximum, buffer;
	bool on = false;

	if (!import_number(theirs, "size", &size) || size > UINT32_MAX)
		return;
	memory = json_make("size", make_size(size), NULL);
	if (import_truth(theirs, "dynamic_memory_enabled", &on) && on) {
		dynamic = json_object_new_object();
		if (import_number(theirs, "reservation", &minimum) && minimum <= size)
			json_add(&dynamic, "minimum", make_size(minimum));
		if (import_number(theirs, "limit", &maximum) && maximum >= size &&
		    maximum <= UINT32_MAX)
			json_add(&dynamic, "maximum", make_size(maximum));
		if (import_number(theirs, "target_memory_buffer", &buffer))
			json_add(&dynamic, "buffer", json_object_new_uint64(buffer));
		json_add(&memory, "dynamic", dynamic);
	}
	json_add(&work->definition, "memory", memory);
}

/* ---- When the host starts and stops ---- */

static void make_action(struct import_work *work, const char *path, const char *key,
			const char *const words[], size_t count)
{
	uint64_t number;

	if (!import_number(work->configuration, path, &number))
		return;
	if (number < count)
		json_add(&work->definition, key,
			 json_make("action", json_object_new_string(words[number]), NULL));
	else
		import_note(work, "%s: %" PRIu64, path, number);
}

static void make_actions(struct import_work *work)
{
	static const char *const starts[] = { "none", "start", "start" };
	static const char *const stops[] = { "turn-off", "save", "shut-down" };

	make_action(work, "global_settings/power/host_startup/action", "automatic_start", starts,
		    ARRAY_SIZE(starts));
	make_action(work, "global_settings/power/host_shutdown/action", "automatic_stop", stops,
		    ARRAY_SIZE(stops));
}

/* ---- All of it ---- */

static int make_all(struct import_work *work)
{
	bool on;
	int r;

	r = make_identity(work);
	if (r < 0)
		return r;
	make_processors(work);
	make_memory(work);
	import_devices(work);
	make_actions(work);
	if (import_truth(work->configuration, "properties/highly_available", &on) && on)
		import_note(work, "it was highly available: its cluster does not know of it here");
	return work->definition && work->notes ? 0 : -ENOMEM;
}

int import_make(struct json_object *configuration, struct import *ret_import,
		struct import_error *ret_error)
{
	struct import_work work = { .configuration = import_node(configuration, "configuration"),
				    .error = ret_error,
				    .definition = json_object_new_object(),
				    .notes = json_object_new_array() };
	int r = make_all(&work);

	*ret_import = (struct import){ work.definition, work.notes };
	if (r < 0)
		import_deinit(ret_import);
	return r;
}

void import_deinit(struct import *import)
{
	json_object_put(import->definition);
	json_object_put(import->notes);
	*import = (struct import){ 0 };
}
