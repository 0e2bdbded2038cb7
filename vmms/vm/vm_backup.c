/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One VM: a backup.
 *
 *   1. The guest is asked to freeze its file systems.
 *   2. The worker begins to keep the disks as they are, at one instant.
 *   3. The guest is told to thaw.
 *   4. The worker serves the disks over the socket: the job is under way.
 *   5. Whoever reads says that it is a backup; or the job is cancelled.
 */
#include "vmms/vm/vm_backup.h"

#include "common/base/cleanup.h"
#include "common/base/guid.h"
#include "common/base/json.h"
#include "common/base/log.h"
#include "vmms/image/image.h"
#include "vmms/vm/job.h"
#include "vmms/vm/manager.h"
#include "vmms/vm/vm_backup_internal.h"
#include "vmms/vm/vm_file_limit.h"
#include "vmms/vm/vm_guest.h"
#include "vmms/vm/vm_internal.h"
#include "vmms/vm/vm_log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define FREEZE_LIMIT   60 /* seconds until the guest thaws by itself */
#define FREEZE_TIMEOUT 120
#define THAW_TIMEOUT   120
#define END_TIMEOUT    120

struct backup_work {
	struct vm *vm;
	struct job *job;
	struct vm_backup_options options;
	struct guid point;
	struct file_holder *socket; /* until the worker has it; or NULL */
	unsigned pending;           /* answers that are waited for */
	bool frozen;                /* by this */
	bool begun;                 /* the worker keeps the disks */
	bool served;
	bool ending;             /* the worker has been asked to end it */
	bool complete;           /* and that it is a backup */
	bool over;               /* the job has ended */
	struct vm_operation end; /* who has asked for that */
};

static void backup_end_worker(struct backup_work *work, bool complete);

/* ---- The end ---- */

static void backup_free(struct backup_work *work)
{
	file_holder_free(work->socket);
	free(work);
}

/* Nothing is known of the VM any more if it was freed. */
static void backup_free_if_over(struct backup_work *work)
{
	if (work->over && work->pending == 0)
		backup_free(work);
}

/* failure: NULL: it is a backup. The work may be gone afterwards. */
static void backup_conclude(struct backup_work *work, const struct failure *failure)
{
	struct vm *vm = work->vm;
	struct job *job = TAKE_PTR(work->job);

	if (work->over)
		return;
	work->over = true;
	vm->backup.work = NULL;
	file_holder_free(TAKE_PTR(work->socket));
	if (vm->operation.data == work)
		vm_finish(&vm->operation, NULL);
	vm_finish(&work->end, failure);
	job_end(job, failure);
}

/* Before it is served; the guest thaws, and the worker forgets it. */
static void backup_fail(struct backup_work *work, const struct failure *failure);

/* An answer has come. Return: whether it still matters. */
static bool backup_answered(struct backup_work *work)
{
	work->pending--;
	if (!work->over)
		return true;
	backup_free_if_over(work);
	return false;
}

static void backup_ended(void *data, struct json_object *result, const char *code, const char *text)
{
	struct backup_work *work = data;
	struct failure failure = { 0 };

	if (!backup_answered(work))
		return;
	if (!result)
		vm_failure(work->vm, code, text, &failure);
	else if (!work->complete)
		failure_set(&failure, DBUS_ERROR_CANCELLED, "it was stopped before its end");
	backup_conclude(work, failure.name ? &failure : NULL);
	backup_free_if_over(work);
}

static void backup_end_worker(struct backup_work *work, bool complete)
{
	AUTO_JSON struct json_object *arguments =
		json_make("complete", json_object_new_boolean(complete), NULL);
	struct vm *vm = work->vm;

	work->ending = true;
	work->complete = complete;
	work->pending++;
	if (!arguments || !vm->run.worker ||
	    worker_request(vm->run.worker, "end_backup", arguments, NULL, 0, END_TIMEOUT,
			   backup_ended, work) < 0)
		backup_ended(work, NULL, CONTROL_ERROR_FAILED, "the worker cannot be asked");
}

/* ---- Thawing ---- */

static void backup_thawed(void *data, struct json_object *result, const struct failure *failure)
{
	struct backup_work *work = data;
	struct vm *vm = work->vm;

	if (!backup_answered(work))
		return;
	if (failure)
		vm_log(vm, VM_EVENT_GUEST, LOG_LEVEL_WARNING,
		       "after the beginning of a backup its file systems thaw by themselves: %s",
		       failure->message);
}

static void backup_thaw(struct backup_work *work)
{
	struct vm *vm = work->vm;
	struct failure failure;

	if (!work->frozen || !vm->guest.frozen || !vm->run.worker)
		return;
	work->frozen = false;
	work->pending++;
	if (vm_guest_ask(vm, "thaw", NULL, -1, THAW_TIMEOUT, backup_thawed, work, &failure) < 0)
		backup_thawed(work, NULL, &failure);
}

static void backup_fail(struct backup_work *work, const struct failure *failure)
{
	const struct failure copy = *failure;

	backup_thaw(work);
	if (work->begun && !work->ending && work->vm->run.worker) {
		/* The worker's answer ends what the job is for; why it failed is told at once. */
		work->pending++;
		backup_end_worker(work, false);
		work->pending--;
	}
	backup_conclude(work, &copy);
	backup_free_if_over(work);
}

static void backup_fail_code(struct backup_work *work, const char *code, const char *text)
{
	struct failure failure;

	vm_failure(work->vm, code, text, &failure);
	backup_fail(work, &failure);
}

/* ---- Serving ---- */

static void backup_served(void *data, struct json_object *result, const char *code,
			  const char *text)
{
	struct backup_work *work = data;
	struct vm *vm = work->vm;

	if (!backup_answered(work))
		return;
	file_holder_free(TAKE_PTR(work->socket));
	if (!result) {
		backup_fail_code(work, code, text);
		return;
	}
	work->served = true;
	vm_log(vm, VM_EVENT_DISK, LOG_LEVEL_INFO, "its disks are being backed up");
	vm_finish(&vm->operation, NULL);
	if (work->job->cancelled)
		backup_end_worker(work, false);
}

static void backup_serve(struct backup_work *work)
{
	AUTO_JSON struct json_object *arguments =
		json_make("releases", json_object_new_boolean(work->options.releases), NULL);
	const struct held_file file = { .number = 0 };
	const struct worker_files files = { work->socket, &file, 1 };
	struct vm *vm = work->vm;
	int r = -ENOMEM;

	work->pending++;
	if (arguments && vm->run.worker)
		r = worker_request_with_files(vm->run.worker, "serve_backup", arguments, &files, 0,
					      backup_served, work);
	if (r < 0)
		backup_served(work, NULL, CONTROL_ERROR_FAILED, strerror(-r));
}

/* ---- The instant ---- */

/* What it is a backup of. */
static int backup_describe(struct backup_work *work, struct json_object *result)
{
	struct vm *vm = work->vm;
	char point[GUID_TEXT_SIZE];
	struct json_object *full = json_object_object_get(result, "disks");
	const char *how = vm->guest.frozen ? "production" : "crash";

	guid_format(&work->point, point);
	AUTO_JSON struct json_object *description = json_make(
		"point", json_object_new_string(point), "time", json_object_new_int64(time(NULL)),
		"consistency", json_object_new_string(how), "full", json_object_get(full),
		"definition", definition_to_json(vm_stored_definition(vm)), NULL);
	const char *text =
		description ? json_object_to_json_string_ext(description, JSON_C_TO_STRING_PLAIN)
			    : NULL;

	return text ? job_set_result(work->job, text) : -ENOMEM;
}

static void backup_begun(void *data, struct json_object *result, const char *code, const char *text)
{
	struct backup_work *work = data;
	struct failure failure;
	int r;

	if (!backup_answered(work))
		return;
	if (!result) {
		backup_fail_code(work, code, text);
		return;
	}
	work->begun = true;
	r = backup_describe(work, result);
	backup_thaw(work);
	if (r == 0) {
		backup_serve(work);
		return;
	}
	failure_no_memory(&failure);
	backup_fail(work, &failure);
}

/* {"disks": …}: their places. NULL without memory. */
static struct json_object *backup_arguments(const struct backup_work *work)
{
	const struct definition *definition = work->vm->definition;
	struct json_object *array = json_object_new_array();
	char point[GUID_TEXT_SIZE];

	guid_format(&work->point, point);
	for (size_t i = 0; i < definition->disk_count; i++) {
		const struct definition_disk *disk = &definition->disks[i];

		if (definition_disk_is_written(disk))
			json_append(&array,
				    json_make("controller",
					      json_object_new_uint64(disk->controller), "lun",
					      json_object_new_uint64(disk->lun), NULL));
	}
	return json_make("disks", array, "point", json_object_new_string(point), "size",
			 json_object_new_uint64(work->options.scratch), NULL);
}

static int backup_ask_to_begin(struct backup_work *work, const int *fds, size_t count,
			       struct failure *failure)
{
	AUTO_JSON struct json_object *arguments = backup_arguments(work);
	struct vm *vm = work->vm;
	int r;

	if (!arguments)
		return failure_no_memory(failure);
	r = worker_request(vm->run.worker, "begin_backup", arguments, fds, count, 0, backup_begun,
			   work);
	if (r < 0)
		return vm_failure(vm, CONTROL_ERROR_FAILED, strerror(-r), failure);
	work->pending++;
	return 0;
}

static void backup_begin(struct backup_work *work)
{
	struct vm *vm = work->vm;
	struct failure failure;
	int fds[BACKUP_FILES_MAX], r = 0;
	size_t count = 0;

	if (!vm->run.worker)
		r = failure_set(&failure, DBUS_ERROR_INVALID_STATE, "VM '%s' does not run any more",
				vm->definition->name);
	if (r == 0) {
		r = backup_open_files(vm, fds, &count);
		if (r < 0)
			failure_set(&failure, DBUS_ERROR_STORE,
				    "the files for a backup of VM '%s' cannot be made: %s",
				    vm->definition->name, strerror(-r));
	}
	work->options.scratch = backup_scratch_size(vm, work->options.scratch);
	if (r == 0)
		r = vm_file_limit_raise(vm, MAX(work->options.scratch, VM_BACKUP_CHANGES_MAX),
					&failure);
	if (r == 0)
		r = backup_ask_to_begin(work, fds, count, &failure);
	for (size_t i = 0; i < count; i++)
		close(fds[i]);
	if (r < 0)
		backup_fail(work, &failure);
}

/* ---- Freezing ---- */

static void backup_not_frozen(struct backup_work *work, const struct failure *failure)
{
	struct failure why;

	failure_set(&why, failure->name,
		    "%s; with --crash-consistent its disks are backed up as after a loss of power",
		    failure->message);
	backup_fail(work, &why);
}

static void backup_frozen(void *data, struct json_object *result, const struct failure *failure)
{
	struct backup_work *work = data;

	if (!backup_answered(work))
		return;
	if (failure) {
		backup_not_frozen(work, failure);
		return;
	}
	work->frozen = true;
	backup_begin(work);
}

static void backup_freeze(struct backup_work *work)
{
	AUTO_JSON struct json_object *arguments =
		json_make("limit", json_object_new_int64(FREEZE_LIMIT), NULL);
	struct vm *vm = work->vm;
	struct failure failure;

	/* By somebody who also thaws it. */
	if (work->options.crash_consistent || vm->guest.frozen) {
		backup_begin(work);
		return;
	}
	work->pending++;
	if (vm_guest_ask(vm, "freeze", arguments, -1, FREEZE_TIMEOUT, backup_frozen, work,
			 &failure) < 0)
		backup_frozen(work, NULL, &failure);
}

/* ---- The beginning ---- */

/* The VM is turned off meanwhile. */
static void backup_operation_over(void *data, const struct failure *failure)
{
	struct backup_work *work = data;

	if (!failure || work->over)
		return;
	backup_conclude(work, failure);
	backup_free_if_over(work);
}

static int backup_cancel(struct job *job, struct failure *failure)
{
	struct backup_work *work = job->vm->backup.work;

	/* Else as soon as it is served. */
	if (work && work->served && !work->ending)
		backup_end_worker(work, false);
	return 0;
}

static const struct job_kind backup_kind = { .name = "backup", .cancel = backup_cancel };

static int backup_check(struct vm *vm, struct failure *failure)
{
	const struct definition *definition = vm->definition;
	size_t count = 0;
	int r = vm_check(vm, VM_BACK_UP, failure);

	if (r < 0)
		return r;
	if (vm->backup.work)
		return failure_set(failure, DBUS_ERROR_BUSY,
				   "VM '%s' is being backed up (job %u); wait until that is done, "
				   "or cancel it",
				   definition->name, vm->backup.work->job->id);
	for (size_t i = 0; i < definition->disk_count; i++)
		count += definition_disk_is_written(&definition->disks[i]);
	if (count == 0 || 2 * count > BACKUP_FILES_MAX)
		return failure_set(failure, DBUS_ERROR_INVALID_STATE,
				   "VM '%s' has %zu disks that are written; 1 to %zu can be backed "
				   "up",
				   definition->name, count, (size_t)BACKUP_FILES_MAX / 2);
	return 0;
}

int vm_backup_begin(struct vm *vm, int fd, const struct vm_backup_options *options,
		    struct job **ret_job, struct failure *failure)
{
	struct backup_work *work;
	int r = backup_check(vm, failure);

	if (r < 0)
		return r;
	work = calloc(1, sizeof(*work));
	if (!work || guid_generate(&work->point) < 0 ||
	    job_new(vm->manager->jobs, &backup_kind, vm, &work->job) < 0) {
		free(work);
		return failure_no_memory(failure);
	}
	work->vm = vm;
	work->options = *options;
	r = vm_guest_take_file(vm, fd, &work->socket, failure);
	if (r == 0)
		r = vm_begin(vm, VM_BACK_UP, backup_operation_over, work, failure);
	if (r < 0) {
		job_drop(work->job);
		backup_free(work);
		return r;
	}
	vm->backup.work = work;
	*ret_job = work->job;
	job_publish(work->job);
	backup_freeze(work);
	return 0;
}

int vm_backup_end(struct vm *vm, vm_done_fn done, void *data, struct failure *failure)
{
	struct backup_work *work = vm->backup.work;

	if (!work || !work->served || work->ending)
		return failure_set(failure, DBUS_ERROR_INVALID_STATE,
				   "there is no backup of VM '%s' that could be ended",
				   vm->definition->name);
	work->end = (struct vm_operation){ .done = done, .data = data, .verb = VM_BACK_UP };
	backup_end_worker(work, true);
	return 0;
}

/* All requests have got their answers. */
void vm_backup_worker_ended(struct vm *vm)
{
	struct backup_work *work = vm->backup.work;
	struct failure failure;

	if (!work)
		return;
	failure_set(&failure, DBUS_ERROR_INVALID_STATE, "VM '%s' has ended meanwhile",
		    vm->definition->name);
	backup_conclude(work, &failure);
	backup_free_if_over(work);
}

void vm_backup_free(struct vm *vm)
{
	struct backup_work *work = TAKE_PTR(vm->backup.work);

	if (work)
		backup_free(work);
}
