/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How long it took to start. */
#include "vmwp/base/timings.h"

#include "common/base/cleanup.h"
#include "common/base/loop.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <time.h>

void timings_start(struct timings *timings)
{
	struct timespec cpu;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
	timings->before_main = (uint64_t)cpu.tv_sec * 1000000000u + (uint64_t)cpu.tv_nsec;
	timings->main = loop_now();
	timings->memory = NULL;
}

void timings_open(struct timings *timings)
{
	timings->memory = fopen("/proc/self/smaps", "re");
}

static bool timings_is_guest(const struct vid_memory *memory, uintptr_t address)
{
	for (size_t i = 0; i < vid_memory_region_count(memory); i++) {
		struct vid_memory_region region = vid_memory_region(memory, i);
		uintptr_t host = (uintptr_t)vid_memory_map(memory, region.gpa, region.size);

		if (address >= host && address - host < region.size)
			return true;
	}
	return false;
}

struct resident {
	unsigned long anonymous, file; /* KiB */
};

/*
 * Sums up /proc/self/smaps: for each mapping a line of addresses, then lines of figures, of which
 * "Rss" comes before "Anonymous".
 */
static struct resident timings_resident(FILE *smaps, const struct vid_memory *memory)
{
	struct resident resident = { 0 };
	unsigned long start, end, rss = 0, value;
	bool counted = false;
	char line[512];

	while (smaps && fgets(line, sizeof(line), smaps)) {
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			counted = !timings_is_guest(memory, start);
		else if (sscanf(line, "Rss: %lu kB", &value) == 1)
			rss = value;
		else if (counted && sscanf(line, "Anonymous: %lu kB", &value) == 1) {
			resident.anonymous += value;
			resident.file += rss - value;
		}
	}
	return resident;
}

void timings_print(struct timings *timings, uint64_t first_run, const struct vid_memory *memory)
{
	uint64_t run = first_run ? first_run - timings->main : 0;
	struct resident resident = timings_resident(timings->memory, memory);

	fprintf(stderr,
		"{\"start_to_first_run_us\": %" PRIu64 ", \"before_main_us\": %" PRIu64
		", \"main_to_first_run_us\": %" PRIu64 ", \"first_run_monotonic_ns\": %" PRIu64
		", \"rss_anon_kib\": %lu, \"rss_file_kib\": %lu}\n",
		(timings->before_main + run) / 1000, timings->before_main / 1000, run / 1000,
		first_run, resident.anonymous, resident.file);
	if (timings->memory)
		fclose(TAKE_PTR(timings->memory));
}
