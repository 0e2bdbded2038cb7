/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the chipset of generation 1 has beside others: PCI's configuration space, and what firmware reads. */
#include "common/base/cc.h"
#include "common/base/state.h"
#include "tests/unit/unit.h"
#include "vmwp/base/platform.h"
#include "vmwp/chipset/chipset.h"
#include "vmwp/chipset/firmware_log.h"
#include "vmwp/chipset/pci.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* The linker leads the chipset here: time stands still. */
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret_time);

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret_time)
{
	*ret_time = (struct timespec){ .tv_sec = 1700000000 };
	return 0;
}

struct fixture {
	struct chipset *chipset;
	enum firmware_word word; /* the last that was said */
	unsigned words;
	struct state_writer state;
};

static void set_interrupt(void *data, unsigned pin, bool level)
{
}

static void nothing(void *data)
{
}

static void firmware_said(void *data, enum firmware_word word)
{
	struct fixture *f = data;

	f->word = word;
	f->words++;
}

static const struct chipset_callbacks callbacks = {
	.set_interrupt = set_interrupt,
	.console_output = nothing,
	.console_room = nothing,
	.alarm = nothing,
	.disk_request = nothing,
	.firmware_said = firmware_said,
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	assert_int_equal(chipset_new(CHIPSET_GENERATION_1, &callbacks, f, &f->chipset), 0);
	state_writer_init(&f->state);
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

static enum power_request port(struct fixture *f, uint16_t number, uint8_t size, bool write,
			       uint32_t count, void *data)
{
	const struct vid_exit exit = {
		.kind = VID_EXIT_IO_PORT,
		.io = { .port = number,
			.size = size,
			.write = write,
			.count = count,
			.data = data },
	};

	return chipset_access(f->chipset, &exit);
}

static void out(struct fixture *f, uint16_t number, uint8_t size, uint32_t value)
{
	assert_int_equal(port(f, number, size, true, 1, &value), POWER_NOTHING);
}

static uint32_t in(struct fixture *f, uint16_t number, uint8_t size)
{
	uint32_t value = 0;

	assert_int_equal(port(f, number, size, false, 1, &value), POWER_NOTHING);
	return value;
}

static int restore(struct fixture *f, const struct state_writer *state)
{
	struct failure failure = { 0 };
	struct state_reader reader;

	assert_int_equal(state_reader_init(&reader, state->bytes, state->size), 0);
	return chipset_restore(f->chipset, &reader, &failure);
}

/* ---- PCI ---- */

#define IDE_FUNCTION 0x3900u

static uint32_t pci_get(struct fixture *f, uint32_t address)
{
	out(f, PLATFORM_PCI_ADDRESS_PORT, 4, 0x80000000 | address);
	return in(f, PLATFORM_PCI_DATA_PORT, 4);
}

static void pci_set(struct fixture *f, uint32_t address, uint32_t value)
{
	out(f, PLATFORM_PCI_ADDRESS_PORT, 4, 0x80000000 | address);
	out(f, PLATFORM_PCI_DATA_PORT, 4, value);
}

static void functions_are_hyper_vs(void **state)
{
	struct fixture *f = *state;

	for (uint32_t at = 0; at < 0x10000; at += 0x100) {
		uint32_t expected = at == 0x0000   ? 0x71928086
				    : at == 0x3800 ? 0x71108086
				    : at == 0x3900 ? 0x71118086
				    : at == 0x3b00 ? 0x71138086
						   : 0xffffffff;

		assert_int_equal(pci_get(f, at), expected);
		assert_int_equal(pci_get(f, 0x10000 | at), 0xffffffff);
	}
	assert_int_equal(pci_get(f, 0x0008), 0x06000003);
	assert_int_equal(pci_get(f, 0x380c) >> 16, 0x80);
	assert_int_equal(pci_get(f, 0x3b40), PLATFORM_PM1_EVENT_PORT | 1);
}

static void registers_take_what_they_have_bits_for(void **state)
{
	struct fixture *f = *state;

	pci_set(f, IDE_FUNCTION | 0x20, 0xffffffff);
	assert_int_equal(pci_get(f, IDE_FUNCTION | 0x20), 0xfffffff1);
	pci_set(f, IDE_FUNCTION | 0x20, 0xc010);
	assert_int_equal(pci_get(f, IDE_FUNCTION | 0x20), 0xc011);
	pci_set(f, IDE_FUNCTION | 0x04, 0xffffffff);
	assert_int_equal(pci_get(f, IDE_FUNCTION | 0x04), 0x02800005);
	pci_set(f, IDE_FUNCTION, 0);
	assert_int_equal(pci_get(f, IDE_FUNCTION), 0x71118086);
	/* By bytes and words as well. */
	pci_set(f, 0x3860, 0x04030201);
	out(f, PLATFORM_PCI_DATA_PORT + 1, 1, 0xff);
	out(f, PLATFORM_PCI_DATA_PORT + 2, 2, 0x8005);
	assert_int_equal(in(f, PLATFORM_PCI_DATA_PORT, 4), 0x80058f01);
	assert_int_equal(in(f, PLATFORM_PCI_DATA_PORT + 2, 2), 0x8005);
	chipset_reset(f->chipset);
	assert_int_equal(pci_get(f, 0x3860), 0x80808080);
}

static void the_address_is_taken_as_a_whole(void **state)
{
	struct fixture *f = *state;

	out(f, PLATFORM_PCI_ADDRESS_PORT, 4, 0xffffffff);
	assert_int_equal(in(f, PLATFORM_PCI_ADDRESS_PORT, 4), 0x80fffffc);
	out(f, PLATFORM_PCI_ADDRESS_PORT, 2, 0);
	out(f, PLATFORM_PCI_ADDRESS_PORT + 3, 1, 0);
	assert_int_equal(in(f, PLATFORM_PCI_ADDRESS_PORT, 4), 0x80fffffc);
	out(f, PLATFORM_PCI_ADDRESS_PORT, 4, 0x3800);
	assert_int_equal(in(f, PLATFORM_PCI_DATA_PORT, 4), 0xffffffff);
	out(f, PLATFORM_PCI_DATA_PORT, 4, 0);
}

static void the_reset_port_is_in_its_middle(void **state)
{
	struct fixture *f = *state;
	uint8_t value = 0x02;

	assert_int_equal(port(f, PLATFORM_RESET_PORT, 1, true, 1, &value), POWER_NOTHING);
	value = PLATFORM_RESET_VALUE;
	assert_int_equal(port(f, PLATFORM_RESET_PORT, 1, true, 1, &value), POWER_RESET);
	out(f, PLATFORM_PCI_ADDRESS_PORT, 4, 0x80000600);
	assert_int_equal(in(f, PLATFORM_RESET_PORT, 1), 0);
}

/* ---- What firmware reads ---- */

static const struct fw_cfg_items items = {
	.processors = 0x102,
	.file_count = 2,
	.files = { { "etc/first", "abc", 3 }, { "second", "0123456789", 10 } },
};

static void fw_cfg_get(struct fixture *f, uint16_t item, void *bytes, uint32_t size)
{
	out(f, PLATFORM_FW_CFG_PORT, 2, item);
	assert_int_equal(port(f, PLATFORM_FW_CFG_PORT + 1, 1, false, size, bytes), POWER_NOTHING);
}

static void firmware_finds_its_files(void **state)
{
	struct fixture *f = *state;
	uint8_t bytes[4 + 3 * 64];
	uint32_t number;

	chipset_set_firmware(f->chipset, &items);
	fw_cfg_get(f, 0x00, bytes, 4);
	assert_memory_equal(bytes, "QEMU", 4);
	fw_cfg_get(f, 0x01, &number, 4);
	assert_int_equal(number, 1);
	fw_cfg_get(f, 0x05, bytes, 3);
	assert_memory_equal(bytes, "\x02\x01\x00", 3);
	fw_cfg_get(f, 0x19, bytes, sizeof(bytes));
	assert_memory_equal(bytes, "\0\0\0\x02\0\0\0\x03\0\x20\0\0etc/first", 22);
	assert_memory_equal(bytes + 68, "\0\0\0\x0a\0\x21\0\0second", 15);
	for (unsigned i = 132; i < sizeof(bytes); i++)
		assert_int_equal(bytes[i], 0);
	fw_cfg_get(f, 0x21, bytes, 12);
	assert_memory_equal(bytes, "0123456789\0", 12);
	fw_cfg_get(f, 0x22, bytes, 2);
	assert_memory_equal(bytes, "\0", 2);
	chipset_set_firmware(f->chipset, NULL);
	fw_cfg_get(f, 0x21, bytes, 2);
	assert_memory_equal(bytes, "\0", 2);
}

static void a_port_is_there_for_its_log(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(in(f, PLATFORM_FIRMWARE_LOG_PORT, 1), 0xe9);
	for (unsigned i = 0; i < 1000; i++)
		out(f, PLATFORM_FIRMWARE_LOG_PORT, 1, i * 7 % 256);
}

/* ---- State ---- */

static void save(struct fixture *f, struct state_writer *writer)
{
	state_writer_deinit(writer);
	state_writer_init(writer);
	assert_int_equal(chipset_save(f->chipset, writer), 0);
}

static void make_busy(struct fixture *f)
{
	uint8_t bytes[3];

	chipset_set_firmware(f->chipset, &items);
	fw_cfg_get(f, 0x21, bytes, 3);
	pci_set(f, IDE_FUNCTION | 0x20, 0xc020);
	pci_set(f, IDE_FUNCTION | 0x04, 5);
	out(f, PLATFORM_FIRMWARE_LOG_PORT, 1, 'x');
}

static void it_goes_on_where_it_was(void **state)
{
	struct fixture *f = *state;
	struct state_writer again;

	make_busy(f);
	save(f, &f->state);
	chipset_reset(f->chipset);
	assert_int_equal(pci_get(f, IDE_FUNCTION | 0x20), 1);
	assert_int_equal(restore(f, &f->state), 0);
	state_writer_init(&again);
	save(f, &again);
	assert_int_equal(again.size, f->state.size);
	assert_memory_equal(again.bytes, f->state.bytes, again.size);
	state_writer_deinit(&again);
	assert_int_equal(in(f, PLATFORM_FW_CFG_PORT + 1, 1), '3');
	assert_int_equal(pci_get(f, IDE_FUNCTION | 0x20), 0xc021);
}

/* The host hears of it once, at the end of the line; a reset forgets what has been begun. */
static void the_host_hears_that_nothing_boots(void **state)
{
	static const char text[] = "No bootable device.\n";
	struct fixture *f = *state;

	out(f, PLATFORM_FIRMWARE_LOG_PORT, 1, '\n');
	for (const char *at = text; at[1]; at++)
		out(f, PLATFORM_FIRMWARE_LOG_PORT, 1, (uint8_t)*at);
	assert_int_equal(f->words, 0);
	chipset_reset(f->chipset);
	out(f, PLATFORM_FIRMWARE_LOG_PORT, 1, '\n');
	assert_int_equal(f->words, 0);
	for (const char *at = text; *at; at++)
		out(f, PLATFORM_FIRMWARE_LOG_PORT, 1, (uint8_t)*at);
	assert_int_equal(f->words, 1);
	assert_int_equal(f->word, FIRMWARE_NO_BOOT_DEVICE);
}

static const struct {
	const char *record;
	size_t offset;
	uint32_t flip;
} impossible[] = {
	{ "chipset/pci", offsetof(struct pci_state, address), 1 },
	{ "chipset/pci", offsetof(struct pci_state, address), 0x40000000 },
	{ "chipset/pci", offsetof(struct pci_state, zero), 1 },
	{ "chipset/pci", offsetof(struct pci_state, registers[PCI_STORAGE][0]), 1 },
	{ "chipset/pci", offsetof(struct pci_state, registers[PCI_STORAGE][1]), 2 },
	{ "chipset/pci", offsetof(struct pci_state, registers[PCI_STORAGE][8]), 1 },
	{ "chipset/pci", offsetof(struct pci_state, registers[PCI_STORAGE][8]), 0x8 },
	{ "chipset/pci", offsetof(struct pci_state, registers[PCI_ISA_BRIDGE][24]), 0x40 },
	{ "chipset/pci", offsetof(struct pci_state, registers[PCI_HOST_BRIDGE][63]), 0x80 },
	{ "chipset/fw_cfg", offsetof(struct fw_cfg_state, zero), 1 },
	{ "chipset/firmware log", offsetof(struct firmware_log_state, length), 0x80 },
	{ "chipset/firmware log", offsetof(struct firmware_log_state, length), 0x02 },
	{ "chipset/firmware log", offsetof(struct firmware_log_state, zero[6]), 1 },
	{ "chipset/firmware log", offsetof(struct firmware_log_state, line[0]), 0x80 },
	{ "chipset/firmware log", offsetof(struct firmware_log_state, line[119]), ' ' },
};

static void values_that_cannot_be(void **state)
{
	struct fixture *f = *state;
	struct state_writer before;

	make_busy(f);
	state_writer_init(&before);
	for (size_t i = 0; i < ARRAY_SIZE(impossible); i++) {
		struct state_reader reader;
		struct state_record record;

		save(f, &before);
		save(f, &f->state);
		assert_int_equal(state_reader_init(&reader, f->state.bytes, f->state.size), 0);
		assert_int_equal(state_find(&reader, impossible[i].record, 1, &record), 0);
		for (unsigned byte = 0; byte < 4; byte++)
			((uint8_t *)record.at)[impossible[i].offset + byte] ^=
				(uint8_t)(impossible[i].flip >> 8 * byte);
		assert_int_equal(restore(f, &f->state), -EINVAL);
		save(f, &f->state);
		assert_memory_equal(before.bytes, f->state.bytes, before.size);
	}
	state_writer_deinit(&before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(functions_are_hyper_vs, setup, teardown),
		cmocka_unit_test_setup_teardown(registers_take_what_they_have_bits_for, setup,
						teardown),
		cmocka_unit_test_setup_teardown(the_address_is_taken_as_a_whole, setup, teardown),
		cmocka_unit_test_setup_teardown(the_reset_port_is_in_its_middle, setup, teardown),
		cmocka_unit_test_setup_teardown(firmware_finds_its_files, setup, teardown),
		cmocka_unit_test_setup_teardown(a_port_is_there_for_its_log, setup, teardown),
		cmocka_unit_test_setup_teardown(it_goes_on_where_it_was, setup, teardown),
		cmocka_unit_test_setup_teardown(the_host_hears_that_nothing_boots, setup, teardown),
		cmocka_unit_test_setup_teardown(values_that_cannot_be, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
