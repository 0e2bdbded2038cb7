/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One VM: its deletion by the daemon itself. */
#include "vmms/vm/vm_removal.h"

#include "common/base/log.h"
#include "vmms/vm/job.h"
#include "vmms/vm/manager.h"
#include "vmms/vm/vm_internal.h"
#include "vmms/vm/vm_log.h"

static int removal_now(sd_event_source *source, void *data)
{
	struct vm *vm = data;
	struct job *job = vm->removal.job;
	const struct failure why = vm->removal.failure;
	struct failure failure;

	vm->removal.job = NULL;
	vm_removal_free(vm);
	if (manager_delete_vm(vm->manager, vm, &failure) < 0)
		vm_log(vm, VM_EVENT_HOST, LOG_LEVEL_WARNING,
		       "it stays here, though its move has ended: %s", failure.message);
	if (job)
		job_end(job, &why);
	return 0;
}

void vm_remove_soon(struct vm *vm, struct job *job, const struct failure *failure)
{
	vm_removal_free(vm);
	vm->removal.job = job;
	if (failure)
		vm->removal.failure = *failure;
	if (sd_event_add_defer(vm->manager->loop, &vm->removal.source, removal_now, vm) >= 0)
		return;
	vm_log(vm, VM_EVENT_HOST, LOG_LEVEL_WARNING,
	       "it stays here, though its move has ended: out of memory");
	vm->removal.job = NULL;
	if (job)
		job_end(job, failure);
}

void vm_removal_free(struct vm *vm)
{
	vm->removal.source = sd_event_source_disable_unref(vm->removal.source);
}
