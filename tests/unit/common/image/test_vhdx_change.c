/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * VHDX images that get another size, or are compacted, while power is lost at any moment: what was
 * written since the last flush is there, torn at sectors, or not, by chance.
 */
#include "common/image/image.h"
#include "tests/unit/common/image/medium.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define BLOCK  (1u << 20)
#define BLOCKS 12u
#define DISK   ((uint64_t)BLOCKS * BLOCK - 3 * SECTOR)

static struct power power;
static struct medium medium_of_test;

static struct medium *medium_new(const uint8_t *bytes, uint64_t size, unsigned left)
{
	power = (struct power){ .left = left };
	medium_reset(&medium_of_test, &power, bytes, size);
	return &medium_of_test;
}

/* ---- An image ---- */

struct image_bytes_of_test {
	uint8_t *bytes;
	uint64_t size;
	uint8_t *content; /* of the disk: DISK bytes */
};

static int make_memory(const uint8_t *bytes, uint64_t size)
{
	int fd = memfd_create("image", MFD_CLOEXEC);

	assert_true(fd >= 0);
	if (size)
		assert_int_equal(pwrite(fd, bytes, size, 0), size);
	return fd;
}

/* Blocks in a mixed order, of which some hold zeros, or were never written. */
static struct image_bytes_of_test make_image(void)
{
	static const unsigned order[] = { 11, 0, 7, 3, 4, 9, 1 };
	const struct image_content_options options = { .format = IMAGE_VHDX,
						       .size = DISK,
						       .block_size = BLOCK,
						       .sector_size = SECTOR,
						       .physical_sector_size = 4096 };
	struct image_bytes_of_test image = { .content = calloc(1, DISK) };
	int fd = make_memory(NULL, 0);
	struct image_content *content;

	assert_int_equal(image_content_make(fd, &options, &content), 0);
	for (size_t i = 0; i < ARRAY_SIZE(order); i++) {
		uint64_t offset = (uint64_t)order[i] * BLOCK;
		size_t size = MIN(DISK - offset, (uint64_t)BLOCK);

		if (i % 3)
			memset(image.content + offset, (int)i + 1, size);
		assert_int_equal(image_content_write(content, offset, image.content + offset, size),
				 0);
	}
	assert_int_equal(image_content_end(content), 0);
	image_content_free(content);
	image.size = (uint64_t)lseek(fd, 0, SEEK_END);
	image.bytes = malloc(image.size);
	assert_non_null(image.bytes);
	assert_int_equal(pread(fd, image.bytes, image.size, 0), image.size);
	close(fd);
	return image;
}

static void free_image(struct image_bytes_of_test *image)
{
	free(image->bytes);
	free(image->content);
}

/* What is there of the disk is as it was, and behind it there is nothing. Return: its size. */
static uint64_t check_survivor(const uint8_t *bytes, uint64_t size, const uint8_t *expected)
{
	int fd = make_memory(bytes, size);
	uint8_t *found = calloc(1, DISK + BLOCK);
	struct image_content *content;
	uint64_t disk, part;

	assert_int_equal(image_content_open(fd, IMAGE_VHDX, true, &content), 0);
	disk = image_content_size(content);
	part = MIN(disk, DISK);
	assert_int_equal(image_content_read(content, 0, found, part), 0);
	assert_memory_equal(found, expected, part);
	if (disk > DISK) {
		part = MIN(disk - DISK, (uint64_t)BLOCK);
		assert_int_equal(image_content_read(content, DISK, found, part), 0);
		assert_true(found[0] == 0 && memcmp(found, found + 1, part - 1) == 0);
	}
	image_content_free(content);
	close(fd);
	free(found);
	return disk;
}

static bool go_on(void *data, uint64_t done, uint64_t total)
{
	return true;
}

static const struct vhdx_follower follower = { go_on, NULL };

/* size: 0: it is compacted. */
static int change(struct medium *medium, uint64_t size)
{
	struct vhdx_file file = medium_file(medium);
	struct vhdx_patches patches;
	struct vhdx vhdx;
	int r = vhdx_open(&file, true, &vhdx, &patches);

	if (r)
		return r;
	vhdx_patches_deinit(&patches);
	return size ? vhdx_resize(&file, &vhdx, size) : vhdx_compact(&file, &vhdx, &follower);
}

/* Return: how many steps it takes. */
static unsigned change_whole(const struct image_bytes_of_test *image, uint64_t size)
{
	struct medium *medium = medium_new(image->bytes, image->size, UINT32_MAX);
	unsigned steps;

	assert_int_equal(change(medium, size), 0);
	steps = power.steps;
	assert_int_equal(check_survivor(medium->bytes, medium->size, image->content),
			 size ? size : DISK);
	medium_forget(medium);
	return steps;
}

static void lose_power_at_each_step(uint64_t size)
{
	struct image_bytes_of_test image = make_image();
	unsigned steps = change_whole(&image, size), changed = 0;

	assert_true(steps > 4);
	for (unsigned left = 1; left <= steps; left++) {
		struct medium *medium = medium_new(image.bytes, image.size, left);
		uint64_t found;

		assert_int_equal(change(medium, size), -EIO);
		medium_settle(medium, false);
		found = check_survivor(medium->durable, medium->durable_size, image.content);
		assert_true(found == DISK || found == size);
		/* Once it has another size, it keeps that. */
		assert_true(size == 0 || size == DISK || found == size || changed == 0);
		changed += size && found == size;
		medium_forget(medium);
	}
	free_image(&image);
}

static void test_larger(void **state)
{
	lose_power_at_each_step(DISK + BLOCK);
}

static void test_a_table_that_moves(void **state)
{
	lose_power_at_each_step(UINT64_C(200000) * BLOCK);
}

static void test_smaller(void **state)
{
	lose_power_at_each_step(5 * BLOCK + SECTOR);
}

static void test_compact(void **state)
{
	lose_power_at_each_step(0);
}

/* ---- What comes of it ---- */

static void test_compacted_is_small(void **state)
{
	struct image_bytes_of_test image = make_image();
	struct medium *medium = medium_new(image.bytes, image.size, UINT32_MAX);
	struct vhdx_check check;
	struct vhdx_patches patches;
	struct vhdx_file file;
	struct vhdx vhdx;

	assert_int_equal(change(medium, 0), 0);
	file = medium_file(medium);
	assert_int_equal(vhdx_open(&file, false, &vhdx, &patches), 0);
	assert_int_equal(vhdx_check(&file, &patches, &vhdx, &check), 0);
	assert_int_equal(check.blocks, 4);
	assert_int_equal(check.unused, 0);
	assert_int_equal(check.wrong + check.missing, 0);
	assert_int_equal(medium->size, 4 * VHDX_MIB + 4 * BLOCK);
	vhdx_patches_deinit(&patches);
	medium_forget(medium);
	free_image(&image);
}

static bool stop_soon(void *data, uint64_t done, uint64_t total)
{
	return --*(unsigned *)data > 0;
}

static void test_compact_is_stopped(void **state)
{
	struct image_bytes_of_test image = make_image();

	for (unsigned steps = 1; steps < 9; steps++) {
		struct medium *medium = medium_new(image.bytes, image.size, UINT32_MAX);
		struct vhdx_file file = medium_file(medium);
		unsigned left = steps;
		const struct vhdx_follower stops = { stop_soon, &left };
		struct vhdx_patches patches;
		struct vhdx vhdx;

		assert_int_equal(vhdx_open(&file, true, &vhdx, &patches), 0);
		assert_int_equal(vhdx_compact(&file, &vhdx, &stops), -ECANCELED);
		check_survivor(medium->bytes, medium->size, image.content);
		vhdx_patches_deinit(&patches);
		medium_forget(medium);
	}
	free_image(&image);
}

static void test_sizes_that_cannot_be(void **state)
{
	struct image_bytes_of_test image = make_image();
	struct medium *medium = medium_new(image.bytes, image.size, UINT32_MAX);

	assert_int_equal(change(medium, SECTOR - 1), -EINVAL);
	assert_int_equal(change(medium, VHDX_DISK_MAX + SECTOR), -EINVAL);
	check_survivor(medium->bytes, medium->size, image.content);
	medium_forget(medium);
	free_image(&image);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_larger),
		cmocka_unit_test(test_a_table_that_moves),
		cmocka_unit_test(test_smaller),
		cmocka_unit_test(test_compact),
		cmocka_unit_test(test_compacted_is_small),
		cmocka_unit_test(test_compact_is_stopped),
		cmocka_unit_test(test_sizes_that_cannot_be),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
