/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Variables in a flash: found, replaced, and told as what can be booted. */
#include "common/firmware/boot_entries.h"
#include "tests/unit/common/firmware/flash_image.h"
#include "tests/unit/unit.h"

#include <stdlib.h>

static const struct guid global = VARIABLE_GLOBAL_GUID;

struct fixture {
	uint8_t bytes[VARIABLES_SIZE];
	struct boot_option entries[BOOT_ENTRIES_MAX];
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	flash_image_make(f->bytes);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	free(*state);
	return 0;
}

static void set(struct fixture *f, const char *name, const void *data, uint32_t size)
{
	assert_true(variable_store_set(f->bytes, &global, name,
				       VARIABLE_NON_VOLATILE | VARIABLE_BOOT, data, size));
}

static void test_find(void **state)
{
	static const struct guid other = GUID(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11);
	struct fixture *f = *state;
	struct variable variable;

	assert_false(variable_store_find(f->bytes, &global, "Boot", &variable));
	set(f, "Odd", "abc", 3);
	set(f, "Boot", "x", 1);
	assert_true(variable_store_find(f->bytes, &global, "Boot", &variable));
	assert_int_equal(variable.size, 1);
	assert_int_equal(variable.data[0], 'x');
	assert_int_equal(variable.attributes, 3);
	assert_int_equal(variable.offset % 4, 0);
	assert_false(variable_store_find(f->bytes, &other, "Boot", &variable));
	assert_false(variable_store_find(f->bytes, &global, "Boo", &variable));
}

/* The one that was there is deleted as the firmware does it: by clearing a bit. */
static void test_replace(void **state)
{
	struct fixture *f = *state;
	struct variable before, after, other;
	struct variable_store store;

	set(f, "Value", "1", 1);
	assert_true(variable_store_find(f->bytes, &global, "Value", &before));
	set(f, "Value", "22", 2);
	assert_true(variable_store_find(f->bytes, &global, "Value", &after));
	assert_memory_equal(after.data, "22", 2);
	assert_int_equal(f->bytes[before.offset + 2], 0x3d);
	assert_true(variable_store_open(f->bytes, &store));
	assert_true(variable_store_next(&store, &other));
	assert_false(variable_store_next(&store, &other));
}

static void test_no_room(void **state)
{
	static uint8_t much[0x20000];
	struct fixture *f = *state;
	struct variable variable;

	set(f, "First", much, sizeof(much));
	assert_false(variable_store_set(f->bytes, &global, "First", 3, much, sizeof(much)));
	assert_true(variable_store_find(f->bytes, &global, "First", &variable));
	set(f, "Small", "1", 1);
	/* Something that the firmware has not finished. */
	f->bytes[FLASH_FIRST + sizeof(much) + 500] = 0;
	assert_false(variable_store_set(f->bytes, &global, "Large", 3, much, 1000));
}

static void test_no_store(void **state)
{
	static const struct {
		size_t offset;
		uint8_t value;
	} cases[] = {
		{ 40, 'x' },  { 49, 0xff }, { 48, 8 }, { 72, 0 },
		{ 91, 0xff }, { 88, 0 },    { 92, 0 }, { 93, 0 },
	};
	struct fixture *f = *state;
	struct variable_store store;
	struct variable variable;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		flash_image_make(f->bytes);
		f->bytes[cases[i].offset] = cases[i].value;
		if (cases[i].offset == 88)
			f->bytes[89] = f->bytes[90] = 0;
		assert_false(variable_store_open(f->bytes, &store));
		assert_false(variable_store_find(f->bytes, &global, "Value", &variable));
		assert_false(variable_store_set(f->bytes, &global, "Value", 3, "1", 1));
		assert_int_equal(boot_entries_read(f->bytes, f->entries), 0);
	}
}

/* Sizes that lead out of the store end it. */
static void test_sizes(void **state)
{
	static const unsigned offsets[] = { 36, 40 };
	struct fixture *f = *state;
	struct variable variable;

	for (size_t i = 0; i < ARRAY_SIZE(offsets); i++) {
		flash_image_make(f->bytes);
		set(f, "Value", "1", 1);
		memset(f->bytes + FLASH_FIRST + offsets[i], 0xff, 4);
		assert_false(variable_store_find(f->bytes, &global, "Value", &variable));
	}
}

static const uint8_t disk_option[] = {
	1,   0, 0,  0, 96,   0, 'D',  0,    'i',      0,    's', 0, 0x42,     0x30,
	0,   0, 2,  1, 12,   0, 0xd0, 0x41, 0x03,     0x0a, 0,   0, 0,        0, /* PciRoot(0x0) */
	1,   1, 6,  0, 0,    2,                                                  /* Pci(0x2,0x0) */
	3,   2, 8,  0, 0,    0, 1,    0,                                         /* Scsi(0x0,0x1) */
	4,   1, 42, 0, 2,    0, 0,    0,    [66] = 1, 2,    3,   4, [82] = 2, 2,
	4,   4, 20, 0, '\\', 0, 'E',  0,    'F',      0,    'I', 0, '\\',     0,
	'A', 0, 0,  0, 0,    0, 0x7f, 0xff, 4,        0,
};

static void test_entries(void **state)
{
	static const uint16_t order[] = { 3, 1, 3, 7 }, next = 1;
	static const uint8_t inactive[] = { 0, 0, 0, 0, 0, 0, 'N', 0, 0, 0 };
	struct fixture *f = *state;

	set(f, "Boot0001", inactive, sizeof(inactive));
	set(f, "Boot0003", disk_option, sizeof(disk_option));
	assert_int_equal(boot_entries_read(f->bytes, f->entries), 0);
	set(f, "BootOrder", order, sizeof(order));
	set(f, "BootNext", &next, sizeof(next));
	assert_int_equal(boot_entries_read(f->bytes, f->entries), 2);
	assert_int_equal(f->entries[0].number, 3);
	assert_true(f->entries[0].active && !f->entries[0].next);
	assert_string_equal(f->entries[0].description, "Dis?");
	assert_string_equal(
		f->entries[0].path,
		"PciRoot(0x0)/Pci(0x2,0x0)/Scsi(0x0,0x1)/HD(2,GPT,04030201-0000-0000-0000-"
		"000000000000)/\\EFI\\A");
	assert_int_equal(f->entries[1].number, 1);
	assert_true(!f->entries[1].active && f->entries[1].next);
	assert_string_equal(f->entries[1].path, "");
}

/* Descriptions without an end, nodes without a length, and nodes that are longer than there is. */
static void test_entries_that_make_no_sense(void **state)
{
	static const uint16_t order[] = { 1, 2, 3 };
	static const uint8_t endless[] = { 1, 0, 0, 0, 0, 0, 'N', 0, 'N' };
	static const uint8_t no_length[] = { 1, 0, 0, 0, 99, 0, 0, 0, 9, 9, 4, 0, 1, 1, 0, 0, 1 };
	struct fixture *f = *state;

	set(f, "BootOrder", order, sizeof(order));
	set(f, "Boot0001", endless, sizeof(endless));
	set(f, "Boot0002", no_length, sizeof(no_length));
	set(f, "Boot0003", "x", 1);
	assert_int_equal(boot_entries_read(f->bytes, f->entries), 1);
	assert_int_equal(f->entries[0].number, 2);
	assert_string_equal(f->entries[0].path, "Path(9,9)");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_find, setup, teardown),
		cmocka_unit_test_setup_teardown(test_replace, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_room, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_store, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sizes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_entries, setup, teardown),
		cmocka_unit_test_setup_teardown(test_entries_that_make_no_sense, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
