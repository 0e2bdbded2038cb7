/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Making VHD images, and putting their ends in order: the copy of the footer, the header, the table,
 * what names the parent; then blocks; and the footer.
 */
#include "common/base/cleanup.h"
#include "common/base/guid.h"
#include "common/base/utf16.h"
#include "common/image/vhd_internal.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define HEADER_OFFSET VHD_SECTOR
#define BAT_OFFSET    (HEADER_OFFSET + sizeof(struct vhd_header))
#define BAT_PART      16384u /* entries that are read or written at once */

/*
 * Readers take the size from the footer only of writers that they know, and else from the geometry,
 * which cuts off the end of most disks: so it has to be a name that all of them know.
 */
#define CREATOR         0x77696e20u /* "win " */
#define CREATOR_VERSION 0x000a0000u
#define CREATOR_OS      0x5769326bu /* "Wi2k" */

/* ---- The geometry ---- */

#define GEOMETRY_SECTORS_MAX (65535u * 16 * 255)
#define GEOMETRY_LARGE       (65535u * 16 * 63)

struct vhd_geometry vhd_geometry(uint64_t size)
{
	uint64_t total = MIN(size / VHD_SECTOR, (uint64_t)GEOMETRY_SECTORS_MAX);
	uint64_t sectors = 255, heads = 16, tracks = total / 255;

	if (total < GEOMETRY_LARGE) {
		sectors = 17;
		tracks = total / sectors;
		heads = MAX((tracks + 1023) / 1024, UINT64_C(4));
		if (tracks >= heads * 1024 || heads > 16) {
			sectors = 31;
			heads = 16;
			tracks = total / sectors;
		}
		if (tracks >= heads * 1024) {
			sectors = 63;
			tracks = total / sectors;
		}
	}
	return (struct vhd_geometry){ (uint16_t)(tracks / heads), (uint8_t)heads,
				      (uint8_t)sectors };
}

/* ---- The footer ---- */

static int vhd_make_footer(struct vhd_footer *footer, const struct vhd_options *options)
{
	enum vhd_type type = options->fixed    ? VHD_FIXED
			     : options->parent ? VHD_DIFFERENCING
					       : VHD_DYNAMIC;
	struct vhd_geometry geometry = vhd_geometry(options->size);
	struct guid id;
	int r = guid_generate(&id);

	*footer = (struct vhd_footer){
		.cookie = htobe64(VHD_FOOTER_COOKIE),
		.features = htobe32(VHD_FEATURES),
		.version = htobe32(VHD_VERSION),
		.data_offset = options->fixed ? VHD_NOWHERE : htobe64(HEADER_OFFSET),
		.time = htobe32((uint32_t)(time(NULL) - VHD_EPOCH)),
		.creator = htobe32(CREATOR),
		.creator_version = htobe32(CREATOR_VERSION),
		.creator_os = htobe32(CREATOR_OS),
		.original_size = htobe64(options->size),
		.current_size = htobe64(options->size),
		.cylinders = htobe16(geometry.cylinders),
		.heads = geometry.heads,
		.sectors = geometry.sectors,
		.type = htobe32(type),
	};
	memcpy(footer->id, &id, sizeof(footer->id));
	footer->checksum = vhd_checksum(footer, sizeof(*footer), &footer->checksum);
	return r;
}

/* ---- The parent ---- */

/* Appends what a locator names, in whole sectors. */
static int vhd_add_locator(struct vhdx_file *file, struct vhd_header *header, unsigned index,
			   uint32_t code, const char *text, uint64_t *end)
{
	uint8_t bytes[2 * VHDX_PATH_MAX] = { 0 };
	size_t size = utf16_from_utf8(bytes, sizeof(bytes), text);
	uint32_t space;

	if (size < 4)
		return -EINVAL;
	size -= 2;
	space = ALIGN_UP((uint32_t)size, VHD_SECTOR);
	header->locators[index] = (struct vhd_locator){ .code = htobe32(code),
							.space = htobe32(space),
							.length = htobe32((uint32_t)size),
							.offset = htobe64(*end) };
	*end += space;
	return file->write(file->data, *end - space, bytes, space);
}

static int vhd_make_parent(struct vhdx_file *file, struct vhd_header *header,
			   const struct vhd_parent *parent, uint64_t *end)
{
	uint8_t name[2 * VHDX_PATH_MAX];
	size_t size = utf16_from_utf8(name, sizeof(name), parent->name);
	unsigned count = 0;
	int r = 0;

	if (size < 2 || size - 2 > sizeof(header->parent_name))
		return -EINVAL;
	for (size_t i = 0; i + 2 < size; i += 2)
		header->parent_name[i / 2] = (uint16_t)(name[i] << 8 | name[i + 1]);
	memcpy(header->parent_id, parent->id, sizeof(header->parent_id));
	header->parent_time = htobe32(parent->time);
	if (parent->relative[0])
		r = vhd_add_locator(file, header, count++, VHD_LOCATOR_RELATIVE, parent->relative,
				    end);
	if (r == 0 && parent->absolute[0])
		r = vhd_add_locator(file, header, count++, VHD_LOCATOR_ABSOLUTE, parent->absolute,
				    end);
	return r;
}

/* ---- Header and table ---- */

static int vhd_make_bat(struct vhdx_file *file, uint64_t size)
{
	AUTO_FREE uint8_t *part = malloc(BAT_PART * 4);
	int r = 0;

	if (!part)
		return -ENOMEM;
	memset(part, 0xff, BAT_PART * 4);
	for (uint64_t done = 0; r == 0 && done < size; done += BAT_PART * 4)
		r = file->write(file->data, BAT_OFFSET + done, part,
				MIN(size - done, (uint64_t)BAT_PART * 4));
	return r;
}

/* *ret_end: where the footer goes. */
static int vhd_make_blocks(struct vhdx_file *file, const struct vhd_options *options,
			   uint64_t *ret_end)
{
	uint32_t count =
		(uint32_t)((options->size + options->block_size - 1) / options->block_size);
	uint64_t bat_size = ALIGN_UP((uint64_t)count * 4, (uint64_t)VHD_SECTOR);
	struct vhd_header header = { .cookie = htobe64(VHD_HEADER_COOKIE),
				     .data_offset = VHD_NOWHERE,
				     .bat_offset = htobe64(BAT_OFFSET),
				     .version = htobe32(VHD_VERSION),
				     .entries = htobe32(count),
				     .block_size = htobe32(options->block_size) };
	int r;

	*ret_end = BAT_OFFSET + bat_size;
	r = vhd_make_bat(file, bat_size);
	if (r == 0 && options->parent)
		r = vhd_make_parent(file, &header, options->parent, ret_end);
	header.checksum = vhd_checksum(&header, sizeof(header), &header.checksum);
	return r ? r : file->write(file->data, HEADER_OFFSET, &header, sizeof(header));
}

static bool vhd_options_are_valid(const struct vhd_options *options)
{
	uint32_t block = options->block_size;

	return options->size && options->size <= VHD_DISK_MAX && options->size % VHD_SECTOR == 0 &&
	       (options->fixed ||
		(block >= VHD_BLOCK_MIN && block <= VHD_BLOCK_MAX && !(block & (block - 1)))) &&
	       !(options->fixed && options->parent);
}

int vhd_make(struct vhdx_file *file, const struct vhd_options *options)
{
	struct vhd_footer footer;
	uint64_t end = options->size;
	int r;

	if (!vhd_options_are_valid(options))
		return -EINVAL;
	r = vhd_make_footer(&footer, options);
	if (r == 0 && !options->fixed)
		r = vhd_make_blocks(file, options, &end);
	if (r == 0 && options->fixed)
		r = file->grow(file->data, end);
	if (r == 0)
		r = file->write(file->data, end, &footer, sizeof(footer));
	/* What does not begin with it is no image yet. */
	if (r == 0 && !options->fixed)
		r = file->write(file->data, 0, &footer, sizeof(footer));
	if (r == 0)
		r = file->flush(file->data);
	file->size = end + sizeof(footer);
	return r;
}

/* ---- The end of an image ---- */

static int vhd_find_end(const struct vhdx_file *file, const struct vhd *vhd, uint64_t *ret_end)
{
	AUTO_FREE uint32_t *part = malloc(BAT_PART * sizeof(*part));
	uint64_t stride = (uint64_t)vhd->bitmap_size + vhd->block_size;
	int r = 0;

	if (!part)
		return -ENOMEM;
	*ret_end = vhd->data_end;
	for (uint32_t first = 0; r == 0 && first < vhd->block_count; first += BAT_PART) {
		uint32_t count = MIN(vhd->block_count - first, BAT_PART);

		r = file->read(file->data, vhd->bat_offset + (uint64_t)first * 4, part,
			       (size_t)count * 4);
		for (uint32_t i = 0; r == 0 && i < count; i++)
			if (part[i] != VHD_UNUSED)
				*ret_end = MAX(*ret_end,
					       (uint64_t)be32toh(part[i]) * VHD_SECTOR + stride);
	}
	return r == 0 && *ret_end > file->size ? VHD_E_TRUNCATED : r;
}

static int vhd_move_footer(struct vhdx_file *file, struct vhd *vhd, uint64_t end)
{
	int r = file->write(file->data, end, &vhd->footer, sizeof(vhd->footer));

	if (r == 0)
		r = file->flush(file->data);
	if (r == 0)
		r = file->grow(file->data, end + sizeof(vhd->footer));
	if (r == 0)
		r = file->flush(file->data);
	if (r)
		return r;
	file->size = end + sizeof(vhd->footer);
	vhd->end = end;
	vhd->footer_is_whole = true;
	return 0;
}

int vhd_repair(struct vhdx_file *file, struct vhd *ret_vhd)
{
	struct vhd_footer copy;
	uint64_t end;
	int r;

	r = vhd_open(file, ret_vhd);
	if (r || ret_vhd->type == VHD_FIXED)
		return r;
	r = file->read(file->data, 0, &copy, sizeof(copy));
	/* While the footer moves, it is all there is. */
	if (r == 0 && memcmp(&copy, &ret_vhd->footer, sizeof(copy)) != 0) {
		r = file->write(file->data, 0, &ret_vhd->footer, sizeof(copy));
		if (r == 0)
			r = file->flush(file->data);
	}
	if (r == 0)
		r = vhd_find_end(file, ret_vhd, &end);
	if (r == 0 &&
	    (!ret_vhd->footer_is_whole || ret_vhd->end != end || file->size != end + sizeof(copy)))
		r = vhd_move_footer(file, ret_vhd, end);
	return r;
}
