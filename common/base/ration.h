/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A ration of what others can make happen as often as they like: so many at once, and after that
 * one in every interval, up to as many again.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct ration {
	unsigned most;     /* at once, at least 1 */
	uint64_t interval; /* in the unit of `now` */

	/* All 0 at first. */
	unsigned taken;
	uint64_t since;   /* of the interval that gives the next back */
	unsigned refused; /* since one was taken */
};

/*
 * Takes one. now: of a clock that does not go back. ret_refused: how many were refused since one
 * was taken. Return: whether there was one.
 */
static inline bool ration_take(struct ration *ration, uint64_t now, unsigned *ret_refused)
{
	uint64_t intervals = (now - ration->since) / ration->interval;

	if (ration->taken <= intervals) {
		ration->taken = 0;
		ration->since = now;
	} else {
		ration->taken -= (unsigned)intervals;
		ration->since += intervals * ration->interval;
	}
	if (ration->taken == ration->most) {
		ration->refused++;
		return false;
	}
	ration->taken++;
	*ret_refused = ration->refused;
	ration->refused = 0;
	return true;
}
