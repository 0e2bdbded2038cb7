/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A set of pages.
 *
 * Nothing is below `lowest`: whoever takes frames out from the bottom does not look at all those
 * before them again.
 */
#include "vsp/memory/page_set.h"

#include <errno.h>
#include <stdlib.h>

#define BITS_PER_WORD 64u

struct page_set {
	uint64_t end, count, lowest;
	uint64_t words[];
};

static bool set_has(const struct page_set *set, uint64_t frame)
{
	return set->words[frame / BITS_PER_WORD] >> frame % BITS_PER_WORD & 1;
}

int page_set_new(uint64_t end, struct page_set **ret_set)
{
	uint64_t words = (end + BITS_PER_WORD - 1) / BITS_PER_WORD;
	struct page_set *set = calloc(1, sizeof(*set) + words * sizeof(set->words[0]));

	if (!set)
		return -ENOMEM;
	set->end = set->lowest = end;
	*ret_set = set;
	return 0;
}

void page_set_free(struct page_set *set)
{
	free(set);
}

uint64_t page_set_count(const struct page_set *set)
{
	return set->count;
}

bool page_set_add(struct page_set *set, uint64_t first, uint64_t count)
{
	if (first > set->end || count > set->end - first)
		return false;
	for (uint64_t frame = first; frame < first + count; frame++)
		if (set_has(set, frame))
			return false;
	for (uint64_t frame = first; frame < first + count; frame++)
		set->words[frame / BITS_PER_WORD] |= UINT64_C(1) << frame % BITS_PER_WORD;
	set->count += count;
	if (count > 0)
		set->lowest = MIN(set->lowest, first);
	return true;
}

void page_set_remove(struct page_set *set, uint64_t first, uint64_t count)
{
	for (uint64_t frame = first; frame < first + count; frame++)
		set->words[frame / BITS_PER_WORD] &= ~(UINT64_C(1) << frame % BITS_PER_WORD);
	set->count -= count;
	if (set->count == 0)
		set->lowest = set->end;
	else if (first <= set->lowest)
		set->lowest = MAX(set->lowest, first + count);
}

/* The first frame from `from` on that is in the set; `end` if there is none. */
static uint64_t set_find(const struct page_set *set, uint64_t from)
{
	uint64_t frame = MAX(from, set->lowest);

	while (frame < set->end) {
		uint64_t word = set->words[frame / BITS_PER_WORD] >> frame % BITS_PER_WORD;

		if (word)
			return frame + (unsigned)__builtin_ctzll(word);
		frame = ALIGN_DOWN(frame, BITS_PER_WORD) + BITS_PER_WORD;
	}
	return set->end;
}

bool page_set_next(const struct page_set *set, uint64_t from, uint64_t most, uint64_t *ret_first,
		   uint64_t *ret_count)
{
	uint64_t first = set_find(set, from), last = first;

	if (first == set->end || most == 0)
		return false;
	while (last < set->end && last - first < most && set_has(set, last))
		last++;
	*ret_first = first;
	*ret_count = last - first;
	return true;
}

void page_set_clear(struct page_set *set)
{
	uint64_t first, count;

	while (page_set_next(set, 0, UINT64_MAX, &first, &count))
		page_set_remove(set, first, count);
}
