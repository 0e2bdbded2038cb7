/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Guest memory: regions, the way from a GPA to them, sharing, discarding, tracking. */
#include "tests/unit/unit.h"
#include "vid/vid.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#define MIB UINT64_C(0x100000)

static struct vid_memory_region region(uint64_t gpa, uint64_t size)
{
	return (struct vid_memory_region){ .gpa = GPA(gpa), .size = size };
}

static int setup(void **state)
{
	return vid_memory_new((struct vid_memory **)state);
}

static int teardown(void **state)
{
	vid_memory_free(*state);
	return 0;
}

static int add(struct vid_memory *memory, uint64_t gpa, uint64_t size)
{
	return vid_memory_add(memory, region(gpa, size), VID_MEMORY_TRANSPARENT_HUGE, false);
}

static void test_ranges_are_checked(void **state)
{
	struct vid_memory *memory = *state;

	assert_int_equal(add(memory, 0, 0), -EINVAL);
	assert_int_equal(add(memory, 0x800, 0x1000), -EINVAL);
	assert_int_equal(add(memory, 0, 0x1800), -EINVAL);
	assert_int_equal(add(memory, UINT64_MAX & ~UINT64_C(0xfff), 0x2000), -EINVAL);
	assert_int_equal(vid_memory_add(memory, region(0x1000, 2 * MIB), VID_MEMORY_HUGETLB, false),
			 -EINVAL);
	assert_int_equal(vid_memory_region_count(memory), 0);
}

static void test_regions_do_not_overlap(void **state)
{
	struct vid_memory *memory = *state;

	assert_int_equal(add(memory, 4 * MIB, 4 * MIB), 0);
	assert_int_equal(add(memory, 0, 4 * MIB + 0x1000), -EEXIST);
	assert_int_equal(add(memory, 8 * MIB - 0x1000, MIB), -EEXIST);
	assert_int_equal(add(memory, 5 * MIB, MIB), -EEXIST);
	assert_int_equal(add(memory, 0, 4 * MIB), 0);
	assert_int_equal(add(memory, 8 * MIB, MIB), 0);
	assert_int_equal(vid_memory_region_count(memory), 3);
	assert_int_equal(vid_memory_region(memory, 2).gpa.value, 8 * MIB);
	assert_int_equal(vid_memory_region(memory, 2).size, MIB);
}

static void test_map_is_bounded(void **state)
{
	struct vid_memory *memory = *state;
	uint8_t *start;

	assert_int_equal(add(memory, MIB, 2 * MIB), 0);
	assert_int_equal(add(memory, 3 * MIB, MIB), 0);
	start = vid_memory_map(memory, GPA(MIB), 2 * MIB);
	assert_non_null(start);
	assert_ptr_equal(vid_memory_map(memory, GPA(MIB + 0x1234), 1), start + 0x1234);
	assert_ptr_equal(vid_memory_map(memory, GPA(3 * MIB - 1), 1), start + 2 * MIB - 1);
	assert_null(vid_memory_map(memory, GPA(MIB - 1), 1));
	assert_null(vid_memory_map(memory, GPA(MIB - 1), 2));
	assert_null(vid_memory_map(memory, GPA(3 * MIB - 1), 2)); /* two regions */
	assert_null(vid_memory_map(memory, GPA(4 * MIB), 1));
	assert_null(vid_memory_map(memory, GPA(MIB), UINT64_MAX));
	assert_null(vid_memory_map(memory, GPA(UINT64_MAX), 2));
	assert_null(vid_memory_map(memory, gpa_from_pfn(UINT64_MAX), 1));
}

static void test_host_and_guest_agree_modulo_2_mib(void **state)
{
	struct vid_memory *memory = *state;
	const uint64_t gpas[] = { 0, 3 * MIB, 8 * MIB + 0x5000 };

	for (size_t i = 0; i < ARRAY_SIZE(gpas); i++) {
		assert_int_equal(add(memory, gpas[i], MIB), 0);
		assert_int_equal((uintptr_t)vid_memory_map(memory, GPA(gpas[i]), 1) % (2 * MIB),
				 gpas[i] % (2 * MIB));
	}
}

static void test_too_many_regions(void **state)
{
	struct vid_memory *memory = *state;
	uint64_t gpa = 0;
	int r;

	do {
		r = add(memory, gpa, 0x1000);
		gpa += 0x2000;
	} while (r == 0 && gpa < MIB * 64);
	assert_int_equal(r, -ENOSPC);
	assert_true(vid_memory_region_count(memory) >= 32);
}

/* What one process has shared another has, with all that is in it; sizes that may change are none. */
static void test_taking_over(void **state)
{
	struct vid_memory *memory = *state, *other;
	uint64_t offset;
	uint8_t *ours, *theirs;
	int fd, open;

	assert_int_equal(vid_memory_add(memory, region(0, MIB), VID_MEMORY_SMALL, true), 0);
	ours = vid_memory_map(memory, GPA(0), MIB);
	ours[0x4321] = 0x77;
	fd = dup(vid_memory_share(memory, 0, &offset));
	assert_int_equal(vid_memory_new(&other), 0);
	assert_int_equal(vid_memory_add_shared(other, region(0, 2 * MIB), VID_MEMORY_SMALL, fd),
			 -EINVAL);
	open = memfd_create("open", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_int_equal(ftruncate(open, MIB), 0);
	assert_int_equal(vid_memory_add_shared(other, region(0, MIB), VID_MEMORY_SMALL, open),
			 -EINVAL);
	assert_int_equal(close(open), 0);
	assert_int_equal(vid_memory_add_shared(other, region(0, MIB), VID_MEMORY_SMALL, fd), 0);
	theirs = vid_memory_map(other, GPA(0), MIB);
	assert_int_equal(theirs[0x4321], 0x77);
	theirs[0x4321] = 0x78;
	assert_int_equal(ours[0x4321], 0x78);
	assert_int_equal(vid_memory_share(other, 0, &offset), fd);
	vid_memory_free(other);
}

static void test_sharing(void **state)
{
	struct vid_memory *memory = *state;
	uint64_t offset = 1;
	uint8_t *ours, *theirs;
	int fd;

	assert_int_equal(add(memory, 0, MIB), 0);
	assert_int_equal(vid_memory_share(memory, 0, &offset), -EINVAL);
	assert_int_equal(vid_memory_share(memory, 1, &offset), -EINVAL);
	assert_int_equal(offset, 1);
	assert_int_equal(
		vid_memory_add(memory, region(2 * MIB, MIB), VID_MEMORY_TRANSPARENT_HUGE, true), 0);
	fd = vid_memory_share(memory, 1, &offset);
	assert_true(fd >= 0);
	assert_int_equal(offset, 0);
	theirs = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)offset);
	assert_ptr_not_equal(theirs, MAP_FAILED);
	ours = vid_memory_map(memory, GPA(2 * MIB), MIB);
	theirs[0x4321] = 0x77;
	assert_int_equal(ours[0x4321], 0x77);
	munmap(theirs, MIB);
	/* Nobody may take the pages away. */
	assert_int_equal(ftruncate(fd, 0), -1);
	assert_int_equal(errno, EPERM);
}

static void test_discard_gives_zeros(void **state)
{
	struct vid_memory *memory = *state;

	for (uint64_t i = 0; i < 2; i++) {
		assert_int_equal(vid_memory_add(memory, region(i * 2 * MIB, 2 * MIB),
						VID_MEMORY_TRANSPARENT_HUGE, i == 1),
				 0);
		memset(vid_memory_map(memory, GPA(i * 2 * MIB), 2 * MIB), 0x5a, 2 * MIB);
	}
	assert_int_equal(vid_memory_discard(memory), 0);
	for (uint64_t i = 0; i < 2; i++) {
		const uint8_t *bytes = vid_memory_map(memory, GPA(i * 2 * MIB), 2 * MIB);

		for (size_t b = 0; b < 2 * MIB; b += 511)
			assert_int_equal(bytes[b], 0);
	}
}

/* ---- Pages that the guest can do without ---- */

static size_t resident_pages(const uint8_t *bytes, size_t pages)
{
	unsigned char map[512];
	size_t count = 0;

	assert_true(pages <= sizeof(map));
	assert_int_equal(mincore((void *)bytes, pages * HV_PAGE_SIZE, map), 0);
	for (size_t i = 0; i < pages; i++)
		count += map[i] & 1;
	return count;
}

static void discard_range(struct vid_memory *memory, bool shared)
{
	const gpa_t gpa = GPA(2 * MIB + 3 * HV_PAGE_SIZE);
	const size_t size = 100 * HV_PAGE_SIZE;
	uint64_t bitmap[16] = { 0 };
	uint8_t *bytes;

	assert_int_equal(vid_memory_add(memory, region(2 * MIB, 4 * MIB), VID_MEMORY_SMALL, shared),
			 0);
	bytes = vid_memory_map(memory, gpa, size);
	memset(bytes - HV_PAGE_SIZE, 0x5a, size + 2 * HV_PAGE_SIZE);
	assert_int_equal(vid_memory_track_dirty(memory, true), 0);
	assert_int_equal(vid_memory_discard_range(memory, gpa, size), 0);
	assert_int_equal(resident_pages(bytes, 100), 0);
	assert_int_equal(resident_pages(bytes - HV_PAGE_SIZE, 102), 2);
	assert_int_equal(vid_memory_read_dirty(memory, 0, bitmap, 16), 0);
	assert_int_equal(bitmap[0], UINT64_MAX << 3);
	assert_int_equal(bitmap[1], (UINT64_C(1) << (103 - 64)) - 1);
	assert_int_equal(bytes[-1], 0x5a);
	assert_int_equal(bytes[size], 0x5a);
	for (size_t b = 0; b < size; b += 511)
		assert_int_equal(bytes[b], 0);
	bytes[0] = 1; /* it is as usable as before */
	assert_int_equal(vid_memory_discard_range(memory, gpa, size), 0);
	assert_int_equal(bytes[0], 0);
}

static void test_discard_range(void **state)
{
	discard_range(*state, false);
}

static void test_discard_range_shared(void **state)
{
	discard_range(*state, true);
}

static void test_discard_range_is_checked(void **state)
{
	struct vid_memory *memory = *state;

	assert_int_equal(add(memory, 2 * MIB, 2 * MIB), 0);
	assert_int_equal(add(memory, 4 * MIB, 2 * MIB), 0);
	assert_int_equal(vid_memory_discard_range(memory, GPA(2 * MIB), 0), -EINVAL);
	assert_int_equal(vid_memory_discard_range(memory, GPA(2 * MIB + 1), HV_PAGE_SIZE), -EINVAL);
	assert_int_equal(vid_memory_discard_range(memory, GPA(2 * MIB), HV_PAGE_SIZE + 1), -EINVAL);
	assert_int_equal(vid_memory_discard_range(memory, GPA(2 * MIB - HV_PAGE_SIZE), 2 * MIB),
			 -EINVAL);
	assert_int_equal(vid_memory_discard_range(memory, GPA(5 * MIB), 2 * MIB), -EINVAL);
	assert_int_equal(vid_memory_discard_range(memory, GPA(6 * MIB), HV_PAGE_SIZE), -EINVAL);
	assert_int_equal(vid_memory_discard_range(memory, GPA(2 * MIB), UINT64_MAX - 0xfff),
			 -EINVAL);
	assert_int_equal(vid_memory_discard_range(memory, GPA(2 * MIB), 2 * MIB), 0);
}

/* Of regions that follow each other, whichever was added first; but not beyond, nor half of it. */
static void test_discard_across_regions(void **state)
{
	struct vid_memory *memory = *state;
	uint8_t *low, *high;

	assert_int_equal(add(memory, 4 * MIB, 2 * MIB), 0);
	assert_int_equal(add(memory, 2 * MIB, 2 * MIB), 0);
	low = vid_memory_map(memory, GPA(2 * MIB), 2 * MIB);
	high = vid_memory_map(memory, GPA(4 * MIB), 2 * MIB);
	memset(low, 0x5a, 2 * MIB);
	memset(high, 0x5a, 2 * MIB);
	assert_int_equal(vid_memory_discard_range(memory, GPA(3 * MIB), 4 * MIB), -EINVAL);
	assert_int_equal(low[MIB], 0x5a);
	assert_int_equal(vid_memory_discard_range(memory, GPA(3 * MIB), 2 * MIB), 0);
	assert_int_equal(low[MIB - 1], 0x5a);
	assert_int_equal(low[MIB], 0);
	assert_int_equal(low[2 * MIB - 1], 0);
	assert_int_equal(high[0], 0);
	assert_int_equal(high[MIB - 1], 0);
	assert_int_equal(high[MIB], 0x5a);
}

/*
 * I/O that is under way to pages which are handed over has these pages, whatever becomes of the
 * addresses: a pipe that holds them stands for the disk. The I/O does not see what the guest writes
 * there later, nor the guest what the I/O has.
 */
static void discard_under_io(struct vid_memory *memory, bool shared)
{
	struct iovec iov = { .iov_len = HV_PAGE_SIZE };
	uint8_t seen[HV_PAGE_SIZE];
	uint8_t *bytes;
	int pipes[2];

	assert_int_equal(vid_memory_add(memory, region(0, 2 * MIB), VID_MEMORY_SMALL, shared), 0);
	bytes = vid_memory_map(memory, GPA(0), 2 * MIB);
	memset(bytes, 0x5a, 2 * MIB);
	iov.iov_base = bytes + HV_PAGE_SIZE;
	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(vmsplice(pipes[1], &iov, 1, 0), HV_PAGE_SIZE);
	assert_int_equal(vid_memory_discard_range(memory, GPA(0), 2 * MIB), 0);
	memset(bytes, 0x77, 2 * MIB);
	assert_int_equal(read(pipes[0], seen, sizeof(seen)), sizeof(seen));
	for (size_t b = 0; b < sizeof(seen); b++) {
		assert_int_equal(seen[b], 0x5a);
		assert_int_equal(bytes[HV_PAGE_SIZE + b], 0x77);
	}
	close(pipes[0]);
	close(pipes[1]);
}

static void test_discard_under_io(void **state)
{
	discard_under_io(*state, false);
}

static void test_discard_under_io_shared(void **state)
{
	discard_under_io(*state, true);
}

/* ---- Huge pages that the host sets aside ---- */

#define POOL "/sys/kernel/mm/hugepages/hugepages-2048kB/"

static long pool_read(const char *path)
{
	FILE *file = fopen(path, "re");
	long value = -1;

	if (file && fscanf(file, "%ld", &value) != 1)
		value = -1;
	if (file)
		fclose(file);
	return value;
}

static bool pool_resize(long count)
{
	FILE *file = fopen(POOL "nr_hugepages", "we");
	bool written = file && fprintf(file, "%ld", count) > 0;

	if (file && fclose(file) != 0)
		written = false;
	return written;
}

static long pool_before = -1; /* how many there were, if the test has changed that */

/* As many free pages as asked for, more set aside if there are not and we may; else skips. */
static void pool_require(long count)
{
	long total = pool_read(POOL "nr_hugepages");
	long spare = pool_read(POOL "free_hugepages") - pool_read(POOL "resv_hugepages");

	if (total >= 0 && spare < count && pool_resize(total + count - spare)) {
		pool_before = total;
		spare = pool_read(POOL "free_hugepages") - pool_read(POOL "resv_hugepages");
	}
	if (total < 0 || spare < count) {
		print_message("no %ld huge pages of 2 MiB: set vm.nr_hugepages, or be root\n",
			      count);
		skip();
	}
}

static int teardown_pool(void **state)
{
	teardown(state);
	if (pool_before >= 0 && !pool_resize(pool_before))
		return -1;
	pool_before = -1;
	return 0;
}

/*
 * A reset leaves the guest its pages, those that it touched and those that it did not: nobody else
 * gets them meanwhile.
 */
static void hugetlb_survives_discard(struct vid_memory *memory, bool shared)
{
	const uint64_t size = 6 * MIB;
	long available, reserved;
	uint64_t offset;
	uint8_t *bytes, *theirs = NULL;

	pool_require(4);
	assert_int_equal(vid_memory_add(memory, region(0, size), VID_MEMORY_HUGETLB, shared), 0);
	bytes = vid_memory_map(memory, GPA(0), size);
	memset(bytes, 0x5a, 2 * MIB);
	available = pool_read(POOL "free_hugepages");
	reserved = pool_read(POOL "resv_hugepages");
	assert_true(reserved >= 2);
	assert_int_equal(vid_memory_discard_range(memory, GPA(0), 2 * MIB), -EOPNOTSUPP);
	assert_int_equal(bytes[0], 0x5a);
	assert_int_equal(vid_memory_discard(memory), 0);
	assert_int_equal(pool_read(POOL "free_hugepages"), available);
	assert_int_equal(pool_read(POOL "resv_hugepages"), reserved);
	for (size_t b = 0; b < 2 * MIB; b += 511)
		assert_int_equal(bytes[b], 0);
	if (shared) { /* what another process writes where we were not */
		theirs = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED,
			      vid_memory_share(memory, 0, &offset), 0);
		assert_ptr_not_equal(theirs, MAP_FAILED);
		theirs[size - 1] = 0x77;
		assert_int_equal(vid_memory_discard(memory), 0);
		assert_int_equal(theirs[size - 1], 0);
		munmap(theirs, size);
	}
	memset(bytes, 1, size);
}

static void test_hugetlb(void **state)
{
	hugetlb_survives_discard(*state, false);
}

static void test_runs(void **state)
{
	struct vid_memory *memory = *state;
	static const struct {
		uint64_t gpa, size, run;
		bool is_ram;
	} rows[] = {
		{ 0, MIB, MIB, false },
		{ 0, 8 * MIB, 2 * MIB, false },
		{ 2 * MIB, 8 * MIB, MIB, true },
		{ 2 * MIB + 5, 9, 9, true },
		{ 3 * MIB - 1, 2, 1, true },
		{ 3 * MIB, 8 * MIB, MIB, true }, /* a region of its own */
		{ 4 * MIB, 8 * MIB, MIB, false },
		{ 5 * MIB, 8 * MIB, MIB, true },
		{ 6 * MIB, 8 * MIB, 8 * MIB, false },
	};

	assert_int_equal(add(memory, 5 * MIB, MIB), 0);
	assert_int_equal(add(memory, 2 * MIB, MIB), 0);
	assert_int_equal(add(memory, 3 * MIB, MIB), 0);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		bool is_ram;

		assert_int_equal(vid_memory_run(memory, GPA(rows[i].gpa), rows[i].size, &is_ram),
				 rows[i].run);
		assert_int_equal(is_ram, rows[i].is_ram);
	}
}

/* What the host writes may go from one region into the next, and over memory that is none. */
static void test_marks_across_regions(void **state)
{
	struct vid_memory *memory = *state;
	uint64_t bitmap;

	assert_int_equal(add(memory, 0, 16 * HV_PAGE_SIZE), 0);
	assert_int_equal(add(memory, 16 * HV_PAGE_SIZE, 16 * HV_PAGE_SIZE), 0);
	assert_int_equal(add(memory, 40 * HV_PAGE_SIZE, 16 * HV_PAGE_SIZE), 0);
	assert_int_equal(vid_memory_track_dirty(memory, true), 0);
	vid_memory_mark_written(memory, GPA(15 * HV_PAGE_SIZE + 1), HV_PAGE_SIZE);
	assert_int_equal(vid_memory_read_dirty(memory, 0, &bitmap, 1), 0);
	assert_int_equal(bitmap, 1 << 15);
	assert_int_equal(vid_memory_read_dirty(memory, 1, &bitmap, 1), 0);
	assert_int_equal(bitmap, 1);
	vid_memory_mark_written(memory, GPA(30 * HV_PAGE_SIZE), 12 * HV_PAGE_SIZE);
	assert_int_equal(vid_memory_read_dirty(memory, 0, &bitmap, 1), 0);
	assert_int_equal(bitmap, 0);
	assert_int_equal(vid_memory_read_dirty(memory, 1, &bitmap, 1), 0);
	assert_int_equal(bitmap, 3 << 14);
	assert_int_equal(vid_memory_read_dirty(memory, 2, &bitmap, 1), 0);
	assert_int_equal(bitmap, 3);
	vid_memory_mark_written(memory, GPA(55 * HV_PAGE_SIZE), UINT64_MAX);
	assert_int_equal(vid_memory_read_dirty(memory, 2, &bitmap, 1), 0);
	assert_int_equal(bitmap, 1 << 15);
}

static void test_hugetlb_shared(void **state)
{
	hugetlb_survives_discard(*state, true);
}

/* Without a partition: what the host itself reports. */
static void test_host_writes_are_tracked(void **state)
{
	struct vid_memory *memory = *state;
	uint64_t bitmap[9], pages = 513;

	assert_int_equal(add(memory, 0, pages * HV_PAGE_SIZE), 0);
	assert_int_equal(vid_memory_read_dirty(memory, 0, bitmap, 9), -EINVAL);
	vid_memory_mark_written(memory, GPA(0), 1); /* not tracked yet */
	assert_int_equal(vid_memory_track_dirty(memory, true), 0);
	assert_int_equal(vid_memory_track_dirty(memory, true), 0);
	vid_memory_mark_written(memory, GPA(0x3fff), 2);
	vid_memory_mark_written(memory, GPA((pages - 1) * HV_PAGE_SIZE), HV_PAGE_SIZE);
	vid_memory_mark_written(memory, GPA(0x9000), 0);
	vid_memory_mark_written(memory, GPA(pages * HV_PAGE_SIZE), 1);
	vid_memory_mark_written(memory, GPA((pages - 1) * HV_PAGE_SIZE), 2 * HV_PAGE_SIZE);
	assert_int_equal(vid_memory_read_dirty(memory, 0, bitmap, 8), -EINVAL);
	assert_int_equal(vid_memory_read_dirty(memory, 1, bitmap, 9), -EINVAL);
	assert_int_equal(vid_memory_read_dirty(memory, 0, bitmap, 9), 0);
	assert_int_equal(bitmap[0], 3 << 3);
	for (size_t i = 1; i < 8; i++)
		assert_int_equal(bitmap[i], 0);
	assert_int_equal(bitmap[8], 1);
	assert_int_equal(vid_memory_read_dirty(memory, 0, bitmap, 9), 0);
	for (size_t i = 0; i < 9; i++)
		assert_int_equal(bitmap[i], 0);
	assert_int_equal(vid_memory_discard(memory), 0);
	assert_int_equal(vid_memory_read_dirty(memory, 0, bitmap, 9), 0);
	assert_int_equal(bitmap[0], UINT64_MAX);
	assert_int_equal(bitmap[8], 1);
	assert_int_equal(vid_memory_track_dirty(memory, false), 0);
	assert_int_equal(vid_memory_read_dirty(memory, 0, bitmap, 9), -EINVAL);
}

static void test_a_node_of_the_host_is_preferred(void **state)
{
	struct vid_memory *memory = *state;
	int r;

	assert_int_equal(add(memory, 0, 4 * MIB), 0);
	assert_int_equal(vid_memory_prefer(memory, region(0, 8 * MIB), 0), -EINVAL);
	assert_int_equal(vid_memory_prefer(memory, region(0x800, 0x1000), 0), -EINVAL);
	assert_int_equal(vid_memory_prefer(memory, region(0, 0x1000), VID_HOST_NODE_MAX + 1),
			 -EINVAL);
	r = vid_memory_prefer(memory, region(2 * MIB, 2 * MIB), 0);
	if (r == -ENOSYS)
		skip(); /* a kernel without nodes */
	assert_int_equal(r, 0);
	memset(vid_memory_map(memory, GPA(0), 4 * MIB), 1, 4 * MIB);
	assert_int_equal(vid_memory_prefer(memory, region(0, 2 * MIB), VID_HOST_NODE_MAX), -EINVAL);
}

int main(void)
{
#define TEST(name)      cmocka_unit_test_setup_teardown(name, setup, teardown)
#define TEST_POOL(name) cmocka_unit_test_setup_teardown(name, setup, teardown_pool)
	const struct CMUnitTest tests[] = {
		TEST(test_ranges_are_checked),
		TEST(test_regions_do_not_overlap),
		TEST(test_map_is_bounded),
		TEST(test_host_and_guest_agree_modulo_2_mib),
		TEST(test_too_many_regions),
		TEST(test_taking_over),
		TEST(test_taking_over),
		TEST(test_sharing),
		TEST(test_discard_gives_zeros),
		TEST(test_host_writes_are_tracked),
		TEST(test_runs),
		TEST(test_marks_across_regions),
		TEST(test_discard_range),
		TEST(test_discard_range_shared),
		TEST(test_discard_range_is_checked),
		TEST(test_discard_across_regions),
		TEST(test_discard_under_io),
		TEST(test_discard_under_io_shared),
		TEST(test_a_node_of_the_host_is_preferred),
		TEST_POOL(test_hugetlb),
		TEST_POOL(test_hugetlb_shared),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
