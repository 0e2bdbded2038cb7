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

#include <string.h>

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

/* ---- State ---- */

static int user_save(struct hvshim *hvshim, struct hvshim_partition_state *state)
{
	state->guest_os_id = hvshim->state.guest_os_id;
	state->hypercall = hvshim->state.hypercall;
	state->reference_tsc = hvshim->state.reference_tsc;
	state->tsc_invariant = hvshim->state.tsc_invariant;
	if (hvshim->hypercall_page.below)
		state->flags |= HVSHIM_STATE_HYPERCALL_BELOW;
	if (hvshim->reference_tsc_page.below)
		state->flags |= HVSHIM_STATE_REFERENCE_TSC_BELOW;
	if (atomic_load(&hvshim->clock.from_tsc))
		state->flags |= HVSHIM_STATE_TIME_FROM_TSC;
	return 0;
}

static int user_save_vp(struct hvshim_vp *vp, struct hvshim_vp_state *state)
{
	state->assist_page = vp->vp_assist_page;
	state->control = vp->synic.state.control;
	state->simp = vp->synic.state.simp;
	state->siefp = vp->synic.state.siefp;
	memcpy(state->sints, vp->synic.state.sints, sizeof(state->sints));
	stimers_save(vp, state);
	return 0;
}

static int user_restore_overlay(struct hvshim *hvshim, struct overlay *overlay, uint64_t value,
				const uint8_t *below, const char *what,
				struct state_refusal *refusal)
{
	int r;

	if (!(value & HV_MSR_ENABLE))
		return below ? state_refuse(refusal, "something lies below a %s that is off", what)
			     : 0;
	r = overlay_restore(overlay, hvshim->memory, GPA(value & HV_MSR_PAGE_MASK), below);
	return r == HVSHIM_MSR_E_FAULT ? state_refuse(refusal, "the %s is not in RAM", what) : r;
}

/* Of this engine, what the page holds is what a vp may be in the midst of. */
static int user_write_hypercall_page(struct hvshim *hvshim)
{
	const struct overlay *overlay = &hvshim->hypercall_page;
	const uint8_t *code;
	uint8_t *page;
	size_t size;
	bool long_mode;
	int r;

	if (!overlay->below || hvshim->restored_from == HVSHIM_ENGINE_USER)
		return 0;
	r = vp_in_long_mode(&hvshim->vps[0], &long_mode);
	if (r < 0)
		return r;
	code = hypercall_page_code(long_mode, &size);
	page = vid_memory_map(hvshim->memory, overlay->gpa, HV_PAGE_SIZE);
	memcpy(page, code, size);
	vid_memory_mark_written(hvshim->memory, overlay->gpa, size);
	return 0;
}

static int user_restore(struct hvshim *hvshim, const struct hvshim_partition_state *state,
			struct state_refusal *refusal)
{
	int r;

	if (state->reenlightenment != 0 || state->tsc_emulation_control != 0 ||
	    state->tsc_emulation_status != 0)
		return state_refuse(refusal, "its guest wants to be told of migrations");
	hvshim->state.guest_os_id = state->guest_os_id;
	hvshim->state.hypercall = state->hypercall;
	hvshim->state.reference_tsc = state->reference_tsc;
	hvshim->state.tsc_invariant = state->tsc_invariant;
	atomic_store(&hvshim->clock.from_tsc, state->flags & HVSHIM_STATE_TIME_FROM_TSC);
	r = user_restore_overlay(hvshim, &hvshim->hypercall_page, state->hypercall,
				 hvshim->restored_pages[0], "hypercall page", refusal);
	if (r == 0)
		r = user_restore_overlay(hvshim, &hvshim->reference_tsc_page, state->reference_tsc,
					 hvshim->restored_pages[1], "reference TSC page", refusal);
	return r == 0 ? user_write_hypercall_page(hvshim) : r;
}

static bool page_is_ram(const struct hvshim_vp *vp, uint64_t value)
{
	return !(value & HV_MSR_ENABLE) ||
	       vid_memory_map(vp->hvshim->memory, GPA(value & HV_MSR_PAGE_MASK), HV_PAGE_SIZE);
}

/* The word in the page is the guest's RAM; KVM is told where it is. */
static int user_restore_assist_page(struct hvshim_vp *vp, uint64_t value,
				    struct state_refusal *refusal)
{
	vp->vp_assist_page = value;
	if (!vp->hvshim->apic_msrs)
		return 0;
	if (!page_is_ram(vp, value))
		return state_refuse(refusal, "the VP assist page of vp %u is not in RAM",
				    vp->index);
	return vid_vp_set_lazy_eoi(vp->vp, GPA(value & HV_MSR_PAGE_MASK), value & HV_MSR_ENABLE);
}

static int user_restore_vp(struct hvshim_vp *vp, const struct hvshim_vp_state *state,
			   struct state_refusal *refusal)
{
	int r = user_restore_assist_page(vp, state->assist_page, refusal);

	if (r < 0)
		return r;
	synic_restore_pages(vp, state);
	r = synic_restore_sints(vp, state, refusal);
	return r == 0 ? stimers_restore(vp, state, refusal) : r;
}

const struct hvshim_engine_ops hvshim_engine_user = {
	.prepare = user_prepare,
	.attach = user_attach,
	.exit = user_exit,
	.open_sint = user_open_sint,
	.connect = user_connect,
	.disconnect = user_disconnect,
	.reference_time = clock_now,
	.save = user_save,
	.save_vp = user_save_vp,
	.restore = user_restore,
	.restore_vp = user_restore_vp,
	.start = clock_start,
};
