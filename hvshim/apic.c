/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The APIC of the user-space engine: ends of interrupts without exits.
 *
 * Where the CPU has no APIC virtualisation, each end of interrupt is an exit. Hyper-V spares its
 * guests most of them by a word in the VP assist page: bit 0 set says that this interrupt need not
 * be ended by a write, and the guest clears it instead. KVM has the very same arrangement for its
 * own guests, at an address that a guest tells it by an MSR; so the assist page's address is all
 * that KVM needs to be told. TLFS 10.3.5; Linux Documentation/virt/kvm/x86/msr.rst
 * (MSR_KVM_PV_EOI_EN), arch/x86/hyperv/hv_apic.c.
 *
 * A guest that takes part ends its other interrupts by the synthetic EOI MSR, whatever mode its
 * APIC is in, and the mode is its own to choose and to change: Linux with "nosmp" or "nox2apic", or
 * without its driver for Hyper-V's interrupt remapping, has an xAPIC. User space can end an
 * interrupt in an xAPIC by one means alone, KVM's own emulation of these MSRs
 * (KVM_CAP_HYPERV_VAPIC), which holds for both modes. The x2APIC's MSRs are refused in an xAPIC,
 * and writing all of its registers anew would lose interrupts that come at that moment. So without
 * that emulation no guest is offered any of this: an interrupt that is never ended is the last that
 * a guest gets.
 */
#include "hvshim/internal.h"

int apic_read(struct hvshim_vp *vp, uint32_t index, uint64_t *ret_value)
{
	if (!vp->hvshim->apic_msrs)
		return HVSHIM_MSR_E_FAULT;
	if (vid_vp_get_msr(vp->vp, index, ret_value) < 0)
		return HVSHIM_MSR_E_FAULT;
	return 0;
}

int apic_write(struct hvshim_vp *vp, uint32_t index, uint64_t value)
{
	if (!vp->hvshim->apic_msrs)
		return HVSHIM_MSR_E_FAULT;
	if (index == HV_MSR_EOI)
		value = 0;
	return vid_vp_set_msr(vp->vp, index, value) < 0 ? HVSHIM_MSR_E_FAULT : 0;
}

/* Linux writes the MSR whether or not it was offered anything in that page. */
int apic_write_assist_page(struct hvshim_vp *vp, uint64_t value)
{
	gpa_t page = GPA(value & HV_MSR_PAGE_MASK);
	bool enable = value & HV_MSR_ENABLE;
	uint32_t *word;
	int r;

	if (vp->hvshim->apic_msrs) {
		if (enable) {
			word = vid_memory_map(vp->hvshim->memory, page, sizeof(*word));
			if (!word)
				return HVSHIM_MSR_E_FAULT;
			__atomic_store_n(word, 0, __ATOMIC_RELAXED);
			vid_memory_mark_written(vp->hvshim->memory, page, sizeof(*word));
		}
		r = vid_vp_set_lazy_eoi(vp->vp, page, enable);
		if (r < 0)
			return r;
	}
	vp->vp_assist_page = value;
	return 0;
}
