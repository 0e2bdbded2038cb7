/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Work that may have to wait for a file system, done by a short-lived process, so that the daemon's
 * one thread does not wait.
 *
 * The process is a copy of the daemon, which has one thread: the work sees all that was in memory
 * when it began. It has no descriptors but a socket and those that are kept for it, and reports by
 * messages, with a descriptor each if need be. It has its time; after that it is killed, and nobody
 * waits for its end, since a process that waits for a dead file system may not even die.
 *
 * Thread: the event loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/cleanup.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <systemd/sd-event.h>

#define HELPER_MESSAGE_MAX 8192 /* bytes */

/* Those that did not end when they were killed: for the same user, and for all together. */
#define HELPERS_STUCK_MAX     8
#define HELPERS_STUCK_ALL_MAX 128

/* All processes that are under way, or do not die. */
struct helpers;

int helpers_new(sd_event *loop, struct helpers **ret_helpers) MUST_CHECK;
sd_event *helpers_loop(const struct helpers *helpers);

/* Kills them; who waits is told -ECANCELED. */
void helpers_free(struct helpers *helpers);
DEFINE_CLEANUP(struct helpers *, helpers_free)

struct helper_callbacks {
	/* fd: taken over; -1: none came with it. */
	void (*message)(void *owner, const void *bytes, size_t size, int fd);

	/*
	 * The last one: the helper process is gone. result: 0: it has ended, perhaps before it had
	 * said all; -ETIMEDOUT; -ECANCELED.
	 */
	void (*ended)(void *owner, int result);
};

/* Borrowed while helper_new() runs, but for callbacks and owner. */
struct helper_config {
	const char *whose; /* user for whom it is done, for HELPERS_STUCK_MAX */
	unsigned timeout;  /* seconds; 0: for ever */

	/* Runs in the process, which ends with it. */
	void (*work)(int socket, void *data);
	void *data;
	const int *kept; /* descriptors that the work needs */
	size_t kept_count;

	const struct helper_callbacks *callbacks;
	void *owner;
};

struct helper;

/* Return: 0; -EBUSY: helpers_are_stuck(); -errno. */
int helper_new(struct helpers *helpers, const struct helper_config *config,
	       struct helper **ret_helper) MUST_CHECK;

/* Whose it is counts from now on as another's. Return: 0; -ENOMEM. */
int helper_blame(struct helper *helper, const char *whose) MUST_CHECK;

/* How many do not die of those that are whose; NULL: of all. */
unsigned helpers_count_stuck(const struct helpers *helpers, const char *whose) MUST_CHECK;

/*
 * Whether HELPERS_STUCK_MAX of that user's do not die, or some, where it is HELPERS_STUCK_ALL_MAX
 * of all. A user who has none is served all the same.
 */
bool helpers_are_stuck(const struct helpers *helpers, const char *whose) MUST_CHECK;

/* From now on it has so much time, in seconds. Return: 0; -errno: as much as before. */
int helper_limit(struct helper *helper, unsigned timeout) MUST_CHECK;

/* It is not worth waiting for: it ends soon, with -ECANCELED. */
void helper_cancel(struct helper *helper);

/* The same, and nobody is told. */
void helper_free(struct helper *helper);

/*
 * Tells the process something, without waiting for it; a copy of the descriptor (-1: none) goes
 * along. Return: 0; -EAGAIN: it does not keep up; -errno.
 */
int helper_tell(struct helper *helper, const struct iovec *pieces, size_t count, int fd) MUST_CHECK;

/* ---- For the work ---- */

/* Ends the process if nobody listens any more. fd: -1: none. */
void helper_send(int socket, const void *bytes, size_t size, int fd);

/* The same without waiting, of a byte. Return: 0; -EAGAIN: there is no room; -errno. */
int helper_pass(int socket, int fd) MUST_CHECK;

/*
 * Receives one message, with flags of recv(2). *ret_fd: the caller's; -1: none came along. Return:
 * its size; 0: there will be no more; -errno.
 */
ssize_t helper_receive(int socket, void *bytes, size_t size, int flags, int *ret_fd) MUST_CHECK;

/*
 * To be said after a change of credentials, which makes the kernel forget: we die with the daemon.
 */
void helper_bind(void);
