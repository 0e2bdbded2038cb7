/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Bitmaps of a VHDX image with a parent: which sectors of a block that is there in part are there.
 *
 * A bit is set once its sector has been written, and gets to the file by the log, after what it
 * stands for. What is known of a bitmap is in the same pages as the table.
 */
#include "vsp/storage/disk_vhdx.h"

#include <errno.h>
#include <string.h>

#define PAGE_BITS (VHDX_PAGE * 8)

/* The bit of a sector in its byte. */
static uint8_t disk_vhdx_mask(const struct vhdx_page *page, unsigned bit)
{
	return (uint8_t)(page->vhdx->layout->highest_first ? 0x80 >> bit % 8 : 1 << bit % 8);
}

bool disk_vhdx_bit(const struct vhdx_page *page, unsigned bit)
{
	return page->bits[bit / 8] & disk_vhdx_mask(page, bit);
}

unsigned disk_vhdx_bits_run(const struct vhdx_page *page, unsigned first, unsigned count)
{
	bool value = disk_vhdx_bit(page, first);
	unsigned run = 1;

	while (run < count) {
		unsigned bit = first + run;

		if (bit % 8 == 0 && count - run >= 8 && page->bits[bit / 8] == (value ? 0xff : 0))
			run += 8;
		else if (disk_vhdx_bit(page, bit) == value)
			run++;
		else
			break;
	}
	return run;
}

void disk_vhdx_bits_set(struct vhdx_page *page, unsigned first, unsigned count)
{
	for (unsigned bit = first; bit < first + count; bit++)
		page->bits[bit / 8] |= disk_vhdx_mask(page, bit);
}

/* Where the page with a sector's bit is. */
static uint64_t disk_vhdx_bits_offset(const struct disk_vhdx *vhdx, uint64_t place, uint64_t sector)
{
	return place + sector % ((uint64_t)VHDX_BITMAP_SIZE * 8) / PAGE_BITS * VHDX_PAGE;
}

/* Return: the place of the bitmap in the file; 0: there is none. */
static uint64_t disk_vhdx_bitmap_place(const struct disk_vhdx *vhdx, const struct vhdx_page *page,
				       uint64_t index)
{
	uint64_t entry = page->entries[index % VHDX_PAGE_ENTRIES];
	uint64_t place = entry & VHDX_OFFSET_MASK;

	return (entry & VHDX_STATE_MASK) == VHDX_FULLY &&
			       vhdx_may_use(&vhdx->image, vhdx->file_size, place, VHDX_BITMAP_SIZE)
		       ? place
		       : 0;
}

struct vhdx_page *disk_vhdx_bits(struct disk_vhdx *vhdx, struct vhdx_io *io, uint64_t place,
				 uint64_t *size, unsigned *ret_first)
{
	uint32_t sector_size = vhdx->image.sector_size;
	uint64_t sector = io->offset / sector_size;
	uint64_t index = vhdx_bitmap_index(&vhdx->image, io->offset / vhdx->image.block_size);
	struct vhdx_page *page = disk_vhdx_table_page(vhdx, io, index);

	if (!page)
		return NULL;
	place = disk_vhdx_bitmap_place(vhdx, page, index);
	if (!place) {
		io->result = -EIO;
		return NULL;
	}
	*ret_first = (unsigned)(sector % PAGE_BITS);
	*size = MIN(*size, (uint64_t)(PAGE_BITS - *ret_first) * sector_size);
	return disk_vhdx_page(vhdx, io, disk_vhdx_bits_offset(vhdx, place, sector));
}

/* Of a block that is not there, bits mean nothing, and may be anything. */
static bool disk_vhdx_bits_clear(struct disk_vhdx *vhdx, struct vhdx_io *io, struct vhdx_page *page,
				 unsigned first, unsigned count)
{
	if (!disk_vhdx_bit(page, first) && disk_vhdx_bits_run(page, first, count) == count)
		return true;
	if (!disk_vhdx_has_room(vhdx, io))
		return false;
	memset(page->bits + first / 8, 0, count / 8);
	disk_vhdx_dirty(vhdx, page);
	return true;
}

bool disk_vhdx_bitmap_prepare(struct disk_vhdx *vhdx, struct vhdx_io *io, uint64_t block)
{
	const struct vhdx *image = &vhdx->image;
	uint64_t index = vhdx_bitmap_index(image, block), place;
	uint64_t sectors = image->block_size / image->sector_size;
	struct vhdx_page *page = disk_vhdx_table_page(vhdx, io, index);
	struct vhdx_block *change;

	if (!page)
		return false;
	change = disk_vhdx_block_find(vhdx, index);
	if (change) {
		list_append(&change->waiters, &io->link);
		return false;
	}
	place = disk_vhdx_bitmap_place(vhdx, page, index);
	if (!place) {
		if (disk_vhdx_has_room(vhdx, io))
			io->result = disk_vhdx_block_change(vhdx, io, page, index, VHDX_FULLY);
		return false;
	}
	for (uint64_t done = 0; done < sectors; done += PAGE_BITS) {
		uint64_t sector = block * sectors + done;

		page = disk_vhdx_page(vhdx, io, disk_vhdx_bits_offset(vhdx, place, sector));
		if (!page ||
		    !disk_vhdx_bits_clear(vhdx, io, page, (unsigned)(sector % PAGE_BITS),
					  (unsigned)MIN(sectors - done, (uint64_t)PAGE_BITS)))
			return false;
	}
	return true;
}
