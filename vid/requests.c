/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The requests that are made of KVM: tests/lint/requests.sh keeps the list complete. */
#include "vid/internal.h"

#include <linux/kvm.h>

static const unsigned long requests[] = {
	/* While the guest runs, the most frequent first. */
	KVM_RUN,
	KVM_IRQ_LINE,
	KVM_SIGNAL_MSI,
	KVM_GET_CLOCK,
	KVM_GET_REGS,
	KVM_SET_REGS,
	KVM_GET_SREGS,
	KVM_SET_SREGS,
	KVM_GET_MSRS,
	KVM_SET_MSRS,
	KVM_GET_VCPU_EVENTS,
	KVM_SET_VCPU_EVENTS,
	KVM_GET_LAPIC,
	KVM_GET_MP_STATE,
	KVM_SET_MP_STATE,
	KVM_GET_DIRTY_LOG,
	KVM_IRQFD,
	KVM_IOEVENTFD,
	KVM_HYPERV_EVENTFD,
	KVM_SET_GSI_ROUTING,
	KVM_SET_USER_MEMORY_REGION,
	/* To make one, and anew when it is reset. */
	KVM_GET_API_VERSION,
	KVM_GET_VCPU_MMAP_SIZE,
	KVM_CHECK_EXTENSION,
	KVM_GET_SUPPORTED_CPUID,
	KVM_GET_SUPPORTED_HV_CPUID,
	KVM_CREATE_VM,
	KVM_ENABLE_CAP,
	KVM_SET_IDENTITY_MAP_ADDR,
	KVM_SET_TSS_ADDR,
	KVM_CREATE_IRQCHIP,
	KVM_X86_SET_MSR_FILTER,
	KVM_CREATE_VCPU,
	KVM_SET_CPUID2,
	KVM_GET_TSC_KHZ,
	KVM_GET_DEVICE_ATTR,
	KVM_GET_STATS_FD,
	/* To save its state, and to restore that. */
	KVM_GET_IRQCHIP,
	KVM_SET_IRQCHIP,
	KVM_SET_CLOCK,
	KVM_GET_MSR_INDEX_LIST,
	KVM_GET_SREGS2,
	KVM_SET_SREGS2,
	KVM_GET_XSAVE,
	KVM_GET_XSAVE2,
	KVM_SET_XSAVE,
	KVM_GET_XCRS,
	KVM_SET_XCRS,
	KVM_GET_DEBUGREGS,
	KVM_SET_DEBUGREGS,
	KVM_SET_LAPIC,
	KVM_SET_DEVICE_ATTR,
	KVM_TRANSLATE,
};

const unsigned long *vid_requests(size_t *ret_count)
{
	*ret_count = ARRAY_SIZE(requests);
	return requests;
}
