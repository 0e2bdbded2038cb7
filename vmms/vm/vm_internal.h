/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the files of a VM (vmms/vm/vm*.c) share among themselves.
 */
#pragma once

#include "vmms/vm/vm.h"

#include <time.h>

/* Seconds. */
#define VM_START_TIMEOUT 120 /* the same while it takes its memory */
#define VM_END_TIMEOUT   10  /* from "stop" to the worker's end */

/* Tells whoever watches that these properties (docs/dbus/) have changed; closed by NULL. */
void vm_notify(struct vm *vm, const char *property, ...) __attribute__((sentinel));

void vm_set_state(struct vm *vm, enum vm_state state, const char *format, ...) PRINTF_LIKE(3, 4);

/* The verb is allowed, and no other operation is under way: then it is under way from now on. */
int vm_begin(struct vm *vm, enum vm_verb verb, vm_done_fn done, void *data,
	     struct failure *failure) MUST_CHECK;

/* Tells who waits, if anybody does. failure: NULL if all is well. */
void vm_finish(struct vm_operation *operation, const struct failure *failure);

/* Microseconds. */
uint64_t vm_clock(clockid_t clock);

/* Calls back in so many seconds, instead of what the timer was set to before. */
void vm_set_timer(struct vm *vm, unsigned seconds, sd_event_time_handler_t handler);
void vm_clear_timer(struct vm *vm);

/* The guest took out what is in a DVD drive: the definition is changed, and saved. */
void vm_medium_ejected(struct vm *vm, unsigned controller, unsigned lun);

/* From now on the worker has VM_END_TIMEOUT to end. */
void vm_expect_end(struct vm *vm);

/* The VM's state by how its worker ended, and by what it had told of that. */
void vm_set_end(struct vm *vm, const struct worker_exit *exit);

/* ---- Adapters (vm_adapters.c) ---- */

struct resources;

/* What an adapter asks for can be had of vmms at all. */
int vm_check_adapter(const struct definition_adapter *adapter, struct failure *failure) MUST_CHECK;

/* Makes the back ends of all adapters; on failure the caller forgets those that were made. */
int vm_open_adapters(struct vm *vm, struct resources *resources,
		     struct failure *failure) MUST_CHECK;
void vm_forget_adapters(struct vm *vm);

/* The change that the worker was asked for has been made, or not. */
void vm_adapter_changed(struct vm *vm, bool made);

/* The worker has ended, and with it all that was started for it (vm_worker.c). */
void vm_worker_ended(struct vm *vm, const struct worker_exit *exit);

extern const struct worker_callbacks vm_worker_callbacks;
