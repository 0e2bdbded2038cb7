/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The state of a vp.
 *
 * The order of saving and restoring is KVM's: asking for a vp's activity carries out
 * an INIT or SIPI that has come, and changes all else; asking for the LAPIC takes in interrupts
 * that were posted; setting registers drops a pending exception; the LAPIC needs the APIC base of
 * the system registers; events are last both times.
 */
#include "common/base/error.h"
#include "vid/internal.h"

#include <stdlib.h>
#include <string.h>

#define LAPIC_STRIDE   16u
#define XSAVE_SMALLEST (uint32_t)sizeof(struct kvm_xsave)

/* By enum vid_activity. */
static const uint32_t activities[VID_ACTIVITIES] = {
	[VID_ACTIVITY_RUNS] = KVM_MP_STATE_RUNNABLE,
	[VID_ACTIVITY_HALTED] = KVM_MP_STATE_HALTED,
	[VID_ACTIVITY_WAITS_FOR_INIT] = KVM_MP_STATE_UNINITIALIZED,
	[VID_ACTIVITY_WAITS_FOR_SIPI] = KVM_MP_STATE_INIT_RECEIVED,
};

static int vp_xsave_size(const struct vid_vp *vp, uint32_t *ret_size)
{
	int size = ioctl(vp->partition->fd, KVM_CHECK_EXTENSION, KVM_CAP_XSAVE2);

	*ret_size = MAX(size > 0 ? (uint32_t)size : 0, XSAVE_SMALLEST);
	return *ret_size <= VID_XSAVE_MAX ? 0 : -E2BIG;
}

/* ---- Saving ---- */

/* KVM completes an exit when the vp runs again: let it, for no time at all. */
static int vp_complete_exit(struct vid_vp *vp)
{
	if (!vp->exit_pending)
		return 0;
	vp->run->immediate_exit = 1;
	if (ioctl(vp->fd, KVM_RUN, 0) == 0)
		return -EBUSY;
	if (errno != EINTR && errno != EAGAIN)
		return error_origin(-errno);
	vp->run->immediate_exit = 0;
	vp->exit_pending = false;
	return 0;
}

static int vp_get_activity(struct vid_vp *vp, struct vid_vp_state *state)
{
	struct kvm_mp_state mp;

	if (ioctl(vp->fd, KVM_GET_MP_STATE, &mp) < 0)
		return error_origin(-errno);
	for (uint32_t i = 0; i < VID_ACTIVITIES; i++) {
		if (activities[i] == mp.mp_state) {
			state->activity = i;
			return 0;
		}
	}
	return -ENOTSUP;
}

/* Loaded from memory as they were then, which may have changed: guests with PAE alone have them. */
static int vp_get_pdptrs(struct vid_vp *vp, struct vid_vp_state *state)
{
	struct kvm_sregs2 sregs;

	if (ioctl(vp->partition->vid->fd, KVM_CHECK_EXTENSION, KVM_CAP_SREGS2) <= 0)
		return 0;
	if (ioctl(vp->fd, KVM_GET_SREGS2, &sregs) < 0)
		return error_origin(-errno);
	if (!(sregs.flags & KVM_SREGS2_FLAGS_PDPTRS_VALID))
		return 0;
	state->flags |= VID_VP_STATE_PDPTRS;
	memcpy(state->pdptrs, sregs.pdptrs, sizeof(state->pdptrs));
	return 0;
}

static int vp_get_extended(struct vid_vp *vp, struct vid_vp_state *state)
{
	struct kvm_xcrs xcrs;
	struct kvm_debugregs debug;

	if (ioctl(vp->fd, KVM_GET_XCRS, &xcrs) < 0 || ioctl(vp->fd, KVM_GET_DEBUGREGS, &debug) < 0)
		return error_origin(-errno);
	for (uint32_t i = 0; i < MIN(xcrs.nr_xcrs, (uint32_t)ARRAY_SIZE(xcrs.xcrs)); i++)
		if (xcrs.xcrs[i].xcr == 0)
			state->xcr0 = xcrs.xcrs[i].value;
	memcpy(state->dr, debug.db, sizeof(state->dr));
	state->dr6 = debug.dr6;
	state->dr7 = debug.dr7;
	return 0;
}

static int vp_get_lapic(struct vid_vp *vp, struct vid_vp_state *state)
{
	struct kvm_lapic_state lapic;

	if (ioctl(vp->fd, KVM_GET_LAPIC, &lapic) < 0)
		return error_origin(-errno);
	for (size_t i = 0; i < VID_LAPIC_REGISTERS; i++)
		memcpy(&state->lapic[i], lapic.regs + i * LAPIC_STRIDE, sizeof(state->lapic[i]));
	return 0;
}

static int vp_get_time(struct vid_vp *vp, struct vid_vp_state *state)
{
	int64_t khz;

	state->tsc_offset = vp->time.tsc_offset;
	state->tsc_khz = vp->time.tsc_khz;
	if (vp->time.waits)
		return 0;
	khz = vid_vp_tsc_khz(vp);
	if (khz < 0)
		return (int)khz;
	state->tsc_khz = (uint32_t)khz;
	return vid_vp_tsc_offset(vp, &state->tsc_offset);
}

static int vp_get_events(struct vid_vp *vp, struct vid_vp_state *state)
{
	struct kvm_vcpu_events events;

	if (ioctl(vp->fd, KVM_GET_VCPU_EVENTS, &events) < 0)
		return error_origin(-errno);
	state->events = (struct vid_event_state){
		.exception_injected = events.exception.injected,
		.exception_pending = events.exception.pending,
		.exception_vector = events.exception.nr,
		.exception_has_code = events.exception.has_error_code,
		.exception_code = events.exception.error_code,
		.interrupt_injected = events.interrupt.injected,
		.interrupt_vector = events.interrupt.nr,
		.interrupt_soft = events.interrupt.soft,
		.interrupt_shadow = events.interrupt.shadow,
		.nmi_injected = events.nmi.injected,
		.nmi_pending = events.nmi.pending,
		.nmi_masked = events.nmi.masked,
		.smm = events.smi.smm,
		.smi_pending = events.smi.pending,
		.smm_inside_nmi = events.smi.smm_inside_nmi,
		.smm_latched_init = events.smi.latched_init,
	};
	/* What is not there is nothing, whatever KVM left in its place. */
	if (!events.exception.injected && !events.exception.pending)
		state->events.exception_vector = state->events.exception_has_code = 0;
	if (!state->events.exception_has_code)
		state->events.exception_code = 0;
	if (!events.interrupt.injected)
		state->events.interrupt_vector = state->events.interrupt_soft = 0;
	return 0;
}

static int vp_get_state(struct vid_vp *vp, struct vid_vp_state *state)
{
	static int (*const steps[])(struct vid_vp * vp, struct vid_vp_state * state) = {
		vp_get_activity, vp_get_pdptrs, vp_get_extended,
		vp_get_lapic,    vp_get_time,   vp_get_events,
	};
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(steps); i++)
		r = steps[i](vp, state);
	if (r == 0)
		r = vid_vp_get_registers(vp, &state->registers);
	if (r == 0)
		r = vid_vp_get_system(vp, &state->system);
	return r;
}

static int vp_get_xsave(struct vid_vp *vp, struct state_writer *writer, uint32_t size)
{
	AUTO_FREE void *xsave = calloc(1, size);
	int r;

	if (!xsave)
		return -ENOMEM;
	r = size > XSAVE_SMALLEST ? ioctl(vp->fd, KVM_GET_XSAVE2, xsave)
				  : ioctl(vp->fd, KVM_GET_XSAVE, xsave);
	if (r < 0)
		return error_origin(-errno);
	state_put(writer, xsave, size);
	return 0;
}

int vid_vp_save(struct vid_vp *vp, struct state_writer *writer, const char *record)
{
	struct vid_vp_state state = { .flags = 0 };
	struct state_writer msrs;
	int r = vp_complete_exit(vp);

	if (r == 0)
		r = vp_get_state(vp, &state);
	if (r == 0)
		r = vp_xsave_size(vp, &state.xsave_size);
	if (r < 0)
		return r;
	state_writer_init(&msrs);
	r = vid_vp_save_msrs(vp, &msrs, &state.msr_count);
	if (r == 0)
		r = state_writer_error(&msrs);
	if (r == 0) {
		state_begin(writer, record, VID_VP_STATE_VERSION);
		state_put(writer, &state, sizeof(state));
		r = vp_get_xsave(vp, writer, state.xsave_size);
		state_put(writer, msrs.bytes, msrs.size);
		state_end(writer);
	}
	state_writer_deinit(&msrs);
	return r < 0 ? r : state_writer_error(writer);
}

/* ---- Restoring ---- */

/* A step that KVM refuses is one that the state asks for in vain: no fault of the host's. */
static int vp_refuse_step(int error, const char *what, struct state_refusal *refusal)
{
	if (error == EINVAL)
		return state_refuse(refusal, "this host's KVM does not take its %s", what);
	return -error;
}

static int vp_set_activity(struct vid_vp *vp, const struct vid_vp_state *state,
			   struct state_refusal *refusal)
{
	struct kvm_mp_state mp = { .mp_state = activities[state->activity] };

	return ioctl(vp->fd, KVM_SET_MP_STATE, &mp) < 0 ? vp_refuse_step(errno, "activity", refusal)
							: 0;
}

static int vp_set_pdptrs(struct vid_vp *vp, const struct vid_vp_state *state)
{
	struct kvm_sregs2 sregs;

	if (!(state->flags & VID_VP_STATE_PDPTRS) ||
	    ioctl(vp->partition->vid->fd, KVM_CHECK_EXTENSION, KVM_CAP_SREGS2) <= 0)
		return 0;
	if (ioctl(vp->fd, KVM_GET_SREGS2, &sregs) < 0)
		return error_origin(-errno);
	sregs.flags |= KVM_SREGS2_FLAGS_PDPTRS_VALID;
	memcpy(sregs.pdptrs, state->pdptrs, sizeof(sregs.pdptrs));
	return ioctl(vp->fd, KVM_SET_SREGS2, &sregs) < 0 ? -errno : 0;
}

static int vp_set_registers(struct vid_vp *vp, const struct vid_vp_state *state,
			    struct state_refusal *refusal)
{
	int r = vid_vp_set_registers(vp, &state->registers);

	if (r == 0)
		r = vid_vp_set_system(vp, &state->system);
	if (r == 0)
		r = vp_set_pdptrs(vp, state);
	return r < 0 ? vp_refuse_step(-r, "registers", refusal) : 0;
}

static int vp_set_extended(struct vid_vp *vp, const struct vid_vp_state *state,
			   const void *xsave_bytes, struct state_refusal *refusal)
{
	struct kvm_xcrs xcrs = { .nr_xcrs = 1, .xcrs = { { .xcr = 0, .value = state->xcr0 } } };
	struct kvm_debugregs debug = { .dr6 = state->dr6, .dr7 = state->dr7 };
	AUTO_FREE void *xsave = NULL;
	uint32_t size;
	int r = vp_xsave_size(vp, &size);

	if (r < 0)
		return r;
	if (state->xsave_size > size)
		return state_refuse(refusal,
				    "its extended state is of %u bytes, this host's KVM takes %u",
				    state->xsave_size, size);
	xsave = calloc(1, size);
	if (!xsave)
		return -ENOMEM;
	memcpy(xsave, xsave_bytes, state->xsave_size);
	memcpy(debug.db, state->dr, sizeof(debug.db));
	if (ioctl(vp->fd, KVM_SET_XSAVE, xsave) < 0)
		return vp_refuse_step(errno, "extended state (XSAVE)", refusal);
	if (ioctl(vp->fd, KVM_SET_XCRS, &xcrs) < 0)
		return vp_refuse_step(errno, "XCR0", refusal);
	if (ioctl(vp->fd, KVM_SET_DEBUGREGS, &debug) < 0)
		return vp_refuse_step(errno, "debug registers", refusal);
	return 0;
}

static int vp_set_lapic(struct vid_vp *vp, const struct vid_vp_state *state,
			struct state_refusal *refusal)
{
	struct kvm_lapic_state lapic = { .regs = { 0 } };

	for (size_t i = 0; i < VID_LAPIC_REGISTERS; i++)
		memcpy(lapic.regs + i * LAPIC_STRIDE, &state->lapic[i], sizeof(state->lapic[i]));
	return ioctl(vp->fd, KVM_SET_LAPIC, &lapic) < 0 ? vp_refuse_step(errno, "LAPIC", refusal)
							: 0;
}

static int vp_set_events(struct vid_vp *vp, const struct vid_vp_state *state,
			 struct state_refusal *refusal)
{
	const struct vid_event_state *saved = &state->events;
	struct kvm_vcpu_events events;
	uint32_t smm;

	if (ioctl(vp->fd, KVM_GET_VCPU_EVENTS, &events) < 0)
		return error_origin(-errno);
	smm = events.flags & KVM_VCPUEVENT_VALID_SMM;
	if (!smm && (saved->smm || saved->smi_pending))
		return state_refuse(refusal, "this host's KVM has no system management mode");
	events = (struct kvm_vcpu_events){
		.flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW | smm,
		.exception = { .injected = saved->exception_injected,
			       .pending = saved->exception_pending,
			       .nr = saved->exception_vector,
			       .has_error_code = saved->exception_has_code,
			       .error_code = saved->exception_code },
		.interrupt = { .injected = saved->interrupt_injected,
			       .nr = saved->interrupt_vector,
			       .soft = saved->interrupt_soft,
			       .shadow = saved->interrupt_shadow },
		.nmi = { .injected = saved->nmi_injected,
			 .pending = saved->nmi_pending,
			 .masked = saved->nmi_masked },
		.smi = { .smm = saved->smm,
			 .pending = saved->smi_pending,
			 .smm_inside_nmi = saved->smm_inside_nmi,
			 .latched_init = saved->smm_latched_init },
	};
	return ioctl(vp->fd, KVM_SET_VCPU_EVENTS, &events) < 0
		       ? vp_refuse_step(errno, "events", refusal)
		       : 0;
}

/* ---- What is refused before anything is changed ---- */

/* A guest that finds its TSC off by so much (in millionths) takes it for the clock's own error. */
#define TSC_TOLERANCE 250u

static int vp_check_tsc(struct vid_vp *vp, const struct vid_vp_state *state,
			struct state_refusal *refusal)
{
	int64_t here = vid_vp_tsc_khz(vp), difference;

	if (here < 0)
		return (int)here;
	difference = here - (int64_t)state->tsc_khz;
	if ((uint64_t)llabs(difference) > (uint64_t)here * TSC_TOLERANCE / 1000000)
		return state_refuse(refusal,
				    "its TSC runs at %u kHz, those of this host at %lld kHz",
				    state->tsc_khz, (long long)here);
	return 0;
}

static bool events_are_valid(const struct vid_event_state *events)
{
	const uint8_t flags[] = {
		events->exception_injected, events->exception_pending,
		events->exception_has_code, events->interrupt_injected,
		events->interrupt_soft,     events->nmi_injected,
		events->nmi_masked,         events->smm,
		events->smi_pending,        events->smm_inside_nmi,
		events->smm_latched_init,
	};

	for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
		if (flags[i] > 1)
			return false;
	return events->zero == 0 && events->exception_vector < 32 &&
	       events->interrupt_shadow <= 3 && events->nmi_pending <= 2;
}

static int vp_check(struct vid_vp *vp, const struct vid_vp_state *state, size_t left,
		    struct state_refusal *refusal)
{
	uint64_t trailer = (uint64_t)state->xsave_size +
			   (uint64_t)state->msr_count * sizeof(struct vid_msr_state);

	if (state->xsave_size < XSAVE_SMALLEST || state->xsave_size > VID_XSAVE_MAX ||
	    state->msr_count > VID_MSR_STATE_MAX || trailer != left)
		return state_refuse(refusal, "its size is not what it says");
	if (state->activity >= VID_ACTIVITIES || state->flags & ~VID_VP_STATE_PDPTRS ||
	    state->system.zero != 0 || !events_are_valid(&state->events))
		return state_refuse(refusal, "it is in a state that there is not");
	return vp_check_tsc(vp, state, refusal);
}

static int vp_set_state(struct vid_vp *vp, const struct vid_vp_state *state, const uint8_t *trailer,
			struct state_refusal *refusal)
{
	int r = vp_set_activity(vp, state, refusal);

	if (r == 0)
		r = vp_set_registers(vp, state, refusal);
	if (r == 0)
		r = vp_set_extended(vp, state, trailer, refusal);
	if (r == 0)
		r = vp_set_lapic(vp, state, refusal);
	vp->time = (struct vid_vp_time){ .waits = true,
					 .tsc_offset = state->tsc_offset,
					 .tsc_khz = state->tsc_khz };
	if (r == 0)
		r = vid_vp_restore_msrs(vp, trailer + state->xsave_size, state->msr_count, refusal);
	if (r == 0)
		r = vp_set_events(vp, state, refusal);
	return r;
}

int vid_vp_restore(struct vid_vp *vp, const struct state_reader *reader, const char *name,
		   struct state_refusal *refusal)
{
	struct vid_vp_state state;
	struct state_record record;
	struct state_refusal why = { .text = "" };
	int r = state_open(reader, name, VID_VP_STATE_VERSION, &state, sizeof(state), &record);

	if (r != 0)
		return state_refuse(refusal, "'%s' %s", name, state_error_text(r));
	r = vp_check(vp, &state, record.left, &why);
	if (r == 0)
		r = vp_set_state(vp, &state, record.at, &why);
	if (r == -EINVAL && why.text[0] != '\0')
		return state_refuse(refusal, "'%s' is refused: %s", name, why.text);
	return r;
}
