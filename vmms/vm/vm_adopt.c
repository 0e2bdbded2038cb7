/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One VM: taking over its worker, which an earlier daemon started.
 *
 * The worker is where its record says, or has ended; then what it left tells how. One that runs is
 * connected to, gets a serial line and a standard error of ours, and answers with what is true of
 * its VM. Until then the VM counts as running.
 *
 * What the earlier daemon had under way is forgotten: a guest that was asked to shut down will, or
 * will not, and whoever asked is gone. Only a change that the worker has made is kept
 * (vm_unfinished.h).
 */
#include "common/base/log.h"
#include "common/base/text.h"
#include "common/control.h"
#include "vmms/vm/adapter.h"
#include "vmms/vm/manager.h"
#include "vmms/vm/run_record.h"
#include "vmms/vm/vm_file_limit.h"
#include "vmms/vm/vm_images.h"
#include "vmms/vm/vm_internal.h"
#include "vmms/vm/vm_log.h"
#include "vmms/vm/vm_record.h"
#include "vmms/vm/vm_unfinished.h"
#include "vmms/vm/vm_unit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>

/* ---- What the worker answers ---- */

static const struct {
	const char *worker;
	enum vm_state state;
} states[] = {
	{ "running", VM_RUNNING }, { "resetting", VM_RUNNING }, { "paused", VM_PAUSED },
	{ "kept", VM_KEPT },       { "stopping", VM_STOPPING }, { "stopped", VM_STOPPING },
};

/* What the earlier daemon does when a start is answered, it may not have come to. */
static void adopt_finish_start(struct vm *vm)
{
	if (vm->run.started_at == 0) {
		vm_run_note_start(vm);
		vm_record_save(vm);
		vm_notify(vm, "StartedAt", "MemoryAssigned", NULL);
	}
	if (!run_record_has(vm->manager->record, &vm->definition->uuid))
		manager_vm_runs(vm->manager, vm);
}

/*
 * The earlier daemon ended while the VM was being saved, or going on from its saved state: it goes
 * on here, and what is saved of it is of no use any more.
 */
static void adopt_resume_saved(struct vm *vm)
{
	struct failure failure;

	if (vm->saved.exists && vm_saved_state_forget(vm, &failure) < 0) {
		vm_log(vm, VM_EVENT_HOST, LOG_LEVEL_ERROR, "it stays paused: %s", failure.message);
		return;
	}
	if (vm_save_resume(vm) < 0)
		vm_log(vm, VM_EVENT_FAULT, LOG_LEVEL_ERROR, "it cannot be resumed");
}

static bool adopt_is_saved(const struct vm *vm, struct json_object *status)
{
	struct json_object *saved;

	return vm->saved.exists || (json_object_object_get_ex(status, "saved", &saved) &&
				    json_object_get_boolean(saved));
}

static void adopt_take_status(struct vm *vm, struct json_object *status)
{
	const char *engine = json_member_text(status, "engine"),
		   *state = json_member_text(status, "state");
	struct json_object *resets;

	vm_run_set_engine(vm, engine, strlen(engine));
	if (json_object_object_get_ex(status, "resets", &resets))
		vm_run_set_resets(vm, (unsigned)json_object_get_int64(resets));
	vm_notify(vm, "Engine", "Resets", NULL);
	for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
		if (strcmp(states[i].worker, state) != 0)
			continue;
		if (states[i].state == VM_STOPPING)
			vm_expect_end(vm);
		else
			adopt_finish_start(vm);
		if (vm->state == VM_RUNNING && states[i].state != VM_RUNNING)
			vm_set_state(vm, states[i].state, "found so when vmms was started");
		if (vm->state == VM_PAUSED && adopt_is_saved(vm, status))
			adopt_resume_saved(vm);
		return;
	}
	vm_log(vm, VM_EVENT_FAULT, LOG_LEVEL_WARNING,
	       "its worker does not know what it does (\"%s\"), and is killed", state);
	worker_kill(vm->run.worker, SIGKILL);
}

static void adopt_file_taken(void *data, const struct failure *failure)
{
	if (failure)
		log_warning("%s", failure->message);
}

/*
 * Of what its file has and the VM has not, what can be had while it runs: the earlier daemon may
 * not have come to that, or somebody has changed the file meanwhile.
 */
static void adopt_take_file(struct vm *vm)
{
	struct definition *wanted;
	struct failure failure;

	if (!vm->pending || !vm_state_allows(vm->state, VM_CHANGE) ||
	    definition_copy(vm->pending, &wanted) < 0)
		return;
	if (vm_change_definition(vm, wanted, adopt_file_taken, NULL, &failure) < 0)
		log_warning("%s", failure.message);
}

static void adopt_answered(void *data, struct json_object *result, const char *code,
			   const char *text)
{
	struct vm *vm = data;

	vm_unfinished_settle(vm, result);
	if (result) {
		adopt_take_status(vm, result);
		adopt_take_file(vm);
	} else if (strcmp(code, WORKER_ENDED) != 0) {
		vm_log(vm, VM_EVENT_FAULT, LOG_LEVEL_ERROR,
		       "its worker cannot be taken over (%s), and is killed", text);
		worker_kill(vm->run.worker, SIGKILL);
	}
}

/* ---- Taking over ---- */

static void adopt_adapters(struct vm *vm, const struct vm_record *record)
{
	size_t count = record->adapters ? json_object_array_length(record->adapters) : 0;

	for (size_t i = 0; i < count; i++) {
		struct adapter *adapter;
		int r;

		r = adapter_adopt(vm, json_object_array_get_idx(record->adapters, i), &adapter);
		if (r == 0)
			list_append(&vm->adapters, &adapter->link);
		else
			vm_log(vm, VM_EVENT_NETWORK, LOG_LEVEL_WARNING,
			       "the back end of an adapter cannot be found again: %s",
			       strerror(-r));
	}
}

static int adopt_connect_worker(struct vm *vm, const struct vm_record *record)
{
	char path[PATH_MAX];
	const struct worker_config config = { .socket = path,
					      .name = vm->definition->name,
					      .whose = vm_owner(vm),
					      .helpers = vm->manager->helpers,
					      .callbacks = &vm_worker_callbacks,
					      .owner = vm };
	AUTO_CLOSE int serial = -1;
	int r;

	vm_record_socket_path(vm, path);
	r = console_connect(vm->console, &serial);
	if (r < 0)
		return r;
	return worker_adopt(vm->manager->watches, &config, &record->worker, serial, adopt_answered,
			    &vm->run.worker);
}

/* Nobody can speak to it: whatever it does, it is not to go on unseen. */
static void adopt_give_up(struct vm *vm, const struct vm_record *record, int error)
{
	int pidfd;

	if (process_open(&record->worker, &pidfd) == 0) {
		(void)pidfd_send_signal(pidfd, SIGKILL, NULL, 0);
		close(pidfd);
	}
	console_disconnect(vm->console);
	vm_sockets_stopped(vm);
	vm_set_state(vm, VM_CRASHED,
		     "its worker could not be reached any more (%s), and was killed",
		     strerror(-error));
	vm_record_delete(vm);
}

/* What it was asked for last can have been exchanging its disks. */
static void adopt_settle_change(struct vm *vm, struct vm_record *record)
{
	vm->change.unfinished = TAKE_PTR(record->change);
	vm_unfinished_settle(vm, NULL);
	vm_take_pending(vm);
}

/* It ended while nobody looked. A guest that shut down stays so. */
static void adopt_notice_end(struct vm *vm, const struct vm_record *record)
{
	vm_run_adopt_end(vm, record->started_at);
	vm_record_take_end(vm);
	vm_sockets_stopped(vm);
	vm_set_end(vm, &(struct worker_exit){ .unknown = true });
	vm_run_end(vm);
	if (vm->run.end_reason[0] != '\0' && vm->state == VM_OFF)
		run_record_remove(vm->manager->record, &vm->definition->uuid);
	if (vm->state == VM_CRASHED)
		vm_restart_after_failure(vm, 0);
	vm_unit_ask_of_stranger(vm, record->worker.pid);
	vm_record_delete(vm);
	if (vm->saved.exists)
		vm_save_note_disks(vm, NULL);
}

static void adopt_definition(struct vm *vm, struct vm_record *record)
{
	/* The daemon before was killed while it was giving the VM another name. */
	if (definition_rename(record->definition, vm->definition->name) < 0)
		return;
	vm_run_by(vm, &record->definition);
}

/* The earlier daemon ended while it renewed the worker: that one is not the VM's, or not any more. */
static void adopt_kill_other(struct vm *vm, const struct vm_record *record)
{
	int pidfd;

	vm->run.renewals = record->renewals;
	if (record->other.pid > 0 && process_open(&record->other, &pidfd) == 0) {
		(void)pidfd_send_signal(pidfd, SIGKILL, NULL, 0);
		close(pidfd);
	}
	vm_record_remove_other_socket(vm);
}

static void adopt(struct vm *vm, struct vm_record *record)
{
	int r;

	adopt_kill_other(vm, record);
	vm_run_set_name(vm, record->run_name);
	r = adopt_connect_worker(vm, record);
	if (r == -ESRCH) {
		console_disconnect(vm->console);
		adopt_settle_change(vm, record);
		adopt_notice_end(vm, record);
	} else if (r < 0) {
		adopt_settle_change(vm, record);
		adopt_give_up(vm, record, r);
	} else {
		vm_run_adopt(vm, record->user, record->started_at, record->started_boot);
		vm_confinement_adopt(vm, record->profile);
		vm_pinning_adopt(vm);
		adopt_definition(vm, record);
		adopt_adapters(vm, record);
		vm_images_adopt(vm, record->images);
		vm_file_limit_adopt(vm);
		vm->change.unfinished = TAKE_PTR(record->change);
		vm_set_state(vm, VM_RUNNING, "%s", "");
		vm_record_save(vm);
		vm_unit_open(vm);
	}
}

/* Of a start that came to nothing. */
static void adopt_remove_leftovers(struct vm *vm)
{
	vm_record_delete(vm);
	vm_sockets_stopped(vm);
	if (vm->saved.exists)
		vm_set_state(vm, VM_SAVED, "%s", "");
}

void vm_adopt(struct vm *vm)
{
	CLEANUP(vm_record_deinit) struct vm_record record = { 0 };
	int r;

	vm_saved_state_load(vm);
	vm_checkpoint_load(vm);
	vm_meter_load(vm);
	r = vm_record_load(vm, &record);
	if (r == 0)
		adopt(vm, &record);
	else if (r == -ENOENT)
		adopt_remove_leftovers(vm);
	else
		vm_log(vm, VM_EVENT_HOST, LOG_LEVEL_ERROR,
		       "what was written down of its worker cannot be read (%s); it may "
		       "be running",
		       strerror(-r));
	if (!vm->change.unfinished)
		vm_checkpoint_settle(vm);
	vm_checkpoint_resume(vm);
}
