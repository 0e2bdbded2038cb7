/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Disks on files and block devices: data, alignment, flushing, giving back, and faults. */
#include "common/image/image.h"
#include "tests/unit/unit.h"
#include "vsp/iov.h"
#include "vsp/storage/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define SIZE        (1u << 20)
#define BUFFER      (512u << 10)
#define REQUEST_MAX 16

struct request {
	struct disk_request request;
	struct iovec iov[8];
	bool completed;
	int result;
};

struct fixture {
	char directory[64], path[80];
	struct loop *loop;
	struct buffer_pool *buffers;
	struct disk *disk;
	bool direct, retired;
	int loop_fd, loop_number; /* of a loop device; -1: there is none */
	uint8_t *data, *other;
	struct request requests[REQUEST_MAX];
};

static struct fixture *fixture_new(const char *directory)
{
	struct fixture *f = calloc(1, sizeof(*f));
	int fd;

	f->loop_fd = -1;
	snprintf(f->directory, sizeof(f->directory), "%s/vmms-disk-XXXXXX", directory);
	assert_non_null(mkdtemp(f->directory));
	snprintf(f->path, sizeof(f->path), "%s/disk", f->directory);
	fd = open(f->path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, SIZE), 0);
	close(fd);
	assert_int_equal(loop_new(256, &f->loop), 0);
	assert_int_equal(buffer_pool_new(2, &f->buffers), 0);
	f->data = aligned_alloc(4096, BUFFER + 4096);
	f->other = aligned_alloc(4096, BUFFER + 4096);
	return f;
}

static void fixture_open(struct fixture *f, const char *path, bool direct, bool read_only)
{
	struct image_options options = {
		.direct = direct,
		.read_only = read_only,
		.sector_size = 512,
	};
	struct image image;

	assert_int_equal(image_open(path, &options, &image), 0);
	f->direct = image.direct;
	assert_int_equal(disk_file_new(f->loop, &image, 512, &f->disk), 0);
}

static int setup_buffered(void **state)
{
	struct fixture *f = fixture_new("/var/tmp");

	fixture_open(f, f->path, false, false);
	*state = f;
	return 0;
}

static int setup_direct(void **state)
{
	struct fixture *f = fixture_new("/var/tmp");

	fixture_open(f, f->path, true, false);
	*state = f;
	return 0;
}

/* A loop device on the file, if there may be one; else the test is skipped. */
static void attach_loop_device(struct fixture *f, uint32_t block_size)
{
	/* It goes with its last user, even if this test ends early. */
	struct loop_config config = {
		.block_size = block_size,
		.info.lo_flags = LO_FLAGS_AUTOCLEAR,
	};
	int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	int number = control < 0 ? -1 : ioctl(control, LOOP_CTL_GET_FREE);
	int backing = open(f->path, O_RDWR | O_CLOEXEC);
	char path[32];

	snprintf(path, sizeof(path), "/dev/loop%d", number);
	f->loop_fd = number < 0 ? -1 : open(path, O_RDWR | O_CLOEXEC);
	config.fd = (uint32_t)backing;
	if (f->loop_fd >= 0 && ioctl(f->loop_fd, LOOP_CONFIGURE, &config) < 0) {
		close(f->loop_fd);
		f->loop_fd = -1;
	}
	if (f->loop_fd >= 0) {
		f->loop_number = number;
		fixture_open(f, path, true, false);
	}
	close(backing);
	if (control >= 0)
		close(control);
}

static int setup_block_device(void **state)
{
	struct fixture *f = fixture_new("/var/tmp");

	attach_loop_device(f, 512);
	*state = f;
	return 0;
}

/* With blocks larger than the sectors of the disk on it. */
static int setup_large_blocks(void **state)
{
	struct fixture *f = fixture_new("/var/tmp");

	attach_loop_device(f, 4096);
	*state = f;
	return 0;
}

static void set_retired(void *data)
{
	((struct fixture *)data)->retired = true;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	if (f->disk) {
		disk_retire(f->disk, set_retired, f);
		assert_true(f->retired);
	}
	if (f->loop_fd >= 0)
		close(f->loop_fd);
	buffer_pool_free(f->buffers);
	loop_free(f->loop);
	unlink(f->path);
	rmdir(f->directory);
	free(f->data);
	free(f->other);
	free(f);
	return 0;
}

static void complete(struct disk_request *request, int result)
{
	struct request *r = container_of(request, struct request, request);

	r->completed = true;
	r->result = result;
}

static void start(struct fixture *f, struct request *r, struct disk_request request)
{
	r->completed = false;
	r->request = request;
	r->request.complete = complete;
	r->request.buffers = f->buffers;
	disk_submit(f->disk, &r->request);
	assert_false(r->completed);
}

static int finish(struct fixture *f, struct request *r)
{
	for (int i = 0; i < 1000 && !r->completed; i++)
		assert_int_equal(loop_run_once(f->loop, 1000000000), 0);
	assert_true(r->completed);
	return r->result;
}

static int run(struct fixture *f, struct disk_request request)
{
	start(f, &f->requests[0], request);
	return finish(f, &f->requests[0]);
}

/* Reads or writes `size` bytes at `memory`, cut at `cut` if that is inside. */
static int move(struct fixture *f, enum disk_operation operation, uint8_t *memory, size_t cut,
		size_t size, uint64_t offset, bool durable)
{
	struct iovec *iov = f->requests[0].iov;
	bool in_two = cut > 0 && cut < size;

	iov[0] = (struct iovec){ memory, in_two ? cut : size };
	iov[1] = (struct iovec){ memory + cut, size - cut };
	return run(f, (struct disk_request){ .operation = operation,
					     .durable = durable,
					     .offset = offset,
					     .size = size,
					     .iov = iov,
					     .iov_count = in_two ? 2 : 1 });
}

static void fill(uint8_t *data, unsigned seed, size_t size)
{
	for (size_t i = 0; i < size; i++)
		data[i] = (uint8_t)(seed + i * 17 + i / 512);
}

/* What the file holds, by another way than the one under test. */
static void expect_in_file(struct fixture *f, uint64_t offset, const uint8_t *expected, size_t size)
{
	uint8_t *bytes = malloc(size);
	int fd = open(f->path, O_RDONLY | O_CLOEXEC);

	if (f->loop_fd >= 0)
		assert_int_equal(fsync(f->loop_fd), 0);
	assert_int_equal(pread(fd, bytes, size, (off_t)offset), size);
	assert_memory_equal(bytes, expected, size);
	close(fd);
	free(bytes);
}

/* Addresses and lengths of all sorts; direct I/O cannot do most of them in place. */
/* Every request is in a bucket, and their bounds agree with the sum of their times. */
static void assert_latency(const struct disk_latency *latency, uint64_t count)
{
	uint64_t requests = 0, most = 0;

	for (unsigned i = 0; i < DISK_LATENCY_BUCKETS; i++) {
		requests += latency->buckets[i];
		most += latency->buckets[i] * (UINT64_C(1000) << i);
	}
	assert_int_equal(requests, count);
	assert_true(latency->sum > 0);
	assert_true(latency->sum <= most || latency->buckets[DISK_LATENCY_BUCKETS - 1] > 0);
}

static void test_data(void **state)
{
	static const size_t misalignments[] = { 0, 1, 4, 512, 2048 };
	static const size_t sizes[] = { 512, 1024, 4096, 65536, 65536 + 512, 3 * 65536, BUFFER };
	static const size_t cuts[] = { 0, 512, 100, 4096 };
	struct fixture *f = *state;

	if (!f->disk)
		skip();
	for (size_t i = 0; i < ARRAY_SIZE(misalignments); i++) {
		for (size_t j = 0; j < ARRAY_SIZE(sizes) * ARRAY_SIZE(cuts); j++) {
			size_t size = sizes[j / ARRAY_SIZE(cuts)], cut = cuts[j % ARRAY_SIZE(cuts)];
			uint8_t *out = f->data + misalignments[i];
			uint8_t *in = f->other + misalignments[i];
			uint64_t offset = 512 * j;

			fill(out, (unsigned)(i + j), size);
			assert_int_equal(move(f, DISK_WRITE, out, cut, size, offset, false), 0);
			expect_in_file(f, offset, out, size);
			memset(in, 0, size + 1);
			in[size] = 0xee;
			assert_int_equal(move(f, DISK_READ, in, cut, size, offset, false), 0);
			assert_memory_equal(in, out, size);
			assert_int_equal(in[size], 0xee);
		}
	}
	assert_int_equal(f->disk->counters.reads, f->disk->counters.writes);
	assert_int_equal(f->disk->counters.bytes_read, f->disk->counters.bytes_written);
	assert_int_equal(f->disk->counters.errors, 0);
	assert_latency(&f->disk->counters.read_latency, f->disk->counters.reads);
	assert_latency(&f->disk->counters.write_latency, f->disk->counters.writes);
	assert_int_equal(f->disk->in_flight, 0);
}

static void test_durable_and_flush(void **state)
{
	struct fixture *f = *state;

	if (!f->disk)
		skip();
	fill(f->data, 9, 4096);
	assert_int_equal(move(f, DISK_WRITE, f->data, 0, 4096, 8192, true), 0);
	expect_in_file(f, 8192, f->data, 4096);
	assert_int_equal(run(f, (struct disk_request){ .operation = DISK_FLUSH }), 0);
	assert_int_equal(f->disk->counters.flushes, 1);
}

/* How often the kernel has flushed the block device: Documentation/block/stat.rst. */
static unsigned long flushes(const struct fixture *f)
{
	unsigned long value = 0;
	char path[64];
	FILE *file;

	snprintf(path, sizeof(path), "/sys/block/loop%d/stat", f->loop_number);
	file = fopen(path, "re");
	assert_non_null(file);
	for (unsigned field = 0; field < 16; field++)
		assert_int_equal(fscanf(file, "%lu", &value), 1);
	fclose(file);
	return value;
}

/* A flush and a durable write get as far as the device, and nothing else does. */
static void test_flushes_reach_the_device(void **state)
{
	struct fixture *f = *state;
	unsigned long before;

	if (!f->disk)
		skip();
	before = flushes(f);
	assert_int_equal(move(f, DISK_WRITE, f->data, 0, 4096, 0, false), 0);
	assert_int_equal(move(f, DISK_READ, f->other, 0, 4096, 0, false), 0);
	assert_int_equal(flushes(f), before);
	assert_int_equal(run(f, (struct disk_request){ .operation = DISK_FLUSH }), 0);
	assert_int_equal(flushes(f), before + 1);
	assert_int_equal(move(f, DISK_WRITE, f->data, 0, 4096, 0, true), 0);
	assert_int_equal(flushes(f), before + 2);
	/* Through a buffer, too. */
	assert_int_equal(move(f, DISK_WRITE, f->data + 1, 0, 4096, 0, true), 0);
	assert_int_equal(flushes(f), before + 3);
}

static void test_dropped_flushes_do_not(void **state)
{
	struct fixture *f = *state;
	unsigned long before;

	if (!f->disk)
		skip();
	disk_file_drop_flushes(f->disk);
	before = flushes(f);
	assert_int_equal(move(f, DISK_WRITE, f->data, 0, 4096, 0, true), 0);
	assert_int_equal(run(f, (struct disk_request){ .operation = DISK_FLUSH }), 0);
	assert_int_equal(flushes(f), before);
	assert_int_equal(f->disk->counters.flushes, 1);
}

/* Sectors that are smaller than the device's blocks go through the page cache. */
static void test_large_blocks(void **state)
{
	static const uint8_t zeros[512];
	struct fixture *f = *state;

	if (!f->disk)
		skip();
	assert_false(f->direct);
	assert_int_equal(f->disk->physical_block_size, 4096);
	fill(f->data, 5, 8192);
	assert_int_equal(move(f, DISK_WRITE, f->data, 0, 8192, 0, false), 0);
	assert_int_equal(move(f, DISK_WRITE, f->data, 0, 512, 512, true), 0);
	assert_int_equal(move(f, DISK_READ, f->other, 0, 512, 512, false), 0);
	assert_memory_equal(f->other, f->data, 512);
	/* What is no whole block cannot be given back, which is no error; but it can be zeroed. */
	assert_int_equal(
		run(f,
		    (struct disk_request){ .operation = DISK_UNMAP, .offset = 1024, .size = 512 }),
		0);
	assert_int_equal(run(f, (struct disk_request){ .operation = DISK_ZERO,
						       .unmap = true,
						       .offset = 2048,
						       .size = 512 }),
			 0);
	assert_int_equal(run(f, (struct disk_request){ .operation = DISK_FLUSH }), 0);
	expect_in_file(f, 0, f->data, 512);
	expect_in_file(f, 512, f->data, 512);
	expect_in_file(f, 1024, f->data + 1024, 1024);
	expect_in_file(f, 2048, zeros, 512);
	expect_in_file(f, 2560, f->data + 2560, 512);
}

static void test_unmap_and_zero(void **state)
{
	struct fixture *f = *state;
	static const uint8_t zeros[SIZE / 2];
	struct stat before, after;

	if (!f->disk)
		skip();
	fill(f->data, 1, BUFFER);
	assert_int_equal(move(f, DISK_WRITE, f->data, 0, BUFFER, 0, true), 0);
	assert_int_equal(stat(f->path, &before), 0);
	assert_true(f->disk->unmap);
	assert_int_equal(f->disk->unmap_zeroes, f->loop_fd < 0);
	assert_int_equal(run(f, (struct disk_request){ .operation = DISK_UNMAP,
						       .offset = 65536,
						       .size = 131072 }),
			 0);
	expect_in_file(f, 0, f->data, 65536);
	expect_in_file(f, 65536, zeros, 131072);
	expect_in_file(f, 196608, f->data + 196608, 65536);
	assert_int_equal(stat(f->path, &after), 0);
	assert_true(after.st_blocks < before.st_blocks);
	for (unsigned unmap = 0; unmap < 2; unmap++) {
		uint64_t offset = unmap ? 262144 : 327680;

		assert_int_equal(run(f, (struct disk_request){ .operation = DISK_ZERO,
							       .unmap = unmap,
							       .offset = offset + 512,
							       .size = 1024 }),
				 0);
		expect_in_file(f, offset, f->data + offset, 512);
		expect_in_file(f, offset + 512, zeros, 1024);
		expect_in_file(f, offset + 1536, f->data + offset + 1536, 512);
	}
	assert_int_equal(stat(f->path, &after), 0);
	assert_int_equal(after.st_size, SIZE);
}

/* More misaligned requests at once than there are buffers. */
static void test_buffers_are_shared(void **state)
{
	struct fixture *f = *state;

	if (!f->disk)
		skip();
	for (unsigned i = 0; i < REQUEST_MAX; i++) {
		struct request *r = &f->requests[i];

		fill(f->data + i * 8192 + 1, i, 4096);
		r->iov[0] = (struct iovec){ f->data + i * 8192 + 1, 4096 };
		start(f, r,
		      (struct disk_request){ .operation = DISK_WRITE,
					     .offset = i * 4096,
					     .size = 4096,
					     .iov = r->iov,
					     .iov_count = 1 });
	}
	for (unsigned i = 0; i < REQUEST_MAX; i++) {
		assert_int_equal(finish(f, &f->requests[i]), 0);
		expect_in_file(f, i * 4096, f->data + i * 8192 + 1, 4096);
	}
}

/* ---- Faults ---- */

static void test_file_was_shortened(void **state)
{
	struct fixture *f = *state;
	static const size_t misalignments[] = { 0, 1 };

	for (size_t i = 0; i < ARRAY_SIZE(misalignments); i++) {
		assert_int_equal(truncate(f->path, 4096 + 100), 0);
		assert_int_equal(move(f, DISK_READ, f->other + misalignments[i], 0, 4096, 0, false),
				 0);
		assert_int_equal(
			move(f, DISK_READ, f->other + misalignments[i], 0, 4096, 4096, false),
			DISK_E_SHORT);
		assert_int_equal(
			move(f, DISK_READ, f->other + misalignments[i], 0, 4096, 65536, false),
			DISK_E_SHORT);
		/* Writing makes it whole again. */
		assert_int_equal(move(f, DISK_WRITE, f->data + misalignments[i], 0, 4096,
				      SIZE - 4096, false),
				 0);
		assert_int_equal(move(f, DISK_READ, f->other, 0, 4096, 65536, false), 0);
	}
	assert_int_equal(f->disk->counters.errors, 4);
}

static void test_file_has_grown(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(disk_measure(f->disk), 0);
	assert_int_equal(f->disk->size, SIZE);
	assert_int_equal(truncate(f->path, SIZE + 4096 + 100), 0);
	assert_int_equal(disk_measure(f->disk), 0);
	assert_int_equal(f->disk->size, SIZE + 4096);
	assert_int_equal(truncate(f->path, SIZE), 0);
	assert_int_equal(disk_measure(f->disk), 0);
	assert_int_equal(f->disk->size, SIZE + 4096);
}

static void test_file_too_big(void **state)
{
	struct fixture *f = *state;
	struct rlimit old, limit;

	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	limit = (struct rlimit){ 65536, old.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	assert_int_equal(move(f, DISK_WRITE, f->data, 0, 4096, 131072, false), -EFBIG);
	/* What fits in part is continued, and fails then. */
	assert_int_equal(move(f, DISK_WRITE, f->data, 0, 8192, 65536 - 4096, false), -EFBIG);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_int_equal(move(f, DISK_WRITE, f->data, 0, 4096, 131072, false), 0);
}

static void test_no_space(void **state)
{
	struct fixture *f;
	int r = 0;

	/* A file system of its own, with room for half of the disk. */
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("tmpfs", "/mnt", "tmpfs", 0, "size=512k") < 0)
		skip();
	f = fixture_new("/mnt");
	fixture_open(f, f->path, true, false);
	fill(f->data, 4, BUFFER);
	for (unsigned offset = 0; offset < SIZE && r == 0; offset += 65536)
		r = move(f, DISK_WRITE, f->data, 0, 65536, offset, false);
	assert_int_equal(r, -ENOSPC);
	/* Giving back makes room. */
	assert_int_equal(
		run(f,
		    (struct disk_request){ .operation = DISK_UNMAP, .offset = 0, .size = 131072 }),
		0);
	assert_int_equal(move(f, DISK_WRITE, f->data, 0, 65536, SIZE - 65536, false), 0);
	/* Where zeros cannot be allocated as such, they are written. */
	assert_int_equal(run(f, (struct disk_request){ .operation = DISK_ZERO,
						       .offset = SIZE - 65536 - 512,
						       .size = 4096 }),
			 0);
	*state = f;
	teardown(state);
	/* Detached: the kernel takes rings apart at its leisure, and the file with them. */
	assert_int_equal(umount2("/mnt", MNT_DETACH), 0);
}

/* ---- Requests that are held ---- */

struct observed {
	struct disk_observer observer;
	unsigned failed, released, retired;
	int error;
	bool can_hold, hold;
};

static bool take_failed(void *data, const struct disk_request *request, int error, bool can_hold)
{
	struct observed *observed = data;

	observed->failed++;
	observed->error = error;
	observed->can_hold = can_hold;
	return observed->hold;
}

static void take_released(void *data)
{
	((struct observed *)data)->released++;
}

static void take_retired(void *data)
{
	((struct observed *)data)->retired++;
}

static void observe(struct fixture *f, struct observed *observed)
{
	*observed = (struct observed){
		.observer = { take_failed, take_released, take_retired, observed }, .hold = true
	};
	disk_observe(f->disk, &observed->observer);
}

static void iteration(struct fixture *f, const unsigned *count, unsigned until)
{
	for (int i = 0; i < 1000 && *count < until; i++)
		assert_int_equal(loop_run_once(f->loop, 1000000000), 0);
	assert_int_equal(*count, until);
}

static struct disk_request make_write(struct fixture *f, struct request *r, uint64_t offset,
				      size_t size)
{
	r->iov[0] = (struct iovec){ f->data, size };
	return (struct disk_request){ .operation = DISK_WRITE,
				      .offset = offset,
				      .size = size,
				      .iov = r->iov,
				      .iov_count = 1 };
}

/*
 * On a file system that has become full in the middle of a write: what is held goes on from there
 * when there is room, and not before.
 */
static void test_full_file_system(void **state)
{
	struct observed observed;
	struct fixture *f;
	struct request *r;
	int ballast;

	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("tmpfs", "/mnt", "tmpfs", 0, "size=512k") < 0)
		skip();
	f = fixture_new("/mnt");
	fixture_open(f, f->path, false, false);
	observe(f, &observed);
	ballast = open("/mnt/ballast", O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	assert_int_equal(posix_fallocate(ballast, 0, 400 << 10), 0);
	fill(f->data, 6, BUFFER);
	r = &f->requests[0];
	start(f, r, make_write(f, r, 0, 256 << 10));
	iteration(f, &observed.failed, 1);
	assert_int_equal(observed.error, -ENOSPC);
	assert_true(observed.can_hold);
	assert_int_equal(f->disk->held_count, 1);
	disk_retry(f->disk);
	iteration(f, &observed.failed, 2);
	assert_false(r->completed);
	assert_int_equal(observed.released, 0);

	assert_int_equal(ftruncate(ballast, 0), 0);
	disk_retry(f->disk);
	assert_int_equal(finish(f, r), 0);
	assert_int_equal(observed.failed, 2);
	assert_int_equal(observed.released, 1);
	assert_int_equal(f->disk->held_count, 0);
	assert_int_equal(f->disk->counters.errors, 0);
	expect_in_file(f, 0, f->data, 256 << 10);
	close(ballast);
	unlink("/mnt/ballast");
	*state = f;
	teardown(state);
	assert_int_equal(umount2("/mnt", MNT_DETACH), 0);
}

/* Nobody waits for them: they end, one by one or with the disk. */
static void test_held_requests_are_abandoned(void **state)
{
	struct fixture *f = *state;
	struct request *r = f->requests;
	struct rlimit limit = { 8192, RLIM_INFINITY };
	struct observed observed;

	signal(SIGXFSZ, SIG_IGN);
	observe(f, &observed);
	fill(f->data, 7, BUFFER);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	for (unsigned i = 0; i < 3; i++)
		start(f, &r[i], make_write(f, &r[i], 65536 * (i + 1), 4096));
	iteration(f, &observed.failed, 3);
	limit.rlim_cur = RLIM_INFINITY;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	assert_int_equal(observed.error, -EFBIG);
	disk_abandon(&r[1].request);
	assert_true(r[1].completed);
	assert_int_equal(r[1].result, -ECANCELED);
	assert_int_equal(observed.released, 0);
	disk_retire(TAKE_PTR(f->disk), set_retired, f);
	assert_true(r[0].completed && r[2].completed);
	assert_int_equal(r[0].result, -ECANCELED);
	assert_true(f->retired);
}

/* The kernel forgets what a flush has not written, and then says that all is well. */
static void test_flushes_are_not_repeated(void **state)
{
	struct fixture *f = *state;
	struct disk_request request = { .operation = DISK_FLUSH };
	struct request *r = &f->requests[0];
	struct observed observed;

	observe(f, &observed);
	r->completed = false;
	r->request = request;
	r->request.complete = complete;
	r->request.disk = f->disk;
	f->disk->in_flight++;
	disk_complete(&r->request, -ENOSPC);
	assert_true(r->completed);
	assert_int_equal(r->result, -ENOSPC);
	assert_int_equal(observed.failed, 1);
	assert_false(observed.can_hold);
	disk_observe(f->disk, NULL);
}

/* Zeros that are written piece by piece are not written on for nobody. */
static void test_zeros_are_abandoned(void **state)
{
	struct fixture *f = fixture_new("/dev/shm"); /* which allocates no zeros */
	struct request *r = &f->requests[0];

	fixture_open(f, f->path, false, false);
	fill(f->data, 5, BUFFER);
	assert_int_equal(move(f, DISK_WRITE, f->data, 0, BUFFER, 0, false), 0);
	start(f, r, (struct disk_request){ .operation = DISK_ZERO, .size = BUFFER });
	r->request.abandoned = true;
	assert_int_equal(finish(f, r), -ECANCELED);
	assert_int_equal(move(f, DISK_READ, f->other, 0, 65536, BUFFER - 65536, false), 0);
	assert_memory_equal(f->other, f->data + BUFFER - 65536, 65536);
	*state = f;
	teardown(state);
}

static void test_read_only(void **state)
{
	struct fixture *f = fixture_new("/var/tmp");

	fixture_open(f, f->path, true, true);
	assert_true(f->disk->read_only);
	assert_false(f->disk->unmap);
	assert_false(f->disk->unmap_zeroes);
	assert_int_equal(move(f, DISK_READ, f->other, 0, 4096, 0, false), 0);
	assert_int_equal(run(f, (struct disk_request){ .operation = DISK_FLUSH }), 0);
	*state = f;
	teardown(state);
}

static void test_retire_waits(void **state)
{
	struct fixture *f = *state;
	struct request *r = &f->requests[0];

	r->iov[0] = (struct iovec){ f->other, 4096 };
	start(f, r,
	      (struct disk_request){
		      .operation = DISK_READ, .size = 4096, .iov = r->iov, .iov_count = 1 });
	disk_retire(f->disk, set_retired, f);
	f->disk = NULL;
	assert_false(f->retired);
	assert_int_equal(finish(f, r), 0);
	assert_true(f->retired);
}

/* ---- Vectors ---- */

static void test_iov(void **state)
{
	char memory[] = "abcdefghij", text[16];
	struct iovec iov[3] = { { memory, 3 }, { memory + 3, 0 }, { memory + 3, 7 } };
	struct iovec *at = iov;
	unsigned count = 3;

	assert_int_equal(iov_size(iov, 3), 10);
	assert_int_equal(iov_copy_in(text, 5, iov, 3), 5);
	assert_memory_equal(text, "abcde", 5);
	assert_int_equal(iov_copy_in(text, sizeof(text), iov, 3), 10);
	iov_consume(&at, &count, 2);
	assert_int_equal(iov_size(at, count), 8);
	assert_int_equal(iov_copy_out(at, count, "XYZ", 3), 3);
	assert_string_equal(memory, "abXYZfghij");
	iov_consume(&at, &count, 1);
	assert_int_equal(count, 1);
	assert_int_equal(iov_truncate(at, count, 4), 1);
	assert_int_equal(iov_copy_out(at, count, "0123456789", 10), 4);
	assert_string_equal(memory, "abX0123hij");
	assert_int_equal(iov_truncate(at, count, 0), 0);
	iov_consume(&at, &count, 100);
	assert_int_equal(count, 0);
	assert_int_equal(iov_size(at, count), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_iov),
		cmocka_unit_test_setup_teardown(test_data, setup_buffered, teardown),
		cmocka_unit_test_setup_teardown(test_data, setup_direct, teardown),
		cmocka_unit_test_setup_teardown(test_data, setup_block_device, teardown),
		cmocka_unit_test_setup_teardown(test_durable_and_flush, setup_buffered, teardown),
		cmocka_unit_test_setup_teardown(test_durable_and_flush, setup_direct, teardown),
		cmocka_unit_test_setup_teardown(test_durable_and_flush, setup_block_device,
						teardown),
		cmocka_unit_test_setup_teardown(test_flushes_reach_the_device, setup_block_device,
						teardown),
		cmocka_unit_test_setup_teardown(test_dropped_flushes_do_not, setup_block_device,
						teardown),
		cmocka_unit_test_setup_teardown(test_large_blocks, setup_large_blocks, teardown),
		cmocka_unit_test_setup_teardown(test_unmap_and_zero, setup_buffered, teardown),
		cmocka_unit_test_setup_teardown(test_unmap_and_zero, setup_direct, teardown),
		cmocka_unit_test_setup_teardown(test_unmap_and_zero, setup_block_device, teardown),
		cmocka_unit_test_setup_teardown(test_buffers_are_shared, setup_direct, teardown),
		cmocka_unit_test_setup_teardown(test_file_was_shortened, setup_buffered, teardown),
		cmocka_unit_test_setup_teardown(test_file_was_shortened, setup_direct, teardown),
		cmocka_unit_test_setup_teardown(test_file_has_grown, setup_buffered, teardown),
		cmocka_unit_test_setup_teardown(test_file_has_grown, setup_direct, teardown),
		cmocka_unit_test_setup_teardown(test_file_too_big, setup_buffered, teardown),
		cmocka_unit_test(test_no_space),
		cmocka_unit_test(test_full_file_system),
		cmocka_unit_test_setup_teardown(test_held_requests_are_abandoned, setup_buffered,
						teardown),
		cmocka_unit_test_setup_teardown(test_flushes_are_not_repeated, setup_buffered,
						teardown),
		cmocka_unit_test(test_zeros_are_abandoned),
		cmocka_unit_test(test_read_only),
		cmocka_unit_test_setup_teardown(test_retire_waits, setup_direct, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
