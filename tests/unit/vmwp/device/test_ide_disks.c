/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* IDE channels and their disks: data through the bus master's table, and requests at a standstill. */
#include "tests/fake/disk_fault.h"
#include "tests/fake/disk_memory.h"
#include "tests/unit/unit.h"
#include "vmwp/base/platform.h"
#include "vmwp/chipset/chipset.h"
#include "vmwp/device/devices.h"
#include "vmwp/device/master_table.h"
#include "vmwp/machine/machine.h"

#include <stdlib.h>
#include <string.h>

#define RAM_SIZE     0x100000u
#define DISK_SECTORS 2048u
#define SECTORS      300u /* of a command: three pieces */
#define BYTES        (SECTORS * IDE_SECTOR)
#define TABLE_AT     0x1000u
#define DATA_AT      0x10000u
#define MASTER_PORT  PLATFORM_PCI_IO_WINDOW

enum { WRITE_DMA_EXT = 0x35, READ_DMA_EXT = 0x25 };

struct fixture {
	struct loop *loop;
	struct chipset *chipset;
	struct vid_memory *memory;
	uint8_t *ram;
	struct disk_healths *healths;
	struct disk *disk, *bytes;
	struct definition *definition;
	struct device_config config;
	void *ide;
	bool asked, interrupt, quiet;
	bool storage_gone, abandoned;
	unsigned packets;
	uint32_t sense;
	void (*packet_done)(void *data); /* the second channel's, whose packets alone are tried */
	void *packet_data;
	void (*look)(void *data);
	void *look_data;
};

static struct fixture *fixture;

/* ---- What the worker's machine is to it: the linker leads here ---- */

struct chipset *__wrap_machine_chipset(struct machine *machine);
struct power_cycle *__wrap_machine_power_cycle(struct machine *machine);
struct vid_partition *__wrap_power_cycle_partition(struct power_cycle *power_cycle);
struct vid_memory *__wrap_vid_partition_memory(struct vid_partition *partition);
void __wrap_machine_on_disk_request(struct machine *machine, void (*look)(void *data), void *data);
void *__wrap_devices_get(const struct devices *devices, enum device_id id);
struct disk_healths *__wrap_disks_healths(struct disks *disks);

struct chipset *__wrap_machine_chipset(struct machine *machine)
{
	return fixture->chipset;
}

struct power_cycle *__wrap_machine_power_cycle(struct machine *machine)
{
	return (struct power_cycle *)fixture;
}

struct vid_partition *__wrap_power_cycle_partition(struct power_cycle *power_cycle)
{
	return (struct vid_partition *)fixture;
}

struct vid_memory *__wrap_vid_partition_memory(struct vid_partition *partition)
{
	return fixture->memory;
}

void __wrap_machine_on_disk_request(struct machine *machine, void (*look)(void *data), void *data)
{
	fixture->look = look;
	fixture->look_data = data;
}

void *__wrap_devices_get(const struct devices *devices, enum device_id id)
{
	return fixture;
}

struct disk_healths *__wrap_disks_healths(struct disks *disks)
{
	return fixture->healths;
}

struct storage_controller *__wrap_disks_storage(struct disks *disks, unsigned controller,
						unsigned lun, unsigned *ret_unit);
void __wrap_storage_packet_execute(struct storage_packet *packet,
				   struct storage_controller *controller, unsigned lun,
				   const uint8_t cdb[static STORAGE_PACKET_SIZE], void *buffer,
				   uint32_t size);
uint32_t __wrap_storage_packet_sense(const struct storage_packet *packet);
uint32_t __wrap_storage_packet_transferred(const struct storage_packet *packet);
void __wrap_storage_packet_abandon(struct storage_packet *packet);

struct storage_controller *__wrap_disks_storage(struct disks *disks, unsigned controller,
						unsigned lun, unsigned *ret_unit)
{
	*ret_unit = lun;
	return fixture->storage_gone ? NULL : (struct storage_controller *)fixture;
}

/* It is under way until the test ends it. */
void __wrap_storage_packet_execute(struct storage_packet *packet,
				   struct storage_controller *controller, unsigned lun,
				   const uint8_t cdb[static STORAGE_PACKET_SIZE], void *buffer,
				   uint32_t size)
{
	assert_int_equal(lun, 3);
	assert_int_equal(size, IDE_BUFFER_SIZE);
	fixture->packets++;
	memcpy(buffer, "answer", 6);
}

uint32_t __wrap_storage_packet_sense(const struct storage_packet *packet)
{
	return fixture->sense;
}

uint32_t __wrap_storage_packet_transferred(const struct storage_packet *packet)
{
	return 6;
}

void __wrap_storage_packet_abandon(struct storage_packet *packet)
{
	fixture->abandoned = true;
}

int __real_storage_packet_new(void (*done)(void *data), void *data,
			      struct storage_packet **ret_packet);
int __wrap_storage_packet_new(void (*done)(void *data), void *data,
			      struct storage_packet **ret_packet);

int __wrap_storage_packet_new(void (*done)(void *data), void *data,
			      struct storage_packet **ret_packet)
{
	fixture->packet_done = done;
	fixture->packet_data = data;
	return __real_storage_packet_new(done, data, ret_packet);
}

/* ---- What the chipset and the disk's health tell ---- */

static void take_interrupt(void *data, unsigned pin, bool level)
{
	if (pin == PLATFORM_IDE_IRQ_0)
		fixture->interrupt = level;
}

static void take_request(void *data)
{
	fixture->asked = true;
}

static void nothing(void *data)
{
}

static void health_changed(void *data, unsigned controller, unsigned lun,
			   struct json_object *report)
{
	json_object_put(report);
}

static void health_said(void *data, const char *why)
{
}

static const struct chipset_callbacks chipset_callbacks = {
	.set_interrupt = take_interrupt,
	.console_output = nothing,
	.console_room = nothing,
	.alarm = nothing,
	.disk_request = take_request,
};
static const struct disk_healths_callbacks health_callbacks = { health_changed, health_said,
								nothing, health_said };

/* ---- The guest ---- */

static void out(uint16_t port, unsigned size, uint32_t value)
{
	struct vid_exit exit = {
		.kind = VID_EXIT_IO_PORT,
		.io = { .port = port,
			.size = (uint8_t)size,
			.write = true,
			.count = 1,
			.data = (uint8_t *)&value },
	};

	assert_int_equal(chipset_access(fixture->chipset, &exit), POWER_NOTHING);
	while (fixture->asked && fixture->look) {
		fixture->asked = false;
		fixture->look(fixture->look_data);
	}
}

static uint8_t in(uint16_t port)
{
	uint8_t value = 0;
	struct vid_exit exit = {
		.kind = VID_EXIT_IO_PORT,
		.io = { .port = port, .size = 1, .count = 1, .data = &value },
	};

	assert_int_equal(chipset_access(fixture->chipset, &exit), POWER_NOTHING);
	return value;
}

#define IDE_FUNCTION 0x80003900u

static void enable_bus_master(void)
{
	out(PLATFORM_PCI_ADDRESS_PORT, 4, IDE_FUNCTION | 0x20);
	out(PLATFORM_PCI_DATA_PORT, 4, MASTER_PORT);
	out(PLATFORM_PCI_ADDRESS_PORT, 4, IDE_FUNCTION | 0x04);
	out(PLATFORM_PCI_DATA_PORT, 2, 5);
}

static void put_entry(unsigned index, uint32_t base, uint16_t size, uint16_t flags)
{
	const struct master_entry entry = { base, size, flags };

	memcpy(fixture->ram + TABLE_AT + index * sizeof(entry), &entry, sizeof(entry));
}

/* Runs of memory of up to 64 KiB, the second away from the others. */
static void put_table(void)
{
	put_entry(0, DATA_AT, 0x1000, 0);
	put_entry(1, DATA_AT + 0x20000, 0, 0);
	put_entry(2, DATA_AT + 0x1000, 0, 0);
	put_entry(3, DATA_AT + 0x11000, (uint16_t)(BYTES - 0x21000), MASTER_ENTRY_LAST);
}

static uint8_t *run_byte(uint32_t i)
{
	if (i < 0x1000)
		return fixture->ram + DATA_AT + i;
	if (i < 0x11000)
		return fixture->ram + DATA_AT + 0x20000 + (i - 0x1000);
	return fixture->ram + DATA_AT + 0x1000 + (i - 0x11000);
}

static uint8_t pattern(uint32_t i)
{
	return (uint8_t)(i * 7 + i / 512);
}

static void begin_dma(uint8_t command, uint32_t sector)
{
	out(MASTER_PORT, 1, command == READ_DMA_EXT ? 8 : 0);
	out(MASTER_PORT + 2, 1, 4);
	out(MASTER_PORT + 4, 4, TABLE_AT);
	out(PLATFORM_IDE_PORT_0 + 6, 1, 0x40);
	out(PLATFORM_IDE_PORT_0 + 2, 1, SECTORS >> 8);
	out(PLATFORM_IDE_PORT_0 + 2, 1, SECTORS & 0xff);
	for (unsigned i = 3; i < 6; i++) {
		out((uint16_t)(PLATFORM_IDE_PORT_0 + i), 1, 0);
		out((uint16_t)(PLATFORM_IDE_PORT_0 + i), 1, sector >> 8 * (i - 3) & 0xff);
	}
	out(PLATFORM_IDE_PORT_0 + 7, 1, command);
	out(MASTER_PORT, 1, command == READ_DMA_EXT ? 9 : 1);
}

static void iterations(unsigned count)
{
	while (count--)
		assert_int_equal(loop_run_once(fixture->loop, 1000000), 0);
}

static void await_interrupt(void)
{
	for (int i = 0; i < 1000 && !fixture->interrupt; i++)
		iterations(1);
	assert_true(fixture->interrupt);
}

/* ---- The fixture ---- */

static int setup(void **state)
{
	static const char text[] =
		"{\"name\": \"t\", \"generation\": 1, \"disks\": [{\"path\": \"/d\", "
		"\"controller\": 0, \"lun\": 0, \"format\": \"raw\"}, "
		"{\"lun\": 3, \"type\": \"dvd\"}]}";
	struct fixture *f = calloc(1, sizeof(*f));
	struct json_error error;
	struct failure failure;

	fixture = f;
	assert_int_equal(loop_new(64, &f->loop), 0);
	assert_int_equal(vid_memory_new(&f->memory), 0);
	assert_int_equal(vid_memory_add(f->memory, (struct vid_memory_region){ GPA(0), RAM_SIZE },
					VID_MEMORY_SMALL, false),
			 0);
	f->ram = vid_memory_map(f->memory, GPA(0), RAM_SIZE);
	assert_int_equal(chipset_new(CHIPSET_GENERATION_1, &chipset_callbacks, NULL, &f->chipset),
			 0);
	assert_int_equal(definition_parse(text, strlen(text), &f->definition, &error), 0);
	assert_int_equal(disk_healths_new(f->loop, &health_callbacks, f, &f->healths), 0);
	assert_int_equal(disk_memory_new(f->loop, DISK_SECTORS * IDE_SECTOR, IDE_SECTOR, &f->bytes),
			 0);
	f->disk = disk_fault_new(f->loop, f->bytes);
	assert_int_equal(disk_health_new(f->healths, &f->definition->disks[0], f->disk), 0);
	f->config = (struct device_config){ .loop = f->loop, .definition = f->definition };
	assert_int_equal(ide_disks_ops.make(&f->config, &f->ide, &failure), 0);
	chipset_reset(f->chipset);
	enable_bus_master();
	put_table();
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	ide_disks_ops.free(f->ide);
	disk_retire(f->disk, NULL, NULL);
	disk_healths_free(f->healths);
	chipset_free(f->chipset);
	definition_free(f->definition);
	vid_memory_free(f->memory);
	loop_free(f->loop);
	free(f);
	return 0;
}

/* ---- Tests ---- */

static void assert_written(uint32_t sector)
{
	const uint8_t *bytes = disk_memory_bytes(fixture->bytes) + (size_t)sector * IDE_SECTOR;

	for (uint32_t i = 0; i < BYTES; i++)
		assert_int_equal(bytes[i], pattern(i));
}

static void fill_runs(void)
{
	for (uint32_t i = 0; i < BYTES; i++)
		*run_byte(i) = pattern(i);
}

static void data_go_where_the_table_says(void **state)
{
	fill_runs();
	begin_dma(WRITE_DMA_EXT, 100);
	await_interrupt();
	assert_int_equal(in(PLATFORM_IDE_PORT_0 + 7) & 0x81, 0);
	assert_written(100);

	memset(fixture->ram + DATA_AT, 0, 0x40000);
	begin_dma(READ_DMA_EXT, 100);
	await_interrupt();
	assert_int_equal(in(PLATFORM_IDE_PORT_0 + 7) & 0x81, 0);
	for (uint32_t i = 0; i < BYTES; i++)
		assert_int_equal(*run_byte(i), pattern(i));
}

/* A table that is too short, one that is nowhere, and data that are. */
static void wrong_tables_fail_the_command(void **state)
{
	put_entry(0, DATA_AT, 0x1000, MASTER_ENTRY_LAST);
	begin_dma(READ_DMA_EXT, 0);
	await_interrupt();
	assert_int_equal(in(PLATFORM_IDE_PORT_0 + 7) & 0x81, 1);

	put_entry(0, RAM_SIZE - 0x800, 0x1000, MASTER_ENTRY_LAST);
	begin_dma(WRITE_DMA_EXT, 0);
	await_interrupt();
	assert_int_equal(in(PLATFORM_IDE_PORT_0 + 7) & 0x81, 1);
}

static void become_quiet(void *data)
{
	((struct fixture *)data)->quiet = true;
}

/* One piece is under way at the standstill: no other follows, and afterwards all of them are written. */
static void nothing_follows_a_standstill(void **state)
{
	struct fixture *f = *state;

	fill_runs();
	disk_fault_hold(f->disk);
	begin_dma(WRITE_DMA_EXT, 8);
	assert_int_equal(disk_fault_held(f->disk), 1);
	ide_disks_ops.quiesce(f->ide, become_quiet, f);
	disk_fault_release(f->disk);
	for (int i = 0; i < 1000 && !f->quiet; i++)
		iterations(1);
	assert_true(f->quiet);
	assert_int_equal(disk_fault_seen(f->disk, DISK_WRITE)->count, 1);
	assert_false(f->interrupt);

	ide_disks_ops.resume(f->ide);
	await_interrupt();
	assert_int_equal(in(PLATFORM_IDE_PORT_0 + 7) & 0x81, 0);
	assert_written(8);
}

/* ---- The drive, the second of channel 1 ---- */

static void send_packet(void)
{
	out(PLATFORM_IDE_PORT_1 + 6, 1, 0x10);
	out(PLATFORM_IDE_PORT_1 + 4, 1, 6);
	out(PLATFORM_IDE_PORT_1 + 5, 1, 0);
	out(PLATFORM_IDE_PORT_1 + 7, 1, 0xa0);
	for (unsigned i = 0; i < IDE_PACKET_SIZE / 2; i++)
		out(PLATFORM_IDE_PORT_1, 2, i == 0 ? 0x12 : 0);
}

static void packets_are_carried_out(void **state)
{
	send_packet();
	assert_int_equal(fixture->packets, 1);
	assert_int_equal(in(PLATFORM_IDE_PORT_1 + 7), 0x80);
	fixture->packet_done(fixture->packet_data);
	assert_int_equal(in(PLATFORM_IDE_PORT_1 + 7), 0x58);
	assert_int_equal(in(PLATFORM_IDE_PORT_1 + 4), 6);
	out(PLATFORM_IDE_CONTROL_1, 1, 4);
	out(PLATFORM_IDE_CONTROL_1, 1, 0);
	fixture->storage_gone = true;
	send_packet();
	assert_int_equal(in(PLATFORM_IDE_PORT_1 + 7), 0x51);
	assert_int_equal(in(PLATFORM_IDE_PORT_1 + 1), 0x54);
}

static void was_quiet(void *data)
{
	*(bool *)data = true;
}

/* One that was cut short is made again where the guest goes on; one that a reset ended is not. */
static void packets_that_are_abandoned(void **state)
{
	bool quiet = false;

	send_packet();
	ide_disks_ops.quiesce(fixture->ide, was_quiet, &quiet);
	assert_true(fixture->abandoned);
	assert_false(quiet);
	fixture->sense = 0x0b0000;
	fixture->packet_done(fixture->packet_data);
	assert_true(quiet);
	assert_int_equal(in(PLATFORM_IDE_PORT_1 + 7), 0x80);
	ide_disks_ops.resume(fixture->ide);
	assert_int_equal(fixture->packets, 2);
	out(PLATFORM_IDE_CONTROL_1, 1, 4);
	out(PLATFORM_IDE_CONTROL_1, 1, 0);
	out(PLATFORM_IDE_PORT_1 + 6, 1, 0x10);
	fixture->packet_done(fixture->packet_data);
	assert_int_equal(in(PLATFORM_IDE_PORT_1 + 7), 0x50);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(data_go_where_the_table_says, setup, teardown),
		cmocka_unit_test_setup_teardown(wrong_tables_fail_the_command, setup, teardown),
		cmocka_unit_test_setup_teardown(nothing_follows_a_standstill, setup, teardown),
		cmocka_unit_test_setup_teardown(packets_are_carried_out, setup, teardown),
		cmocka_unit_test_setup_teardown(packets_that_are_abandoned, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
