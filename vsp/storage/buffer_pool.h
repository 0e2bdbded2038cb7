/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A fixed number of page-aligned buffers, for the few requests that cannot work in guest memory:
 * transfers that direct I/O refuses to make there, comparisons, patterns.
 *
 * Who wants a buffer when all are taken waits in line. Memory is taken from the host when a buffer
 * is first used, so that a pool nobody needs costs nothing, and the sum is bounded whatever the
 * guest sends.
 *
 * Thread: the loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/list.h"

#include <stddef.h>

struct buffer_pool;

#define BUFFER_SIZE 65536 /* bytes of each buffer */

/* The place of one request in the queue, embedded in it. */
struct buffer_waiter {
	void (*ready)(struct buffer_waiter *waiter, void *buffer);
	struct list link;
};

/* Return: 0, -ENOMEM. */
int buffer_pool_new(unsigned count, struct buffer_pool **ret_pool) MUST_CHECK;

/* Every buffer must have been put back. Accepts NULL. */
void buffer_pool_free(struct buffer_pool *pool);

/* Calls waiter->ready with a buffer, before returning if there is one. */
void buffer_pool_get(struct buffer_pool *pool, struct buffer_waiter *waiter);

/* Takes back what buffer_pool_get() asked for, and `ready` has not answered. */
void buffer_pool_leave(struct buffer_waiter *waiter);

/* The next in line gets it, before this returns. */
void buffer_pool_put(struct buffer_pool *pool, void *buffer);
