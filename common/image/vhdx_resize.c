/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * VHDX disks of another size.
 *
 * What is to be zeros of a larger disk, and is not, is made so while nothing names it: the rest of
 * what was the last block, and entries of the table behind the last one. A table that is too small
 * is copied to the end of the file. Then one entry of the log changes the size, and where the table
 * is.
 */
#include "common/image/vhdx_change.h"

#include "common/base/cleanup.h"
#include "common/image/vhdx_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PIECE (1u << 20)

struct resize {
	struct vhdx_file *file;
	struct vhdx *vhdx;
	struct vhdx wanted; /* the same with the other size */
	uint8_t *zeros;     /* PIECE bytes */
	uint8_t *regions;   /* two tables, for the log */
	uint8_t size_page[VHDX_PAGE];
	uint64_t size_page_offset;
};

static struct vhdx_patches resize_no_patches(const struct vhdx_file *file)
{
	return (struct vhdx_patches){ .file_size = file->size };
}

static int resize_write_zeros(struct resize *resize, uint64_t offset, uint64_t size)
{
	int r = 0;

	while (r == 0 && size) {
		uint64_t part = MIN(size, (uint64_t)PIECE);

		r = resize->file->write(resize->file->data, offset, resize->zeros, part);
		offset += part;
		size -= part;
	}
	return r;
}

/* Behind the end of the disk, what is in its last block may be anything. */
static int resize_clear_block(struct resize *resize)
{
	const struct vhdx *vhdx = resize->vhdx;
	struct vhdx_patches patches = resize_no_patches(resize->file);
	uint64_t page[VHDX_PAGE / sizeof(uint64_t)], entry, used = vhdx->size % vhdx->block_size;
	uint64_t index = vhdx_bat_index(vhdx, vhdx->block_count - 1);
	int r;

	if (used == 0 || resize->wanted.size <= vhdx->size)
		return 0;
	r = vhdx_read_bat_page(resize->file, &patches, vhdx, index * sizeof(entry) / VHDX_PAGE,
			       page);
	if (r)
		return r;
	entry = page[index % ARRAY_SIZE(page)];
	if ((entry & VHDX_STATE_MASK) != VHDX_FULLY)
		return 0;
	if (!vhdx_may_use(vhdx, resize->file->size, entry & VHDX_OFFSET_MASK, vhdx->block_size))
		return VHDX_E_METADATA;
	return resize_write_zeros(resize, (entry & VHDX_OFFSET_MASK) + used,
				  vhdx->block_size - used);
}

/* Entries that nothing counts yet, in the table where it is. */
static int resize_clear_entries(struct resize *resize)
{
	uint64_t from = resize->vhdx->bat_count * sizeof(uint64_t);

	return resize_write_zeros(resize, resize->vhdx->bat_offset + from,
				  resize->vhdx->bat_size - from);
}

static int resize_copy(struct resize *resize, uint64_t from, uint64_t to, uint64_t size)
{
	AUTO_FREE uint8_t *buffer = malloc(PIECE);
	int r = buffer ? 0 : -ENOMEM;

	for (uint64_t done = 0; r == 0 && done < size; done += PIECE) {
		uint64_t part = MIN(size - done, (uint64_t)PIECE);

		r = vhdx_read(resize->file, from + done, buffer, part);
		if (r == 0)
			r = resize->file->write(resize->file->data, to + done, buffer, part);
	}
	return r;
}

/* To the end of the file, where it has room. */
static int resize_move_table(struct resize *resize)
{
	struct vhdx *wanted = &resize->wanted;
	struct vhdx_file *file = resize->file;
	uint64_t place = ALIGN_UP(file->size, VHDX_MIB), room;
	int r;

	room = ALIGN_UP(wanted->bat_count * sizeof(uint64_t), VHDX_MIB);
	r = file->grow(file->data, place + room);
	if (r)
		return r;
	file->size = place + room;
	wanted->bat_offset = place;
	wanted->bat_size = (uint32_t)room;
	return resize_copy(resize, resize->vhdx->bat_offset, place,
			   resize->vhdx->bat_count * sizeof(uint64_t));
}

static int resize_prepare_regions(struct resize *resize)
{
	struct vhdx_patches patches = resize_no_patches(resize->file);
	struct vhdx_regions *head;
	struct vhdx_region *regions;
	int r;

	resize->regions = malloc(VHDX_REGIONS_SIZE);
	if (!resize->regions)
		return -ENOMEM;
	r = vhdx_read_regions(resize->file, &patches, resize->regions);
	if (r)
		return r;
	head = (struct vhdx_regions *)resize->regions;
	regions = (struct vhdx_region *)(head + 1);
	for (uint32_t i = 0; i < MIN(head->count, VHDX_REGIONS_MAX); i++) {
		if (!guid_equal(&regions[i].id, &VHDX_REGION_BAT))
			continue;
		regions[i].offset = resize->wanted.bat_offset;
		regions[i].length = resize->wanted.bat_size;
	}
	vhdx_seal(resize->regions, VHDX_REGIONS_SIZE);
	return 0;
}

/* The page of the metadata with the size; nothing keeps it from lying across two. */
static int resize_prepare_size(struct resize *resize)
{
	uint64_t offset = resize->vhdx->size_offset;
	int r;

	resize->size_page_offset = offset - offset % VHDX_PAGE;
	if (offset % VHDX_PAGE > VHDX_PAGE - sizeof(uint64_t))
		return VHDX_E_UNSUPPORTED;
	r = vhdx_read(resize->file, resize->size_page_offset, resize->size_page, VHDX_PAGE);
	memcpy(resize->size_page + offset % VHDX_PAGE, &resize->wanted.size, sizeof(uint64_t));
	return r;
}

static int resize_commit(struct resize *resize, struct vhdx_editor *editor)
{
	struct vhdx_log_page pages[1 + 2 * VHDX_REGIONS_SIZE / VHDX_PAGE];
	unsigned count = 0;

	_Static_assert(ARRAY_SIZE(pages) <= VHDX_ENTRY_PAGES, "one entry of the log");
	pages[count++] = (struct vhdx_log_page){ resize->size_page_offset, resize->size_page };
	for (unsigned copy = 0; resize->regions && copy < 2; copy++) {
		for (uint32_t at = 0; at < VHDX_REGIONS_SIZE; at += VHDX_PAGE)
			pages[count++] = (struct vhdx_log_page){ VHDX_REGIONS_OFFSET(copy) + at,
								 resize->regions + at };
	}
	return vhdx_edit_commit(editor, pages, count);
}

static int resize_run(struct resize *resize, struct vhdx_editor *editor)
{
	bool fits = resize->wanted.bat_count <= resize->vhdx->bat_size / sizeof(uint64_t);
	int r = resize_clear_block(resize);

	if (r == 0)
		r = fits ? resize_clear_entries(resize) : resize_move_table(resize);
	if (r == 0 && !fits)
		r = resize_prepare_regions(resize);
	if (r == 0)
		r = resize_prepare_size(resize);
	return r ? r : resize_commit(resize, editor);
}

/* All blocks of a fixed image are there: those from `first` on come to the end of the file. */
static int resize_fill(struct vhdx_editor *editor, uint64_t first)
{
	const struct vhdx *vhdx = editor->vhdx;
	struct vhdx_file *file = editor->file;
	uint64_t place = ALIGN_UP(file->size, VHDX_MIB), end;
	int r;

	if (!vhdx->fixed || first >= vhdx->block_count)
		return 0;
	end = place + (vhdx->block_count - first) * vhdx->block_size;
	r = file->grow(file->data, end);
	if (r)
		return r;
	file->size = end;
	for (uint64_t block = first; r == 0 && block < vhdx->block_count; block++) {
		r = vhdx_edit_entry(editor, vhdx_bat_index(vhdx, block), place | VHDX_FULLY);
		place += vhdx->block_size;
	}
	return r ? r : vhdx_edit_commit_entries(editor);
}

/* The disk has that size from the first of these steps on. */
static int resize_change(struct resize *resize, struct vhdx_editor *editor)
{
	uint64_t blocks = resize->vhdx->block_count;
	int r = resize_run(resize, editor);

	if (r)
		return r;
	resize->wanted.header = resize->vhdx->header;
	resize->wanted.header_index = resize->vhdx->header_index;
	*resize->vhdx = resize->wanted;
	r = resize_fill(editor, blocks);
	return r ? r : vhdx_edit_end(editor);
}

int vhdx_resize(struct vhdx_file *file, struct vhdx *vhdx, uint64_t size)
{
	struct resize resize = { .file = file, .vhdx = vhdx, .wanted = *vhdx };
	struct vhdx_editor editor = { 0 };
	struct vhdx_patches patches;
	int r;

	if (size == 0 || size > VHDX_DISK_MAX || size % vhdx->sector_size)
		return -EINVAL;
	if (vhdx->has_parent)
		return -ENOTSUP;
	resize.wanted.size = size;
	vhdx_derive(&resize.wanted);
	resize.zeros = calloc(1, PIECE);
	r = resize.zeros ? vhdx_edit_begin(&editor, file, vhdx) : -ENOMEM;
	if (r == 0)
		r = resize_change(&resize, &editor);
	vhdx_edit_abandon(&editor);
	free(resize.zeros);
	free(resize.regions);
	if (r)
		return r;
	patches = resize_no_patches(file);
	return vhdx_places_trim(file, &patches, vhdx);
}
