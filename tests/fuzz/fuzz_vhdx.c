/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * VHDX images: one that is whole is changed here and there, and its checksums are mended, as a bad
 * one has them in order too. What is opened is in bounds, what was replayed stays as it is, and what is
 * changed can be opened again, by what it was or by what it has become.
 *
 * An input is a byte of flags, and changes: a byte for the part of the image, two for the offset in
 * it, one for how many bytes follow that go there.
 */
#include "common/base/crc32c.h"
#include "common/image/vhdx_change.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FILE_MAX  (16u << 20)
#define LOG       (1u << 20)
#define LOG_SIZE  (1u << 20)
#define ENTRIES   4u
#define PAGES_MAX (FILE_MAX / VHDX_PAGE)

enum {
	FLAG_WRITABLE = 1,
	FLAG_LOG = 2,
	FLAG_AS_IT_IS = 4,
	FLAG_PARENT = 8,
	FLAG_COMPACT = 16,
	FLAG_RESIZE = 32,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t *image, *base[2];
static uint64_t base_size[2];
static bool touched[PAGES_MAX];
static const struct guid log_id = { { 1, 2, 3 } };

static void touch(uint64_t offset, size_t size)
{
	for (uint64_t page = offset / VHDX_PAGE; page * VHDX_PAGE < offset + size; page++)
		touched[page] = true;
}

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
	touch(offset, size);
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

/* ---- Images that are whole ---- */

static void add_entry(unsigned index)
{
	static uint8_t buffer[VHDX_ENTRY_SIZE];
	uint8_t page[VHDX_PAGE];
	const struct vhdx_log_page pages[] = { { 3 * VHDX_MIB, page },
					       { 3 * VHDX_MIB + VHDX_PAGE, page } };
	const struct vhdx_log_position position = { .sequence = index + 1,
						    .flushed = 4 * VHDX_MIB,
						    .last = 5 * VHDX_MIB };
	uint32_t length;

	memset(page, 0x10 + (int)index, sizeof(page));
	length = vhdx_entry_make(buffer, &log_id, &position, pages, ARRAY_SIZE(pages));
	memcpy(image + LOG + index * 3 * VHDX_PAGE, buffer, length);
}

static void make_base(unsigned index)
{
	const struct vhdx_parent parent = { .linkage = { { 1 } },
					    .relative = ".\\parent.vhdx",
					    .absolute = "C:\\parent.vhdx" };
	const struct vhdx_options options = { .size = 64 << 20,
					      .block_size = 1 << 20,
					      .sector_size = 512,
					      .physical_sector_size = 4096,
					      .parent = index ? &parent : NULL };
	struct vhdx_file file = file_of(0);
	int r = vhdx_make(&file, &options);

	assert(r == 0);
	for (unsigned i = 0; i < ENTRIES; i++)
		add_entry(i);
	base_size[index] = file.size;
	base[index] = malloc(FILE_MAX);
	memcpy(base[index], image, FILE_MAX);
	memset(image, 0, FILE_MAX);
}

static void restore(const uint8_t *from)
{
	for (unsigned page = 0; page < PAGES_MAX; page++) {
		if (!touched[page])
			continue;
		memcpy(image + (size_t)page * VHDX_PAGE, from + (size_t)page * VHDX_PAGE,
		       VHDX_PAGE);
		touched[page] = false;
	}
}

/* ---- Changes ---- */

static const uint8_t *change(const uint8_t *data, const uint8_t *end)
{
	static const uint64_t parts[] = { VHDX_HEADER_OFFSET(0),
					  VHDX_HEADER_OFFSET(1),
					  VHDX_REGIONS_OFFSET(0),
					  VHDX_REGIONS_OFFSET(1),
					  2 * VHDX_MIB,
					  2 * VHDX_MIB + VHDX_ITEMS_SIZE,
					  LOG,
					  0 };
	uint64_t offset = parts[data[0] % ARRAY_SIZE(parts)] + data[1] + data[2] * 256u;
	size_t size = MIN((size_t)data[3], (size_t)(end - data - 4));

	image_write(NULL, offset, data + 4, size);
	return data + 4 + size;
}

static void mend(uint64_t offset, size_t size)
{
	uint32_t sum = 0;

	if (size < 8 || offset + size > FILE_MAX)
		return;
	image_write(NULL, offset + 4, &sum, sizeof(sum));
	sum = crc32c(0, image + offset, size);
	image_write(NULL, offset + 4, &sum, sizeof(sum));
}

static void mend_all(void)
{
	for (unsigned i = 0; i < 2; i++) {
		mend(VHDX_HEADER_OFFSET(i), VHDX_PAGE);
		mend(VHDX_REGIONS_OFFSET(i), VHDX_REGIONS_SIZE);
	}
	for (unsigned i = 0; i < ENTRIES; i++) {
		struct vhdx_entry entry;
		uint64_t offset = LOG + i * 3 * VHDX_PAGE;

		memcpy(&entry, image + offset, sizeof(entry));
		if (entry.length >= VHDX_PAGE && entry.length <= LOG_SIZE)
			mend(offset, entry.length);
	}
}

static void name_log(void)
{
	for (unsigned i = 0; i < 2; i++)
		image_write(NULL, VHDX_HEADER_OFFSET(i) + offsetof(struct vhdx_header, log),
			    &log_id, sizeof(log_id));
}

/* ---- What is opened ---- */

static void check(const struct vhdx *vhdx, const struct vhdx_patches *patches)
{
	assert(vhdx->size && vhdx->size <= VHDX_DISK_MAX && vhdx->size % vhdx->sector_size == 0);
	assert(vhdx->block_count * vhdx->block_size >= vhdx->size);
	assert(vhdx->bat_count * 8 <= vhdx->bat_size);
	assert(vhdx_bat_index(vhdx, vhdx->block_count - 1) < vhdx->bat_count);
	assert(!vhdx->has_parent ||
	       vhdx_bitmap_index(vhdx, vhdx->block_count - 1) < vhdx->bat_count);
	assert(vhdx->bat_offset + vhdx->bat_size <= patches->file_size);
	assert(!vhdx_may_use(vhdx, patches->file_size, vhdx->bat_offset, vhdx->block_size));
	assert(strlen(vhdx->parent.relative) < VHDX_PATH_MAX);
}

static bool goes_on(void *data, uint64_t done, uint64_t total)
{
	assert(done <= 4 * total);
	return true;
}

/* Nobody but us made the log that it goes by, so that what there is afterwards is in order. */
static void change_it(struct vhdx_file *file, struct vhdx *vhdx, unsigned flags)
{
	const struct vhdx_follower follower = { goes_on, NULL };
	struct vhdx_patches none;
	struct vhdx_check found;
	struct vhdx again;
	uint64_t size = vhdx->size;
	int r = 0;

	none = (struct vhdx_patches){ .file_size = file->size };
	(void)!vhdx_check(file, &none, vhdx, &found);
	if (flags & FLAG_COMPACT)
		r = vhdx_compact(file, vhdx, &follower);
	else if (flags & FLAG_RESIZE)
		r = vhdx_resize(file, vhdx, size / 2 + vhdx->block_size);
	if (r)
		return;
	assert(vhdx_open(file, false, &again, &none) == 0 && guid_is_null(&again.header.log));
	assert(again.size == vhdx->size && again.bat_offset == vhdx->bat_offset);
	vhdx_patches_deinit(&none);
}

static void open_it(uint64_t size, unsigned flags)
{
	bool writable = flags & FLAG_WRITABLE;
	struct vhdx_file file = file_of(size);
	struct vhdx_patches patches, none;
	struct vhdx vhdx, again;

	if (vhdx_open(&file, writable, &vhdx, &patches) != 0)
		return;
	check(&vhdx, &patches);
	if (writable) {
		int r = vhdx_open(&file, false, &again, &none);

		assert(r == 0 && none.count == 0 && guid_is_null(&again.header.log));
		assert(again.size == vhdx.size && again.bat_offset == vhdx.bat_offset);
		vhdx_patches_deinit(&none);
		change_it(&file, &vhdx, flags);
	}
	vhdx_patches_deinit(&patches);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *end = data + size;
	unsigned flags;

	if (size < 1)
		return 0;
	if (!image) {
		image = calloc(1, FILE_MAX);
		make_base(0);
		make_base(1);
		memcpy(image, base[0], FILE_MAX);
	}
	flags = *data++;
	/* The two differ there. */
	for (unsigned i = 0; i < 2; i++)
		touch(VHDX_HEADER_OFFSET(i), VHDX_PAGE);
	touch(2 * VHDX_MIB, 2 * VHDX_ITEMS_SIZE);
	restore(base[!!(flags & FLAG_PARENT)]);
	if (flags & FLAG_LOG)
		name_log();
	while (end - data >= 4)
		data = change(data, end);
	if (!(flags & FLAG_AS_IT_IS))
		mend_all();
	open_it(base_size[!!(flags & FLAG_PARENT)], flags);
	return 0;
}
