/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Dynamic memory: the guest tells how much memory it needs; the host takes pages from it (into a
 * balloon that the guest fills), gives them back, and adds memory that the guest did not have.
 *
 * In-band packets without a pipe header. The guest numbers its messages by itself; a number of the
 * host's says nothing.
 *
 *   guest                        host
 *   VERSION_REQUEST          ->
 *                            <-  VERSION_RESPONSE, accepted or not: the guest tries an older one
 *   CAPABILITIES_REPORT      ->
 *                            <-  CAPABILITIES_RESPONSE
 *   STATUS_REPORT            ->  every second, whatever else goes on
 *                            <-  BALLOON_REQUEST, in units of 2 MiB
 *   BALLOON_RESPONSE         ->  one or several, all but the last with DM_MORE_PAGES
 *                            <-  UNBALLOON_REQUEST, one or several, all but the last with that
 *   UNBALLOON_RESPONSE       ->  to the last
 *                            <-  HOT_ADD_REQUEST
 *   HOT_ADD_RESPONSE         ->  with how much of it there is now
 *
 * A message fits in one page: Linux has no more room for one. Its frames are of 4 KiB.
 *
 * Source: Linux drivers/hv/hv_balloon.c.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/guid.h"

#include <stddef.h>
#include <stdint.h>

#define DM_TYPE     GUID(0x525074dc, 0x8985, 0x46e2, 0x80, 0x57, 0xa3, 0x07, 0xdc, 0x18, 0xa5, 0x02)
#define DM_INSTANCE GUID(0x1eccfd72, 0x4b41, 0x45ef, 0xb7, 0x3a, 0x4a, 0x6e, 0x44, 0xc1, 0x29, 0x24)

#define DM_VERSION(major, minor) ((uint32_t)(major) << 16 | (minor))
#define DM_VERSION_0_3           DM_VERSION(0, 3) /* Windows 7 */
#define DM_VERSION_1_0           DM_VERSION(1, 0) /* Windows 8 */
#define DM_VERSION_2_0           DM_VERSION(2, 0) /* Windows 10 */

#define DM_MESSAGE_MAX   4096u /* bytes */
#define DM_BALLOON_PAGES 512u  /* of which requests are multiples */

enum dm_type {
	DM_ERROR = 0,
	DM_VERSION_REQUEST = 1,
	DM_VERSION_RESPONSE = 2,
	DM_CAPABILITIES_REPORT = 3,
	DM_CAPABILITIES_RESPONSE = 4,
	DM_STATUS_REPORT = 5,
	DM_BALLOON_REQUEST = 6,
	DM_BALLOON_RESPONSE = 7,
	DM_UNBALLOON_REQUEST = 8,
	DM_UNBALLOON_RESPONSE = 9,
	DM_HOT_ADD_REQUEST = 10,
	DM_HOT_ADD_RESPONSE = 11,
	DM_INFO = 12, /* from version 1.0 on */
};

struct dm_header {
	uint16_t type; /* enum dm_type */
	uint16_t size; /* of the message, with this header */
	uint32_t transaction_id;
} PACKED;
_Static_assert(sizeof(struct dm_header) == 8, "wire format");

struct dm_version_request {
	struct dm_header header;
	uint32_t version;
	uint32_t flags; /* bit 0: the guest will try no other */
} PACKED;
_Static_assert(sizeof(struct dm_version_request) == 16, "wire format");

#define DM_ACCEPTED UINT64_C(1)

/* To a version, and to capabilities. */
struct dm_acceptance {
	struct dm_header header;
	uint64_t flags; /* DM_ACCEPTED */
} PACKED;
_Static_assert(sizeof(struct dm_acceptance) == 16, "wire format");

/* Of which n in bits 2 to 5 asks for hot-added memory in multiples of 2^n MiB. */
#define DM_CAPABILITY_BALLOON        UINT64_C(1)
#define DM_CAPABILITY_HOT_ADD        UINT64_C(2)
#define DM_CAPABILITY_ALIGNMENT(set) ((unsigned)((set) >> 2) & 0xfu)

struct dm_capabilities_report {
	struct dm_header header;
	uint64_t capabilities;
	uint64_t minimum_pages;
	uint64_t maximum_page;
} PACKED;
_Static_assert(sizeof(struct dm_capabilities_report) == 32, "wire format");
_Static_assert(offsetof(struct dm_capabilities_report, minimum_pages) == 16, "wire format");

/* In pages. */
struct dm_status_report {
	struct dm_header header;
	uint64_t available;
	uint64_t committed; /* with what is in the balloon, and a floor that the guest keeps */
	uint64_t page_file;
	uint64_t free;
	uint32_t page_file_writes;
	uint32_t io_difference;
} PACKED;
_Static_assert(sizeof(struct dm_status_report) == 48, "wire format");
_Static_assert(offsetof(struct dm_status_report, committed) == 16, "wire format");

/* Frames: the first in bits 0 to 39, their number above. */
#define DM_RANGE_FRAME_BITS    40
#define DM_RANGE_FRAME_MAX     ((UINT64_C(1) << DM_RANGE_FRAME_BITS) - 1)
#define DM_RANGE_COUNT_MAX     ((UINT64_C(1) << 24) - 1)
#define DM_RANGE(frame, count) ((uint64_t)(count) << DM_RANGE_FRAME_BITS | (frame))
#define DM_RANGE_FRAME(range)  ((range)&DM_RANGE_FRAME_MAX)
#define DM_RANGE_COUNT(range)  ((range) >> DM_RANGE_FRAME_BITS)

struct dm_balloon_request {
	struct dm_header header;
	uint32_t pages;
	uint32_t reserved;
} PACKED;
_Static_assert(sizeof(struct dm_balloon_request) == 16, "wire format");

#define DM_MORE_PAGES 1u

/* Ranges follow. */
struct dm_balloon_response {
	struct dm_header header;
	uint32_t reserved;
	uint32_t flags_and_count; /* DM_MORE_PAGES; the number of ranges from bit 1 on */
} PACKED;
_Static_assert(sizeof(struct dm_balloon_response) == 16, "wire format");

/* Ranges follow. */
struct dm_unballoon_request {
	struct dm_header header;
	uint32_t flags; /* DM_MORE_PAGES */
	uint32_t range_count;
} PACKED;
_Static_assert(sizeof(struct dm_unballoon_request) == 16, "wire format");

#define DM_RANGES_MAX                                                       \
	((DM_MESSAGE_MAX - (unsigned)sizeof(struct dm_unballoon_request)) / \
	 (unsigned)sizeof(uint64_t))

/* A second range would be the region that the first one lies in; without, the guest chooses it. */
struct dm_hot_add_request {
	struct dm_header header;
	uint64_t range;
} PACKED;
_Static_assert(sizeof(struct dm_hot_add_request) == 16, "wire format");

struct dm_hot_add_response {
	struct dm_header header;
	uint32_t pages;  /* fewer than asked for: the guest takes no more, now or ever */
	uint32_t result; /* 0, and no pages: it may, later */
} PACKED;
_Static_assert(sizeof(struct dm_hot_add_response) == 16, "wire format");

enum dm_info_type {
	DM_INFO_MAXIMUM_PAGES = 0, /* a uint64_t */
};

struct dm_info {
	struct dm_header header;
	uint32_t reserved;
	uint32_t info_size; /* of what follows */
	uint32_t type;      /* enum dm_info_type */
	uint32_t data_size;
	uint64_t maximum_pages;
} PACKED;
_Static_assert(sizeof(struct dm_info) == 32, "wire format");
_Static_assert(offsetof(struct dm_info, type) == 16, "wire format");
