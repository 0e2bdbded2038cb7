/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A CMOS real-time clock, after the MC146818: time of day, 24-hour BCD, an alarm within a day, and
 * bytes of memory. Of its interrupts there is the alarm's alone. The guest may set it: it then runs
 * at an offset from the host's clock.
 *
 * Linux reads it during boot; with nothing at its ports that read takes a second. The alarm wakes
 * it when it is suspended.
 *
 * now: the host's time, seconds since 1970, UTC.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define RTC_REGISTERS 128

struct rtc {
	uint8_t index;
	int64_t offset; /* seconds to add to the host's time */
	int64_t due;    /* the host's time of the alarm; 0: none is set */
	uint8_t registers[RTC_REGISTERS];
};

/* As after power-on; the time stays set. */
void rtc_reset(struct rtc *rtc);

/* offset: 0 the index port, 1 the data port. */
uint8_t rtc_read(struct rtc *rtc, unsigned offset, int64_t now);
void rtc_write(struct rtc *rtc, unsigned offset, uint8_t value, int64_t now);

/* Time has passed. */
void rtc_tick(struct rtc *rtc, int64_t now);

/* Whether it interrupts: from the alarm on, until the guest has read why. */
bool rtc_interrupt(const struct rtc *rtc);
