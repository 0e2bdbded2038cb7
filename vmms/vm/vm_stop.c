/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One VM: shutting it down by asking its guest, and turning it off without.
 *
 * Off is a VM only when its worker has ended, which vm_worker.c notices. Here it is asked to, and
 * killed if it does not.
 */
#include "common/base/log.h"
#include "common/control.h"
#include "vmms/base/fault.h"
#include "vmms/image/image.h"
#include "vmms/vm/job.h"
#include "vmms/vm/manager.h"
#include "vmms/vm/vm_internal.h"
#include "vmms/vm/vm_log.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

/* ---- The end of the worker ---- */

static int stop_end_overdue(sd_event_source *source, uint64_t usec, void *data)
{
	struct vm *vm = data;

	vm_log(vm, VM_EVENT_FAULT, LOG_LEVEL_WARNING, "the worker does not end and is killed");
	worker_kill(vm->run.worker, SIGKILL);
	return 0;
}

void vm_expect_end(struct vm *vm)
{
	if (vm->state != VM_STOPPING)
		vm_set_state(vm, VM_STOPPING, "%s", "");
	vm_set_timer(vm, VM_END_TIMEOUT, stop_end_overdue);
}

/* ---- Turning off ---- */

static void stop_answered(void *data, struct json_object *result, const char *code,
			  const char *text)
{
	struct vm *vm = data;

	if (!result && strcmp(code, WORKER_ENDED) != 0) {
		vm_log(vm, VM_EVENT_FAULT, LOG_LEVEL_WARNING,
		       "the worker will not stop (%s) and is killed", text);
		worker_kill(vm->run.worker, SIGKILL);
	}
}

int vm_turn_off(struct vm *vm, vm_done_fn done, void *data, struct failure *failure)
{
	int r;

	if (vm->restart.timer) {
		vm_restart_forget(vm);
		vm_set_state(vm, VM_OFF, "turned off, before it was started again");
		manager_vm_rests(vm->manager, vm);
		done(data, NULL);
		return 0;
	}
	r = vm_begin(vm, VM_TURN_OFF, done, data, failure);
	if (r < 0)
		return r;
	if (!vm->run.worker) { /* of a VM that is starting, or is just failing to */
		if (vm->opening.open_helper)
			open_helper_cancel(vm->opening.open_helper);
		vm_confinement_cancel(vm);
		return 0;
	}
	r = worker_request(vm->run.worker, "stop", NULL, NULL, 0, 0, stop_answered, vm);
	fault_point(FAULT_STOP_SENT);
	if (r < 0)
		worker_kill(vm->run.worker, SIGKILL);
	vm_expect_end(vm);
	return 0;
}

/* ---- Shutting down ---- */

static bool stop_is_shutting_down(const struct vm *vm)
{
	return vm->operation.done && vm->operation.verb == VM_SHUT_DOWN;
}

/* The guest may still do it; but nobody waits for that. */
static void stop_give_up(struct vm *vm, const char *reason, const struct failure *failure)
{
	vm_clear_timer(vm);
	if (vm->state == VM_STOPPING)
		vm_set_state(vm, VM_RUNNING, "%s", reason);
	if (stop_is_shutting_down(vm))
		vm_finish(&vm->operation, failure);
}

static int stop_shutdown_overdue(sd_event_source *source, uint64_t usec, void *data)
{
	struct vm *vm = data;
	struct failure failure;

	failure_set(&failure, DBUS_ERROR_TIMEOUT,
		    "the guest of VM '%s' did not shut down in time and still runs; wait longer, "
		    "look at its console, or turn it off",
		    vm->definition->name);
	stop_give_up(vm, "the guest was asked to shut down, but did not in time", &failure);
	return 0;
}

/* Nobody waits any more for the guest that is shutting down; the VM counts as running again. */
static int stop_cancel_shutdown(struct job *job, struct failure *failure)
{
	struct vm *vm = job->vm;
	struct failure cancelled;

	if (!stop_is_shutting_down(vm) || vm->turning_off.done)
		return failure_set(failure, DBUS_ERROR_INVALID_STATE,
				   "VM '%s' is not being shut down", vm->definition->name);
	failure_set(&cancelled, DBUS_ERROR_CANCELLED,
		    "the guest of VM '%s' was asked to shut down, and may still do it",
		    vm->definition->name);
	stop_give_up(vm, "the guest was asked to shut down; nobody waits for that any more",
		     &cancelled);
	return 0;
}

static int stop_shutdown_failure(const struct vm *vm, const char *code, const char *text,
				 struct failure *failure)
{
	if (strcmp(code, CONTROL_ERROR_NOT_CONNECTED) != 0)
		return vm_failure(vm, code, text, failure);
	return failure_set(failure, DBUS_ERROR_NOT_CONNECTED,
			   "the guest of VM '%s' runs no shutdown service (hv_utils): it may still "
			   "be booting; try again later, shut it down on its console, or turn it "
			   "off",
			   vm->definition->name);
}

static void stop_shutdown_refused(struct vm *vm, const char *code, const char *text)
{
	struct failure failure;

	if (strcmp(code, WORKER_ENDED) == 0 || !stop_is_shutting_down(vm))
		return; /* it may well have shut down: its end tells */
	vm_clear_timer(vm);
	stop_shutdown_failure(vm, code, text, &failure);
	vm_finish(&vm->operation, &failure);
}

/* The guest has agreed; what is waited for is that the VM is off. */
static void stop_shutdown_agreed(void *data, struct json_object *result, const char *code,
				 const char *text)
{
	struct vm *vm = data;

	if (!result)
		stop_shutdown_refused(vm, code, text);
	else if (vm->state == VM_RUNNING && stop_is_shutting_down(vm))
		vm_set_state(vm, VM_STOPPING, "the guest is shutting down");
}

static void stop_reboot_agreed(void *data, struct json_object *result, const char *code,
			       const char *text)
{
	struct vm *vm = data;

	if (!result) {
		stop_shutdown_refused(vm, code, text);
		return;
	}
	if (!stop_is_shutting_down(vm))
		return;
	vm_clear_timer(vm);
	vm_finish(&vm->operation, NULL);
}

int vm_shut_down(struct vm *vm, const struct vm_shutdown_options *options, vm_done_fn done,
		 void *data, struct failure *failure)
{
	AUTO_JSON struct json_object *arguments =
		json_make("force", json_object_new_boolean(options->force), "reboot",
			  json_object_new_boolean(options->reboot), "hibernate",
			  json_object_new_boolean(options->hibernate), NULL);
	int r;

	if (!arguments)
		return failure_no_memory(failure);
	r = vm_begin(vm, VM_SHUT_DOWN, done, data, failure);
	if (r < 0)
		return r;
	r = worker_request(vm->run.worker, "shutdown", arguments, NULL, 0,
			   vm->manager->settings.answer_timeout,
			   options->reboot ? stop_reboot_agreed : stop_shutdown_agreed, vm);
	if (r < 0) {
		vm->operation = (struct vm_operation){ 0 };
		return vm_failure(vm, CONTROL_ERROR_FAILED, strerror(-r), failure);
	}
	if (options->timeout > 0)
		vm_set_timer(vm, options->timeout, stop_shutdown_overdue);
	return 0;
}

static const struct job_kind shutdown_kind = { .name = "shutdown", .cancel = stop_cancel_shutdown };

int vm_shut_down_as_job(struct vm *vm, const struct vm_shutdown_options *options,
			struct job **ret_job, struct failure *failure)
{
	struct job *job;
	int r;

	if (job_new(vm->manager->jobs, &shutdown_kind, vm, &job) < 0)
		return failure_no_memory(failure);
	r = vm_shut_down(vm, options, job_end, job, failure);
	if (r < 0) {
		job_drop(job);
		return r;
	}
	job_publish(job);
	*ret_job = job;
	return 0;
}
