/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A CMOS real-time clock.
 *
 * The time registers are brought up to date when the guest reads the seconds or register A, which
 * every reader does first; so one reading sees one moment. While the SET bit is on they hold what
 * the guest writes, and clearing it starts the clock from there.
 */
#include "vmwp/rtc.h"

#include "common/base/cc.h"

#include <string.h>
#include <time.h>

enum {
	SECONDS = 0x00,
	MINUTES = 0x02,
	HOURS = 0x04,
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
#define B_SET          0x80
#define D_BATTERY_GOOD 0x80

static uint8_t to_bcd(int value)
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
	memset(rtc->registers, 0, sizeof(rtc->registers));
	rtc->registers[REGISTER_A] = A_32768_HZ;
	rtc->registers[REGISTER_B] = B_24_HOURS;
	rtc->registers[REGISTER_D] = D_BATTERY_GOOD;
}

static bool rtc_is_set(const struct rtc *rtc)
{
	return rtc->registers[REGISTER_B] & B_SET;
}

static void rtc_show_time(struct rtc *rtc, int64_t now)
{
	time_t time = (time_t)(now + rtc->offset);
	struct tm tm;

	if (!gmtime_r(&time, &tm))
		return;
	rtc->registers[SECONDS] = to_bcd(tm.tm_sec % 60);
	rtc->registers[MINUTES] = to_bcd(tm.tm_min);
	rtc->registers[HOURS] = to_bcd(tm.tm_hour);
	rtc->registers[WEEKDAY] = to_bcd(tm.tm_wday + 1);
	rtc->registers[DAY] = to_bcd(tm.tm_mday);
	rtc->registers[MONTH] = to_bcd(tm.tm_mon + 1);
	rtc->registers[YEAR] = to_bcd(tm.tm_year % 100);
	rtc->registers[CENTURY] = to_bcd((tm.tm_year / 100 + 19) % 100);
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

uint8_t rtc_read(struct rtc *rtc, unsigned offset, int64_t now)
{
	if (offset == 0)
		return 0xff; /* write-only */
	if ((rtc->index == SECONDS || rtc->index == REGISTER_A) && !rtc_is_set(rtc))
		rtc_show_time(rtc, now);
	return rtc->registers[rtc->index];
}

static void rtc_write_register_b(struct rtc *rtc, uint8_t value, int64_t now)
{
	bool was_set = rtc_is_set(rtc);

	/* Format and interrupts are fixed: only SET changes. */
	rtc->registers[REGISTER_B] = B_24_HOURS | (value & B_SET);
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
}
