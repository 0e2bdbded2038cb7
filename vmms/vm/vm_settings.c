/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One VM: another definition for it, at rest or while it runs.
 *
 * A VM that runs has two definitions when they differ: vm->definition, by which it runs, and
 * vm->pending, which its file holds and its next start takes. What the host alone does with a VM,
 * and what its worker can be told, is taken over by both; what is left makes the second one differ.
 *
 * Definitions are compared and merged as the trees that their writer makes of them, so that a new
 * key needs nothing here unless it can be changed at once.
 */
#include "common/base/log.h"
#include "vmms/vm/manager.h"
#include "vmms/vm/vm_internal.h"
#include "vmms/vm/vm_pinning.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Taken over at once. All else waits for the next start. */
static const char *const live_keys[] = {
	"owner",           "owner_uid",      "notes",         "tags",        "actions",
	"automatic_start", "automatic_stop", "generation_id", "checkpoints", "cluster",
};

const struct definition *vm_stored_definition(const struct vm *vm)
{
	return vm->pending ? vm->pending : vm->definition;
}

/* ---- What differs ---- */

struct json_object *vm_pending_keys(const struct vm *vm)
{
	AUTO_JSON struct json_object *now = NULL, *then = NULL;

	/* Of nearly all VMs, which are listed by the thousand. */
	if (!vm->pending)
		return json_object_new_array();
	now = definition_to_json(vm->definition);
	then = definition_to_json(vm->pending);
	return json_differing_keys(now, then);
}

bool vm_definitions_are_equal(const struct definition *a, const struct definition *b)
{
	return json_equal(definition_to_json(a), definition_to_json(b));
}

/* ---- What a change makes of the two ---- */

/*
 * How much dynamic memory the guest has: but for the maximum, for which room was made at the start.
 * New reference; NULL without memory.
 */
static struct json_object *settings_merge_memory(const struct definition_memory *running,
						 const struct definition_memory *wanted)
{
	struct definition_memory merged = *running;
	uint64_t maximum = running->dynamic.maximum;

	if (running->dynamic.on && wanted->dynamic.on) {
		merged.dynamic = wanted->dynamic;
		merged.dynamic.maximum = maximum;
		merged.size = MIN(wanted->size, maximum);
		merged.dynamic.minimum = MIN(wanted->dynamic.minimum, maximum);
	}
	return definition_memory_to_json(&merged);
}

/*
 * A limit of tasks that is meant for fewer vps waits for these to be gone, and pins of vps that are
 * to come for those. The CPU group stays: a unit has its slice for good. New reference.
 */
static struct json_object *settings_merge_resources(const struct definition *running,
						    const struct definition *wanted)
{
	struct definition_resources merged = wanted->resources;
	struct json_object *tree;

	if (merged.tasks_max > 0)
		merged.tasks_max = MAX(merged.tasks_max,
				       running->processors.count + DEFINITION_TASKS_BESIDES_VPS);
	strcpy(merged.cpu_group, running->resources.cpu_group);
	tree = definition_resources_to_json(&merged);
	if (merged.pinning.count > 0)
		json_add(&tree, "pinning",
			 definition_pinning_to_json(&merged.pinning, running->processors.count));
	return tree;
}

/* The running definition with what can be had at once of the new one. */
static int settings_merge(const struct definition *running, const struct definition *wanted,
			  struct definition **ret_merged)
{
	AUTO_JSON struct json_object *tree = definition_to_json(running);
	AUTO_JSON struct json_object *source = definition_to_json(wanted);
	struct json_error error;

	for (size_t i = 0; tree && source && i < ARRAY_SIZE(live_keys); i++) {
		struct json_object *value = json_object_object_get(source, live_keys[i]);

		json_object_object_del(tree, live_keys[i]);
		if (value)
			json_add(&tree, live_keys[i], json_object_get(value));
	}
	json_add(&tree, "memory", settings_merge_memory(&running->memory, &wanted->memory));
	json_add(&tree, "resources", settings_merge_resources(running, wanted));
	return tree && source ? definition_from_json(tree, ret_merged, &error) : -ENOMEM;
}

static int settings_set_next(struct vm *vm, struct definition *wanted)
{
	definition_free(TAKE_PTR(vm->change.definition));
	definition_free(TAKE_PTR(vm->change.pending));
	if (!vm->run.worker) {
		vm->change.definition = wanted;
		return 0;
	}
	vm->change.pending = wanted;
	return settings_merge(vm->definition, wanted, &vm->change.definition);
}

/* Adapters that are written without a MAC address keep what they had. */
static void settings_keep_macs(const struct definition *old, struct definition *wanted)
{
	struct definition_network *network = &wanted->network;

	for (unsigned i = 0; i < network->adapter_count; i++) {
		const struct definition_adapter *before = definition_find_adapter(
			(struct definition_network *)&old->network, network->adapters[i].name);

		if (before && definition_mac_is_null(network->adapters[i].mac))
			memcpy(network->adapters[i].mac, before->mac, DEFINITION_MAC_SIZE);
	}
}

/* The owner stays too, unless another one is named. */
static int settings_keep_owner(const struct definition *old, struct definition *wanted)
{
	if (wanted->owner || !old->owner)
		return 0;
	wanted->owner = strdup(old->owner);
	wanted->owner_uid = old->owner_uid;
	return wanted->owner ? 0 : -ENOMEM;
}

/* Name and uuid are what the VM is known by. */
static int settings_check_identity(const struct vm *vm, struct definition *wanted,
				   struct failure *failure)
{
	const struct definition *stored = vm_stored_definition(vm);

	if (guid_is_null(&wanted->uuid))
		wanted->uuid = stored->uuid;
	if (strcmp(wanted->name, stored->name) != 0)
		return failure_set(failure, DBUS_ERROR_INVALID_ARGUMENT,
				   "the name of VM '%s' is not changed so; 'vmctl rename %s NAME' "
				   "does it",
				   stored->name, stored->name);
	if (!guid_equal(&wanted->uuid, &stored->uuid))
		return failure_set(failure, DBUS_ERROR_INVALID_ARGUMENT,
				   "the uuid of VM '%s' cannot be changed", stored->name);
	return 0;
}

/* What was there before is checked when the VM starts: a CPU may have gone since. */
static int settings_check_cpus(const struct vm *vm, const struct definition *wanted,
			       struct failure *failure)
{
	const struct definition *stored = vm_stored_definition(vm);

	if (json_equal(definition_resources_to_json(&wanted->resources),
		       definition_resources_to_json(&stored->resources)))
		return 0;
	return vm_pinning_check(vm->manager->cpu_groups, wanted, DBUS_ERROR_INVALID_DEFINITION,
				failure);
}

/* ---- The change ---- */

static int settings_make(struct vm *vm, struct failure *failure)
{
	AUTO_JSON struct json_object *arguments = NULL;
	AUTO_JSON struct json_object *before = definition_actions_to_json(&vm->definition->actions);

	arguments = json_make("actions",
			      definition_actions_to_json(&vm->change.definition->actions), NULL);
	if (!before || !arguments)
		return failure_no_memory(failure);
	if (json_object_equal(before, json_object_object_get(arguments, "actions")))
		return vm_change_make(vm, NULL, NULL, NULL, 0, failure);
	return vm_change_make(vm, "change_actions", arguments, NULL, 0, failure);
}

int vm_change_definition(struct vm *vm, struct definition *definition, vm_done_fn done, void *data,
			 struct failure *failure)
{
	CLEANUP(definition_freep) struct definition *wanted = definition;
	int r;

	r = settings_check_identity(vm, wanted, failure);
	if (r == 0)
		r = settings_check_cpus(vm, wanted, failure);
	if (r < 0)
		return r;
	r = vm_change_begin(vm, VM_CHANGE, done, data, failure);
	if (r < 0)
		return r;
	settings_keep_macs(vm_stored_definition(vm), wanted);
	r = settings_keep_owner(vm_stored_definition(vm), wanted) < 0
		    ? failure_no_memory(failure)
		    : manager_complete_adapters(vm->manager, wanted, vm, failure);
	if (r == 0 && settings_set_next(vm, TAKE_PTR(wanted)) < 0)
		r = failure_no_memory(failure);
	if (r == 0)
		r = settings_make(vm, failure);
	if (r < 0)
		vm_change_undo(vm);
	return r;
}

void vm_run_by(struct vm *vm, struct definition **definition)
{
	if (vm_definitions_are_equal(vm->definition, *definition))
		return;
	if (vm->pending)
		definition_free(vm->definition);
	else
		vm->pending = vm->definition;
	vm->definition = TAKE_PTR(*definition);
}

void vm_take_pending(struct vm *vm)
{
	if (!vm->pending)
		return;
	definition_free(vm->definition);
	vm->definition = TAKE_PTR(vm->pending);
	vm_notify_definition(vm);
}
