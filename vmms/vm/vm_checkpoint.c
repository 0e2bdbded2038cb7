/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One VM: its checkpoints, made, applied and deleted. */
#include "vmms/vm/vm_checkpoint.h"

#include "vmms/base/fault.h"
#include "vmms/vm/manager.h"
#include "vmms/vm/vm_checkpoint_internal.h"
#include "vmms/vm/vm_internal.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define SUFFIX ".avhdx" /* as Hyper-V has it */

/* ---- Disks ---- */

static int disks_check(const struct definition *definition, struct failure *failure)
{
	size_t count = 0;

	for (size_t i = 0; i < definition->disk_count; i++) {
		const struct definition_disk *disk = &definition->disks[i];

		if (!definition_disk_is_written(disk))
			continue;
		if (strcmp(disk->format, "vhdx") != 0)
			return failure_set(failure, DBUS_ERROR_INVALID_STATE,
					   "VM '%s' cannot have checkpoints: its disk %u:%u, '%s', "
					   "is %s, and a checkpoint takes VHDX; 'vmctl disk "
					   "convert' makes one of it, to be attached in its place",
					   definition->name, disk->controller, disk->lun,
					   disk->path, disk->format);
		count++;
	}
	if (count == 0)
		return failure_set(failure, DBUS_ERROR_INVALID_STATE,
				   "VM '%s' has no disk that it writes, and so nothing that a "
				   "checkpoint could bring back",
				   definition->name);
	return 0;
}

/* "/a/root.vhdx" and "/a/root_UUID.avhdx" give "/a/root_UUID.avhdx". Return: 0; -errno. */
static int disk_name_child(const char *path, char child[static PATH_MAX])
{
	const char *slash = strrchr(path, '/'), *name = slash + 1;
	size_t stem = strcspn(name, "."), tail = GUID_TEXT_SIZE; /* with the "_" */
	char uuid[GUID_TEXT_SIZE];
	struct guid guid, old;
	int r = guid_generate(&guid);

	if (r < 0)
		return r;
	guid_format(&guid, uuid);
	if (stem > tail && name[stem - tail] == '_') {
		char last[GUID_TEXT_SIZE];

		snprintf(last, sizeof(last), "%.*s", (int)tail - 1, name + stem - tail + 1);
		if (guid_parse(last, &old) == 0)
			stem -= tail;
	}
	/* A name has NAME_MAX bytes. */
	stem = MIN(stem, (size_t)(NAME_MAX - sizeof(uuid) - sizeof(SUFFIX)));
	return snprintf(child, PATH_MAX, "%.*s%.*s_%s%s", (int)(name - path), path, (int)stem, name,
			uuid, SUFFIX) < PATH_MAX
		       ? 0
		       : -ENAMETOOLONG;
}

/* Each disk that is written is a child from now on. Return: 0; -errno. */
static int disks_fork(struct checkpoint_work *work, struct definition *definition)
{
	char child[PATH_MAX];
	int r = 0;

	for (size_t i = 0; r == 0 && i < definition->disk_count; i++) {
		struct definition_disk *disk = &definition->disks[i];

		if (!definition_disk_is_written(disk))
			continue;
		r = disk_name_child(disk->path, child);
		if (r == 0)
			r = checkpoint_paths_add(&work->below, disk->path);
		if (r == 0)
			r = checkpoint_paths_add(&work->made, child);
		if (r == 0)
			r = checkpoint_paths_add(&work->next->files, child);
		if (r == 0)
			r = checkpoints_link(work->next, child, disk->path);
		if (r == 0) {
			free(disk->path);
			disk->path = strdup(child);
			r = disk->path ? 0 : -ENOMEM;
		}
	}
	return r;
}

/* What waits for the next start has them there, too. Return: 0; -ENOMEM. */
static int disks_fork_pending(const struct checkpoint_work *work, struct definition *pending)
{
	for (size_t i = 0; pending && i < pending->disk_count; i++) {
		struct definition_disk *disk = &pending->disks[i];

		for (size_t j = 0; disk->path && j < work->below.count; j++) {
			if (strcmp(disk->path, work->below.items[j]) != 0)
				continue;
			free(disk->path);
			disk->path = strdup(work->made.items[j]);
			if (!disk->path)
				return -ENOMEM;
			break;
		}
	}
	return 0;
}

/* ---- Verbs ---- */

static int verb_check(const struct vm *vm, struct failure *failure)
{
	if (!vm->checkpoints.broken)
		return 0;
	return failure_set(
		failure, DBUS_ERROR_STORE,
		"what is written down of the checkpoints of VM '%s' in %s cannot be read; "
		"repair that, and restart vmms",
		vm->definition->name, folder_path(vm->manager->checkpoints));
}

static int verb_find(const struct vm *vm, unsigned id, struct failure *failure)
{
	int r = verb_check(vm, failure);

	if (r == 0 && !vm_checkpoint_find(vm, id))
		r = failure_set(failure, DBUS_ERROR_NO_SUCH_CHECKPOINT,
				"VM '%s' has no checkpoint %u; 'vmctl checkpoint list %s' shows "
				"which it has",
				vm->definition->name, id, vm->definition->name);
	return r;
}

/* The operation, with a copy of the definition in vm->change, and the work. */
static int verb_begin(struct vm *vm, enum vm_verb verb, vm_done_fn done, void *data,
		      struct failure *failure)
{
	int r = vm_change_begin(vm, verb, checkpoint_work_changed, vm, failure);

	if (r < 0)
		return r;
	if (checkpoint_work_new(vm, done, data, &vm->checkpoints.work) == 0)
		return 0;
	vm_change_undo(vm);
	return failure_no_memory(failure);
}

static int verb_undo(struct vm *vm, int r)
{
	checkpoint_work_free(TAKE_PTR(vm->checkpoints.work));
	vm_change_undo(vm);
	return r;
}

static int create_check(const struct vm *vm, struct failure *failure)
{
	const struct checkpoints *tree = vm->checkpoints.tree;

	if (vm->definition->checkpoints == DEFINITION_CHECKPOINTS_DISABLED)
		return failure_set(
			failure, DBUS_ERROR_INVALID_STATE,
			"no checkpoints are made of VM '%s', by its definition; 'vmctl set "
			"%s checkpoints=production' changes that",
			vm->definition->name, vm->definition->name);
	if (!tree)
		return 0;
	if (checkpoints_count(tree) >= CHECKPOINTS_MAX || tree->count >= CHECKPOINTS_ALL_MAX)
		return failure_set(failure, DBUS_ERROR_INVALID_STATE,
				   "VM '%s' has as many checkpoints as can be, %u, and %zu with "
				   "those that others stand on; delete some first",
				   vm->definition->name, checkpoints_count(tree), tree->count);
	if (checkpoints_depth(tree, tree->current) >= CHECKPOINTS_DEPTH_MAX)
		return failure_set(failure, DBUS_ERROR_INVALID_STATE,
				   "%u checkpoints of VM '%s' stand on each other, and that is as "
				   "many as can be; apply an earlier one to go on from there",
				   CHECKPOINTS_DEPTH_MAX, vm->definition->name);
	return 0;
}

/* The file is known before it is made. Return: 0; -ENOMEM. */
static int create_name_state(const struct vm *vm)
{
	struct checkpoints *next = vm->checkpoints.work->next;
	char path[PATH_MAX];

	checkpoints_find(next, next->current)->type = CHECKPOINT_STANDARD;
	vm_saved_state_checkpoint_path(vm, next->current, path);
	return checkpoint_paths_add(&next->states, path);
}

static int create_prepare(struct vm *vm, const char *name, const char *notes,
			  struct failure *failure)
{
	struct checkpoint_work *work = vm->checkpoints.work;
	int r = checkpoints_add(work->next, name, notes, vm_clock(CLOCK_REALTIME), vm->definition);

	if (r == 0)
		r = disks_fork(work, vm->change.definition);
	if (r == 0)
		r = disks_fork_pending(work, vm->change.pending);
	if (r == 0 && work->live)
		checkpoints_find(work->next, work->next->current)->type = CHECKPOINT_CRASH;
	if (r == 0 && work->live && work->type == DEFINITION_CHECKPOINTS_STANDARD)
		r = create_name_state(vm);
	snprintf(work->what, sizeof(work->what), "checkpoint %u made: %s", work->next->current,
		 name);
	return r < 0 ? failure_set(failure, DBUS_ERROR_INTERNAL, "no checkpoint can be made: %s",
				   strerror(-r))
		     : 0;
}

static int name_check(const char *name, const char *notes, struct failure *failure)
{
	if (!checkpoint_name_is_valid(name))
		return failure_set(failure, DBUS_ERROR_INVALID_ARGUMENT,
				   "a checkpoint's name has to be printable text of at most %d "
				   "bytes, and not a number alone",
				   CHECKPOINT_NAME_MAX);
	if (strlen(notes) > CHECKPOINT_NOTES_MAX)
		return failure_set(failure, DBUS_ERROR_INVALID_ARGUMENT,
				   "notes have at most %d bytes", CHECKPOINT_NOTES_MAX);
	return 0;
}

int vm_checkpoint_create(struct vm *vm, const char *name, const char *notes,
			 enum definition_checkpoints type, vm_done_fn done, void *data,
			 unsigned *ret_id, struct failure *failure)
{
	char now[32];
	time_t seconds = time(NULL);
	struct tm local;
	int r;

	strftime(now, sizeof(now), "%Y-%m-%d %H:%M:%S", localtime_r(&seconds, &local));
	name = name[0] != '\0' ? name : now;
	r = name_check(name, notes, failure);
	if (r == 0)
		r = verb_check(vm, failure);
	if (r == 0)
		r = create_check(vm, failure);
	if (r == 0)
		r = disks_check(vm->definition, failure);
	if (r == 0 && type == DEFINITION_CHECKPOINTS_STANDARD && vm->state == VM_PAUSED)
		r = failure_set(failure, DBUS_ERROR_INVALID_STATE,
				"VM '%s' is paused; resume it for a checkpoint with its memory",
				vm->definition->name);
	if (r == 0)
		r = verb_begin(vm, VM_MAKE_CHECKPOINT, done, data, failure);
	if (r < 0)
		return r;
	vm->checkpoints.work->live = vm->run.worker;
	vm->checkpoints.work->type = type;
	r = create_prepare(vm, name, notes, failure);
	*ret_id = vm->checkpoints.work->next->current;
	if (r == 0)
		r = vm->run.worker ? checkpoint_live_begin(vm, failure)
				   : checkpoint_work_begin(vm, failure);
	return r < 0 ? verb_undo(vm, r) : 0;
}

/* The definition of that time, of the VM as it is known now. */
static int apply_take_definition(struct vm *vm, const struct definition *then,
				 struct failure *failure)
{
	CLEANUP(definition_freep) struct definition *copy = NULL;
	const struct definition *now = vm->definition;
	int r = definition_copy(then, &copy);

	if (r == 0)
		r = definition_rename(copy, now->name);
	if (r < 0)
		return failure_no_memory(failure);
	free(copy->owner);
	copy->owner = now->owner ? strdup(now->owner) : NULL;
	copy->owner_uid = now->owner_uid;
	if (now->owner && !copy->owner)
		return failure_no_memory(failure);
	/* What the guest has made of its disks since then, it makes a second time. */
	if (guid_generate(&copy->generation_id) < 0)
		return failure_set(failure, DBUS_ERROR_INTERNAL, "cannot make a generation ID");
	definition_free(vm->change.definition);
	vm->change.definition = TAKE_PTR(copy);
	return manager_complete_adapters(vm->manager, vm->change.definition, vm, failure);
}

static int apply_prepare(struct vm *vm, unsigned id, struct failure *failure)
{
	struct checkpoint_work *work = vm->checkpoints.work;
	const struct checkpoint *checkpoint = vm_checkpoint_find(vm, id);
	int r = apply_take_definition(vm, checkpoint->definition, failure);

	if (r < 0)
		return r;
	work->settled = true;
	work->applied = checkpoint->type == CHECKPOINT_STANDARD ? id : 0;
	snprintf(work->what, sizeof(work->what), "checkpoint %u applied: %s", id, checkpoint->name);
	r = checkpoints_move_to(work->next, id, vm->definition);
	if (r == 0)
		r = disks_fork(work, vm->change.definition);
	return r < 0 ? failure_set(failure, DBUS_ERROR_INTERNAL,
				   "the checkpoint cannot be applied: %s", strerror(-r))
		     : 0;
}

int vm_checkpoint_apply(struct vm *vm, unsigned id, vm_done_fn done, void *data,
			struct failure *failure)
{
	int r = verb_find(vm, id, failure);

	if (r == 0)
		r = verb_begin(vm, VM_CHECKPOINT, done, data, failure);
	if (r < 0)
		return r;
	vm->checkpoints.work->merges = true;
	r = apply_prepare(vm, id, failure);
	if (r == 0)
		r = checkpoint_work_begin(vm, failure);
	return r < 0 ? verb_undo(vm, r) : 0;
}

int vm_checkpoint_delete(struct vm *vm, unsigned id, bool subtree, vm_done_fn done, void *data,
			 struct failure *failure)
{
	struct checkpoint_work *work;
	struct checkpoints *before;
	int r = verb_find(vm, id, failure);

	if (r == 0)
		r = verb_begin(vm, VM_DELETE_CHECKPOINT, done, data, failure);
	if (r < 0)
		return r;
	work = vm->checkpoints.work;
	work->merges = true;
	snprintf(work->what, sizeof(work->what), "checkpoint %u deleted%s: %s", id,
		 subtree ? " with those on it" : "", vm_checkpoint_find(vm, id)->name);
	if (checkpoints_delete(work->next, id, subtree) < 0)
		return verb_undo(vm, failure_no_memory(failure));
	/* The definition stays, and the tree is written once. */
	before = vm->checkpoints.tree;
	vm->checkpoints.tree = TAKE_PTR(work->next);
	r = checkpoint_save(vm);
	if (r < 0) {
		checkpoints_free(vm->checkpoints.tree);
		vm->checkpoints.tree = before;
		return verb_undo(vm, checkpoint_work_refuse_to_save(vm, r, failure));
	}
	checkpoints_free(before);
	fault_point(FAULT_CHECKPOINT_FORGOTTEN);
	definition_free(TAKE_PTR(vm->change.definition));
	checkpoint_clean(vm);
	return 0;
}

int vm_checkpoint_change(struct vm *vm, unsigned id, const char *name, const char *notes,
			 struct failure *failure)
{
	CLEANUP(checkpoints_freep) struct checkpoints *next = NULL;
	struct checkpoints *before = vm->checkpoints.tree;
	struct checkpoint *checkpoint;
	int r = verb_find(vm, id, failure);

	if (r == 0)
		r = name_check(name, notes, failure);
	if (r == 0 && (vm->checkpoints.work || vm->checkpoints.pending))
		r = failure_set(failure, DBUS_ERROR_BUSY,
				"the checkpoints of VM '%s' are being worked on; try again",
				vm->definition->name);
	if (r < 0)
		return r;
	if (checkpoints_copy(before, &next) < 0)
		return failure_no_memory(failure);
	checkpoint = checkpoints_find(next, id);
	free(checkpoint->name);
	free(checkpoint->notes);
	checkpoint->name = strdup(name);
	checkpoint->notes = strdup(notes);
	if (!checkpoint->name || !checkpoint->notes)
		return failure_no_memory(failure);
	vm->checkpoints.tree = next;
	r = checkpoint_save(vm);
	next = r < 0 ? vm->checkpoints.tree : before;
	if (r < 0) {
		vm->checkpoints.tree = before;
		return checkpoint_work_refuse_to_save(vm, r, failure);
	}
	vm_notify(vm, "Checkpoints", NULL);
	return 0;
}

int vm_checkpoint_forget(struct vm *vm, struct failure *failure)
{
	char uuid[GUID_TEXT_SIZE];
	int r = verb_check(vm, failure);

	if (r == 0 && vm_checkpoint_count(vm))
		r = failure_set(failure, DBUS_ERROR_INVALID_STATE,
				"VM '%s' has %u checkpoints, which nobody could use without it; "
				"delete them first ('vmctl checkpoint delete')",
				vm->definition->name, vm_checkpoint_count(vm));
	if (r < 0 || !vm->checkpoints.tree)
		return r;
	guid_format(&vm->definition->uuid, uuid);
	r = folder_delete(vm->manager->checkpoints, uuid);
	return r < 0 && r != -ENOENT ? checkpoint_work_refuse_to_save(vm, r, failure) : 0;
}

/* ---- What there is ---- */

unsigned vm_checkpoint_count(const struct vm *vm)
{
	return vm->checkpoints.tree ? checkpoints_count(vm->checkpoints.tree) : 0;
}

const struct checkpoint *vm_checkpoint_find(const struct vm *vm, unsigned id)
{
	return vm->checkpoints.tree ? checkpoints_find(vm->checkpoints.tree, id) : NULL;
}

static struct json_object *describe_one(const struct checkpoints *tree,
					const struct checkpoint *checkpoint)
{
	unsigned parent = checkpoints_visible_parent(tree, checkpoint->parent);

	return json_make("id", json_object_new_int64(checkpoint->id), "parent",
			 json_object_new_int64(parent), "name",
			 json_object_new_string(checkpoint->name), "notes",
			 json_object_new_string(checkpoint->notes), "created_at",
			 json_object_new_uint64(checkpoint->created_at), "type",
			 json_object_new_string(checkpoint_type_names[checkpoint->type]),
			 "definition", definition_to_json(checkpoint->definition), NULL);
}

struct json_object *vm_checkpoint_describe(const struct vm *vm)
{
	const struct checkpoints *tree = vm->checkpoints.tree;
	struct json_object *items = json_object_new_array();

	for (size_t i = 0; tree && i < tree->count; i++) {
		if (!tree->items[i].hidden)
			json_append(&items, describe_one(tree, &tree->items[i]));
	}
	return json_make(
		"checkpoints", items, "current",
		json_object_new_int64(tree ? checkpoints_visible_parent(tree, tree->current) : 0),
		NULL);
}

/* The VM that has a checkpoint with that disk, or NULL. */
static const struct vm *check_find_vm(const struct vm *vm, const char *path)
{
	list_for_each (link, &vm->manager->vms) {
		const struct vm *other = container_of(link, struct vm, link);

		if (other->checkpoints.tree && checkpoints_name_disk(other->checkpoints.tree, path))
			return other;
	}
	return NULL;
}

int vm_checkpoint_check_disks(const struct vm *vm, const struct definition *definition,
			      struct failure *failure)
{
	for (size_t i = 0; i < definition->disk_count; i++) {
		const struct definition_disk *disk = &definition->disks[i];
		const struct vm *other =
			definition_disk_is_written(disk) ? check_find_vm(vm, disk->path) : NULL;
		bool known = other &&
			     (!vm->definition->owner || strcmp(vm_owner(vm), vm_owner(other)) == 0);

		if (other)
			return failure_set(failure, DBUS_ERROR_DISK_IN_USE,
					   "VM '%s' would write '%s', which is a disk of a "
					   "checkpoint%s%s%s; apply that checkpoint, or use a disk "
					   "that stands on it ('vmctl disk create --parent')",
					   definition->name, disk->path, known ? " of VM '" : "",
					   known ? other->definition->name : "", known ? "'" : "");
	}
	return 0;
}
