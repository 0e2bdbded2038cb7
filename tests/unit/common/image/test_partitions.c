/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How far partitions of a disk reach. */
#include "common/image/image.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define DISK (1u << 20)

static uint8_t disk[DISK];

static int read_disk(void *data, uint64_t offset, void *buffer, size_t size)
{
	assert_true(offset <= DISK && size <= DISK - offset);
	memcpy(buffer, disk + offset, size);
	return data ? -EIO : 0;
}

static const struct partitions_source source = { read_disk, NULL, DISK };

static struct partitions find(uint32_t sector_size)
{
	struct partitions partitions;

	assert_int_equal(partitions_read(&source, sector_size, &partitions), 0);
	return partitions;
}

static void clear(void)
{
	memset(disk, 0, sizeof(disk));
}

static void put_record(uint64_t offset, unsigned index, uint8_t type, uint32_t start,
		       uint32_t count)
{
	uint8_t *entry = disk + offset + 446 + 16 * (size_t)index;

	entry[4] = type;
	memcpy(entry + 8, &start, sizeof(start));
	memcpy(entry + 12, &count, sizeof(count));
	disk[offset + 510] = 0x55;
	disk[offset + 511] = 0xaa;
}

static void put_gpt(uint64_t offset, uint64_t entries, uint32_t count, uint32_t size)
{
	uint8_t *header = disk + offset;

	memcpy(header, "EFI PART", 8);
	memcpy(header + 72, &entries, 8);
	memcpy(header + 80, &count, 4);
	memcpy(header + 84, &size, 4);
}

static void put_partition(uint64_t offset, uint64_t first, uint64_t last)
{
	disk[offset] = 1;
	memcpy(disk + offset + 32, &first, 8);
	memcpy(disk + offset + 40, &last, 8);
}

static void test_none(void **state)
{
	clear();
	assert_int_equal(find(0).kind, PARTITIONS_NONE);
	assert_int_equal(find(0).end, 0);
	/* The boot sector of a file system, whose code is where entries would be. */
	memset(disk + 446, 0x41, 64);
	disk[510] = 0x55;
	disk[511] = 0xaa;
	assert_int_equal(find(512).kind, PARTITIONS_NONE);
}

static void test_record(void **state)
{
	clear();
	put_record(0, 0, 0x83, 10, 20);
	put_record(0, 2, 0x07, 100, 50);
	assert_int_equal(find(512).kind, PARTITIONS_MBR);
	assert_int_equal(find(512).end, 150 * 512);
	assert_int_equal(find(4096).end, 150 * 4096);
	assert_int_equal(find(0).end, 150 * 512);
	/* One that reaches beyond the disk ends with it; one that begins there is none. */
	put_record(0, 1, 0x83, 1000, UINT32_MAX);
	assert_int_equal(find(512).end, DISK);
	put_record(0, 1, 0x83, 3000, 1);
	assert_int_equal(find(512).end, 150 * 512);
}

static void test_logical_partitions(void **state)
{
	clear();
	put_record(0, 0, 0x0f, 1000, 10);
	put_record(1000 * 512, 0, 0x83, 5, 100);
	put_record(1000 * 512, 1, 0x05, 200, 100);
	put_record(1200 * 512, 0, 0x83, 1, 300);
	assert_int_equal(find(512).end, 1501 * 512);
	/* A chain that leads back to itself ends. */
	put_record(1200 * 512, 1, 0x05, 200, 100);
	assert_int_equal(find(512).end, 1501 * 512);
}

static void test_gpt(void **state)
{
	for (uint32_t sector = 512; sector <= 4096; sector *= 8) {
		clear();
		put_record(0, 0, 0xee, 1, UINT32_MAX);
		put_gpt(sector, 2, 128, 128);
		put_partition(2 * sector, 40, 49);
		put_partition(2 * sector + 5 * 128, 60, 99);
		assert_int_equal(find(0).kind, PARTITIONS_GPT);
		assert_int_equal(find(0).count, 2);
		assert_int_equal(find(0).end, 100 * sector);
		assert_int_equal(find(sector).room, 128 * 128 + sector);
	}
}

/* The first one is damaged, the second counts. */
static void test_gpt_at_the_end(void **state)
{
	clear();
	put_record(0, 0, 0xee, 1, UINT32_MAX);
	put_gpt(DISK - 512, 4, 4, 128);
	put_partition(4 * 512, 1000, 1200);
	assert_int_equal(find(0).kind, PARTITIONS_GPT);
	assert_int_equal(find(0).end, 1201 * 512);
}

static void test_nonsense(void **state)
{
	clear();
	put_record(0, 0, 0xee, 1, UINT32_MAX);
	put_gpt(512, UINT64_MAX, UINT32_MAX, 128);
	assert_int_equal(find(512).end, 0);
	put_gpt(512, 2, UINT32_MAX, 4096);
	put_partition(2 * 512, 50, UINT64_MAX);
	put_partition(2 * 512 + 4096, 50, 10);
	assert_int_equal(find(512).end, 0);
	put_partition(2 * 512, 50, UINT64_MAX - 1);
	assert_int_equal(find(512).end, DISK);
	/* An entry that is too small, or too large, is none. */
	put_gpt(512, 2, 4, 64);
	assert_int_equal(find(512).kind, PARTITIONS_MBR);
}

static void test_errors_travel(void **state)
{
	const struct partitions_source broken = { read_disk, disk, DISK };
	struct partitions partitions;

	assert_int_equal(partitions_read(&broken, 0, &partitions), -EIO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_none),
		cmocka_unit_test(test_record),
		cmocka_unit_test(test_logical_partitions),
		cmocka_unit_test(test_gpt),
		cmocka_unit_test(test_gpt_at_the_end),
		cmocka_unit_test(test_nonsense),
		cmocka_unit_test(test_errors_travel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
