/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Disks of differencing images: chains of them under a workload, compared with a model of the disk,
 * reopened, and made longer; and what no chain is.
 */
#include "common/base/cleanup.h"
#include "common/image/image.h"
#include "common/image/vhd.h"
#include "common/image/vhdx.h"
#include "tests/unit/unit.h"
#include "vsp/storage/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MIB    (1u << 20)
#define SIZE   (12u * MIB)
#define BUFFER (3u * MIB)
#define DEPTH  6u

struct fixture {
	char directory[64];
	struct loop *loop;
	struct buffer_pool *buffers;
	struct disk *disk;
	unsigned depth; /* images */
	bool vhd;       /* of that kind */
	bool retired;
	uint8_t *model, *data;
	uint64_t random;
	struct disk_request request;
	struct iovec iov;
	bool completed;
	int result;
};

static uint64_t any(struct fixture *f, uint64_t below)
{
	f->random = f->random * UINT64_C(6364136223846793005) + 1442695040888963407;
	return (f->random >> 33) % below;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->random = 7;
	strcpy(f->directory, "/var/tmp/vmms-chain-XXXXXX");
	assert_non_null(mkdtemp(f->directory));
	assert_int_equal(loop_new(256, &f->loop), 0);
	assert_int_equal(buffer_pool_new(2, &f->buffers), 0);
	f->model = calloc(1, SIZE);
	f->data = aligned_alloc(4096, BUFFER);
	*state = f;
	return 0;
}

static const char *path_of(const struct fixture *f, unsigned image)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%u.vhdx", f->directory, image);
	return path;
}

static void set_retired(void *data)
{
	((struct fixture *)data)->retired = true;
}

static void close_disk(struct fixture *f)
{
	f->retired = false;
	disk_retire(TAKE_PTR(f->disk), set_retired, f);
	for (int i = 0; i < 100000 && !f->retired; i++)
		assert_int_equal(loop_run_once(f->loop, 1000000), 0);
	assert_true(f->retired);
	/* Parents are closed by then, or as soon. */
	assert_int_equal(loop_run_once(f->loop, 0), 0);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	if (f->disk)
		close_disk(f);
	buffer_pool_free(f->buffers);
	loop_free(f->loop);
	for (unsigned i = 0; i < DEPTH; i++)
		unlink(path_of(f, i));
	rmdir(f->directory);
	free(f->model);
	free(f->data);
	free(f);
	return 0;
}

/* ---- Images ---- */

static void look(const struct fixture *f, unsigned image, struct vhdx *vhdx)
{
	AUTO_CLOSE int fd = open(path_of(f, image), O_RDONLY | O_CLOEXEC);
	struct vhdx_patches patches;
	uint64_t size;

	/* Of one that is being written, the log is not looked at. */
	if (f->disk && image + 1 == f->depth) {
		assert_int_equal(vhdx_look_fd(fd, vhdx), 0);
		return;
	}
	assert_int_equal(vhdx_open_fd(fd, false, vhdx, &patches, &size), 0);
	vhdx_patches_deinit(&patches);
}

static void look_vhd(const struct fixture *f, unsigned image, struct vhd *vhd)
{
	AUTO_CLOSE int fd = open(path_of(f, image), O_RDONLY | O_CLOEXEC);
	uint64_t size;

	assert_int_equal(vhd_open_fd(fd, vhd, &size), 0);
}

static void make_vhdx(struct fixture *f, struct vhdx_file *file, uint64_t size, uint32_t block,
		      uint32_t sector)
{
	struct vhdx_parent parent = { .linkage = { { 0 } } };
	const struct vhdx_options options = { .size = size,
					      .block_size = block,
					      .sector_size = sector,
					      .physical_sector_size = 4096,
					      .parent = f->depth ? &parent : NULL };
	struct vhdx below;

	if (f->depth) {
		look(f, f->depth - 1, &below);
		snprintf(parent.relative, sizeof(parent.relative), ".\\%u.vhdx", f->depth - 1);
		snprintf(parent.absolute, sizeof(parent.absolute), "C:\\%u.vhdx", f->depth - 1);
		parent.linkage = below.header.data_write;
	}
	assert_int_equal(vhdx_make(file, &options), 0);
}

static void make_vhd(struct fixture *f, struct vhdx_file *file, uint64_t size, uint32_t block)
{
	struct vhd_parent parent = { .id = { 0 } };
	const struct vhd_options options = { .size = size,
					     .block_size = block,
					     .fixed = !block,
					     .parent = f->depth ? &parent : NULL };
	struct vhd below;

	if (f->depth) {
		look_vhd(f, f->depth - 1, &below);
		snprintf(parent.relative, sizeof(parent.relative), ".\\%u.vhdx", f->depth - 1);
		snprintf(parent.name, sizeof(parent.name), "%u.vhdx", f->depth - 1);
		memcpy(parent.id, below.id, sizeof(parent.id));
	}
	assert_int_equal(vhd_make(file, &options), 0);
}

/* One more, on those that there are. block: 0: a VHD of fixed size. */
static void add_image(struct fixture *f, uint64_t size, uint32_t block, uint32_t sector)
{
	AUTO_CLOSE int fd = open(path_of(f, f->depth), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	struct vhdx_file file = vhdx_file_of(&fd, 0);

	if (f->vhd)
		make_vhd(f, &file, size, block);
	else
		make_vhdx(f, &file, size, block, sector);
	f->depth++;
}

static int try_open(struct fixture *f, unsigned depth, bool direct)
{
	struct disk *disk = NULL;
	uint8_t id[16] = { 0 };

	for (unsigned i = 0; i < depth; i++) {
		const struct image_options options = { .read_only = i + 1 < depth,
						       .direct = direct,
						       .sector_size = 512 };
		struct image image;
		uint64_t most;
		int r;

		assert_int_equal(image_open(path_of(f, i), &options, &image), 0);
		if (f->vhd)
			r = vhd_recover(image.fd, !options.read_only, &most);
		else
			r = vhdx_recover(image.fd, !options.read_only, &most);
		assert_int_equal(r, 0);
		r = f->vhd ? disk_vhd_open(f->loop, &image, TAKE_PTR(disk), id, true, &disk)
			   : disk_vhdx_open(f->loop, &image, TAKE_PTR(disk), true, &disk);
		if (r)
			return r;
	}
	f->disk = disk;
	return 0;
}

static void open_disk(struct fixture *f, bool direct)
{
	assert_int_equal(try_open(f, f->depth, direct), 0);
	assert_int_equal(f->disk->size, SIZE);
}

/* ---- Requests ---- */

static void complete(struct disk_request *request, int result)
{
	struct fixture *f = container_of(request, struct fixture, request);

	f->completed = true;
	f->result = result;
}

static int run(struct fixture *f, enum disk_operation operation, uint64_t offset, uint64_t size,
	       uint8_t *bytes)
{
	f->completed = false;
	f->iov = (struct iovec){ bytes, size };
	f->request = (struct disk_request){ .operation = operation,
					    .offset = offset,
					    .size = size,
					    .durable = operation == DISK_WRITE && any(f, 4) == 0,
					    .unmap = any(f, 2),
					    .iov = &f->iov,
					    .iov_count = 1,
					    .buffers = f->buffers,
					    .complete = complete };
	disk_submit(f->disk, &f->request);
	for (int i = 0; i < 100000 && !f->completed; i++)
		assert_int_equal(loop_run_once(f->loop, 1000000), 0);
	assert_true(f->completed);
	return f->result;
}

static void check_all(struct fixture *f)
{
	for (uint64_t offset = 0; offset < SIZE; offset += BUFFER) {
		memset(f->data, 0xee, BUFFER);
		assert_int_equal(run(f, DISK_READ, offset, BUFFER, f->data), 0);
		assert_memory_equal(f->data, f->model + offset, BUFFER);
	}
}

static void write_random(struct fixture *f, uint64_t offset, uint64_t size)
{
	for (uint64_t i = 0; i < size; i += 8) {
		uint64_t word = any(f, UINT32_MAX);

		memcpy(f->data + i, &word, 8);
	}
	memcpy(f->model + offset, f->data, size);
	assert_int_equal(run(f, DISK_WRITE, offset, size, f->data), 0);
}

/* What was trimmed is what it was, or zeros, or the parent's: it is read, and goes on from there. */
static void trim(struct fixture *f, uint64_t offset, uint64_t size)
{
	assert_int_equal(run(f, DISK_UNMAP, offset, size, NULL), 0);
	assert_int_equal(run(f, DISK_READ, offset, size, f->model + offset), 0);
}

static void do_something(struct fixture *f, uint32_t sector)
{
	uint64_t offset = any(f, SIZE / sector) * sector;
	uint64_t longest = MIN(SIZE - offset, any(f, 8) ? 16384u : BUFFER);
	uint64_t size = MIN((any(f, longest / sector) + 1) * sector, longest);

	switch (any(f, 8)) {
	case 0:
		assert_int_equal(run(f, DISK_ZERO, offset, size, NULL), 0);
		memset(f->model + offset, 0, size);
		break;
	case 1:
		trim(f, offset, size);
		break;
	case 2:
		assert_int_equal(run(f, DISK_FLUSH, 0, 0, NULL), 0);
		break;
	case 3:
		assert_int_equal(run(f, DISK_READ, offset, size, f->data), 0);
		assert_memory_equal(f->data, f->model + offset, size);
		break;
	default:
		write_random(f, offset, size);
		break;
	}
}

/* ---- Others ---- */

/* The caller's. */
static uint8_t *read_file(const char *path)
{
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	uint8_t *bytes = calloc(1, SIZE);

	if (fd < 0 || pread(fd, bytes, SIZE, 0) != SIZE)
		memset(bytes, 0xbd, SIZE);
	return bytes;
}

/* libvhdi, where its images can be mounted. It finds parents by itself, and counts from the last. */
static void check_libvhdi(struct fixture *f)
{
	char mount[96], disk[112], command[512];

	snprintf(mount, sizeof(mount), "%s/mount", f->directory);
	snprintf(command, sizeof(command),
		 "command -v vhdiinfo >/dev/null && vhdiinfo %s >/dev/null",
		 path_of(f, f->depth - 1));
	if (system(command) != 0 || access("/dev/fuse", R_OK | W_OK) < 0)
		return;
	assert_int_equal(mkdir(mount, 0700), 0);
	snprintf(command, sizeof(command), "vhdimount %s %s >/dev/null 2>&1",
		 path_of(f, f->depth - 1), mount);
	snprintf(disk, sizeof(disk), "%s/vhdi%u", mount, f->depth);
	if (system(command) == 0) {
		AUTO_FREE uint8_t *bytes = read_file(disk);

		snprintf(command, sizeof(command), "umount %s", mount);
		assert_int_equal(system(command), 0);
		assert_memory_equal(bytes, f->model, SIZE);
	}
	rmdir(mount);
}

static void check_qemu(struct fixture *f)
{
	AUTO_FREE uint8_t *bytes = NULL;
	char raw[96], command[512];

	if (system("command -v qemu-img >/dev/null") != 0)
		return;
	snprintf(raw, sizeof(raw), "%s/raw", f->directory);
	snprintf(command, sizeof(command), "qemu-img convert -f vpc -O raw %s %s",
		 path_of(f, f->depth - 1), raw);
	assert_int_equal(system(command), 0);
	bytes = read_file(raw);
	unlink(raw);
	assert_memory_equal(bytes, f->model, SIZE);
}

/* Others find the same. */
static void check_others(struct fixture *f, uint32_t sector)
{
	/*
	 * QEMU knows no parents, and libvhdi no sectors of 4096 bytes. Of a byte of VHD's bitmaps it
	 * takes all sectors after the first that is there for there.
	 */
	if (f->vhd && f->depth == 1)
		check_qemu(f);
	if ((sector == 512) != f->vhd)
		check_libvhdi(f);
}

/* A chain that gets longer while it is written, closed and opened. */
static void check_chain(struct fixture *f, uint32_t block, uint32_t sector, bool direct)
{
	while (f->depth < DEPTH) {
		add_image(f, SIZE, block, sector);
		open_disk(f, direct);
		check_all(f);
		for (int j = 0; j < 60; j++)
			do_something(f, sector);
		check_all(f);
		close_disk(f);
		open_disk(f, direct);
		check_all(f);
		close_disk(f);
		check_others(f, sector);
	}
}

/* ---- A disk that goes on, while it is used, with a child of its image ---- */

static void set_sealed(void *data)
{
	*(bool *)data = true;
}

/* As a worker does it for a checkpoint. */
static void fork_disk(struct fixture *f)
{
	struct disk *old = f->disk, *child;
	const struct image_options options = { .sector_size = 512 };
	struct image image;
	bool sealed = false;

	/* The child is made of what is in use, and found to be one as it was and as it is. */
	assert_int_equal(run(f, DISK_ZERO, 0, 0, NULL), 0);
	add_image(f, SIZE, MIB, 512);
	do_something(f, 512);
	assert_int_equal(image_open(path_of(f, f->depth - 1), &options, &image), 0);
	assert_int_equal(disk_vhdx_open_child(f->loop, &image, old, false, &child), 0);
	assert_int_equal(run(f, DISK_FLUSH, 0, 0, NULL), 0);
	disk_vhdx_seal(old, set_sealed, &sealed);
	while (!sealed)
		assert_int_equal(loop_run_once(f->loop, 1000000), 0);
	disk_replace(old, child);
	disk_vhdx_set_parent(child, old);
	assert_int_equal(disk_vhdx_share(old), 0);
	f->disk = child;
}

static void test_forked_while_it_is_used(void **state)
{
	struct fixture *f = *state;
	uint64_t writes;

	add_image(f, SIZE, MIB, 512);
	open_disk(f, false);
	while (f->depth < DEPTH) {
		const struct image_options reading = { .read_only = true, .sector_size = 512 };
		struct image image;
		struct vhdx parent;

		for (int j = 0; j < 60; j++)
			do_something(f, 512);
		writes = f->disk->counters.writes;
		assert_true(writes > 0);
		fork_disk(f);
		assert_true(f->disk->counters.writes >= writes);
		/* Others may read what it was, which is whole without a log, and stays as it is. */
		assert_int_equal(image_open(path_of(f, f->depth - 2), &reading, &image), 0);
		close(image.fd);
		look(f, f->depth - 2, &parent);
		assert_true(guid_is_null(&parent.header.log));
		check_all(f);
		for (int j = 0; j < 60; j++)
			do_something(f, 512);
		check_all(f);
	}
	close_disk(f);
	open_disk(f, false);
	check_all(f);
}

/* One that is no child of it as it is now is refused, and the disk goes on. */
static void test_forked_to_a_stranger(void **state)
{
	const struct image_options options = { .sector_size = 512 };
	struct fixture *f = *state;
	struct disk *child;
	struct image image;

	add_image(f, SIZE, MIB, 512);
	add_image(f, SIZE, MIB, 512);
	f->depth = 1;
	open_disk(f, false);
	write_random(f, 0, 4096); /* it is another image to its children then */
	assert_int_equal(image_open(path_of(f, 1), &options, &image), 0);
	assert_int_equal(disk_vhdx_open_child(f->loop, &image, f->disk, false, &child),
			 VHDX_E_PARENT);
	assert_true(disk_vhdx_can_be_parent(f->disk));
	check_all(f);
}

static void test_small_blocks(void **state)
{
	check_chain(*state, MIB, 512, false);
}

static void test_large_blocks(void **state)
{
	check_chain(*state, 32 * MIB, 512, true);
}

static void test_large_sectors(void **state)
{
	check_chain(*state, 2 * MIB, 4096, true);
}

static void test_vhd(void **state)
{
	struct fixture *f = *state;

	f->vhd = true;
	check_chain(f, VHD_BLOCK, 512, false);
}

/* Written in such pieces that others read it right. */
static void test_vhd_by_others(void **state)
{
	struct fixture *f = *state;

	f->vhd = true;
	check_chain(f, VHD_BLOCK, 4096, true);
}

/* Blocks with more bits than a sector has, and with fewer. */
static void test_vhd_of_other_blocks(void **state)
{
	struct fixture *f = *state;

	f->vhd = true;
	add_image(f, SIZE, 512 << 10, 512);
	check_chain(f, 8 * MIB, 512, true);
}

/* One of QEMU's, which we change. */
static void test_vhd_of_qemu(void **state)
{
	struct fixture *f = *state;
	char raw[96], command[512];
	AUTO_CLOSE int fd = -1;

	if (system("command -v qemu-img >/dev/null") != 0)
		skip();
	f->vhd = true;
	f->depth = 1;
	for (uint64_t i = 0; i < SIZE; i++)
		f->model[i] = i / MIB % 4 < 2 ? (uint8_t)any(f, 256) : 0;
	snprintf(raw, sizeof(raw), "%s/raw", f->directory);
	fd = open(raw, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	assert_int_equal(pwrite(fd, f->model, SIZE, 0), SIZE);
	snprintf(command, sizeof(command), "qemu-img convert -f raw -O vpc -o force_size=on %s %s",
		 raw, path_of(f, 0));
	assert_int_equal(system(command), 0);
	open_disk(f, true);
	check_all(f);
	for (int i = 0; i < 100; i++)
		do_something(f, 512);
	check_all(f);
	close_disk(f);
	check_others(f, 512);
}

/* On one of fixed size. */
static void test_vhd_on_a_fixed_one(void **state)
{
	struct fixture *f = *state;

	f->vhd = true;
	add_image(f, SIZE, 0, 512);
	open_disk(f, true);
	for (int i = 0; i < 40; i++)
		write_random(f, any(f, SIZE / 512 - 8) * 512, 512 * 8);
	check_all(f);
	close_disk(f);
	add_image(f, SIZE, VHD_BLOCK, 512);
	open_disk(f, true);
	for (int i = 0; i < 100; i++)
		do_something(f, 512);
	check_all(f);
}

/* Sectors that are not written stay the parent's, in the block beside those that are. */
static void test_a_sector_of_a_block(void **state)
{
	struct fixture *f = *state;
	struct vhdx vhdx;
	uint64_t entry;
	AUTO_CLOSE int fd = -1;

	add_image(f, SIZE, MIB, 512);
	open_disk(f, false);
	write_random(f, 0, BUFFER);
	close_disk(f);
	add_image(f, SIZE, MIB, 512);
	open_disk(f, false);
	write_random(f, 512 * 3, 512);
	check_all(f);
	close_disk(f);
	look(f, 1, &vhdx);
	fd = open(path_of(f, 1), O_RDONLY | O_CLOEXEC);
	assert_int_equal(pread(fd, &entry, 8, (off_t)vhdx.bat_offset), 8);
	assert_int_equal(entry & VHDX_STATE_MASK, VHDX_PARTIALLY);
	assert_int_equal(
		pread(fd, &entry, 8, (off_t)(vhdx.bat_offset + 8 * vhdx_bitmap_index(&vhdx, 0))),
		8);
	assert_int_equal(entry & VHDX_STATE_MASK, VHDX_FULLY);
	assert_int_equal(pread(fd, f->data, 32, (off_t)(entry & VHDX_OFFSET_MASK)), 32);
	assert_int_equal(f->data[0], 1 << 3);
	for (int i = 1; i < 32; i++)
		assert_int_equal(f->data[i], 0);
}

/* The child's disk has been enlarged: behind the parent's end are zeros. */
static void test_a_smaller_parent(void **state)
{
	struct fixture *f = *state;

	add_image(f, 5 * MIB + 512, MIB, 512);
	assert_int_equal(try_open(f, 1, false), 0);
	write_random(f, 5 * MIB, 512);
	close_disk(f);
	add_image(f, SIZE, MIB, 512);
	open_disk(f, false);
	check_all(f);
	write_random(f, 4 * MIB, 2 * MIB);
	check_all(f);
}

static void test_what_is_refused(void **state)
{
	struct fixture *f = *state;

	char first[128];

	add_image(f, SIZE, MIB, 512);
	add_image(f, SIZE, MIB, 512);
	/* Without its parent. */
	strcpy(first, path_of(f, 0));
	assert_int_equal(rename(path_of(f, 1), first), 0);
	assert_int_equal(try_open(f, 1, false), VHDX_E_PARENT);
	unlink(first);
	f->depth = 0;
	add_image(f, SIZE, MIB, 512);
	add_image(f, SIZE, MIB, 512);
	open_disk(f, false);
	close_disk(f);
	/* The parent is written, which the child does not know. */
	assert_int_equal(try_open(f, 1, false), 0);
	write_random(f, 0, 512);
	close_disk(f);
	assert_int_equal(try_open(f, 2, false), VHDX_E_PARENT);
}

static void test_what_vhd_is_refused(void **state)
{
	struct fixture *f = *state;
	char first[128];

	f->vhd = true;
	add_image(f, SIZE, VHD_BLOCK, 512);
	add_image(f, SIZE, VHD_BLOCK, 512);
	strcpy(first, path_of(f, 0));
	assert_int_equal(rename(path_of(f, 1), first), 0);
	assert_int_equal(try_open(f, 1, false), VHD_E_PARENT);
	f->depth = 0;
	add_image(f, SIZE, VHD_BLOCK, 512);
	f->depth = 0;
	unlink(first);
	add_image(f, SIZE, VHD_BLOCK, 512);
	f->depth = 1;
	add_image(f, SIZE, VHD_BLOCK, 512);
	unlink(first);
	f->depth = 0;
	add_image(f, SIZE, VHD_BLOCK, 512);
	assert_int_equal(try_open(f, 2, false), VHD_E_PARENT);
}

/* The sectors are of other sizes. */
static void test_other_sectors(void **state)
{
	struct fixture *f = *state;

	add_image(f, SIZE, MIB, 512);
	add_image(f, SIZE, MIB, 4096);
	assert_int_equal(try_open(f, 2, false), VHDX_E_PARENT);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_forked_while_it_is_used),
		TEST(test_forked_to_a_stranger),
		TEST(test_small_blocks),
		TEST(test_large_blocks),
		TEST(test_large_sectors),
		TEST(test_a_sector_of_a_block),
		TEST(test_a_smaller_parent),
		TEST(test_what_is_refused),
		TEST(test_other_sectors),
		TEST(test_vhd),
		TEST(test_vhd_by_others),
		TEST(test_vhd_of_other_blocks),
		TEST(test_vhd_on_a_fixed_one),
		TEST(test_vhd_of_qemu),
		TEST(test_what_vhd_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
