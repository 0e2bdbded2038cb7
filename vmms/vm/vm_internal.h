/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the files of a VM (vmms/vm*.c) share among themselves.
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

/* The guest begins to run, by both clocks. */
void vm_note_start(struct vm *vm);

/* Calls back in so many seconds, instead of what the timer was set to before. */
void vm_set_timer(struct vm *vm, unsigned seconds, sd_event_time_handler_t handler);
void vm_clear_timer(struct vm *vm);

/* The guest took out what is in a DVD drive: the definition is changed, and saved. */
void vm_medium_ejected(struct vm *vm, unsigned controller, unsigned lun);

/* From now on the worker has VM_END_TIMEOUT to end. */
void vm_expect_end(struct vm *vm);

/* The VM's state by how its worker ended, and by what it had told of that. */
void vm_set_end(struct vm *vm, const struct worker_exit *exit);

/* ---- After a failure of the worker (vm_restart.c) ---- */

/* The VM has crashed. ran: microseconds until then. */
void vm_restart_after_failure(struct vm *vm, uint64_t ran);

/*
 * The seconds until the next start after so many failed ones, which are counted, and forgotten if
 * the VM ran for long; 0: there is no next one.
 */
unsigned vm_restart_delay(unsigned *restarts, uint64_t ran);

/* It is not to be started again by itself, and has not failed yet. */
void vm_restart_forget(struct vm *vm);

/* ---- Changes of the definition (vm_change.c) ---- */

struct held_file;

/*
 * The verb is under way, and vm->next_definition and vm->next_pending are copies of the definition
 * and of the pending one (NULL: there is none), for the caller to change.
 */
int vm_change_begin(struct vm *vm, enum vm_verb verb, vm_done_fn done, void *data,
		    struct failure *failure) MUST_CHECK;

/*
 * Saves what will be stored, and has the worker do the change if there is one. method: NULL: there
 * is nothing for it to do. The descriptors are borrowed.
 */
int vm_change_make(struct vm *vm, const char *method, struct json_object *arguments, const int *fds,
		   size_t fd_count, struct failure *failure) MUST_CHECK;

/* The same with files that vm->files holds. */
int vm_change_make_with_files(struct vm *vm, const char *method, struct json_object *arguments,
			      const struct held_file *files, size_t count,
			      struct failure *failure) MUST_CHECK;

/*
 * The same with the medium of a disk, which is opened first: `done` is told what comes of that.
 * passed: instead of what is at its path; -1: none.
 */
int vm_change_open(struct vm *vm, const char *method, struct json_object *arguments,
		   const struct definition_disk *disk, int passed,
		   struct failure *failure) MUST_CHECK;

/* The worker has ended: what was being opened for it is no more worth waiting for. */
void vm_change_interrupt(struct vm *vm);

/*
 * The file may be replaced: nobody has changed it since it was read or written last. Return: 0;
 * negative with *failure filled.
 */
int vm_check_file(const struct vm *vm, struct failure *failure) MUST_CHECK;

/* Writes what is stored. Return: 0; -errno. */
int vm_save(struct vm *vm) MUST_CHECK;

/*
 * Writes the definition as it is, after a change that nobody asked for; while a change is under way
 * it is enough to set vm->unsaved.
 */
void vm_change_save(struct vm *vm);

/*
 * vm->next_definition and vm->next_pending are the VM's, of which the worker knows, and are saved.
 * Return: 0; -errno of saving, which is tried again with the next change.
 */
int vm_change_keep(struct vm *vm) MUST_CHECK;

/* The worker was asked to take a disk or medium away, and has not answered. */
bool vm_change_waits(const struct vm *vm);

/* Takes back what vm_change_begin() did, after a failure. */
void vm_change_undo(struct vm *vm);

/* All properties that tell of the definition have changed. */
void vm_notify_definition(struct vm *vm);

/* The VM has come to rest: what waited for that is its definition. */
void vm_take_pending(struct vm *vm);

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
