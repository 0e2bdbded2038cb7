/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A CMOS real-time clock.
 *
 * The time registers are brought up to date when the guest reads the seconds or register A, which
 * every reader does first; so one reading sees one moment. While the SET bit is on they hold what
 * the guest writes, and clearing it starts the clock from there.
 */
#include "vmwp/chipset/rtc.h"

#include "common/base/cc.h"

#include <string.h>
#include <time.h>

enum {
	SECONDS = 0x00,
	SECONDS_ALARM = 0x01,
	MINUTES = 0x02,
	MINUTES_ALARM = 0x03,
	HOURS = 0x04,
	HOURS_ALARM = 0x05,
	WEEKDAY = 0x06,
	DAY = 0x07,
	MONTH = 0x08,
	YEAR = 0x09,
	REGISTER_A = 0x0a,
	REGISTER_B = 0x0b,
	REGISTER_C = 0x0c,
	REGISTER_D = 0x0d,
	CENTURY = 0x32,
};

#define A_32768_HZ     0x26 /* time base and rate as every BIOS sets them */
#define A_UPDATING     0x80
#define B_24_HOURS     0x02
#define B_ALARM        0x20
#define B_SET          0x80
#define C_ALARM        0x20
#define C_INTERRUPT    0x80
#define D_BATTERY_GOOD 0x80
#define ALARM_ANY      0xc0 /* both bits: whatever the time has there */

#define MINUTE_SECONDS 60
#define HOUR_SECONDS   3600
#define DAY_SECONDS    86400

/* More than four digits of a year and the host's clock can be apart, in seconds. */
#define TIME_MAX (INT64_C(1) << 40)

/* value: from 0 to 99 */
static uint8_t to_bcd(unsigned value)
{
	return (uint8_t)(value / 10 << 4 | value % 10);
}

static int from_bcd(uint8_t value)
{
	return (value >> 4) * 10 + (value & 0xf);
}

void rtc_reset(struct rtc *rtc)
{
	rtc->index = 0;
	rtc->due = 0;
	memset(rtc->registers, 0, sizeof(rtc->registers));
	rtc->registers[REGISTER_A] = A_32768_HZ;
	rtc->registers[REGISTER_B] = B_24_HOURS;
	rtc->registers[REGISTER_D] = D_BATTERY_GOOD;
}

static bool rtc_is_set(const struct rtc *rtc)
{
	return rtc->registers[REGISTER_B] & B_SET;
}

/* tm_year: as gmtime_r() gives it. The clock has four digits, and no years before the year 0. */
static unsigned clock_year(int tm_year)
{
	int year = (tm_year % 10000 + 1900) % 10000;

	return (unsigned)(year < 0 ? year + 10000 : year);
}

static void rtc_show_time(struct rtc *rtc, int64_t now)
{
	time_t time = (time_t)(now + rtc->offset);
	struct tm tm;
	unsigned year;

	if (!gmtime_r(&time, &tm))
		return;
	year = clock_year(tm.tm_year);
	rtc->registers[SECONDS] = to_bcd((unsigned)tm.tm_sec % 60);
	rtc->registers[MINUTES] = to_bcd((unsigned)tm.tm_min);
	rtc->registers[HOURS] = to_bcd((unsigned)tm.tm_hour);
	rtc->registers[WEEKDAY] = to_bcd((unsigned)tm.tm_wday + 1);
	rtc->registers[DAY] = to_bcd((unsigned)tm.tm_mday);
	rtc->registers[MONTH] = to_bcd((unsigned)tm.tm_mon + 1);
	rtc->registers[YEAR] = to_bcd(year % 100);
	rtc->registers[CENTURY] = to_bcd(year / 100);
}

/* What the guest wrote may be no date at all; timegm() makes one of it. */
static void rtc_take_time(struct rtc *rtc, int64_t now)
{
	struct tm tm = {
		.tm_sec = from_bcd(rtc->registers[SECONDS]),
		.tm_min = from_bcd(rtc->registers[MINUTES]),
		.tm_hour = from_bcd(rtc->registers[HOURS]),
		.tm_mday = from_bcd(rtc->registers[DAY]),
		.tm_mon = from_bcd(rtc->registers[MONTH]) - 1,
		.tm_year = (from_bcd(rtc->registers[CENTURY]) - 19) * 100 +
			   from_bcd(rtc->registers[YEAR]),
	};

	rtc->offset = (int64_t)timegm(&tm) - now;
}

static bool rtc_is_time(uint8_t index)
{
	return index <= YEAR || index == CENTURY;
}

/* ---- The alarm ---- */

static bool alarm_matches(uint8_t alarm, int64_t value)
{
	return (alarm & ALARM_ANY) == ALARM_ANY || alarm == to_bcd((unsigned)value);
}

/* The host's time when the clock next shows what the alarm is set to; 0: it never does. */
static int64_t rtc_find_alarm(const struct rtc *rtc, int64_t now)
{
	int64_t time = now + rtc->offset + 1, end = time + DAY_SECONDS;

	while (time < end) {
		int64_t second = (time % DAY_SECONDS + DAY_SECONDS) % DAY_SECONDS;

		if (!alarm_matches(rtc->registers[HOURS_ALARM], second / HOUR_SECONDS))
			time += HOUR_SECONDS - second % HOUR_SECONDS;
		else if (!alarm_matches(rtc->registers[MINUTES_ALARM],
					second % HOUR_SECONDS / MINUTE_SECONDS))
			time += MINUTE_SECONDS - second % MINUTE_SECONDS;
		else if (!alarm_matches(rtc->registers[SECONDS_ALARM], second % MINUTE_SECONDS))
			time++;
		else
			return time - rtc->offset;
	}
	return 0;
}

static bool rtc_alarm_runs(const struct rtc *rtc)
{
	return !rtc_is_set(rtc) && rtc->registers[REGISTER_B] & B_ALARM;
}

static void rtc_set_alarm(struct rtc *rtc, int64_t now)
{
	rtc->due = rtc_alarm_runs(rtc) ? rtc_find_alarm(rtc, now) : 0;
}

void rtc_tick(struct rtc *rtc, int64_t now)
{
	if (rtc->due == 0 || now < rtc->due)
		return;
	rtc->registers[REGISTER_C] |= C_ALARM | C_INTERRUPT;
	rtc_set_alarm(rtc, now);
}

bool rtc_interrupt(const struct rtc *rtc)
{
	return rtc->registers[REGISTER_C] & C_INTERRUPT;
}

/* ---- The registers ---- */

/* Reading why it interrupts ends the interrupt. */
static uint8_t rtc_read_register_c(struct rtc *rtc)
{
	uint8_t value = rtc->registers[REGISTER_C];

	rtc->registers[REGISTER_C] = 0;
	return value;
}

uint8_t rtc_read(struct rtc *rtc, unsigned offset, int64_t now)
{
	if (offset == 0)
		return 0xff; /* write-only */
	if (rtc->index == REGISTER_C)
		return rtc_read_register_c(rtc);
	if ((rtc->index == SECONDS || rtc->index == REGISTER_A) && !rtc_is_set(rtc))
		rtc_show_time(rtc, now);
	return rtc->registers[rtc->index];
}

static void rtc_write_register_b(struct rtc *rtc, uint8_t value, int64_t now)
{
	bool was_set = rtc_is_set(rtc);

	/* The format is fixed, and there are no other interrupts. */
	rtc->registers[REGISTER_B] = B_24_HOURS | (value & (B_SET | B_ALARM));
	if (was_set && !rtc_is_set(rtc))
		rtc_take_time(rtc, now);
	else if (!was_set && rtc_is_set(rtc))
		rtc_show_time(rtc, now);
}

/* A guest that sets single registers of the running clock means them too. */
static void rtc_write_plain(struct rtc *rtc, uint8_t value, int64_t now)
{
	bool sets_time = rtc_is_time(rtc->index) && !rtc_is_set(rtc);

	if (sets_time)
		rtc_show_time(rtc, now);
	rtc->registers[rtc->index] = value;
	if (sets_time)
		rtc_take_time(rtc, now);
}

void rtc_write(struct rtc *rtc, unsigned offset, uint8_t value, int64_t now)
{
	if (offset == 0) {
		rtc->index = value & (RTC_REGISTERS - 1); /* bit 7 masks NMIs */
		return;
	}
	rtc_tick(rtc, now);
	switch (rtc->index) {
	case REGISTER_A:
		rtc->registers[REGISTER_A] = value & (uint8_t)~A_UPDATING;
		break;
	case REGISTER_B:
		rtc_write_register_b(rtc, value, now);
		break;
	case REGISTER_C:
	case REGISTER_D:
		break;
	default:
		rtc_write_plain(rtc, value, now);
		break;
	}
	rtc_set_alarm(rtc, now);
}

/* ---- State ---- */

void rtc_save(const struct rtc *rtc, struct state_writer *writer)
{
	struct rtc_state state = {
		.offset = rtc->offset,
		.due = rtc->due,
		.index = rtc->index,
	};

	memcpy(state.registers, rtc->registers, sizeof(state.registers));
	state_put(writer, &state, sizeof(state));
}

/* Whether the registers are such as a guest can make them. */
static bool rtc_registers_are_valid(const struct rtc *rtc)
{
	const uint8_t *registers = rtc->registers;

	return !(registers[REGISTER_A] & A_UPDATING) &&
	       (registers[REGISTER_B] & ~(B_SET | B_ALARM)) == B_24_HOURS &&
	       (registers[REGISTER_C] == 0 || registers[REGISTER_C] == (C_ALARM | C_INTERRUPT)) &&
	       registers[REGISTER_D] == D_BATTERY_GOOD;
}

/* Whether the alarm is due when the clock shows it, and only if it ever does. */
static bool rtc_alarm_is_valid(const struct rtc *rtc)
{
	if (!rtc_alarm_runs(rtc))
		return rtc->due == 0;
	if (rtc->due == 0)
		return rtc_find_alarm(rtc, 0) == 0;
	return rtc_find_alarm(rtc, rtc->due - 1) == rtc->due;
}

static bool is_moment(int64_t seconds)
{
	return seconds >= -TIME_MAX && seconds <= TIME_MAX;
}

int rtc_restore(struct rtc *rtc, struct state_record *record)
{
	static const uint8_t zero[sizeof(((struct rtc_state *)NULL)->zero)];
	struct rtc_state state;

	if (state_get(record, &state, sizeof(state)) != 0 || !is_moment(state.offset) ||
	    !is_moment(state.due) || state.index >= RTC_REGISTERS ||
	    memcmp(state.zero, zero, sizeof(zero)) != 0)
		return STATE_E_INVALID;
	rtc->offset = state.offset;
	rtc->due = state.due;
	rtc->index = state.index;
	memcpy(rtc->registers, state.registers, sizeof(rtc->registers));
	return rtc_registers_are_valid(rtc) && rtc_alarm_is_valid(rtc) ? 0 : STATE_E_INVALID;
}
