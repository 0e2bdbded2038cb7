/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a definition names, and is not there. */
#include "vmms/vmctl/missing.h"

#include "common/base/cleanup.h"
#include "common/base/text.h"
#include "common/definition/definition.h"
#include "vmms/vmctl/disk_text.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* What is looked through, and what was found. */
struct search {
	struct invocation *invocation;
	struct json_object *lines; /* NULL without memory */
	bool hangs;                /* a file system has not answered: no more files are looked at */
};

static void missing_note(struct search *search, const char *what, const char *name,
			 const char *advice)
{
	json_append_format(&search->lines, "there is no %s '%s'%s", what, name, advice);
}

/* NULL: it is none, which is for vmms to refuse. */
static const char *missing_text_member(struct json_object *object, const char *key)
{
	struct json_object *value;

	if (!json_object_is_type(object, json_type_object) ||
	    !json_object_object_get_ex(object, key, &value) ||
	    !json_object_is_type(value, json_type_string))
		return NULL;
	return json_object_get_string(value);
}

static void missing_look_for_file(struct search *search, struct json_object *object,
				  const char *key, const char *what)
{
	const char *path = missing_text_member(object, key);
	int r;

	if (!path || path[0] != '/' || search->hangs)
		return;
	r = disk_text_look_for_file(path);
	search->hangs = r == -ETIMEDOUT;
	if (r == -ENOENT)
		missing_note(search, what, path, "");
}

static void missing_look_for_switch(struct search *search, struct json_object *adapter)
{
	sd_bus_error error = SD_BUS_ERROR_NULL;
	const char *name = missing_text_member(adapter, "switch");
	bool missing;

	if (!name || strcmp(name, DEFINITION_SWITCH_DEFAULT) == 0 ||
	    strcmp(name, DEFINITION_SWITCH_NONE) == 0)
		return;
	(void)sd_bus_call_method(search->invocation->bus, DBUS_NAME, DBUS_PATH,
				 DBUS_INTERFACE_MANAGER, "GetSwitch", &error, NULL, "s", name);
	missing = sd_bus_error_has_name(&error, DBUS_ERROR_NO_SUCH_SWITCH);
	sd_bus_error_free(&error);
	if (missing)
		missing_note(search, "virtual switch", name,
			     "; 'vmctl switch add' makes one, 'vmctl switch list' shows which "
			     "there are");
}

struct json_object *missing_find(struct invocation *invocation, struct json_object *definition)
{
	struct search search = { .invocation = invocation, .lines = json_object_new_array() };
	struct json_object *boot, *disks, *adapters;

	if (!json_object_is_type(definition, json_type_object))
		return search.lines;
	boot = json_object_object_get(definition, "boot");
	disks = json_object_object_get(definition, "disks");
	adapters = json_object_object_get(definition, "network_adapters");
	missing_look_for_file(&search, boot, "kernel", "kernel");
	missing_look_for_file(&search, boot, "initrd", "initrd");
	for (size_t i = 0; i < json_array_size(disks); i++)
		missing_look_for_file(&search, json_object_array_get_idx(disks, i), "path",
				      "disk image");
	for (size_t i = 0; i < json_array_size(adapters); i++)
		missing_look_for_switch(&search, json_object_array_get_idx(adapters, i));
	return search.lines;
}

unsigned missing_report(struct invocation *invocation, struct json_object *definition)
{
	AUTO_JSON struct json_object *lines = missing_find(invocation, definition);
	size_t count = lines ? json_object_array_length(lines) : 0;

	for (size_t i = 0; i < count; i++) {
		const char *line = json_object_get_string(json_object_array_get_idx(lines, i));
		AUTO_FREE char *escaped = text_escape_new(line, strlen(line));

		fprintf(stderr, "vmctl: %s\n", escaped ? escaped : "");
	}
	return (unsigned)count;
}
