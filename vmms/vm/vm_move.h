/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One VM: moving it to another worker, of this or of another daemon, while its guest runs.
 *
 * Both get one end of a stream socket, which leads from worker to worker: one daemon sends the VM,
 * the other receives it, as a VM of the same definition that is off there. The worker whose VM has
 * moved is stopped, and the VM is off here (vmwp/state/moving.h has what happens when).
 *
 * Thread: the event loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/list.h"
#include "vmms/base/failure.h"
#include "vmms/vm/vm_change.h"

#include <stdbool.h>
#include <stdint.h>

struct file_holder;
struct job;
struct manager;
struct vm;

struct vm_send_options {
	uint64_t bandwidth;    /* bytes per second; 0: without limit */
	uint32_t max_downtime; /* milliseconds; 0: as usual */
	bool force;
};

struct vm_moving {
	struct job *job;                /* NULL: it is not being sent, and does not wait for that */
	struct list turn;               /* in manager->moves_waiting, while it waits */
	struct vm_send_options options; /* of what is to be sent */
	struct file_holder *socket;     /* until the worker has it; or NULL */
	bool moved;                     /* the VM is another worker's, and this one's is to end */
};

/*
 * fd: where the socket comes from, as vm_guest_take_file() takes it. The job ends when the VM is
 * off here, with what the guest has had to bear as its result. Where as many VMs are being sent as the
 * settings allow it waits for its turn first, and so does the other side: nothing of the VM moves.
 */
int vm_send(struct vm *vm, int fd, const struct vm_send_options *options, struct job **ret_job,
	    struct failure *failure) MUST_CHECK;

/* In place of a start. Done when the guest runs here. */
int vm_receive(struct vm *vm, int fd, vm_done_fn done, void *data,
	       struct failure *failure) MUST_CHECK;

/* All moves that wait for their turn are given up: the VMs are to be stopped. */
void vm_move_cancel_waiting(struct manager *manager);

/* Its worker has ended, in whichever way. */
void vm_move_worker_ended(struct vm *vm);
