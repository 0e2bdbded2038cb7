/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* VHD images: made and read, by us and by others; what is damaged; the end put in order. */
#include "common/base/cleanup.h"
#include "common/image/image_parent.h"
#include "common/image/vhd.h"
#include "common/image/vhd_fill.h"
#include "common/image/vhd_internal.h"
#include "tests/unit/unit.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MIB  (UINT64_C(1) << 20)
#define DISK (40 * MIB)

struct fixture {
	char directory[64], path[80], parent[80];
	int fd;
	struct vhdx_file file;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	strcpy(f->directory, "/var/tmp/vmms-vhd-XXXXXX");
	assert_non_null(mkdtemp(f->directory));
	snprintf(f->path, sizeof(f->path), "%s/disk.vhd", f->directory);
	snprintf(f->parent, sizeof(f->parent), "%s/parent.vhd", f->directory);
	f->fd = open(f->path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	assert_true(f->fd >= 0);
	f->file = vhdx_file_of(&f->fd, 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	close(f->fd);
	unlink(f->path);
	unlink(f->parent);
	rmdir(f->directory);
	free(f);
	return 0;
}

static void measure(struct fixture *f)
{
	struct stat status;

	assert_int_equal(fstat(f->fd, &status), 0);
	f->file.size = (uint64_t)status.st_size;
}

static int look(struct fixture *f, struct vhd *vhd)
{
	measure(f);
	return vhd_open(&f->file, vhd);
}

static int repair(struct fixture *f, struct vhd *vhd)
{
	measure(f);
	return vhd_repair(&f->file, vhd);
}

static void make(struct fixture *f, uint64_t size, bool fixed)
{
	const struct vhd_options options = { .size = size,
					     .block_size = VHD_BLOCK,
					     .fixed = fixed };

	assert_int_equal(ftruncate(f->fd, 0), 0);
	assert_int_equal(vhd_make(&f->file, &options), 0);
}

static void put(struct fixture *f, uint64_t offset, const void *bytes, size_t size)
{
	assert_int_equal(pwrite(f->fd, bytes, size, (off_t)offset), size);
}

/* A block that is the first of the disk: its bitmap, its data. */
static uint64_t add_block(struct fixture *f, struct vhd *vhd)
{
	uint64_t start = vhd_block_place(vhd, vhd->end);
	uint32_t entry = htobe32((uint32_t)(start / VHD_SECTOR));
	uint8_t bitmap[512];

	memset(bitmap, 0xff, sizeof(bitmap));
	put(f, start, bitmap, sizeof(bitmap));
	put(f, vhd->bat_offset, &entry, sizeof(entry));
	vhd->end = start + vhd->bitmap_size + vhd->block_size;
	assert_int_equal(ftruncate(f->fd, (off_t)vhd->end), 0);
	return start + vhd->bitmap_size;
}

/* ---- Made and read ---- */

static void test_made_is_read(void **state)
{
	struct fixture *f = *state;
	struct vhd vhd;

	for (int fixed = 0; fixed < 2; fixed++) {
		make(f, DISK, fixed);
		assert_int_equal(look(f, &vhd), 0);
		assert_int_equal(vhd.type, fixed ? VHD_FIXED : VHD_DYNAMIC);
		assert_int_equal(vhd.size, DISK);
		assert_true(vhd.footer_is_whole);
		assert_int_equal(vhd.end + 512, f->file.size);
	}
	make(f, VHD_DISK_MAX, false);
	assert_int_equal(look(f, &vhd), 0);
	assert_int_equal(vhd.block_count, 1020 << 10);
	assert_int_equal(vhd.bitmap_size, 512);
}

static void test_parent(void **state)
{
	struct vhd_parent parent = { .id = { 1, 2, 3 },
				     .time = 77,
				     .name = "b\xc3\xa4se.vhd",
				     .relative = ".\\b\xc3\xa4se.vhd",
				     .absolute = "C:\\b\xc3\xa4se.vhd" };
	const struct vhd_options options = { .size = DISK,
					     .block_size = VHD_BLOCK,
					     .parent = &parent };
	struct fixture *f = *state;
	struct vhd vhd;

	assert_int_equal(vhd_make(&f->file, &options), 0);
	assert_int_equal(look(f, &vhd), 0);
	assert_int_equal(vhd.type, VHD_DIFFERENCING);
	assert_memory_equal(vhd.parent.id, parent.id, 16);
	assert_int_equal(vhd.parent.time, 77);
	assert_string_equal(vhd.parent.name, parent.name);
	assert_string_equal(vhd.parent.relative, parent.relative);
	assert_string_equal(vhd.parent.absolute, parent.absolute);
	/* Locators are in nobody's way. */
	assert_int_equal(vhd.data_end, vhd.end);
}

static void test_what_cannot_be_made(void **state)
{
	const struct vhd_parent parent = { .id = { 1 } };
	const struct vhd_options good = { .size = DISK, .block_size = VHD_BLOCK };
	struct vhd_options bad[6] = { good, good, good, good, good, good };
	struct fixture *f = *state;

	bad[0].size++;
	bad[1].size = VHD_DISK_MAX + 512;
	bad[2].block_size = 3 << 20;
	bad[3].block_size = 512 << 20;
	bad[4].size = 0;
	bad[5].parent = &parent;
	bad[5].fixed = true;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(vhd_make(&f->file, &bad[i]), -EINVAL);
}

/* By the rule of the specification's appendix. */
static void test_geometry(void **state)
{
	static const struct {
		uint64_t size;
		struct vhd_geometry geometry;
	} table[] = {
		{ 1 * MIB, { 30, 4, 17 } },
		{ 40 * MIB, { 963, 5, 17 } },
		{ 504 * MIB, { 1024, 16, 63 } },
		{ 1024 * MIB, { 2080, 16, 63 } },
		{ 127 * 1024 * MIB, { 65278, 16, 255 } },
		{ VHD_DISK_MAX, { 65535, 16, 255 } },
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		struct vhd_geometry geometry = vhd_geometry(table[i].size);

		assert_int_equal(geometry.cylinders, table[i].geometry.cylinders);
		assert_int_equal(geometry.heads, table[i].geometry.heads);
		assert_int_equal(geometry.sectors, table[i].geometry.sectors);
	}
	for (uint64_t size = MIB; size < 200 * 1024 * MIB; size = size * 5 / 4 / 512 * 512) {
		struct vhd_geometry g = vhd_geometry(size);

		assert_true((uint64_t)g.cylinders * g.heads * g.sectors * 512 <= size);
		assert_true(g.heads <= 16);
	}
}

/* ---- Damage ---- */

static void test_torn_footer(void **state)
{
	struct fixture *f = *state;
	uint8_t byte = 0xee;
	struct vhd vhd;

	make(f, DISK, false);
	assert_int_equal(look(f, &vhd), 0);
	put(f, vhd.end + 100, &byte, 1);
	assert_int_equal(look(f, &vhd), 0);
	assert_false(vhd.footer_is_whole);
	put(f, 100, &byte, 1);
	assert_int_equal(look(f, &vhd), VHD_E_FOOTER);
	put(f, 0, &byte, 1);
	assert_int_equal(look(f, &vhd), VHD_E_OTHER);
	make(f, DISK, true);
	assert_int_equal(look(f, &vhd), 0);
	put(f, vhd.end + 100, &byte, 1);
	assert_int_not_equal(look(f, &vhd), 0);
}

/* The last byte was left out once. */
static void test_old_footer(void **state)
{
	struct fixture *f = *state;
	struct vhd vhd;

	make(f, DISK, true);
	assert_int_equal(ftruncate(f->fd, DISK + 511), 0);
	assert_int_equal(look(f, &vhd), 0);
	assert_int_equal(vhd.size, DISK);
}

static void test_shortened(void **state)
{
	struct fixture *f = *state;
	struct vhd_footer footer;
	struct vhd vhd;

	make(f, DISK, true);
	assert_int_equal(pread(f->fd, &footer, 512, DISK), 512);
	assert_int_equal(ftruncate(f->fd, MIB), 0);
	put(f, MIB, &footer, 512);
	assert_int_equal(look(f, &vhd), VHD_E_TRUNCATED);
	/* A block is said to be where the file is not. */
	make(f, DISK, false);
	assert_int_equal(look(f, &vhd), 0);
	add_block(f, &vhd);
	assert_int_equal(ftruncate(f->fd, (off_t)vhd.end - 512), 0);
	assert_int_equal(repair(f, &vhd), VHD_E_TRUNCATED);
}

static void mend_header(struct fixture *f, struct vhd_header *header)
{
	header->checksum = vhd_checksum(header, sizeof(*header), &header->checksum);
	put(f, 512, header, sizeof(*header));
}

static void test_bad_header(void **state)
{
	struct fixture *f = *state;
	struct vhd_header good, bad;
	struct vhd vhd;

	make(f, DISK, false);
	assert_int_equal(pread(f->fd, &good, sizeof(good), 512), sizeof(good));
	bad = good;
	bad.entries = htobe32(19);
	mend_header(f, &bad);
	assert_int_equal(look(f, &vhd), VHD_E_HEADER);
	bad = good;
	bad.bat_offset = htobe64(1537);
	mend_header(f, &bad);
	assert_int_equal(look(f, &vhd), VHD_E_HEADER);
	bad = good;
	bad.bat_offset = htobe64(UINT64_C(1) << 62);
	mend_header(f, &bad);
	assert_int_equal(look(f, &vhd), VHD_E_TRUNCATED);
	bad = good;
	bad.block_size = htobe32(4096);
	mend_header(f, &bad);
	assert_int_equal(look(f, &vhd), VHD_E_UNSUPPORTED);
	bad = good;
	bad.block_size = htobe32(3 << 20);
	mend_header(f, &bad);
	assert_int_equal(look(f, &vhd), VHD_E_HEADER);
	put(f, 512, &good, sizeof(good));
	assert_int_equal(look(f, &vhd), 0);
	good.reserved = 1;
	put(f, 512, &good, sizeof(good));
	assert_int_equal(look(f, &vhd), VHD_E_HEADER);
}

/* ---- The end ---- */

/* As after a loss of power: the footer is gone, or far ahead, or its copy is torn. */
static void test_repair(void **state)
{
	struct fixture *f = *state;
	struct vhd_footer footer;
	uint8_t byte = 0xee;
	struct vhd vhd;
	uint64_t place;

	for (int i = 0; i < 3; i++) {
		make(f, DISK, false);
		assert_int_equal(look(f, &vhd), 0);
		footer = vhd.footer;
		place = add_block(f, &vhd);
		if (i == 1)
			put(f, vhd.end + 16 * MIB, &footer, sizeof(footer));
		if (i == 2) {
			put(f, vhd.end, &footer, sizeof(footer));
			put(f, 100, &byte, 1);
		}
		assert_int_equal(repair(f, &vhd), 0);
		assert_int_equal(vhd.end, place + VHD_BLOCK);
		assert_int_equal(look(f, &vhd), 0);
		assert_true(vhd.footer_is_whole);
		assert_int_equal(f->file.size, place + VHD_BLOCK + 512);
		assert_int_equal(pread(f->fd, &footer, 512, 0), 512);
		assert_memory_equal(&footer, &vhd.footer, 512);
	}
}

/* ---- Others ---- */

static bool has_program(const char *name)
{
	char command[128];

	snprintf(command, sizeof(command), "command -v %s >/dev/null", name);
	return system(command) == 0;
}

static void run(const char *before, const char *path, const char *after)
{
	char command[512];

	snprintf(command, sizeof(command), "%s %s %s", before, path, after);
	assert_int_equal(system(command), 0);
}

static void test_others_read_ours(void **state)
{
	struct fixture *f = *state;

	for (int fixed = 0; fixed < 2; fixed++) {
		make(f, DISK, fixed);
		if (has_program("qemu-img"))
			run("qemu-img info -f vpc", f->path, "| grep -q 41943040");
		if (has_program("vhdiinfo"))
			run("vhdiinfo", f->path, "| grep -q '40 MiB'");
	}
}

static void test_we_read_others(void **state)
{
	static const char *const kinds[] = { "dynamic", "fixed" };
	struct fixture *f = *state;
	char command[128];
	struct vhd vhd;

	if (!has_program("qemu-img"))
		skip();
	for (int i = 0; i < 2; i++) {
		snprintf(command, sizeof(command),
			 "qemu-img create -q -f vpc -o subformat=%s,force_size=on", kinds[i]);
		run(command, f->path, "5M");
		close(f->fd);
		f->fd = open(f->path, O_RDWR | O_CLOEXEC);
		assert_int_equal(look(f, &vhd), 0);
		assert_int_equal(vhd.size, 5 * MIB);
		assert_int_equal(vhd.type, i ? VHD_FIXED : VHD_DYNAMIC);
		assert_int_equal(repair(f, &vhd), 0);
	}
}

/* ---- Where parents are ---- */

static void test_places(void **state)
{
	static const struct {
		struct image_parent_names names;
		const char *places[IMAGE_PARENT_PLACES]; /* NULL: none */
	} table[] = {
		{ { ".\\a.vhdx", "", "C:\\x\\a.vhdx" },
		  { "/vms/./a.vhdx", NULL, NULL, "/vms/a.vhdx" } },
		{ { "..\\b\\a.vhdx", "", "" }, { "/vms/../b/a.vhdx", NULL, NULL, "/vms/a.vhdx" } },
		{ { "", "\\\\?\\Volume{1}\\b\\a.vhdx", "" }, { NULL, NULL, NULL, "/vms/a.vhdx" } },
		{ { "", "/v/a", "/srv/a" }, { NULL, "/v/a", "/srv/a", "/vms/a" } },
		{ { "C:a", "", "" }, { NULL, NULL, NULL, "/vms/a" } },
		{ { "\\a", "", "" }, { NULL, NULL, NULL, "/vms/a" } },
		{ { "", "", "" }, { NULL, NULL, NULL, NULL } },
		{ { "", "", "C:\\" }, { NULL, NULL, NULL, NULL } },
	};
	char path[PATH_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		for (unsigned j = 0; j < IMAGE_PARENT_PLACES; j++) {
			int r = image_parent_place("/vms/child", &table[i].names, j, path);

			assert_int_equal(r, table[i].places[j] ? 0 : -ENOENT);
			if (r == 0)
				assert_string_equal(path, table[i].places[j]);
		}
}

/* Blocks come in the order of the writes, the footer behind them; what nobody wrote is not there. */
static void test_fill(void **state)
{
	struct fixture *f = *state;
	const struct vhd_options options = { .size = DISK, .block_size = VHD_BLOCK };
	struct vhd_fill fill;
	struct vhd vhd;
	char bytes[8], found[8];
	uint64_t last;

	assert_int_equal(vhd_fill_begin(&fill, &f->file, &options), 0);
	memcpy(bytes, "straddle", 8);
	assert_int_equal(vhd_fill_write(&fill, DISK - 8, bytes, 8), 0);
	assert_int_equal(vhd_fill_write(&fill, VHD_BLOCK - 4, bytes, 8), 0);
	assert_int_equal(vhd_fill_write(&fill, DISK - 4, bytes, 8), -EINVAL);
	assert_int_equal(vhd_fill_end(&fill), 0);
	last = (uint64_t)be32toh(fill.places[DISK / VHD_BLOCK - 1]) * VHD_SECTOR;
	assert_int_not_equal(fill.places[1], VHD_UNUSED);
	assert_int_equal(fill.places[2], VHD_UNUSED);
	vhd_fill_deinit(&fill);

	assert_int_equal(repair(f, &vhd), 0);
	assert_true(vhd.footer_is_whole);
	assert_int_equal(vhd.end + sizeof(struct vhd_footer), f->file.size);
	assert_int_equal(pread(f->fd, found, 8, (off_t)(last + vhd.bitmap_size + VHD_BLOCK - 8)),
			 8);
	assert_memory_equal(found, "straddle", 8);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_made_is_read),
		TEST(test_parent),
		TEST(test_what_cannot_be_made),
		TEST(test_geometry),
		TEST(test_torn_footer),
		TEST(test_old_footer),
		TEST(test_shortened),
		TEST(test_bad_header),
		TEST(test_repair),
		TEST(test_fill),
		TEST(test_others_read_ours),
		TEST(test_we_read_others),
		cmocka_unit_test(test_places),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
