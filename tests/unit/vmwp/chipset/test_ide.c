/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Generation 1's IDE channels, by their ports, with a host that carries requests out. */
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
#include <time.h>

#define SECTORS 5000u

enum { DATA = 0x1f0, COUNT = 0x1f2, LOW, MIDDLE, HIGH, DEVICE, COMMAND, CONTROL = 0x3f6 };
enum { MASTER = 0xc000 };

struct fixture {
	struct chipset *chipset;
	bool level;
	unsigned requests, edges;
	uint8_t disk[SECTORS * IDE_SECTOR];
	uint8_t buffer[IDE_BUFFER_SECTORS * IDE_SECTOR];
	struct state_writer state;
};

/* The linker leads the chipset here: time stands still. */
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret_time);

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret_time)
{
	*ret_time = (struct timespec){ .tv_sec = 1700000000 };
	return 0;
}

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

static void out(struct fixture *f, uint16_t number, uint8_t size, uint32_t value)
{
	port(f, number, size, true, 1, &value);
}

static uint32_t in(struct fixture *f, uint16_t number, uint8_t size)
{
	uint32_t value = 0;

	port(f, number, size, false, 1, &value);
	return value;
}

static int setup(void **state)
{
	const struct ide_disk disk = { .sectors = SECTORS, .serial = "serial" };
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	assert_int_equal(chipset_new(CHIPSET_GENERATION_1, &callbacks, f, &f->chipset), 0);
	chipset_ide_set_disk(f->chipset, 0, 0, &disk);
	for (size_t i = 0; i < sizeof(f->disk); i++)
		f->disk[i] = (uint8_t)(i * 31 + i / IDE_SECTOR);
	state_writer_init(&f->state);
	/* The bus master is at 0xc000, and may transfer. */
	out(f, PLATFORM_PCI_ADDRESS_PORT, 4, 0x80003920);
	out(f, PLATFORM_PCI_DATA_PORT, 4, MASTER);
	out(f, PLATFORM_PCI_ADDRESS_PORT, 4, 0x80003904);
	out(f, PLATFORM_PCI_DATA_PORT, 2, 5);
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

static void command_28(struct fixture *f, uint32_t sector, uint8_t count, uint8_t command)
{
	out(f, COUNT, 1, count);
	out(f, LOW, 1, sector & 0xff);
	out(f, MIDDLE, 1, sector >> 8 & 0xff);
	out(f, HIGH, 1, sector >> 16 & 0xff);
	out(f, DEVICE, 1, 0xe0 | sector >> 24);
	out(f, COMMAND, 1, command);
}

/* Carries one request out. */
static struct ide_request serve(struct fixture *f)
{
	struct ide_request request;

	assert_true(chipset_ide_take(f->chipset, 0, &request, f->buffer));
	assert_false(chipset_ide_take(f->chipset, 0, &request, f->buffer));
	if (request.operation == IDE_WRITE && !request.dma)
		memcpy(f->disk + request.sector * IDE_SECTOR, f->buffer,
		       request.count * IDE_SECTOR);
	if (request.operation == IDE_READ && !request.dma)
		memcpy(f->buffer, f->disk + request.sector * IDE_SECTOR,
		       request.count * IDE_SECTOR);
	chipset_ide_complete(f->chipset, 0, request.serial, false, f->buffer);
	return request;
}

/* ---- What is there ---- */

static void a_disk_tells_what_it_is(void **state)
{
	struct fixture *f = *state;
	uint8_t identity[IDE_SECTOR];

	assert_int_equal(in(f, COMMAND, 1), 0x50);
	out(f, COMMAND, 1, 0xec);
	assert_true(f->level);
	assert_int_equal(in(f, COMMAND, 1), 0x58);
	assert_false(f->level);
	port(f, DATA, 2, false, 256, identity);
	assert_int_equal(in(f, COMMAND, 1), 0x50);
	assert_memory_equal(identity + 20, "esirla  ", 8);
	assert_memory_equal(identity + 54, "iVtrau lDH", 10);
	assert_int_equal(identity[120] | identity[121] << 8, SECTORS);
	assert_int_equal(identity[200] | identity[201] << 8, SECTORS);
	assert_int_equal(in(f, DATA, 2), 0xffff);
	assert_int_equal(f->requests, 0);
}

static void what_is_not_there(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(in(f, 0x177, 1), 0x7f);
	assert_int_equal(in(f, 0x376, 1), 0x7f);
	out(f, 0x172, 1, 0x55);
	assert_int_equal(in(f, 0x172, 1), 0xff);
	out(f, 0x177, 1, 0xec);
	assert_int_equal(in(f, 0x177, 1), 0x7f);
	/* The second disk of a channel with one: the first answers for it. */
	out(f, DEVICE, 1, 0xf0);
	assert_int_equal(in(f, COMMAND, 1), 0);
	out(f, COUNT, 1, 0x55);
	assert_int_equal(in(f, COUNT, 1), 0x55);
	out(f, COMMAND, 1, 0xec);
	assert_int_equal(in(f, COMMAND, 1), 0);
	assert_false(f->level);
	out(f, DEVICE, 1, 0xa0);
	assert_int_equal(in(f, COMMAND, 1), 0x50);
}

static void a_reset_signs(void **state)
{
	struct fixture *f = *state;

	command_28(f, 7, 3, 0x20);
	assert_int_equal(in(f, CONTROL, 1), 0x80);
	out(f, CONTROL, 1, 0x06);
	assert_int_equal(in(f, CONTROL, 1), 0x80);
	out(f, CONTROL, 1, 0x02);
	assert_int_equal(in(f, CONTROL, 1), 0x50);
	assert_int_equal(in(f, DATA + 1, 1), 1);
	assert_int_equal(in(f, COUNT, 1), 1);
	assert_int_equal(in(f, LOW, 1), 1);
	assert_int_equal(in(f, MIDDLE, 1), 0);
	assert_int_equal(in(f, HIGH, 1), 0);
}

static void commands_that_there_are_not(void **state)
{
	struct fixture *f = *state;
	static const uint8_t commands[] = { 0x00, 0xa1, 0xb0, 0xc4, 0xc5, 0xf8, 0xff };

	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		command_28(f, 0, 1, commands[i]);
		assert_int_equal(in(f, COMMAND, 1), 0x51);
		assert_int_equal(in(f, DATA + 1, 1), 0x04);
	}
	assert_int_equal(f->requests, 0);
}

/* ---- Reading and writing ---- */

static void sectors_are_read(void **state)
{
	struct fixture *f = *state;
	static uint8_t bytes[40 * IDE_SECTOR];

	command_28(f, 100, 40, 0x20);
	assert_int_equal(in(f, COMMAND, 1), 0x80);
	assert_true(f->requests > 0);
	for (unsigned done = 0; done < 40;) {
		struct ide_request request = serve(f);

		assert_int_equal(request.sector, 100 + done);
		assert_int_equal(request.count, MIN(40 - done, IDE_BUFFER_SECTORS));
		for (unsigned i = 0; i < request.count; i++, done++) {
			assert_true(f->level);
			assert_int_equal(in(f, COMMAND, 1), 0x58);
			port(f, DATA, done % 2 ? 2 : 4, false, done % 2 ? 256 : 128,
			     bytes + (size_t)done * IDE_SECTOR);
		}
	}
	assert_int_equal(f->edges, 40);
	assert_int_equal(in(f, COMMAND, 1), 0x50);
	assert_memory_equal(bytes, f->disk + 100 * IDE_SECTOR, sizeof(bytes));
}

static void sectors_are_written(void **state)
{
	struct fixture *f = *state;
	static uint8_t bytes[20 * IDE_SECTOR];

	memset(bytes, 0x6b, sizeof(bytes));
	out(f, COUNT, 1, 16);
	out(f, COMMAND, 1, 0xc6); /* SET MULTIPLE */
	assert_int_equal(in(f, COMMAND, 1), 0x50);
	command_28(f, 9, 20, 0xc5);
	assert_false(f->level);
	port(f, DATA, 2, true, 16 * 256, bytes);
	assert_int_equal(in(f, COMMAND, 1), 0x80);
	assert_int_equal(serve(f).count, 16);
	assert_true(f->level);
	port(f, DATA, 2, true, 4 * 256, bytes);
	assert_int_equal(serve(f).sector, 25);
	assert_int_equal(in(f, COMMAND, 1), 0x50);
	assert_memory_equal(f->disk + 9 * IDE_SECTOR, bytes, sizeof(bytes));
	assert_int_equal(f->disk[29 * IDE_SECTOR], (uint8_t)(29 * IDE_SECTOR * 31 + 29));
	command_28(f, 0, 0, 0xe7);
	assert_int_equal(serve(f).operation, IDE_FLUSH);
	assert_int_equal(in(f, COMMAND, 1), 0x50);
}

static void addresses_of_48_bits(void **state)
{
	struct fixture *f = *state;
	struct ide_request request;

	out(f, COUNT, 1, 0x01);
	out(f, LOW, 1, 0);
	out(f, MIDDLE, 1, 0);
	out(f, HIGH, 1, 0);
	command_28(f, 0x1234 & 0xfff, 0x02, 0x25);
	assert_int_equal(in(f, COMMAND, 1), 0x80);
	assert_int_equal(f->requests, 0); /* the bus master was not started */
	out(f, MASTER + 4, 4, 0x12345673);
	out(f, MASTER + 2, 1, 0x06);
	out(f, MASTER, 1, 0x09);
	assert_int_equal(in(f, MASTER + 2, 1), 0x01);
	assert_true(chipset_ide_take(f->chipset, 0, &request, f->buffer));
	assert_true(request.dma);
	assert_int_equal(request.table, 0x12345670);
	assert_int_equal(request.sector, 0x234);
	assert_int_equal(request.count, 0x102);
	chipset_ide_complete(f->chipset, 0, request.serial, false, NULL);
	assert_int_equal(in(f, MASTER + 2, 1), 0x04);
	assert_true(f->level);
	assert_int_equal(in(f, COMMAND, 1), 0x50);
	out(f, MASTER, 1, 0);
	out(f, MASTER + 2, 1, 0x04);
	assert_int_equal(in(f, MASTER + 2, 1), 0);
}

static void ranges_that_end_beyond_the_disk(void **state)
{
	struct fixture *f = *state;
	static const struct {
		uint32_t sector;
		uint8_t count, command;
	} table[] = {
		{ SECTORS, 1, 0x20 },     { SECTORS - 1, 2, 0x20 },   { SECTORS - 1, 2, 0x30 },
		{ SECTORS - 1, 2, 0xc8 }, { SECTORS - 255, 0, 0x20 }, { 0x0fffffff, 1, 0x40 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		command_28(f, table[i].sector, table[i].count, table[i].command);
		assert_int_equal(in(f, COMMAND, 1), 0x51);
		assert_int_equal(in(f, DATA + 1, 1), 0x10);
	}
	command_28(f, SECTORS - 256, 0, 0x40);
	assert_int_equal(in(f, COMMAND, 1), 0x50);
	assert_int_equal(f->requests, 0);
}

static void a_request_that_fails(void **state)
{
	struct fixture *f = *state;
	struct ide_request request;

	command_28(f, 1, 1, 0x20);
	assert_true(chipset_ide_take(f->chipset, 0, &request, f->buffer));
	chipset_ide_complete(f->chipset, 0, request.serial, true, NULL);
	assert_true(f->level);
	assert_int_equal(in(f, COMMAND, 1), 0x51);
	assert_int_equal(in(f, DATA + 1, 1), 0x40);
}

static void a_reset_forgets_the_request(void **state)
{
	struct fixture *f = *state;
	struct ide_request request, again;

	command_28(f, 1, 1, 0x20);
	assert_true(chipset_ide_take(f->chipset, 0, &request, f->buffer));
	assert_true(chipset_ide_is_current(f->chipset, 0, request.serial));
	out(f, CONTROL, 1, 0x04);
	out(f, CONTROL, 1, 0x00);
	assert_false(chipset_ide_is_current(f->chipset, 0, request.serial));
	command_28(f, 2, 1, 0x20);
	chipset_ide_complete(f->chipset, 0, request.serial, true, NULL);
	assert_int_equal(in(f, COMMAND, 1), 0x80);
	assert_true(chipset_ide_take(f->chipset, 0, &again, f->buffer));
	assert_int_equal(again.sector, 2);
	chipset_ide_give_back(f->chipset, 0, again.serial);
	assert_int_equal(serve(f).sector, 2);
	assert_int_equal(in(f, COMMAND, 1), 0x58);
}

static void without_leave_nothing_is_transferred(void **state)
{
	struct fixture *f = *state;
	struct ide_request request;

	out(f, PLATFORM_PCI_ADDRESS_PORT, 4, 0x80003904);
	out(f, PLATFORM_PCI_DATA_PORT, 2, 1);
	command_28(f, 1, 1, 0xc8);
	out(f, MASTER, 1, 0x09);
	assert_false(chipset_ide_take(f->chipset, 0, &request, f->buffer));
	assert_int_equal(in(f, COMMAND, 1), 0x51);
	/* And without ports the bus master is nowhere. */
	out(f, PLATFORM_PCI_DATA_PORT, 2, 0);
	assert_int_equal(in(f, MASTER, 1), 0xff);
}

/* ---- State ---- */

static int restore(struct fixture *f, const struct state_writer *state)
{
	struct failure failure = { 0 };
	struct state_reader reader;

	assert_int_equal(state_reader_init(&reader, state->bytes, state->size), 0);
	return chipset_restore(f->chipset, &reader, &failure);
}

static void save(struct fixture *f)
{
	state_writer_deinit(&f->state);
	state_writer_init(&f->state);
	assert_int_equal(chipset_save(f->chipset, &f->state), 0);
}

/* What the host had taken up it takes up again, elsewhere. */
static void it_goes_on_in_the_middle(void **state)
{
	struct fixture *f = *state;
	struct ide_request request;
	uint8_t bytes[IDE_SECTOR];

	command_28(f, 50, 2, 0x20);
	assert_true(chipset_ide_take(f->chipset, 0, &request, f->buffer));
	save(f);
	chipset_reset(f->chipset);
	f->requests = 0;
	assert_int_equal(restore(f, &f->state), 0);
	assert_true(f->requests > 0);
	assert_false(chipset_ide_is_current(f->chipset, 0, request.serial));
	assert_int_equal(serve(f).count, 2);
	port(f, DATA, 2, false, 100, bytes);
	save(f);
	chipset_reset(f->chipset);
	assert_int_equal(in(f, COMMAND, 1), 0x50);
	assert_int_equal(restore(f, &f->state), 0);
	assert_int_equal(in(f, COMMAND, 1), 0x58);
	port(f, DATA, 2, false, 156, bytes + 200);
	assert_memory_equal(bytes, f->disk + 50 * IDE_SECTOR, sizeof(bytes));
	port(f, DATA, 2, false, 256, bytes);
	assert_memory_equal(bytes, f->disk + 51 * IDE_SECTOR, sizeof(bytes));
	assert_int_equal(in(f, COMMAND, 1), 0x50);
}

#define REGISTER(member) offsetof(struct ide_state, registers.member)
#define TRANSFER(member) offsetof(struct ide_state, transfer.member)

/* Of a channel whose guest reads the second of two sectors, from 50 on. */
static const struct {
	size_t offset;
	unsigned size;
	uint64_t value;
} impossible[] = {
	{ REGISTER(device), 1, 0xe0 },
	{ REGISTER(device), 1, 0x50 }, /* there is no such disk */
	{ REGISTER(status), 1, 0x50 },
	{ REGISTER(status), 1, 0x80 },
	{ REGISTER(control), 1, 0x04 },
	{ REGISTER(control), 1, 0x10 },
	{ REGISTER(multiple[0]), 1, 3 },
	{ REGISTER(multiple[1]), 1, 32 },
	{ REGISTER(interrupt), 1, 2 },
	{ REGISTER(master_command), 1, 2 },
	{ REGISTER(master_status), 1, 0x80 },
	{ REGISTER(zero), 1, 1 },
	{ REGISTER(master_table), 4, 1 },
	{ offsetof(struct ide_state, zero), 1, 1 },
	{ TRANSFER(phase), 1, IDE_IDLE },
	{ TRANSFER(phase), 1, IDE_WRITES },
	{ TRANSFER(phase), 1, _IDE_PHASES },
	{ TRANSFER(operation), 1, IDE_NONE },
	{ TRANSFER(operation), 1, IDE_FLUSH },
	{ TRANSFER(operation), 1, IDE_PACKET },
	{ TRANSFER(operation), 1, IDE_PACKET + 1 },
	{ TRANSFER(dma), 1, 1 },
	{ TRANSFER(dma), 1, 2 },
	{ TRANSFER(identify), 1, 1 },
	{ TRANSFER(block), 4, 0 },
	{ TRANSFER(block), 4, 3 },
	{ TRANSFER(block), 4, 32 },
	{ TRANSFER(sector), 8, SECTORS - 1 },
	{ TRANSFER(sector), 8, UINT64_MAX },
	{ TRANSFER(left), 4, 0 },
	{ TRANSFER(left), 4, 1 },
	{ TRANSFER(left), 4, UINT32_MAX },
	{ TRANSFER(count), 4, 0 },
	{ TRANSFER(count), 4, 1 },
	{ TRANSFER(count), 4, 17 },
	{ TRANSFER(position), 4, 1024 },
	{ TRANSFER(position), 4, 513 },
	{ TRANSFER(zero), 4, 1 },
};

static void values_that_cannot_be(void **state)
{
	struct fixture *f = *state;
	uint8_t bytes[IDE_SECTOR];

	command_28(f, 50, 2, 0x20);
	serve(f);
	port(f, DATA, 2, false, 256, bytes);
	for (size_t i = 0; i < ARRAY_SIZE(impossible); i++) {
		struct state_reader reader;
		struct state_record record;

		save(f);
		assert_int_equal(state_reader_init(&reader, f->state.bytes, f->state.size), 0);
		assert_int_equal(state_find(&reader, "chipset/ide", 2, &record), 0);
		assert_int_equal(record.left, IDE_CHANNELS * sizeof(struct ide_state));
		memcpy((uint8_t *)record.at + impossible[i].offset, &impossible[i].value,
		       impossible[i].size);
		if (restore(f, &f->state) != -EINVAL)
			fail_msg("row %zu was taken", i);
	}
	port(f, DATA, 2, false, 256, bytes);
	assert_memory_equal(bytes, f->disk + 51 * IDE_SECTOR, sizeof(bytes));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_disk_tells_what_it_is),
		TEST(what_is_not_there),
		TEST(a_reset_signs),
		TEST(commands_that_there_are_not),
		TEST(sectors_are_read),
		TEST(sectors_are_written),
		TEST(addresses_of_48_bits),
		TEST(ranges_that_end_beyond_the_disk),
		TEST(a_request_that_fails),
		TEST(a_reset_forgets_the_request),
		TEST(without_leave_nothing_is_transferred),
		TEST(it_goes_on_in_the_middle),
		TEST(values_that_cannot_be),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
