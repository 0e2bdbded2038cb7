/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Time synchronisation: the host tells its time of day, the guest sends the message back as it is.
 *
 * Source: Linux include/linux/hyperv.h (struct ictimesync_data, struct ictimesync_ref_data),
 * drivers/hv/hv_util.c.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/guid.h"

#include <stdint.h>

#define IC_TIME_TYPE \
	GUID(0x9527e630, 0xd0ae, 0x497b, 0xad, 0xce, 0xe8, 0x0a, 0xb0, 0x17, 0x5c, 0xaf)
#define IC_TIME_INSTANCE \
	GUID(0x2dd1ce17, 0x079e, 0x403c, 0xb3, 0x52, 0xa1, 0x92, 0x1e, 0xe2, 0x07, 0xee)

#define IC_TIME_SYNC   1u /* set the clock */
#define IC_TIME_SAMPLE 2u /* for whoever disciplines the clock */

/* Times of day count units of 100 ns from 1601 on, UTC. 1970 is: */
#define IC_TIME_UNIX_EPOCH UINT64_C(116444736000000000)

/* Body of IC_MESSAGE_TIMESYNC up to version 3.0. */
struct ic_time_body {
	uint64_t host_time;
	uint64_t guest_time;
	uint64_t round_trip_time;
	uint8_t flags; /* IC_TIME_ */
} PACKED;
_Static_assert(sizeof(struct ic_time_body) == 25, "wire format");

/* The same from version 4.0 on. */
struct ic_time_reference_body {
	uint64_t host_time;
	uint64_t reference_time; /* the partition's, when it was host_time; units of 100 ns */
	uint8_t flags;           /* IC_TIME_ */
	uint8_t leap;            /* as in NTP */
	uint8_t stratum;         /* likewise */
	uint8_t reserved[3];
} PACKED;
_Static_assert(sizeof(struct ic_time_reference_body) == 22, "wire format");
_Static_assert(offsetof(struct ic_time_reference_body, flags) == 16, "wire format");
