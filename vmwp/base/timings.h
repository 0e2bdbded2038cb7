/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How long it took to start, and how much memory the worker itself takes: for
 * `vmwp --print-timings`.
 */
#pragma once

#include "vid/vid.h"

#include <stdint.h>
#include <stdio.h>

struct timings {
	uint64_t before_main; /* ns of CPU time that exec and the dynamic linker took */
	uint64_t main;        /* loop_now() at the beginning of main() */
	FILE *memory;         /* /proc/self/smaps; NULL: not to be had */
};

/* First thing in main(). */
void timings_start(struct timings *timings);

/* For timings_print(), while files can be opened. */
void timings_open(struct timings *timings);

/*
 * Prints one line of JSON to standard error: "start_to_first_run_us" and how that divides, the
 * moment itself by CLOCK_MONOTONIC, and what is resident now, guest RAM left out: "rss_anon_kib",
 * "rss_file_kib". first_run: loop_now() of it; 0: never.
 */
void timings_print(struct timings *timings, uint64_t first_run, const struct vid_memory *memory);
