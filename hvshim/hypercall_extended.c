/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Extended hypercalls: a guest reports the pages that it has no use for, and the host has them
 * back. TLFS, "Extended Hypercalls"; Linux, drivers/hv/hv_balloon.c (free page reporting).
 *
 * Pages that a guest reports it may use again at any time, unasked, and finds zeros in them then.
 * If it goes on using them meanwhile, it harms itself alone.
 */
#include "hvshim/internal.h"

#define LARGE_UNIT (UINT64_C(1) << 21) /* bytes */
#define HUGE_UNIT  (UINT64_C(1) << 30)

/*
 * Given back by one call, about; for the rest the guest calls again. It may be interrupted between.
 */
#define CALL_MAX (UINT64_C(256) << 20)

/* Whether the guest was told that it may make extended hypercalls. */
static bool vp_may_extend(const struct hvshim_vp *vp)
{
	return vp->hvshim->told & enlightenment_bit(ENLIGHTENMENT_FREE_PAGE_REPORTING);
}

uint64_t hypercall_query_capabilities(struct hvshim_vp *vp, const struct hypercall_input *input)
{
	const uint64_t capabilities = HV_CAPABILITY_COLD_DISCARD;

	if (!vp_may_extend(vp))
		return HV_STATUS_INVALID_HYPERCALL_CODE;
	if (input->value & HV_HYPERCALL_FAST)
		return HV_STATUS_INVALID_HYPERCALL_INPUT;
	return hypercall_output_copy(vp, input->params[1], &capabilities, sizeof(capabilities));
}

/* Bytes. Return: whether it is a range at all. */
static bool range_decode(uint64_t range, uint64_t *ret_start, uint64_t *ret_size)
{
	uint64_t unit = range & HV_GPA_RANGE_HUGE ? HUGE_UNIT : LARGE_UNIT;
	uint64_t pfn = HV_GPA_RANGE_LARGE_PFN(range);

	if (!(range & HV_GPA_RANGE_LARGE)) {
		unit = HV_PAGE_SIZE;
		pfn = HV_GPA_RANGE_FRAME(range);
	} else if (range & HV_GPA_RANGE_LARGE_RESERVED) {
		return false;
	}
	*ret_size = HV_GPA_RANGE_UNITS(range) * unit;
	return !__builtin_mul_overflow(pfn, unit, ret_start);
}

/* Return: whether it is the guest's to give. What the host fails at costs nobody anything. */
static bool range_discard(struct hvshim *hvshim, uint64_t start, uint64_t size)
{
	int r = vid_memory_discard_range(hvshim->memory, GPA(start), size);

	if (r == 0)
		atomic_fetch_add(&hvshim->counters.discarded_pages, size / HV_PAGE_SIZE);
	else
		atomic_fetch_add(&hvshim->counters.discard_failures, 1);
	return r != -EINVAL;
}

uint64_t hypercall_memory_heat_hint(struct hvshim_vp *vp, const struct hypercall_input *input)
{
	uint64_t block[1 + HV_MEMORY_HEAT_RANGES_MAX], given = 0, start, size;
	uint32_t count = HV_HYPERCALL_REP_COUNT(input->value);
	uint32_t i = HV_HYPERCALL_REP_START(input->value);
	const struct hv_memory_heat_hint *hint = (const void *)block;
	enum hv_status status;

	_Static_assert(sizeof(block) == HV_PAGE_SIZE, "as much as a call can have");
	if (!vp_may_extend(vp))
		return HV_STATUS_INVALID_HYPERCALL_CODE;
	if (input->value & HV_HYPERCALL_FAST)
		return HV_STATUS_INVALID_HYPERCALL_INPUT;
	status = hypercall_input_copy(vp, input->params[0], block,
				      sizeof(*hint) + count * sizeof(hint->ranges[0]));
	if (status == HV_STATUS_SUCCESS && hint->type != HV_MEMORY_COLD_DISCARD)
		status = HV_STATUS_INVALID_PARAMETER;
	for (; status == HV_STATUS_SUCCESS && i < count && given < CALL_MAX; i++, given += size)
		if (!range_decode(hint->ranges[i], &start, &size) ||
		    !range_discard(vp->hvshim, start, size)) {
			status = HV_STATUS_INVALID_PARAMETER;
			break;
		}
	return status | HV_HYPERCALL_REPS_DONE(i);
}
