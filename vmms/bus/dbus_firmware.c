/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* GetFirmware(), ReadVariables() and ResetVariables() of org.vmms1.VM. */
#include "common/base/cleanup.h"
#include "common/firmware/firmware.h"
#include "vmms/bus/dbus_internal.h"
#include "vmms/vm/manager.h"

#include <errno.h>
#include <stdlib.h>

static const char *const state_names[] = { [VARIABLES_FILE_NEW] = "new",
					   [VARIABLES_FILE_WHOLE] = "whole",
					   [VARIABLES_FILE_DAMAGED] = "damaged" };

static struct json_object *dbus_firmware_to_json(const struct vm *vm)
{
	const struct definition_firmware *firmware = definition_firmware(vm->definition);

	if (!firmware)
		return NULL;
	return json_make("name", json_object_new_string(firmware->name), "path",
			 json_object_new_string(firmware->path), "package",
			 json_object_new_string(firmware->package), NULL);
}

static struct json_object *dbus_firmware_entries_to_json(const uint8_t *bytes)
{
	AUTO_FREE struct boot_option *entries = calloc(BOOT_ENTRIES_MAX, sizeof(*entries));
	struct json_object *list = json_object_new_array();
	size_t count = entries ? boot_entries_read(bytes, entries) : 0;

	for (size_t i = 0; i < count; i++)
		json_append(&list,
			    json_make("number", json_object_new_int64(entries[i].number),
				      "description", json_object_new_string(entries[i].description),
				      "path", json_object_new_string(entries[i].path), "active",
				      json_object_new_boolean(entries[i].active), "next",
				      json_object_new_boolean(entries[i].next), NULL));
	return list;
}

static struct json_object *dbus_firmware_variables_to_json(enum variables_file_state state,
							   const uint8_t *bytes)
{
	struct json_object *variables =
		json_make("state", json_object_new_string(state_names[state]), NULL);

	if (state == VARIABLES_FILE_WHOLE) {
		json_add(&variables, "size", json_object_new_int64(VARIABLES_SIZE));
		json_add(&variables, "boot_entries", dbus_firmware_entries_to_json(bytes));
	}
	return variables;
}

/* Members are left out of what the VM does not have. */
int dbus_get_firmware(sd_bus_message *call, void *data, sd_bus_error *error)
{
	AUTO_FREE uint8_t *bytes = malloc(VARIABLES_SIZE);
	const struct vm *vm = data;
	AUTO_JSON struct json_object *tree =
		json_make("generation", json_object_new_int64(vm->definition->generation), NULL);
	struct failure failure = { 0 };
	int r;

	if (!bytes)
		return -ENOMEM;
	if (definition_firmware(vm->definition))
		json_add(&tree, "firmware", dbus_firmware_to_json(vm));
	if (vm_variables_are_kept(vm)) {
		r = vm_variables_read(vm, bytes, &failure);
		if (r < 0)
			return dbus_reply_failure(call, &failure);
		json_add(&tree, "variables",
			 dbus_firmware_variables_to_json((enum variables_file_state)r, bytes));
	}
	return dbus_reply_json(call, tree);
}

static int dbus_firmware_reply_bytes(sd_bus_message *call, const uint8_t *bytes)
{
	sd_bus_message *reply = NULL;
	int r = sd_bus_message_new_method_return(call, &reply);

	if (r >= 0)
		r = sd_bus_message_append_array(reply, 'y', bytes, VARIABLES_SIZE);
	if (r >= 0)
		r = sd_bus_send(NULL, reply, NULL);
	sd_bus_message_unref(reply);
	return r;
}

int dbus_read_variables(sd_bus_message *call, void *data, sd_bus_error *error)
{
	AUTO_FREE uint8_t *bytes = malloc(VARIABLES_SIZE);
	const struct vm *vm = data;
	struct failure failure = { 0 };
	int r;

	if (!bytes)
		return -ENOMEM;
	r = vm_variables_read(vm, bytes, &failure);
	if (r == VARIABLES_FILE_WHOLE)
		return dbus_firmware_reply_bytes(call, bytes);
	if (r == VARIABLES_FILE_NEW)
		(void)failure_set(&failure, DBUS_ERROR_NO_SUCH_VALUE,
				  "the firmware of VM '%s' has set nothing yet",
				  vm->definition->name);
	else if (r == VARIABLES_FILE_DAMAGED)
		(void)failure_set(&failure, DBUS_ERROR_STORE,
				  "the file of what the firmware of VM '%s' has set is damaged; "
				  "'vmctl firmware reset' has it made anew",
				  vm->definition->name);
	return dbus_reply_failure(call, &failure);
}

int dbus_reset_variables(sd_bus_message *call, void *data, sd_bus_error *error)
{
	struct failure failure = { 0 };

	if (vm_variables_reset(data, &failure) < 0)
		return dbus_reply_failure(call, &failure);
	return sd_bus_reply_method_return(call, "");
}
