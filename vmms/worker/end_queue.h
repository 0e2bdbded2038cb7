/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where a worker leaves how its VM ended, for a daemon that was not there to hear it.
 *
 * It has to outlive both, and the worker, which a guest may have taken over, is to fill nothing
 * with it: so it is a POSIX message queue (mq_overview(7)) with room for one message of
 * CONTROL_END_MAX bytes, which has no file that could grow. Its name is random, for anybody may
 * make a queue of a name that can be guessed; a file keeps it.
 *
 * Thread: one.
 */
#pragma once

#include "common/base/cc.h"

#include <stddef.h>

/*
 * A new queue, in place of one that the file names; the worker's end of it. path: of the file.
 * Return: 0, -errno.
 */
int end_queue_make(const char *path, int *ret_fd) MUST_CHECK;

/*
 * What was left there, which stays there. buffer: of CONTROL_END_MAX bytes. Return: 0; -ENOENT:
 * there is no queue; -EAGAIN: nothing is in it; -errno.
 */
int end_queue_read(const char *path, char *buffer, size_t *ret_size) MUST_CHECK;

/* Queue and file go. */
void end_queue_remove(const char *path);
