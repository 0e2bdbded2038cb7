/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Dynamic memory: takes memory that the guest can do without, and gives it back, until the guest
 * has as much as it is meant to have; and tells how much it needs.
 *
 * What a guest hands over goes back to the host by vsp_host_ops.discard, after it was checked: it
 * has to be RAM, handed over once, and no more than was asked for. A guest that breaks these rules
 * is not talked to any more until it opens the channel anew. One that goes on using what it has
 * handed over finds zeros there, and harms itself alone: nothing is unmapped, and I/O that is under
 * way to such pages ends in pages that nobody has any more.
 *
 * Thread: the loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/cleanup.h"
#include "vsp/vmbus/vmbus.h"

#include <stdbool.h>
#include <stdint.h>

struct balloon;

#define BALLOON_STEP_PAGES UINT64_C(32768) /* 128 MiB: taken or given at once, at most */

enum balloon_state {
	BALLOON_ABSENT,      /* the guest has no driver, or it is not loaded */
	BALLOON_NEGOTIATING, /* version and capabilities */
	BALLOON_RESTING,     /* as much as can be done is done */
	BALLOON_TAKING,      /* the guest was asked for pages */
	BALLOON_GIVING,      /* it was told that it has them again */
	BALLOON_ADDING,      /* it was offered memory that it did not have */
	BALLOON_REFUSED,     /* it does not follow the protocol */
};

/* Bytes. A guest may say whatever it likes of its needs; what it says is bounded by 2^52. */
struct balloon_report {
	enum balloon_state state;
	uint64_t target;    /* what the guest is meant to have, as far as it can */
	uint64_t assigned;  /* what it has */
	bool reported;      /* it has told of its needs, which are: */
	uint64_t demand;    /* what it has promised to programs, or uses */
	uint64_t available; /* what it could give to programs without swapping */
	uint64_t failures;  /* times that pages could not be given back to the host */
};

struct balloon_callbacks {
	/* The report may have changed. A guest makes that happen as often as it likes. */
	void (*changed)(void *data);
};

struct balloon_options {
	uint64_t size; /* bytes of RAM that the guest begins with, and its first target */
	uint64_t end;  /* where its RAM ends */

	/* Where RAM can be added: room_size bytes from `room` on, behind `end`; 0: nowhere. */
	gpa_t room;
	uint64_t room_size;
	uint64_t maximum; /* bytes of RAM that it has at most then */
};

/* Borrows bus and callbacks. Return: 0, -errno. */
int balloon_new(struct vmbus *bus, const struct balloon_options *options,
		const struct balloon_callbacks *callbacks, void *data,
		struct balloon **ret_balloon) MUST_CHECK;

/* After vmbus_reset() is done. */
void balloon_free(struct balloon *balloon);
DEFINE_CLEANUP(struct balloon *, balloon_free)

/*
 * The machine was reset: the guest begins with `size` again. (Whatever else closes the channel, RAM
 * that was added stays the guest's.)
 */
void balloon_start_over(struct balloon *balloon);

/*
 * From now on the guest is meant to have so many bytes, in pages, and at most `size`, or `maximum`
 * if it takes more RAM than it began with. It takes its time; one that has no driver keeps what it
 * has. Stands until the next call, also over resets.
 */
void balloon_set_target(struct balloon *balloon, uint64_t bytes);

struct balloon_report balloon_report(const struct balloon *balloon);
const char *balloon_state_name(enum balloon_state state); /* "absent", "negotiating", … */

/* ---- State ---- */

struct state_reader;
struct state_writer;

/* The vps have stopped, and run again: between the two nothing is asked of the guest. */
void balloon_quiesce(struct balloon *balloon);
void balloon_resume(struct balloon *balloon);

/*
 * The state of a balloon that is quiet, as a record of that name; and one that was just made with
 * the same options, on a bus that was restored, becomes as that one was, and is quiet. RAM that was
 * added is added again where it is not there. Return: 0; STATE_E_ of common/base/state.h; -errno.
 */
void balloon_save(const struct balloon *balloon, const char *name, struct state_writer *writer);
int balloon_restore(struct balloon *balloon, const char *name,
		    const struct state_reader *reader) MUST_CHECK;
