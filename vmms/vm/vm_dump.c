/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One VM: core files of its guest's memory. */
#include "vmms/vm/vm_dump.h"

#include "common/control.h"
#include "common/dbus_names.h"
#include "vmms/vm/job.h"
#include "vmms/vm/manager.h"
#include "vmms/vm/vm_file_limit.h"
#include "vmms/vm/vm_internal.h"

#include <string.h>

#define CANCEL_TIMEOUT 60 /* seconds */

static void dump_ignored(void *data, struct json_object *result, const char *code, const char *text)
{
}

/* The dump ends by that, with an error. */
static int dump_cancel_dump(struct job *job, struct failure *failure)
{
	struct vm *vm = job->vm;
	int r = !vm->run.worker ? 0
				: worker_request(vm->run.worker, "cancel_dump", NULL, NULL, 0,
						 CANCEL_TIMEOUT, dump_ignored, NULL);

	return r < 0 ? vm_failure(vm, CONTROL_ERROR_FAILED, strerror(-r), failure) : 0;
}

static const struct job_kind dump_kind = { .name = "dump", .cancel = dump_cancel_dump };

static void dump_answered(void *data, struct json_object *result, const char *code,
			  const char *text)
{
	struct job *job = data;
	struct failure failure = { 0 };

	job->vm->dump.job = NULL;
	vm_file_limit_end_memory(job->vm);
	file_holder_free(TAKE_PTR(job->vm->dump.file));
	if (!result)
		vm_failure(job->vm, code, text, &failure);
	job_end(job, result ? NULL : &failure);
}

int vm_dump_memory(struct vm *vm, int fd, struct job **ret_job, struct failure *failure)
{
	const struct held_file file = { .number = 0 };
	struct worker_files files = { NULL, &file, 1 };
	struct job *job;
	int r;

	r = vm_check(vm, VM_DUMP, failure);
	if (r < 0)
		return r;
	if (vm->dump.job)
		return failure_set(failure, DBUS_ERROR_INVALID_STATE,
				   "the memory of VM '%s' is being dumped (job %u); wait until "
				   "that is done, or cancel it",
				   vm->definition->name, vm->dump.job->id);
	if (job_new(vm->manager->jobs, &dump_kind, vm, &job) < 0)
		return failure_no_memory(failure);
	r = vm_guest_take_file(vm, fd, &files.holder, failure);
	if (r == 0) {
		r = vm_file_limit_begin_memory(vm, failure);
		if (r < 0)
			file_holder_free(files.holder);
	}
	if (r < 0) {
		job_drop(job);
		return r;
	}
	r = worker_request_with_files(vm->run.worker, "dump", NULL, &files, 0, dump_answered, job);
	if (r < 0) {
		vm_file_limit_end_memory(vm);
		file_holder_free(files.holder);
		job_drop(job);
		return vm_failure(vm, CONTROL_ERROR_FAILED, strerror(-r), failure);
	}
	vm->dump.job = job;
	vm->dump.file = files.holder;
	job_publish(job);
	*ret_job = job;
	return 0;
}

void vm_dump_on_dump(struct vm *vm, const struct control_event_data *data)
{
	if (vm->dump.job)
		job_progress(vm->dump.job, data->done, data->size);
}
