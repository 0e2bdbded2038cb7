/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How long it took to start. */
#include "vmwp/timings.h"

#include "common/base/loop.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

void timings_start(struct timings *timings)
{
	struct timespec cpu;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
	timings->before_main = (uint64_t)cpu.tv_sec * 1000000000u + (uint64_t)cpu.tv_nsec;
	timings->main = loop_now();
}

/* A line of /proc/self/status, in KiB; -1 if it is not there. */
static long timings_read_status(const char *name)
{
	FILE *file = fopen("/proc/self/status", "re");
	size_t length = strlen(name);
	char line[128];
	long value = -1;

	if (!file)
		return -1;
	while (value < 0 && fgets(line, sizeof(line), file))
		if (strncmp(line, name, length) == 0 && line[length] == ':')
			sscanf(line + length + 1, "%ld", &value);
	fclose(file);
	return value;
}

void timings_print(const struct timings *timings, uint64_t first_run)
{
	uint64_t run = first_run ? first_run - timings->main : 0;

	fprintf(stderr,
		"{\"start_to_first_run_us\": %" PRIu64 ", \"before_main_us\": %" PRIu64
		", \"main_to_first_run_us\": %" PRIu64 ", \"first_run_monotonic_ns\": %" PRIu64
		", \"rss_anon_kib\": %ld, \"rss_file_kib\": %ld}\n",
		(timings->before_main + run) / 1000, timings->before_main / 1000, run / 1000,
		first_run, timings_read_status("RssAnon"), timings_read_status("RssFile"));
}
