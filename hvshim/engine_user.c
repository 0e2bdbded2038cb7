/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The user-space engine: Hyper-V on a KVM that knows nothing of it.
 *
 * Every synthetic MSR is an exit (msr.c), the hypercall page is ours (hypercall_page.c), SINTs are
 * plain message-signalled interrupts, and signals are ioeventfds on a port of the hypercall page.
 * A hint tells the guest not to ask for interrupts that end by themselves, which are dear here
 * (auto_eoi.c).
 */
#include "hvshim/internal.h"

static void user_prepare(struct vid_partition_config *config)
{
	config->msr_exits[0] =
		(struct vid_msr_range){ .first = HV_MSR_RANGE_BASE, .count = HV_MSR_RANGE_COUNT };
}

static int user_attach(struct hvshim_vp *vp, struct vid_cpuid *cpuid)
{
	struct hvshim *hvshim = vp->hvshim;
	int r;

	if (hvshim->clock.tsc_hz == 0) {
		r = clock_init(hvshim, vp->vp);
		if (r < 0)
			return r;
	}
	if (hvshim->synthetic_timers) {
		r = stimers_init(vp);
		if (r < 0)
			return r;
	}
	r = cpuid_add_user(vp, cpuid);
	if (r < 0)
		return r;
	return vid_vp_set_cpuid(vp->vp, cpuid);
}

static int user_exit(struct hvshim_vp *vp, const struct vid_exit *exit)
{
	switch (exit->kind) {
	case VID_EXIT_IO_PORT:
		return hypercall_page_exit(vp, exit);
	case VID_EXIT_MSR_READ:
	case VID_EXIT_MSR_WRITE:
		return msr_exit(vp, exit);
	case VID_EXIT_KICK:
		return auto_eoi_exit(vp);
	default:
		return HVSHIM_E_UNHANDLED;
	}
}

/* Only the guest opens SINTs, by unmasking them: synic_write_sint(). */
static int user_open_sint(struct hvshim_vp *vp, uint32_t sint)
{
	return HVSHIM_E_NOT_READY;
}

static int user_connect(struct hvshim *hvshim, uint32_t connection_id, int event_fd)
{
	return vid_doorbell_add(hvshim->partition, HYPERCALL_PORT_SIGNAL, connection_id, event_fd);
}

static void user_disconnect(struct hvshim *hvshim, uint32_t connection_id, int event_fd)
{
	(void)vid_doorbell_remove(hvshim->partition, HYPERCALL_PORT_SIGNAL, connection_id,
				  event_fd);
}

const struct hvshim_engine_ops hvshim_engine_user = {
	.prepare = user_prepare,
	.attach = user_attach,
	.exit = user_exit,
	.open_sint = user_open_sint,
	.connect = user_connect,
	.disconnect = user_disconnect,
	.reference_time = clock_now,
};
