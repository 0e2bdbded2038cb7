/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The order of drives, as each firmware reads it. */
#include "tests/unit/unit.h"
#include "vmwp/boot/boot_order.h"

#include <stdlib.h>
#include <string.h>

static struct definition_disk disks[] = {
	{ .controller = 1, .lun = 10, .drive = DEFINITION_DRIVE_DISK },
	{ .controller = 0, .lun = 3, .drive = DEFINITION_DRIVE_DISK },
	{ .controller = 0, .lun = 1, .drive = DEFINITION_DRIVE_DVD },
	{ .controller = 0, .lun = 4, .drive = DEFINITION_DRIVE_DVD },
};

static const char *write_order(unsigned generation, struct definition_boot_order order)
{
	static char text[BOOT_ORDER_SIZE];
	const struct definition definition = { .generation = generation,
					       .boot_order = order,
					       .disks = disks,
					       .disk_count = ARRAY_SIZE(disks) };

	boot_order_write(&definition, text);
	return text;
}

static void without_one_it_is_the_firmwares(void **state)
{
	const struct definition_boot_order none = { 0 };

	assert_string_equal(write_order(2, none), "");
	assert_string_equal(write_order(1, none), "/pci@i0cf8/ide@7,1/drive@0/disk@0\n"
						  "/pci@i0cf8/ide@7,1/drive@0/disk@1\n"
						  "/pci@i0cf8/ide@7,1/drive@1/disk@0\n"
						  "/pci@i0cf8/ide@7,1/drive@1/disk@1");
}

static void a_kind_comes_first_and_the_rest_after_it(void **state)
{
	const struct definition_boot_order dvd = { 1, { DEFINITION_DRIVE_DVD } },
					   disk = { 1, { DEFINITION_DRIVE_DISK } };

	assert_string_equal(write_order(1, dvd), "/pci@i0cf8/ide@7,1/drive@0/disk@1\n"
						 "/pci@i0cf8/ide@7,1/drive@1/disk@1");
	assert_string_equal(write_order(2, dvd), "/pci@i0cf8/scsi@2/channel@0/disk@0,1\n"
						 "/pci@i0cf8/scsi@2/channel@0/disk@0,4\n"
						 "/pci@i0cf8/scsi@2/channel@0/disk@0,3\n"
						 "/pci@i0cf8/scsi@2/channel@0/disk@1,a");
	assert_string_equal(write_order(2, disk), "/pci@i0cf8/scsi@2/channel@0/disk@0,3\n"
						  "/pci@i0cf8/scsi@2/channel@0/disk@1,a\n"
						  "/pci@i0cf8/scsi@2/channel@0/disk@0,1\n"
						  "/pci@i0cf8/scsi@2/channel@0/disk@0,4");
}

static void what_has_no_room_is_left_out(void **state)
{
	static struct definition_disk many[DEFINITION_LUNS_MAX];
	const struct definition definition = {
		.generation = 2,
		.boot_order = { 1, { DEFINITION_DRIVE_DISK } },
		.disks = many,
		.disk_count = ARRAY_SIZE(many),
	};
	char text[BOOT_ORDER_SIZE];

	for (unsigned i = 0; i < ARRAY_SIZE(many); i++)
		many[i] = (struct definition_disk){ .lun = (uint8_t)i };
	boot_order_write(&definition, text);
	assert_in_range(strlen(text), BOOT_ORDER_SIZE - 64, BOOT_ORDER_SIZE - 1);
	assert_string_equal(strrchr(text, '/') + 1, "disk@0,35");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_one_it_is_the_firmwares),
		cmocka_unit_test(a_kind_comes_first_and_the_rest_after_it),
		cmocka_unit_test(what_has_no_room_is_left_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
