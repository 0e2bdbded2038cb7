/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the files of a VM (vmms/vm*.c) share among themselves.
 */
#pragma once

#include "vmms/vm.h"

/* Seconds. */
#define VM_REQUEST_TIMEOUT 30  /* for an answer of the worker */
#define VM_START_TIMEOUT   120 /* the same while it takes its memory */
#define VM_END_TIMEOUT     10  /* from "stop" to the worker's end */

/* Tells whoever watches that these properties (docs/dbus/) have changed; closed by NULL. */
void vm_notify(struct vm *vm, const char *property, ...) __attribute__((sentinel));

void vm_set_state(struct vm *vm, enum vm_state state, const char *format, ...) PRINTF_LIKE(3, 4);

/* The verb is allowed, and no other operation is under way: then it is under way from now on. */
int vm_begin(struct vm *vm, enum vm_verb verb, vm_done_fn done, void *data,
	     struct failure *failure) MUST_CHECK;

/* Tells who waits, if anybody does. failure: NULL if all is well. */
void vm_finish(struct vm_operation *operation, const struct failure *failure);

/* Calls back in so many seconds, instead of what the timer was set to before. */
void vm_set_timer(struct vm *vm, unsigned seconds, sd_event_time_handler_t handler);
void vm_clear_timer(struct vm *vm);

/* The answer of a worker that refused. Return: as failure_set(). */
int vm_failure(const struct vm *vm, const char *code, const char *text, struct failure *failure);

/* The guest took out what is in a DVD drive: the definition is changed, and saved. */
void vm_medium_ejected(struct vm *vm, unsigned controller, unsigned lun);

/* From now on the worker has VM_END_TIMEOUT to end. */
void vm_expect_end(struct vm *vm);

extern const struct worker_callbacks vm_worker_callbacks;
