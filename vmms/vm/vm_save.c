/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One VM: saving it, and dropping its saved state. */
#include "vmms/vm/vm_save.h"

#include "common/base/log.h"
#include "common/control.h"
#include "common/dbus_names.h"
#include "vmms/base/fault.h"
#include "vmms/image/image.h"
#include "vmms/vm/job.h"
#include "vmms/vm/manager.h"
#include "vmms/vm/vm_file_limit.h"
#include "vmms/vm/vm_internal.h"
#include "vmms/vm/vm_log.h"
#include "vmms/vm/vm_memory.h"
#include "vmms/vm/vm_saved_state.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>

#define CANCEL_TIMEOUT 60 /* seconds */

static bool save_is_under_way(const struct vm *vm)
{
	return vm->operation.done && vm->operation.verb == VM_SAVE;
}

/* ---- Failing ---- */

static void save_forget_file(struct vm *vm)
{
	char path[PATH_MAX];

	file_holder_free(TAKE_PTR(vm->saving.file));
	vm_saved_state_path(vm, path);
	saved_file_remove(vm->manager->helpers, path);
}

/* The VM goes on as before. */
static void save_failed(struct vm *vm, const struct failure *failure)
{
	save_forget_file(vm);
	vm_file_limit_end_memory(vm);
	if (vm->state == VM_SAVING)
		vm_set_state(vm, vm->saving.was_paused ? VM_PAUSED : VM_RUNNING, "%s",
			     failure->message);
	vm_finish(&vm->operation, failure);
}

/* ---- Saved ---- */

static void save_stop_answered(void *data, struct json_object *result, const char *code,
			       const char *text)
{
	struct vm *vm = data;

	if (!result && strcmp(code, WORKER_ENDED) != 0)
		worker_kill(vm->run.worker, SIGKILL);
}

static void save_committed(struct vm *vm)
{
	int r;

	fault_point(FAULT_SAVED);
	file_holder_free(TAKE_PTR(vm->saving.file));
	r = worker_request(vm->run.worker, "stop", NULL, NULL, 0, 0, save_stop_answered, vm);
	if (r < 0)
		worker_kill(vm->run.worker, SIGKILL);
	vm_expect_end(vm);
}

static void save_resume_answered(void *data, struct json_object *result, const char *code,
				 const char *text)
{
	struct vm *vm = data;

	if (!result && strcmp(code, WORKER_ENDED) != 0)
		vm_log(vm, VM_EVENT_FAULT, LOG_LEVEL_ERROR, "it cannot be resumed: %s", text);
}

int vm_save_resume(struct vm *vm)
{
	return worker_request(vm->run.worker, "resume", NULL, NULL, 0,
			      vm->manager->settings.answer_timeout, save_resume_answered, vm);
}

/* The worker would wait for ever. */
static void save_not_committed(struct vm *vm, int error)
{
	struct failure failure;

	failure_set(&failure, DBUS_ERROR_STORE,
		    "VM '%s' is not saved, since that cannot be written down: %s",
		    vm->definition->name, strerror(-error));
	if (vm_save_resume(vm) < 0)
		worker_kill(vm->run.worker, SIGKILL);
	vm->saving.was_paused = false;
	save_failed(vm, &failure);
}

static void save_answered(void *data, struct json_object *result, const char *code,
			  const char *text)
{
	struct vm *vm = data;
	struct failure failure;
	int r;

	if (!result && strcmp(code, WORKER_ENDED) == 0)
		return; /* its end says more */
	if (!save_is_under_way(vm) || vm->turning_off.done)
		return; /* it is being turned off */
	if (!result) {
		vm_failure(vm, code, text, &failure);
		save_failed(vm, &failure);
		return;
	}
	r = vm_saved_state_commit(vm);
	if (r < 0)
		save_not_committed(vm, r);
	else
		save_committed(vm);
}

/* ---- The file ---- */

static int save_send(struct vm *vm, struct failure *failure)
{
	const struct held_file file = { .number = 0 };
	const struct worker_files files = { vm->saving.file, &file, 1 };
	int r;

	r = vm_file_limit_begin_memory(vm, failure);
	if (r < 0)
		return r;
	r = worker_request_with_files(vm->run.worker, "save", NULL, &files, 0, save_answered, vm);
	return r < 0 ? vm_failure(vm, CONTROL_ERROR_FAILED, strerror(-r), failure) : 0;
}

static void save_file_made(void *data, struct file_holder **holder, const struct failure *failure)
{
	struct vm *vm = data;
	struct failure why;
	int r;

	vm->saving.saved_file = NULL;
	/* Of a VM that is being turned off the file is removed when its worker has ended. */
	vm->saving.file = TAKE_PTR(*holder);
	if (!save_is_under_way(vm) || vm->turning_off.done || !vm->run.worker)
		return;
	fault_point(FAULT_SAVE_OPENED_FILE);
	if (failure) {
		failure_set(&why, failure->name, "VM '%s': %s", vm->definition->name,
			    failure->message);
		save_failed(vm, &why);
		return;
	}
	r = save_send(vm, &why);
	fault_point(FAULT_SAVE_SENT);
	if (r < 0)
		save_failed(vm, &why);
}

int vm_save_state(struct vm *vm, vm_done_fn done, void *data, struct failure *failure)
{
	char path[PATH_MAX];
	const struct saved_file_request request = {
		.task = SAVED_FILE_CREATE,
		.path = path,
		.size = vm_memory_assigned(vm),
		.timeout = vm->manager->settings.open_timeout,
	};
	int r;

	if (vm->dump.job)
		return failure_set(failure, DBUS_ERROR_BUSY,
				   "the memory of VM '%s' is being dumped (job %u); wait until "
				   "that is done, or cancel it",
				   vm->definition->name, vm->dump.job->id);
	r = vm_begin(vm, VM_SAVE, done, data, failure);
	if (r < 0)
		return r;
	vm_saved_state_path(vm, path);
	r = saved_file_new(vm->manager->helpers, &request, save_file_made, vm,
			   &vm->saving.saved_file, failure);
	if (r < 0) {
		vm->operation = (struct vm_operation){ 0 };
		return r;
	}
	vm->saving.was_paused = vm->state == VM_PAUSED;
	vm_set_state(vm, VM_SAVING, "%s", "");
	return 0;
}

/* ---- As a job ---- */

static void save_ignored(void *data, struct json_object *result, const char *code, const char *text)
{
}

/* The save ends by that, with an error. */
static int save_cancel(struct job *job, struct failure *failure)
{
	struct vm *vm = job->vm;
	int r = !vm->run.worker || !vm->saving.file
			? 0
			: worker_request(vm->run.worker, "cancel_save", NULL, NULL, 0,
					 CANCEL_TIMEOUT, save_ignored, NULL);

	return r < 0 ? vm_failure(vm, CONTROL_ERROR_FAILED, strerror(-r), failure) : 0;
}

static const struct job_kind save_kind = { .name = "save", .cancel = save_cancel };

static void save_job_done(void *data, const struct failure *failure)
{
	struct job *job = data;

	job->vm->saving.job = NULL;
	job_end(job, failure);
}

int vm_save_state_as_job(struct vm *vm, struct job **ret_job, struct failure *failure)
{
	struct job *job;
	int r;

	if (job_new(vm->manager->jobs, &save_kind, vm, &job) < 0)
		return failure_no_memory(failure);
	r = vm_save_state(vm, save_job_done, job, failure);
	if (r < 0) {
		job_drop(job);
		return r;
	}
	vm->saving.job = job;
	job_publish(job);
	*ret_job = job;
	return 0;
}

void vm_save_on_save(struct vm *vm, const struct control_event_data *data)
{
	if (vm->saving.job)
		job_progress(vm->saving.job, data->done, data->size);
	else if (vm->moving.job)
		job_progress(vm->moving.job, data->done, data->size);
}

/* ---- The worker has ended ---- */

static void save_end(struct vm *vm)
{
	const struct failure outcome = vm->saving.outcome;

	if (!vm->saving.ends_operation)
		return;
	vm->saving.ends_operation = false;
	vm_finish(&vm->operation, outcome.name ? &outcome : NULL);
}

/* The locks of its images are gone: it can be started again. */
static void save_disks_closed(void *data)
{
	struct vm *vm = data;

	vm->saving.disks = NULL;
	save_end(vm);
}

/* Its image servers have ended, too. */
static void save_looked(void *data, struct opened_files *opened, const struct failure *failure)
{
	struct vm *vm = data;

	vm->saving.look = NULL;
	if (failure) {
		vm_log(vm, VM_EVENT_HOST, LOG_LEVEL_WARNING,
		       "whether its disks are changed while it is saved will not be noticed: %s",
		       failure->message);
		save_end(vm);
		return;
	}
	vm_saved_state_note_files(vm, opened);
	vm->saving.disks = TAKE_PTR(opened->holder);
	file_holder_end(vm->saving.disks, save_disks_closed, vm);
}

void vm_save_note_disks(struct vm *vm, const struct failure *outcome)
{
	struct resources_request request = manager_files_request(vm);
	struct failure failure;

	request.is_written = NULL; /* its images are looked at, and nothing is read of them */
	vm->saving.ends_operation = vm->operation.done != NULL;
	vm->saving.outcome = outcome ? *outcome : (struct failure){ .name = NULL };
	if (open_helper_new(vm->manager->helpers, vm->manager->settings.open_timeout, &request,
			    save_looked, vm, &vm->saving.look, &failure) == 0)
		return;
	log_warning("VM %s: %s", vm->definition->name, failure.message);
	save_end(vm);
}

bool vm_save_looks(const struct vm *vm)
{
	return vm->saving.look || vm->saving.disks;
}

void vm_save_worker_ended(struct vm *vm)
{
	/* The process that makes the file may have made it, and not have told so. */
	const bool begun = vm->saving.saved_file || vm->saving.file;

	saved_file_free(TAKE_PTR(vm->saving.saved_file));
	if (begun && !vm->saved.exists)
		save_forget_file(vm);
	file_holder_free(TAKE_PTR(vm->saving.file));
}

void vm_save_free(struct vm *vm)
{
	file_holder_free(TAKE_PTR(vm->saving.disks));
	saved_file_free(TAKE_PTR(vm->saving.saved_file));
	file_holder_free(TAKE_PTR(vm->saving.file));
	open_helper_free(TAKE_PTR(vm->saving.look));
	vm_saved_state_deinit(&vm->saved);
}

/* ---- Dropping it ---- */

int vm_discard(struct vm *vm, vm_done_fn done, void *data, struct failure *failure)
{
	int r = vm_check(vm, VM_DISCARD, failure);

	if (r == 0)
		r = vm_saved_state_forget(vm, failure);
	if (r < 0)
		return r;
	open_helper_free(TAKE_PTR(vm->saving.look));
	vm_take_pending(vm);
	vm_set_state(vm, VM_OFF, "its saved state was discarded");
	manager_vm_rests(vm->manager, vm);
	done(data, NULL);
	return 0;
}
