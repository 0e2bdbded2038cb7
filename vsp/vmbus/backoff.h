/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whether waiting for more to come pays off.
 *
 * After a wait in vain the next chances to wait are skipped, twice as many after each failure, up to a
 * limit; a wait that paid off begins that anew.
 */
#pragma once

#include <stdbool.h>

struct backoff {
	unsigned failures; /* in a row */
	unsigned pass;     /* chances to pass over */
};

/* Whether this chance is to be passed over. Counts it. */
static inline bool backoff_skips(struct backoff *timeout)
{
	if (timeout->pass == 0)
		return false;
	timeout->pass--;
	return true;
}

/* Up to 2^failures_max - 1 chances are passed over. */
static inline void backoff_failed(struct backoff *timeout, unsigned failures_max)
{
	if (timeout->failures < failures_max)
		timeout->failures++;
	timeout->pass = (1u << timeout->failures) - 1;
}

static inline void backoff_succeeded(struct backoff *timeout)
{
	timeout->failures = 0;
}
