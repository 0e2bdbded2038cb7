/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Enlightenments: what a guest that knows Hyper-V may do with its hypervisor's help, and can do
 * without. Each has a name, by which a definition switches it off; docs/enlightenments.md says what
 * each does. Source: TLFS, "Feature and Interface Discovery".
 */
#pragma once

#include <stdint.h>

enum enlightenment {
	ENLIGHTENMENT_REFERENCE_TSC,
	ENLIGHTENMENT_FREQUENCIES,
	ENLIGHTENMENT_TSC_INVARIANT,
	ENLIGHTENMENT_RELAXED_TIMING,
	ENLIGHTENMENT_SPIN_WAIT,
	ENLIGHTENMENT_TLB_FLUSH,
	ENLIGHTENMENT_IPI,
	ENLIGHTENMENT_EXTENDED_MASKS,
	ENLIGHTENMENT_XMM_INPUT,
	ENLIGHTENMENT_SYNTHETIC_TIMERS,
	ENLIGHTENMENT_DIRECT_TIMERS,
	ENLIGHTENMENT_APIC_MSRS,
	ENLIGHTENMENT_VP_RUNTIME,
	ENLIGHTENMENT_IDLE,
	ENLIGHTENMENT_CRASH_MSRS,
	ENLIGHTENMENT_RESET,
	ENLIGHTENMENT_FREE_PAGE_REPORTING,
	_ENLIGHTENMENT_COUNT,
};

extern const char *const enlightenment_names[]; /* in their order, closed by NULL */

/* A set of them is a word. */
static inline uint32_t enlightenment_bit(enum enlightenment enlightenment)
{
	return UINT32_C(1) << enlightenment;
}

/* What a definition that says nothing has on: see hyper_v.synthetic_timers of vmms-vm.json(5). */
#define ENLIGHTENMENTS_DEFAULT                         \
	(((UINT32_C(1) << _ENLIGHTENMENT_COUNT) - 1) & \
	 ~(UINT32_C(1) << ENLIGHTENMENT_SYNTHETIC_TIMERS))

enum enlightenment_state {
	ENLIGHTENMENT_OFF,         /* "off": the definition has it off */
	ENLIGHTENMENT_ON,          /* "on": the guest is told of it */
	ENLIGHTENMENT_NOT_OFFERED, /* "not-offered": this host's KVM or this engine has it not */
};

extern const char *const enlightenment_state_names[]; /* likewise */
