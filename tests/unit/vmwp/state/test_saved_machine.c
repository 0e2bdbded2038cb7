/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A machine is written to a file in the middle of its work, and its guest goes on in another one that
 * is made from that file alone, on the host's KVM. Skipped without one.
 */
#include "tests/unit/vmwp/machine/moved_machine.h"
#include "vmwp/state/state_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Counts for ever in a register and in RAM, and faults if they are not the same. */
static const uint8_t counting_code[] = {
	0x31,           0xc9,                                /* xor %ecx, %ecx */
	0xff,           0xc1,                                /* again: inc %ecx */
	0xff,           0x05,        0x00, 0x00, 0x20, 0x00, /* incl 0x200000 */
	0x3b,           0x0d,        0x00, 0x00, 0x20, 0x00, /* cmp 0x200000, %ecx */
	0x75,           0x02,                                /* jne over to the fault */
	GUEST_LOOP(16), GUEST_FAULT,
};

static int setup(void **state)
{
	int r = fixture_new(state, counting_code, sizeof(counting_code));
	struct fixture *fixture = *state;

	fixture->definition->name = strdup("saved");
	fixture->definition->boot.kernel = strdup("/kernel");
	return r;
}

struct transferred {
	bool done;
	int result;
};

static void on_progress(void *data, uint64_t done, uint64_t size)
{
}

static void on_done(void *data, int result, uint64_t bytes)
{
	*(struct transferred *)data = (struct transferred){ true, result };
}

static const struct state_file_callbacks file_callbacks = { on_progress, on_done };

static void await_transfer(struct fixture *fixture, const struct transferred *transferred,
			   struct state_file_transfer *transfer)
{
	uint64_t end = loop_now() + 60 * SECOND;

	while (!transferred->done && loop_now() < end)
		assert_int_equal(loop_run_once(fixture->loop, SECOND / 100), 0);
	assert_true(transferred->done);
	state_file_transfer_free(transfer);
}

/* Return: how it ended. */
static int write_file(struct fixture *fixture, const struct state_writer *writer, int fd)
{
	struct json_object *definition = definition_to_json(fixture->definition);
	struct transferred transferred = { .done = false };
	struct state_file_transfer *transfer;
	struct state_file_parts parts = {
		.engine = machine_engine(fixture->source),
		.records = writer->bytes,
		.records_size = (uint32_t)writer->size,
		.definition = json_object_to_json_string(definition),
	};

	parts.definition_size = (uint32_t)strlen(parts.definition);
	assert_int_equal(state_file_write(machine_memory(fixture->source), &parts, fd,
					  fixture->loop, &file_callbacks, &transferred, &transfer),
			 0);
	json_object_put(definition);
	await_transfer(fixture, &transferred, transfer);
	return transferred.result;
}

/* The definition is the file's. */
static void make_from_file(struct fixture *fixture, const struct state_file *file)
{
	struct json_error error = { .line = 0 };

	definition_free(fixture->definition);
	fixture->definition = NULL;
	if (definition_parse(file->parts.definition, file->parts.definition_size,
			     &fixture->definition, &error) < 0)
		fail_msg("%s: %s", error.key, error.message);
	make(fixture, &fixture->target);
}

static void read_ram(struct fixture *fixture, const struct state_file *file, int fd)
{
	struct vid_memory *ram = machine_memory_to_fill(fixture->target);
	struct transferred transferred = { .done = false };
	struct state_file_transfer *transfer;

	assert_int_equal(state_file_read(ram, file, fd, fixture->loop, &file_callbacks,
					 &transferred, &transfer),
			 0);
	await_transfer(fixture, &transferred, transfer);
	assert_int_equal(transferred.result, 0);
}

/* The order of docs/state.md. */
static void restore_from_file(struct fixture *fixture, int fd)
{
	struct state_refusal refusal = { .text = "" };
	struct state_reader reader;
	struct state_file file;
	int r;

	if (state_file_open(fd, &file, &refusal) < 0)
		fail_msg("%s", refusal.text);
	assert_int_equal(state_reader_init(&reader, file.parts.records, file.parts.records_size),
			 0);
	make_from_file(fixture, &file);
	r = machine_memory_ops.restore(fixture->target, &reader, &fixture->failure);
	assert_int_equal(r, 0);
	read_ram(fixture, &file, fd);
	r = machine_prepare_restore(fixture->target, &reader, &fixture->failure);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(rows); i++)
		r = rows[i]->restore(fixture->target, &reader, &fixture->failure);
	if (r != 0)
		fail_msg("%s", fixture->failure.message);
	state_file_deinit(&file);
}

static void guest_goes_on_from_a_file(void **state)
{
	struct fixture *fixture = *state;
	int fd = memfd_create("state", MFD_CLOEXEC);
	struct state_writer writer;
	uint32_t before;

	assert_true(fd >= 0);
	start_source(fixture);
	save(fixture, fixture->source, &writer);
	before = counted(fixture->source);
	assert_int_equal(write_file(fixture, &writer, fd), 0);
	state_writer_deinit(&writer);
	stop(fixture, &fixture->source);
	restore_from_file(fixture, fd);
	close(fd);
	assert_int_equal(counted(fixture->target), before);
	assert_int_equal(machine_resume(fixture->target), 0);
	wait_for_count(fixture, fixture->target);
}

/* Nothing is lost by a file that cannot be written. */
static void guest_goes_on_without_room(void **state)
{
	struct fixture *fixture = *state;
	int fd = memfd_create("state", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	struct state_writer writer;

	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW), 0);
	start_source(fixture);
	save(fixture, fixture->source, &writer);
	assert_int_equal(write_file(fixture, &writer, fd), -EPERM);
	state_writer_deinit(&writer);
	close(fd);
	assert_int_equal(machine_resume(fixture->source), 0);
	wait_for_count(fixture, fixture->source);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(guest_goes_on_from_a_file, setup, teardown),
		cmocka_unit_test_setup_teardown(guest_goes_on_without_room, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
