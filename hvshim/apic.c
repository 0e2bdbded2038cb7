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
 * A guest that takes part ends its other interrupts by the synthetic EOI MSR, and that can be had
 * from KVM's LAPIC through the x2APIC's MSRs alone. Hence only guests known to use the x2APIC are
 * offered it; for them KVM takes the values of all three MSRs as they are.
 */
#include "hvshim/internal.h"

#define X2APIC_TPR 0x808u
#define X2APIC_EOI 0x80bu
#define X2APIC_ICR 0x830u

static uint32_t apic_register(uint32_t index)
{
	switch (index) {
	case HV_MSR_EOI:
		return X2APIC_EOI;
	case HV_MSR_ICR:
		return X2APIC_ICR;
	default:
		return X2APIC_TPR;
	}
}

int apic_read(struct hvshim_vp *vp, uint32_t index, uint64_t *ret_value)
{
	if (!vp->hvshim->apic_msrs)
		return HVSHIM_MSR_E_FAULT;
	if (vid_vp_get_msr(vp->vp, apic_register(index), ret_value) < 0)
		return HVSHIM_MSR_E_FAULT;
	return 0;
}

int apic_write(struct hvshim_vp *vp, uint32_t index, uint64_t value)
{
	if (!vp->hvshim->apic_msrs)
		return HVSHIM_MSR_E_FAULT;
	if (index == HV_MSR_EOI)
		value = 0;
	if (vid_vp_set_msr(vp->vp, apic_register(index), value) < 0) {
		hvshim_notice(vp->hvshim, HVSHIM_EVENT_XAPIC);
		return HVSHIM_MSR_E_FAULT;
	}
	return 0;
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
