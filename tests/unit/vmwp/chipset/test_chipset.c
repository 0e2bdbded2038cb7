/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The chipset as guests see it: serial port, clock, power and reset, and where nothing is. */
#include "common/base/cc.h"
#include "tests/unit/unit.h"
#include "vmwp/base/platform.h"
#include "vmwp/chipset/chipset.h"
#include "vmwp/chipset/power.h"
#include "vmwp/chipset/rtc.h"
#include "vmwp/chipset/serial.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define COM1 PLATFORM_SERIAL_PORT

enum { DATA = COM1, IER = COM1 + 1, IIR = COM1 + 2, FCR = COM1 + 2, LCR = COM1 + 3 };
enum { MCR = COM1 + 4, LSR = COM1 + 5, MSR = COM1 + 6, SCR = COM1 + 7 };

struct fixture {
	struct chipset *chipset;
	bool level; /* of the serial port's interrupt */
	bool rtc_level, sci_level;
	unsigned edges, output_calls, room_calls, alarms;
};

static void set_interrupt(void *data, unsigned pin, bool level)
{
	struct fixture *fixture = data;

	if (pin == PLATFORM_RTC_IRQ || pin == PLATFORM_SCI_IRQ) {
		bool *known = pin == PLATFORM_RTC_IRQ ? &fixture->rtc_level : &fixture->sci_level;

		assert_true(level != *known);
		*known = level;
		return;
	}
	assert_int_equal(pin, PLATFORM_SERIAL_IRQ);
	assert_true(level != fixture->level);
	fixture->level = level;
	fixture->edges += level;
}

static void console_output(void *data)
{
	((struct fixture *)data)->output_calls++;
}

static void console_room(void *data)
{
	((struct fixture *)data)->room_calls++;
}

static void alarm_is_set(void *data)
{
	((struct fixture *)data)->alarms++;
}

static const struct chipset_callbacks callbacks = {
	.set_interrupt = set_interrupt,
	.console_output = console_output,
	.console_room = console_room,
	.alarm = alarm_is_set,
};

static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	assert_non_null(fixture);
	assert_int_equal(chipset_new(CHIPSET_SYNTHETIC, &callbacks, fixture, &fixture->chipset), 0);
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	chipset_free(fixture->chipset);
	free(fixture);
	return 0;
}

static enum power_request port_access(struct fixture *fixture, uint16_t port, uint8_t size,
				      bool write, uint32_t count, void *data)
{
	const struct vid_exit exit = {
		.kind = VID_EXIT_IO_PORT,
		.io = { .port = port, .size = size, .write = write, .count = count, .data = data },
	};

	return chipset_access(fixture->chipset, &exit);
}

static uint8_t in(struct fixture *fixture, uint16_t port)
{
	uint8_t value = 0xaa;

	assert_int_equal(port_access(fixture, port, 1, false, 1, &value), POWER_NOTHING);
	return value;
}

static enum power_request out(struct fixture *fixture, uint16_t port, uint8_t value)
{
	return port_access(fixture, port, 1, true, 1, &value);
}

/* ---- Ports of nothing ---- */

static void nothing_reads_as_ones(void **state)
{
	static const uint16_t ports[] = { 0,     0x60,  0x63,  0x65,  0x6f,  0x72,  0x2f8, 0x3f7,
					  0x400, 0x5ff, 0x606, 0xcf8, 0xcfa, 0xcfc, 0xffff };
	struct fixture *fixture = *state;
	uint32_t value = 0;

	for (size_t i = 0; i < ARRAY_SIZE(ports); i++) {
		assert_int_equal(in(fixture, ports[i]), 0xff);
		assert_int_equal(out(fixture, ports[i], 0xfe), POWER_NOTHING);
	}
	assert_int_equal(port_access(fixture, 0xfffe, 4, false, 1, &value), POWER_NOTHING);
	assert_int_equal(value, 0xffffffff);
}

/* Nor is there a device at any guest-physical address. */
static void memory_of_nothing_reads_as_ones(void **state)
{
	struct fixture *fixture = *state;
	static const uint64_t addresses[] = { 0, 0xa0000, PLATFORM_SERIAL_PORT, 0xfed40000,
					      UINT64_MAX - 7 };
	uint8_t data[8];
	struct vid_exit exit = { .kind = VID_EXIT_MMIO, .mmio = { .size = 8, .data = data } };

	for (size_t i = 0; i < ARRAY_SIZE(addresses); i++) {
		exit.mmio.gpa = GPA(addresses[i]);
		exit.mmio.write = true;
		memset(data, 0xfe, sizeof(data));
		assert_int_equal(chipset_access(fixture->chipset, &exit), POWER_NOTHING);
		exit.mmio.write = false;
		assert_int_equal(chipset_access(fixture->chipset, &exit), POWER_NOTHING);
		for (size_t j = 0; j < sizeof(data); j++)
			assert_int_equal(data[j], 0xff);
	}
}

/* ---- The serial port ---- */

static void serial_sends(void **state)
{
	struct fixture *fixture = *state;
	char text[] = "hello", taken[16];

	assert_int_equal(in(fixture, LSR), 0x60);
	/* A string instruction. */
	assert_int_equal(port_access(fixture, DATA, 1, true, 5, text), POWER_NOTHING);
	assert_int_equal(fixture->output_calls, 1);
	assert_int_equal(chipset_console_take(fixture->chipset, taken, sizeof(taken)), 5);
	assert_memory_equal(taken, "hello", 5);
	out(fixture, DATA, '!');
	assert_int_equal(fixture->output_calls, 2);
	assert_int_equal(chipset_console_take(fixture->chipset, taken, 0), 0);
	assert_int_equal(chipset_console_take(fixture->chipset, taken, sizeof(taken)), 1);
}

static void serial_interrupts_when_it_can_send(void **state)
{
	struct fixture *fixture = *state;

	out(fixture, IER, 0x02);
	assert_false(fixture->level); /* OUT2 holds it back */
	out(fixture, MCR, 0x08);
	assert_true(fixture->level);
	assert_int_equal(in(fixture, IIR), 0x02);
	assert_false(fixture->level); /* reading IIR clears it */
	assert_int_equal(in(fixture, IIR), 0x01);
	out(fixture, DATA, 'x');
	assert_true(fixture->level);
	out(fixture, IER, 0);
	assert_false(fixture->level);
	out(fixture, IER, 0x02);
	assert_true(fixture->level);
}

static void serial_receives(void **state)
{
	struct fixture *fixture = *state;

	out(fixture, MCR, 0x08);
	out(fixture, IER, 0x01);
	out(fixture, FCR, 0x81); /* FIFOs, trigger at 8 */
	assert_int_equal(chipset_console_put(fixture->chipset, "abc", 3), 3);
	assert_true(fixture->level);
	assert_int_equal(in(fixture, IIR), 0xcc); /* fewer than 8, but they wait */
	assert_int_equal(in(fixture, LSR), 0x61);
	assert_int_equal(in(fixture, DATA), 'a');
	assert_int_equal(in(fixture, DATA), 'b');
	assert_true(fixture->level);
	assert_int_equal(in(fixture, DATA), 'c');
	assert_false(fixture->level);
	assert_int_equal(in(fixture, LSR), 0x60);
	assert_int_equal(in(fixture, DATA), 0);

	assert_int_equal(chipset_console_put(fixture->chipset, "0123456789", 10), 10);
	assert_int_equal(in(fixture, IIR), 0xc4);
	out(fixture, FCR, 0x03);
	assert_int_equal(in(fixture, LSR), 0x60);
	assert_false(fixture->level);
}

static void serial_input_waits_for_room(void **state)
{
	struct fixture *fixture = *state;
	const char text[] = "0123456789abcdefghij";

	assert_int_equal(chipset_console_put(fixture->chipset, text, 3), 1); /* no FIFO */
	assert_int_equal(in(fixture, DATA), '0');
	assert_int_equal(fixture->room_calls, 1);
	out(fixture, FCR, 0x01);
	assert_int_equal(chipset_console_put(fixture->chipset, text, 20), 16);
	assert_int_equal(chipset_console_put(fixture->chipset, text, 4), 0);
	assert_int_equal(fixture->room_calls, 1);
	assert_int_equal(in(fixture, DATA), '0');
	assert_int_equal(fixture->room_calls, 2);
	assert_int_equal(in(fixture, DATA), '1');
	assert_int_equal(fixture->room_calls, 2); /* told once */
}

static void serial_loops_back(void **state)
{
	struct fixture *fixture = *state;
	char taken[4];

	assert_int_equal(in(fixture, MSR), 0xb0);
	out(fixture, MCR, 0x1a);
	assert_int_equal(in(fixture, MSR), 0x90);
	out(fixture, DATA, 'z');
	assert_int_equal(in(fixture, LSR), 0x61);
	assert_int_equal(chipset_console_put(fixture->chipset, "a", 1), 0);
	out(fixture, DATA, 'y'); /* no FIFO: one too many */
	assert_int_equal(in(fixture, LSR), 0x63);
	assert_int_equal(in(fixture, DATA), 'z');
	assert_int_equal(chipset_console_take(fixture->chipset, taken, sizeof(taken)), 0);
}

static void serial_registers_keep_values(void **state)
{
	struct fixture *fixture = *state;

	out(fixture, SCR, 0x5a);
	assert_int_equal(in(fixture, SCR), 0x5a);
	out(fixture, LCR, 0x83);
	out(fixture, DATA, 1);
	out(fixture, IER, 0);
	assert_int_equal(in(fixture, DATA), 1);
	assert_int_equal(in(fixture, IER), 0);
	out(fixture, LCR, 0x03);
	assert_int_equal(in(fixture, LCR), 0x03);
	out(fixture, IER, 0xff);
	assert_int_equal(in(fixture, IER), 0x0f);
	out(fixture, LSR, 0);
	out(fixture, MSR, 0);
	assert_int_equal(fixture->output_calls, 0);
	chipset_reset(fixture->chipset);
	assert_int_equal(in(fixture, SCR), 0);
	assert_false(fixture->level);
}

static void serial_holds_the_guest_back(void **state)
{
	struct fixture *fixture = *state;
	static uint8_t taken[SERIAL_OUTPUT_SIZE];
	unsigned sent = 0;
	size_t n;

	out(fixture, MCR, 0x08);
	out(fixture, IER, 0x02);
	while (in(fixture, LSR) & 0x20)
		out(fixture, DATA, (uint8_t)sent++);
	assert_true(sent > SERIAL_OUTPUT_SIZE - 2 * SERIAL_FIFO_SIZE && sent <= SERIAL_OUTPUT_SIZE);
	assert_true(chipset_console_is_full(fixture->chipset));
	in(fixture, IIR);
	assert_false(fixture->level);

	/* Taking some lets it go on. */
	n = chipset_console_take(fixture->chipset, taken, 100);
	assert_int_equal(n, 100);
	assert_true(fixture->level);
	assert_int_equal(in(fixture, LSR), 0x60);
	n += chipset_console_take(fixture->chipset, taken + n, sizeof(taken) - n);
	assert_int_equal(n, sent);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(taken[i], (uint8_t)i);
}

static void serial_forgets_the_oldest_when_nobody_reads(void **state)
{
	struct fixture *fixture = *state;
	static uint8_t taken[SERIAL_OUTPUT_SIZE + 1];
	const unsigned total = SERIAL_OUTPUT_SIZE + 1000;

	while (in(fixture, LSR) & 0x20)
		out(fixture, DATA, 0);
	chipset_console_set_stalled(fixture->chipset, true);
	assert_int_equal(in(fixture, LSR), 0x60);
	for (unsigned i = 0; i < total; i++)
		out(fixture, DATA, (uint8_t)(i * 3));
	assert_int_equal(in(fixture, LSR), 0x60);
	assert_int_equal(chipset_console_take(fixture->chipset, taken, sizeof(taken)),
			 SERIAL_OUTPUT_SIZE);
	for (unsigned i = 0; i < SERIAL_OUTPUT_SIZE; i++)
		assert_int_equal(taken[i], (uint8_t)((i + 1000) * 3));
	chipset_console_set_stalled(fixture->chipset, false);
	assert_int_equal(in(fixture, LSR), 0x60);
}

static void serial_output_outlives_a_reset(void **state)
{
	struct fixture *fixture = *state;
	char taken[4];

	out(fixture, DATA, 'x');
	chipset_reset(fixture->chipset);
	assert_int_equal(chipset_console_take(fixture->chipset, taken, sizeof(taken)), 1);
}

/* ---- Power ---- */

static void power_goes_off_by_pm1(void **state)
{
	struct fixture *fixture = *state;
	uint16_t value = PLATFORM_SLEEP_TYPE_S5 << 10 | 1 << 13;
	uint32_t event = 0;

	assert_int_equal(in(fixture, PLATFORM_PM1_CONTROL_PORT), 1); /* ACPI is on */
	assert_int_equal(port_access(fixture, PLATFORM_PM1_CONTROL_PORT, 2, true, 1, &value),
			 POWER_OFF);
	value = PLATFORM_SLEEP_TYPE_S4 << 10 | 1 << 13;
	assert_int_equal(port_access(fixture, PLATFORM_PM1_CONTROL_PORT, 2, true, 1, &value),
			 POWER_HIBERNATED);
	value = 3 << 10 | 1 << 13;
	assert_int_equal(port_access(fixture, PLATFORM_PM1_CONTROL_PORT, 2, true, 1, &value),
			 POWER_NOTHING);
	value = PLATFORM_SLEEP_TYPE_S5 << 10;
	assert_int_equal(port_access(fixture, PLATFORM_PM1_CONTROL_PORT, 2, true, 1, &value),
			 POWER_NOTHING);
	assert_int_equal(port_access(fixture, PLATFORM_PM1_CONTROL_PORT, 2, false, 1, &value),
			 POWER_NOTHING);
	assert_int_equal(value, PLATFORM_SLEEP_TYPE_S5 << 10 | 1);

	event = 0x01210000;
	port_access(fixture, PLATFORM_PM1_EVENT_PORT, 4, true, 1, &event);
	event = 0;
	port_access(fixture, PLATFORM_PM1_EVENT_PORT, 4, false, 1, &event);
	assert_int_equal(event, 0x01210000);
}

/* What the timer has after so many nanoseconds. */
static uint32_t timer_after(struct power *power, uint64_t now)
{
	uint32_t value = 0;

	for (unsigned offset = 0; offset < 4; offset++)
		value |= (power_read_timer(power, offset, now) & 0xff) << 8 * offset;
	return value;
}

static void timer_counts(void **state)
{
	const uint64_t second = 1000000000, origin = 86400 * second;
	struct power power;

	power_reset(&power, origin);
	assert_int_equal(timer_after(&power, origin), 0);
	assert_int_equal(timer_after(&power, origin + 279), 0);
	assert_int_equal(timer_after(&power, origin + 280), 1);
	assert_int_equal(timer_after(&power, origin + second), 3579545);
	assert_int_equal(timer_after(&power, origin + 1199 * second), 1199 * 3579545u);
	assert_int_equal(timer_after(&power, origin + 1200 * second),
			 (uint32_t)(1200 * UINT64_C(3579545)));
	assert_int_equal(timer_after(&power, origin + 40000000 * second),
			 (uint32_t)(40000000 * UINT64_C(3579545)));
	/* A value that is read by bytes is of one time. */
	assert_int_equal(power_read_timer(&power, 0, origin + second), 3579545);
	assert_int_equal(power_read_timer(&power, 1, origin + 9 * second), 3579545 >> 8);
	assert_int_equal(power_read_timer(&power, 3, 0), 3579545 >> 24);
}

static uint64_t monotonic(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void timer_is_at_its_port(void **state)
{
	struct fixture *fixture = *state;
	uint64_t before = monotonic(), after, least, most;
	uint32_t value[3];

	chipset_reset(fixture->chipset);
	after = monotonic();
	while (monotonic() < after + 2000000)
		;
	least = (monotonic() - after) * 3579545 / 1000000000;
	port_access(fixture, PLATFORM_PM_TIMER_PORT, 4, false, 3, value);
	most = (monotonic() - before) * 3579545 / 1000000000 + 1;
	assert_in_range(value[0], least, most);
	assert_in_range(value[1], value[0], most);
	assert_in_range(value[2], value[1], most);
	assert_int_equal(port_access(fixture, PLATFORM_PM_TIMER_PORT, 4, true, 1, &value),
			 POWER_NOTHING);
	port_access(fixture, PLATFORM_PM_TIMER_PORT, 4, false, 1, value);
	assert_true(value[0] >= least);
}

static void ports_that_reset(void **state)
{
	struct fixture *fixture = *state;
	uint16_t both = 0xfe64;

	assert_int_equal(out(fixture, PLATFORM_RESET_PORT, 0x02), POWER_NOTHING);
	assert_int_equal(out(fixture, PLATFORM_RESET_PORT, PLATFORM_RESET_VALUE), POWER_RESET);
	assert_int_equal(in(fixture, 0x61) & 0xc0, 0); /* no NMI's reason */
	assert_int_equal(out(fixture, 0x61, 0xff), POWER_NOTHING);
	assert_int_equal(in(fixture, 0x64) & 2, 0); /* never busy */
	assert_int_equal(out(fixture, 0x64, 0xf0), POWER_NOTHING);
	assert_int_equal(out(fixture, 0x64, 0xfe), POWER_RESET);
	assert_int_equal(port_access(fixture, 0x63, 2, true, 1, &both), POWER_RESET);
}

/* ---- The clock ---- */

static uint8_t rtc_get(struct rtc *rtc, uint8_t index, int64_t now)
{
	rtc_write(rtc, 0, index, now);
	return rtc_read(rtc, 1, now);
}

static void rtc_set(struct rtc *rtc, uint8_t index, uint8_t value, int64_t now)
{
	rtc_write(rtc, 0, index, now);
	rtc_write(rtc, 1, value, now);
}

static int64_t moment(int year, int month, int day, int hour, int minute, int second)
{
	struct tm tm = { .tm_year = year - 1900,
			 .tm_mon = month - 1,
			 .tm_mday = day,
			 .tm_hour = hour,
			 .tm_min = minute,
			 .tm_sec = second };

	return timegm(&tm);
}

static void rtc_tells_the_time(void **state)
{
	static const struct {
		uint8_t index, value;
	} expected[] = {
		{ 0x0a, 0x26 }, { 0, 0x58 },    { 2, 0x59 },    { 4, 0x23 },
		{ 6, 0x07 },    { 7, 0x29 },    { 8, 0x02 },    { 9, 0x24 },
		{ 0x32, 0x20 }, { 0x0b, 0x02 }, { 0x0d, 0x80 },
	};
	struct rtc rtc = { 0 };
	int64_t now = moment(2024, 2, 29, 23, 59, 58);

	rtc_reset(&rtc);
	/* Thursday is day 5. */
	for (size_t i = 0; i < ARRAY_SIZE(expected); i++)
		if (expected[i].index != 6)
			assert_int_equal(rtc_get(&rtc, expected[i].index, now), expected[i].value);
	assert_int_equal(rtc_get(&rtc, 6, now), 5);
	assert_int_equal(rtc_get(&rtc, 0, now + 2), 0x00);
	assert_int_equal(rtc_get(&rtc, 7, now + 2), 0x01);
	assert_int_equal(rtc_get(&rtc, 8, now + 2), 0x03);
}

static void rtc_can_be_set(void **state)
{
	struct rtc rtc = { 0 };
	int64_t now = moment(2024, 2, 29, 23, 59, 58);

	rtc_reset(&rtc);
	rtc_set(&rtc, 0x0b, 0x82, now);
	rtc_set(&rtc, 0, 0x30, now);
	rtc_set(&rtc, 2, 0x15, now);
	rtc_set(&rtc, 4, 0x08, now);
	rtc_set(&rtc, 7, 0x31, now);
	rtc_set(&rtc, 8, 0x12, now);
	rtc_set(&rtc, 9, 0x99, now);
	rtc_set(&rtc, 0x32, 0x19, now);
	assert_int_equal(rtc_get(&rtc, 0, now + 100), 0x30); /* it stands still */
	rtc_set(&rtc, 0x0b, 0x02, now);
	assert_int_equal(rtc.offset, moment(1999, 12, 31, 8, 15, 30) - now);
	assert_int_equal(rtc_get(&rtc, 0, now + 5), 0x35);
	assert_int_equal(rtc_get(&rtc, 9, now + 5), 0x99);
	assert_int_equal(rtc_get(&rtc, 0x32, now + 5), 0x19);
	rtc_reset(&rtc);
	assert_int_equal(rtc_get(&rtc, 0, now + 6), 0x36); /* the time survives */

	/* One register of the running clock. */
	rtc_set(&rtc, 4, 0x09, now + 6);
	assert_int_equal(rtc.offset, moment(1999, 12, 31, 9, 15, 30) - now);
}

static bool is_bcd(uint8_t value)
{
	return value >> 4 < 10 && (value & 0xf) < 10;
}

/* Whatever a guest sets, also what is no date, or one before the year 0, or far in the future. */
static void rtc_shows_digits_of_any_date(void **state)
{
	static const uint8_t time[] = { 0, 2, 4, 6, 7, 8, 9, 0x32 };
	static const uint8_t values[] = { 0x00, 0x01, 0x12, 0x99, 0x9f, 0xf9, 0xff };
	struct rtc rtc = { 0 };
	int64_t now = moment(2024, 2, 29, 23, 59, 58);

	rtc_reset(&rtc);
	for (unsigned i = 0; i < 7u * 7 * 7 * 7; i++) {
		rtc_set(&rtc, 0x0b, 0x82, now);
		rtc_set(&rtc, 7, values[i % 7], now);
		rtc_set(&rtc, 8, values[i / 7 % 7], now);
		rtc_set(&rtc, 9, values[i / 49 % 7], now);
		rtc_set(&rtc, 0x32, values[i / 343], now);
		rtc_set(&rtc, 0x0b, 0x02, now);
		rtc_set(&rtc, 4, values[i % 7], now); /* of the running clock */
		for (size_t j = 0; j < ARRAY_SIZE(time); j++)
			if (!is_bcd(rtc_get(&rtc, time[j], now)))
				fail_msg("register %u is %#x", time[j],
					 rtc_get(&rtc, time[j], now));
	}
	/* November the 30th of the year before the year 0. */
	rtc_set(&rtc, 0x0b, 0x82, now);
	for (size_t j = 0; j < ARRAY_SIZE(time); j++)
		rtc_set(&rtc, time[j], 0, now);
	rtc_set(&rtc, 0x0b, 0x02, now);
	assert_int_equal(rtc_get(&rtc, 0, now), 0);
	assert_int_equal(rtc_get(&rtc, 7, now), 0x30);
	assert_int_equal(rtc_get(&rtc, 8, now), 0x11);
	assert_int_equal(rtc_get(&rtc, 9, now), 0x99);
	assert_int_equal(rtc_get(&rtc, 0x32, now), 0x99);
}

static void rtc_alarms(void **state)
{
	struct rtc rtc = { 0 };
	int64_t now = moment(2024, 2, 29, 23, 59, 58), tomorrow = moment(2024, 3, 1, 7, 30, 5);

	rtc_reset(&rtc);
	rtc_set(&rtc, 1, 0x05, now);
	rtc_set(&rtc, 3, 0x30, now);
	rtc_set(&rtc, 5, 0x07, now);
	assert_int_equal(rtc.due, 0); /* not switched on */
	rtc_set(&rtc, 0x0b, 0x22, now);
	assert_int_equal(rtc.due, tomorrow);
	rtc_tick(&rtc, tomorrow - 1);
	assert_false(rtc_interrupt(&rtc));
	rtc_tick(&rtc, tomorrow + 2); /* whoever ticks may be late */
	assert_true(rtc_interrupt(&rtc));
	assert_int_equal(rtc.due, tomorrow + 86400);
	assert_int_equal(rtc_get(&rtc, 0x0c, tomorrow + 2), 0xa0);
	assert_false(rtc_interrupt(&rtc));
	assert_int_equal(rtc_get(&rtc, 0x0c, tomorrow + 2), 0);

	/* Whatever the hour, and the minute; the clock is set, and stands still meanwhile. */
	rtc_set(&rtc, 5, 0xff, now);
	assert_int_equal(rtc.due, moment(2024, 3, 1, 0, 30, 5));
	rtc_set(&rtc, 3, 0xc0, now);
	assert_int_equal(rtc.due, moment(2024, 3, 1, 0, 0, 5));
	rtc_set(&rtc, 0x0b, 0xa2, now);
	assert_int_equal(rtc.due, 0);
	rtc_set(&rtc, 0, 0x03, now);
	rtc_set(&rtc, 0x0b, 0x22, now);
	assert_int_equal(rtc.due, now + 2);

	/* No hour has that number. */
	rtc_set(&rtc, 5, 0x7a, now);
	assert_int_equal(rtc.due, 0);
	rtc_set(&rtc, 5, 0xff, now);
	assert_int_equal(rtc.due, now + 2);
	rtc_reset(&rtc);
	assert_int_equal(rtc.due, 0);
}

static void set_rtc(struct fixture *fixture, uint8_t index, uint8_t value)
{
	assert_int_equal(out(fixture, PLATFORM_RTC_PORT, index), POWER_NOTHING);
	assert_int_equal(out(fixture, PLATFORM_RTC_PORT + 1, value), POWER_NOTHING);
}

/* At the next second, whichever that is. */
static void chipset_ticks_for_alarms(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(chipset_tick(fixture->chipset), 0);
	for (uint8_t index = 1; index <= 5; index += 2)
		set_rtc(fixture, index, 0xff);
	set_rtc(fixture, 0x0b, 0x22);
	assert_int_equal(fixture->alarms, 1);
	while (!fixture->rtc_level) {
		uint64_t delay = chipset_tick(fixture->chipset);

		assert_in_range(delay, 1, 1000000000);
		if (!fixture->rtc_level)
			usleep((useconds_t)(delay / 1000 + 1));
	}
	/*
	 * The alarm is an event of PM1, too, and interrupts by the SCI as long as that is enabled.
	 */
	assert_int_equal(in(fixture, PLATFORM_PM1_EVENT_PORT + 1), 0x04);
	assert_false(fixture->sci_level);
	assert_int_equal(out(fixture, PLATFORM_PM1_EVENT_PORT + 3, 0x04), POWER_NOTHING);
	assert_true(fixture->sci_level);
	assert_int_equal(out(fixture, PLATFORM_PM1_EVENT_PORT, 0xff), POWER_NOTHING);
	assert_true(fixture->sci_level);
	assert_int_equal(out(fixture, PLATFORM_PM1_EVENT_PORT + 1, 0x04), POWER_NOTHING);
	assert_false(fixture->sci_level);
	assert_int_equal(in(fixture, PLATFORM_PM1_EVENT_PORT + 1), 0);

	assert_int_equal(out(fixture, PLATFORM_RTC_PORT, 0x0c), POWER_NOTHING);
	assert_int_equal(in(fixture, PLATFORM_RTC_PORT + 1), 0xa0);
	assert_false(fixture->rtc_level);
	set_rtc(fixture, 0x0b, 0x02);
	assert_int_equal(fixture->alarms, 1);
	assert_int_equal(chipset_tick(fixture->chipset), 0);
	set_rtc(fixture, 0x0b, 0x22);
	assert_int_equal(fixture->alarms, 2);
	chipset_reset(fixture->chipset);
	assert_int_equal(chipset_tick(fixture->chipset), 0);
}

static void rtc_survives_nonsense(void **state)
{
	struct rtc rtc = { 0 };
	int64_t now = moment(2024, 2, 29, 23, 59, 58);

	rtc_reset(&rtc);
	for (unsigned i = 0; i < 256; i++)
		rtc_set(&rtc, (uint8_t)i, 0xff, now);
	for (unsigned i = 0; i < 256; i++)
		rtc_get(&rtc, (uint8_t)i, now);
	rtc_set(&rtc, 0x40, 0x77, now);
	assert_int_equal(rtc_get(&rtc, 0x40, now), 0x77); /* plain memory */
	assert_int_equal(rtc_get(&rtc, 0xc0, now), 0x77); /* bit 7 is not part of the index */
	assert_int_equal(rtc_read(&rtc, 0, now), 0xff);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(nothing_reads_as_ones, setup, teardown),
		cmocka_unit_test_setup_teardown(memory_of_nothing_reads_as_ones, setup, teardown),
		cmocka_unit_test_setup_teardown(serial_sends, setup, teardown),
		cmocka_unit_test_setup_teardown(serial_interrupts_when_it_can_send, setup,
						teardown),
		cmocka_unit_test_setup_teardown(serial_receives, setup, teardown),
		cmocka_unit_test_setup_teardown(serial_input_waits_for_room, setup, teardown),
		cmocka_unit_test_setup_teardown(serial_loops_back, setup, teardown),
		cmocka_unit_test_setup_teardown(serial_registers_keep_values, setup, teardown),
		cmocka_unit_test_setup_teardown(serial_holds_the_guest_back, setup, teardown),
		cmocka_unit_test_setup_teardown(serial_forgets_the_oldest_when_nobody_reads, setup,
						teardown),
		cmocka_unit_test_setup_teardown(serial_output_outlives_a_reset, setup, teardown),
		cmocka_unit_test_setup_teardown(power_goes_off_by_pm1, setup, teardown),
		cmocka_unit_test(timer_counts),
		cmocka_unit_test_setup_teardown(timer_is_at_its_port, setup, teardown),
		cmocka_unit_test_setup_teardown(ports_that_reset, setup, teardown),
		cmocka_unit_test(rtc_tells_the_time),
		cmocka_unit_test(rtc_can_be_set),
		cmocka_unit_test(rtc_shows_digits_of_any_date),
		cmocka_unit_test(rtc_alarms),
		cmocka_unit_test_setup_teardown(chipset_ticks_for_alarms, setup, teardown),
		cmocka_unit_test(rtc_survives_nonsense),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
