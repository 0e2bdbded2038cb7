/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A file that loses its power: what was written since the last flush is there, torn at sectors, or
 * not, by chance. Several may lose it together.
 */
#pragma once

#include "common/image/vhdx.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SECTOR      512u
#define MEDIUM_MAX  (24u << 20)
#define PENDING_MAX 4096u

struct power {
	unsigned left, steps; /* left: steps until it is lost; 0: it is */
};

struct medium_pending {
	uint64_t offset;
	size_t size; /* 0: the file got the size `offset` */
	uint8_t *bytes;
};

struct medium {
	struct power *power;
	uint8_t *bytes; /* what is read, as long as there is power */
	uint8_t *durable;
	uint64_t size, durable_size;
	uint64_t used; /* the largest that it was */
	struct medium_pending pending[PENDING_MAX];
	unsigned pending_count;
};

static inline bool medium_has_power(struct medium *medium)
{
	medium->power->steps++;
	if (medium->power->left == 0)
		return false;
	medium->power->left--;
	return medium->power->left > 0;
}

static inline int medium_read(void *data, uint64_t offset, void *buffer, size_t size)
{
	struct medium *medium = data;

	assert_true(offset + size <= medium->size);
	memcpy(buffer, medium->bytes + offset, size);
	return 0;
}

static inline void medium_remember(struct medium *medium, uint64_t offset, const void *bytes,
				   size_t size)
{
	struct medium_pending *pending = &medium->pending[medium->pending_count++];

	assert_true(medium->pending_count <= PENDING_MAX);
	*pending = (struct medium_pending){ .offset = offset, .size = size };
	if (!size)
		return;
	pending->bytes = malloc(size);
	assert_non_null(pending->bytes);
	memcpy(pending->bytes, bytes, size);
}

static inline int medium_write(void *data, uint64_t offset, const void *buffer, size_t size)
{
	struct medium *medium = data;
	bool power = medium_has_power(medium);

	assert_true(offset + size <= MEDIUM_MAX);
	medium_remember(medium, offset, buffer, size);
	memcpy(medium->bytes + offset, buffer, size);
	medium->size = MAX(medium->size, offset + size);
	medium->used = MAX(medium->used, medium->size);
	return power ? 0 : -EIO;
}

static inline int medium_grow(void *data, uint64_t size)
{
	struct medium *medium = data;
	bool power = medium_has_power(medium);

	assert_true(size <= MEDIUM_MAX);
	medium_remember(medium, size, NULL, 0);
	if (size < medium->size)
		memset(medium->bytes + size, 0, medium->size - size);
	medium->size = size;
	medium->used = MAX(medium->used, size);
	return power ? 0 : -EIO;
}

static inline void medium_forget(struct medium *medium)
{
	for (unsigned i = 0; i < medium->pending_count; i++)
		free(medium->pending[i].bytes);
	medium->pending_count = 0;
}

static inline void medium_set_durable_size(struct medium *medium, uint64_t size)
{
	if (size < medium->durable_size)
		memset(medium->durable + size, 0, medium->durable_size - size);
	medium->durable_size = size;
}

/* What was written since the last flush is there: all of it, or some of its sectors by chance. */
static inline void medium_settle(struct medium *medium, bool all)
{
	for (unsigned i = 0; i < medium->pending_count; i++) {
		const struct medium_pending *pending = &medium->pending[i];

		if (!pending->size && (all || rand() % 2))
			medium_set_durable_size(medium, pending->offset);
		for (size_t at = 0; at < pending->size; at += SECTOR) {
			size_t part = MIN(pending->size - at, (size_t)SECTOR);

			if (!all && rand() % 2)
				continue;
			memcpy(medium->durable + pending->offset + at, pending->bytes + at, part);
			medium->durable_size =
				MAX(medium->durable_size, pending->offset + at + part);
		}
	}
	medium_forget(medium);
}

static inline int medium_flush(void *data)
{
	struct medium *medium = data;

	if (!medium_has_power(medium))
		return -EIO;
	medium_settle(medium, true);
	assert_int_equal(medium->durable_size, medium->size);
	return 0;
}

static inline struct vhdx_file medium_file(struct medium *medium)
{
	return (struct vhdx_file){ .read = medium_read,
				   .write = medium_write,
				   .flush = medium_flush,
				   .grow = medium_grow,
				   .data = medium,
				   .size = medium->size };
}

/* A file with those bytes, all of which are durable. The memory is the same each time. */
static inline void medium_reset(struct medium *medium, struct power *power, const uint8_t *bytes,
				uint64_t size)
{
	if (!medium->bytes) {
		medium->bytes = calloc(1, MEDIUM_MAX);
		medium->durable = calloc(1, MEDIUM_MAX);
		assert_true(medium->bytes && medium->durable);
	}
	memset(medium->bytes, 0, medium->used);
	memset(medium->durable, 0, medium->used);
	medium->power = power;
	medium->size = medium->durable_size = medium->used = size;
	memcpy(medium->bytes, bytes, size);
	memcpy(medium->durable, bytes, size);
}

/* There is power again. */
static inline void medium_restart(struct medium *medium)
{
	memcpy(medium->bytes, medium->durable, medium->used);
	medium->size = medium->durable_size;
}
