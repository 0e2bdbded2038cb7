/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Injection: events that a vp takes without its LAPIC knowing of them.
 *
 * KVM injects what it is told to at the next entry, whatever the guest's state, for that is how an
 * event is restored whose delivery an exit had cut short. Whether the guest could take an interrupt
 * is looked at here: Intel SDM volume 3, "Interrupt Masking" and "Task and Processor Priorities".
 *
 * Without flags KVM leaves alone what others may change meanwhile: that an NMI is pending.
 */
#include "vid/internal.h"

#include "common/base/error.h"

#include <string.h>

int vid_vp_inject_exception(struct vid_vp *vp, uint8_t vector)
{
	struct kvm_vcpu_events events;

	if (ioctl(vp->fd, KVM_GET_VCPU_EVENTS, &events) < 0)
		return error_origin(-errno);
	events.flags = 0;
	events.exception.injected = 1;
	events.exception.pending = 0;
	events.exception.nr = vector;
	events.exception.has_error_code = 0;
	events.exception.error_code = 0;
	return ioctl(vp->fd, KVM_SET_VCPU_EVENTS, &events) < 0 ? -errno : 0;
}

/* ---- Interrupts ---- */

#define RFLAGS_IF (UINT64_C(1) << 9)

/* Registers of the LAPIC: 32 bits in every 16 bytes. */
#define LAPIC_TPR       0x80u
#define LAPIC_ISR       0x100u
#define LAPIC_ISR_WORDS 8u
#define LAPIC_STRIDE    16u

static uint32_t lapic_read(const struct kvm_lapic_state *lapic, size_t offset)
{
	uint32_t value;

	memcpy(&value, lapic->regs + offset, sizeof(value));
	return value;
}

unsigned vid_lapic_priority_class(const struct kvm_lapic_state *lapic)
{
	unsigned class = (lapic_read(lapic, LAPIC_TPR) & 0xff) >> 4;

	for (unsigned i = LAPIC_ISR_WORDS; i-- > 0;) {
		uint32_t word = lapic_read(lapic, LAPIC_ISR + i * LAPIC_STRIDE);

		if (word != 0) {
			unsigned in_service = i * 32 + 31 - (unsigned)__builtin_clz(word);

			return MAX(class, in_service >> 4);
		}
	}
	return class;
}

/*
 * All of it is read after the state of the vp, for that carries out an INIT that has come: a flag
 * from before, as the page shared with KVM has it, may be of another life. Return: 0: it can;
 * VID_E_NOT_NOW; -errno.
 */
static int vp_accepts(struct vid_vp *vp, const struct kvm_vcpu_events *events, uint8_t vector)
{
	struct kvm_lapic_state lapic;
	struct kvm_regs regs;

	if (events->interrupt.shadow || events->interrupt.injected || events->exception.injected ||
	    events->exception.pending || events->nmi.injected)
		return VID_E_NOT_NOW;
	if (ioctl(vp->fd, KVM_GET_REGS, &regs) < 0)
		return error_origin(-errno);
	if (!(regs.rflags & RFLAGS_IF))
		return VID_E_NOT_NOW;
	if (ioctl(vp->fd, KVM_GET_LAPIC, &lapic) < 0)
		return error_origin(-errno);
	return (unsigned)vector >> 4 > vid_lapic_priority_class(&lapic) ? 0 : VID_E_NOT_NOW;
}

static int vp_inject(struct vid_vp *vp, struct kvm_vcpu_events *events, uint8_t vector)
{
	events->flags = 0;
	events->interrupt.injected = 1;
	events->interrupt.nr = vector;
	events->interrupt.soft = 0;
	return ioctl(vp->fd, KVM_SET_VCPU_EVENTS, events) < 0 ? -errno : 0;
}

int vid_vp_inject_interrupt(struct vid_vp *vp, uint8_t vector)
{
	struct kvm_mp_state state;
	struct kvm_vcpu_events events;
	int r;

	if (ioctl(vp->fd, KVM_GET_MP_STATE, &state) < 0)
		return error_origin(-errno);
	if (state.mp_state != KVM_MP_STATE_RUNNABLE && state.mp_state != KVM_MP_STATE_HALTED)
		return 0;
	if (ioctl(vp->fd, KVM_GET_VCPU_EVENTS, &events) < 0)
		return error_origin(-errno);
	r = vp_accepts(vp, &events, vector);
	if (r != 0)
		return r;
	r = vp_inject(vp, &events, vector);
	if (r < 0 || state.mp_state == KVM_MP_STATE_RUNNABLE)
		return r;
	state.mp_state = KVM_MP_STATE_RUNNABLE;
	return ioctl(vp->fd, KVM_SET_MP_STATE, &state) < 0 ? -errno : 0;
}
