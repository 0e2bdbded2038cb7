/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * VMBus channel messages: what the two ends post to each other to connect and to manage channels.
 *
 * A channel message is the payload of a hypervisor message of type VMBUS_HV_MESSAGE_TYPE, at most
 * VMBUS_MESSAGE_MAX bytes; the guest posts on a connection id, the host to the guest's
 * VMBUS_SINT. What flows over an open channel is in common/wire/ring.h.
 * Source: Linux include/linux/hyperv.h, drivers/hv/{connection,channel,channel_mgmt}.c.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/guid.h"

#include <stdint.h>

#define VMBUS_SINT                    2u
#define VMBUS_HV_MESSAGE_TYPE         1u
#define VMBUS_MESSAGE_MAX             240u
#define VMBUS_CONNECTION_ID_MESSAGE   1u /* protocol versions before 5.0 */
#define VMBUS_CONNECTION_ID_MESSAGE_4 4u /* 5.0 and later */

#define VMBUS_VERSION(major, minor)  ((uint32_t)(major) << 16 | (minor))
#define VMBUS_VERSION_MAJOR(version) ((version) >> 16)
#define VMBUS_VERSION_MINOR(version) ((version)&0xffffu)
#define VMBUS_VERSION_2_4            VMBUS_VERSION(2, 4)
#define VMBUS_VERSION_3_0            VMBUS_VERSION(3, 0)
#define VMBUS_VERSION_4_0            VMBUS_VERSION(4, 0)
#define VMBUS_VERSION_4_1            VMBUS_VERSION(4, 1)
#define VMBUS_VERSION_5_0            VMBUS_VERSION(5, 0)
#define VMBUS_VERSION_5_1            VMBUS_VERSION(5, 1)
#define VMBUS_VERSION_5_2            VMBUS_VERSION(5, 2)
#define VMBUS_VERSION_5_3            VMBUS_VERSION(5, 3)

enum vmbus_message_type {
	VMBUS_MESSAGE_OFFER_CHANNEL = 1,
	VMBUS_MESSAGE_RESCIND_OFFER = 2,
	VMBUS_MESSAGE_REQUEST_OFFERS = 3,
	VMBUS_MESSAGE_ALL_OFFERS_DELIVERED = 4,
	VMBUS_MESSAGE_OPEN_CHANNEL = 5,
	VMBUS_MESSAGE_OPEN_RESULT = 6,
	VMBUS_MESSAGE_CLOSE_CHANNEL = 7,
	VMBUS_MESSAGE_GPADL_HEADER = 8,
	VMBUS_MESSAGE_GPADL_BODY = 9,
	VMBUS_MESSAGE_GPADL_CREATED = 10,
	VMBUS_MESSAGE_GPADL_TEARDOWN = 11,
	VMBUS_MESSAGE_GPADL_TORNDOWN = 12,
	VMBUS_MESSAGE_RELID_RELEASED = 13,
	VMBUS_MESSAGE_INITIATE_CONTACT = 14,
	VMBUS_MESSAGE_VERSION_RESPONSE = 15,
	VMBUS_MESSAGE_UNLOAD = 16,
	VMBUS_MESSAGE_UNLOAD_RESPONSE = 17,
	VMBUS_MESSAGE_TL_CONNECT_REQUEST = 21,
	VMBUS_MESSAGE_MODIFY_CHANNEL = 22,
	VMBUS_MESSAGE_TL_CONNECT_RESULT = 23,
	VMBUS_MESSAGE_MODIFY_CHANNEL_RESPONSE = 24,
};

/* The status of a result: 0, or an NTSTATUS. Guests only tell 0 from the rest. */
#define VMBUS_STATUS_SUCCESS                0u
#define VMBUS_STATUS_UNSUCCESSFUL           0xc0000001u
#define VMBUS_STATUS_INVALID_PARAMETER      0xc000000du
#define VMBUS_STATUS_INSUFFICIENT_RESOURCES 0xc000009au
#define VMBUS_STATUS_CONNECTION_REFUSED     0xc0000236u

struct vmbus_message_header {
	uint32_t type;
	uint32_t padding;
} PACKED;
_Static_assert(sizeof(struct vmbus_message_header) == 8, "wire format");

/*
 * Guest to host, the first message. Before 5.0 the u64 at 16 was the address of an interrupt page,
 * which guests with dedicated interrupts do not use.
 */
struct vmbus_message_initiate_contact {
	struct vmbus_message_header header;
	uint32_t version;
	uint32_t target_vp; /* whose VMBUS_SINT takes the host's messages */
	uint8_t sint;       /* 5.0 and later: VMBUS_SINT */
	uint8_t vtl;        /* 5.0 and later: 0 */
	uint8_t padding[6];
	uint64_t monitor_page_1;
	uint64_t monitor_page_2;
} PACKED;
_Static_assert(sizeof(struct vmbus_message_initiate_contact) == 40, "wire format");

/* Linux ignores it unless it has all 16 bytes, in every version. */
struct vmbus_message_version_response {
	struct vmbus_message_header header;
	uint8_t supported;
	uint8_t state; /* 0 */
	uint16_t padding;
	uint32_t connection_id; /* 5.0 and later: where further messages go */
} PACKED;
_Static_assert(sizeof(struct vmbus_message_version_response) == 16, "wire format");

/* Offer flags. */
#define VMBUS_OFFER_ENUMERATE  0x0001u /* Linux makes a device only for these */
#define VMBUS_OFFER_NAMED_PIPE 0x0010u
#define VMBUS_OFFER_SOCKET     0x2000u /* common/wire/hv_socket.h */

#define VMBUS_USER_DATA_SIZE 120u

/* First u32 of user_defined in offers of pipes, such as the integration services'. */
#define VMBUS_PIPE_MODE_BYTE    0u
#define VMBUS_PIPE_MODE_MESSAGE 4u

#define VMBUS_MONITOR_ALLOCATED   0x01u
#define VMBUS_DEDICATED_INTERRUPT 0x0001u

/*
 * Type and instance GUIDs name the device, and with sub_channel_index the channel. relid
 * ("child relative id") is the channel's number, 1 to 2047, and its event flag.
 */
struct vmbus_message_offer_channel {
	struct vmbus_message_header header;
	struct guid type;
	struct guid instance;
	uint64_t reserved[2];
	uint16_t flags; /* VMBUS_OFFER_ */
	uint16_t mmio_megabytes;
	uint8_t user_defined[VMBUS_USER_DATA_SIZE];
	uint16_t sub_channel_index;
	uint16_t reserved2;
	uint32_t relid;
	uint8_t monitor_id;
	uint8_t monitor_flags;    /* VMBUS_MONITOR_ALLOCATED, or 0 */
	uint16_t interrupt_flags; /* VMBUS_DEDICATED_INTERRUPT: no interrupt page needed */
	uint32_t connection_id;   /* for HvCallSignalEvent */
} PACKED;
_Static_assert(sizeof(struct vmbus_message_offer_channel) == 196, "wire format");
_Static_assert(offsetof(struct vmbus_message_offer_channel, user_defined) == 60, "wire format");
_Static_assert(offsetof(struct vmbus_message_offer_channel, connection_id) == 192, "wire format");

/* CLOSE_CHANNEL, RESCIND_OFFER and RELID_RELEASED. */
struct vmbus_message_relid {
	struct vmbus_message_header header;
	uint32_t relid;
} PACKED;
_Static_assert(sizeof(struct vmbus_message_relid) == 12, "wire format");

#define VMBUS_TARGET_VP_NONE UINT32_MAX /* no interrupts wanted */

/* The ring GPADL holds the guest's sending ring, and from downstream_page on its receiving one. */
struct vmbus_message_open_channel {
	struct vmbus_message_header header;
	uint32_t relid;
	uint32_t open_id;
	uint32_t ring_gpadl;
	uint32_t target_vp;
	uint32_t downstream_page; /* pages of 4096 bytes */
	uint8_t user_data[VMBUS_USER_DATA_SIZE];
} PACKED;
_Static_assert(sizeof(struct vmbus_message_open_channel) == 148, "wire format");

struct vmbus_message_open_result {
	struct vmbus_message_header header;
	uint32_t relid;
	uint32_t open_id;
	uint32_t status;
} PACKED;
_Static_assert(sizeof(struct vmbus_message_open_result) == 20, "wire format");

/* Memory of the guest by page: byte_count bytes that begin byte_offset into the first page. */
struct vmbus_gpa_range {
	uint32_t byte_count;
	uint32_t byte_offset;
	/* then a u64 frame number for each page */
} PACKED;
_Static_assert(sizeof(struct vmbus_gpa_range) == 8, "wire format");

/*
 * A GPA descriptor list: range_count ranges, range_size bytes in all, as many of them here as the
 * message holds and the rest in GPADL_BODYs.
 */
struct vmbus_message_gpadl_header {
	struct vmbus_message_header header;
	uint32_t relid;
	uint32_t gpadl;
	uint16_t range_size;
	uint16_t range_count;
	/* then the ranges */
} PACKED;
_Static_assert(sizeof(struct vmbus_message_gpadl_header) == 20, "wire format");

/* More of the same. Linux leaves number 0 in every one. */
struct vmbus_message_gpadl_body {
	struct vmbus_message_header header;
	uint32_t number;
	uint32_t gpadl;
	/* then more of the ranges */
} PACKED;
_Static_assert(sizeof(struct vmbus_message_gpadl_body) == 16, "wire format");

struct vmbus_message_gpadl_created {
	struct vmbus_message_header header;
	uint32_t relid;
	uint32_t gpadl;
	uint32_t status;
} PACKED;
_Static_assert(sizeof(struct vmbus_message_gpadl_created) == 20, "wire format");

struct vmbus_message_gpadl_teardown {
	struct vmbus_message_header header;
	uint32_t relid;
	uint32_t gpadl;
} PACKED;
_Static_assert(sizeof(struct vmbus_message_gpadl_teardown) == 16, "wire format");

struct vmbus_message_gpadl_torndown {
	struct vmbus_message_header header;
	uint32_t gpadl;
} PACKED;
_Static_assert(sizeof(struct vmbus_message_gpadl_torndown) == 12, "wire format");

/* From 4.1; answered from 5.3. */
struct vmbus_message_modify_channel {
	struct vmbus_message_header header;
	uint32_t relid;
	uint32_t target_vp;
} PACKED;
_Static_assert(sizeof(struct vmbus_message_modify_channel) == 16, "wire format");

struct vmbus_message_modify_channel_response {
	struct vmbus_message_header header;
	uint32_t relid;
	uint32_t status;
} PACKED;
_Static_assert(sizeof(struct vmbus_message_modify_channel_response) == 16, "wire format");

/* A guest's connect() to a Hyper-V socket of the host. */
struct vmbus_message_tl_connect_request {
	struct vmbus_message_header header;
	struct guid endpoint;
	struct guid service;
} PACKED;
_Static_assert(sizeof(struct vmbus_message_tl_connect_request) == 40, "wire format");

struct vmbus_message_tl_connect_result {
	struct vmbus_message_header header;
	struct guid endpoint;
	struct guid service;
	uint32_t status;
} PACKED;
_Static_assert(sizeof(struct vmbus_message_tl_connect_result) == 44, "wire format");
