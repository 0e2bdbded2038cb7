/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How long it took to start, and what the worker itself takes: for `vmwp --print-timings`.
 */
#pragma once

#include <stdint.h>

struct timings {
	uint64_t before_main; /* ns of CPU time that exec and the dynamic linker took */
	uint64_t main;        /* loop_now() at the beginning of main() */
};

/* First thing in main(). */
void timings_start(struct timings *timings);

/*
 * Prints one line of JSON to standard error: "start_to_first_run_us", how that divides, and
 * "rss_anon_kib", "rss_file_kib" as they are now. first_run: loop_now() of it; 0: never.
 */
void timings_print(const struct timings *timings, uint64_t first_run);
