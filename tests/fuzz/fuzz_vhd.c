/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * VHD images: one that is whole is changed here and there, and its checksums are mended, as a bad one
 * has them in order too. What is opened is in bounds, and what was put in order stays so.
 *
 * An input is a byte of flags, and changes: a byte for the part of the image, two for the offset in
 * it, one for how many bytes follow that go there.
 */
#include "common/image/vhd.h"
#include "common/image/vhd_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FILE_MAX (4u << 20)
#define BLOCK    (512u << 10)
#define KINDS    3u
#define PAGE     4096u

enum { FLAG_REPAIR = 1, FLAG_AS_IT_IS = 2, FLAG_NO_FOOTER = 4, FLAG_OLD_FOOTER = 8 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t *image, *images[KINDS], *base[KINDS];
static uint64_t base_size[KINDS];
static bool touched[FILE_MAX / PAGE]; /* of the image, since it was as its base */

static int image_read(void *data, uint64_t offset, void *buffer, size_t size)
{
	assert(offset <= FILE_MAX && size <= FILE_MAX - offset);
	memcpy(buffer, image + offset, size);
	return 0;
}

static int image_write(void *data, uint64_t offset, const void *buffer, size_t size)
{
	if (offset > FILE_MAX || size > FILE_MAX - offset)
		return -ENOSPC;
	for (uint64_t page = offset / PAGE; page * PAGE < offset + size; page++)
		touched[page] = true;
	memcpy(image + offset, buffer, size);
	return 0;
}

static int image_flush(void *data)
{
	return 0;
}

static int image_grow(void *data, uint64_t size)
{
	return size <= FILE_MAX ? 0 : -ENOSPC;
}

static struct vhdx_file file_of(uint64_t size)
{
	return (struct vhdx_file){ image_read, image_write, image_flush, image_grow, NULL, size };
}

/* Dynamic, with a parent, of fixed size. */
static void make_base(unsigned kind)
{
	const struct vhd_parent parent = { .id = { 1 },
					   .name = "parent.vhd",
					   .relative = ".\\parent.vhd",
					   .absolute = "C:\\parent.vhd" };
	const struct vhd_options options = { .size = 2 << 20,
					     .block_size = BLOCK,
					     .fixed = kind == 2,
					     .parent = kind == 1 ? &parent : NULL };
	struct vhdx_file file = file_of(0);
	int r = vhd_make(&file, &options);

	assert(r == 0);
	base_size[kind] = file.size;
	base[kind] = malloc(FILE_MAX);
	memcpy(base[kind], image, FILE_MAX);
	memset(touched, 0, sizeof(touched));
}

static void restore(unsigned kind)
{
	for (size_t page = 0; page < ARRAY_SIZE(touched); page++) {
		if (touched[page])
			memcpy(image + page * PAGE, base[kind] + page * PAGE, PAGE);
		touched[page] = false;
	}
}

/* ---- Changes ---- */

static const uint8_t *change(const uint8_t *data, const uint8_t *end, uint64_t last)
{
	const uint64_t parts[] = { 0, 512, 1024, 1536, 2048, last };
	uint64_t offset = parts[data[0] % ARRAY_SIZE(parts)] + data[1] + data[2] * 256u;
	size_t size = MIN((size_t)data[3], (size_t)(end - data - 4));

	image_write(NULL, offset, data + 4, size);
	return data + 4 + size;
}

static void mend_footer(uint64_t offset)
{
	struct vhd_footer footer;

	memcpy(&footer, image + offset, sizeof(footer));
	footer.checksum = vhd_checksum(&footer, sizeof(footer), &footer.checksum);
	image_write(NULL, offset, &footer, sizeof(footer));
}

static void mend_header(void)
{
	struct vhd_header header;

	memcpy(&header, image + 512, sizeof(header));
	header.checksum = vhd_checksum(&header, sizeof(header), &header.checksum);
	image_write(NULL, 512, &header, sizeof(header));
}

/* ---- What is opened ---- */

static void check(const struct vhd *vhd, uint64_t file_size)
{
	assert(vhd->size && vhd->size <= VHD_DISK_MAX && vhd->size % VHD_SECTOR == 0);
	assert(vhd->type >= VHD_FIXED && vhd->type <= VHD_DIFFERENCING);
	assert(vhd->end % VHD_SECTOR == 0);
	if (vhd->type == VHD_FIXED) {
		assert(vhd->size <= vhd->end);
		return;
	}
	assert((uint64_t)vhd->block_count * vhd->block_size >= vhd->size);
	assert(vhd->bat_offset + (uint64_t)vhd->block_count * 4 <= file_size);
	assert(vhd->data_end >= vhd->bat_offset + (uint64_t)vhd->block_count * 4);
	assert(strlen(vhd->parent.name) < VHDX_PATH_MAX);
}

static void open_it(uint64_t size, bool repair)
{
	struct vhdx_file file = file_of(size);
	struct vhd vhd, again;
	int r;

	if (repair ? vhd_repair(&file, &vhd) : vhd_open(&file, &vhd))
		return;
	check(&vhd, file.size);
	if (!repair || vhd.type == VHD_FIXED)
		return;
	r = vhd_repair(&file, &again);
	assert(r == 0 && again.footer_is_whole && again.end == vhd.end);
	assert(file.size == again.end + sizeof(again.footer));
	assert(memcmp(image, &again.footer, sizeof(again.footer)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *end = data + size;
	unsigned flags, kind;
	uint64_t length;

	if (size < 1)
		return 0;
	for (unsigned i = 0; !images[KINDS - 1] && i < KINDS; i++) {
		image = images[i] = calloc(1, FILE_MAX);
		make_base(i);
	}
	flags = *data++;
	kind = (flags >> 4) % KINDS;
	image = images[kind];
	length = base_size[kind];
	while (end - data >= 4)
		data = change(data, end, length - 512);
	if (!(flags & FLAG_AS_IT_IS)) {
		mend_footer(length - 512);
		if (kind != 2) {
			mend_footer(0);
			mend_header();
		}
	}
	if (flags & FLAG_OLD_FOOTER)
		length--;
	if (flags & FLAG_NO_FOOTER)
		length -= 512;
	open_it(length, flags & FLAG_REPAIR);
	restore(kind);
	return 0;
}
