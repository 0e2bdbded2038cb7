/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One VM: what its worker tells of it, and what is made of its end.
 *
 * A worker may be broken or hostile. An event is read by the contract (common/control_contract.h)
 * into bounded members; one that does not fit is dropped with a line in the log, and one that is not
 * known is ignored.
 */
#include "common/base/log.h"
#include "common/base/text.h"
#include "vmms/base/fault.h"
#include "vmms/base/spawn.h"
#include "vmms/vm/adapter.h"
#include "vmms/vm/manager.h"
#include "vmms/vm/vm_disk_health.h"
#include "vmms/vm/vm_dump.h"
#include "vmms/vm/vm_image_restart.h"
#include "vmms/vm/vm_images.h"
#include "vmms/vm/vm_internal.h"
#include "vmms/vm/vm_log.h"
#include "vmms/vm/vm_record.h"
#include "vmms/vm/vm_unit.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

/* ---- Events ---- */

static const char *worker_or_empty(const char *text)
{
	return text ? text : "";
}

static void worker_on_running(struct vm *vm, const struct control_event_data *event)
{
	if (vm->state == VM_PAUSED || vm->state == VM_KEPT)
		vm_set_state(vm, VM_RUNNING, "%s", "");
}

static void worker_on_paused(struct vm *vm, const struct control_event_data *event)
{
	if (vm->state == VM_RUNNING && !vm_renews(vm))
		vm_set_state(vm, VM_PAUSED, "%s", worker_or_empty(event->message));
}

static void worker_on_stopped(struct vm *vm, const struct control_event_data *event)
{
	vm_run_set_end(vm, event->reason, event->message);
	vm_expect_end(vm);
}

static void worker_on_kept(struct vm *vm, const struct control_event_data *event)
{
	if (vm->state != VM_STARTING)
		vm_set_state(vm, VM_KEPT, "%s%s%s", worker_or_empty(event->reason),
			     event->message ? ": " : "", worker_or_empty(event->message));
}

static void worker_on_state(struct vm *vm, const struct control_event_data *event)
{
	static const struct {
		const char *state;
		void (*handle)(struct vm *vm, const struct control_event_data *event);
	} states[] = {
		{ "running", worker_on_running },
		{ "paused", worker_on_paused },
		{ "stopped", worker_on_stopped },
		{ "kept", worker_on_kept },
	};

	for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
		if (strcmp(worker_or_empty(event->state), states[i].state) == 0)
			states[i].handle(vm, event);
	}
}

static void worker_on_reset(struct vm *vm, const struct control_event_data *event)
{
	vm_run_set_resets(vm, event->resets ? event->resets : vm->run.resets + 1);
	vm_run_note_quiet(vm);
	vm_log(vm, VM_EVENT_RESET, LOG_LEVEL_INFO, "the machine was reset: %s",
	       worker_or_empty(event->reason));
	vm_notify(vm, "Resets", NULL);
}

static void worker_on_heartbeat(struct vm *vm, const struct control_event_data *event)
{
	vm_run_set_heartbeat(vm, event->status);
	vm_notify(vm, "Heartbeat", NULL);
}

static void worker_on_vmbus(struct vm *vm, const struct control_event_data *event)
{
	vm_run_set_vmbus_version(vm, event->version);
	vm_run_note_quiet(vm);
	vm_notify(vm, "VMBusVersion", NULL);
}

static void worker_on_firmware(struct vm *vm, const struct control_event_data *event)
{
	const char *problem = vm_run_set_firmware(vm, event->state);

	if (problem)
		vm_log(vm, VM_EVENT_GUEST, LOG_LEVEL_WARNING, "%s", problem);
}

static void worker_on_ejected(struct vm *vm, const struct control_event_data *event)
{
	vm_medium_ejected(vm, event->controller, event->lun);
}

static void worker_on_crash(struct vm *vm, const struct control_event_data *event)
{
	vm_run_crashed(vm, event->parameters, event->text);
	vm_log(vm, VM_EVENT_CRASH, LOG_LEVEL_WARNING, "the guest crashed: %s", vm->crash.text);
	vm_notify(vm, "CrashParameters", "CrashText", NULL);
}

static void worker_on_network(struct vm *vm, const struct control_event_data *event)
{
	struct adapter *adapter = adapter_find(vm, worker_or_empty(event->adapter));
	const char *addresses[ADAPTER_ADDRESSES_MAX];
	size_t count;

	/* That a back end has ended is known by its process. */
	if (!adapter || !event->addresses)
		return;
	count = json_object_array_length(event->addresses);
	for (size_t i = 0; i < count; i++)
		addresses[i] =
			json_object_get_string(json_object_array_get_idx(event->addresses, i));
	adapter_set_addresses(adapter, addresses, count);
}

static void (*const handlers[])(struct vm *vm, const struct control_event_data *data) = {
	[CONTROL_EVENT_state] = worker_on_state,
	[CONTROL_EVENT_reset] = worker_on_reset,
	[CONTROL_EVENT_crash] = worker_on_crash,
	[CONTROL_EVENT_heartbeat] = worker_on_heartbeat,
	[CONTROL_EVENT_vmbus] = worker_on_vmbus,
	[CONTROL_EVENT_firmware] = worker_on_firmware,
	[CONTROL_EVENT_guest] = vm_guest_on_guest,
	[CONTROL_EVENT_memory] = vm_memory_on_memory,
	[CONTROL_EVENT_thawed] = vm_guest_on_thawed,
	[CONTROL_EVENT_copy] = vm_guest_on_copy,
	[CONTROL_EVENT_save] = vm_save_on_save,
	[CONTROL_EVENT_dump] = vm_dump_on_dump,
	[CONTROL_EVENT_connect] = vm_sockets_on_connect,
	[CONTROL_EVENT_ejected] = worker_on_ejected,
	[CONTROL_EVENT_disk] = vm_disk_health_on_disk,
	[CONTROL_EVENT_network] = worker_on_network,
};

_Static_assert(ARRAY_SIZE(handlers) == CONTROL_EVENT_COUNT, "every event has a handler");

static void worker_event(void *owner, const char *name, struct json_object *body)
{
	struct vm *vm = owner;
	struct control_event_data data;
	enum control_event_id event;
	struct json_error error = { 0 };
	int r;

	r = control_event_read(name, body, &event, &data, &error);
	if (r == CONTROL_E_UNKNOWN) {
		log_debug("VM %s: unknown event '%s' of the worker", vm->definition->name, name);
	} else if (r < 0) {
		vm_log(vm, VM_EVENT_FAULT, LOG_LEVEL_WARNING,
		       "event '%s' of the worker dropped: %s %s", name, error.key,
		       r == -ENOMEM ? strerror(ENOMEM) : error.message);
	} else {
		handlers[event](vm, &data);
		control_event_data_deinit(&data);
	}
}

static void worker_said(void *owner, const char *line)
{
	vm_log(owner, VM_EVENT_WORKER, LOG_LEVEL_INFO, "%s", line);
}

static void worker_misbehaved(void *owner, const char *what)
{
	vm_log(owner, VM_EVENT_FAULT, LOG_LEVEL_WARNING, "%s", what);
}

/* ---- The end ---- */

/* What the worker's last "stopped" event makes of an orderly end. */
static const struct {
	const char *reason;
	enum vm_state state;
	const char *text;
} ends[] = {
	{ "guest-shutdown", VM_OFF, "the guest shut down" },
	{ "guest-hibernated", VM_OFF, "the guest hibernated" },
	{ "guest-reset", VM_OFF, "the guest asked for a reset, which stops it by its definition" },
	{ "triple-fault", VM_OFF,
	  "the guest had a triple fault, which stops it by its definition" },
	{ "crash", VM_OFF, "the guest crashed, which stops it by its definition" },
	{ "stopped", VM_OFF, "turned off" },
	{ "error", VM_CRASHED, "the worker gave up" },
	{ "disk-error", VM_OFF, "a disk failed, which stops the VM by its definition" },
	{ "reset-loop", VM_OFF,
	  "it reset itself ten times in a minute, and no guest got as far as VMBus: its console "
	  "says "
	  "more" },
};

static void worker_set_end_by_event(struct vm *vm)
{
	const char *separator = vm->run.end_message[0] != '\0' ? ": " : "";

	for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
		if (strcmp(ends[i].reason, vm->run.end_reason) == 0) {
			vm_set_state(vm, ends[i].state, "%s%s%s", ends[i].text, separator,
				     vm->run.end_message);
			return;
		}
	}
	vm_set_state(vm, VM_OFF, "the worker ended%s%s", separator, vm->run.end_message);
}

/* What the signal alone does not tell. */
static const char *worker_signal_meaning(int signal)
{
	return signal == SIGSYS ? ": it made a system call that its sandbox does not allow; the "
				  "kernel's log has its number"
				: "";
}

void vm_set_end(struct vm *vm, const struct worker_exit *exit)
{
	const char *separator = exit->last_words[0] != '\0' ? ": " : "";
	bool announced = vm->run.end_reason[0] != '\0';

	if (vm->saved.exists)
		vm_set_state(vm, VM_SAVED, "%s", "");
	else if (vm->moving.moved)
		vm_set_state(vm, VM_OFF, "it was moved, and runs elsewhere");
	else if (announced && (exit->unknown || exit->status == 0 || exit->signal == SIGKILL))
		worker_set_end_by_event(vm);
	else if (exit->unknown && vm->run.started_at == 0)
		vm_set_state(vm, VM_OFF, "vmms ended while the VM was being started");
	else if (exit->unknown && vm->turning_off.done)
		vm_set_state(vm, VM_OFF, "turned off; the worker did not say so");
	else if (exit->unknown)
		vm_set_state(vm, VM_CRASHED,
			     "the worker has ended; how is not known, since an earlier vmms had "
			     "started it%s%s",
			     separator, exit->last_words);
	else if (vm->turning_off.done && exit->signal == SIGKILL)
		vm_set_state(vm, VM_OFF, "turned off; the worker did not answer and was killed");
	else if (exit->signal != 0)
		vm_set_state(vm, VM_CRASHED, "the worker was killed by signal %d (%s)%s%s%s",
			     exit->signal, spawn_signal_name(exit->signal),
			     worker_signal_meaning(exit->signal), separator, exit->last_words);
	else if (exit->status == 0 || strcmp(vm->run.end_reason, "error") == 0)
		worker_set_end_by_event(vm);
	else
		vm_set_state(vm, VM_CRASHED, "the worker exited with status %d%s%s", exit->status,
			     separator, exit->last_words);
}

/* A worker that ended before its guest ran: the VM is off, and whoever started it learns why. */
static void worker_fail_start(struct vm *vm, const struct worker_exit *exit)
{
	struct failure failure = vm->run.start_failure;

	if (vm->turning_off.done)
		failure_set(&failure, DBUS_ERROR_INVALID_STATE,
			    "VM '%s' was turned off before it had started", vm->definition->name);
	else if (!failure.name && vm->run.end_message[0] != '\0')
		failure_set(&failure, DBUS_ERROR_WORKER_FAILED, "VM '%s' cannot start: %s",
			    vm->definition->name, vm->run.end_message);
	else if (!failure.name && exit->signal != 0)
		failure_set(&failure, DBUS_ERROR_WORKER_FAILED,
			    "VM '%s' cannot start: its worker was killed by signal %d (%s)",
			    vm->definition->name, exit->signal, spawn_signal_name(exit->signal));
	else if (!failure.name)
		failure_set(&failure, DBUS_ERROR_WORKER_FAILED,
			    "VM '%s' cannot start: its worker exited with status %d: %s",
			    vm->definition->name, exit->status, exit->last_words);
	if (vm->saved.exists) {
		vm_set_state(vm, VM_SAVED, "%s", failure.message);
		vm_save_note_disks(vm, &failure);
		return;
	}
	vm_set_state(vm, VM_OFF, "%s", failure.message);
	vm_finish(&vm->operation, &failure);
}

/*
 * Whoever shut the VM down learns that it is off, and whoever started it, that it ran; for anything
 * else, that it cannot be.
 */
static void worker_finish_operation(struct vm *vm)
{
	bool fulfilled =
		vm->operation.verb == VM_SAVE ? vm->state == VM_SAVED
		: vm->operation.verb == VM_MOVE
			? vm->moving.moved
			: (vm->operation.verb == VM_SHUT_DOWN || vm->operation.verb == VM_START) &&
				  vm->state == VM_OFF && !vm->turning_off.done;
	struct failure failure;

	if (fulfilled && vm->operation.verb == VM_SAVE) {
		vm_save_note_disks(vm, NULL);
		return;
	}
	if (fulfilled) {
		vm_finish(&vm->operation, NULL);
		return;
	}
	failure_set(&failure,
		    vm->state == VM_CRASHED ? DBUS_ERROR_WORKER_FAILED : DBUS_ERROR_INVALID_STATE,
		    "VM '%s' is %s: %s", vm->definition->name, vm_state_name(vm->state),
		    vm->reason);
	vm_finish(&vm->operation, &failure);
}

void vm_worker_ended(struct vm *vm, const struct worker_exit *exit)
{
	bool starting =
		vm->operation.done && vm->operation.verb == VM_START && vm->run.started_at == 0;
	bool sending = vm->operation.done && vm->operation.verb == VM_MOVE;
	uint64_t ran = vm_run_time(vm);

	vm_record_take_end(vm);
	vm_sockets_forget(vm);
	vm_viewers_forget(vm);
	file_holder_free(TAKE_PTR(vm->opening.files));
	file_holder_free(TAKE_PTR(vm->opening.state));
	file_holder_free(TAKE_PTR(vm->opening.moved));
	vm_renewal_forget(vm);
	worker_free(TAKE_PTR(vm->run.worker));
	vm_forget_adapters(vm);
	vm_images_forget(vm);
	vm_confinement_end(vm);
	vm_image_restart_forget(vm);
	vm_disk_health_forget_all(vm);
	console_disconnect(vm->console);
	vm_sockets_stopped(vm);
	vm_run_forget_guest(vm);
	vm_guest_forget(vm);
	vm_memory_forget(vm);
	statistics_reset(vm);
	vm_save_worker_ended(vm);
	vm_backup_worker_ended(vm);
	vm_move_worker_ended(vm);
	if (!vm->saved.exists)
		vm_take_pending(vm);
	if (starting)
		worker_fail_start(vm, exit);
	else
		vm_set_end(vm, exit);
	vm_run_end(vm);
	vm_notify(vm, "WorkerPID", "Engine", "Heartbeat", "VMBusVersion", "StartedAt", "Adapters",
		  "Addresses", NULL);
	vm_notify(vm, "Unit", "LimitsProblem", NULL);
	if (vm->operation.done && !vm_save_looks(vm))
		worker_finish_operation(vm);
	vm_finish(&vm->turning_off, NULL);
	vm->moving.moved = false;
	if (vm->state == VM_CRASHED && !sending) /* one that was being sent may run elsewhere */
		vm_restart_after_failure(vm, ran);
	vm_unit_close(vm);
	vm_checkpoint_resume(vm);
	manager_vm_rests(vm->manager, vm);
	/* Last: should we be killed before, the next daemon notices the end as we have. */
	vm_record_delete(vm);
}

static void worker_exited(void *owner, const struct worker_exit *exit)
{
	struct vm *vm = owner;

	fault_point(FAULT_END_NOTICED);
	vm_clear_timer(vm);
	vm_change_interrupt(vm);
	if (!vm_images_outlive(vm, exit))
		vm_worker_ended(vm, exit);
}

const struct worker_callbacks vm_worker_callbacks = {
	.event = worker_event,
	.said = worker_said,
	.misbehaved = worker_misbehaved,
	.exited = worker_exited,
};
