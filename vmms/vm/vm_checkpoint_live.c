/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One VM: a checkpoint that is made of it while it runs.
 *
 *   1. The worker says in the images that they are in use, so that children can be made on them.
 *   2. What the tree is going to be is written down, and the children are made, and opened.
 *   3. The guest is asked to freeze its file systems, for a bounded time.
 *   4. The worker exchanges all disks at one instant; the definition is changed with that.
 *   5. The guest is told to thaw.
 *
 * Of a checkpoint with memory, the worker is asked to save the VM to a file in place of step 3, and stands
 * still until step 5, in which it goes on.
 *
 * From step 4 on it may be that the worker ends before it has answered. Then the children are the VM's
 * disks, whether it came to them or not: they have nothing of their own, or all that came later.
 */
#include "common/base/log.h"
#include "common/control.h"
#include "vmms/base/fault.h"
#include "vmms/image/image.h"
#include "vmms/vm/manager.h"
#include "vmms/vm/vm_checkpoint_internal.h"
#include "vmms/vm/vm_file_limit.h"
#include "vmms/vm/vm_guest.h"
#include "vmms/vm/vm_internal.h"
#include "vmms/vm/vm_log.h"
#include "vmms/vm/vm_memory.h"
#include "vmms/vm/vm_save.h"
#include "vmms/vm/vm_saved_state.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#define FREEZE_LIMIT   60 /* seconds until the guest thaws by itself */
#define FREEZE_TIMEOUT 120
#define THAW_TIMEOUT   120

bool vm_checkpoint_is_forking(const struct vm *vm)
{
	return vm->checkpoints.work && vm->checkpoints.work->sent;
}

/* Nothing has happened yet. */
static void live_fail(struct vm *vm, const struct failure *failure)
{
	const struct failure copy = *failure;

	checkpoint_live_thaw(vm);
	checkpoint_live_resume(vm);
	vm_change_undo(vm);
	checkpoint_work_abandon(vm, &copy);
}

/* {"disks": …}: as they are going to be. NULL without memory. */
static struct json_object *live_describe(const struct vm *vm)
{
	const struct definition *definition = vm->change.definition;
	struct json_object *array = json_object_new_array();

	for (size_t i = 0; i < definition->disk_count; i++) {
		if (definition_disk_is_written(&definition->disks[i]))
			json_append(&array, definition_disk_to_json(&definition->disks[i]));
	}
	return json_make("disks", array, NULL);
}

/* ---- The exchange ---- */

static void live_send(struct vm *vm)
{
	AUTO_JSON struct json_object *arguments = live_describe(vm);
	struct checkpoint_work *work = vm->checkpoints.work;
	struct failure failure;
	int r = arguments ? 0 : failure_no_memory(&failure);

	fault_point(FAULT_CHECKPOINT_FROZEN);
	if (r == 0 && !vm->run.worker)
		r = failure_set(&failure, DBUS_ERROR_INVALID_STATE, "VM '%s' does not run any more",
				vm->definition->name);
	work->sent = r == 0;
	if (r == 0)
		r = vm_change_make_with_files(vm, "fork", arguments, work->files, work->file_count,
					      &failure);
	if (r == 0)
		return;
	work->sent = false;
	live_fail(vm, &failure);
}

/* ---- Freezing ---- */

static void live_set_type(struct vm *vm, enum checkpoint_type type)
{
	struct checkpoints *next = vm->checkpoints.work->next;

	checkpoints_find(next, next->current)->type = type;
}

static void live_thawed(void *data, struct json_object *result, const struct failure *failure)
{
	struct vm *vm = data;

	if (failure)
		vm_log(vm, VM_EVENT_GUEST, LOG_LEVEL_WARNING,
		       "after a checkpoint its file systems thaw by themselves: %s",
		       failure->message);
}

void checkpoint_live_thaw(struct vm *vm)
{
	struct checkpoint_work *work = vm->checkpoints.work;
	struct failure failure;

	if (!work->frozen)
		return;
	work->frozen = false;
	/* It had enough of that before: what was made is of a guest that went on. */
	if (!vm->guest.frozen && work->next)
		live_set_type(vm, CHECKPOINT_CRASH);
	if (vm->guest.frozen && vm->run.worker &&
	    vm_guest_ask(vm, "thaw", NULL, -1, THAW_TIMEOUT, live_thawed, vm, &failure) < 0)
		live_thawed(vm, NULL, &failure);
}

static void live_not_frozen(struct vm *vm, const struct failure *failure)
{
	if (vm->checkpoints.work->type == DEFINITION_CHECKPOINTS_PRODUCTION_ONLY) {
		live_fail(vm, failure);
		return;
	}
	vm_log(vm, VM_EVENT_GUEST, LOG_LEVEL_WARNING,
	       "the checkpoint is as after a loss of power, for its guest does not freeze: %s",
	       failure->message);
	live_send(vm);
}

static void live_frozen(void *data, struct json_object *result, const struct failure *failure)
{
	struct vm *vm = data;
	struct checkpoint_work *work = vm->checkpoints.work;

	/* The VM has been turned off meanwhile. */
	if (!work || !work->freezes)
		return;
	work->freezes = false;
	if (failure && vm->run.worker && !vm->turning_off.done) {
		live_not_frozen(vm, failure);
		return;
	}
	if (failure)
		return; /* the end says more */
	work->frozen = true;
	live_set_type(vm, CHECKPOINT_PRODUCTION);
	live_send(vm);
}

static void live_freeze(struct vm *vm)
{
	AUTO_JSON struct json_object *arguments =
		json_make("limit", json_object_new_int64(FREEZE_LIMIT), NULL);
	struct checkpoint_work *work = vm->checkpoints.work;
	struct failure failure;

	/* By somebody who also thaws it. */
	if (vm->guest.frozen) {
		live_set_type(vm, CHECKPOINT_PRODUCTION);
		live_send(vm);
		return;
	}
	work->freezes = true;
	if (vm_guest_ask(vm, "freeze", arguments, -1, FREEZE_TIMEOUT, live_frozen, vm, &failure) ==
	    0)
		return;
	work->freezes = false;
	live_not_frozen(vm, &failure);
}

/* ---- Memory and devices ---- */

void checkpoint_live_resume(struct vm *vm)
{
	struct checkpoint_work *work = vm->checkpoints.work;

	if (vm->state == VM_SAVING && vm->run.worker)
		vm_file_limit_end_memory(vm);
	if (work->saved && vm->run.worker && vm_save_resume(vm) < 0)
		vm_log(vm, VM_EVENT_FAULT, LOG_LEVEL_ERROR, "it cannot be resumed");
	work->saved = false;
	if (vm->state == VM_SAVING)
		vm_set_state(vm, VM_RUNNING, "%s", "");
}

static void live_saved(void *data, struct json_object *result, const char *code, const char *text)
{
	struct vm *vm = data;
	struct checkpoint_work *work = vm->checkpoints.work;
	struct failure failure;

	/* The VM has been turned off meanwhile. */
	if (!work || !work->saves)
		return;
	work->saves = false;
	file_holder_free(TAKE_PTR(work->state));
	if (!result && strcmp(code, WORKER_ENDED) == 0)
		return; /* its end says more */
	if (vm->turning_off.done)
		return;
	work->saved = result;
	if (result) {
		live_send(vm);
		return;
	}
	vm_failure(vm, code, text, &failure);
	live_fail(vm, &failure);
}

static void live_save_to(void *data, struct file_holder **holder, const struct failure *failure)
{
	const struct held_file file = { .number = 0 };
	struct vm *vm = data;
	struct checkpoint_work *work = vm->checkpoints.work;
	struct worker_files files = { NULL, &file, 1 };
	struct failure why;
	int r = failure ? -EINVAL : 0;

	work->saved_file = NULL;
	if (failure)
		why = *failure;
	if (r == 0 && (!vm->run.worker || vm->turning_off.done))
		return; /* its end says more */
	if (r == 0)
		r = vm_file_limit_begin_memory(vm, &why);
	if (r == 0) {
		files.holder = work->state = TAKE_PTR(*holder);
		work->saves = true;
		r = worker_request_with_files(vm->run.worker, "save", NULL, &files, 0, live_saved,
					      vm);
		if (r < 0)
			vm_failure(vm, CONTROL_ERROR_FAILED, strerror(-r), &why);
	}
	if (r == 0)
		return;
	work->saves = false;
	live_fail(vm, &why);
}

static void live_save(struct vm *vm)
{
	struct checkpoint_work *work = vm->checkpoints.work;
	char path[PATH_MAX];
	const struct saved_file_request request = {
		.task = SAVED_FILE_CREATE,
		.path = path,
		.size = vm_memory_assigned(vm),
		.timeout = vm->manager->settings.open_timeout,
	};
	struct failure failure;
	int r;

	vm_saved_state_checkpoint_path(vm, work->next->current, path);
	vm_set_state(vm, VM_SAVING, "a checkpoint is made");
	r = saved_file_new(vm->manager->helpers, &request, live_save_to, vm, &work->saved_file,
			   &failure);
	if (r < 0)
		live_fail(vm, &failure);
}

/* ---- The new images ---- */

static int live_take_files(struct vm *vm, struct opened_files *opened, struct failure *failure)
{
	struct checkpoint_work *work = vm->checkpoints.work;
	int r = 0;

	vm->opening.files = TAKE_PTR(opened->holder);
	work->files = calloc(opened->count, sizeof(*work->files));
	if (!work->files)
		return failure_no_memory(failure);
	memcpy(work->files, opened->items, opened->count * sizeof(*work->files));
	work->file_count = opened->count;
	for (size_t i = 0; r == 0 && i < opened->count; i++)
		r = vm_file_limit_raise(vm, opened->items[i].size, failure);
	return r;
}

static void live_opened(void *data, struct opened_files *opened, const struct failure *failure)
{
	struct vm *vm = data;
	struct failure why;
	int r = failure ? -EINVAL : 0;

	vm->opening.open_helper = NULL;
	if (failure)
		why = *failure;
	else
		r = live_take_files(vm, opened, &why);
	if (r < 0)
		live_fail(vm, &why);
	else if (vm->checkpoints.work->type == DEFINITION_CHECKPOINTS_STANDARD)
		live_save(vm);
	else
		live_freeze(vm);
}

int checkpoint_live_forked(struct vm *vm, struct failure *failure)
{
	struct resources_request request = manager_files_request(vm);

	request.definition = vm->change.definition;
	request.alone = true;
	return open_helper_new(vm->manager->helpers, vm->manager->settings.open_timeout, &request,
			       live_opened, vm, &vm->opening.open_helper, failure);
}

/* ---- The beginning ---- */

static void live_prepared(void *data, struct json_object *result, const char *code,
			  const char *text)
{
	struct vm *vm = data;
	struct failure failure;
	int r = 0;

	if (!result && strcmp(code, WORKER_ENDED) == 0)
		return; /* its end says more */
	if (!vm->checkpoints.work || vm->turning_off.done)
		return;
	if (!result)
		r = vm_failure(vm, code, text, &failure);
	if (r == 0)
		r = checkpoint_work_begin(vm, &failure);
	if (r < 0)
		live_fail(vm, &failure);
}

int checkpoint_live_begin(struct vm *vm, struct failure *failure)
{
	AUTO_JSON struct json_object *arguments = live_describe(vm);
	int r;

	if (!arguments)
		return failure_no_memory(failure);
	r = worker_request(vm->run.worker, "prepare_fork", arguments, NULL, 0, 0, live_prepared,
			   vm);
	return r < 0 ? vm_failure(vm, CONTROL_ERROR_FAILED, strerror(-r), failure) : 0;
}
