/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One VM: what is written down of its checkpoints, and files that they do not need any more. */
#include "common/base/log.h"
#include "vmms/base/fault.h"
#include "vmms/image/image.h"
#include "vmms/vm/manager.h"
#include "vmms/vm/vm_checkpoint_internal.h"
#include "vmms/vm/vm_internal.h"
#include "vmms/vm/vm_log.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

/* ---- Writing ---- */

static struct json_object *store_describe_pending(const struct checkpoint_work *work)
{
	return json_make("tree", checkpoints_to_json(work->next), "made",
			 checkpoint_paths_to_json(&work->made), NULL);
}

/* What is written has to be within what is read. */
static int store_check(struct json_object *tree)
{
	AUTO_JSON struct json_object *again = NULL;
	const char *text = json_object_to_json_string_ext(tree, JSON_C_TO_STRING_PRETTY);
	struct json_error error;
	int r = text ? json_parse(text, strlen(text), &again, &error) : -ENOMEM;

	return r == -EINVAL ? -EFBIG : r;
}

int checkpoint_save(const struct vm *vm)
{
	const struct vm_checkpoints *checkpoints = &vm->checkpoints;
	AUTO_JSON struct json_object *tree =
		json_make("version", json_object_new_int64(1), "tree",
			  checkpoints_to_json(checkpoints->tree), NULL);
	char uuid[GUID_TEXT_SIZE];
	int r;

	if (checkpoints->work && checkpoints->work->next)
		json_add(&tree, "pending", store_describe_pending(checkpoints->work));
	if (!tree)
		return -ENOMEM;
	r = store_check(tree);
	guid_format(&vm->definition->uuid, uuid);
	return r == 0 ? folder_save(vm->manager->checkpoints, uuid, tree) : r;
}

/* ---- What is not needed ---- */

static void store_clean_done(void *data, const struct failure *failure)
{
	struct vm *vm = data;
	struct vm_checkpoints *checkpoints = &vm->checkpoints;
	int r;

	checkpoints->cleaner = NULL;
	fault_point(FAULT_CHECKPOINT_CLEANED);
	if (failure)
		vm_log(vm, VM_EVENT_HOST, LOG_LEVEL_WARNING,
		       "files that no checkpoint needs are still there: %s", failure->message);
	for (size_t i = 0; !failure && i < checkpoints->cleaned.count; i++)
		checkpoints_forget_file(checkpoints->tree, checkpoints->cleaned.items[i]);
	checkpoint_paths_deinit(&checkpoints->cleaned);
	r = failure ? 0 : checkpoint_save(vm);
	if (r < 0)
		vm_log(vm, VM_EVENT_HOST, LOG_LEVEL_WARNING,
		       "what became of its checkpoints cannot be written down: %s", strerror(-r));
	checkpoint_cleaned(vm);
}

static int store_clean(struct vm *vm, struct failure *failure)
{
	struct vm_checkpoints *checkpoints = &vm->checkpoints;
	const struct checkpoint_paths *unneeded = &checkpoints->tree->unneeded;
	struct image_fork_request request = {
		.owner = vm->definition->owner,
		.owner_uid = vm->definition->owner_uid,
		.timeout = vm->manager->settings.open_timeout,
	};

	for (size_t i = 0; i < unneeded->count; i++) {
		if (checkpoint_paths_add(&checkpoints->cleaned, unneeded->items[i]) < 0)
			return failure_no_memory(failure);
	}
	request.removed = (const char *const *)checkpoints->cleaned.items;
	request.removed_count = checkpoints->cleaned.count;
	request.waits = checkpoints->lets_go;
	request.find_user = checkpoint_find_user;
	request.user_data = vm;
	checkpoints->lets_go = false;
	return image_fork_new(vm->manager->helpers, &request, store_clean_done, vm,
			      &checkpoints->cleaner, failure);
}

static bool store_needs_state(const struct vm *vm, const char *path)
{
	const struct checkpoints *tree = vm->checkpoints.tree;
	char needed[PATH_MAX];

	for (size_t i = 0; i < tree->count; i++) {
		if (tree->items[i].hidden || tree->items[i].type != CHECKPOINT_STANDARD)
			continue;
		vm_saved_state_checkpoint_path(vm, tree->items[i].id, needed);
		if (strcmp(needed, path) == 0)
			return true;
	}
	return false;
}

void checkpoint_clean_states(struct vm *vm)
{
	struct checkpoint_paths *states = &vm->checkpoints.tree->states;
	bool changed = false;

	for (size_t i = states->count; i-- > 0;) {
		if (store_needs_state(vm, states->items[i]))
			continue;
		saved_file_remove(vm->manager->helpers, states->items[i]);
		checkpoint_paths_remove(states, states->items[i]);
		changed = true;
	}
	if (changed && checkpoint_save(vm) < 0)
		vm_log(vm, VM_EVENT_HOST, LOG_LEVEL_WARNING,
		       "what became of its checkpoints cannot be written down");
}

void checkpoint_clean(struct vm *vm)
{
	struct vm_checkpoints *checkpoints = &vm->checkpoints;
	struct failure failure;

	/* That of an earlier daemon's leftovers; then this comes again. */
	if (checkpoints->cleaner)
		return;
	if (checkpoints->work)
		checkpoints->work->cleaned = true;
	checkpoint_clean_states(vm);
	if (checkpoints->tree->unneeded.count == 0) {
		checkpoint_cleaned(vm);
		return;
	}
	if (store_clean(vm, &failure) == 0)
		return;
	checkpoint_paths_deinit(&checkpoints->cleaned);
	vm_log(vm, VM_EVENT_HOST, LOG_LEVEL_WARNING,
	       "files that no checkpoint needs are still there: %s", failure.message);
	checkpoint_cleaned(vm);
}

/* ---- Reading ---- */

struct store_members {
	unsigned version;
	struct json_object *tree, *pending;
};

struct store_pending_members {
	struct json_object *tree, *made;
};

#define MEMBER(type, member) .offset = offsetof(struct type, member)

static const struct json_key keys[] = {
	{ "version", json_read_unsigned, MEMBER(store_members, version), .minimum = 1, .maximum = 1,
	  .required = true },
	{ "tree", json_read_value, MEMBER(store_members, tree), .minimum = json_type_object,
	  .required = true },
	{ "pending", json_read_value, MEMBER(store_members, pending), .minimum = json_type_object },
};

static const struct json_key pending_keys[] = {
	{ "tree", json_read_value, MEMBER(store_pending_members, tree), .minimum = json_type_object,
	  .required = true },
	{ "made", json_read_value, MEMBER(store_pending_members, made), .minimum = json_type_array,
	  .required = true },
};

void checkpoint_pending_free(struct checkpoint_pending *pending)
{
	if (!pending)
		return;
	checkpoints_free(pending->tree);
	checkpoint_paths_deinit(&pending->made);
	free(pending);
}

static int store_read_made(struct json_object *array, struct checkpoint_paths *paths)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < json_object_array_length(array); i++) {
		struct json_object *item = json_object_array_get_idx(array, i);

		r = json_object_is_type(item, json_type_string)
			    ? checkpoint_paths_add(paths, json_object_get_string(item))
			    : -EINVAL;
	}
	return r;
}

static int store_read_pending(struct json_object *object, struct checkpoint_pending *pending,
			      struct json_error *error)
{
	struct store_pending_members members = { 0 };
	struct json_reader reader = JSON_READER(error);
	int r = json_read(&reader, object, pending_keys, ARRAY_SIZE(pending_keys), &members);

	if (r == 0)
		r = checkpoints_from_json(members.tree, &pending->tree, error);
	if (r == 0)
		r = store_read_made(members.made, &pending->made);
	json_object_put(members.tree);
	json_object_put(members.made);
	return r;
}

static int store_read(struct json_object *object, struct checkpoints **ret_tree,
		      struct checkpoint_pending *pending)
{
	struct store_members members = { 0 };
	struct json_error error = { 0 };
	struct json_reader reader = JSON_READER(&error);
	int r = json_read(&reader, object, keys, ARRAY_SIZE(keys), &members);

	if (r == 0)
		r = checkpoints_from_json(members.tree, ret_tree, &error);
	if (r == 0 && members.pending)
		r = store_read_pending(members.pending, pending, &error);
	json_object_put(members.tree);
	json_object_put(members.pending);
	return r;
}

bool checkpoint_happened(const struct definition *definition, const struct checkpoint_paths *made)
{
	for (size_t i = 0; i < definition->disk_count; i++) {
		const char *path = definition->disks[i].path;

		if (path && checkpoint_paths_have(made, path))
			return true;
	}
	return false;
}

/* Where the definition names one of the new files, what was going to be is. Return: 0; -errno. */
static int store_settle(struct vm *vm, struct checkpoint_pending *pending)
{
	struct vm_checkpoints *checkpoints = &vm->checkpoints;
	int r = 0;

	if (checkpoint_happened(vm_stored_definition(vm), &pending->made)) {
		checkpoints_free(checkpoints->tree);
		checkpoints->tree = TAKE_PTR(pending->tree);
	} else {
		for (size_t i = 0; r == 0 && i < pending->made.count; i++)
			r = checkpoint_paths_add(&checkpoints->tree->unneeded,
						 pending->made.items[i]);
		for (size_t i = 0; r == 0 && i < pending->tree->states.count; i++)
			r = checkpoint_paths_add(&checkpoints->tree->states,
						 pending->tree->states.items[i]);
	}
	return r == 0 ? checkpoint_save(vm) : r;
}

static void store_is_broken(struct vm *vm, int r)
{
	checkpoints_free(TAKE_PTR(vm->checkpoints.tree));
	checkpoint_pending_free(TAKE_PTR(vm->checkpoints.pending));
	vm->checkpoints.broken = true;
	vm_log(vm, VM_EVENT_HOST, LOG_LEVEL_ERROR,
	       "what is written down of its checkpoints in %s cannot be read: %s",
	       folder_path(vm->manager->checkpoints), strerror(-r));
}

bool vm_checkpoint_is_unsettled(const struct vm *vm)
{
	return vm->checkpoints.pending;
}

void vm_checkpoint_settle(struct vm *vm)
{
	struct checkpoint_pending *pending = TAKE_PTR(vm->checkpoints.pending);
	int r = pending ? store_settle(vm, pending) : 0;

	checkpoint_pending_free(pending);
	if (r == 0 && vm->checkpoints.tree)
		r = checkpoint_merge_settle(vm);
	if (r < 0)
		store_is_broken(vm, r);
	else if (vm->checkpoints.tree)
		checkpoint_clean(vm);
}

void vm_checkpoint_load(struct vm *vm)
{
	struct checkpoint_pending *pending = calloc(1, sizeof(*pending));
	AUTO_JSON struct json_object *object = NULL;
	char uuid[GUID_TEXT_SIZE];
	int r = pending ? 0 : -ENOMEM;

	guid_format(&vm->definition->uuid, uuid);
	if (r == 0)
		r = folder_load(vm->manager->checkpoints, uuid, JSON_SIZE_MAX, &object);
	if (r == 0)
		r = store_read(object, &vm->checkpoints.tree, pending);
	if (r == 0 && pending->tree)
		vm->checkpoints.pending = TAKE_PTR(pending);
	checkpoint_pending_free(pending);
	if (r < 0 && r != -ENOENT)
		store_is_broken(vm, r);
}
