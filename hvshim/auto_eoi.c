/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Interrupts that end by themselves (AutoEOI), in the user-space engine. TLFS, "SynIC Interrupt
 * Delivery".
 *
 * KVM's LAPIC keeps every interrupt in service until its EOI. One without an EOI has to go past the
 * LAPIC: who raises it marks the SINT and kicks the vp, and the vp's thread, out of the guest now,
 * injects the vector. That costs an exit and some system calls, which is why guests are told by a
 * hint not to ask for it; Linux before 4.12 and FreeBSD do so none the less.
 *
 * A vp that has interrupts off, or is at something of higher priority, cannot take it. Nothing
 * tells when it can again, so it is kicked again, after a while that doubles each time: a vp that
 * has halted for good costs next to nothing.
 *
 * A guest that makes a SINT end by itself whose interrupt the LAPIC has already taken in has to end
 * that one still, as it would not on Hyper-V.
 */
#include "hvshim/internal.h"

#define RETRY_FIRST_NS  UINT64_C(50000)
#define RETRY_DOUBLINGS 11u /* to a tenth of a second */

void auto_eoi_raise(struct hvshim_vp *vp, uint32_t sint)
{
	uint32_t bit = UINT32_C(1) << sint;

	if (!(atomic_fetch_or(&vp->synic.raised, bit) & bit))
		vid_vp_kick(vp->vp);
}

bool auto_eoi_forget(struct hvshim_vp *vp, uint32_t sint)
{
	uint32_t bit = UINT32_C(1) << sint;

	return atomic_fetch_and(&vp->synic.raised, ~bit) & bit;
}

/* The SINT of the highest priority among those raised. */
static uint32_t raised_first(const struct hvshim_vp *vp, uint32_t raised)
{
	const uint64_t *sints = vp->synic.state.sints;
	uint32_t first = (uint32_t)__builtin_ctz(raised);

	for (uint32_t sint = first + 1; sint < HV_SINT_COUNT; sint++)
		if (raised & UINT32_C(1) << sint &&
		    (sints[sint] & HV_SINT_VECTOR_MASK) > (sints[first] & HV_SINT_VECTOR_MASK))
			first = sint;
	return first;
}

/*
 * Without the lock, which the loop would have to wait for: this thread alone writes the registers
 * of SINTs. What is raised between the injection and the mark's going, the guest finds with this
 * interrupt, for it has not run since.
 */
int auto_eoi_exit(struct hvshim_vp *vp)
{
	uint32_t raised = atomic_load(&vp->synic.raised), sint;
	int r;

	if (raised == 0)
		return HVSHIM_E_UNHANDLED;
	sint = raised_first(vp, raised);
	r = vid_vp_inject_interrupt(vp->vp, vp->synic.state.sints[sint] & HV_SINT_VECTOR_MASK);
	if (r < 0)
		return r;
	if (r == 0) {
		(void)auto_eoi_forget(vp, sint);
		atomic_store(&vp->auto_eoi.doublings, 0);
	}
	if (atomic_load(&vp->synic.raised) != 0)
		loop_post(vp->hvshim->loop, &vp->slot_task);
	return 0;
}

/* ---- Trying again ---- */

static void auto_eoi_retry(struct loop_operation *operation, int result, bool more)
{
	struct hvshim_vp *vp = container_of(operation, struct hvshim_vp, auto_eoi.retry.operation);
	struct hvshim *hvshim = vp->hvshim;

	hvshim_enter(hvshim);
	vp->auto_eoi.waits = false;
	if (!hvshim->freed && atomic_load(&vp->synic.raised) != 0)
		vid_vp_kick(vp->vp);
	hvshim_leave(hvshim);
}

void auto_eoi_check(struct hvshim_vp *vp)
{
	unsigned doublings = atomic_load(&vp->auto_eoi.doublings);

	if (vp->hvshim->freed || vp->hvshim->quiet || vp->auto_eoi.waits ||
	    atomic_load(&vp->synic.raised) == 0)
		return;
	atomic_store(&vp->auto_eoi.doublings, MIN(doublings + 1, RETRY_DOUBLINGS));
	vp->auto_eoi.waits = true;
	vp->auto_eoi.retry.operation.complete = auto_eoi_retry;
	loop_timer_start(vp->hvshim->loop, &vp->auto_eoi.retry, RETRY_FIRST_NS << doublings);
}

void auto_eoi_stop(struct hvshim_vp *vp)
{
	if (vp->auto_eoi.waits)
		loop_cancel(vp->hvshim->loop, &vp->auto_eoi.retry.operation);
}
