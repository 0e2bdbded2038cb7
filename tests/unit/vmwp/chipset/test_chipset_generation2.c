/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the chipset of generation 2 has beside others, for its firmware alone, until that has left. */
#include "common/base/cc.h"
#include "common/base/state.h"
#include "tests/unit/unit.h"
#include "vmwp/base/platform.h"
#include "vmwp/chipset/chipset.h"
#include "vmwp/chipset/i8042.h"
#include "vmwp/chipset/option_rom.h"
#include "vmwp/chipset/pci.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define STORAGE   0x1000u /* the function */
#define ROM_BAR   0x30
#define ROM_PLACE 0xc0008000u

struct fixture {
	struct chipset *chipset;
	enum firmware_word word; /* the last that was said */
	unsigned words;
	uint8_t *flash;
	bool flash_is_memory;
	unsigned flash_changes, hand_overs;
	struct state_writer state;
};

static void set_interrupt(void *data, unsigned pin, bool level)
{
	fail_msg("the firmware wants no interrupts");
}

static void nothing(void *data)
{
}

static void flash_is_memory(void *data, bool is_memory)
{
	struct fixture *f = data;

	assert_true(is_memory != f->flash_is_memory);
	f->flash_is_memory = is_memory;
}

static void handed_over(void *data)
{
	((struct fixture *)data)->hand_overs++;
}

static void flash_changed(void *data)
{
	((struct fixture *)data)->flash_changes++;
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
	.handed_over = handed_over,
	.flash_is_memory = flash_is_memory,
	.flash_changed = flash_changed,
	.firmware_said = firmware_said,
};

static const struct fw_cfg_items items = { .processors = 1 };

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	assert_int_equal(chipset_new(CHIPSET_GENERATION_2, &callbacks, f, &f->chipset), 0);
	chipset_set_firmware(f->chipset, &items);
	f->flash = malloc(FLASH_SIZE);
	assert_non_null(f->flash);
	memset(f->flash, 0xff, FLASH_SIZE);
	f->flash_is_memory = true;
	chipset_set_flash(f->chipset, f->flash);
	state_writer_init(&f->state);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	state_writer_deinit(&f->state);
	chipset_free(f->chipset);
	free(f->flash);
	free(f);
	return 0;
}

static enum power_request port(struct fixture *f, uint16_t number, uint8_t size, bool write,
			       void *data)
{
	const struct vid_exit exit = {
		.kind = VID_EXIT_IO_PORT,
		.io = { .port = number, .size = size, .write = write, .count = 1, .data = data },
	};

	return chipset_access(f->chipset, &exit);
}

static void out(struct fixture *f, uint16_t number, uint8_t size, uint32_t value)
{
	assert_int_equal(port(f, number, size, true, &value), POWER_NOTHING);
}

static uint32_t in(struct fixture *f, uint16_t number, uint8_t size)
{
	uint32_t value = 0;

	assert_int_equal(port(f, number, size, false, &value), POWER_NOTHING);
	return value;
}

static uint32_t memory(struct fixture *f, uint32_t address, uint8_t size)
{
	uint32_t value = 0;
	const struct vid_exit exit = {
		.kind = VID_EXIT_MMIO,
		.mmio = { .gpa = GPA(address), .size = size, .data = (uint8_t *)&value },
	};

	assert_int_equal(chipset_access(f->chipset, &exit), POWER_NOTHING);
	return value;
}

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

static void command(struct fixture *f, uint8_t value)
{
	out(f, PLATFORM_KEYBOARD_PORT, 1, value);
}

static void data(struct fixture *f, uint8_t value)
{
	out(f, PLATFORM_KEYBOARD_DATA, 1, value);
}

/* The next byte that the status says is there. */
static uint8_t answer(struct fixture *f)
{
	assert_int_equal(in(f, PLATFORM_KEYBOARD_PORT, 1) & 0x03, 0x01);
	return (uint8_t)in(f, PLATFORM_KEYBOARD_DATA, 1);
}

/* ---- PCI ---- */

/* Without these ids the firmware has no clock, finds no serial port, and no driver. */
static void functions_are_a_pcs_and_one_of_ours(void **state)
{
	struct fixture *f = *state;

	for (uint32_t at = 0; at < 0x10000; at += 0x100) {
		uint32_t expected = at == 0x0000    ? 0x12378086
				    : at == 0x0800  ? 0x70008086
				    : at == STORAGE ? 0xb0071414
				    : at == 0x0b00  ? 0x71138086
						    : 0xffffffff;

		assert_int_equal(pci_get(f, at), expected);
	}
	assert_int_equal(pci_get(f, 0x0b40), PLATFORM_PM1_EVENT_PORT | 1);
	assert_int_equal(pci_get(f, 0x0b80), 1);
	assert_int_equal(pci_get(f, STORAGE | 8), 0x03800000);
}

static void the_rom_is_where_the_firmware_puts_it(void **state)
{
	struct fixture *f = *state;
	uint32_t at;

	pci_set(f, STORAGE | ROM_BAR, 0xfffffffe);
	assert_int_equal(~pci_get(f, STORAGE | ROM_BAR) + 1, OPTION_ROM_SIZE);
	pci_set(f, STORAGE | ROM_BAR, ROM_PLACE | 1);
	assert_int_equal(memory(f, ROM_PLACE, 2), 0xffff);
	pci_set(f, STORAGE | 4, 2);
	assert_int_equal(memory(f, ROM_PLACE, 2), 0xaa55);
	assert_int_equal(memory(f, ROM_PLACE - 4, 4), 0xffffffff);
	assert_int_equal(memory(f, ROM_PLACE + OPTION_ROM_SIZE, 4), 0xffffffff);
	at = memory(f, ROM_PLACE + 0x18, 2);
	assert_int_equal(memory(f, ROM_PLACE + at, 4), 0x52494350); /* "PCIR" */
	assert_int_equal(memory(f, ROM_PLACE + at + 4, 4), 0xb0071414);
	assert_int_equal(memory(f, ROM_PLACE + at + 20, 2), 0x8003);
	at = memory(f, ROM_PLACE + 0x16, 2);
	assert_int_equal(memory(f, ROM_PLACE + at, 2), 0x5a4d); /* "MZ" */
	pci_set(f, STORAGE | ROM_BAR, ROM_PLACE);
	assert_int_equal(memory(f, ROM_PLACE, 2), 0xffff);
}

/* ---- The keyboard controller ---- */

static void the_firmware_finds_a_keyboard(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(in(f, PLATFORM_KEYBOARD_PORT, 1), 0x10);
	command(f, 0xad);
	command(f, 0xa7);
	command(f, 0xaa);
	assert_int_equal(answer(f), 0x55);
	assert_int_equal(in(f, PLATFORM_KEYBOARD_PORT, 1), 0x14);
	command(f, 0x60);
	data(f, 0x67);
	command(f, 0x20);
	assert_int_equal(answer(f), 0x67);
	command(f, 0xab);
	assert_int_equal(answer(f), 0x00);
	command(f, 0xa9);
	assert_int_equal(answer(f), 0x01);
	data(f, 0xff);
	assert_int_equal(answer(f), 0xfa);
	assert_int_equal(answer(f), 0xaa);
	data(f, 0xf2);
	assert_int_equal(answer(f), 0xfa);
	assert_int_equal(answer(f), 0xab);
	assert_int_equal(answer(f), 0x83);
	data(f, 0xed);
	assert_int_equal(answer(f), 0xfa);
	data(f, 0x07);
	assert_int_equal(answer(f), 0xfa);
	data(f, 0x07);
	assert_int_equal(answer(f), 0xfe);
	assert_int_equal(in(f, PLATFORM_KEYBOARD_PORT, 1), 0x14);
	assert_int_equal(in(f, PLATFORM_KEYBOARD_DATA, 1), 0xfe);
}

static void what_nobody_reads_is_bounded(void **state)
{
	struct fixture *f = *state;

	for (unsigned i = 0; i < 100; i++)
		data(f, 0xee);
	for (unsigned i = 0; i < I8042_OUTPUT_MAX; i++)
		assert_int_equal(answer(f), 0xee);
	assert_int_equal(in(f, PLATFORM_KEYBOARD_PORT, 1) & 1, 0);
}

/* ---- Flash ---- */

static void flash_write(struct fixture *f, uint32_t offset, uint8_t value)
{
	const struct vid_exit exit = {
		.kind = VID_EXIT_MMIO,
		.mmio = { .gpa = GPA(PLATFORM_FLASH + offset),
			  .size = 1,
			  .write = true,
			  .data = &value },
	};

	assert_int_equal(chipset_access(f->chipset, &exit), POWER_NOTHING);
}

static uint8_t flash_read(struct fixture *f, uint32_t offset)
{
	return (uint8_t)memory(f, PLATFORM_FLASH + offset, 1);
}

/* By these steps the firmware finds out that it is neither RAM nor a ROM. */
static void the_firmware_knows_it_for_flash(void **state)
{
	struct fixture *f = *state;

	f->flash[8] = 0x12;
	flash_write(f, 8, 0x50);
	assert_int_equal(flash_read(f, 8), 0x12);
	flash_write(f, 8, 0x70);
	assert_false(f->flash_is_memory);
	assert_int_equal(flash_read(f, 8), 0x00);
	flash_write(f, 8, 0xff);
	assert_true(f->flash_is_memory);
	assert_int_equal(flash_read(f, 8), 0x12);
	assert_int_equal(f->flash_changes, 0);
}

static void bytes_are_written_and_blocks_erased(void **state)
{
	struct fixture *f = *state;

	flash_write(f, 0x1234, 0x10);
	assert_int_equal(f->flash_changes, 0);
	flash_write(f, 0x1234, 0x5f);
	assert_int_equal(f->flash_changes, 1);
	flash_write(f, 0x1234, 0x40);
	flash_write(f, 0x1234, 0xf3);
	assert_int_equal(f->flash[0x1234], 0x53);
	flash_write(f, FLASH_SIZE - 1, 0x10);
	flash_write(f, FLASH_SIZE - 1, 0x00);
	assert_int_equal(f->flash[FLASH_SIZE - 1], 0);
	flash_write(f, 0x1000, 0x20);
	flash_write(f, 0x1000, 0xff);
	assert_int_equal(f->flash[0x1234], 0x53);
	flash_write(f, 0x1fff, 0x20);
	flash_write(f, 0x1fff, 0xd0);
	assert_int_equal(f->flash[0x1234], 0xff);
	assert_int_equal(f->flash[FLASH_SIZE - 1], 0);
}

static void a_machine_without_flash_has_none(void **state)
{
	struct fixture *f = *state;

	chipset_set_flash(f->chipset, NULL);
	flash_write(f, 0, 0x70);
	flash_write(f, 0, 0x10);
	flash_write(f, 0, 0x00);
	assert_int_equal(flash_read(f, 0), 0xff);
	assert_int_equal(f->flash[0], 0xff);
}

/* ---- The hand-over ---- */

static void hand_over(struct fixture *f)
{
	pci_set(f, STORAGE | ROM_BAR, ROM_PLACE | 1);
	pci_set(f, STORAGE | 4, 2);
	data(f, 0xee);
	pci_set(f, STORAGE | PCI_HAND_OVER, 1);
}

static void assert_handed_over(struct fixture *f)
{
	uint8_t reset = PLATFORM_KEYBOARD_RESET;

	for (uint32_t at = 0; at < 0x10000; at += 0x100)
		assert_int_equal(pci_get(f, at), 0xffffffff);
	assert_int_equal(memory(f, ROM_PLACE, 4), 0xffffffff);
	assert_int_equal(in(f, PLATFORM_FW_CFG_PORT + 1, 1), 0xff);
	assert_int_equal(in(f, PLATFORM_KEYBOARD_PORT, 1), 0);
	assert_int_equal(in(f, PLATFORM_KEYBOARD_DATA, 1), 0xff);
	assert_int_equal(port(f, PLATFORM_KEYBOARD_PORT, 1, true, &reset), POWER_RESET);
}

static void the_system_finds_none_of_it(void **state)
{
	struct fixture *f = *state;

	out(f, PLATFORM_FW_CFG_PORT, 2, 0);
	assert_int_equal(in(f, PLATFORM_FW_CFG_PORT + 1, 1), 'Q');
	hand_over(f);
	assert_handed_over(f);
	pci_set(f, STORAGE | PCI_HAND_OVER, 0);
	assert_handed_over(f);
	assert_int_equal(f->hand_overs, 1);
	chipset_reset(f->chipset);
	assert_int_equal(pci_get(f, STORAGE), 0xb0071414);
	out(f, PLATFORM_FW_CFG_PORT, 2, 0);
	assert_int_equal(in(f, PLATFORM_FW_CFG_PORT + 1, 1), 'Q');
	assert_int_equal(in(f, PLATFORM_KEYBOARD_PORT, 1), 0x10);
}

/* ---- State ---- */

static void save(struct fixture *f, struct state_writer *writer)
{
	state_writer_deinit(writer);
	state_writer_init(writer);
	assert_int_equal(chipset_save(f->chipset, writer), 0);
}

static int restore(struct fixture *f, const struct state_writer *state)
{
	struct failure failure = { 0 };
	struct state_reader reader;

	assert_int_equal(state_reader_init(&reader, state->bytes, state->size), 0);
	return chipset_restore(f->chipset, &reader, &failure);
}

static void it_goes_on_where_it_was(void **state)
{
	struct fixture *f = *state;

	data(f, 0xf2);
	assert_int_equal(answer(f), 0xfa);
	command(f, 0x60);
	save(f, &f->state);
	chipset_reset(f->chipset);
	assert_int_equal(restore(f, &f->state), 0);
	data(f, 0x65);
	assert_int_equal(answer(f), 0xab);
	assert_int_equal(answer(f), 0x83);
	command(f, 0x20);
	assert_int_equal(answer(f), 0x65);
}

/* A byte is about to be written; what was written comes along, and is to be kept there. */
static void the_flash_goes_on_where_it_was(void **state)
{
	struct fixture *f = *state;

	f->flash[5] = 0x77;
	flash_write(f, 5, 0x70);
	flash_write(f, 6, 0x10);
	save(f, &f->state);
	memset(f->flash, 0, FLASH_SIZE);
	chipset_reset(f->chipset);
	f->flash_is_memory = true; /* in a new partition */
	assert_int_equal(restore(f, &f->state), 0);
	assert_false(f->flash_is_memory);
	assert_int_equal(f->flash_changes, 0);
	assert_int_equal(f->flash[5], 0x77);
	flash_write(f, 6, 0x66);
	assert_int_equal(f->flash_changes, 1);
	assert_int_equal(f->flash[6], 0x66);
	assert_int_equal(f->flash[7], 0xff);
}

static void it_stays_handed_over(void **state)
{
	struct fixture *f = *state;

	hand_over(f);
	save(f, &f->state);
	chipset_reset(f->chipset);
	assert_int_equal(restore(f, &f->state), 0);
	assert_handed_over(f);
	assert_int_equal(f->hand_overs, 2);
}

static void it_is_none_of_generation_1(void **state)
{
	struct fixture *f = *state;

	save(f, &f->state);
	chipset_free(f->chipset);
	assert_int_equal(chipset_new(CHIPSET_GENERATION_1, &callbacks, f, &f->chipset), 0);
	assert_int_equal(restore(f, &f->state), -EINVAL);
}

/* The host hears of it once, at the end of the line; a reset forgets what has been begun. */
static void the_host_hears_that_nothing_boots(void **state)
{
	static const char text[] = "BdsDxe: failed to load Boot0001: Access Denied\n";
	struct fixture *f = *state;

	out(f, PLATFORM_SERIAL_PORT, 1, '\n');
	for (const char *at = text; at[1]; at++)
		out(f, PLATFORM_SERIAL_PORT, 1, (uint8_t)*at);
	assert_int_equal(f->words, 0);
	chipset_reset(f->chipset);
	out(f, PLATFORM_SERIAL_PORT, 1, '\n');
	assert_int_equal(f->words, 0);
	for (const char *at = text; *at; at++)
		out(f, PLATFORM_SERIAL_PORT, 1, (uint8_t)*at);
	assert_int_equal(f->words, 1);
	assert_int_equal(f->word, FIRMWARE_REFUSED_LOADER);
}

static const struct {
	const char *record;
	size_t offset;
	uint8_t flip;
} impossible[] = {
	{ "chipset/pci", offsetof(struct pci_state, registers[PCI_STORAGE][0]), 1 },
	{ "chipset/pci", offsetof(struct pci_state, registers[PCI_STORAGE][ROM_BAR / 4]), 2 },
	{ "chipset/pci", offsetof(struct pci_state, registers[PCI_STORAGE][PCI_HAND_OVER / 4]), 2 },
	{ "chipset/i8042", offsetof(struct i8042_state, expects), 0x80 },
	{ "chipset/i8042", offsetof(struct i8042_state, count), 0x02 ^ 0x11 },
	{ "chipset/i8042", offsetof(struct i8042_state, output[2]), 1 },
	{ "chipset/i8042", offsetof(struct i8042_state, zero[3]), 1 },
	{ "chipset/flash", offsetof(struct flash_state, shows_status), 2 },
	{ "chipset/flash", offsetof(struct flash_state, command), 1 },
	{ "chipset/flash", offsetof(struct flash_state, zero[5]), 1 },
};

static void values_that_cannot_be(void **state)
{
	struct fixture *f = *state;

	data(f, 0xf2);
	assert_int_equal(answer(f), 0xfa);
	for (size_t i = 0; i < ARRAY_SIZE(impossible); i++) {
		struct state_reader reader;
		struct state_record record;

		save(f, &f->state);
		assert_int_equal(state_reader_init(&reader, f->state.bytes, f->state.size), 0);
		assert_int_equal(state_find(&reader, impossible[i].record, 1, &record), 0);
		((uint8_t *)record.at)[impossible[i].offset] ^= impossible[i].flip;
		assert_int_equal(restore(f, &f->state), -EINVAL);
	}
	assert_int_equal(answer(f), 0xab);
}

static void the_inside_is_shown(void **state)
{
	struct fixture *f = *state;
	struct json_object *tree, *pci, *member;

	pci_set(f, STORAGE | ROM_BAR, ROM_PLACE | 1);
	pci_set(f, STORAGE | 4, 2);
	data(f, 0xee);
	tree = chipset_inspect(f->chipset);
	assert_true(json_object_object_get_ex(tree, "pci", &pci));
	assert_true(json_object_object_get_ex(pci, "option_rom", &member));
	assert_string_equal(json_object_get_string(member), "0xc0008000");
	assert_true(json_object_object_get_ex(pci, "handed_over", &member));
	assert_false(json_object_get_boolean(member));
	assert_true(json_object_object_get_ex(tree, "i8042", &member));
	assert_true(json_object_object_get_ex(member, "waiting", &member));
	assert_int_equal(json_object_get_int(member), 1);
	json_object_put(tree);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(functions_are_a_pcs_and_one_of_ours, setup,
						teardown),
		cmocka_unit_test_setup_teardown(the_rom_is_where_the_firmware_puts_it, setup,
						teardown),
		cmocka_unit_test_setup_teardown(the_firmware_finds_a_keyboard, setup, teardown),
		cmocka_unit_test_setup_teardown(what_nobody_reads_is_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(the_firmware_knows_it_for_flash, setup, teardown),
		cmocka_unit_test_setup_teardown(bytes_are_written_and_blocks_erased, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_machine_without_flash_has_none, setup, teardown),
		cmocka_unit_test_setup_teardown(the_flash_goes_on_where_it_was, setup, teardown),
		cmocka_unit_test_setup_teardown(the_system_finds_none_of_it, setup, teardown),
		cmocka_unit_test_setup_teardown(it_goes_on_where_it_was, setup, teardown),
		cmocka_unit_test_setup_teardown(it_stays_handed_over, setup, teardown),
		cmocka_unit_test_setup_teardown(it_is_none_of_generation_1, setup, teardown),
		cmocka_unit_test_setup_teardown(the_host_hears_that_nothing_boots, setup, teardown),
		cmocka_unit_test_setup_teardown(values_that_cannot_be, setup, teardown),
		cmocka_unit_test_setup_teardown(the_inside_is_shown, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
