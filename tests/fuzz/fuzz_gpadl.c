/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sequences of GPADL headers, bodies and teardowns against the table.
 *
 * Input: steps, each an operation, an id and what it needs.
 */
#include "vsp/vmbus/gpadl.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static struct gpadl_table table;

/* The table's sums are those of its lists, and complete lists are what they say. */
static void check(void)
{
	unsigned count = 0;
	uint32_t words = 0;

	for (size_t i = 0; i < ARRAY_SIZE(table.buckets); i++) {
		list_for_each (link, &table.buckets[i]) {
			struct gpadl *gpadl = container_of(link, struct gpadl, link);
			const uint64_t *pfns;
			uint32_t pages = gpadl_pages(gpadl, &pfns);

			count++;
			words += gpadl->word_count;
			assert(gpadl->words_received <= gpadl->word_count);
			if (pages == 0)
				continue;
			assert(gpadl->words_received == gpadl->word_count);
			assert(pages == gpadl->word_count - 1 && pfns == &gpadl->ranges[1]);
		}
	}
	assert(count == table.count && words == table.word_count);
	assert(count <= GPADL_MAX && words <= GPADL_PAGE_MAX);
}

struct step {
	uint8_t operation, id;
	uint16_t range_size;
	uint8_t range_count, size;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	gpadl_table_init(&table);
	while (size >= sizeof(struct step)) {
		struct gpadl *gpadl;
		struct step step;
		void *ranges;

		memcpy(&step, data, sizeof(step));
		data += sizeof(step);
		size -= sizeof(step);
		step.size = (uint8_t)MIN((size_t)step.size, size);
		/* A copy of its own, so that reading beyond it is noticed. */
		ranges = malloc(step.size ? step.size : 1);
		memcpy(ranges, data, step.size);
		data += step.size;
		size -= step.size;
		gpadl = gpadl_find(&table, step.id);
		if (step.operation % 4 == 0 && !gpadl)
			(void)!gpadl_begin(&table, step.id, 1, step.range_size, step.range_count,
					   ranges, step.size, &gpadl);
		else if (step.operation % 4 == 3 && gpadl)
			gpadl_free(&table, gpadl);
		else if (gpadl && gpadl->words_received < gpadl->word_count)
			(void)!gpadl_extend(&table, gpadl, ranges, step.size);
		free(ranges);
		check();
	}
	gpadl_table_clear(&table);
	check();
	return 0;
}
