/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One VM: its network adapters, with its worker or changed at rest or while it runs (vm_change.c).
 *
 * An adapter that is moved to another switch gets a new back end, which takes the place of the old
 * one when the worker has it: until then, and if it refuses, the old one serves. What is not the
 * worker's business (VLAN, guards, limits) is changed at the tap alone.
 */
#include "common/base/log.h"
#include "common/control.h"
#include "vmms/image/image.h"
#include "vmms/vm/adapter.h"
#include "vmms/vm/manager.h"
#include "vmms/vm/vm_internal.h"
#include "vmms/vm/vm_log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* ---- What may be ---- */

static bool adapters_is_user_mode(const struct definition_adapter *adapter)
{
	return strcmp(adapter->switch_name, DEFINITION_SWITCH_DEFAULT) == 0;
}

int vm_check_adapter(const struct definition_adapter *adapter, struct failure *failure)
{
	if (adapter->tap)
		return failure_set(failure, DBUS_ERROR_INVALID_DEFINITION,
				   "adapter '%s' names a tap, which is for workers that are run by "
				   "hand; connect it to a virtual switch",
				   adapter->name);
	if (adapters_is_user_mode(adapter) && (adapter->egress > 0 || adapter->ingress > 0))
		return failure_set(
			failure, DBUS_ERROR_INVALID_DEFINITION,
			"adapter '%s' has a limit to its bandwidth, which switch "
			"'default' has not; connect it to a virtual switch, or leave the "
			"limit out",
			adapter->name);
	return 0;
}

/* Whoever names a switch learns now that there is none, not when the VM is started. */
static int adapters_check_switch(const struct vm *vm, const struct definition_adapter *adapter,
				 struct failure *failure)
{
	if (adapter->tap || !definition_switch_name_is_valid(adapter->switch_name) ||
	    vswitches_find(vm->manager->switches, adapter->switch_name))
		return 0;
	return failure_set(failure, DBUS_ERROR_NO_SUCH_SWITCH,
			   "there is no virtual switch '%s'; 'vmctl switch list' shows which there "
			   "are, 'vmctl switch add' makes one",
			   adapter->switch_name);
}

/* ---- With the worker ---- */

static void adapters_add_resources(struct resources *resources, const struct adapter *adapter,
				   struct adapter_descriptors *descriptors)
{
	char name[sizeof(resources->items[0].name)];

	for (unsigned i = 0; i < descriptors->count; i++) {
		if (adapter->backend == ADAPTER_TAP)
			snprintf(name, sizeof(name), "net:%s:%u", adapter->name, i);
		else
			snprintf(name, sizeof(name), "net:%s", adapter->name);
		resources_add(resources, name, TAKE_FD(descriptors->fds[i]));
	}
	descriptors->count = 0;
}

static bool adapters_lack_macs(const struct definition_network *network)
{
	for (unsigned i = 0; i < network->adapter_count; i++) {
		if (definition_mac_is_null(network->adapters[i].mac))
			return true;
	}
	return false;
}

/* Adapters that were written by hand may have no address yet; what they get is theirs for good. */
static int adapters_complete(struct vm *vm, struct failure *failure)
{
	struct failure ignored;
	int r;

	if (!adapters_lack_macs(&vm->definition->network))
		return 0;
	r = manager_complete_adapters(vm->manager, vm->definition, vm, failure);
	if (r == 0 && (vm_check_file(vm, &ignored) < 0 || vm_save(vm) < 0))
		vm_log(vm, VM_EVENT_HOST, LOG_LEVEL_WARNING,
		       "the MAC addresses that were made for it are not saved");
	vm_notify(vm, "Definition", "Adapters", NULL);
	return r;
}

int vm_open_adapters(struct vm *vm, struct resources *resources, struct failure *failure)
{
	const struct definition_network *network = &vm->definition->network;
	int r;

	r = adapters_complete(vm, failure);
	if (r == 0)
		r = manager_check_macs(vm, failure);
	for (unsigned i = 0; r == 0 && i < network->adapter_count; i++) {
		CLEANUP(adapter_descriptors_close) struct adapter_descriptors descriptors = { 0 };
		struct adapter *adapter;

		r = vm_check_adapter(&network->adapters[i], failure);
		if (r == 0)
			r = adapter_new(vm, &network->adapters[i], &adapter, &descriptors, failure);
		if (r < 0)
			return r;
		list_append(&vm->adapters, &adapter->link);
		adapters_add_resources(resources, adapter, &descriptors);
	}
	return r;
}

void vm_forget_adapters(struct vm *vm)
{
	list_for_each (link, &vm->adapters)
		adapter_free(container_of(link, struct adapter, link));
	adapter_guard_loopback(vm);
}

/* ---- Changes ---- */

void vm_adapter_changed(struct vm *vm, bool made)
{
	struct adapter *next = TAKE_PTR(vm->change.adapter);
	const char *old_name = TAKE_PTR(vm->change.old_adapter);
	struct adapter *old = old_name ? adapter_find(vm, old_name) : NULL;

	if (made)
		adapter_free(old);
	if (made && next)
		list_append(&vm->adapters, &next->link);
	else
		adapter_free(next);
	if (old_name || next) {
		adapter_guard_loopback(vm);
		vm_notify(vm, "Adapters", "Addresses", NULL);
	}
}

static int adapters_copy(const struct definition_adapter *adapter,
			 struct definition_adapter *ret_copy)
{
	AUTO_JSON struct json_object *tree = definition_adapter_to_json(adapter);
	struct json_error error;

	return tree ? definition_adapter_from_json(tree, NULL, ret_copy, &error) : -ENOMEM;
}

/* What the VM has of that name from its next start on, or NULL. */
static struct definition_adapter *adapters_find_pending(struct vm *vm, const char *name)
{
	return vm->change.pending ? definition_find_adapter(&vm->change.pending->network, name)
				  : NULL;
}

static int adapters_no_such_adapter(const struct vm *vm, const char *name, struct failure *failure)
{
	return failure_set(failure, DBUS_ERROR_NO_SUCH_ADAPTER,
			   "VM '%s' has no network adapter '%s'; 'vmctl net list %s' shows what it "
			   "has",
			   vm->definition->name, name, vm->definition->name);
}

/* Makes vm->change.adapter of the definition. */
static int adapters_prepare(struct vm *vm, const struct definition_adapter *definition,
			    struct adapter_descriptors *descriptors, struct failure *failure)
{
	return adapter_new(vm, definition, &vm->change.adapter, descriptors, failure);
}

/* Puts an adapter into vm->change.definition, complete. */
static int adapters_add_to_definition(struct vm *vm, struct definition_adapter *adapter,
				      struct failure *failure)
{
	AUTO_FREE char *name = strdup(adapter->name);
	int r;

	r = vm_check_adapter(adapter, failure);
	if (r == 0)
		r = adapters_check_switch(vm, adapter, failure);
	if (r < 0)
		return r;
	r = name ? definition_add_adapter(&vm->change.definition->network, adapter) : -ENOMEM;
	if (r == -ENOSPC)
		return failure_set(failure, DBUS_ERROR_EXISTS,
				   "VM '%s' has %d adapters: that is all", vm->definition->name,
				   DEFINITION_ADAPTERS_MAX);
	if (r == -EEXIST)
		return failure_set(failure, DBUS_ERROR_EXISTS,
				   "VM '%s' has an adapter '%s', or one of its MAC address, "
				   "already",
				   vm->definition->name, name);
	if (r < 0)
		return failure_no_memory(failure);
	return manager_complete_adapters(vm->manager, vm->change.definition, vm, failure);
}

/* The VM has it from its next start on, too. */
static int adapters_add_pending(struct vm *vm, const struct definition_adapter *added,
				struct failure *failure)
{
	struct definition_adapter adapter;
	int r;

	if (!vm->change.pending)
		return 0;
	r = adapters_copy(added, &adapter);
	if (r == 0) {
		r = definition_add_adapter(&vm->change.pending->network, &adapter);
		definition_adapter_deinit(&adapter);
	}
	if (r == -EEXIST || r == -ENOSPC)
		return failure_set(failure, DBUS_ERROR_EXISTS,
				   "VM '%s' has an adapter '%s', or one of its MAC address, or too "
				   "many, from its next start on",
				   vm->definition->name, added->name);
	return r < 0 ? failure_no_memory(failure) : 0;
}

static int adapters_add(struct vm *vm, struct definition_adapter *adapter, struct failure *failure)
{
	CLEANUP(adapter_descriptors_close) struct adapter_descriptors descriptors = { 0 };
	AUTO_JSON struct json_object *arguments = NULL;
	struct definition_network *network = &vm->change.definition->network;
	const struct definition_adapter *added;
	int r;

	r = adapters_add_to_definition(vm, adapter, failure);
	if (r < 0)
		return r;
	added = &network->adapters[network->adapter_count - 1];
	r = adapters_add_pending(vm, added, failure);
	if (r < 0)
		return r;
	if (!vm->run.worker)
		return vm_change_make(vm, NULL, NULL, NULL, 0, failure);
	r = adapters_prepare(vm, added, &descriptors, failure);
	if (r < 0)
		return r;
	arguments =
		json_make("adapter", definition_adapter_to_json(added), "backend",
			  json_object_new_string(adapter_backend_name(vm->change.adapter)), NULL);
	return arguments ? vm_change_make(vm, "attach_adapter", arguments, descriptors.fds,
					  descriptors.count, failure)
			 : failure_no_memory(failure);
}

int vm_add_adapter(struct vm *vm, struct definition_adapter *adapter, vm_done_fn done, void *data,
		   struct failure *failure)
{
	int r;

	r = vm_change_begin(vm, VM_ADD_ADAPTER, done, data, failure);
	if (r == 0) {
		r = adapters_add(vm, adapter, failure);
		if (r < 0)
			vm_change_undo(vm);
	}
	definition_adapter_deinit(adapter);
	return r;
}

static int adapters_remove_adapter(struct vm *vm, const char *name, struct failure *failure)
{
	AUTO_JSON struct json_object *arguments = NULL;
	struct definition_adapter *adapter =
		definition_find_adapter(&vm->change.definition->network, name);
	struct definition_adapter *pending = adapters_find_pending(vm, name);
	struct adapter *running = adapter_find(vm, name);

	if (pending)
		definition_remove_adapter(&vm->change.pending->network, pending);
	if (pending && !adapter)
		return vm_change_make(vm, NULL, NULL, NULL, 0, failure);
	if (!adapter)
		return adapters_no_such_adapter(vm, name, failure);
	arguments = json_make("name", json_object_new_string(name), NULL);
	if (!arguments)
		return failure_no_memory(failure);
	definition_remove_adapter(&vm->change.definition->network, adapter);
	vm->change.old_adapter = running ? running->name : NULL;
	return vm_change_make(vm, "detach_adapter", arguments, NULL, 0, failure);
}

int vm_remove_adapter(struct vm *vm, const char *name, vm_done_fn done, void *data,
		      struct failure *failure)
{
	int r;

	r = vm_change_begin(vm, VM_REMOVE_ADAPTER, done, data, failure);
	if (r < 0)
		return r;
	r = adapters_remove_adapter(vm, name, failure);
	if (r < 0)
		vm_change_undo(vm);
	return r;
}

/* ---- Other settings ---- */

static bool adapters_is_same_to_guest(const struct definition_adapter *a,
				      const struct definition_adapter *b)
{
	return strcmp(a->name, b->name) == 0 && memcmp(a->mac, b->mac, sizeof(a->mac)) == 0 &&
	       guid_equal(&a->instance, &b->instance) && a->mtu == b->mtu && a->queues == b->queues;
}

static bool adapters_is_same_backend(const struct definition_adapter *a,
				     const struct definition_adapter *b)
{
	return strcmp(a->switch_name, b->switch_name) == 0 &&
	       a->forward_count == b->forward_count && a->host_loopback == b->host_loopback &&
	       memcmp(a->forwards, b->forwards, a->forward_count * sizeof(a->forwards[0])) == 0;
}

/* At the tap alone; back again if it cannot be saved. */
static int adapters_change_tap(struct vm *vm, const struct definition_adapter *old,
			       const struct definition_adapter *new, struct failure *failure)
{
	struct adapter *adapter = adapter_find(vm, old->name);
	struct failure ignored;
	int r;

	r = adapter ? adapter_apply(adapter, new, failure) : 0;
	if (r == 0)
		r = vm_change_make(vm, NULL, NULL, NULL, 0, failure);
	if (r < 0 && adapter && adapter_apply(adapter, old, &ignored) < 0)
		log_error("%s", ignored.message);
	return r;
}

static int adapters_change_backend(struct vm *vm, const struct definition_adapter *new,
				   struct failure *failure)
{
	CLEANUP(adapter_descriptors_close) struct adapter_descriptors descriptors = { 0 };
	AUTO_JSON struct json_object *arguments =
		json_make("name", json_object_new_string(new->name), NULL);
	struct adapter *running = adapter_find(vm, new->name);
	int r;

	r = adapters_prepare(vm, new, &descriptors, failure);
	if (r < 0)
		return r;
	vm->change.old_adapter = running ? running->name : NULL;
	if (descriptors.count > 0)
		json_add(&arguments, "backend",
			 json_object_new_string(adapter_backend_name(vm->change.adapter)));
	if (!arguments)
		return failure_no_memory(failure);
	return vm_change_make(vm, descriptors.count > 0 ? "connect_adapter" : "disconnect_adapter",
			      arguments, descriptors.fds, descriptors.count, failure);
}

/* In the place of the old one, so that their order stays. */
static int adapters_replace(struct vm *vm, const char *name, struct definition_adapter *adapter,
			    const struct definition_adapter **ret_old, struct failure *failure)
{
	struct definition_network *network = &vm->change.definition->network;
	struct definition_adapter *place = definition_find_adapter(network, name);
	struct definition_adapter *twin = definition_find_adapter(network, adapter->name);
	int r;

	if (!place)
		return adapters_no_such_adapter(vm, name, failure);
	if (twin && twin != place)
		return failure_set(failure, DBUS_ERROR_EXISTS,
				   "VM '%s' has an adapter '%s' already", vm->definition->name,
				   adapter->name);
	r = vm_check_adapter(adapter, failure);
	if (r < 0)
		return r;
	*ret_old = definition_find_adapter(&vm->definition->network, name);
	if (strcmp((*ret_old)->switch_name, adapter->switch_name) != 0) {
		r = adapters_check_switch(vm, adapter, failure);
		if (r < 0)
			return r;
	}
	if (definition_mac_is_null(adapter->mac))
		memcpy(adapter->mac, (*ret_old)->mac, sizeof(adapter->mac));
	definition_adapter_deinit(place);
	*place = *adapter;
	*adapter = (struct definition_adapter){ 0 };
	return manager_complete_adapters(vm->manager, vm->change.definition, vm, failure);
}

/* Where the VM has it from its next start on, as this. */
static int adapters_replace_pending(struct vm *vm, const char *name,
				    const struct definition_adapter *new)
{
	struct definition_adapter *pending = adapters_find_pending(vm, name);
	struct definition_adapter adapter;
	int r;

	if (!pending)
		return 0;
	r = adapters_copy(new, &adapter);
	if (r < 0)
		return r;
	definition_adapter_deinit(pending);
	*pending = adapter;
	return 0;
}

static int adapters_change(struct vm *vm, const char *name, struct definition_adapter *adapter,
			   struct failure *failure)
{
	AUTO_FREE char *new_name = strdup(adapter->name);
	const struct definition_adapter *old, *new;
	int r;

	if (!new_name)
		return failure_no_memory(failure);
	r = adapters_replace(vm, name, adapter, &old, failure);
	if (r < 0)
		return r;
	new = definition_find_adapter(&vm->change.definition->network, new_name);
	r = adapters_replace_pending(vm, name, new);
	if (r < 0)
		return failure_no_memory(failure);
	if (!vm->run.worker)
		return vm_change_make(vm, NULL, NULL, NULL, 0, failure);
	if (!adapters_is_same_to_guest(old, new))
		return failure_set(failure, DBUS_ERROR_INVALID_STATE,
				   "name, MAC address, instance, MTU and queues of adapter '%s' "
				   "cannot be changed while VM '%s' runs; turn it off first, or "
				   "remove the adapter and add it again",
				   name, vm->definition->name);
	return adapters_is_same_backend(old, new) ? adapters_change_tap(vm, old, new, failure)
						  : adapters_change_backend(vm, new, failure);
}

int vm_change_adapter(struct vm *vm, const char *name, struct definition_adapter *adapter,
		      vm_done_fn done, void *data, struct failure *failure)
{
	int r;

	r = vm_change_begin(vm, VM_CHANGE_ADAPTER, done, data, failure);
	if (r == 0) {
		r = adapters_change(vm, name, adapter, failure);
		if (r < 0)
			vm_change_undo(vm);
	}
	definition_adapter_deinit(adapter);
	return r;
}
