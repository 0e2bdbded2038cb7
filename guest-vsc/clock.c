/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reference time.
 */
#include "guest-vsc/clock.h"
#include "guest-vsc/machine.h"

#include "common/wire/tlfs.h"

static struct hv_reference_tsc_page page __attribute__((aligned(4096)));

bool clock_enable(void)
{
	return machine_write_msr(HV_MSR_REFERENCE_TSC, machine_gpa(&page) | HV_MSR_ENABLE);
}

bool clock_uses_page(void)
{
	return __atomic_load_n(&page.sequence, __ATOMIC_ACQUIRE) != HV_REFERENCE_TSC_INVALID;
}

uint64_t clock_now(void)
{
	uint32_t sequence;
	uint64_t time;

	do {
		sequence = __atomic_load_n(&page.sequence, __ATOMIC_ACQUIRE);
		if (sequence == HV_REFERENCE_TSC_INVALID) {
			if (!machine_read_msr(HV_MSR_REFERENCE_COUNT, &time))
				guest_panic("there is no reference time");
			break;
		}
		time = (uint64_t)((unsigned __int128)machine_tsc() * page.scale >> 64) +
		       (uint64_t)page.offset;
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
	} while (sequence != __atomic_load_n(&page.sequence, __ATOMIC_RELAXED));
	return time * 100;
}
