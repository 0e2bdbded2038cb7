/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A CMOS real-time clock, after the MC146818: time of day, 24-hour BCD, and bytes of memory. No
 * alarms and no interrupts; the ACPI tables promise none. The guest may set it: it then runs at an
 * offset from the host's clock.
 *
 * Linux reads it during boot; with nothing at its ports that read takes a second.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define RTC_REGISTERS 128

struct rtc {
	uint8_t index;
	int64_t offset; /* seconds to add to the host's time */
	uint8_t registers[RTC_REGISTERS];
};

/* As after power-on; the time stays set. */
void rtc_reset(struct rtc *rtc);

/* offset: 0 the index port, 1 the data port. now: the host's time, seconds since 1970, UTC. */
uint8_t rtc_read(struct rtc *rtc, unsigned offset, int64_t now);
void rtc_write(struct rtc *rtc, unsigned offset, uint8_t value, int64_t now);
