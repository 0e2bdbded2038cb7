/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A fixed number of page-aligned buffers.
 *
 * The buffers lie side by side in one anonymous mapping; a stack of pointers names the free ones,
 * the last used on top, so that light use touches few pages.
 */
#include "vsp/storage/buffer_pool.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

struct buffer_pool {
	char *memory;
	unsigned count, free_count;
	struct list waiters;
	void *free[];
};

int buffer_pool_new(unsigned count, struct buffer_pool **ret_pool)
{
	struct buffer_pool *pool;

	pool = calloc(1, sizeof(*pool) + count * sizeof(pool->free[0]));
	if (!pool)
		return -ENOMEM;
	pool->memory = mmap(NULL, (size_t)count * BUFFER_SIZE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (pool->memory == MAP_FAILED) {
		free(pool);
		return -ENOMEM;
	}
	list_init(&pool->waiters);
	pool->count = count;
	while (count--)
		pool->free[pool->free_count++] = pool->memory + (size_t)count * BUFFER_SIZE;
	*ret_pool = pool;
	return 0;
}

void buffer_pool_free(struct buffer_pool *pool)
{
	if (!pool)
		return;
	assert(pool->free_count == pool->count && list_empty(&pool->waiters));
	munmap(pool->memory, (size_t)pool->count * BUFFER_SIZE);
	free(pool);
}

void buffer_pool_get(struct buffer_pool *pool, struct buffer_waiter *waiter)
{
	if (pool->free_count)
		waiter->ready(waiter, pool->free[--pool->free_count]);
	else
		list_append(&pool->waiters, &waiter->link);
}

void buffer_pool_leave(struct buffer_waiter *waiter)
{
	list_unlink(&waiter->link);
}

void buffer_pool_put(struct buffer_pool *pool, void *buffer)
{
	struct buffer_waiter *waiter;

	if (list_empty(&pool->waiters)) {
		pool->free[pool->free_count++] = buffer;
		return;
	}
	waiter = container_of(pool->waiters.next, struct buffer_waiter, link);
	list_unlink(&waiter->link);
	waiter->ready(waiter, buffer);
}
