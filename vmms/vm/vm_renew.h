/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One VM: another process, of the program that is installed now, takes the place of its worker while
 * the guest runs.
 *
 *   1. The new worker is spawned, with a control socket of its own, and written down beside the one
 *      that runs.
 *   2. The old one pauses the guest, writes all but its memory into a memfd, and sends what it runs
 *      on to the new one, over a socket pair that we make and read nothing of.
 *   3. The new one takes that, and restores the guest. The old one still has all.
 *   4. It is written down that the new one is the VM's, and the old one is killed; only then does the
 *      guest run on.
 *
 * Up to step 4 the old one goes on whatever happens, and who asked learns why. A daemon that is killed
 * leaves both written down: the next one kills the one that is not the VM's.
 *
 * Thread: the event loop's.
 */
#pragma once

#include "vmms/base/failure.h"
#include "vmms/base/process.h"
#include "vmms/vm/vm_change.h"
#include "vmms/worker/worker.h"

#include <stdint.h>

struct vm;

struct vm_renewal {
	struct worker *worker; /* the new one, up to step 4; else NULL */
	struct process old;    /* in step 4, until it is killed; pid 0: none */
	int state, successor;  /* the memfd, and the new one's end of the socket pair; -1: none */
	bool asked;            /* the old one was, and has not answered yet */
	bool handed_over;  /* the guest stands still, and the old one waits to be told to go on */
	uint64_t stood_at; /* CLOCK_MONOTONIC, microseconds: the old one was asked to pause it */
	struct failure failure;
};

void vm_renewal_init(struct vm *vm);
void vm_renewal_free(struct vm *vm);

/* Of VMs whose memory is shared and whose disks are raw. Return: as vm_begin(). */
int vm_renew(struct vm *vm, vm_done_fn done, void *data, struct failure *failure) MUST_CHECK;

/* Something of a renewal is under way: what the workers say of pausing is no news. */
bool vm_renews(const struct vm *vm);

/* The process that is not the VM's worker, and is to be killed by the next daemon; NULL: none. */
const struct process *vm_renewal_other(const struct vm *vm);

/* The VM's worker has ended, and with it what is under way. */
void vm_renewal_forget(struct vm *vm);
