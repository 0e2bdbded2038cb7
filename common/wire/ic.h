/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Integration services: small protocols over message pipes, one channel each.
 *
 * A packet is an in-band one (RING_PACKET_INBAND, transaction id 0, no completion); its payload is
 * a pipe header, an IC header and a body. The host speaks first, and negotiates; then it sends
 * requests, and the guest sends each back with its answer written over it.
 * Source: Linux include/linux/hyperv.h, drivers/hv/hv_util.c, drivers/hv/channel_mgmt.c
 * (vmbus_prep_negotiate_resp()).
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/guid.h"

#include <stdint.h>

/* What the offers are known by: type and, as Hyper-V has it, instance. */
#define IC_HEARTBEAT_TYPE \
	GUID(0x57164f39, 0x9115, 0x4e78, 0xab, 0x55, 0x38, 0x2f, 0x3b, 0xd5, 0x42, 0x2d)
#define IC_HEARTBEAT_INSTANCE \
	GUID(0xfd149e91, 0x82e0, 0x4a7d, 0xaf, 0xa6, 0x2a, 0x41, 0x66, 0xcb, 0xd7, 0xc0)
#define IC_SHUTDOWN_TYPE \
	GUID(0x0e0b6031, 0x5213, 0x4934, 0x81, 0x8b, 0x38, 0xd9, 0x0c, 0xed, 0x39, 0xdb)
#define IC_SHUTDOWN_INSTANCE \
	GUID(0xb6650ff7, 0x33bc, 0x4840, 0x80, 0x48, 0xe0, 0x67, 0x67, 0x86, 0xf3, 0x93)

enum ic_message_type {
	IC_MESSAGE_NEGOTIATE = 0,
	IC_MESSAGE_HEARTBEAT = 1,
	IC_MESSAGE_KVP = 2,
	IC_MESSAGE_SHUTDOWN = 3,
	IC_MESSAGE_TIMESYNC = 4,
	IC_MESSAGE_VSS = 5,
	IC_MESSAGE_FILE_COPY = 7,
};

#define IC_PIPE_DATA 1u

struct ic_pipe_header {
	uint32_t type; /* IC_PIPE_DATA */
	uint32_t size; /* bytes that follow */
} PACKED;
_Static_assert(sizeof(struct ic_pipe_header) == 8, "wire format");

struct ic_version {
	uint16_t major, minor;
} PACKED;

#define IC_FLAG_TRANSACTION 1u /* an answer is expected, or this is one */
#define IC_FLAG_REQUEST     2u
#define IC_FLAG_RESPONSE    4u

/* Status: 0, or an HRESULT. */
#define IC_STATUS_OK   0u
#define IC_STATUS_FAIL 0x80004005u

struct ic_header {
	struct ic_version framework_version; /* as negotiated; 0.0 in negotiation */
	uint16_t type;                       /* enum ic_message_type */
	struct ic_version message_version;   /* likewise */
	uint16_t size;                       /* bytes of the body */
	uint32_t status;                     /* of the answer */
	uint8_t transaction_id;              /* the answer has the request's */
	uint8_t flags;                       /* IC_FLAG_ */
	uint8_t reserved[2];
} PACKED;
_Static_assert(sizeof(struct ic_header) == 20, "wire format");

/*
 * Body of IC_MESSAGE_NEGOTIATE. The host lists the versions it knows; the answer has one of each,
 * or counts of 0 if there is none in common.
 */
#define IC_VERSION_MAX 8

struct ic_negotiate {
	uint16_t framework_count;
	uint16_t message_count;
	uint32_t reserved;
	struct ic_version versions[IC_VERSION_MAX]; /* framework, then message; as many as said */
} PACKED;
_Static_assert(offsetof(struct ic_negotiate, versions) == 8, "wire format");

enum ic_application_state {
	IC_APPLICATION_UNKNOWN = 0, /* Linux says no more */
	IC_APPLICATION_HEALTHY = 1,
	IC_APPLICATION_CRITICAL = 2,
	IC_APPLICATION_STOPPED = 3,
};

/* Body of IC_MESSAGE_HEARTBEAT. The guest adds 1 to sequence. */
struct ic_heartbeat_body {
	uint64_t sequence;
	uint32_t application_state; /* enum ic_application_state; from version 3.0 on */
	uint32_t reserved[7];
} PACKED;
_Static_assert(sizeof(struct ic_heartbeat_body) == 40, "wire format");

#define IC_SHUTDOWN_FORCE     1u
#define IC_SHUTDOWN_RESTART   2u /* from version 3.1 on */
#define IC_SHUTDOWN_HIBERNATE 4u /* from version 3.2 on */

#define IC_SHUTDOWN_REASON_PLANNED 0x80000000u

/* Body of IC_MESSAGE_SHUTDOWN. */
struct ic_shutdown_body {
	uint32_t reason;
	uint32_t timeout; /* seconds that the guest may take */
	uint32_t flags;   /* IC_SHUTDOWN_ */
	uint8_t text[2048];
} PACKED;
_Static_assert(sizeof(struct ic_shutdown_body) == 2060, "wire format");
