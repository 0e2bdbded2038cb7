/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The members of org.vmms1.VM that are about its definition: docs/dbus/org.vmms1.VM.md. */
#include "vmms/bus/dbus_internal.h"
#include "vmms/bus/permit.h"

#include <errno.h>
#include <string.h>

/* ---- Changing ---- */

/* A call whose answer is what waits for the next start. */
struct change_call {
	sd_bus_message *call;
	struct vm *vm;
};

static int dbus_settings_append_pending(sd_bus_message *reply, const struct vm *vm)
{
	AUTO_JSON struct json_object *keys = vm_pending_keys(vm);
	int r;

	if (!keys)
		return -ENOMEM;
	r = sd_bus_message_open_container(reply, 'a', "s");
	for (size_t i = 0; r >= 0 && i < json_object_array_length(keys); i++)
		r = sd_bus_message_append(
			reply, "s", json_object_get_string(json_object_array_get_idx(keys, i)));
	return r < 0 ? r : sd_bus_message_close_container(reply);
}

static void dbus_settings_change_done(void *data, const struct failure *failure)
{
	struct change_call *change = data;
	sd_bus_message *reply = NULL;
	int r;

	if (failure) {
		r = dbus_reply_failure(change->call, failure);
	} else {
		r = sd_bus_message_new_method_return(change->call, &reply);
		if (r >= 0)
			r = dbus_settings_append_pending(reply, change->vm);
		if (r >= 0)
			r = sd_bus_message_send(reply);
	}
	if (r < 0)
		(void)sd_bus_reply_method_errno(change->call, r, NULL);
	sd_bus_message_unref(reply);
	sd_bus_message_unref(change->call);
	free(change);
}

static int dbus_settings_read_definition(const char *text, struct definition **ret_definition,
					 struct failure *failure)
{
	struct json_error why;
	int r;

	r = definition_parse(text, strlen(text), ret_definition, &why);
	if (r == -EINVAL)
		return dbus_refuse_definition(failure, text, &why);
	return r < 0 ? failure_no_memory(failure) : 0;
}

/* base: what the caller took the definition for, NULL: whatever it is. */
static int dbus_settings_check_base(const struct vm *vm, const char *base, struct failure *failure)
{
	CLEANUP(definition_freep) struct definition *definition = NULL;
	int r;

	if (!base)
		return 0;
	r = dbus_settings_read_definition(base, &definition, failure);
	if (r < 0)
		return r;
	if (!vm_definitions_are_equal(definition, vm_stored_definition(vm)))
		return failure_set(failure, DBUS_ERROR_CONFLICT,
				   "the definition of VM '%s' has been changed by somebody else "
				   "meanwhile; begin again from what it is now",
				   vm->definition->name);
	return 0;
}

static int change(sd_bus_message *call, struct vm *vm, struct definition *definition,
		  struct failure *failure)
{
	struct change_call *change = calloc(1, sizeof(*change));
	int r;

	if (!change) {
		definition_free(definition);
		return -ENOMEM;
	}
	*change = (struct change_call){ sd_bus_message_ref(call), vm };
	r = vm_change_definition(vm, definition, dbus_settings_change_done, change, failure);
	if (r < 0)
		free(change);
	return dbus_conclude(call, r, failure);
}

int dbus_change_definition(sd_bus_message *call, void *data, sd_bus_error *error)
{
	const char *text, *base = NULL;
	const struct dbus_option options[] = { { "base", 's', &base } };
	struct definition *definition;
	struct failure failure = { 0 };
	struct vm *vm = data;
	int r;

	r = sd_bus_message_read(call, "s", &text);
	if (r >= 0)
		r = dbus_read_options(call, options, ARRAY_SIZE(options), &failure);
	if (r >= 0)
		r = dbus_settings_check_base(vm, base, &failure);
	if (r >= 0)
		r = dbus_settings_read_definition(text, &definition, &failure);
	if (r < 0)
		return failure.name ? dbus_reply_failure(call, &failure) : r;
	r = permit_definition(dbus_caller(call), vm_stored_definition(vm), definition, &failure);
	if (r == 0 && dbus_caller(call))
		r = quota_check_definition(vm->manager, vm_stored_definition(vm), definition,
					   &failure);
	if (r == 0)
		r = dbus_check_owner(call, vm_stored_definition(vm), definition, &failure);
	if (r != 0) {
		definition_free(definition);
		return r > 0 ? 1 : dbus_reply_failure(call, &failure);
	}
	return change(call, vm, definition, &failure);
}

/* ---- Properties ---- */

int dbus_get_pending_changes(sd_bus *bus, const char *path, const char *interface,
			     const char *property, sd_bus_message *reply, void *data,
			     sd_bus_error *error)
{
	return dbus_settings_append_pending(reply, data);
}

int dbus_get_tags(sd_bus *bus, const char *path, const char *interface, const char *property,
		  sd_bus_message *reply, void *data, sd_bus_error *error)
{
	const struct vm *vm = data;
	const struct definition_tags *tags = &vm->definition->tags;
	int r;

	r = sd_bus_message_open_container(reply, 'a', "s");
	for (unsigned i = 0; r >= 0 && i < tags->count; i++)
		r = sd_bus_message_append(reply, "s", tags->tags[i]);
	return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int dbus_settings_append_definition(sd_bus_message *reply,
					   const struct definition *definition)
{
	AUTO_JSON struct json_object *tree = definition_to_json(definition);

	if (!tree)
		return -ENOMEM;
	return sd_bus_message_append(
		reply, "s",
		json_object_to_json_string_ext(tree, JSON_C_TO_STRING_PRETTY |
							     JSON_C_TO_STRING_SPACED |
							     JSON_C_TO_STRING_NOSLASHESCAPE));
}

int dbus_get_running_definition(sd_bus *bus, const char *path, const char *interface,
				const char *property, sd_bus_message *reply, void *data,
				sd_bus_error *error)
{
	const struct vm *vm = data;

	return dbus_settings_append_definition(reply, vm->definition);
}

int dbus_get_definition(sd_bus *bus, const char *path, const char *interface, const char *property,
			sd_bus_message *reply, void *data, sd_bus_error *error)
{
	return dbus_settings_append_definition(reply, vm_stored_definition(data));
}
