/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The reference time of the user-space engine: a counter of 100 ns units from the making of the
 * partition, by MSR and by the reference TSC page. TLFS, "Timers".
 *
 * The counter is the partition's clock at first. Once the guest has a page, both come from the same
 * numbers, which continue that clock from the TSC: a guest may change between the two at any time.
 * Where the TSC cannot be relied on, the page says that it is not to be used.
 *
 * A guest that writes its TSC moves what it computes from the page, but not the counter.
 */
#include "hvshim/internal.h"
#include "vid/state.h"

#include <string.h>
#include <x86intrin.h>

#define UNITS_PER_SECOND 10000000u
#define NS_PER_UNIT      100u
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
	return 0;
}

uint64_t clock_now(const struct hvshim *hvshim)
{
	const struct clock_state *clock = &hvshim->clock;
	struct vid_clock partition;

	if (atomic_load(&clock->from_tsc))
		return scale_tsc(__rdtsc() + clock->tsc_offset, clock->scale) + clock->offset;
	if (vid_partition_clock(hvshim->partition, &partition) < 0)
		return 0;
	return partition.ns / NS_PER_UNIT;
}

/* Caller holds hvshim->lock. Return: whether the time can be told from the TSC. */
static bool clock_use_tsc(struct hvshim *hvshim)
{
	struct clock_state *clock = &hvshim->clock;
	struct vid_clock partition;

	if (atomic_load(&clock->from_tsc))
		return true;
	if (vid_partition_clock(hvshim->partition, &partition) < 0 || !partition.tsc_stable)
		return false;
	clock->offset = partition.ns / NS_PER_UNIT -
			scale_tsc(partition.host_tsc + clock->tsc_offset, clock->scale);
	atomic_store(&clock->from_tsc, true);
	return true;
}

void clock_fill_page(struct hvshim *hvshim, struct hv_reference_tsc_page *page)
{
	if (!clock_use_tsc(hvshim)) {
		page->sequence = HV_REFERENCE_TSC_INVALID;
		return;
	}
	page->sequence = FIRST_SEQUENCE;
	page->scale = hvshim->clock.scale;
	page->offset = (int64_t)hvshim->clock.offset;
}

/* Never what says that the page is not to be used. */
static uint32_t next_sequence(uint32_t sequence)
{
	return sequence >= UINT32_MAX - 1 ? FIRST_SEQUENCE : sequence + 1;
}

static void clock_update_page(struct hvshim *hvshim)
{
	const struct overlay *overlay = &hvshim->reference_tsc_page;
	struct hv_reference_tsc_page page = { 0 };
	void *there;
	uint32_t sequence;

	if (!overlay->below)
		return;
	there = vid_memory_map(hvshim->memory, overlay->gpa, HV_PAGE_SIZE);
	memcpy(&sequence, there, sizeof(sequence));
	clock_fill_page(hvshim, &page);
	if (page.sequence != HV_REFERENCE_TSC_INVALID)
		page.sequence = next_sequence(sequence);
	memcpy(there, &page, sizeof(page));
	vid_memory_mark_written(hvshim->memory, overlay->gpa, HV_PAGE_SIZE);
}

/*
 * The guest's TSC may have jumped, and have another rate by a little. A guest that reckoned from it
 * before goes on to: whether it can be relied on here is not known before the vps run.
 */
int clock_start(struct hvshim *hvshim, uint64_t time)
{
	struct clock_state *clock = &hvshim->clock;
	int r = clock_init(hvshim, hvshim->vps[0].vp);

	if (r == 0)
		r = vid_partition_set_clock(hvshim->partition, time * NS_PER_UNIT);
	if (r < 0)
		return r;
	if (atomic_load(&clock->from_tsc))
		clock->offset = time - scale_tsc(__rdtsc() + clock->tsc_offset, clock->scale);
	clock_update_page(hvshim);
	return 0;
}
