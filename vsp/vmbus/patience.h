/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whether a wait in the hope of more pays.
 *
 * A wait in vain passes over the next chances, twice as many after each failure up to a limit; one
 * that paid makes good for all that went before.
 */
#pragma once

#include <stdbool.h>

struct patience {
	unsigned failures; /* in a row */
	unsigned pass;     /* chances to pass over */
};

/* Whether this chance is to be passed over. Counts it. */
static inline bool patience_passes(struct patience *patience)
{
	if (patience->pass == 0)
		return false;
	patience->pass--;
	return true;
}

/* Up to 2^failures_max - 1 chances are passed over. */
static inline void patience_failed(struct patience *patience, unsigned failures_max)
{
	if (patience->failures < failures_max)
		patience->failures++;
	patience->pass = (1u << patience->failures) - 1;
}

static inline void patience_paid(struct patience *patience)
{
	patience->failures = 0;
}
