/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One VM: saving it, and dropping its saved state.
 *
 * Its worker writes a file while the guest is paused. When that is on the disk it is written down
 * that the VM is saved (vmms/vm/vm_saved_state.h), and the worker is stopped; until then the VM
 * goes on if anything fails. What a start does with a saved VM is in vm_start.c.
 *
 * Thread: the event loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "common/control_contract.h"
#include "vmms/base/failure.h"
#include "vmms/vm/vm_change.h"

#include <stdbool.h>

struct file_holder;
struct job;
struct open_helper;
struct saved_file;
struct vm;

struct vm_saving {
	struct job *job;               /* NULL: nobody follows it */
	struct saved_file *saved_file; /* that is being made; or NULL */
	struct file_holder *file;      /* while the worker writes it; or NULL */
	struct file_holder *disks;     /* that were looked at, until they are closed; or NULL */
	struct open_helper *look;      /* at the disks of a VM that is saved; or NULL */
	struct failure outcome; /* of the operation that ends with the look; name NULL: done */
	bool was_paused;
	bool ends_operation; /* the look does */
};

/* Done when the VM is saved and its worker has ended. */
int vm_save_state(struct vm *vm, vm_done_fn done, void *data, struct failure *failure) MUST_CHECK;

/* The same as a job, as vm_shut_down_as_job(). */
int vm_save_state_as_job(struct vm *vm, struct job **ret_job, struct failure *failure) MUST_CHECK;

/*
 * Has the worker of a VM that stands as it was saved go on; what it answers is logged if it refuses.
 * Return: 0; -errno.
 */
int vm_save_resume(struct vm *vm) MUST_CHECK;

/* The worker's event "save", which also tells of a VM that moves; data: untrusted. */
void vm_save_on_save(struct vm *vm, const struct control_event_data *data);

/* Its worker has ended, in whichever way. */
void vm_save_worker_ended(struct vm *vm);

/*
 * The VM is saved, and no worker has its disks open any more, which have opened them at least:
 * what they look like now is what a start is to find. The operation under way, if any, ends after
 * that, with the outcome: NULL: it is done.
 */
void vm_save_note_disks(struct vm *vm, const struct failure *outcome);

/* They are being looked at. */
bool vm_save_looks(const struct vm *vm);

/* Nobody waits any more for what is under way. */
void vm_save_free(struct vm *vm);

/* What is saved is dropped: the VM is off. */
int vm_discard(struct vm *vm, vm_done_fn done, void *data, struct failure *failure) MUST_CHECK;
