/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which controllers there are for the disks of a definition, and how they are offered. */
#include "tests/fake/disk_memory.h"
#include "tests/fake/storvsc.h"
#include "tests/unit/unit.h"
#include "vmwp/device/devices.h"
#include "vmwp/device/disk_controllers.h"
#include "vsp/storage/storage.h"

#include <stdlib.h>
#include <string.h>

static const struct guid ide_type =
	GUID(0x32412632, 0x86cb, 0x44a2, 0x9b, 0x5c, 0x50, 0xd1, 0x41, 0x73, 0x54, 0xf5);

struct fixture {
	struct fake *fake;
	struct definition definition;
	struct device_config config;
	struct disk_controllers controllers;
	struct storage_packet *packet;
	unsigned ejected, controller, lun;
};

static void take_ejected(void *data, unsigned controller, unsigned lun)
{
	struct fixture *f = data;

	f->ejected++;
	f->controller = controller;
	f->lun = lun;
}

static void nothing(void *data)
{
}

static int setup(void **state)
{
	static const struct devices_callbacks callbacks = { .ejected = take_ejected };
	struct fixture *f = calloc(1, sizeof(*f));

	f->fake = fake_new(1, 8 << 20);
	f->definition.generation = 1;
	f->config = (struct device_config){
		.loop = f->fake->loop,
		.bus = f->fake->bus,
		.definition = &f->definition,
		.callbacks = &callbacks,
		.data = f,
	};
	f->controllers.config = &f->config;
	assert_int_equal(storage_packet_new(nothing, f, &f->packet), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	fake_stop(f->fake);
	for (size_t i = 0; i < DISK_CONTROLLERS_MAX; i++)
		storage_controller_free(f->controllers.all[i].storage);
	storage_packet_free(f->packet);
	fake_free(f->fake);
	free(f);
	return 0;
}

static void need(struct fixture *f, unsigned controller, unsigned lun, enum definition_drive drive)
{
	const struct definition_disk disk = { .controller = (uint8_t)controller,
					      .lun = (uint8_t)lun,
					      .drive = drive };

	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(disk_controllers_need(&f->controllers, &disk), 0);
}

static void guest_connect(struct fixture *f)
{
	assert_true(fake_connect(f->fake, VMBUS_VERSION_5_3));
	assert_true(fake_request_offers(f->fake));
}

/* Of the IDE devices each disk is offered by itself, and a drive is not. */
static void test_generation_1(void **state)
{
	struct fixture *f = *state;
	const struct guid second = storage_ide_instance(0, 1), third = storage_ide_instance(1, 0);
	struct storage_controller *scsi, *ide;
	unsigned unit;

	need(f, 0, 1, DEFINITION_DRIVE_DISK);
	need(f, 0, 2, DEFINITION_DRIVE_DVD);
	need(f, 0, 4, DEFINITION_DRIVE_DISK);
	need(f, 1, 0, DEFINITION_DRIVE_DVD);
	guest_connect(f);
	assert_int_equal(f->fake->offer_count, 3);
	assert_non_null(fake_find_offer(f->fake, &ide_type, &second, 0));
	for (size_t i = 0; i < f->fake->offer_count; i++)
		assert_false(guid_equal(&f->fake->offers[i].instance, &third));

	ide = disk_controllers_find(&f->controllers, 0, 1, &unit);
	assert_non_null(ide);
	assert_int_equal(unit, 0);
	scsi = disk_controllers_find(&f->controllers, 0, 5, &unit);
	assert_true(scsi && scsi != ide);
	assert_int_equal(unit, 5);
	assert_null(disk_controllers_find(&f->controllers, 0, 0, &unit));
	assert_non_null(disk_controllers_find(&f->controllers, 1, 0, &unit));
	assert_null(disk_controllers_find(&f->controllers, 2, 0, &unit));
	assert_null(disk_controllers_find(&f->controllers, DEFINITION_CONTROLLERS_MAX, 0, &unit));
}

static void test_generation_2(void **state)
{
	struct fixture *f = *state;
	struct storage_controller *first;
	unsigned unit;

	f->definition.generation = 2;
	need(f, 0, 1, DEFINITION_DRIVE_DISK);
	need(f, 0, 2, DEFINITION_DRIVE_DVD);
	guest_connect(f);
	assert_int_equal(f->fake->offer_count, 1);
	assert_non_null(fake_find_offer(f->fake, &storvsc_type, NULL, 0));
	first = disk_controllers_find(&f->controllers, 0, 1, &unit);
	assert_ptr_equal(disk_controllers_find(&f->controllers, 0, 2, &unit), first);
	assert_int_equal(unit, 2);
}

static uint32_t command(struct fixture *f, struct storage_controller *storage, const uint8_t *cdb)
{
	static uint8_t buffer[64];

	storage_packet_execute(f->packet, storage, 0, cdb, buffer, sizeof(buffer));
	return storage_packet_sense(f->packet);
}

/* A drive that is not offered: the guest's commands work, and a reset of the machine opens its lock. */
static void test_drive(void **state)
{
	static const uint8_t prevent[12] = { 0x1e, [4] = 1 }, eject[12] = { 0x1b, [4] = 2 };
	struct fixture *f = *state;
	struct storage_controller *storage;
	struct disk *disk;
	unsigned unit;

	need(f, 0, 3, DEFINITION_DRIVE_DVD);
	storage = disk_controllers_find(&f->controllers, 0, 3, &unit);
	assert_int_equal(disk_null_new(f->fake->loop, 1 << 20, 2048, &disk), 0);
	assert_int_equal(storage_attach(storage, unit, &(struct storage_unit){ .dvd = true }, disk),
			 0);
	guest_connect(f);
	assert_int_equal(f->fake->offer_count, 0);
	(void)command(f, storage, (const uint8_t[12]){ 0 }); /* what power-on leaves to be told */
	assert_int_equal(command(f, storage, prevent), 0);
	assert_int_not_equal(command(f, storage, eject), 0);
	assert_int_equal(f->ejected, 0);
	disk_controllers_power_on(&f->controllers);
	(void)command(f, storage, (const uint8_t[12]){ 0 });
	assert_int_equal(command(f, storage, eject), 0);
	fake_settle(f->fake);
	assert_int_equal(f->ejected, 1);
	assert_int_equal(f->controller, 0);
	assert_int_equal(f->lun, 3);
}

static void test_names(void **state)
{
	char name[STATE_NAME_MAX + 1];

	disk_controllers_record_name(3, name);
	assert_string_equal(name, "storage/3");
	disk_controllers_record_name(4, name);
	assert_string_equal(name, "storage/ide/0");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_generation_1, setup, teardown),
		cmocka_unit_test_setup_teardown(test_generation_2, setup, teardown),
		cmocka_unit_test_setup_teardown(test_drive, setup, teardown),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
