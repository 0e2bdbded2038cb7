/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A new VHD image that is filled. */
#include "common/image/vhd_fill.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BITMAP_PART 4096u /* bytes that are written at once */

int vhd_fill_begin(struct vhd_fill *fill, struct vhdx_file *file, const struct vhd_options *options)
{
	size_t size;
	int r = vhd_make(file, options);

	*fill = (struct vhd_fill){ .file = file };
	if (r == 0)
		r = vhd_open(file, &fill->vhd);
	if (r)
		return r > 0 ? -EIO : r;
	if (fill->vhd.type == VHD_FIXED)
		return 0;
	fill->end = fill->vhd.end;
	size = fill->vhd.block_count * sizeof(*fill->places);
	fill->places = malloc(size);
	if (!fill->places)
		return -ENOMEM;
	memset(fill->places, 0xff, size);
	return 0;
}

void vhd_fill_deinit(struct vhd_fill *fill)
{
	free(fill->places);
	fill->places = NULL;
}

/* All sectors of a block are there: those that nobody writes are zeros of the file. */
static int fill_mark_sectors(struct vhd_fill *fill, uint64_t place)
{
	uint8_t ones[BITMAP_PART];
	int r = 0;

	memset(ones, 0xff, sizeof(ones));
	for (uint32_t at = 0; r == 0 && at < fill->vhd.bitmap_size; at += BITMAP_PART)
		r = fill->file->write(fill->file->data, place + at, ones,
				      MIN(fill->vhd.bitmap_size - at, BITMAP_PART));
	return r;
}

/* The footer of the empty image is overwritten, or stays in the gap before the first block. */
static int fill_add_block(struct vhd_fill *fill, uint32_t block)
{
	uint64_t place = vhd_block_place(&fill->vhd, fill->end);
	uint64_t end = place + fill->vhd.bitmap_size + fill->vhd.block_size;
	uint32_t entry = htobe32((uint32_t)(place / VHD_SECTOR));
	int r = fill->file->grow(fill->file->data, end);

	if (r == 0)
		r = fill_mark_sectors(fill, place);
	if (r == 0)
		r = fill->file->write(fill->file->data,
				      fill->vhd.bat_offset + (uint64_t)block * sizeof(entry),
				      &entry, sizeof(entry));
	if (r)
		return r;
	fill->file->size = fill->end = end;
	fill->places[block] = entry;
	return 0;
}

static int fill_write_block(struct vhd_fill *fill, uint64_t offset, const void *buffer, size_t size)
{
	uint32_t block = (uint32_t)(offset / fill->vhd.block_size);
	int r = 0;

	if (fill->places[block] == VHD_UNUSED)
		r = fill_add_block(fill, block);
	if (r)
		return r;
	return fill->file->write(fill->file->data,
				 (uint64_t)be32toh(fill->places[block]) * VHD_SECTOR +
					 fill->vhd.bitmap_size + offset % fill->vhd.block_size,
				 buffer, size);
}

int vhd_fill_write(struct vhd_fill *fill, uint64_t offset, const void *buffer, size_t size)
{
	const uint8_t *bytes = buffer;
	int r = 0;

	if (offset > fill->vhd.size || size > fill->vhd.size - offset)
		return -EINVAL;
	if (!fill->places)
		return fill->file->write(fill->file->data, offset, buffer, size);
	while (r == 0 && size) {
		uint64_t left = fill->vhd.block_size - offset % fill->vhd.block_size;
		size_t part = MIN((uint64_t)size, left);

		r = fill_write_block(fill, offset, bytes, part);
		bytes += part;
		offset += part;
		size -= part;
	}
	return r;
}

int vhd_fill_end(struct vhd_fill *fill)
{
	struct vhdx_file *file = fill->file;
	int r = 0;

	if (fill->places) {
		r = file->write(file->data, fill->end, &fill->vhd.footer, sizeof(fill->vhd.footer));
		file->size = fill->end + sizeof(fill->vhd.footer);
	}
	return r == 0 ? file->flush(file->data) : r;
}
