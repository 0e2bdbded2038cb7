/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One VM: disks of checkpoints that have been deleted, brought into those that they stand on.
 *
 * Of each checkpoint that is hidden, and that one alone stands on (checkpoints_merge.c):
 *
 *   1. A process copies what that one's disks have of their own into the checkpoint's, and puts on
 *      those what stands on these. Until then the chains read as before, and after it both do.
 *   2. The VM's definition names the checkpoint's disks, where it named those that were copied.
 *   3. So does the tree; the checkpoint is in it no more.
 *   4. The files of what was copied are removed.
 *
 * A daemon that is killed before step 2 leaves all of it to be done again, which changes nothing; after
 * it, the next one sees by the definition that it has been done.
 */
#include "common/base/log.h"
#include "vmms/base/fault.h"
#include "vmms/image/image.h"
#include "vmms/vm/job.h"
#include "vmms/vm/manager.h"
#include "vmms/vm/vm_checkpoint_internal.h"
#include "vmms/vm/vm_internal.h"
#include "vmms/vm/vm_log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* ---- The definition, and the tree ---- */

static void merge_exchange(struct vm *vm, struct definition **now, struct definition **pending)
{
	struct definition *other_now = vm->definition, *other_pending = vm->pending;

	vm->definition = *now;
	vm->pending = *pending;
	*now = other_now;
	*pending = other_pending;
}

/* Return: 0; negative with *failure filled: it is as it was. */
static int merge_name(struct vm *vm, const struct checkpoint_merge *merge, struct failure *failure)
{
	CLEANUP(definition_freep) struct definition *now = NULL;
	CLEANUP(definition_freep) struct definition *pending = NULL;
	int r;

	if (!checkpoint_merge_copies(merge))
		return 0;
	r = vm_check_file(vm, failure);
	if (r < 0)
		return r;
	r = definition_copy(vm->definition, &now);
	if (r == 0 && vm->pending)
		r = definition_copy(vm->pending, &pending);
	if (r == 0)
		r = checkpoint_merge_rename(merge, now);
	if (r == 0)
		r = checkpoint_merge_rename(merge, pending);
	if (r < 0)
		return failure_no_memory(failure);
	merge_exchange(vm, &now, &pending);
	r = vm_save(vm);
	if (r == 0)
		return 0;
	merge_exchange(vm, &now, &pending);
	return failure_set(failure, DBUS_ERROR_STORE,
			   "the disks of VM '%s' have been merged, but that cannot be saved in %s: "
			   "%s",
			   vm->definition->name, store_path(vm->manager->store), strerror(-r));
}

/* Return: 0; -ENOMEM; -errno: the tree is as it was. */
static int merge_keep(struct vm *vm, const struct checkpoint_merge *merge)
{
	struct checkpoints *before = vm->checkpoints.tree, *next = NULL;
	int r = checkpoints_copy(before, &next);

	if (r == 0)
		r = checkpoints_merged(next, merge, vm_stored_definition(vm));
	if (r == 0) {
		vm->checkpoints.tree = next;
		r = checkpoint_save(vm);
	}
	if (r < 0) {
		vm->checkpoints.tree = before;
		checkpoints_free(next);
		return r;
	}
	checkpoints_free(before);
	return 0;
}

static int merge_conclude(struct vm *vm, struct failure *failure)
{
	struct checkpoint_work *work = vm->checkpoints.work;
	int r = merge_name(vm, &work->merge, failure);

	if (r < 0)
		return r;
	fault_point(FAULT_CHECKPOINT_MERGE_NAMED);
	vm_notify_definition(vm);
	r = merge_keep(vm, &work->merge);
	if (r < 0)
		return checkpoint_work_refuse_to_save(vm, r, failure);
	fault_point(FAULT_CHECKPOINT_MERGE_KEPT);
	checkpoint_merge_deinit(&work->merge);
	work->cleaned = false;
	checkpoint_clean(vm);
	return 0;
}

int checkpoint_merge_settle(struct vm *vm)
{
	for (;;) {
		CLEANUP(checkpoint_merge_deinit) struct checkpoint_merge merge = { 0 };
		int r = checkpoints_find_merge(vm->checkpoints.tree, vm->definition, vm->pending,
					       &merge);

		if (r < 0 || merge.id == 0 || merge.disk_count == 0 ||
		    checkpoint_merge_copies(&merge))
			return r;
		r = merge_keep(vm, &merge);
		if (r < 0)
			return r;
	}
}

/* ---- The copying ---- */

static void merge_progress(void *data, uint64_t done, uint64_t total)
{
	struct vm *vm = data;

	job_progress(vm->checkpoints.work->job, done, total);
}

static void merge_fail(struct vm *vm, const struct failure *failure)
{
	struct failure copy;

	failure_set(&copy, failure->name,
		    "its checkpoint is deleted, but disks of VM '%s' are not merged yet: %s",
		    vm->definition->name, failure->message);
	if (vm->checkpoints.work->resumed)
		vm_log(vm, VM_EVENT_HOST, LOG_LEVEL_WARNING, "%s", copy.message);
	checkpoint_work_finish(vm, &copy);
}

static void merge_copied(void *data, const struct failure *failure)
{
	struct vm *vm = data;
	struct failure copy;
	int r = failure ? -EINVAL : 0;

	vm->checkpoints.work->copying = NULL;
	fault_point(FAULT_CHECKPOINT_MERGED);
	if (failure)
		copy = *failure;
	if (r == 0)
		r = merge_conclude(vm, &copy);
	if (r < 0)
		merge_fail(vm, &copy);
}

static const struct image_merge_callbacks callbacks = { .progress = merge_progress,
							.done = merge_copied };

static int merge_cancel(struct job *job, struct failure *failure)
{
	struct checkpoint_work *work = job->vm->checkpoints.work;

	if (work->copying)
		image_merge_cancel(work->copying);
	return 0;
}

static const struct job_kind kind = { .name = "checkpoint-merge", .cancel = merge_cancel };

static int merge_make_job(struct vm *vm)
{
	struct checkpoint_work *work = vm->checkpoints.work;

	if (work->job)
		return 0;
	if (job_new(vm->manager->jobs, &kind, vm, &work->job) < 0)
		return -ENOMEM;
	job_publish(work->job);
	return 0;
}

static int merge_copy(struct vm *vm, struct failure *failure)
{
	struct checkpoint_work *work = vm->checkpoints.work;
	const struct checkpoint_merge *merge = &work->merge;
	AUTO_FREE struct image_merge_disk *disks = calloc(merge->disk_count + 1, sizeof(*disks));
	struct image_merge_request request = { .owner = vm->definition->owner,
					       .owner_uid = vm->definition->owner_uid,
					       .disks = disks,
					       .find_user = checkpoint_find_user,
					       .user_data = vm };

	if (!disks || merge_make_job(vm) < 0)
		return failure_no_memory(failure);
	for (size_t i = 0; i < merge->disk_count; i++) {
		const struct checkpoint_merge_disk *disk = &merge->disks[i];

		if (!disk->done)
			disks[request.disk_count++] = (struct image_merge_disk){
				.image = disk->image,
				.parent = disk->parent,
				.above = (const char *const *)disk->above.items,
				.above_count = disk->above.count,
			};
	}
	return image_merge_new(vm->manager->helpers, &request, &callbacks, vm, &work->copying,
			       failure);
}

/* A guest that goes on from its saved state has much of its disks in memory. */
static bool merge_may_be(const struct vm *vm)
{
	return !vm->run.worker && (vm->state == VM_OFF || vm->state == VM_CRASHED);
}

bool checkpoint_merge_next(struct vm *vm)
{
	struct checkpoint_work *work = vm->checkpoints.work;
	struct failure failure;
	int r;

	if (!work->merges || !merge_may_be(vm))
		return false;
	checkpoint_merge_deinit(&work->merge);
	if (checkpoints_find_merge(vm->checkpoints.tree, vm->definition, vm->pending,
				   &work->merge) < 0)
		return false;
	if (work->merge.id == 0)
		return false;
	r = checkpoint_merge_copies(&work->merge) ? merge_copy(vm, &failure)
						  : merge_conclude(vm, &failure);
	if (r < 0)
		merge_fail(vm, &failure);
	else
		fault_point(FAULT_CHECKPOINT_MERGING);
	return true;
}

/* ---- What nobody has asked for ---- */

static void merge_resumed(void *data, const struct failure *failure)
{
}

static bool merge_is_due(const struct vm *vm)
{
	CLEANUP(checkpoint_merge_deinit) struct checkpoint_merge merge = { 0 };

	return merge_may_be(vm) && !vm->operation.done && !vm->checkpoints.work &&
	       !vm->checkpoints.pending && !vm->change.unfinished && vm->checkpoints.tree &&
	       checkpoints_find_merge(vm->checkpoints.tree, vm->definition, vm->pending, &merge) ==
		       0 &&
	       merge.id > 0;
}

void vm_checkpoint_resume(struct vm *vm)
{
	struct checkpoint_work *work;

	if (!merge_is_due(vm) || checkpoint_work_new(vm, merge_resumed, NULL, &work) < 0)
		return;
	checkpoints_free(TAKE_PTR(work->next));
	work->merges = work->resumed = true;
	snprintf(work->what, sizeof(work->what), "disks of deleted checkpoints merged");
	vm->checkpoints.work = work;
	vm->operation = (struct vm_operation){ .done = checkpoint_work_changed,
					       .data = vm,
					       .verb = VM_CHECKPOINT };
	checkpoint_clean(vm);
}

void vm_checkpoint_give_way(struct vm *vm)
{
	const struct failure failure = { .name = DBUS_ERROR_CANCELLED,
					 .message = "something else was asked of the VM" };
	struct checkpoint_work *work = vm->checkpoints.work;

	if (!work || !work->resumed)
		return;
	image_merge_free(TAKE_PTR(work->copying));
	checkpoint_work_finish(vm, &failure);
}
