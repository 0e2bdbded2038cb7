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

static void missing_say(const char *what, const char *name, const char *advice)
{
	AUTO_FREE char *escaped = text_escape_new(name, strlen(name));

	fprintf(stderr, "vmctl: there is no %s '%s'%s\n", what, escaped ? escaped : "", advice);
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

/* hangs: a file system has not answered: nothing more is looked at. */
static unsigned missing_look_for_file(struct json_object *object, const char *key, const char *what,
				      bool *hangs)
{
	const char *path = missing_text_member(object, key);
	int r;

	if (!path || path[0] != '/' || *hangs)
		return 0;
	r = disk_text_look_for_file(path);
	*hangs = r == -ETIMEDOUT;
	if (r != -ENOENT)
		return 0;
	missing_say(what, path, "");
	return 1;
}

static unsigned missing_look_for_switch(struct invocation *invocation, struct json_object *adapter)
{
	sd_bus_error error = SD_BUS_ERROR_NULL;
	const char *name = missing_text_member(adapter, "switch");
	bool missing;

	if (!name || strcmp(name, DEFINITION_SWITCH_DEFAULT) == 0 ||
	    strcmp(name, DEFINITION_SWITCH_NONE) == 0)
		return 0;
	(void)sd_bus_call_method(invocation->bus, DBUS_NAME, DBUS_PATH, DBUS_INTERFACE_MANAGER,
				 "GetSwitch", &error, NULL, "s", name);
	missing = sd_bus_error_has_name(&error, DBUS_ERROR_NO_SUCH_SWITCH);
	sd_bus_error_free(&error);
	if (missing)
		missing_say("virtual switch", name,
			    "; 'vmctl switch add' makes one, 'vmctl switch list' shows which there "
			    "are");
	return missing;
}

/* The elements of an array; 0 where it is none. */
static size_t missing_count_of(struct json_object *tree, const char *key,
			       struct json_object **ret_array)
{
	return json_object_object_get_ex(tree, key, ret_array) &&
			       json_object_is_type(*ret_array, json_type_array)
		       ? json_object_array_length(*ret_array)
		       : 0;
}

unsigned missing_report(struct invocation *invocation, struct json_object *definition)
{
	struct json_object *boot = NULL, *disks, *adapters;
	unsigned missing = 0;
	bool hangs = false;

	if (!json_object_is_type(definition, json_type_object))
		return 0;
	json_object_object_get_ex(definition, "boot", &boot);
	missing += missing_look_for_file(boot, "kernel", "kernel", &hangs);
	missing += missing_look_for_file(boot, "initrd", "initrd", &hangs);
	for (size_t i = 0, count = missing_count_of(definition, "disks", &disks); i < count; i++)
		missing += missing_look_for_file(json_object_array_get_idx(disks, i), "path",
						 "disk image", &hangs);
	for (size_t i = 0, count = missing_count_of(definition, "network_adapters", &adapters);
	     i < count; i++)
		missing +=
			missing_look_for_switch(invocation, json_object_array_get_idx(adapters, i));
	return missing;
}
