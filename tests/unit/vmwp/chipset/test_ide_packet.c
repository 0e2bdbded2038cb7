/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A DVD drive beside a disk at an IDE channel, by its ports, with a host that carries packets out. */
#include "common/base/cc.h"
#include "common/base/state.h"
#include "tests/unit/unit.h"
#include "vmwp/base/platform.h"
#include "vmwp/chipset/chipset.h"
#include "vmwp/chipset/ide_device.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK  2048u
#define BLOCKS 100u

enum { DATA = 0x1f0, ERROR, COUNT, LOW, MIDDLE, HIGH, DEVICE, COMMAND, CONTROL = 0x3f6 };
enum { PACKET = 0xa0, IDENTIFY_PACKET = 0xa1, IDENTIFY = 0xec };

struct fixture {
	struct chipset *chipset;
	bool level;
	unsigned requests, edges;
	uint8_t medium[BLOCKS * BLOCK];
	uint8_t buffer[IDE_BUFFER_SIZE];
	struct state_writer state;
};

static void set_interrupt(void *data, unsigned pin, bool level)
{
	struct fixture *f = data;

	if (pin != PLATFORM_IDE_IRQ_0)
		return;
	f->level = level;
	f->edges += level;
}

static void nothing(void *data)
{
}

static void disk_request(void *data)
{
	((struct fixture *)data)->requests++;
}

static const struct chipset_callbacks callbacks = {
	.set_interrupt = set_interrupt,
	.console_output = nothing,
	.console_room = nothing,
	.alarm = nothing,
	.disk_request = disk_request,
};

static void port(struct fixture *f, uint16_t number, uint8_t size, bool write, uint32_t count,
		 void *data)
{
	const struct vid_exit exit = {
		.kind = VID_EXIT_IO_PORT,
		.io = { .port = number,
			.size = size,
			.write = write,
			.count = count,
			.data = data },
	};

	assert_int_equal(chipset_access(f->chipset, &exit), POWER_NOTHING);
}

static void out(struct fixture *f, uint16_t number, uint8_t value)
{
	port(f, number, 1, true, 1, &value);
}

static uint8_t in(struct fixture *f, uint16_t number)
{
	uint8_t value = 0;

	port(f, number, 1, false, 1, &value);
	return value;
}

static int setup(void **state)
{
	const struct ide_disk disk = { .sectors = 5000, .serial = "disk" };
	const struct ide_disk drive = { .dvd = true, .serial = "drive" };
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	assert_int_equal(chipset_new(CHIPSET_GENERATION_1, &callbacks, f, &f->chipset), 0);
	chipset_ide_set_disk(f->chipset, 0, 0, &disk);
	chipset_ide_set_disk(f->chipset, 0, 1, &drive);
	chipset_reset(f->chipset);
	for (size_t i = 0; i < sizeof(f->medium); i++)
		f->medium[i] = (uint8_t)(i * 31 + i / BLOCK);
	state_writer_init(&f->state);
	out(f, DEVICE, 0x10);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	state_writer_deinit(&f->state);
	chipset_free(f->chipset);
	free(f);
	return 0;
}

static void begin(struct fixture *f, uint16_t limit)
{
	out(f, ERROR, 0);
	out(f, MIDDLE, (uint8_t)limit);
	out(f, HIGH, (uint8_t)(limit >> 8));
	out(f, COMMAND, PACKET);
	assert_int_equal(in(f, COMMAND), 0x58);
	assert_int_equal(in(f, COUNT), 1);
	assert_false(f->level);
}

/* packet: as many bytes as are given, and zeros. */
static void send_packet(struct fixture *f, uint16_t limit, const void *packet, size_t size)
{
	uint8_t bytes[IDE_PACKET_SIZE] = { 0 };

	memcpy(bytes, packet, size);
	begin(f, limit);
	port(f, DATA, 2, true, IDE_PACKET_SIZE / 2, bytes);
}

static struct ide_request take(struct fixture *f)
{
	struct ide_request request;

	assert_int_equal(in(f, COMMAND), 0x80);
	assert_true(chipset_ide_take(f->chipset, 0, &request, f->buffer));
	assert_int_equal(request.operation, IDE_PACKET);
	assert_int_equal(request.device, 1);
	return request;
}

static void complete(struct fixture *f, const struct ide_request *request, uint32_t sense,
		     uint32_t size)
{
	const struct ide_outcome outcome = { .sense = sense, .size = size };

	chipset_ide_complete_packet(f->chipset, 0, request->serial, &outcome, f->buffer);
}

/* Carries out a piece of a read. Return: its blocks. */
static uint32_t serve_read(struct fixture *f)
{
	struct ide_request request = take(f);
	uint32_t first = (uint32_t)request.packet[4] << 8 | request.packet[5];
	uint32_t count = request.packet[8];

	assert_int_equal(request.packet[0], 0x28);
	assert_true(count > 0 && count * BLOCK <= IDE_BUFFER_SIZE && first + count <= BLOCKS);
	memcpy(f->buffer, f->medium + (size_t)first * BLOCK, (size_t)count * BLOCK);
	complete(f, &request, 0, count * BLOCK);
	return count;
}

static void assert_ended(struct fixture *f, uint8_t status, uint8_t error)
{
	assert_true(f->level);
	assert_int_equal(in(f, COUNT), 3);
	assert_int_equal(in(f, COMMAND), status);
	assert_int_equal(in(f, ERROR), error);
	assert_false(f->level);
}

/* A block of so many bytes is there to be read. */
static void assert_offered(struct fixture *f, uint32_t size)
{
	assert_true(f->level);
	assert_int_equal(in(f, COUNT), 2);
	assert_int_equal(in(f, MIDDLE) | in(f, HIGH) << 8, size);
	assert_int_equal(in(f, COMMAND), 0x58);
	assert_false(f->level);
}

static void a_drive_tells_what_it_is(void **state)
{
	struct fixture *f = *state;
	uint8_t identity[IDE_SECTOR];

	out(f, CONTROL, 0x04);
	out(f, CONTROL, 0x00);
	assert_int_equal(in(f, MIDDLE) | in(f, HIGH), 0);
	out(f, DEVICE, 0x10);
	assert_int_equal(in(f, MIDDLE), 0x14);
	assert_int_equal(in(f, HIGH), 0xeb);
	out(f, COMMAND, IDENTIFY);
	assert_int_equal(in(f, COMMAND), 0x51);
	assert_int_equal(in(f, MIDDLE), 0x14);
	out(f, COMMAND, IDENTIFY_PACKET);
	assert_int_equal(in(f, COMMAND), 0x58);
	port(f, DATA, 2, false, 256, identity);
	assert_int_equal(identity[0] | identity[1] << 8, 0x85c0);
	assert_memory_equal(identity + 20, "rdvi e", 6);
	assert_int_equal(identity[99] & 1, 0); /* no DMA */
	out(f, COMMAND, 0x20);
	assert_int_equal(in(f, COMMAND), 0x51);
	out(f, DEVICE, 0x00);
	out(f, COMMAND, PACKET);
	assert_int_equal(in(f, COMMAND), 0x51);
}

static void an_answer_is_read(void **state)
{
	struct fixture *f = *state;
	struct ide_request request;
	uint8_t bytes[8];

	send_packet(f, 8, "\x25", 1);
	request = take(f);
	assert_int_equal(request.packet[0], 0x25);
	memcpy(f->buffer, "\0\0\0\x63\0\0\x08\0", 8);
	complete(f, &request, 0, 8);
	assert_offered(f, 8);
	port(f, DATA, 2, false, 4, bytes);
	assert_memory_equal(bytes, "\0\0\0\x63\0\0\x08\0", 8);
	assert_ended(f, 0x50, 0);
	send_packet(f, 0, "\0", 1);
	request = take(f);
	complete(f, &request, 0, 0);
	assert_ended(f, 0x50, 0);
}

/* An odd limit is for all of it; of more, the blocks are even. */
static void limits_that_are_odd(void **state)
{
	struct fixture *f = *state;
	struct ide_request request;
	uint8_t bytes[8];

	send_packet(f, 5, "\x12", 1);
	request = take(f);
	complete(f, &request, 0, 5);
	assert_offered(f, 6 - 1);
	port(f, DATA, 2, false, 3, bytes);
	assert_ended(f, 0x50, 0);
	send_packet(f, 5, "\x12", 1);
	request = take(f);
	complete(f, &request, 0, 6);
	assert_offered(f, 4);
	port(f, DATA, 2, false, 2, bytes);
	assert_offered(f, 2);
	port(f, DATA, 2, false, 1, bytes);
	assert_ended(f, 0x50, 0);
}

static void blocks_are_read_in_pieces(void **state)
{
	struct fixture *f = *state;
	static uint8_t bytes[6 * BLOCK];

	send_packet(f, BLOCK, "\x28\0\0\0\0\x07\0\0\x06", 9);
	assert_int_equal(serve_read(f), 4);
	for (unsigned i = 0; i < 6; i++) {
		if (i == 4)
			assert_int_equal(serve_read(f), 2);
		assert_offered(f, BLOCK);
		port(f, DATA, i % 2 ? 2 : 4, false, i % 2 ? BLOCK / 2 : BLOCK / 4,
		     bytes + (size_t)i * BLOCK);
	}
	assert_ended(f, 0x50, 0);
	assert_memory_equal(bytes, f->medium + 7 * BLOCK, sizeof(bytes));
	send_packet(f, 0xfffe, "\xa8\0\0\0\0\x09\0\0\0\x01", 10);
	assert_int_equal(serve_read(f), 1);
	assert_offered(f, BLOCK);
	port(f, DATA, 2, false, BLOCK / 2, bytes);
	assert_ended(f, 0x50, 0);
	assert_memory_equal(bytes, f->medium + 9 * BLOCK, BLOCK);
}

static void failures_have_a_sense(void **state)
{
	struct fixture *f = *state;
	struct ide_request request;
	uint8_t sense[18];

	send_packet(f, BLOCK, "\x28\0\0\0\0\x07\0\0\x06", 9);
	request = take(f);
	complete(f, &request, 0x023a00, 0);
	assert_ended(f, 0x51, 0x24);
	for (unsigned i = 0; i < 2; i++) {
		send_packet(f, 18, "\x03\0\0\0\x12", 5);
		assert_offered(f, 18);
		port(f, DATA, 2, false, 9, sense);
		assert_ended(f, 0x50, 0);
		assert_int_equal(sense[0], 0x70);
		assert_int_equal(sense[2], i == 0 ? 2 : 0);
		assert_int_equal(sense[12], i == 0 ? 0x3a : 0);
	}
	/* A read that is short is no read. */
	send_packet(f, BLOCK, "\x28\0\0\0\0\x07\0\0\x02", 9);
	request = take(f);
	complete(f, &request, 0, BLOCK);
	assert_ended(f, 0x51, 0xb4);
}

static void what_a_drive_does_not_do(void **state)
{
	struct fixture *f = *state;

	for (uint8_t feature = 1; feature < 4; feature++) {
		out(f, ERROR, feature);
		out(f, COMMAND, PACKET);
		assert_int_equal(in(f, COMMAND), 0x51);
		assert_int_equal(in(f, ERROR), 0x04);
	}
	assert_int_equal(f->requests, 0);
}

static void a_reset_forgets_the_packet(void **state)
{
	struct fixture *f = *state;
	struct ide_request request;

	send_packet(f, BLOCK, "\x28\0\0\0\0\x07\0\0\x01", 9);
	request = take(f);
	out(f, CONTROL, 0x04);
	out(f, CONTROL, 0x00);
	complete(f, &request, 0, BLOCK);
	assert_int_equal(in(f, COMMAND), 0x50);
	out(f, DEVICE, 0x10);
	send_packet(f, BLOCK, "\x28\0\0\0\0\x07\0\0\x01", 9);
	request = take(f);
	chipset_ide_give_back(f->chipset, 0, request.serial);
	assert_int_equal(serve_read(f), 1);
	assert_offered(f, BLOCK);
}

/* ---- State ---- */

static int restore(struct fixture *f)
{
	struct failure failure = { 0 };
	struct state_reader reader;

	assert_int_equal(state_reader_init(&reader, f->state.bytes, f->state.size), 0);
	return chipset_restore(f->chipset, &reader, &failure);
}

static void save(struct fixture *f)
{
	state_writer_deinit(&f->state);
	state_writer_init(&f->state);
	assert_int_equal(chipset_save(f->chipset, &f->state), 0);
}

static void go_on_elsewhere(struct fixture *f)
{
	save(f);
	chipset_reset(f->chipset);
	assert_int_equal(restore(f), 0);
}

static void it_goes_on_in_the_middle(void **state)
{
	struct fixture *f = *state;
	struct ide_request request;
	uint8_t packet[IDE_PACKET_SIZE] = { 0x28, 0, 0, 0, 0, 9, 0, 0, 5 };
	static uint8_t bytes[5 * BLOCK];

	begin(f, BLOCK);
	port(f, DATA, 2, true, 3, packet);
	go_on_elsewhere(f);
	port(f, DATA, 2, true, 3, packet + 6);
	request = take(f);
	go_on_elsewhere(f);
	complete(f, &request, 0x030000, 0);
	assert_int_equal(serve_read(f), 4);
	port(f, DATA, 2, false, BLOCK + 10, bytes);
	go_on_elsewhere(f);
	port(f, DATA, 2, false, BLOCK - 10, bytes + 2 * BLOCK + 20);
	assert_memory_equal(bytes, f->medium + 9 * BLOCK, 4 * BLOCK);
	assert_int_equal(serve_read(f), 1);
	go_on_elsewhere(f);
	port(f, DATA, 2, false, BLOCK / 2, bytes);
	assert_memory_equal(bytes, f->medium + 13 * BLOCK, BLOCK);
	assert_int_equal(in(f, COMMAND), 0x50);
}

#define TRANSFER(member) offsetof(struct ide_state, transfer.member)

/* Of a channel whose guest reads the second of four blocks. */
static const struct {
	size_t offset;
	unsigned size;
	uint64_t value;
} impossible[] = {
	{ offsetof(struct ide_state, registers.device), 1, 0 }, /* it is a disk */
	{ offsetof(struct ide_state, zero[1]), 1, 1 },
	{ TRANSFER(phase), 1, IDE_READS },
	{ TRANSFER(phase), 1, IDE_TAKES_PACKET },
	{ TRANSFER(phase), 1, IDE_WAITS_FOR_DRIVE },
	{ TRANSFER(operation), 1, IDE_READ },
	{ TRANSFER(dma), 1, 1 },
	{ TRANSFER(identify), 1, 1 },
	{ TRANSFER(block), 4, 0 },
	{ TRANSFER(block), 4, 0x10000 },
	{ TRANSFER(sector), 8, UINT64_MAX },
	{ TRANSFER(left), 4, 3 },
	{ TRANSFER(count), 4, 0 },
	{ TRANSFER(count), 4, IDE_BUFFER_SIZE + 2 },
	{ TRANSFER(position), 4, 1 },
	{ TRANSFER(position), 4, IDE_BUFFER_SIZE },
	{ TRANSFER(zero), 4, 1 },
};

static void values_that_cannot_be(void **state)
{
	struct fixture *f = *state;
	uint8_t bytes[BLOCK];

	send_packet(f, BLOCK, "\x28\0\0\0\0\x07\0\0\x04", 9);
	assert_int_equal(serve_read(f), 4);
	port(f, DATA, 2, false, BLOCK / 2, bytes);
	for (size_t i = 0; i < ARRAY_SIZE(impossible); i++) {
		struct state_reader reader;
		struct state_record record;

		save(f);
		assert_int_equal(state_reader_init(&reader, f->state.bytes, f->state.size), 0);
		assert_int_equal(state_find(&reader, "chipset/ide", 2, &record), 0);
		memcpy((uint8_t *)record.at + impossible[i].offset, &impossible[i].value,
		       impossible[i].size);
		if (restore(f) != -EINVAL)
			fail_msg("row %zu was taken", i);
	}
	port(f, DATA, 2, false, BLOCK / 2, bytes);
	assert_memory_equal(bytes, f->medium + 8 * BLOCK, BLOCK);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_drive_tells_what_it_is),   TEST(an_answer_is_read),
		TEST(limits_that_are_odd),        TEST(blocks_are_read_in_pieces),
		TEST(failures_have_a_sense),      TEST(what_a_drive_does_not_do),
		TEST(a_reset_forgets_the_packet), TEST(it_goes_on_in_the_middle),
		TEST(values_that_cannot_be),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
