/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One VM: its going to another host, whose daemon waits for it (vm_arrival.h), as a job. First the
 * other side is found, which is bounded in time; then the VM is sent when its turn has come
 * (vm_move.h); and when it runs there it is deleted here.
 *
 * Thread: the event loop's.
 */
#pragma once

#include "vmms/vm/vm_arrival.h"
#include "vmms/vm/vm_move.h"

/* The other side has been found; or not, with why: nothing has moved, and the job has ended by that. */
typedef void (*vm_departed_fn)(void *data, struct job *job, const struct failure *failure);

/* done: perhaps before this returns, if that is 0. Return: 0; negative with *failure filled. */
int vm_depart(struct vm *vm, const struct vm_meeting *meeting,
	      const struct vm_send_options *options, vm_departed_fn done, void *data,
	      struct failure *failure) MUST_CHECK;

/* Its job ends, in whichever way. */
void vm_departure_ended(struct vm *vm, const struct failure *failure);

/* It looks for the other side still: it is given up, and the job ends. why: appended. Return: whether it did. */
bool vm_departure_give_up(struct vm *vm, const char *why);
