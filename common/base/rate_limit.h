/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A rate limit of what others can make happen as often as they like: so many at once, and after
 * that one in every interval, up to as many again.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct rate_limit {
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
static inline bool rate_limit_take(struct rate_limit *rate_limit, uint64_t now,
				   unsigned *ret_refused)
{
	uint64_t intervals = (now - rate_limit->since) / rate_limit->interval;

	if (rate_limit->taken <= intervals) {
		rate_limit->taken = 0;
		rate_limit->since = now;
	} else {
		rate_limit->taken -= (unsigned)intervals;
		rate_limit->since += intervals * rate_limit->interval;
	}
	if (rate_limit->taken == rate_limit->most) {
		rate_limit->refused++;
		return false;
	}
	rate_limit->taken++;
	*ret_refused = rate_limit->refused;
	rate_limit->refused = 0;
	return true;
}
