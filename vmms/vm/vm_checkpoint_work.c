/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One VM: what is under way with its checkpoints, step by step. */
#include "common/base/log.h"
#include "vmms/base/fault.h"
#include "vmms/image/image.h"
#include "vmms/vm/job.h"
#include "vmms/vm/manager.h"
#include "vmms/vm/vm_checkpoint_internal.h"
#include "vmms/vm/vm_internal.h"
#include "vmms/vm/vm_log.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

void checkpoint_work_free(struct checkpoint_work *work)
{
	if (!work)
		return;
	image_fork_free(work->fork);
	image_merge_free(work->copying);
	checkpoint_merge_deinit(&work->merge);
	checkpoints_free(work->next);
	checkpoint_paths_deinit(&work->made);
	checkpoint_paths_deinit(&work->below);
	free(work->files);
	saved_file_free(work->saved_file);
	file_holder_free(work->state);
	free(work);
}

void vm_checkpoint_free(struct vm *vm)
{
	checkpoint_work_free(TAKE_PTR(vm->checkpoints.work));
	checkpoint_pending_free(TAKE_PTR(vm->checkpoints.pending));
	image_fork_free(vm->checkpoints.cleaner);
	checkpoint_paths_deinit(&vm->checkpoints.cleaned);
	checkpoints_free(vm->checkpoints.tree);
}

int checkpoint_work_new(struct vm *vm, vm_done_fn done, void *data,
			struct checkpoint_work **ret_work)
{
	CLEANUP(checkpoint_work_freep) struct checkpoint_work *work = calloc(1, sizeof(*work));
	int r = work ? 0 : -ENOMEM;

	if (r == 0 && !vm->checkpoints.tree)
		r = checkpoints_new(&vm->checkpoints.tree);
	if (r == 0)
		r = checkpoints_copy(vm->checkpoints.tree, &work->next);
	if (r < 0)
		return r;
	work->vm = vm;
	work->done = done;
	work->data = data;
	*ret_work = TAKE_PTR(work);
	return 0;
}

void checkpoint_work_finish(struct vm *vm, const struct failure *failure)
{
	struct checkpoint_work *work = TAKE_PTR(vm->checkpoints.work);
	vm_done_fn done = work->done;
	void *data = work->data;

	vm->operation = (struct vm_operation){ 0 };
	if (!failure)
		vm_log(vm, VM_EVENT_CHANGED, LOG_LEVEL_INFO, "%s", work->what);
	if (work->job)
		job_end(work->job, failure);
	checkpoint_work_free(work);
	vm_notify(vm, "Checkpoints", NULL);
	done(data, failure);
}

void checkpoint_cleaned(struct vm *vm)
{
	struct checkpoint_work *work = vm->checkpoints.work;

	if (!work || work->next)
		return;
	if (!work->cleaned)
		checkpoint_clean(vm);
	else if (!checkpoint_merge_next(vm))
		checkpoint_work_finish(vm, NULL);
}

/*
 * After the definition: what is in memory is of those disks. A daemon that is killed in between leaves
 * a VM that is off, as after a loss of power; the checkpoint is still there.
 */
static void work_take_memory(struct vm *vm)
{
	unsigned id = vm->checkpoints.work->applied;
	int r;

	if (!id)
		return;
	r = vm_saved_state_take_checkpoint(vm, id);
	if (r == 0)
		vm_set_state(vm, VM_SAVED, "as in checkpoint %u", id);
	else
		vm_log(vm, VM_EVENT_HOST, LOG_LEVEL_ERROR,
		       "it is off, since its saved state cannot be written down: %s; apply the "
		       "checkpoint again",
		       strerror(-r));
}

/* It has happened: the tree is what it was going to be. */
static void work_conclude(struct vm *vm)
{
	struct vm_checkpoints *checkpoints = &vm->checkpoints;
	int r;

	checkpoints_free(checkpoints->tree);
	checkpoints->tree = TAKE_PTR(checkpoints->work->next);
	r = checkpoint_save(vm);
	fault_point(FAULT_CHECKPOINT_SETTLED);
	work_take_memory(vm);
	/* The next daemon sees by the definition that it has happened. */
	if (r < 0)
		vm_log(vm, VM_EVENT_HOST, LOG_LEVEL_WARNING,
		       "what became of its checkpoints cannot be written down: %s", strerror(-r));
	checkpoint_clean(vm);
}

/* The file may be there. Return: 0; -ENOMEM. */
static int work_give_up_state(struct vm *vm)
{
	char path[PATH_MAX];

	vm_saved_state_checkpoint_path(vm, vm->checkpoints.tree->next, path);
	return checkpoint_paths_add(&vm->checkpoints.tree->states, path);
}

/*
 * It has not happened. What was made is gone, or is removed now, if the process that made it was
 * killed.
 */
void checkpoint_work_abandon(struct vm *vm, const struct failure *failure)
{
	struct vm_checkpoints *checkpoints = &vm->checkpoints;
	struct checkpoint_work *work = checkpoints->work;
	int r = 0;

	checkpoints_free(TAKE_PTR(work->next));
	for (size_t i = 0; r == 0 && i < work->made.count; i++)
		r = checkpoint_paths_add(&checkpoints->tree->unneeded, work->made.items[i]);
	if (r == 0 && work->type == DEFINITION_CHECKPOINTS_STANDARD)
		r = work_give_up_state(vm);
	if (r == 0)
		r = checkpoint_save(vm);
	if (r < 0)
		vm_log(vm, VM_EVENT_HOST, LOG_LEVEL_WARNING,
		       "what became of its checkpoints cannot be written down: %s", strerror(-r));
	checkpoints->lets_go = work->live;
	checkpoint_work_finish(vm, failure);
	checkpoint_clean(vm);
}

/* ---- The change of the definition ---- */

/*
 * Of a VM that runs, whose worker may have refused, or has ended: then it has happened if it was asked
 * for (vm_change.c).
 */
void checkpoint_work_changed(void *data, const struct failure *failure)
{
	struct vm *vm = data;
	struct checkpoint_work *work = vm->checkpoints.work;
	struct failure copy = { 0 };

	if (failure)
		copy = *failure;
	/* Files are still removed; nothing else begins meanwhile. */
	vm->operation = (struct vm_operation){ .done = checkpoint_work_changed,
					       .data = vm,
					       .verb = VM_CHECKPOINT };
	fault_point(FAULT_CHECKPOINT_CHANGED);
	checkpoint_live_thaw(vm);
	checkpoint_live_resume(vm);
	if (failure && !checkpoint_happened(vm_stored_definition(vm), &work->made)) {
		vm_change_undo(vm);
		checkpoint_work_abandon(vm, &copy);
		return;
	}
	if (failure) {
		checkpoints_free(vm->checkpoints.tree);
		vm->checkpoints.tree = TAKE_PTR(work->next);
		(void)!checkpoint_save(vm);
		checkpoint_work_finish(vm, &copy);
		return;
	}
	work_conclude(vm);
}

static void work_forked(void *data, const struct failure *failure)
{
	struct vm *vm = data;
	struct failure copy;
	int r = failure ? -EINVAL : 0;

	vm->checkpoints.work->fork = NULL;
	fault_point(FAULT_CHECKPOINT_FORKED);
	if (failure)
		copy = *failure;
	if (r == 0)
		r = vm->checkpoints.work->live ? checkpoint_live_forked(vm, &copy)
					       : vm_change_make(vm, NULL, NULL, NULL, 0, &copy);
	if (r == 0)
		return;
	vm_change_undo(vm);
	checkpoint_work_abandon(vm, &copy);
}

int checkpoint_work_fork(struct vm *vm, struct failure *failure)
{
	struct checkpoint_work *work = vm->checkpoints.work;
	AUTO_FREE struct image_fork_child *children = calloc(work->made.count, sizeof(*children));
	const struct image_fork_request request = {
		.owner = vm->definition->owner,
		.owner_uid = vm->definition->owner_uid,
		.timeout = vm->manager->settings.open_timeout,
		.children = children,
		.child_count = work->made.count,
		.settled = work->settled,
		.in_use = work->live,
	};

	if (!children)
		return failure_no_memory(failure);
	for (size_t i = 0; i < work->made.count; i++)
		children[i] =
			(struct image_fork_child){ work->made.items[i], work->below.items[i] };
	return image_fork_new(vm->manager->helpers, &request, work_forked, vm, &work->fork,
			      failure);
}

int checkpoint_work_refuse_to_save(const struct vm *vm, int r, struct failure *failure)
{
	if (r == -EFBIG)
		return failure_set(failure, DBUS_ERROR_INVALID_STATE,
				   "the checkpoints of VM '%s' are more than can be written down; "
				   "delete some first",
				   vm->definition->name);
	return failure_set(failure, DBUS_ERROR_STORE,
			   "the checkpoints of VM '%s' cannot be saved in %s: %s; nothing has been "
			   "changed",
			   vm->definition->name, folder_path(vm->manager->checkpoints),
			   strerror(-r));
}

int checkpoint_work_begin(struct vm *vm, struct failure *failure)
{
	int r = checkpoint_save(vm);

	if (r < 0)
		return checkpoint_work_refuse_to_save(vm, r, failure);
	fault_point(FAULT_CHECKPOINT_WRITTEN_DOWN);
	r = checkpoint_work_fork(vm, failure);
	if (r < 0) {
		checkpoints_free(TAKE_PTR(vm->checkpoints.work->next));
		(void)!checkpoint_save(vm);
	}
	return r;
}
