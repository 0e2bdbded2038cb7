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

const struct hvshim_engine_ops hvshim_engine_kernel = {
	.prepare = kernel_prepare,
	.attach = kernel_attach,
	.exit = kernel_exit,
	.open_sint = kernel_open_sint,
	.connect = kernel_connect,
	.disconnect = kernel_disconnect,
	.reference_time = kernel_reference_time,
};
