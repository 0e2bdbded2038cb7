/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * All VMs of the daemon: starting them with it, and bringing them to rest at the host's end or its.
 *
 * Each VM has its own time to shut down. Above all there is one more timer, for guests that
 * somebody else has asked already, and who may have said to wait for ever.
 */
#include "common/base/log.h"
#include "vmms/vm/automatic_start.h"
#include "vmms/vm/manager_internal.h"
#include "vmms/vm/run_record.h"
#include "vmms/vm/vm_internal.h"
#include "vmms/vm/vm_log.h"

#include <string.h>

#define SAVE_RATE (UINT64_C(32) << 20) /* bytes that a slow disk takes in a second */

void manager_start_automatically(struct manager *manager)
{
	int r = automatic_start_new(manager, &manager->start);

	if (r < 0)
		log_error("no VM is started automatically: %s", strerror(-r));
	run_record_settle(manager->record);
}

void manager_vm_runs(struct manager *manager, struct vm *vm)
{
	run_record_add(manager->record, &vm->definition->uuid, vm->definition->name);
}

bool manager_is_at_rest(const struct manager *manager)
{
	list_for_each (link, (struct list *)&manager->vms) {
		if (vm_is_up(container_of(link, struct vm, link)))
			return false;
	}
	return true;
}

/* What the daemon's end brings to rest stays in the record: the next daemon starts it again. */
void manager_vm_rests(struct manager *manager, struct vm *vm)
{
	if (!manager->stopping && !vm->restart.timer)
		run_record_remove(manager->record, &vm->definition->uuid);
	if (manager_is_stopped(manager))
		manager->observer->stopped(manager->observer_data);
}

/* Not a VM that a cluster may be about to move, or wants to run: then it is for the cluster to stop. */
static bool stop_concerns(const struct manager *manager, const struct definition *definition)
{
	return !manager->cluster_stays || !definition->cluster;
}

bool manager_is_stopped(const struct manager *manager)
{
	list_for_each (link, (struct list *)&manager->vms) {
		const struct vm *vm = container_of(link, struct vm, link);

		if (vm_is_up(vm) && stop_concerns(manager, vm->definition))
			return false;
	}
	return manager->stopping;
}

/* ---- The end ---- */

static void stop_turned_off(void *data, const struct failure *failure)
{
}

static void stop_turn_off(struct vm *vm)
{
	struct failure failure;

	if (!vm->turning_off.done && vm_turn_off(vm, stop_turned_off, NULL, &failure) < 0)
		log_warning("%s", failure.message);
}

static void stop_shut_down(void *data, const struct failure *failure)
{
	struct vm *vm = data;

	if (failure && vm->run.worker) {
		vm_log(vm, VM_EVENT_STATE, LOG_LEVEL_WARNING,
		       "turned off, since it could not be shut down: %s", failure->message);
		stop_turn_off(vm);
	}
}

static unsigned stop_vm_timeout(const struct vm *vm, unsigned timeout)
{
	const struct definition_automatic_stop *stop = &vm->definition->automatic_stop;

	if (timeout == 0 || stop->action == DEFINITION_STOP_TURN_OFF)
		return 0;
	return stop->timeout > 0 ? stop->timeout : timeout;
}

/* How long writing its memory may take; if it cannot be saved the guest is shut down after that. */
static unsigned stop_save_time(const struct vm *vm)
{
	return VM_START_TIMEOUT + (unsigned)(vm_memory_assigned(vm) / SAVE_RATE);
}

static void stop_vm_by_guest(struct vm *vm, unsigned timeout)
{
	struct vm_shutdown_options options = { .force = true,
					       .timeout = stop_vm_timeout(vm, timeout) };
	struct failure failure;

	if (options.timeout > 0 && vm->state == VM_STOPPING)
		return; /* it is on its way */
	if (options.timeout == 0 || vm_shut_down(vm, &options, stop_shut_down, vm, &failure) < 0)
		stop_turn_off(vm);
}

static void stop_saved(void *data, const struct failure *failure)
{
	struct vm *vm = data;

	if (!failure || !vm->run.worker)
		return;
	vm_log(vm, VM_EVENT_STATE, LOG_LEVEL_WARNING, "shut down, since it could not be saved: %s",
	       failure->message);
	stop_vm_by_guest(vm, vm->manager->settings.shutdown_timeout);
}

static void stop_vm(struct vm *vm, unsigned timeout)
{
	struct failure failure;

	if (timeout > 0 && vm->state == VM_SAVING)
		return; /* it is on its way */
	if (timeout == 0 || vm->definition->automatic_stop.action != DEFINITION_STOP_SAVE ||
	    vm_save_state(vm, stop_saved, vm, &failure) < 0)
		stop_vm_by_guest(vm, timeout);
}

static unsigned stop_time(const struct vm *vm, unsigned timeout)
{
	unsigned time = stop_vm_timeout(vm, timeout);

	if (time > 0 && vm->definition->automatic_stop.action == DEFINITION_STOP_SAVE)
		time += stop_save_time(vm);
	return time;
}

unsigned manager_stop_time(const struct manager *manager, unsigned timeout)
{
	unsigned longest = 0;

	list_for_each (link, (struct list *)&manager->vms) {
		const struct vm *vm = container_of(link, struct vm, link);

		if (vm_is_up(vm))
			longest = MAX(longest, stop_time(vm, timeout));
	}
	return longest + VM_END_TIMEOUT;
}

static void stop_all(struct manager *manager, unsigned timeout);

static int stop_overdue(sd_event_source *source, uint64_t usec, void *data)
{
	log_warning("guests are still running, and turned off");
	stop_all(data, 0);
	return 0;
}

static void stop_all(struct manager *manager, unsigned timeout)
{
	unsigned longest = manager_stop_time(manager, timeout);
	int r;

	manager->stopping = true;
	automatic_start_free(TAKE_PTR(manager->start));
	vm_move_cancel_waiting(manager);
	manager->stop_timer = sd_event_source_disable_unref(manager->stop_timer);
	if (timeout > 0) {
		r = sd_event_add_time_relative(manager->loop, &manager->stop_timer, CLOCK_MONOTONIC,
					       longest * UINT64_C(1000000), 0, stop_overdue,
					       manager);
		if (r < 0)
			timeout = 0;
	}
	list_for_each (link, &manager->vms) {
		struct vm *vm = container_of(link, struct vm, link);

		if (!stop_concerns(manager, vm->definition))
			continue;
		vm_restart_forget(vm);
		if (vm_is_up(vm))
			stop_vm(vm, timeout);
	}
	if (manager_is_stopped(manager))
		manager->observer->stopped(manager->observer_data);
}

void manager_stop(struct manager *manager, unsigned timeout)
{
	manager->cluster_stays = false;
	stop_all(manager, timeout);
}

void manager_stop_guests(struct manager *manager)
{
	manager->cluster_stays = true;
	stop_all(manager, manager->settings.shutdown_timeout);
}

int manager_check_stopping(const struct manager *manager, const struct definition *definition,
			   struct failure *failure)
{
	if (!manager->stopping || !stop_concerns(manager, definition))
		return 0;
	return failure_set(failure, DBUS_ERROR_BUSY,
			   "all VMs are being stopped, or have been, for the end of the host or of "
			   "vmms; 'systemctl start vmms-guests' ends that");
}

int manager_start_again(struct manager *manager, struct failure *failure)
{
	if (!manager->stopping)
		return 0;
	if (!manager_is_stopped(manager))
		return failure_set(failure, DBUS_ERROR_BUSY,
				   "VMs are still being stopped; try again when they are off");
	manager->stopping = false;
	manager->stop_timer = sd_event_source_disable_unref(manager->stop_timer);
	manager_start_automatically(manager);
	return 0;
}
