/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One VM: a change that a daemon had asked the worker for when it ended. */
#include "vmms/vm/vm_unfinished.h"

#include "common/base/log.h"
#include "common/base/text.h"
#include "vmms/vm/adapter.h"
#include "vmms/vm/manager.h"
#include "vmms/vm/vm_internal.h"
#include "vmms/vm/vm_log.h"
#include "vmms/vm/vm_record.h"

#include <errno.h>
#include <string.h>

struct json_object *vm_unfinished_to_json(const struct vm *vm)
{
	struct json_object *change;

	if (vm->change.unfinished)
		return json_object_get(vm->change.unfinished);
	if (!vm->change.definition || vm->change.request == 0)
		return NULL;
	change = json_make("request", json_object_new_int64(vm->change.request), "definition",
			   definition_to_json(vm->change.definition), NULL);
	if (vm->change.pending)
		json_add(&change, "pending", definition_to_json(vm->change.pending));
	if (vm->change.adapter)
		json_add(&change, "adapter", adapter_to_json(vm->change.adapter));
	if (vm->change.old_adapter)
		json_add(&change, "old_adapter", json_object_new_string(vm->change.old_adapter));
	return change;
}

struct change {
	unsigned request;
	struct json_object *definition, *pending, *adapter;
	char *old_adapter;
};

#define TREE(key, ...)                                                                         \
	{                                                                                      \
		.name = #key, .read = json_read_value, .offset = offsetof(struct change, key), \
		.minimum = json_type_object, __VA_ARGS__                                       \
	}

static const struct json_key change_keys[] = {
	{ .name = "request",
	  .read = json_read_unsigned,
	  .offset = offsetof(struct change, request),
	  .maximum = UINT32_MAX,
	  .required = true },
	TREE(definition, .required = true),
	TREE(pending),
	TREE(adapter),
	{ .name = "old_adapter",
	  .read = json_read_string,
	  .offset = offsetof(struct change, old_adapter),
	  .maximum = DEFINITION_ADAPTER_NAME_MAX },
};

static void unfinished_change_deinit(struct change *change)
{
	json_object_put(change->definition);
	json_object_put(change->pending);
	json_object_put(change->adapter);
	free(change->old_adapter);
}

static bool unfinished_is_made(const struct change *change, struct json_object *status)
{
	struct json_object *changed;

	return json_object_object_get_ex(status, "changed", &changed) &&
	       json_object_is_type(changed, json_type_int) &&
	       json_object_get_int64(changed) == change->request;
}

/* Of its file, what the change says; or, if that was another than now, what it has got since. */
static int unfinished_take_definitions(struct vm *vm, const struct change *change)
{
	struct json_error error;
	int r;

	r = definition_from_json(change->definition, &vm->change.definition, &error);
	if (r == 0 && change->pending)
		r = definition_from_json(change->pending, &vm->change.pending, &error);
	else if (r == 0 && vm->pending)
		r = definition_copy(vm->pending, &vm->change.pending);
	if (r == 0)
		return 0;
	definition_free(TAKE_PTR(vm->change.definition));
	definition_free(TAKE_PTR(vm->change.pending));
	return r;
}

static void unfinished_take_adapters(struct vm *vm, const struct change *change)
{
	struct adapter *adapter;
	int r;

	if (change->old_adapter)
		adapter_free(adapter_find(vm, change->old_adapter));
	if (!change->adapter)
		return;
	r = adapter_adopt(vm, change->adapter, &adapter);
	if (r == 0)
		list_append(&vm->adapters, &adapter->link);
	else
		vm_log(vm, VM_EVENT_NETWORK, LOG_LEVEL_WARNING,
		       "the back end of an adapter cannot be found again: %s", strerror(-r));
}

static void unfinished_finish(struct vm *vm, const struct change *change)
{
	int r = unfinished_take_definitions(vm, change);

	if (r == 0)
		r = vm_change_keep(vm);
	if (r < 0)
		vm_log(vm, VM_EVENT_HOST, LOG_LEVEL_ERROR,
		       "a change that its worker has made cannot be saved in %s: %s",
		       store_path(vm->manager->store), strerror(-r));
	unfinished_take_adapters(vm, change);
	vm_log(vm, VM_EVENT_CHANGED, LOG_LEVEL_INFO,
	       "a change was made that vmms, when it ended, had only asked for");
	vm_notify_definition(vm);
	vm_notify(vm, "Adapters", "Addresses", NULL);
}

void vm_unfinished_settle(struct vm *vm, struct json_object *status)
{
	AUTO_JSON struct json_object *tree = TAKE_PTR(vm->change.unfinished);
	CLEANUP(unfinished_change_deinit) struct change change = { 0 };
	struct json_error error;
	struct json_reader reader = JSON_READER(&error);
	/* Images that it may have come to have all that there is (vm_checkpoint_live.c). */
	bool made = vm_checkpoint_is_unsettled(vm);

	if (!tree)
		return;
	if (json_read(&reader, tree, change_keys, ARRAY_SIZE(change_keys), &change) < 0)
		vm_log(vm, VM_EVENT_HOST, LOG_LEVEL_ERROR,
		       "what was written down of a change makes no sense: %s %s", error.key,
		       error.message);
	else if (status ? unfinished_is_made(&change, status) : made)
		unfinished_finish(vm, &change);
	vm_checkpoint_settle(vm);
	/* What it was is written down no more. */
	vm_record_save(vm);
}
