/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One VM: what its worker is sent at a start, step by step.
 *
 * Descriptors come first, in as many requests as they need; when the worker has them all, the
 * definition; and then the order to start, or what a saved VM or one that moves goes on from. The
 * first refusal is kept in vm->run.start_failure, and the worker is killed for it.
 */
#include "vmms/vm/vm_start_send.h"
#include "common/base/text.h"
#include "common/control.h"
#include "vmms/base/fault.h"
#include "vmms/vm/manager.h"
#include "vmms/vm/vm_internal.h"
#include "vmms/vm/vm_pinning.h"
#include "vmms/vm/vm_record.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

static void start_refused(struct vm *vm, const char *code, const char *text)
{
	/* Its end comes next, and says more. */
	if (strcmp(code, WORKER_ENDED) == 0)
		return;
	if (!vm->run.start_failure.name)
		vm_failure(vm, code, text, &vm->run.start_failure);
	worker_kill(vm->run.worker, SIGKILL);
}

static void start_step_answered(void *data, struct json_object *result, const char *code,
				const char *text)
{
	if (!result)
		start_refused(data, code, text);
}

/* ---- Once it runs ---- */

static void start_take_engine(struct vm *vm, struct json_object *status)
{
	struct json_object *engine;

	if (!json_object_object_get_ex(status, "engine", &engine) ||
	    !json_object_is_type(engine, json_type_string))
		return;
	vm_run_set_engine(vm, json_object_get_string(engine),
			  (size_t)json_object_get_string_len(engine));
	vm_notify(vm, "Engine", NULL);
}

/* The last answer of a start: whoever asked for it finds the VM as it is. */
static void start_status_answered(void *data, struct json_object *result, const char *code,
				  const char *text)
{
	struct vm *vm = data;

	if (!result && strcmp(code, WORKER_ENDED) == 0)
		return;
	if (result)
		start_take_engine(vm, result);
	if (vm->operation.verb == VM_START)
		vm_finish(&vm->operation, NULL);
}

static void start_answered(void *data, struct json_object *result, const char *code,
			   const char *text)
{
	struct vm *vm = data;

	if (!result) {
		start_refused(vm, code, text);
		return;
	}
	if (vm->run.start_failure.name)
		return; /* it refused something before, and is being killed */
	fault_point(FAULT_START_ANSWERED);
	file_holder_free(TAKE_PTR(vm->opening.files));
	file_holder_free(TAKE_PTR(vm->opening.moved));
	vm_run_note_start(vm);
	vm_record_save(vm);
	vm_notify(vm, "StartedAt", "MemoryAssigned", NULL);
	if (vm->state == VM_STARTING)
		vm_set_state(vm, VM_RUNNING, "%s", "");
	vm_pinning_apply(vm);
	manager_vm_runs(vm->manager, vm);
	if (worker_request(vm->run.worker, "status", NULL, NULL, 0,
			   vm->manager->settings.answer_timeout, start_status_answered, vm) < 0)
		start_status_answered(vm, NULL, CONTROL_ERROR_FAILED, "");
}

/* ---- What is sent ---- */

/* Whoever asked for the start waits for the guest to run. */
static void start_resume(struct vm *vm)
{
	if (worker_request(vm->run.worker, "resume", NULL, NULL, 0, VM_START_TIMEOUT,
			   start_answered, vm) < 0)
		start_refused(vm, CONTROL_ERROR_FAILED, "the worker cannot be asked to resume");
}

/*
 * The worker has all of the saved state. Written down is first that it has begun, then that nothing
 * is saved any more; the next daemon goes on from wherever this one has come to.
 */
static void start_restored(void *data, struct json_object *result, const char *code,
			   const char *text)
{
	struct vm *vm = data;
	struct failure failure;

	if (!result) {
		start_refused(vm, code, text);
		return;
	}
	if (vm->run.start_failure.name)
		return;
	file_holder_free(TAKE_PTR(vm->opening.state));
	vm_run_note_start(vm);
	vm_record_save(vm);
	fault_point(FAULT_RESTORE_ANSWERED);
	if (vm_saved_state_forget(vm, &failure) == 0)
		start_resume(vm);
	else
		start_refused(vm, CONTROL_ERROR_FAILED, failure.message);
}

/* In place of "start"; how long it takes is for the other side to say. */
static int start_send_moved(struct vm *vm)
{
	const struct held_file file = { .number = 0 };
	const struct worker_files files = { vm->opening.moved, &file, 1 };
	int r;

	if (vm->opening.carried) {
		r = worker_request(vm->run.worker, "receive", NULL, &vm->carrier.stream, 1, 0,
				   start_answered, vm);
		vm_carrier_let_go(vm);
		return r;
	}
	return worker_request_with_files(vm->run.worker, "receive", NULL, &files, 0, start_answered,
					 vm);
}

/* In place of "start"; how long it takes is for the host's disk to say. */
static int start_send_state(struct vm *vm)
{
	const struct held_file file = { .number = 0 };
	const struct worker_files files = { vm->opening.state, &file, 1 };

	return worker_request_with_files(vm->run.worker, "restore", NULL, &files, 0, start_restored,
					 vm);
}

/* With what this start alone has. */
static struct json_object *start_definition_to_json(const struct vm *vm)
{
	struct json_object *tree = definition_to_json(vm->definition), *order;

	if (!tree || vm->opening.boot == 0)
		return tree;
	order = json_object_new_array();
	json_append(&order, json_object_new_string(definition_drive_names[vm->opening.boot - 1]));
	json_object_object_del(tree, "boot_order");
	json_add(&tree, "boot_order", order);
	return tree;
}

static int start_send_definition(struct vm *vm)
{
	AUTO_JSON struct json_object *arguments =
		json_make("definition", start_definition_to_json(vm), NULL);
	AUTO_JSON struct json_object *setup = NULL;
	int r;

	if (!arguments)
		return -ENOMEM;
	r = worker_request(vm->run.worker, "configure", arguments, NULL, 0, VM_START_TIMEOUT,
			   start_step_answered, vm);
	if (r < 0)
		return r;
	if (vm->opening.state)
		return start_send_state(vm);
	if (vm->opening.moved || vm->opening.carried)
		return start_send_moved(vm);
	if (vm->opening.setup)
		setup = json_make("setup", json_object_new_boolean(true), NULL);
	return worker_request(vm->run.worker, "start", setup, NULL, 0, VM_START_TIMEOUT,
			      start_answered, vm);
}

/* When the worker has all, it gets the definition, which needs them. */
static void start_descriptors_answered(void *data, struct json_object *result, const char *code,
				       const char *text)
{
	struct vm *vm = data;
	int r;

	if (!result) {
		start_refused(vm, code, text);
		return;
	}
	vm->start_steps--;
	if (vm->start_steps > 0 || vm->run.start_failure.name)
		return;
	r = start_send_definition(vm);
	fault_point(FAULT_START_SENT);
	/* The end of a worker that has ended says more, and comes. */
	if (r < 0 && r != -EPIPE && r != -ECONNRESET)
		start_refused(vm, CONTROL_ERROR_FAILED, strerror(-r));
}

static int start_send_resources(struct vm *vm, const struct resources *resources)
{
	unsigned timeout = vm->manager->settings.answer_timeout;

	for (size_t i = 0; i < resources->count; i += CONTROL_FDS_MAX) {
		size_t count = MIN(resources->count - i, (size_t)CONTROL_FDS_MAX);
		struct json_object *names = json_object_new_array();
		AUTO_JSON struct json_object *arguments = NULL;
		int fds[CONTROL_FDS_MAX], r;

		for (size_t j = 0; j < count; j++) {
			json_append(&names, json_object_new_string(resources->items[i + j].name));
			fds[j] = resources->items[i + j].fd;
		}
		arguments = json_make("names", names, NULL);
		if (!arguments)
			return -ENOMEM;
		r = worker_request(vm->run.worker, "descriptors", arguments, fds, count, timeout,
				   start_descriptors_answered, vm);
		if (r < 0)
			return r;
		vm->start_steps++;
	}
	return 0;
}

static int start_send_opened(struct vm *vm, const struct opened_files *opened)
{
	unsigned timeout = vm->manager->settings.answer_timeout;

	_Static_assert(CONTROL_FDS_MAX <= FILE_HOLDER_SEND_MAX, "as many go with a message");
	for (size_t i = 0; i < opened->count; i += CONTROL_FDS_MAX) {
		const struct worker_files files = { vm->opening.files, &opened->items[i],
						    MIN(opened->count - i,
							(size_t)CONTROL_FDS_MAX) };
		struct json_object *names = json_object_new_array();
		AUTO_JSON struct json_object *arguments = NULL;
		int r;

		for (size_t j = 0; j < files.count; j++)
			json_append(&names, json_object_new_string(files.files[j].name));
		arguments = json_make("names", names, NULL);
		if (!arguments)
			return -ENOMEM;
		r = worker_request_with_files(vm->run.worker, "descriptors", arguments, &files,
					      timeout, start_descriptors_answered, vm);
		if (r < 0)
			return r;
		vm->start_steps++;
	}
	return 0;
}

int vm_start_send(struct vm *vm, const struct resources *resources,
		  const struct opened_files *opened)
{
	int r;

	vm->start_steps = 0;
	r = start_send_resources(vm, resources);
	return r < 0 ? r : start_send_opened(vm, opened);
}
