/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Open files of others, held by a process of their own.
 *
 * A file may be on a file system whose owner never answers. Then even close(2) waits for good, in
 * whichever process it is, and so may the end of that process. So the daemon has no such file open:
 * the process that opens one sends it to a holder, a copy of the daemon without anything of the
 * daemon's, and the holder sends it on to where the daemon says, with the message that goes with
 * it. What a file is called and what it is the daemon is told in words.
 *
 * Thread: the event loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/cleanup.h"
#include "common/base/list.h"
#include "vmms/base/helper.h"
#include "vmms/image/resources.h"

#define FILE_HOLDER_TEXT_MAX (64 * 1024) /* bytes of a message */
#define FILE_HOLDER_SEND_MAX 64          /* files with one message */

struct file_holder;

/*
 * Starts one. whose: the user whose files they are. *ret_filler: the caller's; a socket for the
 * process that opens files. Return: 0; -EBUSY: as helper_new(); -errno.
 */
int file_holder_new(struct helpers *helpers, const char *whose, int *ret_filler,
		    struct file_holder **ret_holder) MUST_CHECK;

/* The same, of files that come from a socket at hand; borrowed. */
int file_holder_open(struct helpers *helpers, const char *whose, int source,
		     struct file_holder **ret_holder) MUST_CHECK;

/* What it holds is closed, soon, sent or not; what is not sent yet may never be. */
void file_holder_free(struct file_holder *holder);
DEFINE_CLEANUP(struct file_holder *, file_holder_free)

/*
 * The same, and ended() is called when all is closed, or has not been within some seconds; never
 * before this returns.
 */
void file_holder_end(struct file_holder *holder, void (*ended)(void *data), void *data);

/* Files on their way. Whoever is not interested any more unlinks it. */
struct file_delivery {
	struct list link;
	uint32_t number;

	/* r: 0: they were sent; -errno: they were not. The delivery is unlinked. */
	void (*sent)(struct file_delivery *delivery, int r);
};

/*
 * Sends those files, in that order, with the text, through a copy of the socket. Return:
 * 0: sent() is called, never before this returns; -errno.
 */
int file_holder_send(struct file_holder *holder, int socket, const void *text, size_t size,
		     const struct held_file *files, size_t count,
		     struct file_delivery *delivery) MUST_CHECK;

/* For the process that opens files: one to be held. It may wait. Ends the process on failure. */
void file_holder_fill(int filler, int fd);
