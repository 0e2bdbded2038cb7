/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One VM: core files of its guest's memory.
 *
 * Thread: the event loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/json.h"
#include "common/control_contract.h"
#include "vmms/base/failure.h"

struct file_holder;
struct job;
struct vm;

struct vm_dump {
	struct job *job; /* the core file that is being written, or NULL */
	struct file_holder *file;
};

/*
 * Has the worker write a core file; the VM is paused meanwhile. fd: a socket from which an empty
 * regular file comes, open for writing (vmms/bus/call_forwarder.h); borrowed. *ret_job: as of
 * vm_copy_file().
 */
int vm_dump_memory(struct vm *vm, int fd, struct job **ret_job, struct failure *failure) MUST_CHECK;

/* The worker's event "dump"; data: untrusted. */
void vm_dump_on_dump(struct vm *vm, const struct control_event_data *data);
