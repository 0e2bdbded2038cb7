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

#include "common/base/cc.h"
#include "common/base/state.h"

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

/*
 * Its state, version 1. Stored format. What is kept of the time is how far the clock is from the
 * host's: after a restore it shows the time as it is then, as one with a battery does.
 */
struct rtc_state {
	int64_t offset; /* seconds to add to the host's time */
	int64_t due;    /* the host's time of the alarm, in seconds; 0: none is set */
	uint8_t index;
	uint8_t zero[7];
	uint8_t registers[RTC_REGISTERS];
};
_Static_assert(sizeof(struct rtc_state) == 24 + RTC_REGISTERS, "stored format");

/* Return: 0; STATE_E_INVALID: it may be half changed. */
void rtc_save(const struct rtc *rtc, struct state_writer *writer);
int rtc_restore(struct rtc *rtc, struct state_record *record) MUST_CHECK;
