/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The in-kernel engine: KVM emulates Hyper-V.
 *
 * KVM has the MSRs, hypercall page, timers and interrupts; from it come SynIC exits, which tell
 * where a vp's pages are, and the hypercalls it leaves to us. Reset and crash MSRs are taken from
 * it by the MSR filter: KVM would keep the crash report to itself, and does not offer the guest to
 * leave a text.
 */
#include "hvshim/internal.h"
#include "vid/state.h"

#include <string.h>

static void kernel_prepare(struct vid_partition_config *config)
{
	config->msr_exits[0] = (struct vid_msr_range){ .first = HV_MSR_RESET, .count = 1 };
	config->msr_exits[1] = (struct vid_msr_range){ .first = HV_MSR_CRASH_P0,
						       .count = HVSHIM_CRASH_PARAMETERS + 1 };
}

static int kernel_attach(struct hvshim_vp *vp, struct vid_cpuid *cpuid)
{
	int r;

	r = cpuid_add_kernel(vp, cpuid);
	if (r < 0)
		return r;
	r = vid_vp_set_cpuid(vp->vp, cpuid);
	if (r < 0)
		return r;
	/* KVM enables the SynIC as a whole when it is given to a vp. */
	vp->synic.state.control = HV_MSR_ENABLE;
	return vid_vp_enable_synic(vp->vp);
}

/*
 * A SynIC exit has all three registers, after the write. KVM has accepted the write, so a page that
 * is not RAM cannot fault any more: it stays unmapped, and takes nothing.
 */
static int kernel_exit_synic(struct hvshim_vp *vp, const struct vid_exit *exit)
{
	atomic_fetch_add(&vp->hvshim->counters.synic_exits, 1);
	(void)synic_write_control(vp, exit->synic.control);
	if (synic_write_event_page(vp, exit->synic.event_page) != 0)
		(void)synic_write_event_page(vp, 0);
	if (synic_write_message_page(vp, exit->synic.message_page) != 0)
		(void)synic_write_message_page(vp, 0);
	return 0;
}

/*
 * HvCallSignalEvent comes here when KVM knows no eventfd for the connection, or none at all. KVM
 * has then read the parameter from memory already, whatever form the guest used.
 */
static int kernel_exit_hypercall(struct hvshim_vp *vp, const struct vid_exit *exit)
{
	uint64_t input = exit->hypercall.input;

	if (HV_HYPERCALL_CODE(input) == HV_CALL_SIGNAL_EVENT)
		input |= HV_HYPERCALL_FAST;
	vid_vp_answer_hypercall(vp->vp, hypercall_dispatch(vp, input, exit->hypercall.params));
	return 0;
}

static int kernel_exit(struct hvshim_vp *vp, const struct vid_exit *exit)
{
	switch (exit->kind) {
	case VID_EXIT_SYNIC:
		return kernel_exit_synic(vp, exit);
	case VID_EXIT_HYPERCALL:
		return kernel_exit_hypercall(vp, exit);
	case VID_EXIT_MSR_READ:
	case VID_EXIT_MSR_WRITE:
		return msr_exit(vp, exit);
	default:
		return HVSHIM_E_UNHANDLED;
	}
}

static int kernel_open_sint(struct hvshim_vp *vp, uint32_t number)
{
	struct synic_sint *sint = &vp->synic.sints[number];
	int r;

	if (!sint->interrupt) {
		r = vid_interrupt_new(vp->hvshim->partition, true, &sint->interrupt);
		if (r < 0)
			return r;
	}
	r = vid_interrupt_route_sint(sint->interrupt, vp->index, number);
	if (r < 0)
		return r;
	sint->open = true;
	return 0;
}

static int kernel_connect(struct hvshim *hvshim, uint32_t connection_id, int event_fd)
{
	return vid_connection_add(hvshim->partition, connection_id, event_fd);
}

static void kernel_disconnect(struct hvshim *hvshim, uint32_t connection_id, int event_fd)
{
	(void)vid_connection_remove(hvshim->partition, connection_id);
}

/* KVM counts its reference time by this clock. */
static uint64_t kernel_reference_time(const struct hvshim *hvshim)
{
	struct vid_clock clock;

	return vid_partition_clock(hvshim->partition, &clock) == 0 ? clock.ns / 100 : 0;
}

/* ---- State ---- */

/* KVM numbers a partition's MSRs like those of a vp, and takes them from any of its vps. */
#define PARTITION_MSR(msr, member)                                   \
	{                                                            \
		msr, offsetof(struct hvshim_partition_state, member) \
	}
#define VP_MSR(msr, member)                                   \
	{                                                     \
		msr, offsetof(struct hvshim_vp_state, member) \
	}

struct kept_msr {
	uint32_t index;
	size_t offset; /* of its 64 bits in the stored state */
};

/* In the order in which KVM has to have them: the guest's name first. */
static const struct kept_msr partition_msrs[] = {
	PARTITION_MSR(HV_MSR_GUEST_OS_ID, guest_os_id),
	PARTITION_MSR(HV_MSR_HYPERCALL, hypercall),
	PARTITION_MSR(HV_MSR_REFERENCE_TSC, reference_tsc),
	PARTITION_MSR(HV_MSR_REENLIGHTENMENT, reenlightenment),
	PARTITION_MSR(HV_MSR_TSC_EMULATION_CONTROL, tsc_emulation_control),
	PARTITION_MSR(HV_MSR_TSC_EMULATION_STATUS, tsc_emulation_status),
	PARTITION_MSR(HV_MSR_TSC_INVARIANT, tsc_invariant),
};

/* A count starts a timer that enables itself; the configuration says after it what is so. */
static const struct kept_msr vp_msrs[] = {
	VP_MSR(HV_MSR_VP_RUNTIME, runtime),
	VP_MSR(HV_MSR_VP_ASSIST_PAGE, assist_page),
	VP_MSR(HV_MSR_SCONTROL, control),
	VP_MSR(HV_MSR_SIEFP, siefp),
	VP_MSR(HV_MSR_SIMP, simp),
	VP_MSR(HV_MSR_SINT0 + 0, sints[0]),
	VP_MSR(HV_MSR_SINT0 + 1, sints[1]),
	VP_MSR(HV_MSR_SINT0 + 2, sints[2]),
	VP_MSR(HV_MSR_SINT0 + 3, sints[3]),
	VP_MSR(HV_MSR_SINT0 + 4, sints[4]),
	VP_MSR(HV_MSR_SINT0 + 5, sints[5]),
	VP_MSR(HV_MSR_SINT0 + 6, sints[6]),
	VP_MSR(HV_MSR_SINT0 + 7, sints[7]),
	VP_MSR(HV_MSR_SINT0 + 8, sints[8]),
	VP_MSR(HV_MSR_SINT0 + 9, sints[9]),
	VP_MSR(HV_MSR_SINT0 + 10, sints[10]),
	VP_MSR(HV_MSR_SINT0 + 11, sints[11]),
	VP_MSR(HV_MSR_SINT0 + 12, sints[12]),
	VP_MSR(HV_MSR_SINT0 + 13, sints[13]),
	VP_MSR(HV_MSR_SINT0 + 14, sints[14]),
	VP_MSR(HV_MSR_SINT0 + 15, sints[15]),
	VP_MSR(HV_MSR_STIMER0_COUNT + 0, timers[0].count),
	VP_MSR(HV_MSR_STIMER0_CONFIG + 0, timers[0].config),
	VP_MSR(HV_MSR_STIMER0_COUNT + 2, timers[1].count),
	VP_MSR(HV_MSR_STIMER0_CONFIG + 2, timers[1].config),
	VP_MSR(HV_MSR_STIMER0_COUNT + 4, timers[2].count),
	VP_MSR(HV_MSR_STIMER0_CONFIG + 4, timers[2].config),
	VP_MSR(HV_MSR_STIMER0_COUNT + 6, timers[3].count),
	VP_MSR(HV_MSR_STIMER0_CONFIG + 6, timers[3].config),
};

/* What this KVM does not have stays as it is in `state`. */
static int kernel_read_msrs(struct hvshim_vp *vp, const struct kept_msr *msrs, size_t count,
			    void *state)
{
	for (size_t i = 0; i < count; i++) {
		uint64_t value;
		int r = vid_vp_get_msr(vp->vp, msrs[i].index, &value);

		if (r == 0)
			memcpy((uint8_t *)state + msrs[i].offset, &value, sizeof(value));
		else if (r != -ENOENT)
			return r;
	}
	return 0;
}

/* What has that value already may be an MSR that this KVM does not have. */
static int kernel_write_msrs(struct hvshim_vp *vp, const struct kept_msr *msrs, size_t count,
			     const void *state, struct state_refusal *refusal)
{
	for (size_t i = 0; i < count; i++) {
		uint64_t value, present = 0;
		int r;

		memcpy(&value, (const uint8_t *)state + msrs[i].offset, sizeof(value));
		r = vid_vp_get_msr(vp->vp, msrs[i].index, &present);
		if ((r == 0 || r == -ENOENT) && present != value)
			r = vid_vp_set_msr(vp->vp, msrs[i].index, value);
		else if (r == -ENOENT)
			r = 0;
		if (r == -ENOENT)
			return state_refuse(refusal,
					    "KVM does not take MSR 0x%x of vp %u with 0x%llx",
					    msrs[i].index, vp->index, (unsigned long long)value);
		if (r < 0)
			return r;
	}
	return 0;
}

static int kernel_save(struct hvshim *hvshim, struct hvshim_partition_state *state)
{
	return kernel_read_msrs(&hvshim->vps[0], partition_msrs, ARRAY_SIZE(partition_msrs), state);
}

static int kernel_save_vp(struct hvshim_vp *vp, struct hvshim_vp_state *state)
{
	for (size_t i = 0; i < HV_SINT_COUNT; i++)
		state->sints[i] = HV_SINT_RESET;
	return kernel_read_msrs(vp, vp_msrs, ARRAY_SIZE(vp_msrs), state);
}

static int kernel_restore(struct hvshim *hvshim, const struct hvshim_partition_state *state,
			  struct state_refusal *refusal)
{
	return kernel_write_msrs(&hvshim->vps[0], partition_msrs, ARRAY_SIZE(partition_msrs), state,
				 refusal);
}

/* KVM tells of a write to the SynIC by an exit only where it is the guest's. */
static int kernel_restore_vp(struct hvshim_vp *vp, const struct hvshim_vp_state *state,
			     struct state_refusal *refusal)
{
	int r = kernel_write_msrs(vp, vp_msrs, ARRAY_SIZE(vp_msrs), state, refusal);

	if (r == 0)
		synic_restore_pages(vp, state);
	return r;
}

static int kernel_start(struct hvshim *hvshim, uint64_t time)
{
	return vid_partition_set_clock(hvshim->partition, time * 100);
}

const struct hvshim_engine_ops hvshim_engine_kernel = {
	.prepare = kernel_prepare,
	.attach = kernel_attach,
	.exit = kernel_exit,
	.open_sint = kernel_open_sint,
	.connect = kernel_connect,
	.disconnect = kernel_disconnect,
	.reference_time = kernel_reference_time,
	.save = kernel_save,
	.save_vp = kernel_save_vp,
	.restore = kernel_restore,
	.restore_vp = kernel_restore_vp,
	.start = kernel_start,
};
