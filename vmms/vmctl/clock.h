/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How long something has taken, whoever sets the time of day meanwhile. */
#pragma once

#include <time.h>

/* Seconds since the host's start, those included in which it was suspended. */
static inline time_t clock_boot(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return now.tv_sec;
}
