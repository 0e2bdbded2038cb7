/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a change of a VM's definition has changed, for its event log. */
#include "vmms/vm/vm_change_log.h"

#include "vmms/vm/vm_internal.h"
#include "vmms/vm/vm_log.h"

#include <stdio.h>
#include <string.h>

#define KEYS_SIZE 512 /* bytes of a list of keys */
#define NAME_SIZE 64  /* of what an element is known by */

/* ---- Disks and adapters ---- */

/* "" where there is none. */
static const char *log_member(struct json_object *object, const char *key)
{
	struct json_object *value;

	return object && json_object_object_get_ex(object, key, &value) && value
		       ? json_object_get_string(value)
		       : "";
}

static void log_name_disk(struct json_object *disk, char name[NAME_SIZE])
{
	snprintf(name, NAME_SIZE, "controller %s, lun %s", log_member(disk, "controller"),
		 log_member(disk, "lun"));
}

static void log_name_adapter(struct json_object *adapter, char name[NAME_SIZE])
{
	snprintf(name, NAME_SIZE, "%s", log_member(adapter, "name"));
}

/* A kind of device that a definition has an array of. */
struct device_kind {
	const char *key, *noun, *value, *added, *removed;
	void (*name)(struct json_object *element, char name[NAME_SIZE]);
};

static const struct device_kind kinds[] = {
	{ "disks", "disk", "path", "attached", "detached", log_name_disk },
	{ "network_adapters", "adapter", "switch", "added", "removed", log_name_adapter },
};

static const char *log_noun_of(const struct device_kind *kind, struct json_object *element)
{
	return strcmp(log_member(element, "type"), "dvd") == 0 ? "DVD drive" : kind->noun;
}

static void log_element(struct vm *vm, const struct device_kind *kind, struct json_object *element,
			const char *what)
{
	const char *value = log_member(element, kind->value);
	char name[NAME_SIZE];

	kind->name(element, name);
	vm_log(vm, VM_EVENT_CHANGED, LOG_LEVEL_INFO, "%s %s: %s%s%s", log_noun_of(kind, element),
	       what, name, value[0] != '\0' ? ", " : "", value);
}

static struct json_object *log_find(const struct device_kind *kind, struct json_object *array,
				    struct json_object *wanted)
{
	size_t count = array ? json_object_array_length(array) : 0;
	char name[NAME_SIZE], other[NAME_SIZE];

	kind->name(wanted, name);
	for (size_t i = 0; i < count; i++) {
		kind->name(json_object_array_get_idx(array, i), other);
		if (strcmp(name, other) == 0)
			return json_object_array_get_idx(array, i);
	}
	return NULL;
}

/* Of a drive that stays, its medium is what changes most. */
static const char *log_describe_change(const struct device_kind *kind, struct json_object *was,
				       struct json_object *is)
{
	const char *before = log_member(was, "path"), *after = log_member(is, "path");

	if (strcmp(kind->noun, "disk") != 0 || strcmp(before, after) == 0)
		return "changed";
	return after[0] == '\0' ? "ejected" : "inserted";
}

static void log_devices(struct vm *vm, const struct device_kind *kind, struct json_object *before,
			struct json_object *after)
{
	struct json_object *old = json_object_object_get(before, kind->key);
	struct json_object *new = json_object_object_get(after, kind->key);
	size_t old_count = old ? json_object_array_length(old) : 0;
	size_t new_count = new ? json_object_array_length(new) : 0;

	for (size_t i = 0; i < old_count; i++) {
		struct json_object *element = json_object_array_get_idx(old, i);

		if (!log_find(kind, new, element))
			log_element(vm, kind, element, kind->removed);
	}
	for (size_t i = 0; i < new_count; i++) {
		struct json_object *element = json_object_array_get_idx(new, i);
		struct json_object *was = log_find(kind, old, element);

		if (!was)
			log_element(vm, kind, element, kind->added);
		else if (!json_object_equal(was, element))
			log_element(vm, kind, element, log_describe_change(kind, was, element));
	}
}

/* ---- Settings ---- */

static bool log_is_device(const char *key)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (strcmp(kinds[i].key, key) == 0)
			return true;
	}
	return false;
}

/* Those of the keys that are no devices'; cut where they do not fit. */
static void log_format_keys(struct json_object *keys, char text[KEYS_SIZE])
{
	size_t used = 0, count = keys ? json_object_array_length(keys) : 0;

	text[0] = '\0';
	for (size_t i = 0; i < count && used < KEYS_SIZE; i++) {
		const char *key = json_object_get_string(json_object_array_get_idx(keys, i));

		if (!log_is_device(key))
			used += (size_t)snprintf(text + used, KEYS_SIZE - used, "%s%s",
						 used > 0 ? ", " : "", key);
	}
}

static void log_settings(struct vm *vm, struct json_object *before, struct json_object *after)
{
	AUTO_JSON struct json_object *changed = json_differing_keys(before, after);
	AUTO_JSON struct json_object *pending = vm_pending_keys(vm);
	char keys[KEYS_SIZE], waiting[KEYS_SIZE];

	log_format_keys(changed, keys);
	log_format_keys(pending, waiting);
	if (keys[0] != '\0')
		vm_log(vm, VM_EVENT_CHANGED, LOG_LEVEL_INFO, "settings changed: %s%s%s%s", keys,
		       waiting[0] != '\0' ? " (for the next start wait: " : "", waiting,
		       waiting[0] != '\0' ? ")" : "");
}

void vm_change_log(struct vm *vm, struct json_object *before, struct json_object *after)
{
	if (!before || !after)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		log_devices(vm, &kinds[i], before, after);
	log_settings(vm, before, after);
}
