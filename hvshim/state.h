/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The personality's state as it is stored: the same for both engines, so that what one saved the
 * other can take over. Times are in units of 100 ns, addresses the guest's.
 *
 * Not in it, for others have it: connections (who added them adds them anew), and what lies in the
 * guest's memory (messages, event flags, the reference TSC page, the hypercall page's code).
 */
#pragma once

#include "common/wire/tlfs.h"
#include "hvshim/hvshim.h"

#include <assert.h>

#define HVSHIM_STATE_VERSION    1
#define HVSHIM_CRASH_PARAMETERS 5

/* What lies below an overlay page follows in full: of the hypercall page, then of the other. */
#define HVSHIM_STATE_HYPERCALL_BELOW     1u
#define HVSHIM_STATE_REFERENCE_TSC_BELOW 2u
#define HVSHIM_STATE_TIME_FROM_TSC       4u /* the guest reckons the time from its TSC */
#define HVSHIM_STATE_FLAGS               7u

/* The record HVSHIM_STATE_RECORD. Pages follow it as the flags say, then the messages. */
struct hvshim_partition_state {
	uint32_t engine; /* enum hvshim_engine, of the one that saved */
	uint32_t vp_count;
	uint32_t enlightenments; /* that the guest was told of: bits of enlightenment_bit() */
	uint32_t flags;
	uint64_t guest_os_id, hypercall, reference_tsc, tsc_invariant;
	uint64_t reenlightenment, tsc_emulation_control, tsc_emulation_status;
	uint64_t reference_time;
	uint64_t crash_parameters[HVSHIM_CRASH_PARAMETERS];
	uint32_t message_count, zero;
};
static_assert(sizeof(struct hvshim_partition_state) == 128, "stored format");

/* Of the guest's, posted and not yet taken by the loop. */
struct hvshim_message_state {
	uint32_t connection_id, type, size, zero;
	uint8_t payload[HVSHIM_MESSAGE_PAYLOAD];
};
static_assert(sizeof(struct hvshim_message_state) == 256, "stored format");

struct hvshim_timer_state {
	uint64_t config, count;
	uint64_t expiration;  /* 0: not known; a periodic timer then begins anew */
	uint32_t undelivered; /* expired, and its message waits for a free slot */
	uint32_t zero;
};
static_assert(sizeof(struct hvshim_timer_state) == 32, "stored format");

/* The record HVSHIM_STATE_RECORD ".vp-", with the vp's index behind it. */
struct hvshim_vp_state {
	uint64_t assist_page;
	uint64_t control, siefp, simp;
	uint64_t sints[HV_SINT_COUNT];
	uint64_t runtime;
	struct hvshim_timer_state timers[HV_STIMER_COUNT];
	uint32_t waiting; /* bitmap of SINTs for whose slots somebody waits */
	uint32_t raised;  /* bitmap of SINTs with an automatic end that are to be injected */
};
static_assert(sizeof(struct hvshim_vp_state) == 304, "stored format");
