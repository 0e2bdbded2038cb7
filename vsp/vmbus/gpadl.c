/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* GPA descriptor lists. */
#include "vsp/vmbus/gpadl.h"

#include "common/base/gpa.h"
#include "common/wire/vmbus.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void gpadl_table_init(struct gpadl_table *table)
{
	*table = (struct gpadl_table){ 0 };
	for (size_t i = 0; i < ARRAY_SIZE(table->buckets); i++)
		list_init(&table->buckets[i]);
}

void gpadl_table_clear(struct gpadl_table *table)
{
	for (size_t i = 0; i < ARRAY_SIZE(table->buckets); i++)
		list_for_each (link, &table->buckets[i])
			gpadl_free(table, container_of(link, struct gpadl, link));
}

static struct list *gpadl_bucket(struct gpadl_table *table, uint32_t id)
{
	return &table->buckets[id % GPADL_BUCKETS];
}

struct gpadl *gpadl_find(struct gpadl_table *table, uint32_t id)
{
	list_for_each (link, gpadl_bucket(table, id)) {
		struct gpadl *gpadl = container_of(link, struct gpadl, link);

		if (gpadl->id == id)
			return gpadl;
	}
	return NULL;
}

static uint64_t range_page_count(const struct vmbus_gpa_range *range)
{
	return ((uint64_t)range->byte_offset + range->byte_count + HV_PAGE_SIZE - 1) / HV_PAGE_SIZE;
}

/* The ranges fill the list exactly, and each has a page for every byte it claims. */
static bool gpadl_is_well_formed(const struct gpadl *gpadl)
{
	uint32_t word = 0;

	for (uint32_t i = 0; i < gpadl->range_count; i++) {
		struct vmbus_gpa_range range;

		if (word == gpadl->word_count)
			return false;
		memcpy(&range, &gpadl->ranges[word++], sizeof(range));
		if (range.byte_count == 0 || range.byte_offset >= HV_PAGE_SIZE ||
		    range_page_count(&range) > gpadl->word_count - word)
			return false;
		word += (uint32_t)range_page_count(&range);
	}
	return word == gpadl->word_count;
}

int gpadl_begin(struct gpadl_table *table, uint32_t id, uint32_t relid, uint32_t range_size,
		uint32_t range_count, const void *ranges, size_t size, struct gpadl **ret_gpadl)
{
	uint32_t word_count = range_size / sizeof(uint64_t);
	struct gpadl *gpadl;

	/* The shortest range has a word for itself and one for its page. */
	if (range_count == 0 || range_size % sizeof(uint64_t) != 0 || word_count / 2 < range_count)
		return GPADL_E_INVALID;
	if (table->count >= GPADL_MAX || word_count > GPADL_PAGE_MAX - table->word_count)
		return GPADL_E_LIMIT;
	gpadl = malloc(sizeof(*gpadl) + word_count * sizeof(uint64_t));
	if (!gpadl)
		return GPADL_E_LIMIT;
	*gpadl = (struct gpadl){
		.id = id,
		.relid = relid,
		.range_count = range_count,
		.word_count = word_count,
	};
	list_append(gpadl_bucket(table, id), &gpadl->link);
	table->count++;
	table->word_count += word_count;
	*ret_gpadl = gpadl;
	return gpadl_extend(table, gpadl, ranges, size);
}

int gpadl_extend(struct gpadl_table *table, struct gpadl *gpadl, const void *ranges, size_t size)
{
	uint32_t words = (uint32_t)(size / sizeof(uint64_t));

	words = MIN(words, gpadl->word_count - gpadl->words_received);
	memcpy(&gpadl->ranges[gpadl->words_received], ranges, words * sizeof(uint64_t));
	gpadl->words_received += words;
	if (gpadl->words_received < gpadl->word_count)
		return GPADL_E_INCOMPLETE;
	if (gpadl_is_well_formed(gpadl))
		return 0;
	gpadl_free(table, gpadl);
	return GPADL_E_INVALID;
}

void gpadl_free(struct gpadl_table *table, struct gpadl *gpadl)
{
	assert(gpadl->users == 0);
	list_unlink(&gpadl->link);
	table->count--;
	table->word_count -= gpadl->word_count;
	free(gpadl);
}

uint32_t gpadl_pages(const struct gpadl *gpadl, const uint64_t **ret_pfns)
{
	struct vmbus_gpa_range range;

	if (gpadl->words_received < gpadl->word_count || gpadl->range_count != 1)
		return 0;
	memcpy(&range, &gpadl->ranges[0], sizeof(range));
	if (range.byte_offset != 0 || range.byte_count % HV_PAGE_SIZE != 0)
		return 0;
	*ret_pfns = &gpadl->ranges[1];
	return range.byte_count / HV_PAGE_SIZE;
}
