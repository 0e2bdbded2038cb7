/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Synthetic MSRs: one table of what each does when read and written.
 *
 * The user-space engine has them all; the in-kernel engine only those that KVM handles less well
 * than we do (reset and crash), the rest never gets here. An MSR that is not in the table, or
 * cannot be read or written, is a #GP. TLFS, appendix "Hypervisor Synthetic MSRs".
 */
#include "hvshim/internal.h"

#define LAPIC_HZ 1000000000u /* of KVM's LAPIC timer */

/* Return: 0; HVSHIM_MSR_E_FAULT; -errno. */
typedef int (*msr_read_fn)(struct hvshim_vp *vp, uint32_t index, uint64_t *ret_value);
typedef int (*msr_write_fn)(struct hvshim_vp *vp, uint32_t index, uint64_t value);

struct msr {
	uint32_t first, count;
	bool partition_wide; /* called with hvshim.lock held */
	msr_read_fn read;
	msr_write_fn write;
};

static gpa_t msr_page(uint64_t value)
{
	return GPA(value & HV_MSR_PAGE_MASK);
}

static int read_zero(struct hvshim_vp *vp, uint32_t index, uint64_t *ret_value)
{
	*ret_value = 0;
	return 0;
}

/* ---- Partition-wide ---- */

static int read_guest_os_id(struct hvshim_vp *vp, uint32_t index, uint64_t *ret_value)
{
	*ret_value = vp->hvshim->state.guest_os_id;
	return 0;
}

/* A guest without a name has no hypercall page. */
static int write_guest_os_id(struct hvshim_vp *vp, uint32_t index, uint64_t value)
{
	struct hvshim *hvshim = vp->hvshim;

	atomic_fetch_add(&hvshim->counters.introductions, 1);
	hvshim->state.guest_os_id = value;
	if (value == 0) {
		overlay_disable(&hvshim->hypercall_page, hvshim->memory);
		hvshim->state.hypercall &= ~HV_MSR_ENABLE;
	}
	return 0;
}

static int read_hypercall(struct hvshim_vp *vp, uint32_t index, uint64_t *ret_value)
{
	*ret_value = vp->hvshim->state.hypercall;
	return 0;
}

#define EFER_LONG_MODE_ACTIVE (1u << 10)
#define SEGMENT_LONG          (1u << 9) /* of struct vid_segment.attributes */

int vp_in_long_mode(struct hvshim_vp *vp, bool *ret_long)
{
	struct vid_system_registers system;
	int r = vid_vp_get_system(vp->vp, &system);

	if (r < 0)
		return r;
	*ret_long = system.efer & EFER_LONG_MODE_ACTIVE && system.cs.attributes & SEGMENT_LONG;
	return 0;
}

static int write_hypercall(struct hvshim_vp *vp, uint32_t index, uint64_t value)
{
	struct hvshim *hvshim = vp->hvshim;
	const uint8_t *code;
	size_t size;
	bool long_mode;
	int r;

	atomic_fetch_add(&hvshim->counters.introductions, 1);
	if (hvshim->state.hypercall & HV_MSR_HYPERCALL_LOCKED)
		return HVSHIM_MSR_E_FAULT;
	if (hvshim->state.guest_os_id == 0)
		value &= ~HV_MSR_ENABLE;
	if (!(value & HV_MSR_ENABLE)) {
		overlay_disable(&hvshim->hypercall_page, hvshim->memory);
		hvshim->state.hypercall = value;
		return 0;
	}
	r = vp_in_long_mode(vp, &long_mode);
	if (r < 0)
		return r;
	code = hypercall_page_code(long_mode, &size);
	r = overlay_enable(&hvshim->hypercall_page, hvshim->memory, msr_page(value), code, size);
	if (r != 0)
		return r;
	hvshim->state.hypercall = value;
	return 0;
}

static int write_reset(struct hvshim_vp *vp, uint32_t index, uint64_t value)
{
	if (value & 1)
		hvshim_raise(vp->hvshim, HVSHIM_EVENT_RESET);
	return 0;
}

static int read_reference_count(struct hvshim_vp *vp, uint32_t index, uint64_t *ret_value)
{
	*ret_value = clock_now(vp->hvshim);
	return 0;
}

static int read_reference_tsc(struct hvshim_vp *vp, uint32_t index, uint64_t *ret_value)
{
	*ret_value = vp->hvshim->state.reference_tsc;
	return 0;
}

static int write_reference_tsc(struct hvshim_vp *vp, uint32_t index, uint64_t value)
{
	struct hvshim *hvshim = vp->hvshim;
	struct hv_reference_tsc_page page = { 0 };
	int r;

	if (value & HV_MSR_ENABLE) {
		clock_fill_page(hvshim, &page);
		r = overlay_enable(&hvshim->reference_tsc_page, hvshim->memory, msr_page(value),
				   &page, sizeof(page));
		if (r != 0)
			return r;
	} else {
		overlay_disable(&hvshim->reference_tsc_page, hvshim->memory);
	}
	hvshim->state.reference_tsc = value;
	return 0;
}

static int read_tsc_frequency(struct hvshim_vp *vp, uint32_t index, uint64_t *ret_value)
{
	*ret_value = vp->hvshim->clock.tsc_hz;
	return 0;
}

static int read_apic_frequency(struct hvshim_vp *vp, uint32_t index, uint64_t *ret_value)
{
	*ret_value = LAPIC_HZ;
	return 0;
}

static int read_tsc_invariant(struct hvshim_vp *vp, uint32_t index, uint64_t *ret_value)
{
	*ret_value = vp->hvshim->state.tsc_invariant;
	return 0;
}

static int write_tsc_invariant(struct hvshim_vp *vp, uint32_t index, uint64_t value)
{
	vp->hvshim->state.tsc_invariant = value;
	return 0;
}

static int read_crash_parameter(struct hvshim_vp *vp, uint32_t index, uint64_t *ret_value)
{
	*ret_value = vp->hvshim->state.crash_parameters[index - HV_MSR_CRASH_P0];
	return 0;
}

static int write_crash_parameter(struct hvshim_vp *vp, uint32_t index, uint64_t value)
{
	vp->hvshim->state.crash_parameters[index - HV_MSR_CRASH_P0] = value;
	return 0;
}

/* What can be reported: Linux wants to see both before it hands over its log. */
static int read_crash_control(struct hvshim_vp *vp, uint32_t index, uint64_t *ret_value)
{
	*ret_value = HV_CRASH_NOTIFY | HV_CRASH_MESSAGE;
	return 0;
}

static int write_crash_control(struct hvshim_vp *vp, uint32_t index, uint64_t value)
{
	crash_capture(vp->hvshim, value);
	return 0;
}

/* ---- Of a vp ---- */

static int read_vp_index(struct hvshim_vp *vp, uint32_t index, uint64_t *ret_value)
{
	*ret_value = vp->index;
	return 0;
}

static int read_vp_assist_page(struct hvshim_vp *vp, uint32_t index, uint64_t *ret_value)
{
	*ret_value = vp->vp_assist_page;
	return 0;
}

static int write_vp_assist_page(struct hvshim_vp *vp, uint32_t index, uint64_t value)
{
	return apic_write_assist_page(vp, value);
}

static int read_scontrol(struct hvshim_vp *vp, uint32_t index, uint64_t *ret_value)
{
	*ret_value = vp->synic.state.control;
	return 0;
}

static int write_scontrol(struct hvshim_vp *vp, uint32_t index, uint64_t value)
{
	return synic_write_control(vp, value);
}

static int read_sversion(struct hvshim_vp *vp, uint32_t index, uint64_t *ret_value)
{
	*ret_value = HV_SVERSION_1;
	return 0;
}

static int read_siefp(struct hvshim_vp *vp, uint32_t index, uint64_t *ret_value)
{
	*ret_value = vp->synic.state.siefp;
	return 0;
}

static int write_siefp(struct hvshim_vp *vp, uint32_t index, uint64_t value)
{
	return synic_write_event_page(vp, value);
}

static int read_simp(struct hvshim_vp *vp, uint32_t index, uint64_t *ret_value)
{
	*ret_value = vp->synic.state.simp;
	return 0;
}

static int write_simp(struct hvshim_vp *vp, uint32_t index, uint64_t value)
{
	return synic_write_message_page(vp, value);
}

static int write_eom(struct hvshim_vp *vp, uint32_t index, uint64_t value)
{
	synic_end_of_message(vp);
	return 0;
}

static int read_sint(struct hvshim_vp *vp, uint32_t index, uint64_t *ret_value)
{
	*ret_value = vp->synic.state.sints[index - HV_MSR_SINT0];
	return 0;
}

static int write_sint(struct hvshim_vp *vp, uint32_t index, uint64_t value)
{
	return synic_write_sint(vp, index - HV_MSR_SINT0, value);
}

/* Even MSRs are configurations, odd ones counts. */
static uint32_t stimer_index(uint32_t index)
{
	return (index - HV_MSR_STIMER0_CONFIG) / 2;
}

static bool stimer_is_count(uint32_t index)
{
	return (index - HV_MSR_STIMER0_CONFIG) % 2 != 0;
}

static int read_stimer(struct hvshim_vp *vp, uint32_t index, uint64_t *ret_value)
{
	const struct stimer_state *timer = &vp->stimers.state[stimer_index(index)];

	if (!vp->hvshim->synthetic_timers)
		return HVSHIM_MSR_E_FAULT;
	pthread_mutex_lock(&vp->lock);
	*ret_value = stimer_is_count(index) ? timer->count : timer->config;
	pthread_mutex_unlock(&vp->lock);
	return 0;
}

static int write_stimer(struct hvshim_vp *vp, uint32_t index, uint64_t value)
{
	if (!vp->hvshim->synthetic_timers)
		return HVSHIM_MSR_E_FAULT;
	if (stimer_is_count(index))
		return stimer_write_count(vp, stimer_index(index), value);
	return stimer_write_config(vp, stimer_index(index), value);
}

#define HV_MSR_SINT15        (HV_MSR_SINT0 + HV_SINT_COUNT - 1)
#define HV_MSR_STIMER3_COUNT (HV_MSR_STIMER0_CONFIG + 2 * HV_STIMER_COUNT - 1)

#define PARTITION true
#define VP        false

static const struct msr msr_table[] = {
	{ HV_MSR_GUEST_OS_ID, 1, PARTITION, read_guest_os_id, write_guest_os_id },
	{ HV_MSR_HYPERCALL, 1, PARTITION, read_hypercall, write_hypercall },
	{ HV_MSR_VP_INDEX, 1, VP, read_vp_index, NULL },
	{ HV_MSR_RESET, 1, VP, read_zero, write_reset },
	{ HV_MSR_REFERENCE_COUNT, 1, VP, read_reference_count, NULL },
	{ HV_MSR_REFERENCE_TSC, 1, PARTITION, read_reference_tsc, write_reference_tsc },
	{ HV_MSR_TSC_FREQUENCY, 1, VP, read_tsc_frequency, NULL },
	{ HV_MSR_APIC_FREQUENCY, 1, VP, read_apic_frequency, NULL },
	{ HV_MSR_EOI, 1, VP, NULL, apic_write },
	{ HV_MSR_ICR, 1, VP, apic_read, apic_write },
	{ HV_MSR_TPR, 1, VP, apic_read, apic_write },
	{ HV_MSR_VP_ASSIST_PAGE, 1, VP, read_vp_assist_page, write_vp_assist_page },
	{ HV_MSR_SCONTROL, 1, VP, read_scontrol, write_scontrol },
	{ HV_MSR_SVERSION, 1, VP, read_sversion, NULL },
	{ HV_MSR_SIEFP, 1, VP, read_siefp, write_siefp },
	{ HV_MSR_SIMP, 1, VP, read_simp, write_simp },
	{ HV_MSR_EOM, 1, VP, read_zero, write_eom },
	{ HV_MSR_SINT0, HV_SINT_COUNT, VP, read_sint, write_sint },
	{ HV_MSR_STIMER0_CONFIG, 2 * HV_STIMER_COUNT, VP, read_stimer, write_stimer },
	{ HV_MSR_CRASH_P0, HVSHIM_CRASH_PARAMETERS, PARTITION, read_crash_parameter,
	  write_crash_parameter },
	{ HV_MSR_CRASH_CONTROL, 1, VP, read_crash_control, write_crash_control },
	{ HV_MSR_TSC_INVARIANT, 1, PARTITION, read_tsc_invariant, write_tsc_invariant },
};

static const struct msr *msr_find(uint32_t index)
{
	for (size_t i = 0; i < ARRAY_SIZE(msr_table); i++)
		if (index - msr_table[i].first < msr_table[i].count)
			return &msr_table[i];
	return NULL;
}

static int msr_read(struct hvshim_vp *vp, const struct msr *msr, uint32_t index)
{
	uint64_t value;
	int r;

	if (!msr || !msr->read)
		return HVSHIM_MSR_E_FAULT;
	r = msr->read(vp, index, &value);
	if (r == 0)
		vid_vp_answer_msr(vp->vp, value);
	return r;
}

static int msr_write(struct hvshim_vp *vp, const struct msr *msr, uint32_t index, uint64_t value)
{
	int r;

	if (!msr || !msr->write)
		return HVSHIM_MSR_E_FAULT;
	r = msr->write(vp, index, value);
	if (r == 0)
		vid_vp_answer_msr(vp->vp, 0);
	return r;
}

int msr_exit(struct hvshim_vp *vp, const struct vid_exit *exit)
{
	struct hvshim *hvshim = vp->hvshim;
	uint32_t index = exit->msr.index;
	const struct msr *msr;
	int r;

	if (index - HV_MSR_RANGE_BASE >= HV_MSR_RANGE_COUNT)
		return HVSHIM_E_UNHANDLED;
	atomic_fetch_add(&hvshim->counters.msr_exits, 1);
	msr = msr_find(index);
	if (msr && msr->partition_wide)
		pthread_mutex_lock(&hvshim->lock);
	if (exit->kind == VID_EXIT_MSR_READ)
		r = msr_read(vp, msr, index);
	else
		r = msr_write(vp, msr, index, exit->msr.value);
	if (msr && msr->partition_wide)
		pthread_mutex_unlock(&hvshim->lock);
	if (r != HVSHIM_MSR_E_FAULT)
		return r;
	vid_vp_answer_msr_fault(vp->vp);
	return 0;
}
