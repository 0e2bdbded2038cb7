/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A VM moves from a worker to another one (vmwp/state/move_stream.h) while its guest runs.
 *
 * The source sends all of RAM, then again and again what has changed since; when the rest is small
 * enough the guest stops, and the rest and the state of its devices follow. The target makes of
 * that a paused machine, and goes on with it once the source has said MOVE_GO.
 *
 * Never two guests run, for there is one moment after which the source's guest stands whatever
 * happens, MOVE_GO, and only a target that got that lets its own run. Where the answer to it is
 * lost, the source cannot know, and its guest stands: MOVE_E_UNKNOWN.
 *
 * Images of disks are raw files that both have open. The source has them locked, by which the target
 * knows that they are the same; it gives the locks up before MOVE_GO, and the target takes them before
 * its guest runs.
 *
 * fd, here: a connected stream socket, borrowed until it is done. Nothing is bounded in time but
 * what the guest's devices do: who has begun cancels what takes too long.
 *
 * Thread: the loop's.
 */
#pragma once

#include "vmwp/state/saved_state.h"

enum {
	_MOVE_E_OK,
	MOVE_E_UNKNOWN, /* whether the guest runs at the target */
};

/* Of what a guest has had to bear. */
struct move_figures {
	uint32_t rounds;   /* in which RAM was sent while the guest ran */
	uint64_t bytes;    /* that were sent */
	uint64_t blackout; /* ns, from the guest's last instruction to the target's answer */
};

/* ---- The source ---- */

struct move_options {
	uint64_t bandwidth;    /* bytes per second while the guest runs; 0: without limit */
	uint64_t max_downtime; /* ns; the guest stops when the rest takes less, as it is reckoned */
	bool force;            /* it stops as well if it writes faster than that */
};

struct move_sender;

/*
 * saved_state_config.done, here: 0: the guest runs at the target, or is paused there if it was so
 * here, and the machine stands; MOVE_E_UNKNOWN: it stands as well; -errno: the VM goes on here.
 * progress: bytes of RAM that are at the target, of all.
 *
 * Return: 0; MACHINE_E_STATE: the machine neither runs nor is paused; -EINVAL: fd is no stream
 * socket; -errno.
 */
int move_sender_new(const struct saved_state_config *config, const struct move_options *options,
		    int fd, struct move_sender **ret_sender) MUST_CHECK;

/* It is done soon with -ECANCELED, unless MOVE_GO was said: then the target's answer is awaited. */
void move_sender_cancel(struct move_sender *sender);

/* Of a sender that is done, while it is told so. */
struct move_figures move_sender_figures(const struct move_sender *sender);

/* One that is done, or whose loop has been freed. NULL is allowed. */
void move_sender_free(struct move_sender *sender);
DEFINE_CLEANUP(struct move_sender *, move_sender_free)

/* ---- The target ---- */

struct move_receiver;

/*
 * The machine was just created. done: 0: the guest runs, or is paused if it was so at the source;
 * -errno: the machine can only be stopped, and the source was told so if it could be.
 *
 * Return: 0; MACHINE_E_STATE: the machine was not just created; -EINVAL: fd is no stream socket;
 * -errno.
 */
int move_receiver_new(const struct saved_state_config *config, int fd,
		      struct move_receiver **ret_receiver) MUST_CHECK;

/* As those of the sender; a guest that runs goes on. */
void move_receiver_cancel(struct move_receiver *receiver);
void move_receiver_free(struct move_receiver *receiver);
DEFINE_CLEANUP(struct move_receiver *, move_receiver_free)
