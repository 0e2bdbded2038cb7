/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Fuzzes the chipsets of both generations by their ports: serial port, clock, power management, the
 * reset ports, PCI's configuration space, IDE channels, the keyboard controller and what firmware
 * reads; by guest-physical addresses, an option ROM's among them; with the console on the other side,
 * and with time, which goes on and is set as the input says.
 *
 * Input: records of a verb byte and what it takes. What the chipset says of its interrupts must be
 * what it is, a register of the running clock a digit, and no more bytes may move than there is
 * room.
 */
#include "common/base/cc.h"
#include "vmwp/base/platform.h"
#include "vmwp/chipset/chipset.h"
#include "vmwp/chipset/serial.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CONSOLE_MAX 512
#define STRING_MAX  300
#define SECOND_NS   1000000000

static struct timespec real_time, monotonic;
static bool time_is_ours, has_ide, levels[256];

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
	*ret_time = clock == CLOCK_REALTIME ? real_time : monotonic;
	return 0;
}

struct input {
	const uint8_t *at, *end;
};

static uint8_t take(struct input *input)
{
	return input->at < input->end ? *input->at++ : 0;
}

static uint64_t take_number(struct input *input, unsigned bytes)
{
	uint64_t number = 0;

	while (bytes--)
		number = number << 8 | take(input);
	return number;
}

/* ---- What the chipset tells ---- */

static void set_interrupt(void *data, unsigned pin, bool level)
{
	require(pin == PLATFORM_SERIAL_IRQ || pin == PLATFORM_RTC_IRQ || pin == PLATFORM_SCI_IRQ ||
		pin == PLATFORM_IDE_IRQ_0 || pin == PLATFORM_IDE_IRQ_1);
	require(levels[pin] != level);
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

static const struct fw_cfg_items firmware = {
	.processors = 3,
	.file_count = 2,
	.files = { { "etc/one", "12345", 5 }, { "etc/two", "", 0 } },
};

/* ---- Verbs ---- */

static void reset(struct chipset *chipset)
{
	memset(levels, 0, sizeof(levels));
	chipset_reset(chipset);
}

static void access_ports(struct chipset *chipset, uint16_t port, bool write, uint8_t size,
			 uint32_t count, struct input *input)
{
	/* Exactly as big as claimed, so that the sanitizer sees one byte too many. */
	uint8_t *data = malloc((size_t)size * count);
	struct vid_exit exit = {
		.kind = VID_EXIT_IO_PORT,
		.io = { .port = port, .size = size, .write = write, .count = count, .data = data },
	};
	enum power_request request;

	require(data);
	for (uint32_t i = 0; i < size * count; i++)
		data[i] = write ? take(input) : 0xa5;
	request = chipset_access(chipset, &exit);
	require(write || request == POWER_NOTHING);
	if (request != POWER_NOTHING)
		reset(chipset);
	free(data);
}

static uint16_t take_port(struct input *input)
{
	static const struct {
		uint16_t first, count;
	} runs[] = {
		{ PLATFORM_SERIAL_PORT, SERIAL_REGISTERS },
		{ PLATFORM_RTC_PORT, 2 },
		{ PLATFORM_PM1_EVENT_PORT, 4 },
		{ PLATFORM_PM1_CONTROL_PORT, 2 },
		{ PLATFORM_PM_TIMER_PORT, 4 },
		{ PLATFORM_RESET_PORT, 1 },
		{ PLATFORM_KEYBOARD_DATA, 5 },
		{ PLATFORM_NMI_STATUS_PORT, 1 },
		{ PLATFORM_PCI_ADDRESS_PORT, 8 },
		{ PLATFORM_FW_CFG_PORT, 2 },
		{ PLATFORM_FIRMWARE_LOG_PORT, 1 },
		{ PLATFORM_IDE_PORT_0, 8 },
		{ PLATFORM_IDE_CONTROL_0, 1 },
		{ PLATFORM_IDE_PORT_1, 8 },
		{ PLATFORM_IDE_CONTROL_1, 1 },
		{ PLATFORM_PCI_IO_WINDOW, 16 },
	};
	uint8_t which = take(input);

	if (which >= 0xf0)
		return (uint16_t)take_number(input, 2);
	return (uint16_t)(runs[which % ARRAY_SIZE(runs)].first +
			  (which >> 3) % runs[which % ARRAY_SIZE(runs)].count);
}

static void take_access(struct chipset *chipset, uint8_t verb, struct input *input)
{
	uint16_t port = take_port(input);
	uint8_t size = (uint8_t)(1 << (verb >> 2 & 3) % 3);
	uint32_t count = verb & 2 ? take_number(input, 2) % STRING_MAX + 1 : 1;

	access_ports(chipset, port, verb & 1, size, count, input);
}

/* One register of the clock: what shows the time shows two digits, unless the guest sets it. */
static void read_clock(struct chipset *chipset)
{
	uint8_t registers[2];

	for (unsigned i = 0; i < 2; i++) {
		uint8_t index = i == 0 ? 0x0b : 0x00;
		struct vid_exit select = {
			.io = { .port = PLATFORM_RTC_PORT,
				.size = 1,
				.write = true,
				.count = 1,
				.data = &index },
		};
		struct vid_exit read = {
			.io = { .port = PLATFORM_RTC_PORT + 1,
				.size = 1,
				.count = 1,
				.data = &registers[i] },
		};

		require(chipset_access(chipset, &select) == POWER_NOTHING);
		require(chipset_access(chipset, &read) == POWER_NOTHING);
	}
	if (!(registers[0] & 0x80))
		require((registers[1] & 0xf) < 10 && registers[1] >> 4 < 6);
}

static void set_time(struct input *input)
{
	/* To year 36000 or so, and before 1970 as well: whatever an administrator may set. */
	real_time.tv_sec = (time_t)((int64_t)take_number(input, 5) - (INT64_C(1) << 38));
	real_time.tv_nsec = (long)(take_number(input, 4) % SECOND_NS);
}

static void pass_time(uint64_t seconds)
{
	real_time.tv_sec += (time_t)seconds;
	monotonic.tv_sec += (time_t)seconds;
}

static void access_memory(struct chipset *chipset, uint8_t size, bool write, struct input *input)
{
	uint8_t *data = malloc(size);
	struct vid_exit exit = {
		.kind = VID_EXIT_MMIO,
		.mmio = { .size = size, .write = write, .data = data },
	};

	require(data);
	for (uint8_t i = 0; i < size; i++)
		data[i] = take(input);
	exit.mmio.gpa = GPA(take_number(input, 8));
	if (chipset_access(chipset, &exit) != POWER_NOTHING)
		reset(chipset);
	free(data);
}

static void take_output(struct chipset *chipset, size_t size)
{
	uint8_t *buffer = malloc(size + !size);

	require(buffer);
	require(chipset_console_take(chipset, buffer, size) <= size);
	free(buffer);
}

static void put_input(struct chipset *chipset, size_t size, struct input *input)
{
	uint8_t *data = malloc(size + !size);

	require(data);
	for (size_t i = 0; i < size; i++)
		data[i] = take(input);
	require(chipset_console_put(chipset, data, size) <= size);
	free(data);
}

/* Two disks at one channel, and a drive at the other. What a request is about must be on its disk. */
#define DISK_SECTORS 3000

static void add_disks(struct chipset *chipset)
{
	const struct ide_disk disk = { .sectors = DISK_SECTORS, .serial = "fuzz" };

	chipset_ide_set_disk(chipset, 0, 0, &disk);
	chipset_ide_set_disk(chipset, 0, 1, &disk);
	chipset_ide_set_disk(chipset, 1, 0, &(struct ide_disk){ .dvd = true });
}

/* data: what an earlier one has left. */
static void carry_out_packet(struct chipset *chipset, uint8_t how, const uint8_t *data)
{
	static uint8_t room[IDE_BUFFER_SIZE];
	const struct ide_outcome outcome = { .sense = how & 4 ? 0x023a00 : 0,
					     .size = (how >> 3) * 2048u % (IDE_BUFFER_SIZE + 1) };
	struct ide_request request;

	if (!chipset_ide_take(chipset, 1, &request, room))
		return;
	require(request.operation == IDE_PACKET && request.device == 0 && !request.dma);
	if (how & 2)
		chipset_ide_give_back(chipset, 1, request.serial);
	else
		chipset_ide_complete_packet(chipset, 1, request.serial, &outcome, data);
}

static void carry_out(struct chipset *chipset, uint8_t how)
{
	static uint8_t data[IDE_BUFFER_SECTORS * IDE_SECTOR];
	struct ide_request request;

	if (how & 1) {
		carry_out_packet(chipset, how, data);
		return;
	}
	if (!chipset_ide_take(chipset, 0, &request, data))
		return;
	require(request.device < IDE_DEVICES);
	require(request.sector + request.count <= DISK_SECTORS);
	require((request.operation == IDE_FLUSH) == (request.count == 0));
	require(request.dma || request.count <= IDE_BUFFER_SECTORS);
	if (how & 2)
		chipset_ide_give_back(chipset, 0, request.serial);
	else
		chipset_ide_complete(chipset, 0, request.serial, how & 4, data);
}

static void step(struct chipset *chipset, struct input *input)
{
	uint8_t verb = take(input), how;

	switch (verb) {
	case 0xf0:
		require(chipset_tick(chipset) <= SECOND_NS);
		break;
	case 0xf1:
		pass_time(take_number(input, 3));
		break;
	case 0xf2:
		set_time(input);
		break;
	case 0xf3:
		take_output(chipset, take_number(input, 2) % CONSOLE_MAX);
		break;
	case 0xf4:
		put_input(chipset, take(input) % CONSOLE_MAX, input);
		break;
	case 0xf5:
		chipset_console_set_stalled(chipset, take(input) & 1);
		break;
	case 0xf6:
		reset(chipset);
		break;
	case 0xf7:
		read_clock(chipset);
		break;
	case 0xf8:
	case 0xf9:
		access_memory(chipset, take(input) % 8 + 1, verb & 1, input);
		break;
	case 0xfa:
		how = take(input);
		if (has_ide)
			carry_out(chipset, how);
		break;
	default:
		take_access(chipset, verb, input);
		break;
	}
}

static void run(enum chipset_board board, const uint8_t *bytes, size_t size)
{
	struct input input = { bytes, bytes + size };
	struct chipset *chipset;

	real_time = (struct timespec){ .tv_sec = 1700000000 };
	monotonic = (struct timespec){ .tv_sec = 1000 };
	memset(levels, 0, sizeof(levels));
	time_is_ours = true;
	require(chipset_new(board, &callbacks, NULL, &chipset) == 0);
	chipset_set_firmware(chipset, &firmware);
	has_ide = board == CHIPSET_GENERATION_1;
	if (has_ide)
		add_disks(chipset);
	else
		chipset_set_flash(chipset, memset(flash, 0xff, sizeof(flash)));
	while (input.at < input.end)
		step(chipset, &input);
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
