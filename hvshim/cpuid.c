/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The Hyper-V CPUID leaves. TLFS, "Feature and Interface Discovery".
 *
 * The user-space engine offers what msr.c and hypercall.c have. The in-kernel engine offers what
 * KVM does, as far as it is known here to be sound, and the reset and crash MSRs, which are ours.
 * Never offered: what makes Linux take itself for the root partition, and nested virtualisation.
 *
 * AutoEOI is always deprecated: the user-space engine cannot do it, and in KVM it turns off the
 * CPU's own APIC virtualisation.
 */
#include "hvshim/internal.h"

#define CPUID_FEATURES 1u

/* Windows Server 2022: 10.0.20348. */
#define VERSION_BUILD 20348u
#define VERSION_MAJOR 10u
#define VERSION_MINOR 0u

#define VPS_MAX 240u

/* Leaves beyond the largest that must read as zero, where some CPUs repeat another leaf instead. */
#define CPUID_VIRT_STACK_VENDOR    0x40000080u
#define CPUID_VIRT_STACK_INTERFACE 0x40000081u

#define CPUID_POWER         0x80000007u
#define POWER_INVARIANT_TSC (1u << 8) /* EDX */

static const struct vid_cpuid_leaf identity_leaves[] = {
	{ .function = HV_CPUID_VENDOR_AND_MAX,
	  .eax = HV_CPUID_LIMITS,
	  .ebx = HV_CPUID_VENDOR_EBX,
	  .ecx = HV_CPUID_VENDOR_ECX,
	  .edx = HV_CPUID_VENDOR_EDX },
	{ .function = HV_CPUID_INTERFACE, .eax = HV_CPUID_INTERFACE_EAX },
	{ .function = HV_CPUID_VERSION,
	  .eax = VERSION_BUILD,
	  .ebx = VERSION_MAJOR << 16 | VERSION_MINOR },
	{ .function = CPUID_VIRT_STACK_VENDOR },
	{ .function = CPUID_VIRT_STACK_INTERFACE },
	{ .function = HV_CPUID_VIRT_STACK },
};

static int cpuid_add(struct vid_cpuid *cpuid, const struct vid_cpuid_leaf *leaves, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		int r = vid_cpuid_set(cpuid, &leaves[i]);

		if (r < 0)
			return r;
	}
	return 0;
}

static int cpuid_add_identity(struct vid_cpuid *cpuid)
{
	struct vid_cpuid_leaf *features = vid_cpuid_find(cpuid, CPUID_FEATURES, 0);

	if (!features)
		return -EINVAL;
	features->ecx |= HV_CPUID_HYPERVISOR_ECX31;
	return cpuid_add(cpuid, identity_leaves, ARRAY_SIZE(identity_leaves));
}

static bool cpuid_has_invariant_tsc(struct vid_cpuid *cpuid)
{
	const struct vid_cpuid_leaf *power = vid_cpuid_find(cpuid, CPUID_POWER, 0);

	return power && power->edx & POWER_INVARIANT_TSC;
}

/* ---- Enlightenments ---- */

/* By which bits a guest knows of each. */
static const struct {
	enum enlightenment enlightenment;
	uint32_t privileges, abilities, features, hints; /* abilities: the privileges of EBX */
} tellings[] = {
	{ ENLIGHTENMENT_REFERENCE_TSC, .privileges = HV_PRIVILEGE_REFERENCE_TSC },
	{ ENLIGHTENMENT_FREQUENCIES, .privileges = HV_PRIVILEGE_FREQUENCIES,
	  .features = HV_FEATURE_FREQUENCIES },
	{ ENLIGHTENMENT_TSC_INVARIANT, .privileges = HV_PRIVILEGE_TSC_INVARIANT },
	{ ENLIGHTENMENT_RELAXED_TIMING, .hints = HV_HINT_RELAXED_TIMING },
	{ ENLIGHTENMENT_TLB_FLUSH, .hints = HV_HINT_REMOTE_TLB_FLUSH },
	{ ENLIGHTENMENT_IPI, .hints = HV_HINT_CLUSTER_IPI },
	{ ENLIGHTENMENT_EXTENDED_MASKS, .hints = HV_HINT_EX_PROCESSOR_MASKS },
	{ ENLIGHTENMENT_XMM_INPUT, .features = HV_FEATURE_XMM_INPUT },
	{ ENLIGHTENMENT_SYNTHETIC_TIMERS, .privileges = HV_PRIVILEGE_SYNTHETIC_TIMERS },
	{ ENLIGHTENMENT_DIRECT_TIMERS, .features = HV_FEATURE_DIRECT_STIMER },
	{ ENLIGHTENMENT_APIC_MSRS, .hints = HV_HINT_APIC_MSRS },
	{ ENLIGHTENMENT_VP_RUNTIME, .privileges = HV_PRIVILEGE_VP_RUNTIME },
	{ ENLIGHTENMENT_IDLE, .privileges = HV_PRIVILEGE_GUEST_IDLE },
	{ ENLIGHTENMENT_CRASH_MSRS, .features = HV_FEATURE_GUEST_CRASH },
	{ ENLIGHTENMENT_RESET, .privileges = HV_PRIVILEGE_RESET },
	{ ENLIGHTENMENT_FREE_PAGE_REPORTING, .abilities = HV_PRIVILEGE_EXTENDED_CALLS },
};

/* Takes back what is not wanted, and notes what is left. */
static void cpuid_settle_enlightenments(struct hvshim *hvshim, struct vid_cpuid *cpuid)
{
	struct vid_cpuid_leaf *features = vid_cpuid_find(cpuid, HV_CPUID_FEATURES, 0);
	struct vid_cpuid_leaf *hints = vid_cpuid_find(cpuid, HV_CPUID_RECOMMENDATIONS, 0);

	hvshim->told = 0;
	if (!hvshim_wants(hvshim, ENLIGHTENMENT_SYNTHETIC_TIMERS))
		features->edx &= ~HV_FEATURE_DIRECT_STIMER;
	for (size_t i = 0; i < ARRAY_SIZE(tellings); i++) {
		const __typeof__(tellings[0]) *it = &tellings[i];

		if (!hvshim_wants(hvshim, it->enlightenment)) {
			features->eax &= ~it->privileges;
			features->ebx &= ~it->abilities;
			features->edx &= ~it->features;
			hints->eax &= ~it->hints;
		} else if ((features->eax & it->privileges) == it->privileges &&
			   (features->ebx & it->abilities) == it->abilities &&
			   (features->edx & it->features) == it->features &&
			   (hints->eax & it->hints) == it->hints) {
			hvshim->told |= enlightenment_bit(it->enlightenment);
		}
	}
	if (!hvshim_wants(hvshim, ENLIGHTENMENT_SPIN_WAIT))
		hints->ebx = HV_SPIN_RETRY_NEVER;
	if (hints->ebx != HV_SPIN_RETRY_NEVER)
		hvshim->told |= enlightenment_bit(ENLIGHTENMENT_SPIN_WAIT);
}

/* ---- The engines ---- */

int cpuid_add_user(struct hvshim_vp *vp, struct vid_cpuid *cpuid)
{
	struct vid_cpuid_leaf leaves[] = {
		{ .function = HV_CPUID_FEATURES,
		  .eax = HV_PRIVILEGE_REFERENCE_COUNT | HV_PRIVILEGE_SYNIC |
			 HV_PRIVILEGE_HYPERCALL | HV_PRIVILEGE_VP_INDEX | HV_PRIVILEGE_RESET |
			 HV_PRIVILEGE_REFERENCE_TSC | HV_PRIVILEGE_FREQUENCIES,
		  .ebx = HV_PRIVILEGE_POST_MESSAGES | HV_PRIVILEGE_SIGNAL_EVENTS |
			 HV_PRIVILEGE_EXTENDED_CALLS,
		  .edx = HV_FEATURE_FREQUENCIES | HV_FEATURE_GUEST_CRASH },
		{ .function = HV_CPUID_RECOMMENDATIONS,
		  .eax = HV_HINT_RELAXED_TIMING | HV_HINT_DEPRECATE_AUTO_EOI,
		  .ebx = HV_SPIN_RETRY_NEVER },
		{ .function = HV_CPUID_LIMITS, .eax = VPS_MAX, .ebx = VPS_MAX },
	};
	int r;

	if (cpuid_has_invariant_tsc(cpuid))
		leaves[0].eax |= HV_PRIVILEGE_TSC_INVARIANT;
	if (vp->hvshim->synthetic_timers) {
		leaves[0].eax |= HV_PRIVILEGE_SYNTHETIC_TIMERS;
		leaves[0].edx |= HV_FEATURE_DIRECT_STIMER;
	}
	if (vp->hvshim->apic_msrs) {
		leaves[0].eax |= HV_PRIVILEGE_APIC;
		leaves[1].eax |= HV_HINT_APIC_MSRS;
	}
	r = cpuid_add_identity(cpuid);
	if (r < 0)
		return r;
	r = cpuid_add(cpuid, leaves, ARRAY_SIZE(leaves));
	if (r == 0)
		cpuid_settle_enlightenments(vp->hvshim, cpuid);
	return r;
}

/* What is taken of KVM's leaves, and what is added. */
static const struct {
	struct vid_cpuid_leaf mask, extra;
} kernel_leaves[] = {
	{ .mask = { .function = HV_CPUID_FEATURES,
		    .eax = HV_PRIVILEGE_VP_RUNTIME | HV_PRIVILEGE_REFERENCE_COUNT |
			   HV_PRIVILEGE_SYNIC | HV_PRIVILEGE_SYNTHETIC_TIMERS | HV_PRIVILEGE_APIC |
			   HV_PRIVILEGE_HYPERCALL | HV_PRIVILEGE_VP_INDEX |
			   HV_PRIVILEGE_REFERENCE_TSC | HV_PRIVILEGE_FREQUENCIES |
			   HV_PRIVILEGE_TSC_INVARIANT,
		    .ebx = HV_PRIVILEGE_POST_MESSAGES | HV_PRIVILEGE_SIGNAL_EVENTS |
			   HV_PRIVILEGE_EXTENDED_CALLS,
		    .edx = HV_FEATURE_XMM_INPUT | HV_FEATURE_FREQUENCIES |
			   HV_FEATURE_EXTENDED_GVA_FLUSH | HV_FEATURE_DIRECT_STIMER },
	  .extra = { .eax = HV_PRIVILEGE_RESET, .edx = HV_FEATURE_GUEST_CRASH } },
	{ .mask = { .function = HV_CPUID_RECOMMENDATIONS,
		    .eax = HV_HINT_REMOTE_TLB_FLUSH | HV_HINT_APIC_MSRS | HV_HINT_RELAXED_TIMING |
			   HV_HINT_CLUSTER_IPI | HV_HINT_EX_PROCESSOR_MASKS |
			   HV_HINT_NO_SHARED_CORES,
		    .ebx = UINT32_MAX },
	  .extra = { .eax = HV_HINT_DEPRECATE_AUTO_EOI | HV_HINT_RELAXED_TIMING } },
	{ .mask = { .function = HV_CPUID_LIMITS, .eax = UINT32_MAX, .ebx = UINT32_MAX } },
};

int cpuid_add_kernel(struct hvshim_vp *vp, struct vid_cpuid *cpuid)
{
	struct vid_cpuid offered;
	int r;

	r = vid_vp_hyperv_cpuid(vp->vp, &offered);
	if (r < 0)
		return r;
	r = cpuid_add_identity(cpuid);
	for (size_t i = 0; i < ARRAY_SIZE(kernel_leaves) && r == 0; i++) {
		const struct vid_cpuid_leaf *mask = &kernel_leaves[i].mask;
		const struct vid_cpuid_leaf *extra = &kernel_leaves[i].extra;
		const struct vid_cpuid_leaf *kvm = vid_cpuid_find(&offered, mask->function, 0);
		struct vid_cpuid_leaf leaf = {
			.function = mask->function,
			.eax = (kvm ? kvm->eax & mask->eax : 0) | extra->eax,
			.ebx = (kvm ? kvm->ebx & mask->ebx : 0) | extra->ebx,
			.ecx = 0,
			.edx = (kvm ? kvm->edx & mask->edx : 0) | extra->edx,
		};

		if (leaf.function == HV_CPUID_RECOMMENDATIONS && !vp->hvshim->apic_msrs)
			leaf.eax &= ~HV_HINT_APIC_MSRS;
		r = vid_cpuid_set(cpuid, &leaf);
	}
	if (r == 0)
		cpuid_settle_enlightenments(vp->hvshim, cpuid);
	return r;
}
