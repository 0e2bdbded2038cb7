/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The synthetic network protocol: what a network VSC and a network VSP say to each other.
 *
 * Every message begins with its type and is NVSP_MESSAGE_SIZE bytes long, or NVSP_MESSAGE_SIZE_6_1
 * from version 6.1 on, little-endian. The guest sends in-band or GPA-direct packets; the host
 * answers those that ask for it by a completion packet with the same transaction id. Frames and
 * RNDIS messages to the guest lie in the receive buffer, which the guest gave as a GPADL, and are
 * told by transfer-page packets; the guest completes each when it is done with its ranges. Frames
 * from the guest lie in a section of the send buffer, in the packet's own GPA ranges, or the
 * beginning in the one and the rest in the other.
 *
 * Source: Linux drivers/net/hyperv/hyperv_net.h, netvsc.c; FreeBSD
 * sys/dev/hyperv/netvsc/if_hnreg.h.
 */
#pragma once

#include "common/base/cc.h"

#include <stddef.h>
#include <stdint.h>

#define NVSP_MESSAGE_SIZE     28 /* bytes */
#define NVSP_MESSAGE_SIZE_6_1 40

#define NVSP_VERSION_1   0x00002u
#define NVSP_VERSION_2   0x30002u
#define NVSP_VERSION_4   0x40000u
#define NVSP_VERSION_5   0x50000u
#define NVSP_VERSION_6   0x60000u
#define NVSP_VERSION_6_1 0x60001u

enum nvsp_type {
	NVSP_NONE = 0,
	NVSP_INIT = 1,
	NVSP_INIT_COMPLETE = 2,
	NVSP_SEND_NDIS_VERSION = 100,
	NVSP_SEND_RECEIVE_BUFFER = 101,
	NVSP_SEND_RECEIVE_BUFFER_COMPLETE = 102,
	NVSP_REVOKE_RECEIVE_BUFFER = 103,
	NVSP_SEND_SEND_BUFFER = 104,
	NVSP_SEND_SEND_BUFFER_COMPLETE = 105,
	NVSP_REVOKE_SEND_BUFFER = 106,
	NVSP_SEND_RNDIS_PACKET = 107,
	NVSP_SEND_RNDIS_PACKET_COMPLETE = 108,
	NVSP_SEND_NDIS_CONFIG = 125,       /* version 2 on */
	NVSP_SEND_VF_ASSOCIATION = 128,    /* version 4 on */
	NVSP_SWITCH_DATA_PATH = 129,       /* version 4 on */
	NVSP_OID_QUERY_EX = 131,           /* version 5 on */
	NVSP_OID_QUERY_EX_COMPLETE = 132,  /* version 5 on */
	NVSP_SUB_CHANNEL = 133,            /* version 5 on */
	NVSP_SEND_INDIRECTION_TABLE = 134, /* version 5 on */
	NVSP_PACKET_DIRECT = 135,          /* version 6 on */
};

enum nvsp_status {
	NVSP_STATUS_NONE = 0,
	NVSP_STATUS_SUCCESS = 1,
	NVSP_STATUS_FAIL = 2,
	NVSP_STATUS_PROTOCOL_TOO_NEW = 3,
	NVSP_STATUS_PROTOCOL_TOO_OLD = 4,
	NVSP_STATUS_INVALID_RNDIS_PACKET = 5,
	NVSP_STATUS_BUSY = 6,
	NVSP_STATUS_PROTOCOL_UNSUPPORTED = 7,
};

#define NVSP_RECEIVE_BUFFER_ID 0xcafe      /* the transfer-page set's id, too */
#define NVSP_NO_SEND_SECTION   0xffffffffu /* nothing is in the send buffer */
#define NVSP_CHANNEL_DATA      0u
#define NVSP_CHANNEL_CONTROL   1u

/* nvsp_message.ndis_config.capabilities */
#define NVSP_CAPABILITY_SRIOV      0x04u
#define NVSP_CAPABILITY_IEEE_8021Q 0x08u
#define NVSP_CAPABILITY_TEAMING    0x20u
#define NVSP_CAPABILITY_RSC        0x80u

#define NVSP_SUB_CHANNEL_ALLOCATE 1u
#define NVSP_SEND_TABLE_SIZE      16 /* entries */
#define NVSP_DATA_PATH_SYNTHETIC  0u

struct nvsp_message {
	uint32_t type; /* enum nvsp_type */
	union {
		struct {
			uint32_t version_min, version_max;
		} PACKED init;
		struct {
			uint32_t version;
			uint32_t mdl_chain_max;
			uint32_t status;
		} PACKED init_complete;
		struct {
			uint32_t major, minor;
		} PACKED ndis_version;
		struct {
			uint32_t gpadl;
			uint16_t id;
		} PACKED buffer;
		/* One section, cut into slots of slot_size bytes. */
		struct {
			uint32_t status;
			uint32_t section_count;
			uint32_t offset, slot_size, slot_count, end_offset;
		} PACKED receive_buffer_complete;
		struct {
			uint16_t id;
		} PACKED revoke;
		struct {
			uint32_t status;
			uint32_t section_size;
		} PACKED send_buffer_complete;
		struct {
			uint32_t channel; /* NVSP_CHANNEL_ */
			uint32_t send_section;
			uint32_t send_section_size; /* bytes used of it */
		} PACKED rndis;
		struct {
			uint32_t status;
		} PACKED rndis_complete;
		struct {
			uint32_t frame_size; /* MTU and Ethernet header; of old drivers, the MTU */
			uint32_t reserved;
			uint64_t capabilities; /* NVSP_CAPABILITY_ */
		} PACKED ndis_config;
		struct {
			uint32_t allocated, serial;
		} PACKED vf_association;
		struct {
			uint32_t active;
		} PACKED data_path;
		struct {
			uint32_t status; /* RNDIS_STATUS_ */
			uint32_t size;   /* of the value, which follows */
		} PACKED oid_query_ex_complete;
		struct {
			uint32_t operation, count;
		} PACKED sub_channel;
		struct {
			uint32_t status, count;
		} PACKED sub_channel_complete;
		/* Channel numbers follow the message, `offset` bytes from its beginning. */
		struct {
			uint32_t count, offset;
		} PACKED indirection_table;
		struct {
			uint32_t operation, status;
		} PACKED packet_direct_complete;
		uint8_t bytes[NVSP_MESSAGE_SIZE_6_1 - 4];
	};
} PACKED;
_Static_assert(sizeof(struct nvsp_message) == NVSP_MESSAGE_SIZE_6_1, "wire format");
_Static_assert(offsetof(struct nvsp_message, receive_buffer_complete.end_offset) == 24,
	       "wire format");
_Static_assert(offsetof(struct nvsp_message, rndis.send_section_size) == 12, "wire format");
_Static_assert(offsetof(struct nvsp_message, ndis_config.capabilities) == 12, "wire format");
