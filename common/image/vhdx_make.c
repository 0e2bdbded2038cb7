/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Making VHDX images: 1 MiB of headers, the log, the metadata, the table of blocks; and, where they
 * are to be there from the beginning, the blocks.
 */
#include "common/base/cleanup.h"
#include "common/base/utf16.h"
#include "common/image/vhdx_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LOG_OFFSET      VHDX_MIB
#define LOG_SIZE        (1u << 20)
#define METADATA_OFFSET (2 * VHDX_MIB)
#define METADATA_SIZE   (1u << 20)
#define BAT_OFFSET      (3 * VHDX_MIB)
#define ITEMS_SIZE      (2 * VHDX_ITEMS_SIZE) /* the table, and what it names */
#define BAT_PART        8192u                 /* entries that are written at once */

static const char creator[] = "vmms";

static int vhdx_make_identifier(struct vhdx_file *file)
{
	uint8_t page[VHDX_PAGE] = { 0 };
	const uint64_t signature = VHDX_FILE_SIGNATURE;

	memcpy(page, &signature, sizeof(signature));
	if (!utf16_from_utf8(page + VHDX_CREATOR_OFFSET, 512, creator))
		return -EINVAL;
	return file->write(file->data, 0, page, sizeof(page));
}

static int vhdx_make_headers(struct vhdx_file *file)
{
	_Alignas(8) uint8_t page[VHDX_PAGE];
	struct vhdx_header header = { .log_length = LOG_SIZE, .log_offset = LOG_OFFSET };
	int r = guid_generate(&header.file_write);

	if (r == 0)
		r = guid_generate(&header.data_write);
	for (unsigned i = 0; r == 0 && i < 2; i++) {
		header.sequence = i + 1;
		vhdx_header_make(page, &header);
		r = file->write(file->data, VHDX_HEADER_OFFSET(i), page, sizeof(page));
	}
	return r;
}

static int vhdx_make_regions(struct vhdx_file *file, uint32_t bat_size)
{
	AUTO_FREE uint8_t *table = calloc(1, VHDX_REGIONS_SIZE);
	struct vhdx_regions *head = (struct vhdx_regions *)table;
	struct vhdx_region *regions = (struct vhdx_region *)(head + 1);
	int r = 0;

	if (!table)
		return -ENOMEM;
	head->signature = VHDX_REGIONS_SIGNATURE;
	head->count = 2;
	regions[0] = (struct vhdx_region){ VHDX_REGION_BAT, BAT_OFFSET, bat_size, 1 };
	regions[1] =
		(struct vhdx_region){ VHDX_REGION_METADATA, METADATA_OFFSET, METADATA_SIZE, 1 };
	vhdx_seal(table, VHDX_REGIONS_SIZE);
	for (unsigned i = 0; r == 0 && i < 2; i++)
		r = file->write(file->data, VHDX_REGIONS_OFFSET(i), table, VHDX_REGIONS_SIZE);
	return r;
}

/* ---- Metadata ---- */

static void vhdx_add_item(uint8_t *table, struct guid id, uint32_t flags, const void *bytes,
			  uint32_t size)
{
	struct vhdx_items *head = (struct vhdx_items *)table;
	struct vhdx_item *item = (struct vhdx_item *)(head + 1) + head->count;
	uint32_t offset = VHDX_ITEMS_SIZE;

	if (head->count)
		offset = ALIGN_UP(item[-1].offset + item[-1].length, 8u);
	*item = (struct vhdx_item){
		.id = id, .offset = offset, .length = size, .flags = flags | VHDX_ITEM_REQUIRED
	};
	memcpy(table + offset, bytes, size);
	head->count++;
}

static int vhdx_make_locator(uint8_t *table, const struct vhdx_parent *parent)
{
	AUTO_FREE uint8_t *buffer = malloc(VHDX_LOCATOR_MAX);
	uint32_t size;
	int r = buffer ? vhdx_locator_make(buffer, parent, &size) : -ENOMEM;

	if (r == 0)
		vhdx_add_item(table, VHDX_ITEM_LOCATOR, 0, buffer, size);
	return r;
}

static int vhdx_make_metadata(struct vhdx_file *file, const struct vhdx *vhdx,
			      const struct vhdx_parent *parent)
{
	AUTO_FREE uint8_t *table = calloc(1, ITEMS_SIZE);
	const struct vhdx_parameters parameters = {
		.block_size = vhdx->block_size,
		.flags = (vhdx->fixed ? VHDX_PARAMETER_FIXED : 0) |
			 (vhdx->has_parent ? VHDX_PARAMETER_PARENT : 0),
	};
	int r = 0;

	if (!table)
		return -ENOMEM;
	((struct vhdx_items *)table)->signature = VHDX_METADATA_SIGNATURE;
	vhdx_add_item(table, VHDX_ITEM_PARAMETERS, 0, &parameters, sizeof(parameters));
	vhdx_add_item(table, VHDX_ITEM_SIZE, VHDX_ITEM_DISK, &vhdx->size, sizeof(vhdx->size));
	vhdx_add_item(table, VHDX_ITEM_ID, VHDX_ITEM_DISK, &vhdx->id, sizeof(vhdx->id));
	vhdx_add_item(table, VHDX_ITEM_SECTOR, VHDX_ITEM_DISK, &vhdx->sector_size,
		      sizeof(vhdx->sector_size));
	vhdx_add_item(table, VHDX_ITEM_PHYSICAL, VHDX_ITEM_DISK, &vhdx->physical_sector_size,
		      sizeof(vhdx->physical_sector_size));
	if (parent)
		r = vhdx_make_locator(table, parent);
	if (r == 0)
		r = file->write(file->data, METADATA_OFFSET, table, ITEMS_SIZE);
	return r;
}

/* ---- Blocks ---- */

/* All blocks of a fixed image follow each other. */
static uint64_t vhdx_fixed_entry(const struct vhdx *vhdx, uint64_t index)
{
	uint64_t chunk = index / (vhdx->chunk_ratio + 1);
	uint64_t block = index - chunk;

	if (index % (vhdx->chunk_ratio + 1) == vhdx->chunk_ratio)
		return 0;
	return (BAT_OFFSET + vhdx->bat_size + block * vhdx->block_size) | VHDX_FULLY;
}

static int vhdx_make_fixed(struct vhdx_file *file, const struct vhdx *vhdx)
{
	AUTO_FREE uint64_t *part = calloc(BAT_PART, sizeof(*part));
	int r = 0;

	if (!part)
		return -ENOMEM;
	for (uint64_t first = 0; r == 0 && first < vhdx->bat_count; first += BAT_PART) {
		uint64_t count = MIN(vhdx->bat_count - first, (uint64_t)BAT_PART);

		for (uint64_t i = 0; i < count; i++)
			part[i] = vhdx_fixed_entry(vhdx, first + i);
		r = file->write(file->data, BAT_OFFSET + first * sizeof(*part), part,
				count * sizeof(*part));
	}
	return r;
}

static bool vhdx_options_are_valid(const struct vhdx_options *options)
{
	uint32_t block = options->block_size;

	return (options->sector_size == 512 || options->sector_size == 4096) &&
	       (options->physical_sector_size == 512 || options->physical_sector_size == 4096) &&
	       options->size && options->size <= VHDX_DISK_MAX &&
	       options->size % options->sector_size == 0 && block >= VHDX_BLOCK_MIN &&
	       block <= VHDX_BLOCK_MAX && !(block & (block - 1)) &&
	       !(options->fixed && options->parent);
}

int vhdx_make(struct vhdx_file *file, const struct vhdx_options *options)
{
	struct vhdx vhdx = { .size = options->size,
			     .block_size = options->block_size,
			     .sector_size = options->sector_size,
			     .physical_sector_size = options->physical_sector_size,
			     .fixed = options->fixed,
			     .has_parent = options->parent != NULL };
	uint64_t end;
	int r;

	if (!vhdx_options_are_valid(options))
		return -EINVAL;
	vhdx_derive(&vhdx);
	vhdx.bat_size = (uint32_t)ALIGN_UP(vhdx.bat_count * sizeof(uint64_t), VHDX_MIB);
	end = BAT_OFFSET + vhdx.bat_size;
	if (options->fixed)
		end += vhdx.block_count * vhdx.block_size;
	r = guid_generate(&vhdx.id);
	if (r == 0)
		r = file->grow(file->data, end);
	if (r == 0)
		r = vhdx_make_headers(file);
	if (r == 0)
		r = vhdx_make_regions(file, vhdx.bat_size);
	if (r == 0)
		r = vhdx_make_metadata(file, &vhdx, options->parent);
	if (r == 0 && options->fixed)
		r = vhdx_make_fixed(file, &vhdx);
	/* What has no name yet is no image. */
	if (r == 0)
		r = vhdx_make_identifier(file);
	if (r == 0)
		r = file->flush(file->data);
	file->size = end;
	return r;
}
