/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What of a VHDX image's file is in use: a list of all places, by their offsets. */
#include "common/image/vhdx_internal.h"

#include "common/base/cleanup.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ENTRIES (VHDX_PAGE / sizeof(uint64_t))

static int vhdx_places_add(struct vhdx_places *places, uint64_t offset, uint64_t size,
			   uint64_t index)
{
	/* Doubled whenever the number is a power of two. */
	if ((places->count & (places->count - 1)) == 0) {
		size_t room = places->count ? 2 * places->count : 1;
		struct vhdx_place *items = reallocarray(places->items, room, sizeof(*items));

		if (!items)
			return -ENOMEM;
		places->items = items;
	}
	places->items[places->count++] = (struct vhdx_place){ offset, size, index };
	return 0;
}

static int vhdx_places_take(struct vhdx_places *places, const struct vhdx *vhdx, uint64_t file_size,
			    uint64_t index, uint64_t entry)
{
	uint64_t offset = entry & VHDX_OFFSET_MASK, state = entry & VHDX_STATE_MASK;
	bool bitmap = vhdx_is_bitmap(vhdx, index);
	uint64_t size = bitmap ? VHDX_BITMAP_SIZE : vhdx->block_size;
	bool there =
		state == VHDX_FULLY || (state == VHDX_PARTIALLY && vhdx->has_parent && !bitmap);
	/* Without a parent, what is said of bitmaps has no meaning. */
	bool means_nothing = bitmap && !vhdx->has_parent;

	if (means_nothing || (entry & ~VHDX_OFFSET_MASK & ~VHDX_STATE_MASK) ||
	    (!there && state > VHDX_UNMAPPED)) {
		places->wrong += !means_nothing;
		return 0;
	}
	if (!there && offset == 0)
		return 0;
	if (offset > file_size || size > file_size - offset) {
		places->missing += there;
		return 0;
	}
	if (!vhdx_may_use(vhdx, file_size, offset, size)) {
		places->wrong += there;
		return 0;
	}
	places->blocks += there && !bitmap;
	places->kept += !there;
	return vhdx_places_add(places, offset, size, index);
}

static int vhdx_places_read_table(const struct vhdx_file *file, const struct vhdx_patches *patches,
				  const struct vhdx *vhdx, struct vhdx_places *places)
{
	uint64_t page[ENTRIES];
	int r = 0;

	for (uint64_t index = 0; r == 0 && index < vhdx->bat_count; index++) {
		if (index % ENTRIES == 0)
			r = vhdx_read_bat_page(file, patches, vhdx, index / ENTRIES, page);
		if (r == 0 && page[index % ENTRIES] != 0)
			r = vhdx_places_take(places, vhdx, patches->file_size, index,
					     page[index % ENTRIES]);
	}
	return r;
}

static int vhdx_places_add_regions(const struct vhdx_file *file, const struct vhdx_patches *patches,
				   struct vhdx_places *places)
{
	AUTO_FREE uint8_t *table = malloc(VHDX_REGIONS_SIZE);
	const struct vhdx_regions *head = (const struct vhdx_regions *)table;
	const struct vhdx_region *regions = (const struct vhdx_region *)(head + 1);
	int r = table ? vhdx_read_regions(file, patches, table) : -ENOMEM;

	for (uint32_t i = 0; r == 0 && i < MIN(head->count, VHDX_REGIONS_MAX); i++)
		r = vhdx_places_add(places, regions[i].offset, regions[i].length, UINT64_MAX);
	return r;
}

static int vhdx_place_compare(const void *a, const void *b)
{
	const struct vhdx_place *one = a, *other = b;

	return one->offset < other->offset ? -1 : one->offset > other->offset;
}

/* A place that two name counts as wrong once. */
static void vhdx_places_sort(struct vhdx_places *places)
{
	uint64_t end = 0;

	qsort(places->items, places->count, sizeof(*places->items), vhdx_place_compare);
	for (size_t i = 0; i < places->count; i++) {
		places->wrong += places->items[i].offset < end;
		end = MAX(end, places->items[i].offset + places->items[i].size);
	}
}

int vhdx_places_read(const struct vhdx_file *file, const struct vhdx_patches *patches,
		     const struct vhdx *vhdx, struct vhdx_places *ret_places)
{
	struct vhdx_places places = { 0 };
	int r;

	r = vhdx_places_add(&places, 0, VHDX_MIB, UINT64_MAX);
	if (r == 0)
		r = vhdx_places_add(&places, vhdx->header.log_offset, vhdx->header.log_length,
				    UINT64_MAX);
	if (r == 0)
		r = vhdx_places_add_regions(file, patches, &places);
	if (r == 0)
		r = vhdx_places_read_table(file, patches, vhdx, &places);
	if (r) {
		vhdx_places_deinit(&places);
		return r;
	}
	vhdx_places_sort(&places);
	*ret_places = places;
	return 0;
}

void vhdx_places_deinit(struct vhdx_places *places)
{
	free(places->items);
	*places = (struct vhdx_places){ 0 };
}

uint64_t vhdx_places_end(const struct vhdx_places *places)
{
	uint64_t end = 0;

	for (size_t i = 0; i < places->count; i++)
		end = MAX(end, places->items[i].offset + places->items[i].size);
	return end;
}

int vhdx_places_trim(struct vhdx_file *file, struct vhdx_patches *patches, const struct vhdx *vhdx)
{
	struct vhdx_places places;
	uint64_t end;
	int r = vhdx_places_read(file, patches, vhdx, &places);

	if (r)
		return r;
	end = vhdx_places_end(&places);
	vhdx_places_deinit(&places);
	if (end >= file->size)
		return 0;
	r = file->grow(file->data, end);
	if (r == 0)
		file->size = patches->file_size = end;
	return r ? r : file->flush(file->data);
}
