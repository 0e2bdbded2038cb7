/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A VHDX image that is brought into the one that it stands on.
 *
 * Data go to the parent's blocks where they are; a block that is not there comes to the end of the
 * file, where nothing is named before its data are durable. Bits of a block are put in order before
 * the table says that it is there.
 */
#include "common/image/vhdx_merge.h"

#include "common/image/vhdx_internal.h"
#include "common/image/vhdx_reader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PIECE     (1u << 20)
#define BATCH     (UINT64_C(64) << 20) /* bytes that are copied before the table is written */
#define PAGE_BITS (VHDX_PAGE * 8u)

struct merge {
	struct vhdx_file *file; /* of the parent */
	struct vhdx *vhdx;
	struct vhdx_file *child_file;
	struct vhdx_reader reader, child; /* reader: of the parent, as it was before */
	struct vhdx_patches patches, child_patches;
	const struct vhdx_follower *follower;
	struct vhdx_editor editor;
	uint8_t *buffer;             /* PIECE bytes */
	uint64_t moved, room, total; /* bytes */
	uint64_t batch;
};

/* What lies in one block of the parent. */
struct merge_part {
	uint64_t offset, size;
	uint64_t source; /* in the child's file */
	bool zero, trimmed;
	bool whole; /* all of the block */
};

/* How a part is dealt with. */
typedef int (*merge_take_fn)(struct merge *merge, const struct merge_part *part);

static bool merge_is_there(uint64_t entry)
{
	uint64_t state = entry & VHDX_STATE_MASK;

	return state == VHDX_FULLY || state == VHDX_PARTIALLY;
}

/* ---- All that the child has ---- */

static int merge_walk_run(struct merge *merge, uint64_t offset, const struct content_run *run,
			  merge_take_fn take)
{
	const struct vhdx *vhdx = merge->vhdx;
	uint64_t end = offset + run->length, source = run->file_offset;
	int r = 0;

	while (r == 0 && offset < end) {
		uint64_t block = offset - offset % vhdx->block_size;
		uint64_t limit = MIN(block + vhdx->block_size, vhdx->size);
		struct merge_part part = { .offset = offset,
					   .size = MIN(end, limit) - offset,
					   .source = source,
					   .zero = run->kind != CONTENT_DATA,
					   .trimmed = run->trimmed };

		part.whole = offset == block && offset + part.size == limit;
		r = take(merge, &part);
		offset += part.size;
		source += part.size;
	}
	return r;
}

static int merge_walk(struct merge *merge, merge_take_fn take)
{
	uint64_t offset = 0;
	int r = 0;

	while (r == 0 && offset < merge->vhdx->size) {
		struct content_run run;

		r = vhdx_reader_find(&merge->child, offset, VHDX_RUN_MAX, &run);
		if (r == 0 && run.kind != CONTENT_PARENT)
			r = merge_walk_run(merge, offset, &run, take);
		offset += r == 0 ? run.length : 0;
	}
	return r;
}

/* ---- What there is to do ---- */

static int merge_count(struct merge *merge, const struct merge_part *part)
{
	uint64_t block = part->offset / merge->vhdx->block_size, entry = 0;
	int r = vhdx_reader_entry(&merge->reader, vhdx_bat_index(merge->vhdx, block), &entry);

	if (part->zero)
		return r;
	merge->moved += part->size;
	merge->room += merge_is_there(entry) ? 0 : part->size;
	return r;
}

/* Only what makes sense is written into. */
static int merge_check(struct merge *merge)
{
	struct vhdx_places places;
	int r = vhdx_places_read(merge->file, &merge->patches, merge->vhdx, &places);

	if (r)
		return r;
	r = places.wrong || places.missing ? VHDX_E_METADATA : 0;
	vhdx_places_deinit(&places);
	return r;
}

static int merge_measure(struct merge *merge, const struct vhdx_merge *images)
{
	const struct vhdx *parent = images->parent_image, *child = images->child_image;
	int r;

	if (!child->has_parent || !vhdx_is_parent(child, parent) ||
	    child->sector_size != parent->sector_size)
		return VHDX_E_PARENT;
	if (child->size != parent->size)
		return -ENOTSUP;
	merge->file = images->parent;
	merge->vhdx = images->parent_image;
	merge->child_file = images->child;
	merge->patches.file_size = images->parent->size;
	merge->child_patches.file_size = images->child->size;
	vhdx_reader_begin(&merge->reader, merge->file, &merge->patches, merge->vhdx);
	vhdx_reader_begin(&merge->child, merge->child_file, &merge->child_patches, child);
	r = merge_check(merge);
	return r ? r : merge_walk(merge, merge_count);
}

int vhdx_merge_measure(const struct vhdx_merge *images, uint64_t *ret_moved, uint64_t *ret_room)
{
	struct merge *merge = calloc(1, sizeof(*merge));
	int r = merge ? merge_measure(merge, images) : -ENOMEM;

	if (r == 0) {
		*ret_moved = merge->moved;
		*ret_room = merge->room;
	}
	free(merge);
	return r;
}

/* ---- Data ---- */

static int merge_copy(struct merge *merge, const struct merge_part *part, uint64_t place)
{
	struct vhdx_file *file = merge->file;
	int r = 0;

	for (uint64_t at = 0; r == 0 && at < part->size; at += PIECE) {
		size_t size = MIN(part->size - at, (uint64_t)PIECE);

		if (part->zero)
			memset(merge->buffer, 0, size);
		else
			r = vhdx_read(merge->child_file, part->source + at, merge->buffer, size);
		if (r == 0)
			r = file->write(file->data, place + at, merge->buffer, size);
		if (part->zero)
			continue;
		merge->total += size;
		if (r == 0 &&
		    !merge->follower->goes_on(merge->follower->data, merge->total, merge->moved))
			r = -ECANCELED;
	}
	return r;
}

/* Zeros at the end of the file. */
static int merge_grow(struct merge *merge, uint64_t size, uint64_t *ret_place)
{
	struct vhdx_file *file = merge->file;
	uint64_t place = ALIGN_UP(file->size, VHDX_MIB);
	int r = file->grow(file->data, place + size);

	if (r)
		return r;
	file->size = place + size;
	*ret_place = place;
	return 0;
}

/* A block that was given back has kept its place, in which anything may be. */
static int merge_find_room(struct merge *merge, const struct merge_part *part, uint64_t entry,
			   uint64_t *ret_place)
{
	const struct vhdx *vhdx = merge->vhdx;
	const struct merge_part rest = { .size = vhdx->block_size, .zero = true };
	uint64_t place = entry & VHDX_OFFSET_MASK;

	if ((entry & VHDX_STATE_MASK) == VHDX_NOT_PRESENT ||
	    !vhdx_may_use(vhdx, merge->patches.file_size, place, vhdx->block_size))
		return merge_grow(merge, vhdx->block_size, ret_place);
	*ret_place = place;
	return part->whole ? 0 : merge_copy(merge, &rest, place);
}

/* ---- Bits ---- */

static int merge_entry(struct merge *merge, uint64_t index, uint64_t *ret_entry)
{
	uint64_t offset = index * sizeof(uint64_t);
	uint8_t *page;
	int r = vhdx_edit_page(&merge->editor,
			       merge->vhdx->bat_offset + ALIGN_DOWN(offset, VHDX_PAGE), &page);

	if (r == 0)
		memcpy(ret_entry, page + offset % VHDX_PAGE, sizeof(*ret_entry));
	return r;
}

static int merge_find_bitmap(struct merge *merge, uint64_t block, uint64_t *ret_place)
{
	uint64_t index = vhdx_bitmap_index(merge->vhdx, block), entry = 0, place = 0;
	int r = merge_entry(merge, index, &entry);

	if (r)
		return r;
	*ret_place = entry & VHDX_OFFSET_MASK;
	if ((entry & VHDX_STATE_MASK) == VHDX_FULLY)
		return 0;
	r = merge_grow(merge, VHDX_BITMAP_SIZE, &place);
	*ret_place = place;
	return r ? r : vhdx_edit_entry(&merge->editor, index, place | VHDX_FULLY);
}

/* From `sector` of the disk on. */
static int merge_set_bits(struct merge *merge, uint64_t bitmap, uint64_t sector, uint64_t count,
			  bool value)
{
	const uint64_t all = (uint64_t)VHDX_BITMAP_SIZE * 8;
	int r = 0;

	while (r == 0 && count) {
		uint64_t part = MIN(count, PAGE_BITS - sector % PAGE_BITS);
		uint8_t *page;

		r = vhdx_edit_page(&merge->editor, bitmap + sector % all / PAGE_BITS * VHDX_PAGE,
				   &page);
		for (uint64_t i = sector; r == 0 && i < sector + part; i++) {
			uint8_t mask = (uint8_t)(1u << i % 8), *byte = &page[i % PAGE_BITS / 8];

			*byte = (uint8_t)(value ? *byte | mask : *byte & ~mask);
		}
		sector += part;
		count -= part;
	}
	return r;
}

/* fresh: the block was not there, and its bits may be anything. */
static int merge_mark(struct merge *merge, const struct merge_part *part, bool fresh)
{
	const struct vhdx *vhdx = merge->vhdx;
	uint64_t sectors = vhdx->block_size / vhdx->sector_size, bitmap;
	uint64_t block = part->offset / vhdx->block_size;
	int r = merge_find_bitmap(merge, block, &bitmap);

	if (r == 0 && fresh)
		r = merge_set_bits(merge, bitmap, block * sectors, sectors, false);
	return r ? r
		 : merge_set_bits(merge, bitmap, part->offset / vhdx->sector_size,
				  part->size / vhdx->sector_size, true);
}

/* ---- Blocks ---- */

static int merge_put_data(struct merge *merge, const struct merge_part *part, uint64_t index,
			  uint64_t entry)
{
	const struct vhdx *vhdx = merge->vhdx;
	bool there = merge_is_there(entry);
	bool below = (entry & VHDX_STATE_MASK) == VHDX_NOT_PRESENT && vhdx->has_parent;
	uint64_t place = entry & VHDX_OFFSET_MASK;
	bool partly = (entry & VHDX_STATE_MASK) == VHDX_PARTIALLY || (below && !part->whole);
	int r = there ? 0 : merge_find_room(merge, part, entry, &place);

	if (r == 0)
		r = merge_copy(merge, part, place + part->offset % vhdx->block_size);
	if (r == 0 && partly)
		r = merge_mark(merge, part, !there);
	if (r == 0 && !there)
		r = vhdx_edit_entry(&merge->editor, index,
				    place | (partly ? VHDX_PARTIALLY : VHDX_FULLY));
	return r;
}

/* Return: whether nothing is to be written for it, but the entry. */
static bool merge_is_word(const struct merge *merge, const struct merge_part *part, uint64_t entry,
			  uint64_t *ret_entry)
{
	bool below = (entry & VHDX_STATE_MASK) == VHDX_NOT_PRESENT && merge->vhdx->has_parent;

	*ret_entry = entry;
	if (!part->zero)
		return false;
	if (!merge_is_there(entry) && !below)
		return true;
	if (!part->whole || merge->vhdx->fixed)
		return false;
	/* What need not be kept leaves its place to the block. */
	*ret_entry =
		part->trimmed && !below ? (entry & VHDX_OFFSET_MASK) | VHDX_UNMAPPED : VHDX_ZERO;
	return true;
}

static int merge_put(struct merge *merge, const struct merge_part *part)
{
	uint64_t index = vhdx_bat_index(merge->vhdx, part->offset / merge->vhdx->block_size);
	uint64_t entry = 0, changed;
	int r = merge_entry(merge, index, &entry);

	if (r)
		return r;
	if (!merge_is_word(merge, part, entry, &changed))
		r = merge_put_data(merge, part, index, entry);
	else if (changed != entry)
		r = vhdx_edit_entry(&merge->editor, index, changed);
	merge->batch += part->size;
	if (r || merge->batch < BATCH)
		return r;
	merge->batch = 0;
	return vhdx_edit_commit_entries(&merge->editor);
}

/* ---- All of it ---- */

/* From now on the child stands on what the parent is going to be, too. */
static int merge_announce(const struct vhdx_merge *images)
{
	struct vhdx_parent named = images->child_image->parent;
	int r;

	if (!guid_is_null(&named.linkage2))
		return 0;
	r = guid_generate(&named.linkage2);
	return r < 0 ? r : vhdx_relink(images->child, images->child_image, &named);
}

/* Also where it was cut short the log ends. */
static int merge_run(struct merge *merge)
{
	int r = merge_walk(merge, merge_put), end;

	if (r && r != -ECANCELED)
		return r;
	end = vhdx_edit_commit_entries(&merge->editor);
	if (end == 0)
		end = vhdx_edit_end(&merge->editor);
	return end ? end : r;
}

int vhdx_merge(const struct vhdx_merge *images, const struct vhdx_follower *follower)
{
	struct merge *merge = calloc(1, sizeof(*merge));
	int r = merge ? merge_measure(merge, images) : -ENOMEM;

	if (r == 0) {
		merge->follower = follower;
		merge->buffer = malloc(PIECE);
		r = merge->buffer ? 0 : -ENOMEM;
	}
	/* What an attempt before this has left behind the last place. */
	if (r == 0)
		r = vhdx_places_trim(merge->file, &merge->patches, merge->vhdx);
	if (r == 0)
		r = merge_announce(images);
	if (r == 0)
		r = vhdx_edit_begin_as(&merge->editor, images->parent, images->parent_image,
				       &images->child_image->parent.linkage2);
	if (r == 0)
		r = merge_run(merge);
	if (merge) {
		vhdx_edit_abandon(&merge->editor);
		free(merge->buffer);
	}
	free(merge);
	return r;
}
