/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One VM: changes of its definition, in its file and, where they can be had at once, in its worker.
 *
 * Thread: the event loop's.
 */
#pragma once

#include "common/base/json.h"
#include "common/definition/definition.h"
#include "vmms/base/failure.h"
#include "vmms/vm/vm_state.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct adapter;
struct held_file;
struct vm;

typedef void (*vm_done_fn)(void *data, const struct failure *failure);

/* The change that is under way. */
struct vm_change {
	struct definition *definition;  /* what it will make of the VM's; or NULL */
	struct definition *pending;     /* and of the one in the file */
	uint32_t request;               /* by which the worker is asked for it; 0: not yet */
	struct json_object *unfinished; /* as the record had it; NULL: nothing, or settled */
	bool unsaved;                   /* the definition's file is older than it */
	struct adapter *adapter;        /* the back end that it will connect (vm_adapters.c) */
	const char *old_adapter;        /* name of the one that it will take away; or NULL */
};

/*
 * The verb is under way, and vm->change.definition and vm->change.pending are copies of the
 * definition and of the pending one (NULL: there is none), for the caller to change.
 */
int vm_change_begin(struct vm *vm, enum vm_verb verb, vm_done_fn done, void *data,
		    struct failure *failure) MUST_CHECK;

/*
 * Saves what will be stored, and has the worker do the change if there is one. method: NULL: there
 * is nothing for it to do. The descriptors are borrowed.
 */
int vm_change_make(struct vm *vm, const char *method, struct json_object *arguments, const int *fds,
		   size_t fd_count, struct failure *failure) MUST_CHECK;

/* The same with files that vm->opening.files holds. */
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
 * it is enough to set vm->change.unsaved.
 */
void vm_change_save(struct vm *vm);

/*
 * vm->change.definition and vm->change.pending are the VM's, of which the worker knows, and are
 * saved. Return: 0; -errno of saving, which is tried again with the next change.
 */
int vm_change_keep(struct vm *vm) MUST_CHECK;

/* The worker was asked to take a disk or medium away, and has not answered. */
bool vm_change_waits(const struct vm *vm);

/* Takes back what vm_change_begin() did, after a failure. */
void vm_change_undo(struct vm *vm);

/* All properties that tell of the definition have changed. */
void vm_notify_definition(struct vm *vm);

/*
 * Its worker, or its saved state, has that definition, which is taken over if it is another than the
 * VM's; what the VM's file has is pending then.
 */
void vm_run_by(struct vm *vm, struct definition **definition);

/* The VM has come to rest: what waited for that is its definition. */
void vm_take_pending(struct vm *vm);
