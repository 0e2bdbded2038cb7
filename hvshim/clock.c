/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The reference time of the user-space engine: a counter of 100 ns units from the making of the
 * partition, by MSR and by the reference TSC page. TLFS, "Timers".
 *
 * Both come from the same numbers, so that a guest may change between them at any time. They are
 * taken from the first vp's TSC before it runs, and a guest that later writes its TSC moves what
 * it computes from the page, but not the counter.
 */
#include "hvshim/internal.h"

#include <x86intrin.h>

#define UNITS_PER_SECOND 10000000u
#define FIRST_SEQUENCE   1u

static uint64_t scale_tsc(uint64_t tsc, uint64_t scale)
{
	return (uint64_t)((unsigned __int128)tsc * scale >> 64);
}

int clock_init(struct hvshim *hvshim, struct vid_vp *vp)
{
	struct clock_state *clock = &hvshim->clock;
	int64_t khz = vid_vp_tsc_khz(vp);
	int r;

	if (khz < 0)
		return (int)khz;
	r = vid_vp_tsc_offset(vp, &clock->tsc_offset);
	if (r < 0)
		return r;
	clock->tsc_hz = (uint64_t)khz * 1000;
	if (clock->tsc_hz <= UNITS_PER_SECOND)
		return -ENOTSUP;
	clock->scale = (uint64_t)(((unsigned __int128)UNITS_PER_SECOND << 64) / clock->tsc_hz);
	clock->offset = -scale_tsc(__rdtsc() + clock->tsc_offset, clock->scale);
	return 0;
}

uint64_t clock_now(const struct hvshim *hvshim)
{
	const struct clock_state *clock = &hvshim->clock;

	return scale_tsc(__rdtsc() + clock->tsc_offset, clock->scale) + clock->offset;
}

void clock_fill_page(const struct hvshim *hvshim, struct hv_reference_tsc_page *page)
{
	page->sequence = FIRST_SEQUENCE;
	page->scale = hvshim->clock.scale;
	page->offset = (int64_t)hvshim->clock.offset;
}
