/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Names of enlightenments. */
#include "common/definition/enlightenments.h"

#include <stddef.h>

const char *const enlightenment_names[] = {
	[ENLIGHTENMENT_REFERENCE_TSC] = "reference_tsc",
	[ENLIGHTENMENT_FREQUENCIES] = "frequencies",
	[ENLIGHTENMENT_TSC_INVARIANT] = "tsc_invariant",
	[ENLIGHTENMENT_RELAXED_TIMING] = "relaxed_timing",
	[ENLIGHTENMENT_SPIN_WAIT] = "spin_wait",
	[ENLIGHTENMENT_TLB_FLUSH] = "tlb_flush",
	[ENLIGHTENMENT_IPI] = "ipi",
	[ENLIGHTENMENT_EXTENDED_MASKS] = "extended_masks",
	[ENLIGHTENMENT_XMM_INPUT] = "xmm_input",
	[ENLIGHTENMENT_SYNTHETIC_TIMERS] = "synthetic_timers",
	[ENLIGHTENMENT_DIRECT_TIMERS] = "direct_timers",
	[ENLIGHTENMENT_APIC_MSRS] = "apic_msrs",
	[ENLIGHTENMENT_VP_RUNTIME] = "vp_runtime",
	[ENLIGHTENMENT_IDLE] = "idle",
	[ENLIGHTENMENT_CRASH_MSRS] = "crash_msrs",
	[ENLIGHTENMENT_RESET] = "reset",
	[ENLIGHTENMENT_FREE_PAGE_REPORTING] = "free_page_reporting",
	[_ENLIGHTENMENT_COUNT] = NULL,
};

const char *const enlightenment_state_names[] = { "off", "on", "not-offered", NULL };
