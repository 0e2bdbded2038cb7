/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One VM: starting it again after its worker has failed, where its definition says so.
 *
 * Each time the wait is twice as long, and after some times it is no use any more; a VM that has
 * run for a while, or was started by somebody, has all its times before it again.
 */
#include "common/base/log.h"
#include "vmms/vm/manager.h"
#include "vmms/vm/vm_internal.h"
#include "vmms/vm/vm_log.h"

#include <string.h>

#define RESTARTS_MAX      5
#define RESTART_DELAY     1                         /* seconds, the first time */
#define RESTART_DELAY_MAX 60                        /* likewise */
#define RESTART_CALM      (UINT64_C(600) * 1000000) /* microseconds of running */

void vm_restart_forget(struct vm *vm)
{
	vm->restart.timer = sd_event_source_disable_unref(vm->restart.timer);
	vm->restart.count = 0;
}

static void restart_restarted(void *data, const struct failure *failure)
{
}

static int restart_due(sd_event_source *source, uint64_t usec, void *data)
{
	struct vm *vm = data;
	unsigned restarts = vm->restart.count;
	struct failure failure;

	vm_log(vm, VM_EVENT_RESTART, LOG_LEVEL_INFO,
	       "started again after its worker has failed, for the %u. time", restarts);
	vm_restart_forget(vm);
	if (quota_check_start(vm, &failure) < 0 ||
	    vm_start(vm, restart_restarted, NULL, &failure) < 0) {
		vm_set_state(vm, VM_CRASHED, "it cannot be started again: %s", failure.message);
		manager_vm_rests(vm->manager, vm);
	}
	vm->restart.count = restarts;
	return 0;
}

unsigned vm_restart_delay(unsigned *restarts, uint64_t ran)
{
	unsigned delay;

	if (ran >= RESTART_CALM)
		*restarts = 0;
	if (*restarts == RESTARTS_MAX)
		return 0;
	delay = RESTART_DELAY << (*restarts)++;
	return MIN(delay, (unsigned)RESTART_DELAY_MAX);
}

void vm_restart_after_failure(struct vm *vm, uint64_t ran)
{
	char reason[VM_REASON_MAX];
	unsigned delay;
	int r;

	if (vm->manager->stopping || vm->definition->cluster ||
	    vm->definition->actions.worker_failure != DEFINITION_FAILURE_RESTART)
		return;
	delay = vm_restart_delay(&vm->restart.count, ran);
	if (delay == 0) {
		vm_log(vm, VM_EVENT_RESTART, LOG_LEVEL_ERROR,
		       "its worker has failed %d times in a row; it stays off", RESTARTS_MAX + 1);
		return;
	}
	r = sd_event_add_time_relative(vm->manager->loop, &vm->restart.timer, CLOCK_MONOTONIC,
				       delay * UINT64_C(1000000), 0, restart_due, vm);
	if (r < 0) {
		vm_log(vm, VM_EVENT_HOST, LOG_LEVEL_ERROR, "cannot set a timer: %s", strerror(-r));
		return;
	}
	memcpy(reason, vm->reason, sizeof(reason));
	vm_set_state(vm, VM_CRASHED, "to be started again in %u s; %s", delay, reason);
}
