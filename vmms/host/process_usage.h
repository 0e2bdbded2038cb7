/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a worker uses of the host, as the kernel counts it: proc(5).
 */
#pragma once

#include "common/base/cc.h"

#include <stdint.h>
#include <sys/types.h>

struct process_usage {
	uint64_t guest_us; /* CPU time in the guest, over all threads, those that have ended too */
	uint64_t host_us;  /* all other CPU time */

	/*
	 * How long vps were ready to run while the host's CPUs did something else: what the guest
	 * takes for stolen time. Of the threads that there are now: it begins anew with a reset.
	 */
	uint64_t steal_us;
	uint64_t resident; /* bytes of memory, the guest's that it has touched included */
};

/* Return: 0; -ESRCH: it has ended; -errno. */
int process_usage_read(pid_t pid, struct process_usage *ret_usage) MUST_CHECK;

/* Its resident memory alone, which takes less time. Return: as above. */
int process_resident_read(pid_t pid, uint64_t *ret_resident) MUST_CHECK;
