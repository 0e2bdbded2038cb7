/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files of saved VMs: written, read back, and what is refused. */
#include "vmwp/state/state_file.h"

#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECOND   1000000000ull
#define KIB      1024u
#define MIB      (1u << 20)
#define LOW_SIZE (640 * KIB)
#define HIGH_GPA MIB
#define SIZE     (80 * MIB)

static const char definition[] = "{ \"name\": \"a\" }";
static const char writer[] = "1.2.3";

struct fixture {
	struct loop *loop;
	struct vid_memory *memory, *other;
	struct state_writer records;
	struct state_file_transfer *transfer;
	int fd;
	bool done;
	int result;
	uint64_t progress, size, bytes;
};

static void on_progress(void *data, uint64_t done, uint64_t size)
{
	struct fixture *f = data;

	assert_true(done >= f->progress && done <= size);
	f->progress = done;
	f->size = size;
}

static void on_done(void *data, int result, uint64_t bytes)
{
	struct fixture *f = data;

	assert_false(f->done);
	f->done = true;
	f->result = result;
	f->bytes = bytes;
}

static const struct state_file_callbacks callbacks = { on_progress, on_done };

static struct vid_memory *make_memory(uint64_t size)
{
	const struct vid_memory_region low = { GPA(0), LOW_SIZE };
	const struct vid_memory_region high = { GPA(HIGH_GPA), size - LOW_SIZE };
	struct vid_memory *memory;

	assert_int_equal(vid_memory_new(&memory), 0);
	assert_int_equal(vid_memory_add(memory, low, VID_MEMORY_SMALL, false), 0);
	assert_int_equal(vid_memory_add(memory, high, VID_MEMORY_SMALL, false), 0);
	return memory;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	assert_int_equal(loop_new(64, &f->loop), 0);
	f->memory = make_memory(SIZE);
	f->other = make_memory(SIZE);
	f->fd = memfd_create("state", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_true(f->fd >= 0);
	state_writer_init(&f->records);
	state_begin(&f->records, "memory", 1);
	state_put(&f->records, "12345", 5);
	state_end(&f->records);
	assert_int_equal(state_writer_error(&f->records), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	loop_free(f->loop);
	state_file_transfer_free(f->transfer);
	state_writer_deinit(&f->records);
	vid_memory_free(f->memory);
	vid_memory_free(f->other);
	close(f->fd);
	free(f);
	return 0;
}

static uint8_t *at(struct vid_memory *memory, uint64_t gpa, uint64_t size)
{
	uint8_t *bytes = vid_memory_map(memory, GPA(gpa), size);

	assert_non_null(bytes);
	return bytes;
}

/* Pages at both ends of both regions, alone and side by side, and more than a piece of them. */
static void fill(struct vid_memory *memory)
{
	memset(at(memory, 0, 4096), 0xa5, 4096);
	at(memory, LOW_SIZE - 1, 1)[0] = 1;
	at(memory, HIGH_GPA, 1)[0] = 2;
	memset(at(memory, 16 * MIB, 3 * MIB + 4096), 0x5a, 3 * MIB + 4096);
	at(memory, HIGH_GPA + SIZE - LOW_SIZE - 1, 1)[0] = 3;
}

static int begin(struct fixture *f, int fd)
{
	const struct state_file_parts parts = {
		.engine = 1,
		.records = f->records.bytes,
		.records_size = (uint32_t)f->records.size,
		.definition = definition,
		.definition_size = sizeof(definition) - 1,
		.writer = writer,
		.writer_size = sizeof(writer) - 1,
	};

	f->done = false;
	f->progress = 0;
	return state_file_write(f->memory, &parts, fd, f->loop, &callbacks, f, &f->transfer);
}

static void finish(struct fixture *f)
{
	uint64_t end = loop_now() + 60 * SECOND;

	while (!f->done && loop_now() < end)
		assert_int_equal(loop_run_once(f->loop, SECOND / 10), 0);
	assert_true(f->done);
	state_file_transfer_free(f->transfer);
	f->transfer = NULL;
}

static void write_file(struct fixture *f)
{
	assert_int_equal(begin(f, f->fd), 0);
	finish(f);
	assert_int_equal(f->result, 0);
}

static void open_file(struct fixture *f, struct state_file *file)
{
	struct state_refusal refusal = { .text = "" };

	if (state_file_open(f->fd, file, &refusal) < 0)
		fail_msg("%s", refusal.text);
}

static int begin_reading(struct fixture *f, struct vid_memory *memory,
			 const struct state_file *file)
{
	f->done = false;
	f->progress = 0;
	return state_file_read(memory, file, f->fd, f->loop, &callbacks, f, &f->transfer);
}

static void assert_same_memory(struct fixture *f)
{
	assert_memory_equal(at(f->memory, 0, LOW_SIZE), at(f->other, 0, LOW_SIZE), LOW_SIZE);
	assert_memory_equal(at(f->memory, HIGH_GPA, SIZE - LOW_SIZE),
			    at(f->other, HIGH_GPA, SIZE - LOW_SIZE), SIZE - LOW_SIZE);
}

static void what_is_written_is_read(void **state)
{
	struct fixture *f = *state;
	struct state_file file;
	struct stat stat;

	fill(f->memory);
	write_file(f);
	assert_int_equal(f->progress, SIZE);
	assert_int_equal(f->size, SIZE);
	/* Zeros take no room. */
	assert_int_equal(fstat(f->fd, &stat), 0);
	assert_true(stat.st_size > SIZE);
	assert_true(f->bytes > 3 * MIB && f->bytes < 4 * MIB);
	assert_true(stat.st_blocks * 512 < 4 * MIB);

	open_file(f, &file);
	assert_int_equal(file.ram_offset, STATE_FILE_RAM_ALIGNMENT);
	assert_int_equal(file.parts.engine, 1);
	assert_int_equal(file.parts.region_count, 2);
	assert_int_equal(file.parts.ram_size, SIZE);
	assert_int_equal(file.parts.records_size, f->records.size);
	assert_memory_equal(file.parts.records, f->records.bytes, f->records.size);
	assert_int_equal(file.parts.definition_size, sizeof(definition) - 1);
	assert_memory_equal(file.parts.definition, definition, sizeof(definition) - 1);
	assert_int_equal(file.parts.writer_size, sizeof(writer) - 1);
	assert_memory_equal(file.parts.writer, writer, sizeof(writer) - 1);

	assert_int_equal(begin_reading(f, f->other, &file), 0);
	finish(f);
	assert_int_equal(f->result, 0);
	assert_true(f->bytes > 3 * MIB && f->bytes < 4 * MIB);
	assert_same_memory(f);
	state_file_deinit(&file);
}

static void memory_of_zeros_is_a_hole(void **state)
{
	struct fixture *f = *state;
	struct state_file file;
	struct stat stat;

	write_file(f);
	assert_int_equal(fstat(f->fd, &stat), 0);
	assert_true(stat.st_blocks * 512 < 64 * KIB);
	open_file(f, &file);
	assert_int_equal(begin_reading(f, f->other, &file), 0);
	finish(f);
	assert_int_equal(f->result, 0);
	assert_int_equal(f->bytes, 0);
	state_file_deinit(&file);
}

static void assert_refused(struct fixture *f, const char *why)
{
	struct state_refusal refusal = { .text = "" };
	struct state_file file;

	assert_int_equal(state_file_open(f->fd, &file, &refusal), -EINVAL);
	if (!strstr(refusal.text, why))
		fail_msg("'%s' does not have '%s'", refusal.text, why);
}

static void flip(struct fixture *f, off_t offset)
{
	uint8_t byte;

	assert_int_equal(pread(f->fd, &byte, 1, offset), 1);
	byte ^= 0x10;
	assert_int_equal(pwrite(f->fd, &byte, 1, offset), 1);
}

/* Whatever is changed before or behind the RAM is noticed. */
static void damage_is_noticed(void **state)
{
	struct fixture *f = *state;
	struct state_file file;
	struct stat stat;
	off_t head;

	write_file(f);
	open_file(f, &file);
	head = (const uint8_t *)file.parts.writer + file.parts.writer_size -
	       (const uint8_t *)file.head;
	state_file_deinit(&file);
	assert_int_equal(fstat(f->fd, &stat), 0);
	for (off_t i = 0; i < head; i++) {
		flip(f, i);
		assert_refused(f, "the file");
		flip(f, i);
	}
	for (off_t i = 1; i <= (off_t)sizeof(struct state_file_end); i++) {
		flip(f, stat.st_size - i);
		assert_refused(f, i > 24 ? "not finished" : "checksum");
		flip(f, stat.st_size - i);
	}
	open_file(f, &file);
	state_file_deinit(&file);
}

static void unfinished_files_are_refused(void **state)
{
	struct fixture *f = *state;
	struct stat stat;

	assert_refused(f, "not that of a saved VM");
	write_file(f);
	assert_int_equal(fstat(f->fd, &stat), 0);
	assert_int_equal(ftruncate(f->fd, stat.st_size - 1), 0);
	assert_refused(f, "not finished");
	assert_int_equal(ftruncate(f->fd, stat.st_size), 0);
	assert_refused(f, "checksum");
	assert_int_equal(ftruncate(f->fd, 70), 0);
	assert_refused(f, "not finished");
	assert_int_equal(ftruncate(f->fd, 63), 0);
	assert_refused(f, "not that of a saved VM");
}

/* The file becomes shorter while it is read. */
static void end_of_file_is_an_error(void **state)
{
	struct fixture *f = *state;
	struct state_file file;

	fill(f->memory);
	write_file(f);
	open_file(f, &file);
	assert_int_equal(begin_reading(f, f->other, &file), 0);
	assert_int_equal(ftruncate(f->fd, (off_t)file.ram_offset + 17 * MIB), 0);
	finish(f);
	assert_int_equal(f->result, -EINVAL);
	state_file_deinit(&file);
}

static void other_memory_is_refused(void **state)
{
	struct fixture *f = *state;
	struct vid_memory *larger = make_memory(SIZE + MIB);
	struct state_file file;

	write_file(f);
	open_file(f, &file);
	assert_int_equal(begin_reading(f, larger, &file), -EINVAL);
	state_file_deinit(&file);
	vid_memory_free(larger);
}

static void files_that_cannot_be_written(void **state)
{
	struct fixture *f = *state;
	char path[64];
	int pipes[2], fd;

	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	assert_int_equal(begin(f, pipes[1]), -EINVAL);
	close(pipes[0]);
	close(pipes[1]);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", f->fd);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(begin(f, fd), -EINVAL);
	close(fd);
	assert_int_equal(ftruncate(f->fd, 1), 0);
	assert_int_equal(begin(f, f->fd), -EINVAL);
}

static void no_room_is_an_error(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(fcntl(f->fd, F_ADD_SEALS, F_SEAL_GROW), 0);
	assert_int_equal(begin(f, f->fd), 0);
	finish(f);
	assert_int_equal(f->result, -EPERM);
}

static void both_can_be_cancelled(void **state)
{
	struct fixture *f = *state;
	struct state_file file;

	fill(f->memory);
	assert_int_equal(begin(f, f->fd), 0);
	state_file_cancel(f->transfer);
	finish(f);
	assert_int_equal(f->result, -ECANCELED);
	write_file(f);
	open_file(f, &file);
	assert_int_equal(begin_reading(f, f->other, &file), 0);
	assert_int_equal(loop_run_once(f->loop, 0), 0);
	assert_false(f->done);
	state_file_cancel(f->transfer);
	finish(f);
	assert_int_equal(f->result, -ECANCELED);
	state_file_deinit(&file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
		TEST(what_is_written_is_read),
		TEST(memory_of_zeros_is_a_hole),
		TEST(damage_is_noticed),
		TEST(unfinished_files_are_refused),
		TEST(end_of_file_is_an_error),
		TEST(other_memory_is_refused),
		TEST(files_that_cannot_be_written),
		TEST(no_room_is_an_error),
		TEST(both_can_be_cancelled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
