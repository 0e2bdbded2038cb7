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
	struct job *job; /* NULL: it is not being sent, and does not wait for that */
	bool sends;      /* the worker does */
	bool departs;    /* to another host (vm_departure.h): it is deleted then */
	void (*found)(void *data, struct job *job, const struct failure *failure);
	void *found_data;               /* of it; found NULL: nobody waits, or it departs not */
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

/* ---- For vm_departure.c ---- */

/* The job of a move, and the operation, which are under way from now on; for publish or drop. */
int vm_move_begin(struct vm *vm, const struct vm_send_options *options, struct job **ret_job,
		  struct failure *failure) MUST_CHECK;
void vm_move_drop(struct vm *vm, struct job *job);
void vm_move_publish(struct vm *vm, struct job *job);

/* The other side is there: the VM is sent, or waits for its turn. */
int vm_move_go_on(struct vm *vm, struct failure *failure) MUST_CHECK;

/* While it waits for its turn: the other side is there no more. */
void vm_move_lost(struct vm *vm, const struct failure *failure);

/* Its worker has ended, in whichever way. */
void vm_move_worker_ended(struct vm *vm);
