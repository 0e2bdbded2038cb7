/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which blocks of a disk have changed, and views of a disk that its guest writes on: against a model
 * that knows every granule, at any moment.
 */
#include "common/image/image.h"
#include "tests/fake/disk_memory.h"
#include "tests/unit/unit.h"
#include "vsp/storage/disk_changes.h"
#include "vsp/storage/disk_point.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define GRANULE   65536u
#define DISK_SIZE (48u << 20)
#define GRANULES  (DISK_SIZE / GRANULE)
#define REQUESTS  64
#define STEPS     1500

struct one {
	struct disk_request request;
	struct iovec iov;
	bool under_way;
	int result;
};

static struct fixture {
	struct loop *loop;
	struct disk *disk;
	struct disk_point *point;
	int map, image;
	struct one all[REQUESTS];
	uint8_t *before;            /* what the disk was when changes began to count */
	uint8_t *source;            /* what is written */
	bool changed[2 * GRANULES]; /* by requests that were submitted */
	unsigned written;           /* points that the file has */
	bool retired;
	unsigned seed;
} f;

static unsigned roll(unsigned most)
{
	return (unsigned)rand_r(&f.seed) % most;
}

static void run(unsigned turns)
{
	for (unsigned i = 0; i < turns; i++)
		assert_int_equal(loop_run_once(f.loop, 1000000), 0);
}

/* ---- Files ---- */

static int file_new(uint64_t size)
{
	int fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	return fd;
}

/* The same file, opened once more. */
static int file_again(int fd, int flags)
{
	char path[64];
	int again;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	again = open(path, flags | O_CLOEXEC);
	assert_true(again >= 0);
	return again;
}

static void attach(enum changes_loss expected)
{
	struct changes_identity opened;
	enum changes_loss loss;

	changes_identify(disk_descriptor(f.disk), &opened);
	assert_int_equal(
		disk_changes_new(f.disk, f.loop, file_again(f.map, O_RDWR), &opened, &loss), 0);
	assert_int_equal(loss, expected);
}

static int setup(void **state)
{
	struct changes_head head;

	memset(&f, 0, sizeof(f));
	f.seed = 1;
	f.image = -1;
	assert_int_equal(loop_new(256, &f.loop), 0);
	assert_int_equal(disk_memory_new(f.loop, DISK_SIZE, 512, &f.disk), 0);
	changes_head_init(&head, DISK_SIZE);
	assert_int_equal(head.shift, 16);
	f.map = file_new(changes_file_size(&head));
	f.before = malloc(DISK_SIZE);
	f.source = malloc(4 << 20);
	for (unsigned i = 0; i < 4 << 20; i++)
		f.source[i] = (uint8_t)roll(256);
	return 0;
}

static void set_retired(void *data)
{
	f.retired = true;
}

static void retire(void)
{
	f.retired = false;
	disk_retire(f.disk, set_retired, NULL);
	for (unsigned i = 0; i < 1000 && !f.retired; i++)
		run(1);
	assert_true(f.retired);
	f.disk = NULL;
}

static int teardown(void **state)
{
	if (f.disk)
		retire();
	if (f.point)
		disk_point_end(f.point, false);
	loop_free(f.loop);
	close(f.map);
	if (f.image >= 0)
		close(f.image);
	free(f.before);
	free(f.source);
	return 0;
}

/* ---- The guest ---- */

static void complete(struct disk_request *request, int result)
{
	struct one *one = container_of(request, struct one, request);

	one->under_way = false;
	one->result = result;
}

static void submit(unsigned number, enum disk_operation operation, uint64_t offset, uint64_t size)
{
	struct one *one = &f.all[number];

	assert_false(one->under_way);
	one->under_way = true;
	one->iov = (struct iovec){ f.source + roll(3 << 20), size };
	one->request = (struct disk_request){ .operation = operation,
					      .offset = offset,
					      .size = size,
					      .iov = &one->iov,
					      .iov_count = 1,
					      .complete = complete };
	for (uint64_t i = offset / GRANULE; size > 0 && i <= (offset + size - 1) / GRANULE; i++)
		f.changed[i] = true;
	disk_submit(f.disk, &one->request);
}

static void submit_some(void)
{
	static const enum disk_operation operations[] = { DISK_WRITE, DISK_WRITE, DISK_ZERO,
							  DISK_UNMAP };
	enum disk_operation operation = operations[roll(4)];
	uint64_t size = 512 * (1 + roll(operation == DISK_WRITE ? 1024 : 4096));
	unsigned number = roll(REQUESTS);

	if (!f.all[number].under_way)
		submit(number, operation, 512 * (uint64_t)roll((DISK_SIZE - size) / 512 + 1), size);
}

static bool is_quiet(void)
{
	for (unsigned i = 0; i < REQUESTS; i++) {
		if (f.all[i].under_way)
			return false;
	}
	return true;
}

static void settle(void)
{
	for (unsigned i = 0; i < 10000 && (!is_quiet() || f.disk->in_flight > 0); i++)
		run(1);
	assert_true(is_quiet());
	for (unsigned i = 0; i < REQUESTS; i++)
		assert_int_equal(f.all[i].result, 0);
}

/* ---- Points ---- */

static void point_written(void *data)
{
	f.written++;
}

static struct guid point_id(unsigned number)
{
	return GUID(number, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10);
}

static int begin(unsigned number, uint64_t scratch)
{
	struct guid id = point_id(number);

	return disk_changes_begin_point(disk_changes_of(f.disk), &id, file_new(0), scratch,
					point_written, NULL, &f.point);
}

static void end(bool whole)
{
	disk_point_end(f.point, whole);
	f.point = NULL;
}

/* A backup of all. From now on changes count. */
static void begin_chain(unsigned number)
{
	assert_int_equal(begin(number, 0), 0);
	end(true);
	settle();
	memset(f.changed, 0, sizeof(f.changed));
	memcpy(f.before, disk_memory_bytes(f.disk), DISK_SIZE);
}

/* ---- What the file knows ---- */

static bool *read_known(unsigned number, bool exactly)
{
	static bool known[GRANULES];
	struct changes_identity nobody = { 0 };
	struct changes_head head;
	struct guid id = point_id(number);
	uint64_t *bits;

	assert_int_equal(changes_file_read(f.map, DISK_SIZE, &nobody, &head, &bits), 0);
	assert_true(changes_head_knows(&head, &id));
	assert_int_equal((head.flags & CHANGES_CLOSED) != 0, exactly);
	for (unsigned i = 0; i < GRANULES; i++)
		known[i] = bits[i / 64] & UINT64_C(1) << i % 64;
	free(bits);
	return known;
}

/* As after a loss of power now: all that differs is known. */
static void expect_known(unsigned number)
{
	const bool *known = read_known(number, false);

	for (unsigned i = 0; i < GRANULES; i++) {
		if (memcmp(f.before + i * GRANULE, disk_memory_bytes(f.disk) + i * GRANULE,
			   GRANULE) != 0)
			assert_true(known[i]);
	}
}

/* ---- Tests ---- */

static void test_loss_of_power_at_any_moment(void **state)
{
	unsigned point = 1;

	attach(CHANGES_NEW);
	begin_chain(point);
	submit(0, DISK_WRITE, 0, 512);
	settle();
	for (unsigned i = 0; i < STEPS; i++) {
		if (roll(3) == 0)
			submit_some();
		run(1);
		expect_known(point);
		if (roll(400) == 0) {
			settle();
			begin_chain(++point);
			submit(0, DISK_WRITE, 0, 512);
			settle();
		}
	}
}

/* A region is written down once, and nothing at all without a chain. */
static void test_written_down_once(void **state)
{
	struct stat first, second;

	attach(CHANGES_NEW);
	run(5);
	assert_int_equal(fstat(f.map, &first), 0);
	submit(0, DISK_WRITE, 0, 4096);
	settle();
	begin_chain(1);
	submit(0, DISK_WRITE, 0, 4096);
	settle();
	assert_true(read_known(1, false)[0]);
	assert_int_equal(fstat(f.map, &first), 0);
	usleep(20000); /* by which times of files differ */
	for (unsigned i = 0; i < CHANGES_REGION; i++) {
		submit(i % REQUESTS, DISK_WRITE, i * GRANULE, 4096);
		run(1);
	}
	settle();
	assert_int_equal(fstat(f.map, &second), 0);
	assert_int_equal(memcmp(&first.st_mtim, &second.st_mtim, sizeof(first.st_mtim)), 0);
}

static void test_closed_file_knows_exactly(void **state)
{
	const bool *known;

	attach(CHANGES_NEW);
	begin_chain(1);
	for (unsigned i = 0; i < 20; i++) {
		submit_some();
		run(1);
	}
	settle();
	retire();
	known = read_known(1, true);
	for (unsigned i = 0; i < GRANULES; i++)
		assert_int_equal(known[i], f.changed[i]);

	/* And so does who goes on with it, whose first change says that it is not closed. */
	assert_int_equal(disk_memory_new(f.loop, DISK_SIZE, 512, &f.disk), 0);
	attach(_CHANGES_KEPT);
	submit(0, DISK_WRITE, 5 * GRANULE, 512);
	settle();
	known = read_known(1, false);
	assert_true(known[5]);
	for (unsigned i = 0; i < GRANULES; i++)
		assert_true(known[i] || !f.changed[i]);
	retire();
	known = read_known(1, true);
	for (unsigned i = 0; i < GRANULES; i++)
		assert_int_equal(known[i], f.changed[i]);
}

static void expect_changed(const bool *expected)
{
	uint64_t size;

	for (unsigned i = 0; i < GRANULES; i++)
		assert_int_equal(
			disk_point_has_changed(f.point, (uint64_t)i * GRANULE, GRANULE, &size),
			expected[i]);
}

/* An increment has what changed since the last one, and that before if it came to nothing. */
static void test_increments(void **state)
{
	struct guid first = point_id(1), second = point_id(2);

	attach(CHANGES_NEW);
	begin_chain(1);
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < 10; i++)
			submit_some();
		settle();
		assert_int_equal(begin(2, DISK_SIZE), 0);
		assert_true(changes_head_knows(disk_point_known(f.point), &first));
		assert_int_equal(changes_head_knows(disk_point_known(f.point), &second), round > 0);
		expect_changed(f.changed);
		submit_some();
		settle();
		end(false);
		settle();
	}
	assert_int_equal(begin(3, DISK_SIZE), 0);
	expect_changed(f.changed);
	memset(f.changed, 0, sizeof(f.changed));
	submit_some(); /* after it */
	settle();
	end(true);
	settle();
	assert_int_equal(begin(4, DISK_SIZE), 0);
	assert_false(changes_head_knows(disk_point_known(f.point), &first));
	expect_changed(f.changed);
}

static void read_complete(struct disk_point_read *read, int result)
{
	*(int *)((uint8_t *)read->buffer + read->size) = result + 1000;
}

static int read_view(uint64_t offset, uint32_t size, uint8_t *buffer)
{
	struct disk_point_read read = {
		.offset = offset, .size = size, .buffer = buffer, .complete = read_complete
	};
	int *result = (int *)(buffer + size);

	*result = 0;
	disk_point_read(f.point, &read);
	for (unsigned i = 0; i < 1000 && *result == 0; i++) {
		if (roll(3) == 0)
			submit_some();
		run(1);
	}
	return *result - 1000;
}

/* Whatever the guest does meanwhile. */
static void test_view(void **state)
{
	uint8_t *buffer = aligned_alloc(4096, 2 << 20);

	attach(CHANGES_NEW);
	for (unsigned i = 0; i < 200; i++) {
		submit_some();
		run(1);
	}
	settle();
	memcpy(f.before, disk_memory_bytes(f.disk), DISK_SIZE);
	assert_int_equal(begin(1, DISK_SIZE), 0);
	for (unsigned i = 0; i < 300; i++) {
		uint32_t size = 512 * (1 + roll(2000));
		uint64_t offset = 512 * (uint64_t)roll((DISK_SIZE - size) / 512);

		assert_int_equal(read_view(offset, size, buffer), 0);
		assert_memory_equal(buffer, f.before + offset, size);
	}
	settle();
	assert_true(memcmp(f.before, disk_memory_bytes(f.disk), DISK_SIZE) != 0);
	assert_true(disk_point_copied(f.point) > 0);
	assert_int_equal(f.written, 1);
	free(buffer);
}

/* What is let go is not copied, and cannot be read. */
static void test_release(void **state)
{
	uint8_t *buffer = aligned_alloc(4096, 2 * GRANULE);

	attach(CHANGES_NEW);
	assert_int_equal(begin(1, DISK_SIZE), 0);
	disk_point_release(f.point, GRANULE / 2, DISK_SIZE / 2);
	submit(0, DISK_WRITE, 4 * GRANULE, 16 * GRANULE);
	settle();
	assert_int_equal(disk_point_copied(f.point), 0);
	submit(0, DISK_WRITE, 0, 512);
	settle();
	assert_int_equal(disk_point_copied(f.point), GRANULE);
	assert_int_equal(read_view(GRANULE, GRANULE, buffer), -ENODATA);
	assert_int_equal(read_view(0, GRANULE, buffer), 0);
	free(buffer);
}

/* The backup fails, the guest does not; and what is known goes on. */
static void test_full_scratch(void **state)
{
	uint8_t *buffer = aligned_alloc(4096, 2 * GRANULE);

	attach(CHANGES_NEW);
	begin_chain(1);
	assert_int_equal(begin(2, 8 * GRANULE), 0);
	submit(0, DISK_WRITE, 0, 8 * GRANULE);
	settle();
	assert_int_equal(read_view(0, GRANULE, buffer), 0);
	settle();
	for (unsigned i = 0; i < 20; i++) {
		submit(i, DISK_WRITE, (10 + i) * GRANULE, 2 * GRANULE);
		run(1);
	}
	settle();
	assert_int_equal(read_view(40 * GRANULE, GRANULE, buffer), -ENOSPC);
	settle();
	end(false);
	settle();
	assert_int_equal(begin(3, DISK_SIZE), 0);
	expect_changed(f.changed);
	free(buffer);
}

/* Whoever reads a view of a disk that is given up gets an error, and requests that wait end. */
static void test_retired_disk(void **state)
{
	uint8_t *buffer = aligned_alloc(4096, 2 * GRANULE);

	attach(CHANGES_NEW);
	begin_chain(1);
	assert_int_equal(begin(2, DISK_SIZE), 0);
	for (unsigned i = 0; i < 40; i++)
		submit(i, DISK_WRITE, i * GRANULE, GRANULE);
	run(1);
	retire();
	assert_true(is_quiet());
	for (unsigned i = 0; i < 40; i++)
		assert_true(f.all[i].result == 0 || f.all[i].result == -ECANCELED);
	for (unsigned i = 0; i < REQUESTS; i++)
		f.all[i].under_way = true; /* no more of these */
	assert_int_equal(read_view(0, GRANULE, buffer), -ECANCELED);
	assert_int_equal(disk_point_size(f.point), DISK_SIZE);
	free(buffer);
}

static void test_one_view_at_a_time(void **state)
{
	attach(CHANGES_NEW);
	assert_int_equal(begin(1, DISK_SIZE), 0);
	assert_int_equal(begin(2, DISK_SIZE), -EBUSY);
	end(true);
	settle();
	submit(0, DISK_WRITE, 0, 512);
	assert_int_equal(begin(2, DISK_SIZE), -EBUSY);
	settle();
	assert_int_equal(begin(2, DISK_SIZE), 0);
}

/* The guest goes on, and the next backup is a full one. */
static void test_file_that_takes_nothing(void **state)
{
	struct changes_identity nobody = { 0 };
	struct guid first = point_id(1);
	enum changes_loss loss;

	attach(CHANGES_NEW);
	begin_chain(1);
	submit(0, DISK_WRITE, 0, 512);
	settle();
	retire();
	assert_int_equal(disk_memory_new(f.loop, DISK_SIZE, 512, &f.disk), 0);
	assert_int_equal(
		disk_changes_new(f.disk, f.loop, file_again(f.map, O_RDONLY), &nobody, &loss), 0);
	assert_int_equal(loss, _CHANGES_KEPT);
	for (unsigned i = 0; i < 30; i++) {
		submit_some();
		run(1);
	}
	settle();
	assert_int_equal(begin(2, DISK_SIZE), 0);
	assert_false(changes_head_knows(disk_point_known(f.point), &first));
}

/* ---- Of a raw file ---- */

static void open_image(uint64_t size)
{
	const struct image_options options = { .sector_size = 512 };
	struct image image;

	if (f.image < 0)
		f.image = file_new(size);
	assert_int_equal(image_examine(file_again(f.image, O_RDWR), &options, &image), 0);
	assert_int_equal(disk_file_new(f.loop, &image, 512, &f.disk), 0);
}

static void close_memory(void)
{
	retire();
	open_image(DISK_SIZE);
}

static void test_changed_outside(void **state)
{
	close_memory();
	attach(CHANGES_NEW);
	assert_int_equal(begin(1, 0), 0);
	end(true);
	settle();
	submit(0, DISK_WRITE, 0, 512);
	settle();
	retire();
	open_image(0);
	attach(_CHANGES_KEPT);
	retire();
	usleep(20000); /* by which times of files differ */
	assert_int_equal(pwrite(f.image, "x", 1, 12345), 1);
	open_image(0);
	attach(CHANGES_OUTSIDE);
}

static void test_grown(void **state)
{
	bool expected[GRANULES + 16] = { false };
	uint64_t size;

	close_memory();
	attach(CHANGES_NEW);
	assert_int_equal(begin(1, 0), 0);
	end(true);
	settle();
	assert_int_equal(ftruncate(f.image, DISK_SIZE + 16 * GRANULE), 0);
	assert_int_equal(disk_measure(f.disk), 0);
	assert_int_equal(f.disk->size, DISK_SIZE + 16 * GRANULE);
	settle();
	assert_int_equal(begin(2, DISK_SIZE), 0);
	memset(expected + GRANULES, true, 16);
	for (unsigned i = 0; i < GRANULES + 16; i++)
		assert_int_equal(
			disk_point_has_changed(f.point, (uint64_t)i * GRANULE, GRANULE, &size),
			expected[i]);
	end(false);
	retire();

	/* One that became smaller begins anew. */
	assert_int_equal(ftruncate(f.image, DISK_SIZE / 2), 0);
	open_image(0);
	attach(CHANGES_OUTSIDE);
}

/* Heads that somebody else has written. */
static void test_torn(void **state)
{
	struct changes_identity nobody = { 0 };
	struct changes_head head;
	uint64_t *bits;

	attach(CHANGES_NEW);
	begin_chain(1);
	retire();
	for (unsigned i = 0; i < 200; i++) {
		uint8_t byte, other;

		assert_int_equal(pread(f.map, &byte, 1, i), 1);
		other = byte ^ (uint8_t)(1u << roll(8));
		assert_int_equal(pwrite(f.map, &other, 1, i), 1);
		assert_int_equal(changes_file_read(f.map, DISK_SIZE, &nobody, &head, &bits),
				 CHANGES_TORN);
		assert_int_equal(head.point_count, 0);
		free(bits);
		assert_int_equal(pwrite(f.map, &byte, 1, i), 1);
	}
	/* Right sums, of values that cannot be. */
	assert_int_equal(pread(f.map, &head, sizeof(head), 0), sizeof(head));
	head.capacity = UINT64_C(1) << 60;
	changes_head_seal(&head);
	assert_int_equal(pwrite(f.map, &head, sizeof(head), 0), sizeof(head));
	assert_int_equal(changes_file_read(f.map, DISK_SIZE, &nobody, &head, &bits), CHANGES_TORN);
	free(bits);
	assert_int_equal(ftruncate(f.map, 100), 0);
	assert_int_equal(changes_file_read(f.map, DISK_SIZE, &nobody, &head, &bits), CHANGES_TORN);
	free(bits);
}

/* Memory and file are bounded, however large the disk is. */
static void test_huge(void **state)
{
	struct changes_head head;

	changes_head_init(&head, UINT64_C(64) << 40);
	assert_true(changes_granule_count(&head, UINT64_C(64) << 40) <= CHANGES_GRANULES_MAX);
	assert_true(changes_file_size(&head) <= UINT64_C(9) << 20);
	changes_head_seal(&head);
	assert_true(changes_head_is_valid(&head));
	changes_head_init(&head, UINT64_C(1) << 40);
	assert_int_equal(head.shift, 16);
	assert_in_range(changes_granules_offset(&head), 4096, 512 << 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_loss_of_power_at_any_moment, setup, teardown),
		cmocka_unit_test_setup_teardown(test_written_down_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_closed_file_knows_exactly, setup, teardown),
		cmocka_unit_test_setup_teardown(test_increments, setup, teardown),
		cmocka_unit_test_setup_teardown(test_view, setup, teardown),
		cmocka_unit_test_setup_teardown(test_release, setup, teardown),
		cmocka_unit_test_setup_teardown(test_full_scratch, setup, teardown),
		cmocka_unit_test_setup_teardown(test_retired_disk, setup, teardown),
		cmocka_unit_test_setup_teardown(test_one_view_at_a_time, setup, teardown),
		cmocka_unit_test_setup_teardown(test_file_that_takes_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_changed_outside, setup, teardown),
		cmocka_unit_test_setup_teardown(test_grown, setup, teardown),
		cmocka_unit_test_setup_teardown(test_torn, setup, teardown),
		cmocka_unit_test(test_huge),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
