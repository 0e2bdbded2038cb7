/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a VHDX image has, run by run. */
#include "common/image/vhdx_reader.h"

#define PAGE_BITS (VHDX_PAGE * 8u)

void vhdx_reader_begin(struct vhdx_reader *reader, const struct vhdx_file *file,
		       const struct vhdx_patches *patches, const struct vhdx *vhdx)
{
	reader->file = file;
	reader->patches = patches;
	reader->vhdx = vhdx;
	vhdx_reader_forget(reader);
}

void vhdx_reader_forget(struct vhdx_reader *reader)
{
	reader->page_index = UINT64_MAX;
	reader->bits_offset = 0;
}

int vhdx_reader_entry(struct vhdx_reader *reader, uint64_t index, uint64_t *ret_entry)
{
	uint64_t offset = index * sizeof(uint64_t), page = offset / VHDX_PAGE;
	int r = 0;

	if (page != reader->page_index) {
		reader->page_index = UINT64_MAX;
		r = vhdx_read_bat_page(reader->file, reader->patches, reader->vhdx, page,
				       reader->page);
	}
	if (r)
		return r;
	reader->page_index = page;
	*ret_entry = reader->page[offset % VHDX_PAGE / sizeof(uint64_t)];
	return 0;
}

/* ---- Blocks that are there in part ---- */

static int reader_load_bits(struct vhdx_reader *reader, uint64_t sector)
{
	const struct vhdx *vhdx = reader->vhdx;
	uint64_t chunk = vhdx->chunk_ratio * (vhdx->block_size / vhdx->sector_size);
	uint64_t block = sector / (vhdx->block_size / vhdx->sector_size), entry = 0, offset;
	int r = vhdx_reader_entry(reader, vhdx_bitmap_index(vhdx, block), &entry);

	if (r)
		return r;
	offset = entry & VHDX_OFFSET_MASK;
	if ((entry & VHDX_STATE_MASK) != VHDX_FULLY ||
	    !vhdx_may_use(vhdx, reader->patches->file_size, offset, VHDX_BITMAP_SIZE))
		return VHDX_E_METADATA;
	offset += sector % chunk / PAGE_BITS * VHDX_PAGE;
	if (offset == reader->bits_offset)
		return 0;
	reader->bits_offset = 0;
	r = vhdx_read_patched(reader->file, reader->patches, offset, reader->bits, VHDX_PAGE);
	if (r == 0)
		reader->bits_offset = offset;
	return r;
}

static bool reader_bit(const struct vhdx_reader *reader, uint64_t sector)
{
	return reader->bits[sector % PAGE_BITS / 8] & (1u << sector % 8);
}

/* place: of the block's data; limit: where the block ends. */
static int reader_find_part(struct vhdx_reader *reader, uint64_t offset, uint64_t limit,
			    uint64_t place, struct content_run *ret_run)
{
	const struct vhdx *vhdx = reader->vhdx;
	uint64_t first = offset / vhdx->sector_size, sector = first;
	uint64_t last = (limit + vhdx->sector_size - 1) / vhdx->sector_size;
	int r = reader_load_bits(reader, first);
	bool here;

	if (r)
		return r;
	here = reader_bit(reader, first);
	do
		sector++;
	while (sector < last && sector % PAGE_BITS && reader_bit(reader, sector) == here);
	*ret_run = (struct content_run){
		.kind = here ? CONTENT_DATA : CONTENT_PARENT,
		.length = MIN(sector * vhdx->sector_size, limit) - offset,
		.file_offset = here ? place + offset % vhdx->block_size : 0,
	};
	return 0;
}

/* ---- Runs ---- */

/* Within one block. */
static int reader_find_in_block(struct vhdx_reader *reader, uint64_t offset,
				struct content_run *ret_run)
{
	const struct vhdx *vhdx = reader->vhdx;
	uint64_t block = offset / vhdx->block_size, entry = 0, place;
	uint64_t limit = MIN((block + 1) * vhdx->block_size, vhdx->size);
	struct content_run run = { .length = limit - offset };
	int r = vhdx_reader_entry(reader, vhdx_bat_index(vhdx, block), &entry);

	if (r)
		return r;
	place = entry & VHDX_OFFSET_MASK;
	switch ((enum vhdx_state)(entry & VHDX_STATE_MASK)) {
	case VHDX_PARTIALLY:
	case VHDX_FULLY:
		if ((entry & VHDX_STATE_MASK) == VHDX_PARTIALLY && !vhdx->has_parent)
			return VHDX_E_METADATA;
		if (!vhdx_may_use(vhdx, reader->patches->file_size, place, vhdx->block_size))
			return VHDX_E_METADATA;
		run.file_offset = place + offset % vhdx->block_size;
		break;
	case VHDX_UNMAPPED:
	case VHDX_ZERO:
		run.kind = CONTENT_ZERO;
		run.trimmed = (entry & VHDX_STATE_MASK) == VHDX_UNMAPPED;
		break;
	case VHDX_NOT_PRESENT:
		run.kind = vhdx->has_parent ? CONTENT_PARENT : CONTENT_HOLE;
		break;
	case VHDX_UNDEFINED:
		run.kind = CONTENT_HOLE;
		break;
	default:
		return VHDX_E_METADATA;
	}
	*ret_run = run;
	return (entry & VHDX_STATE_MASK) == VHDX_PARTIALLY
		       ? reader_find_part(reader, offset, limit, place, ret_run)
		       : 0;
}

static bool reader_goes_on(const struct content_run *run, const struct content_run *next)
{
	return run->kind == next->kind && run->trimmed == next->trimmed &&
	       (run->kind != CONTENT_DATA || next->file_offset == run->file_offset + run->length);
}

/* What is alike, and next to each other in the file, is one run. */
int vhdx_reader_find(struct vhdx_reader *reader, uint64_t offset, uint64_t most,
		     struct content_run *ret_run)
{
	struct content_run run = { 0 }, next = { 0 };
	int r = reader_find_in_block(reader, offset, &run);

	while (r == 0 && offset + run.length < reader->vhdx->size && run.length < most) {
		r = reader_find_in_block(reader, offset + run.length, &next);
		if (r || !reader_goes_on(&run, &next))
			break;
		run.length += next.length;
	}
	*ret_run = run;
	return r;
}
