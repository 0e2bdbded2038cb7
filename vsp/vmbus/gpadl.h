/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * GPA descriptor lists: memory that the guest lays open to a channel, once and for many packets.
 *
 * The guest chooses the ids, and describes a list in a header and any number of bodies, in which
 * it may interleave several lists. A list is used only when complete. All of it is bounded: lists,
 * and the pages they name together.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/list.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	_GPADL_E_OK,
	GPADL_E_INCOMPLETE, /* more bodies are to come */
	GPADL_E_INVALID,    /* the guest described nonsense; the list is gone */
	GPADL_E_LIMIT,      /* too many lists or pages, or no memory for them */
};

#define GPADL_MAX      8192
#define GPADL_PAGE_MAX (1u << 20) /* of all lists together: 4 GiB, 8 MiB of ours */
#define GPADL_BUCKETS  256

struct gpadl {
	struct list link; /* in its bucket */
	uint32_t id, relid;
	uint32_t range_count;
	uint32_t word_count;     /* of ranges, when complete */
	uint32_t words_received; /* so far */
	unsigned users;          /* open channels whose rings lie here */
	bool torn_down;          /* the guest wants it back: answer when the last user goes */
	bool orphan;             /* its channel is gone: nobody to answer */
	uint64_t ranges[];       /* struct vmbus_gpa_range, one after the other */
};

struct gpadl_table {
	struct list buckets[GPADL_BUCKETS]; /* by id */
	unsigned count;
	uint32_t word_count; /* of all lists */
};

void gpadl_table_init(struct gpadl_table *table);

/* Frees every list; nobody may use one any more. */
void gpadl_table_clear(struct gpadl_table *table);

/* Complete or not; NULL: there is none. */
struct gpadl *gpadl_find(struct gpadl_table *table, uint32_t id);

/*
 * Begins a list, of range_size bytes, with the first `size` bytes of its ranges; gpadl_extend()
 * adds more. range_size and size: as the guest gave them. Whatever goes beyond is ignored.
 * Return: 0: complete; GPADL_E_.
 */
int gpadl_begin(struct gpadl_table *table, uint32_t id, uint32_t relid, uint32_t range_size,
		uint32_t range_count, const void *ranges, size_t size,
		struct gpadl **ret_gpadl) MUST_CHECK;
int gpadl_extend(struct gpadl_table *table, struct gpadl *gpadl, const void *ranges,
		 size_t size) MUST_CHECK;

void gpadl_free(struct gpadl_table *table, struct gpadl *gpadl);

/*
 * The frame numbers of a list of one range of whole pages, such as rings lie in. Return: their
 * number, or 0 if the list is not complete or not of that kind.
 */
uint32_t gpadl_pages(const struct gpadl *gpadl, const uint64_t **ret_pfns);
