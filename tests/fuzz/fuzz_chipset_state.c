/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Fuzzes the restoring of the chipset's state: records as they may come from another host.
 *
 * Input: the records. What is refused must leave the chipset as it was. What is taken must be what
 * is saved again, and be taken again; then all ports are read and written, the console takes and
 * puts, and time passes, which must bring nothing down.
 */
#include "vmwp/base/platform.h"
#include "vmwp/chipset/chipset.h"
#include "vmwp/chipset/serial.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static struct timespec now;
static bool time_is_ours, has_ide, levels[16];

static void require(bool condition)
{
	if (!condition)
		abort();
}

/* The linker leads the chipset's clock_gettime() here; libFuzzer's own goes on to the real one. */
int __real_clock_gettime(clockid_t clock, struct timespec *ret_time);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret_time);

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret_time)
{
	if (!time_is_ours)
		return __real_clock_gettime(clock, ret_time);
	*ret_time = now;
	return 0;
}

static void set_interrupt(void *data, unsigned pin, bool level)
{
	require(pin < 16 && levels[pin] != level);
	levels[pin] = level;
}

static void nothing(void *data)
{
}

static void flash_is_memory(void *data, bool is_memory)
{
}

static uint8_t flash[FLASH_SIZE];

static void firmware_said(void *data, enum firmware_word word)
{
}

static const struct chipset_callbacks callbacks = {
	.set_interrupt = set_interrupt,
	.console_output = nothing,
	.console_room = nothing,
	.alarm = nothing,
	.disk_request = nothing,
	.handed_over = nothing,
	.flash_is_memory = flash_is_memory,
	.flash_changed = nothing,
	.firmware_said = firmware_said,
};

static void save(struct chipset *chipset, struct state_writer *ret_state)
{
	state_writer_init(ret_state);
	require(chipset_save(chipset, ret_state) == 0);
}

static bool restore(struct chipset *chipset, const void *bytes, size_t size)
{
	struct failure failure = { 0 };
	struct state_reader reader;
	bool taken;

	if (state_reader_init(&reader, bytes, size) != 0)
		return false;
	taken = chipset_restore(chipset, &reader, &failure) == 0;
	require(taken == (failure.message[0] == '\0'));
	return taken;
}

static void require_same(const struct state_writer *a, const struct state_writer *b)
{
	require(a->size == b->size && memcmp(a->bytes, b->bytes, a->size) == 0);
}

/* ---- The guest and the console afterwards ---- */

static void access_port(struct chipset *chipset, unsigned port, bool write, uint32_t value)
{
	const struct vid_exit exit = {
		.kind = VID_EXIT_IO_PORT,
		.io = { .port = (uint16_t)port,
			.size = 4,
			.write = write,
			.count = 1,
			.data = &value },
	};

	(void)chipset_access(chipset, &exit);
}

static void touch_ports(struct chipset *chipset, bool write, uint32_t value)
{
	static const uint16_t runs[][2] = {
		{ 0x60, 0x74 },
		{ PLATFORM_SERIAL_PORT - 4, PLATFORM_SERIAL_PORT + SERIAL_REGISTERS },
		{ PLATFORM_PM1_EVENT_PORT - 4, PLATFORM_PM_TIMER_PORT + 4 },
		{ PLATFORM_IDE_PORT_0, PLATFORM_IDE_PORT_0 + 8 },
		{ PLATFORM_IDE_CONTROL_0, PLATFORM_IDE_CONTROL_0 + 1 },
		{ PLATFORM_IDE_PORT_1, PLATFORM_IDE_PORT_1 + 8 },
		{ PLATFORM_IDE_CONTROL_1, PLATFORM_IDE_CONTROL_1 + 1 },
		{ PLATFORM_PCI_IO_WINDOW, PLATFORM_PCI_IO_WINDOW + 16 },
		{ PLATFORM_FIRMWARE_LOG_PORT, PLATFORM_FIRMWARE_LOG_PORT + 1 },
		{ PLATFORM_FW_CFG_PORT, PLATFORM_FW_CFG_PORT + 2 },
		{ PLATFORM_PCI_ADDRESS_PORT - 4, PLATFORM_PCI_DATA_PORT + 8 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(runs); i++)
		for (unsigned port = runs[i][0]; port < runs[i][1]; port++)
			access_port(chipset, port, write, value);
}

static void use(struct chipset *chipset)
{
	static uint8_t output[SERIAL_OUTPUT_SIZE];
	struct ide_request request;

	_Static_assert(sizeof(output) >= IDE_BUFFER_SECTORS * IDE_SECTOR,
		       "it is used for that, too");
	touch_ports(chipset, false, 0);
	if (has_ide && chipset_ide_take(chipset, 0, &request, output))
		chipset_ide_complete(chipset, 0, request.serial, false, output);
	if (has_ide && chipset_ide_take(chipset, 1, &request, output))
		chipset_ide_complete_packet(chipset, 1, request.serial,
					    &(struct ide_outcome){ .size = IDE_BUFFER_SIZE },
					    output);
	require(chipset_console_put(chipset, "0123456789abcdefg", 17) <= SERIAL_FIFO_SIZE);
	require(chipset_console_take(chipset, output, sizeof(output)) <= sizeof(output));
	require(chipset_console_take(chipset, output, sizeof(output)) == 0);
	require(chipset_tick(chipset) <= 1000000000);
	now.tv_sec += 86400;
	require(chipset_tick(chipset) <= 1000000000);
	touch_ports(chipset, true, 0x22222222);
	touch_ports(chipset, true, 0xffffffff);
	touch_ports(chipset, false, 0);
}

static void try_state(struct chipset *chipset, const uint8_t *bytes, size_t size)
{
	struct state_writer before, after, again;

	save(chipset, &before);
	if (!restore(chipset, bytes, size)) {
		save(chipset, &after);
		require_same(&before, &after);
	} else {
		save(chipset, &after);
		require(restore(chipset, after.bytes, after.size));
		save(chipset, &again);
		require_same(&after, &again);
		state_writer_deinit(&again);
		use(chipset);
	}
	state_writer_deinit(&before);
	state_writer_deinit(&after);
}

static void run(enum chipset_board board, const uint8_t *bytes, size_t size)
{
	const struct ide_disk disk = { .sectors = 3000, .serial = "fuzz" };
	struct chipset *chipset;
	struct state_writer used;

	now = (struct timespec){ .tv_sec = 1700000000 };
	memset(levels, 0, sizeof(levels));
	time_is_ours = true;
	require(chipset_new(board, &callbacks, NULL, &chipset) == 0);
	has_ide = board == CHIPSET_GENERATION_1;
	if (has_ide) {
		chipset_ide_set_disk(chipset, 0, 0, &disk);
		chipset_ide_set_disk(chipset, 1, 0, &(struct ide_disk){ .dvd = true });
	} else {
		chipset_set_flash(chipset, flash);
	}
	try_state(chipset, bytes, size);
	/* What a guest has made of it is a state, too. */
	save(chipset, &used);
	require(restore(chipset, used.bytes, used.size));
	state_writer_deinit(&used);
	chipset_free(chipset);
	time_is_ours = false;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	run(CHIPSET_GENERATION_1, bytes, size);
	run(CHIPSET_GENERATION_2, bytes, size);
	return 0;
}
