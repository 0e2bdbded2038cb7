/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One VM: another worker takes the place of the one that it has. */
#include "vmms/vm/vm_renew.h"

#include "common/base/error.h"
#include "common/base/log.h"
#include "common/control.h"
#include "common/dbus_names.h"
#include "vmms/base/fault.h"
#include "vmms/image/image.h"
#include "vmms/vm/manager.h"
#include "vmms/vm/vm_file_limit.h"
#include "vmms/vm/vm_internal.h"
#include "vmms/vm/vm_log.h"
#include "vmms/vm/vm_pinning.h"
#include "vmms/vm/vm_record.h"
#include "vmms/vm/vm_unit.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

bool vm_renews(const struct vm *vm)
{
	return vm->renewal.worker || vm->renewal.asked;
}

const struct process *vm_renewal_other(const struct vm *vm)
{
	if (vm->renewal.worker)
		return worker_process(vm->renewal.worker);
	return vm->renewal.old.pid > 0 ? &vm->renewal.old : NULL;
}

void vm_renewal_init(struct vm *vm)
{
	vm->renewal = (struct vm_renewal){ .state = -1, .successor = -1 };
}

static void renewal_close(struct vm *vm)
{
	close_fdp(&vm->renewal.state);
	close_fdp(&vm->renewal.successor);
}

void vm_renewal_free(struct vm *vm)
{
	worker_free(TAKE_PTR(vm->renewal.worker));
	renewal_close(vm);
}

void vm_renewal_forget(struct vm *vm)
{
	vm_renewal_free(vm);
	vm->renewal.asked = false;
	vm_record_remove_other_socket(vm);
}

/* ---- Failing ---- */

/* The new worker has gone: the old one goes on. */
static void renewal_failed(struct vm *vm)
{
	const struct failure failure = vm->renewal.failure;

	vm_renewal_forget(vm);
	vm_file_limit_end_memory(vm);
	if (vm->renewal.handed_over && vm_save_resume(vm) < 0)
		worker_kill(vm->run.worker, SIGKILL);
	vm_record_save(vm);
	vm_log(vm, VM_EVENT_HOST, LOG_LEVEL_WARNING, "its worker is not renewed, and goes on: %s",
	       failure.message);
	vm_finish(&vm->operation, &failure);
}

/* Both workers may call this: the first reason is kept, and the new one's end comes. */
static void renewal_refuse(struct vm *vm, const char *code, const char *text)
{
	if (!vm->renewal.failure.name)
		vm_failure(vm, code, text, &vm->renewal.failure);
	worker_kill(vm->renewal.worker, SIGKILL);
}

/* Return: whether the renewal goes on after this answer of either worker. */
static bool renewal_goes_on(struct vm *vm, struct json_object *result, const char *code,
			    const char *text)
{
	if (!vm->renewal.worker || (!result && strcmp(code, WORKER_ENDED) == 0))
		return false; /* its end comes next */
	if (!result)
		renewal_refuse(vm, code, text);
	else if (vm->turning_off.done)
		renewal_refuse(vm, CONTROL_ERROR_INVALID_STATE, "the VM is being turned off");
	return result && !vm->renewal.failure.name;
}

static void renewal_step_answered(void *data, struct json_object *result, const char *code,
				  const char *text)
{
	(void)renewal_goes_on(data, result, code, text);
}

/* ---- Step 4 ---- */

static void renewal_resumed(void *data, struct json_object *result, const char *code,
			    const char *text)
{
	struct vm *vm = data;
	uint64_t stood = vm_clock(CLOCK_MONOTONIC) - vm->renewal.stood_at;

	if (!result && strcmp(code, WORKER_ENDED) == 0)
		return;
	if (!result) {
		vm_log(vm, VM_EVENT_FAULT, LOG_LEVEL_ERROR, "its new worker cannot go on: %s",
		       text);
		worker_kill(vm->run.worker, SIGKILL);
		return;
	}
	vm_log(vm, VM_EVENT_HOST, LOG_LEVEL_INFO,
	       "its worker is renewed: it is process %d now; the guest stood still for %" PRIu64
	       ".%" PRIu64 " ms at most",
	       (int)worker_pid(vm->run.worker), stood / 1000, stood / 100 % 10);
	vm_finish(&vm->operation, NULL);
}

static void renewal_commit(struct vm *vm)
{
	struct worker *old = vm->run.worker;

	vm->renewal.old = *worker_process(old);
	vm->run.worker = TAKE_PTR(vm->renewal.worker);
	vm->run.renewals++;
	vm_record_save(vm);
	fault_point(FAULT_RENEWED);
	worker_retire(old);
	vm->renewal.old = (struct process){ 0 };
	renewal_close(vm);
	vm_record_remove_other_socket(vm);
	vm_record_save(vm);
	if (worker_request(vm->run.worker, "resume", NULL, NULL, 0, VM_START_TIMEOUT,
			   renewal_resumed, vm) < 0)
		worker_kill(vm->run.worker, SIGKILL);
	vm_pinning_forget(vm);
	vm_unit_open(vm);
	vm_notify(vm, "WorkerPID", "Unit", "LimitsProblem", NULL);
}

/* ---- Step 3 ---- */

static void renewal_restored(void *data, struct json_object *result, const char *code,
			     const char *text)
{
	struct vm *vm = data;

	if (!renewal_goes_on(vm, result, code, text))
		return;
	fault_point(FAULT_RENEWAL_RESTORED);
	renewal_commit(vm);
}

static int renewal_send_definition(struct vm *vm)
{
	AUTO_JSON struct json_object *arguments =
		json_make("definition", definition_to_json(vm->definition), NULL);

	return arguments ? worker_request(vm->renewal.worker, "configure", arguments, NULL, 0,
					  VM_START_TIMEOUT, renewal_step_answered, vm)
			 : -ENOMEM;
}

static void renewal_handed_over(void *data, struct json_object *result, const char *code,
				const char *text)
{
	struct vm *vm = data;
	int r;

	if (!vm->renewal.asked || (!result && strcmp(code, WORKER_ENDED) == 0))
		return;
	vm->renewal.asked = false;
	vm->renewal.handed_over = result != NULL;
	if (!vm->renewal.worker) {
		renewal_failed(vm); /* that waited for this answer */
		return;
	}
	if (!renewal_goes_on(vm, result, code, text))
		return;
	fault_point(FAULT_RENEWAL_HANDED_OVER);
	r = worker_request(vm->renewal.worker, "take_over", NULL, &vm->renewal.successor, 1,
			   VM_START_TIMEOUT, renewal_step_answered, vm);
	if (r == 0)
		r = renewal_send_definition(vm);
	if (r == 0)
		r = worker_request(vm->renewal.worker, "restore", NULL, &vm->renewal.state, 1,
				   VM_START_TIMEOUT, renewal_restored, vm);
	if (r < 0)
		renewal_refuse(vm, CONTROL_ERROR_FAILED, strerror(-r));
}

/* ---- Step 2 ---- */

/* Return: 0, the caller closes *ret_far; -errno. */
static int renewal_make_files(struct vm *vm, int *ret_far)
{
	int pair[2];

	vm->renewal.state = memfd_create("vmms-renewal", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (vm->renewal.state < 0 ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return error_origin(-errno);
	vm->renewal.successor = pair[0];
	*ret_far = pair[1];
	return 0;
}

/* The new worker is there. */
static void renewal_prepared(void *data, struct json_object *result, const char *code,
			     const char *text)
{
	AUTO_CLOSE int far = -1;
	struct vm *vm = data;
	struct failure failure;
	int r;

	if (!renewal_goes_on(vm, result, code, text))
		return;
	if (vm_file_limit_begin_memory(vm, &failure) < 0) {
		renewal_refuse(vm, CONTROL_ERROR_FAILED, failure.message);
		return;
	}
	r = renewal_make_files(vm, &far);
	if (r == 0) {
		const int fds[] = { vm->renewal.state, far };

		vm->renewal.stood_at = vm_clock(CLOCK_MONOTONIC);
		r = worker_request(vm->run.worker, "hand_over", NULL, fds, ARRAY_SIZE(fds), 0,
				   renewal_handed_over, vm);
		vm->renewal.asked = r == 0;
	}
	if (r < 0)
		renewal_refuse(vm, CONTROL_ERROR_FAILED, strerror(-r));
}

/* ---- The new worker ---- */

/* What it tells of a guest that is not its own yet is known. */
static void renewal_event(void *owner, const char *event, struct json_object *data)
{
	if (!vm_renews(owner))
		vm_worker_callbacks.event(owner, event, data);
}

static void renewal_said(void *owner, const char *line)
{
	vm_worker_callbacks.said(owner, line);
}

static void renewal_misbehaved(void *owner, const char *what)
{
	vm_worker_callbacks.misbehaved(owner, what);
}

static void renewal_exited(void *owner, const struct worker_exit *exit)
{
	struct vm *vm = owner;

	if (!vm_renews(vm)) {
		vm_worker_callbacks.exited(owner, exit);
		return;
	}
	if (!vm->renewal.failure.name)
		failure_set(
			&vm->renewal.failure, DBUS_ERROR_WORKER_FAILED,
			"VM '%s' goes on with the worker that it had: the new one has ended%s%s",
			vm->definition->name, exit->last_words[0] != '\0' ? ": " : "",
			exit->last_words);
	if (!vm->renewal.asked) {
		renewal_failed(vm);
		return;
	}
	worker_free(TAKE_PTR(vm->renewal.worker));
	(void)!worker_request(vm->run.worker, "cancel_save", NULL, NULL, 0, 0, NULL, NULL);
}

static const struct worker_callbacks renewal_callbacks = {
	.event = renewal_event,
	.said = renewal_said,
	.misbehaved = renewal_misbehaved,
	.exited = renewal_exited,
};

static int renewal_spawn(struct vm *vm, struct failure *failure)
{
	char socket[PATH_MAX], profile[APPARMOR_NAME_SIZE];
	const struct worker_config config = { .program = vm->manager->settings.worker,
					      .directory = vm->manager->settings.runtime_directory,
					      .user = vm->run.user,
					      .profile = vm_confinement_profile(vm, "", profile),
					      .socket = socket,
					      .name = vm->definition->name,
					      .whose = vm_owner(vm),
					      .helpers = vm->manager->helpers,
					      .callbacks = &renewal_callbacks,
					      .owner = vm };
	int r;

	vm_record_other_socket_path(vm, socket);
	r = worker_spawn(vm->manager->watches, &config, &vm->renewal.worker);
	if (r < 0)
		return failure_set(failure, DBUS_ERROR_RESOURCE,
				   "cannot start another worker for VM '%s': %s",
				   vm->definition->name, strerror(-r));
	if (vm->run.file_limit != VM_FILE_LIMIT_NONE)
		(void)!worker_limit_files(vm->renewal.worker, vm->run.file_limit);
	vm_record_save(vm);
	fault_point(FAULT_RENEWAL_SPAWNED);
	return 0;
}

/* Step 1: it gets what it needs and the old one does not have to give. */
static int renewal_begin(struct vm *vm, struct failure *failure)
{
	CLEANUP(resources_deinit)
	struct resources resources = { .helpers = vm->manager->helpers, .whose = vm_owner(vm) };
	AUTO_JSON struct json_object *arguments = NULL;
	struct json_object *names = json_object_new_array();
	int r;

	json_append(&names, json_object_new_string("kvm"));
	arguments = json_make("names", names, NULL);
	if (!arguments)
		return failure_no_memory(failure);
	r = resources_open_hypervisor(&resources, vm->manager->settings.hypervisor, failure);
	if (r == 0)
		r = renewal_spawn(vm, failure);
	if (r < 0)
		return r;
	r = worker_request(vm->renewal.worker, "descriptors", arguments, &resources.items[0].fd, 1,
			   vm->manager->settings.answer_timeout, renewal_prepared, vm);
	/* One that has ended already says why by its end, which comes. */
	if (r == 0 || r == -EPIPE || r == -ECONNRESET)
		return 0;
	return vm_failure(vm, CONTROL_ERROR_FAILED, strerror(-r), failure);
}

int vm_renew(struct vm *vm, vm_done_fn done, void *data, struct failure *failure)
{
	int r = vm_begin(vm, VM_RENEW, done, data, failure);

	if (r < 0)
		return r;
	vm_renewal_init(vm);
	r = renewal_begin(vm, failure);
	if (r == 0)
		return 0;
	vm->operation = (struct vm_operation){ 0 };
	vm_renewal_forget(vm);
	vm_record_save(vm);
	return r;
}
