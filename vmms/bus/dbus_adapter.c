/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* org.vmms1.VM: what it does with network adapters. docs/dbus/org.vmms1.VM.md. */
#include "vmms/bus/dbus_internal.h"
#include "vmms/bus/permit.h"
#include "vmms/network/network.h"
#include "vmms/vm/manager.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define SNAP_LENGTH_MAX 262144 /* bytes */

/* ---- Adding, removing, changing ---- */

/* A call whose answer is the name of the new adapter. */
struct add_call {
	sd_bus_message *call;
	char name[DEFINITION_ADAPTER_NAME_MAX + 1];
};

static void dbus_adapter_add_done(void *data, const struct failure *failure)
{
	struct add_call *add = data;

	if (failure)
		(void)dbus_reply_failure(add->call, failure);
	else
		(void)sd_bus_reply_method_return(add->call, "s", add->name);
	sd_bus_message_unref(add->call);
	free(add);
}

static int dbus_adapter_parse_adapter(struct vm *vm, const char *text,
				      struct definition_adapter *ret_adapter,
				      struct failure *failure)
{
	AUTO_JSON struct json_object *tree = NULL;
	struct json_error error;
	int r;

	r = definition_parse_part(text, strlen(text), &tree, &error);
	if (r == 0)
		r = definition_adapter_from_json(tree, &vm->definition->network, ret_adapter,
						 &error);
	if (r == -EINVAL)
		return failure_set(failure, DBUS_ERROR_INVALID_ARGUMENT, "the adapter's %s %s",
				   error.key[0] != '\0' ? error.key : "description", error.message);
	return r < 0 ? failure_no_memory(failure) : 0;
}

/* An adapter that the caller may give the VM. */
static int dbus_adapter_read_adapter(sd_bus_message *call, struct vm *vm, const char *text,
				     struct definition_adapter *ret_adapter,
				     struct failure *failure)
{
	struct definition_adapter adapter;
	int r;

	r = dbus_adapter_parse_adapter(vm, text, &adapter, failure);
	if (r < 0)
		return r;
	r = permit_adapter(dbus_caller(call), vm_stored_definition(vm), &adapter, failure);
	if (r < 0)
		definition_adapter_deinit(&adapter);
	else
		*ret_adapter = adapter;
	return r;
}

int dbus_add_adapter(sd_bus_message *call, void *data, sd_bus_error *error)
{
	struct definition_adapter adapter;
	struct failure failure;
	struct vm *vm = data;
	struct add_call *add;
	const char *text;
	int r;

	r = sd_bus_message_read(call, "s", &text);
	if (r < 0)
		return r;
	if (dbus_adapter_read_adapter(call, vm, text, &adapter, &failure) < 0)
		return dbus_reply_failure(call, &failure);
	add = calloc(1, sizeof(*add));
	if (!add) {
		definition_adapter_deinit(&adapter);
		return -ENOMEM;
	}
	add->call = sd_bus_message_ref(call);
	snprintf(add->name, sizeof(add->name), "%s", adapter.name);
	r = vm_add_adapter(vm, &adapter, dbus_adapter_add_done, add, &failure);
	if (r < 0)
		free(add);
	return dbus_conclude(call, r, &failure);
}

int dbus_remove_adapter(sd_bus_message *call, void *data, sd_bus_error *error)
{
	struct failure failure;
	const char *name;
	int r;

	r = sd_bus_message_read(call, "s", &name);
	if (r < 0)
		return r;
	r = vm_remove_adapter(data, name, dbus_done, sd_bus_message_ref(call), &failure);
	return dbus_conclude(call, r, &failure);
}

int dbus_change_adapter(sd_bus_message *call, void *data, sd_bus_error *error)
{
	struct definition_adapter adapter;
	const char *name, *text;
	struct failure failure;
	struct vm *vm = data;
	int r;

	r = sd_bus_message_read(call, "ss", &name, &text);
	if (r < 0)
		return r;
	if (dbus_adapter_read_adapter(call, vm, text, &adapter, &failure) < 0)
		return dbus_reply_failure(call, &failure);
	r = vm_change_adapter(vm, name, &adapter, dbus_done, sd_bus_message_ref(call), &failure);
	return dbus_conclude(call, r, &failure);
}

/* ---- Captures ---- */

static void dbus_adapter_capture_ended(void *owner)
{
	struct adapter *adapter = owner;

	capture_free(TAKE_PTR(adapter->capture));
}

static int dbus_adapter_start_capture(struct adapter *adapter, unsigned snap_length, int *ret_fd,
				      struct failure *failure)
{
	char description[DEFINITION_NAME_MAX + DEFINITION_ADAPTER_NAME_MAX + 32];
	struct capture_config config = { .interface = adapter->tap.index,
					 .name = adapter->tap.name,
					 .description = description,
					 .snap_length = snap_length,
					 .ended = dbus_adapter_capture_ended,
					 .owner = adapter };
	int r;

	if (adapter->backend != ADAPTER_TAP)
		return failure_set(failure, DBUS_ERROR_INVALID_STATE,
				   "adapter '%s' is not connected to a virtual switch, where alone "
				   "its frames can be seen",
				   adapter->name);
	if (adapter->capture)
		return failure_set(failure, DBUS_ERROR_BUSY,
				   "somebody captures the frames of adapter '%s' already",
				   adapter->name);
	snprintf(description, sizeof(description), "VM %s, adapter %s",
		 adapter->vm->definition->name, adapter->name);
	r = capture_start(adapter->vm->manager->loop, &config, &adapter->capture, ret_fd);
	return r < 0 ? failure_set(failure, DBUS_ERROR_RESOURCE, "cannot capture: %s", strerror(-r))
		     : 0;
}

int dbus_open_capture(sd_bus_message *call, void *data, sd_bus_error *error)
{
	uint32_t snap_length = 0;
	const struct dbus_option options[] = { { "snap-length", 'u', &snap_length } };
	struct failure failure = { 0 };
	struct adapter *adapter;
	AUTO_CLOSE int fd = -1;
	struct vm *vm = data;
	const char *name;
	int r;

	r = sd_bus_message_read(call, "s", &name);
	if (r >= 0)
		r = dbus_read_options(call, options, ARRAY_SIZE(options), &failure);
	if (r >= 0 && snap_length > SNAP_LENGTH_MAX)
		r = failure_set(&failure, DBUS_ERROR_INVALID_ARGUMENT,
				"a snap length is at most %d bytes; 0 is all", SNAP_LENGTH_MAX);
	if (r < 0)
		return failure.name ? dbus_reply_failure(call, &failure) : r;
	adapter = adapter_find(vm, name);
	if (!adapter && definition_find_adapter(&vm->definition->network, name))
		failure_set(&failure, DBUS_ERROR_INVALID_STATE, "VM '%s' is off: start it first",
			    vm->definition->name);
	else if (!adapter)
		failure_set(&failure, DBUS_ERROR_NO_SUCH_ADAPTER,
			    "VM '%s' has no network adapter '%s'; 'vmctl net list %s' shows what "
			    "it has",
			    vm->definition->name, name, vm->definition->name);
	else
		(void)dbus_adapter_start_capture(adapter, snap_length, &fd, &failure);
	if (failure.name)
		return dbus_reply_failure(call, &failure);
	return sd_bus_reply_method_return(call, "h", fd);
}

/* ---- Properties ---- */

static int dbus_adapter_append_adapter(sd_bus_message *reply, const struct vm *vm,
				       const struct definition_adapter *definition)
{
	const struct adapter *adapter = adapter_find(vm, definition->name);
	char mac[DEFINITION_MAC_TEXT_SIZE] = "";

	if (!definition_mac_is_null(definition->mac))
		definition_mac_format(definition->mac, mac);
	return sd_bus_message_append(reply, "(ssssss)", definition->name, mac,
				     definition->switch_name, adapter ? adapter->tap.name : "",
				     !adapter                     ? "off"
				     : adapter->reason[0] == '\0' ? "up"
								  : "down",
				     adapter ? adapter->reason : "");
}

int dbus_get_adapters(sd_bus *bus, const char *path, const char *interface, const char *property,
		      sd_bus_message *reply, void *data, sd_bus_error *error)
{
	const struct vm *vm = data;
	int r;

	r = sd_bus_message_open_container(reply, 'a', "(ssssss)");
	if (r < 0)
		return r;
	for (unsigned i = 0; i < vm->definition->network.adapter_count; i++) {
		r = dbus_adapter_append_adapter(reply, vm, &vm->definition->network.adapters[i]);
		if (r < 0)
			return r;
	}
	return sd_bus_message_close_container(reply);
}

int dbus_get_addresses(sd_bus *bus, const char *path, const char *interface, const char *property,
		       sd_bus_message *reply, void *data, sd_bus_error *error)
{
	struct vm *vm = data;
	int r;

	r = sd_bus_message_open_container(reply, 'a', "(ss)");
	if (r < 0)
		return r;
	list_for_each (link, &vm->adapters) {
		const struct adapter *adapter = container_of(link, struct adapter, link);

		for (size_t i = 0; i < adapter->address_count; i++) {
			r = sd_bus_message_append(reply, "(ss)", adapter->name,
						  adapter->addresses[i]);
			if (r < 0)
				return r;
		}
	}
	return sd_bus_message_close_container(reply);
}
