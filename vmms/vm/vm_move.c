/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One VM: moving it to another worker. */
#include "vmms/vm/vm_move.h"

#include "common/base/log.h"
#include "common/control.h"
#include "common/dbus_names.h"
#include "vmms/image/image.h"
#include "vmms/vm/job.h"
#include "vmms/vm/manager.h"
#include "vmms/vm/vm_departure.h"
#include "vmms/vm/vm_internal.h"
#include "vmms/vm/vm_log.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#define CANCEL_TIMEOUT 60 /* seconds */
#define FIGURES_SIZE   128

static void move_ignored(void *data, struct json_object *result, const char *code, const char *text)
{
}

/* The other side learns it by the end of the socket. */
static void move_give_up(struct vm *vm, const struct failure *failure)
{
	file_holder_free(TAKE_PTR(vm->moving.socket));
	vm_carrier_let_go(vm);
	vm_finish(&vm->operation, failure);
}

static void move_give_up_waiting(struct vm *vm, const char *why)
{
	struct failure failure;

	failure_set(&failure, DBUS_ERROR_CANCELLED, "the move of VM '%s' had not begun%s",
		    vm->definition->name, why);
	move_give_up(vm, &failure);
}

/* The move ends by that, with an error. */
static int move_cancel(struct job *job, struct failure *failure)
{
	struct vm *vm = job->vm;
	int r;

	if (vm_departure_give_up(vm, ""))
		return 0;
	if (job->waiting) {
		move_give_up_waiting(vm, "");
		return 0;
	}
	r = !vm->run.worker ? 0
			    : worker_request(vm->run.worker, "cancel_move", NULL, NULL, 0,
					     CANCEL_TIMEOUT, move_ignored, NULL);
	return r < 0 ? vm_failure(vm, CONTROL_ERROR_FAILED, strerror(-r), failure) : 0;
}

static const struct job_kind move_kind = { .name = "move", .cancel = move_cancel };

static void move_begin_next(struct manager *manager);

static void move_job_done(void *data, const struct failure *failure)
{
	struct job *job = data;
	struct vm *vm = job->vm;
	bool departs = vm->moving.departs;

	list_unlink(&vm->moving.turn);
	vm_departure_ended(vm, failure);
	vm->moving.departs = vm->moving.sends = false;
	vm->moving.job = NULL;
	job_end(job, failure);
	if (departs && !failure)
		vm_remove_soon(vm, NULL, NULL);
	move_begin_next(vm->manager);
}

/* ---- Sending ---- */

static uint64_t move_figure(struct json_object *result, const char *key)
{
	struct json_object *member = NULL;

	json_object_object_get_ex(result, key, &member);
	return json_object_get_uint64(member);
}

/* What the guest has had to bear is kept with the job and in the log. */
static void move_note_figures(struct vm *vm, struct json_object *result)
{
	uint64_t rounds = move_figure(result, "rounds"), bytes = move_figure(result, "bytes"),
		 blackout = move_figure(result, "blackout");
	char text[FIGURES_SIZE];

	vm_log(vm, VM_EVENT_STATE, LOG_LEVEL_INFO,
	       "it has moved: its guest stood for %.1f ms; %llu MiB were sent in %llu rounds",
	       (double)blackout / 1e6, (unsigned long long)(bytes >> 20),
	       (unsigned long long)rounds);
	snprintf(text, sizeof(text), "{\"rounds\":%llu,\"bytes\":%llu,\"blackout\":%llu}",
		 (unsigned long long)rounds, (unsigned long long)bytes,
		 (unsigned long long)blackout);
	if (vm->moving.job && job_set_result(vm->moving.job, text) < 0)
		log_warning("VM %s: out of memory", vm->definition->name);
}

static void move_stop_answered(void *data, struct json_object *result, const char *code,
			       const char *text)
{
	struct vm *vm = data;

	if (!result && strcmp(code, WORKER_ENDED) != 0)
		worker_kill(vm->run.worker, SIGKILL);
}

static void move_succeeded(struct vm *vm, struct json_object *result)
{
	vm->moving.moved = true;
	move_note_figures(vm, result);
	if (worker_request(vm->run.worker, "stop", NULL, NULL, 0, 0, move_stop_answered, vm) < 0)
		worker_kill(vm->run.worker, SIGKILL);
	vm_expect_end(vm);
}

static void move_answered(void *data, struct json_object *result, const char *code,
			  const char *text)
{
	struct vm *vm = data;
	struct failure failure;

	if (!result && strcmp(code, WORKER_ENDED) == 0)
		return; /* its end says more */
	file_holder_free(TAKE_PTR(vm->moving.socket));
	if (result) {
		move_succeeded(vm, result);
		return;
	}
	vm_failure(vm, code, text, &failure);
	vm_log(vm, VM_EVENT_STATE, LOG_LEVEL_WARNING, "%s", failure.message);
	if (strcmp(code, CONTROL_ERROR_UNKNOWN_OUTCOME) == 0)
		vm_set_state(vm, VM_PAUSED,
			     "it was being moved, and runs on the other side, or nowhere: 'vmctl "
			     "migrate %s --settle there' gives it up here, '--settle here' has it "
			     "run here",
			     vm->definition->name);
	if (vm->operation.verb == VM_MOVE)
		vm_finish(&vm->operation, &failure);
}

static int move_ask(struct vm *vm, struct failure *failure)
{
	const struct vm_send_options *options = &vm->moving.options;
	AUTO_JSON struct json_object *arguments =
		json_make("bandwidth", json_object_new_uint64(options->bandwidth), "force",
			  json_object_new_boolean(options->force), NULL);
	const struct held_file file = { .number = 0 };
	const struct worker_files files = { vm->moving.socket, &file, 1 };
	int r;

	if (arguments && options->max_downtime > 0)
		json_add(&arguments, "max_downtime", json_object_new_int64(options->max_downtime));
	if (!arguments)
		return failure_no_memory(failure);
	if (vm->moving.socket) {
		r = worker_request_with_files(vm->run.worker, "send", arguments, &files, 0,
					      move_answered, vm);
	} else {
		r = worker_request(vm->run.worker, "send", arguments, &vm->carrier.stream, 1, 0,
				   move_answered, vm);
		vm_carrier_let_go(vm);
	}
	vm->moving.sends = r == 0;
	return r < 0 ? vm_failure(vm, CONTROL_ERROR_FAILED, strerror(-r), failure) : 0;
}

/* ---- Whose turn it is ---- */

static bool move_is_anybodys_turn(const struct manager *manager)
{
	unsigned under_way = 0;

	list_for_each (link, (struct list *)&manager->vms)
		under_way += container_of(link, struct vm, link)->moving.sends;
	return under_way < manager->settings.moves;
}

/* One that cannot be begun ends, and by that the next one's turn has come. */
static void move_begin_next(struct manager *manager)
{
	struct failure failure;
	struct vm *vm;

	if (list_empty(&manager->moves_waiting) || !move_is_anybodys_turn(manager))
		return;
	vm = container_of(manager->moves_waiting.next, struct vm, moving.turn);
	list_unlink(&vm->moving.turn);
	job_set_waiting(vm->moving.job, false);
	if (move_ask(vm, &failure) < 0)
		move_give_up(vm, &failure);
}

void vm_move_cancel_waiting(struct manager *manager)
{
	static const char why[] = ", and it is being stopped";

	list_for_each (link, &manager->vms)
		(void)vm_departure_give_up(container_of(link, struct vm, link), why);
	while (!list_empty(&manager->moves_waiting))
		move_give_up_waiting(
			container_of(manager->moves_waiting.next, struct vm, moving.turn), why);
}

int vm_move_go_on(struct vm *vm, struct failure *failure)
{
	if (move_is_anybodys_turn(vm->manager))
		return move_ask(vm, failure);
	list_append(&vm->manager->moves_waiting, &vm->moving.turn);
	job_set_waiting(vm->moving.job, true);
	return 0;
}

void vm_move_lost(struct vm *vm, const struct failure *failure)
{
	vm_log(vm, VM_EVENT_STATE, LOG_LEVEL_WARNING, "%s", failure->message);
	move_give_up(vm, failure);
}

/* ---- Its beginning ---- */

int vm_move_begin(struct vm *vm, const struct vm_send_options *options, struct job **ret_job,
		  struct failure *failure)
{
	struct job *job;
	int r;

	if (vm->dump.job)
		return failure_set(failure, DBUS_ERROR_BUSY,
				   "the memory of VM '%s' is being dumped (job %u); wait until "
				   "that is done, or cancel it",
				   vm->definition->name, vm->dump.job->id);
	if (job_new(vm->manager->jobs, &move_kind, vm, &job) < 0)
		return failure_no_memory(failure);
	r = vm_begin(vm, VM_MOVE, move_job_done, job, failure);
	if (r < 0) {
		job_drop(job);
		return r;
	}
	vm->moving.options = *options;
	*ret_job = job;
	return 0;
}

void vm_move_drop(struct vm *vm, struct job *job)
{
	file_holder_free(TAKE_PTR(vm->moving.socket));
	vm->operation = (struct vm_operation){ 0 };
	vm->moving.job = NULL;
	list_unlink(&vm->moving.turn);
	job_drop(job);
}

void vm_move_publish(struct vm *vm, struct job *job)
{
	vm->moving.job = job;
	job_publish(job);
}

int vm_send(struct vm *vm, int fd, const struct vm_send_options *options, struct job **ret_job,
	    struct failure *failure)
{
	struct job *job;
	int r = vm_move_begin(vm, options, &job, failure);

	if (r < 0)
		return r;
	r = vm_guest_take_file(vm, fd, &vm->moving.socket, failure);
	vm->moving.job = job;
	if (r == 0)
		r = vm_move_go_on(vm, failure);
	if (r < 0) {
		vm_move_drop(vm, job);
		return r;
	}
	job_publish(job);
	*ret_job = job;
	return 0;
}

void vm_move_worker_ended(struct vm *vm)
{
	file_holder_free(TAKE_PTR(vm->moving.socket));
}

/* ---- Receiving ---- */

int vm_receive(struct vm *vm, int fd, vm_done_fn done, void *data, struct failure *failure)
{
	struct file_holder *socket = NULL;
	int r;

	if (vm->saved.exists)
		return failure_set(failure, DBUS_ERROR_INVALID_STATE,
				   "VM '%s' is saved here; discard its saved state first ('vmctl "
				   "discard')",
				   vm->definition->name);
	r = vm_check(vm, VM_START, failure);
	if (r == 0)
		r = vm_guest_take_file(vm, fd, &socket, failure);
	if (r < 0)
		return r;
	r = vm_start_received(vm, socket, done, data, failure);
	if (r < 0)
		file_holder_free(socket);
	return r;
}
