/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Pages that are still to be sent: a bitmap for each region of RAM. */
#include "vmwp/state/move_pages.h"

#include "vmwp/state/move_stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define WORD_BITS 64u

struct pages_region {
	struct vid_memory_region range;
	uint64_t page_count;
	size_t word_count;
	uint64_t *bitmap; /* bit n: page n is to be sent; owned */
};

struct move_pages {
	struct vid_memory *memory;
	uint64_t left;
	size_t region;     /* where the next ones are looked for, … */
	uint64_t page;     /* … in that region */
	uint64_t *scratch; /* of the largest region; owned */
	size_t region_count;
	struct pages_region regions[];
};

static int region_init(struct pages_region *region, struct vid_memory_region range)
{
	region->range = range;
	region->page_count = range.size / MOVE_PAGE_SIZE;
	region->word_count = (size_t)((region->page_count + WORD_BITS - 1) / WORD_BITS);
	region->bitmap = calloc(region->word_count, sizeof(*region->bitmap));
	if (!region->bitmap)
		return -ENOMEM;
	memset(region->bitmap, 0xff, region->word_count * sizeof(*region->bitmap));
	if (region->page_count % WORD_BITS != 0)
		region->bitmap[region->word_count - 1] =
			(UINT64_C(1) << region->page_count % WORD_BITS) - 1;
	return 0;
}

int move_pages_new(struct vid_memory *memory, struct move_pages **ret_pages)
{
	CLEANUP(move_pages_freep) struct move_pages *pages = NULL;
	size_t count = vid_memory_region_count(memory), most = 1;

	pages = calloc(1, sizeof(*pages) + count * sizeof(pages->regions[0]));
	if (!pages)
		return -ENOMEM;
	pages->memory = memory;
	for (; pages->region_count < count; pages->region_count++) {
		struct pages_region *region = &pages->regions[pages->region_count];

		if (region_init(region, vid_memory_region(memory, pages->region_count)) < 0)
			return -ENOMEM;
		pages->left += region->page_count;
		most = MAX(most, region->word_count);
	}
	pages->scratch = calloc(most, sizeof(*pages->scratch));
	if (!pages->scratch)
		return -ENOMEM;
	*ret_pages = TAKE_PTR(pages);
	return 0;
}

void move_pages_free(struct move_pages *pages)
{
	if (!pages)
		return;
	for (size_t i = 0; i < pages->region_count; i++)
		free(pages->regions[i].bitmap);
	free(pages->scratch);
	free(pages);
}

static void pages_add(struct move_pages *pages, struct pages_region *region)
{
	for (size_t i = 0; i < region->word_count; i++) {
		uint64_t added = pages->scratch[i] & ~region->bitmap[i];

		region->bitmap[i] |= added;
		pages->left += (unsigned)__builtin_popcountll(added);
	}
}

int move_pages_fetch(struct move_pages *pages)
{
	for (size_t i = 0; i < pages->region_count; i++) {
		struct pages_region *region = &pages->regions[i];
		int r = vid_memory_read_dirty(pages->memory, i, pages->scratch, region->word_count);

		if (r < 0)
			return r;
		pages_add(pages, region);
	}
	pages->region = 0;
	pages->page = 0;
	return 0;
}

bool move_pages_fit(const struct move_pages *pages)
{
	if (vid_memory_region_count(pages->memory) != pages->region_count)
		return false;
	for (size_t i = 0; i < pages->region_count; i++) {
		struct vid_memory_region now = vid_memory_region(pages->memory, i);

		if (now.gpa.value != pages->regions[i].range.gpa.value ||
		    now.size != pages->regions[i].range.size)
			return false;
	}
	return true;
}

uint64_t move_pages_left(const struct move_pages *pages)
{
	return pages->left;
}

static bool region_has(const struct pages_region *region, uint64_t page)
{
	return region->bitmap[page / WORD_BITS] & UINT64_C(1) << page % WORD_BITS;
}

/* Return: whether there is one from `page` on. */
static bool region_find(const struct pages_region *region, uint64_t page, uint64_t *ret_page)
{
	uint64_t bits;

	if (page >= region->page_count)
		return false;
	bits = region->bitmap[page / WORD_BITS] >> page % WORD_BITS << page % WORD_BITS;
	for (size_t i = (size_t)(page / WORD_BITS); i < region->word_count;) {
		if (bits) {
			*ret_page = i * WORD_BITS + (unsigned)__builtin_ctzll(bits);
			return true;
		}
		if (++i < region->word_count)
			bits = region->bitmap[i];
	}
	return false;
}

uint32_t move_pages_next(struct move_pages *pages, uint32_t most, uint64_t *ret_gpa)
{
	const struct pages_region *region;
	uint32_t count = 0;

	while (pages->region < pages->region_count &&
	       !region_find(&pages->regions[pages->region], pages->page, &pages->page)) {
		pages->region++;
		pages->page = 0;
	}
	if (pages->region == pages->region_count)
		return 0;
	region = &pages->regions[pages->region];
	*ret_gpa = region->range.gpa.value + pages->page * MOVE_PAGE_SIZE;
	while (count < most && pages->page + count < region->page_count &&
	       region_has(region, pages->page + count))
		count++;
	return count;
}

void move_pages_take(struct move_pages *pages, uint32_t count)
{
	struct pages_region *region = &pages->regions[pages->region];

	for (uint32_t i = 0; i < count; i++, pages->page++)
		region->bitmap[pages->page / WORD_BITS] &=
			~(UINT64_C(1) << pages->page % WORD_BITS);
	pages->left -= count;
}
