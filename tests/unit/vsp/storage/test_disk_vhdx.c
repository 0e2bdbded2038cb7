/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Disks in VHDX images: data, space, faults below, and what others read of it. */
#include "common/base/cleanup.h"
#include "common/image/image.h"
#include "common/image/vhdx.h"
#include "tests/fake/disk_fault.h"
#include "tests/unit/unit.h"
#include "vsp/storage/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MIB      (1u << 20)
#define SIZE     (24u * MIB)
#define BUFFER   (5u * MIB)
#define PARALLEL 8

struct request {
	struct disk_request request;
	struct iovec iov[4];
	bool completed;
	int result;
};

struct fixture {
	char directory[64], path[80], raw[80];
	struct loop *loop;
	struct buffer_pool *buffers;
	struct disk *disk;
	struct disk *fault; /* below, if there is one */
	bool retired;
	uint8_t *model, *data;
	uint64_t random;
	struct request requests[PARALLEL];
};

static uint64_t any(struct fixture *f, uint64_t below)
{
	f->random = f->random * UINT64_C(6364136223846793005) + 1442695040888963407;
	return (f->random >> 33) % below;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->random = 1;
	strcpy(f->directory, "/var/tmp/vmms-vhdx-XXXXXX");
	assert_non_null(mkdtemp(f->directory));
	snprintf(f->path, sizeof(f->path), "%s/disk.vhdx", f->directory);
	snprintf(f->raw, sizeof(f->raw), "%s/disk.raw", f->directory);
	assert_int_equal(loop_new(256, &f->loop), 0);
	assert_int_equal(buffer_pool_new(2, &f->buffers), 0);
	f->model = calloc(1, SIZE);
	f->data = aligned_alloc(4096, BUFFER + 4096);
	*state = f;
	return 0;
}

static void set_retired(void *data)
{
	((struct fixture *)data)->retired = true;
}

static void close_disk(struct fixture *f)
{
	f->retired = false;
	disk_retire(f->disk, set_retired, f);
	for (int i = 0; i < 100000 && !f->retired; i++)
		assert_int_equal(loop_run_once(f->loop, 1000000), 0);
	assert_true(f->retired);
	f->disk = NULL;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	if (f->disk)
		close_disk(f);
	buffer_pool_free(f->buffers);
	loop_free(f->loop);
	unlink(f->path);
	unlink(f->raw);
	rmdir(f->directory);
	free(f->model);
	free(f->data);
	free(f);
	return 0;
}

static void make(struct fixture *f, uint32_t block, uint32_t sector, bool fixed)
{
	const struct vhdx_options options = { .size = SIZE,
					      .block_size = block,
					      .sector_size = sector,
					      .physical_sector_size = 4096,
					      .fixed = fixed };
	AUTO_CLOSE int fd = open(f->path, O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0600);
	struct vhdx_file file = vhdx_file_of(&fd, 0);

	assert_true(fd >= 0);
	assert_int_equal(vhdx_make(&file, &options), 0);
}

static int try_open(struct fixture *f, bool direct, bool drop_flushes)
{
	const struct image_options options = { .direct = direct,
					       .read_only = false,
					       .sector_size = 512 };
	struct image image;

	uint64_t most;
	int r;

	assert_int_equal(image_open(f->path, &options, &image), 0);
	r = vhdx_recover(image.fd, true, &most);
	if (r) {
		close(image.fd);
		return r;
	}
	return disk_vhdx_open(f->loop, &image, NULL, drop_flushes, &f->disk);
}

static void open_disk(struct fixture *f, bool direct)
{
	assert_int_equal(try_open(f, direct, true), 0);
	assert_int_equal(f->disk->size, SIZE);
}

/* With a layer between, whose requests can be made to fail. */
static void open_faulty(struct fixture *f)
{
	const struct image_options options = { .sector_size = 512 };
	struct vhdx_patches patches;
	struct image image;
	struct vhdx_file file;
	struct disk *below;
	struct vhdx vhdx;

	assert_int_equal(image_open(f->path, &options, &image), 0);
	file = vhdx_file_of(&image.fd, image.size);
	assert_int_equal(vhdx_open(&file, true, &vhdx, &patches), 0);
	image.size = UINT64_C(1) << 40;
	assert_int_equal(disk_file_new(f->loop, &image, 512, &below), 0);
	f->fault = disk_fault_new(f->loop, below);
	assert_int_equal(
		disk_vhdx_new(f->loop, f->fault, NULL, &vhdx, &patches, file.size, &f->disk), 0);
}

static void complete(struct disk_request *request, int result)
{
	struct request *r = container_of(request, struct request, request);

	assert_false(r->completed);
	r->completed = true;
	r->result = result;
}

static void start(struct fixture *f, struct request *r, enum disk_operation operation,
		  uint64_t offset, uint64_t size, uint8_t *bytes)
{
	uint64_t cut = bytes && size > 512 ? ALIGN_DOWN(any(f, size), (uint64_t)512) : 0;

	*r = (struct request){ .iov = { { bytes, cut } } };
	if (bytes)
		r->iov[1] = (struct iovec){ bytes + cut, size - cut };
	r->request = (struct disk_request){ .operation = operation,
					    .offset = offset,
					    .size = size,
					    .unmap = any(f, 2),
					    .durable = operation == DISK_WRITE && any(f, 4) == 0,
					    .iov = r->iov + !cut,
					    .iov_count = cut ? 2 : 1,
					    .buffers = f->buffers,
					    .complete = complete };
	disk_submit(f->disk, &r->request);
	assert_false(r->completed);
}

static int finish(struct fixture *f, struct request *r)
{
	for (int i = 0; i < 100000 && !r->completed; i++)
		assert_int_equal(loop_run_once(f->loop, 1000000), 0);
	assert_true(r->completed);
	return r->result;
}

static int run(struct fixture *f, enum disk_operation operation, uint64_t offset, uint64_t size,
	       uint8_t *bytes)
{
	start(f, &f->requests[0], operation, offset, size, bytes);
	return finish(f, &f->requests[0]);
}

static void check_all(struct fixture *f)
{
	for (uint64_t offset = 0; offset < SIZE; offset += 4 * MIB) {
		memset(f->data, 0xee, 4 * MIB);
		assert_int_equal(run(f, DISK_READ, offset, 4 * MIB, f->data), 0);
		assert_memory_equal(f->data, f->model + offset, 4 * MIB);
	}
}

static void write_random(struct fixture *f, uint64_t offset, uint64_t size, uint8_t *bytes)
{
	for (uint64_t i = 0; i < size; i += 8) {
		uint64_t word = any(f, UINT32_MAX);

		memcpy(bytes + i, &word, 8);
	}
	memcpy(f->model + offset, bytes, size);
	assert_int_equal(run(f, DISK_WRITE, offset, size, bytes), 0);
}

static void do_something(struct fixture *f, uint32_t sector)
{
	uint64_t offset = any(f, SIZE / sector) * sector;
	uint64_t longest = MIN(SIZE - offset, any(f, 8) ? 65536u : BUFFER);
	uint64_t size = (any(f, longest / sector) + 1) * sector;

	size = MIN(size, longest);
	switch (any(f, 8)) {
	case 0:
		assert_int_equal(run(f, DISK_ZERO, offset, size, NULL), 0);
		memset(f->model + offset, 0, size);
		break;
	case 1:
		/* Of fixed images it is not asked for. */
		if (!f->disk->unmap_zeroes)
			break;
		assert_int_equal(run(f, DISK_UNMAP, offset, size, NULL), 0);
		memset(f->model + offset, 0, size);
		break;
	case 2:
		assert_int_equal(run(f, DISK_FLUSH, 0, 0, NULL), 0);
		break;
	case 3:
		assert_int_equal(run(f, DISK_READ, offset, size, f->data), 0);
		assert_memory_equal(f->data, f->model + offset, size);
		break;
	default:
		/* Not aligned for direct I/O, at times. */
		write_random(f, offset, size, f->data + any(f, 2) * 512);
		break;
	}
}

static bool has_program(const char *name)
{
	char command[128];

	snprintf(command, sizeof(command), "command -v %s >/dev/null", name);
	return system(command) == 0;
}

/* Others find the same, and no damage. */
static void check_others(struct fixture *f)
{
	AUTO_CLOSE int fd = -1;
	AUTO_FREE uint8_t *bytes = malloc(SIZE);
	char command[512];

	if (!has_program("qemu-img"))
		return;
	snprintf(command, sizeof(command),
		 "qemu-img check -q -f vhdx %s && qemu-img convert -f vhdx -O raw %s %s", f->path,
		 f->path, f->raw);
	assert_int_equal(system(command), 0);
	fd = open(f->raw, O_RDONLY | O_CLOEXEC);
	assert_int_equal(pread(fd, bytes, SIZE, 0), SIZE);
	assert_memory_equal(bytes, f->model, SIZE);
	snprintf(command, sizeof(command), "vhdiinfo %s >/dev/null", f->path);
	if (has_program("vhdiinfo"))
		assert_int_equal(system(command), 0);
}

static void check_data(struct fixture *f, uint32_t block, uint32_t sector, bool fixed, bool direct)
{
	make(f, block, sector, fixed);
	memset(f->model, 0, SIZE);
	for (int i = 0; i < 3; i++) {
		open_disk(f, direct);
		assert_int_equal(f->disk->sector_size, sector);
		for (int j = 0; j < 60; j++)
			do_something(f, sector);
		check_all(f);
		close_disk(f);
	}
	open_disk(f, direct);
	check_all(f);
	close_disk(f);
	/* QEMU refuses sectors of 4096 bytes. */
	if (sector == 512)
		check_others(f);
}

static void test_dynamic(void **state)
{
	check_data(*state, MIB, 512, false, false);
}

static void test_dynamic_direct(void **state)
{
	check_data(*state, 2 * MIB, 512, false, true);
}

static void test_large_blocks(void **state)
{
	check_data(*state, 32 * MIB, 512, false, false);
}

static void test_large_sectors(void **state)
{
	check_data(*state, MIB, 4096, false, true);
}

static void test_fixed(void **state)
{
	check_data(*state, 8 * MIB, 512, true, false);
}

/* Writes to blocks that are not there yet, all at once. */
static void test_parallel_allocation(void **state)
{
	struct fixture *f = *state;

	make(f, MIB, 512, false);
	open_disk(f, false);
	memset(f->data, 0x5a, 4096 * PARALLEL);
	for (unsigned i = 0; i < PARALLEL; i++) {
		/* Two and two to the same block. */
		uint64_t offset = (uint64_t)(i / 2) * MIB + i * 4096;

		memset(f->model + offset, 0x5a, 4096);
		start(f, &f->requests[i], DISK_WRITE, offset, 4096, f->data + i * 4096);
	}
	for (unsigned i = 0; i < PARALLEL; i++)
		assert_int_equal(finish(f, &f->requests[i]), 0);
	check_all(f);
	close_disk(f);
	open_disk(f, false);
	check_all(f);
}

/* Reads end whatever else waits for the disk below. */
static void test_read_beside_allocation(void **state)
{
	struct fixture *f = *state;

	make(f, MIB, 512, false);
	open_faulty(f);
	assert_int_equal(run(f, DISK_READ, 5 * MIB, 4096, f->data), 0);
	disk_fault_hold(f->fault);
	start(f, &f->requests[1], DISK_WRITE, 0, 4096, f->data + 8192);
	assert_int_equal(run(f, DISK_READ, 5 * MIB, 4096, f->data), 0);
	assert_false(f->requests[1].completed);
	disk_fault_release(f->fault);
	assert_int_equal(finish(f, &f->requests[1]), 0);
}

static uint64_t space(struct fixture *f)
{
	struct stat status;

	assert_int_equal(stat(f->path, &status), 0);
	return (uint64_t)status.st_blocks * 512;
}

/* Trimmed blocks go back to the file system, and the table says so. */
static void test_unmap(void **state)
{
	struct fixture *f = *state;
	struct vhdx_patches patches;
	struct vhdx_file file;
	AUTO_CLOSE int fd = -1;
	struct stat status;
	struct vhdx vhdx;
	uint64_t before, entry;

	make(f, MIB, 512, false);
	open_disk(f, false);
	if (!f->disk->unmap)
		skip();
	write_random(f, 0, 4 * MIB, f->data);
	assert_int_equal(run(f, DISK_FLUSH, 0, 0, NULL), 0);
	before = space(f);
	assert_int_equal(run(f, DISK_UNMAP, MIB, 2 * MIB, NULL), 0);
	memset(f->model + MIB, 0, 2 * MIB);
	check_all(f);
	assert_int_equal(run(f, DISK_FLUSH, 0, 0, NULL), 0);
	assert_true(space(f) <= before - 2 * MIB + 65536);
	close_disk(f);

	fd = open(f->path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(fstat(fd, &status), 0);
	file = vhdx_file_of(&fd, (uint64_t)status.st_size);
	assert_int_equal(vhdx_open(&file, false, &vhdx, &patches), 0);
	assert_true(guid_is_null(&vhdx.header.log));
	assert_int_equal(pread(fd, &entry, 8, (off_t)vhdx.bat_offset + 8), 8);
	assert_int_equal(entry & VHDX_STATE_MASK, VHDX_UNMAPPED);
}

/* A whole disk is trimmed while nothing is there. */
static void test_unmap_of_nothing(void **state)
{
	struct fixture *f = *state;

	make(f, MIB, 512, false);
	open_disk(f, false);
	assert_int_equal(run(f, DISK_UNMAP, 0, SIZE, NULL), 0);
	assert_int_equal(run(f, DISK_ZERO, 0, SIZE, NULL), 0);
	check_all(f);
}

/* What fails below is told, and can be made again. */
static void test_faults(void **state)
{
	static const enum disk_operation kinds[] = { DISK_WRITE, DISK_FLUSH };
	struct fixture *f = *state;

	make(f, MIB, 512, false);
	open_faulty(f);
	for (unsigned i = 0; i < 24; i++) {
		memset(f->data, (int)i + 1, 4096);
		disk_fault_fail(f->fault, kinds[i % 2], -ENOSPC, i % 5 + 1);
		for (int tries = 0; run(f, DISK_WRITE, (uint64_t)i * MIB, 4096, f->data); tries++)
			assert_true(tries < 10);
		memset(f->model + (uint64_t)i * MIB, (int)i + 1, 4096);
		for (int tries = 0; run(f, DISK_FLUSH, 0, 0, NULL); tries++)
			assert_true(tries < 10);
		disk_fault_fail(f->fault, kinds[i % 2], 0, 0);
	}
	check_all(f);
	close_disk(f);
	open_disk(f, false);
	check_all(f);
}

static void test_read_error(void **state)
{
	struct fixture *f = *state;

	make(f, MIB, 512, false);
	open_faulty(f);
	disk_fault_fail(f->fault, DISK_READ, -EIO, 1);
	assert_int_equal(run(f, DISK_READ, 0, 4096, f->data), -EIO);
	assert_int_equal(run(f, DISK_READ, 0, 4096, f->data), 0);
}

/* Without a change, nothing is written. */
static void test_reading_changes_nothing(void **state)
{
	struct fixture *f = *state;

	make(f, MIB, 512, false);
	open_faulty(f);
	check_all(f);
	assert_int_equal(run(f, DISK_FLUSH, 0, 0, NULL), 0);
	assert_int_equal(disk_fault_seen(f->fault, DISK_WRITE)->count, 0);
	close_disk(f);
}

/* A writable image of QEMU's. */
static void test_we_read_others(void **state)
{
	struct fixture *f = *state;
	char command[512];
	AUTO_CLOSE int fd = -1;

	if (!has_program("qemu-img"))
		skip();
	for (uint64_t i = 0; i < SIZE; i++)
		f->model[i] = i / MIB % 3 ? (uint8_t)any(f, 256) : 0;
	fd = open(f->raw, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	assert_int_equal(pwrite(fd, f->model, SIZE, 0), SIZE);
	snprintf(command, sizeof(command), "qemu-img convert -f raw -O vhdx -o block_size=1M %s %s",
		 f->raw, f->path);
	assert_int_equal(system(command), 0);
	open_disk(f, true);
	check_all(f);
	for (int i = 0; i < 50; i++)
		do_something(f, 512);
	check_all(f);
	close_disk(f);
	check_others(f);
}

/*
 * The table of such a disk has 512 MiB, of which little is kept in memory, wherever the guest reads
 * and writes.
 */
static void test_memory_of_the_largest(void **state)
{
	const struct vhdx_options options = { .size = VHDX_DISK_MAX,
					      .block_size = MIB,
					      .sector_size = 512,
					      .physical_sector_size = 4096 };
	struct fixture *f = *state;
	AUTO_CLOSE int fd = open(f->path, O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0600);
	struct vhdx_file file = vhdx_file_of(&fd, 0);
	uint64_t places[64];
	size_t before;

	assert_int_equal(vhdx_make(&file, &options), 0);
	close_fdp(&fd);
	assert_int_equal(try_open(f, false, true), 0);
	assert_int_equal(f->disk->size, VHDX_DISK_MAX);
	before = mallinfo2().uordblks;
	for (unsigned i = 0; i < 3000; i++) {
		uint64_t offset = any(f, VHDX_DISK_MAX / MIB) * MIB;

		assert_int_equal(run(f, DISK_READ, offset, 4096, f->data), 0);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(places); i++) {
		places[i] = any(f, VHDX_DISK_MAX / MIB) * MIB;
		memset(f->data, (int)i + 1, 4096);
		assert_int_equal(run(f, DISK_WRITE, places[i], 4096, f->data), 0);
	}
	assert_int_equal(run(f, DISK_FLUSH, 0, 0, NULL), 0);
	/* 256 pages, and what says where they are. */
	assert_true(mallinfo2().uordblks < before + 3 * MIB);
	close_disk(f);
	assert_int_equal(try_open(f, false, true), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(places); i++) {
		assert_int_equal(run(f, DISK_READ, places[i], 4096, f->data), 0);
		assert_int_equal(f->data[0], i + 1);
		assert_int_equal(f->data[4095], i + 1);
	}
}

static void test_what_is_refused(void **state)
{
	struct vhdx_parent parent = { .linkage = { { 1 } }, .relative = "x" };
	const struct vhdx_options options = { .size = SIZE,
					      .block_size = MIB,
					      .sector_size = 512,
					      .physical_sector_size = 512,
					      .parent = &parent };
	struct fixture *f = *state;
	AUTO_CLOSE int fd = open(f->path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	struct vhdx_file file = vhdx_file_of(&fd, 0);

	assert_int_equal(ftruncate(fd, MIB), 0);
	assert_int_equal(try_open(f, false, false), VHDX_E_OTHER);
	assert_int_equal(vhdx_make(&file, &options), 0);
	assert_int_equal(try_open(f, false, false), VHDX_E_PARENT);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_dynamic),
		TEST(test_dynamic_direct),
		TEST(test_large_blocks),
		TEST(test_large_sectors),
		TEST(test_fixed),
		TEST(test_parallel_allocation),
		TEST(test_read_beside_allocation),
		TEST(test_unmap),
		TEST(test_unmap_of_nothing),
		TEST(test_faults),
		TEST(test_read_error),
		TEST(test_reading_changes_nothing),
		TEST(test_we_read_others),
		TEST(test_memory_of_the_largest),
		TEST(test_what_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
