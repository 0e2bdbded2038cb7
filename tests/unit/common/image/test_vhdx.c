/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* VHDX images: made and read, by us and by others; what is damaged; the log. */
#include "common/base/cleanup.h"
#include "common/base/crc32c.h"
#include "common/image/vhdx.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DISK (UINT64_C(40) << 20)

struct fixture {
	char directory[64], path[80];
	int fd;
	struct vhdx_file file;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	strcpy(f->directory, "/var/tmp/vmms-vhdx-XXXXXX");
	assert_non_null(mkdtemp(f->directory));
	snprintf(f->path, sizeof(f->path), "%s/disk.vhdx", f->directory);
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
	rmdir(f->directory);
	free(f);
	return 0;
}

static void make(struct fixture *f, const struct vhdx_options *options)
{
	assert_int_equal(vhdx_make(&f->file, options), 0);
}

static void make_dynamic(struct fixture *f)
{
	const struct vhdx_options options = { .size = DISK,
					      .block_size = 1 << 20,
					      .sector_size = 512,
					      .physical_sector_size = 4096 };

	make(f, &options);
}

static int look(struct fixture *f, bool writable, struct vhdx *vhdx)
{
	struct vhdx_patches patches;
	struct stat status;
	int r;

	assert_int_equal(fstat(f->fd, &status), 0);
	f->file.size = (uint64_t)status.st_size;
	r = vhdx_open(&f->file, writable, vhdx, &patches);
	if (r == 0)
		vhdx_patches_deinit(&patches);
	return r;
}

static void put(struct fixture *f, uint64_t offset, const void *bytes, size_t size)
{
	assert_int_equal(pwrite(f->fd, bytes, size, (off_t)offset), size);
}

static void get(struct fixture *f, uint64_t offset, void *bytes, size_t size)
{
	assert_int_equal(pread(f->fd, bytes, size, (off_t)offset), size);
}

static void test_checksum(void **state)
{
	static const uint8_t zeros[32];

	/* RFC 3720, B.4. */
	assert_int_equal(crc32c(0, zeros, sizeof(zeros)), 0x8a9136aa);
	assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283);
	assert_int_equal(crc32c(crc32c(0, "1234", 4), "56789", 5), 0xe3069283);
}

static void test_made_is_read(void **state)
{
	static const uint32_t sectors[] = { 512, 4096 };
	static const uint32_t blocks[] = { 1 << 20, 32 << 20, 256 << 20 };

	for (unsigned i = 0; i < 12; i++) {
		struct fixture *f = *state;
		const struct vhdx_options options = { .size = DISK + 4096,
						      .block_size = blocks[i % 3],
						      .sector_size = sectors[i / 3 % 2],
						      .physical_sector_size = 4096,
						      .fixed = i / 6 };
		struct vhdx vhdx;
		uint64_t entry;

		make(f, &options);
		assert_int_equal(look(f, false, &vhdx), 0);
		assert_int_equal(vhdx.size, options.size);
		assert_int_equal(vhdx.block_size, options.block_size);
		assert_int_equal(vhdx.sector_size, options.sector_size);
		assert_int_equal(vhdx.fixed, options.fixed);
		assert_false(vhdx.has_parent);
		assert_int_equal(vhdx.block_count,
				 (options.size + options.block_size - 1) / options.block_size);
		get(f, vhdx.bat_offset + 8 * vhdx_bat_index(&vhdx, vhdx.block_count - 1), &entry,
		    8);
		assert_int_equal(entry & VHDX_STATE_MASK, options.fixed ? VHDX_FULLY : 0);
		assert_int_equal(ftruncate(f->fd, 0), 0);
	}
}

static void test_what_cannot_be_made(void **state)
{
	const struct vhdx_options good = {
		.size = DISK, .block_size = 1 << 20, .sector_size = 512, .physical_sector_size = 512
	};
	struct vhdx_options bad[6] = { good, good, good, good, good, good };
	struct fixture *f = *state;

	bad[0].size++;
	bad[1].size = VHDX_DISK_MAX + 512;
	bad[2].block_size = 3 << 20;
	bad[3].block_size = 512 << 20;
	bad[4].sector_size = 1024;
	bad[5].size = 0;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(vhdx_make(&f->file, &bad[i]), -EINVAL);
}

static void test_largest(void **state)
{
	const struct vhdx_options options = { .size = VHDX_DISK_MAX,
					      .block_size = 1 << 20,
					      .sector_size = 512,
					      .physical_sector_size = 512 };
	struct vhdx vhdx;

	make(*state, &options);
	assert_int_equal(look(*state, false, &vhdx), 0);
	assert_int_equal(vhdx.block_count, 64 << 20);
	assert_int_equal(vhdx.chunk_ratio, 4096);
	assert_int_equal(vhdx.bat_size,
			 ALIGN_UP((64u << 20) * 8u + (64u << 20) / 4096 * 8, 1u << 20));
}

static void test_parent(void **state)
{
	struct vhdx_parent parent = { .linkage = GUID(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11),
				      .relative = ".\\b\xc3\xa4se.vhdx",
				      .absolute = "C:\\base.vhdx" };
	const struct vhdx_options options = { .size = DISK,
					      .block_size = 2 << 20,
					      .sector_size = 512,
					      .physical_sector_size = 512,
					      .parent = &parent };
	struct vhdx vhdx;

	make(*state, &options);
	assert_int_equal(look(*state, false, &vhdx), 0);
	assert_true(vhdx.has_parent);
	assert_memory_equal(&vhdx.parent.linkage, &parent.linkage, 16);
	assert_string_equal(vhdx.parent.relative, parent.relative);
	assert_string_equal(vhdx.parent.absolute, parent.absolute);
	assert_string_equal(vhdx.parent.volume, "");
	/* A bitmap for each chunk, the last one too. */
	assert_int_equal(vhdx.bat_count, vhdx.chunk_ratio + 1);
}

/* A header that is not whole does not count; if none is, nothing is read. */
static void test_torn_header(void **state)
{
	struct fixture *f = *state;
	struct vhdx vhdx;
	uint8_t byte = 0xff;

	make_dynamic(f);
	assert_int_equal(look(f, false, &vhdx), 0);
	assert_int_equal(vhdx.header_index, 1);
	put(f, VHDX_HEADER_OFFSET(1) + 4000, &byte, 1);
	assert_int_equal(look(f, false, &vhdx), 0);
	assert_int_equal(vhdx.header_index, 0);
	put(f, VHDX_HEADER_OFFSET(0) + 4000, &byte, 1);
	assert_int_equal(look(f, false, &vhdx), VHDX_E_HEADER);
	put(f, 0, &byte, 1);
	assert_int_equal(look(f, false, &vhdx), VHDX_E_OTHER);
}

static void test_torn_regions(void **state)
{
	struct fixture *f = *state;
	struct vhdx vhdx;
	uint8_t byte = 0xff;

	make_dynamic(f);
	put(f, VHDX_REGIONS_OFFSET(0) + 4000, &byte, 1);
	assert_int_equal(look(f, false, &vhdx), 0);
	put(f, VHDX_REGIONS_OFFSET(1) + 4000, &byte, 1);
	assert_int_equal(look(f, false, &vhdx), VHDX_E_REGIONS);
	assert_int_equal(ftruncate(f->fd, 3 << 20), 0);
	assert_int_equal(look(f, false, &vhdx), VHDX_E_REGIONS);
}

/* ---- The log ---- */

#define TARGET (UINT64_C(3) << 20) /* a page of the table */

static const struct guid log_id = { { 1, 2, 3 } };

static void set_log(struct fixture *f)
{
	uint8_t page[VHDX_PAGE];
	struct vhdx vhdx;

	assert_int_equal(look(f, false, &vhdx), 0);
	vhdx.header.log = log_id;
	vhdx.header.sequence++;
	vhdx_header_make(page, &vhdx.header);
	put(f, VHDX_HEADER_OFFSET(!vhdx.header_index), page, sizeof(page));
}

/* An entry at a page of the log that fills the target with a byte. Around the end, in two. */
static void log_entry_of(struct fixture *f, uint32_t at, uint64_t sequence, uint32_t tail,
			 uint64_t flushed, uint64_t target, uint8_t byte)
{
	AUTO_FREE uint8_t *buffer = calloc(1, VHDX_ENTRY_SIZE);
	uint8_t bytes[VHDX_PAGE];
	const struct vhdx_log_page page = { .offset = target, .bytes = bytes };
	const struct vhdx_log_position position = {
		.sequence = sequence, .tail = tail * VHDX_PAGE, .flushed = flushed, .last = flushed
	};
	uint32_t length;

	memset(bytes, byte, sizeof(bytes));
	length = vhdx_entry_make(buffer, &log_id, &position, &page, 1);
	for (uint32_t i = 0; i < length / VHDX_PAGE; i++)
		put(f, VHDX_MIB + (at + i) % 256 * VHDX_PAGE, buffer + i * VHDX_PAGE, VHDX_PAGE);
}

static void log_entry(struct fixture *f, uint32_t at, uint64_t sequence, uint32_t tail,
		      uint64_t flushed, uint8_t byte)
{
	log_entry_of(f, at, sequence, tail, flushed, TARGET, byte);
}

static void check_replay(struct fixture *f, uint8_t byte)
{
	struct vhdx_patches patches;
	uint8_t page[VHDX_PAGE], before[VHDX_PAGE];
	struct vhdx vhdx;

	get(f, TARGET, before, sizeof(before));
	assert_int_equal(vhdx_open(&f->file, false, &vhdx, &patches), 0);
	memset(page, 0, sizeof(page));
	vhdx_patches_apply(&patches, TARGET, page, sizeof(page));
	assert_int_equal(page[0], byte);
	assert_int_equal(page[VHDX_PAGE - 1], byte);
	vhdx_patches_deinit(&patches);
	get(f, TARGET, page, sizeof(page));
	assert_memory_equal(page, before, sizeof(page));

	assert_int_equal(look(f, true, &vhdx), 0);
	assert_true(guid_is_null(&vhdx.header.log));
	get(f, TARGET, page, sizeof(page));
	assert_int_equal(page[0], byte);
	assert_int_equal(page[2000], byte);
	assert_int_equal(page[VHDX_PAGE - 1], byte);
	/* It is whole by itself now. */
	assert_int_equal(look(f, false, &vhdx), 0);
	assert_true(guid_is_null(&vhdx.header.log));
}

static void test_replay(void **state)
{
	struct fixture *f = *state;

	make_dynamic(f);
	set_log(f);
	log_entry(f, 0, 7, 0, f->file.size, 0x11);
	log_entry(f, 2, 8, 0, f->file.size, 0x22);
	/* Of before, and of another log. */
	log_entry(f, 10, 3, 10, f->file.size, 0x33);
	check_replay(f, 0x22);
}

static void test_replay_around_the_end(void **state)
{
	struct fixture *f = *state;

	make_dynamic(f);
	set_log(f);
	log_entry(f, 253, 7, 253, f->file.size, 0x11);
	log_entry(f, 255, 8, 253, f->file.size, 0x22);
	check_replay(f, 0x22);
}

/* The last entry was not written whole: it never was. */
static void test_torn_entry(void **state)
{
	struct fixture *f = *state;
	uint8_t byte = 0x77;

	make_dynamic(f);
	set_log(f);
	log_entry(f, 0, 7, 0, f->file.size, 0x11);
	log_entry(f, 2, 8, 0, f->file.size, 0x22);
	put(f, VHDX_MIB + 3 * VHDX_PAGE + 100, &byte, 1);
	check_replay(f, 0x11);
}

static void test_no_entry(void **state)
{
	struct fixture *f = *state;
	struct vhdx vhdx;

	make_dynamic(f);
	set_log(f);
	assert_int_equal(look(f, false, &vhdx), VHDX_E_LOG);
	/* Its tail is gone. */
	log_entry(f, 2, 8, 0, f->file.size, 0x22);
	assert_int_equal(look(f, true, &vhdx), VHDX_E_LOG);
}

/* What says that the file is a VHDX, and its headers, no log may change. */
static void test_log_of_the_head(void **state)
{
	static const uint64_t targets[] = { 0, VHDX_HEADER_OFFSET(0), VHDX_HEADER_OFFSET(1) };
	struct fixture *f = *state;
	struct vhdx vhdx;

	make_dynamic(f);
	set_log(f);
	for (size_t i = 0; i < ARRAY_SIZE(targets); i++) {
		log_entry_of(f, 0, 7, 0, f->file.size, targets[i], 0);
		assert_int_equal(look(f, true, &vhdx), VHDX_E_LOG);
	}
	log_entry(f, 0, 7, 0, f->file.size, 0x11);
	check_replay(f, 0x11);
}

static void test_shortened(void **state)
{
	struct fixture *f = *state;
	struct vhdx vhdx;

	make_dynamic(f);
	set_log(f);
	log_entry(f, 0, 7, 0, f->file.size + VHDX_MIB, 0x11);
	assert_int_equal(look(f, true, &vhdx), VHDX_E_TRUNCATED);
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
	char command[256];

	snprintf(command, sizeof(command), "%s %s %s", before, path, after);
	assert_int_equal(system(command), 0);
}

static void test_others_read_ours(void **state)
{
	struct fixture *f = *state;
	const struct vhdx_options fixed = { .size = DISK,
					    .block_size = 2 << 20,
					    .sector_size = 512,
					    .physical_sector_size = 512,
					    .fixed = true };

	for (int i = 0; i < 2; i++) {
		if (i)
			make(f, &fixed);
		else
			make_dynamic(f);
		if (has_program("qemu-img"))
			run("qemu-img check -q -f vhdx", f->path, "");
		if (has_program("vhdiinfo"))
			run("vhdiinfo", f->path, "| grep -q '40 MiB'");
		assert_int_equal(ftruncate(f->fd, 0), 0);
	}
}

static void test_we_read_others(void **state)
{
	struct fixture *f = *state;
	struct vhdx vhdx;

	if (!has_program("qemu-img"))
		skip();
	run("qemu-img create -q -f vhdx -o block_size=8M", f->path, "5G");
	assert_int_equal(look(f, false, &vhdx), 0);
	assert_int_equal(vhdx.size, UINT64_C(5) << 30);
	assert_int_equal(vhdx.block_size, 8 << 20);
	assert_false(vhdx.fixed);
	run("qemu-img create -q -f vhdx -o subformat=fixed", f->path, "8M");
	close(f->fd);
	f->fd = open(f->path, O_RDWR | O_CLOEXEC);
	assert_int_equal(look(f, true, &vhdx), 0);
	assert_int_equal(vhdx.size, 8 << 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_checksum),
		cmocka_unit_test_setup_teardown(test_made_is_read, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_cannot_be_made, setup, teardown),
		cmocka_unit_test_setup_teardown(test_largest, setup, teardown),
		cmocka_unit_test_setup_teardown(test_parent, setup, teardown),
		cmocka_unit_test_setup_teardown(test_torn_header, setup, teardown),
		cmocka_unit_test_setup_teardown(test_torn_regions, setup, teardown),
		cmocka_unit_test_setup_teardown(test_replay, setup, teardown),
		cmocka_unit_test_setup_teardown(test_replay_around_the_end, setup, teardown),
		cmocka_unit_test_setup_teardown(test_torn_entry, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_entry, setup, teardown),
		cmocka_unit_test_setup_teardown(test_log_of_the_head, setup, teardown),
		cmocka_unit_test_setup_teardown(test_shortened, setup, teardown),
		cmocka_unit_test_setup_teardown(test_others_read_ours, setup, teardown),
		cmocka_unit_test_setup_teardown(test_we_read_others, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
