/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * RNDIS, and the NDIS structures it carries, as the synthetic network adapter speaks them.
 *
 * A message is a type, its length in bytes, and a body. Offsets inside a body count from the body's
 * own beginning, behind type and length; an information buffer's from the request id. All is
 * little-endian.
 *
 * Source: Linux drivers/net/hyperv/hyperv_net.h, include/linux/rndis.h; FreeBSD sys/net/rndis.h,
 * sys/dev/hyperv/netvsc/ndis.h; Microsoft's NDIS reference for OIDs and structures.
 */
#pragma once

#include "common/base/cc.h"

#include <stddef.h>
#include <stdint.h>

enum rndis_type {
	RNDIS_PACKET = 0x00000001,
	RNDIS_INITIALIZE = 0x00000002,
	RNDIS_HALT = 0x00000003,
	RNDIS_QUERY = 0x00000004,
	RNDIS_SET = 0x00000005,
	RNDIS_RESET = 0x00000006,
	RNDIS_INDICATE_STATUS = 0x00000007,
	RNDIS_KEEP_ALIVE = 0x00000008,
};
#define RNDIS_COMPLETE 0x80000000u /* flag of the answer's type */

#define RNDIS_VERSION_MAJOR 1
#define RNDIS_VERSION_MINOR 0

#define RNDIS_STATUS_SUCCESS                     0x00000000u
#define RNDIS_STATUS_MEDIA_CONNECT               0x4001000bu
#define RNDIS_STATUS_MEDIA_DISCONNECT            0x4001000cu
#define RNDIS_STATUS_TASK_OFFLOAD_CURRENT_CONFIG 0x40020006u
#define RNDIS_STATUS_FAILURE                     0xc0000001u
#define RNDIS_STATUS_NOT_SUPPORTED               0xc00000bbu
#define RNDIS_STATUS_MULTICAST_FULL              0xc0010009u
#define RNDIS_STATUS_INVALID_LENGTH              0xc0010014u
#define RNDIS_STATUS_INVALID_DATA                0xc0010015u
#define RNDIS_STATUS_BUFFER_TOO_SHORT            0xc0010016u

struct rndis_header {
	uint32_t type; /* enum rndis_type */
	uint32_t length;
} PACKED;
_Static_assert(sizeof(struct rndis_header) == 8, "wire format");

/* ---- Control messages ---- */

/* The largest body that is of interest here, with everything that may follow it. */
union rndis_body {
	struct {
		uint32_t request_id;
		uint32_t major, minor;
		uint32_t transfer_max; /* bytes */
	} PACKED initialize;
	struct {
		uint32_t request_id;
		uint32_t status;
		uint32_t major, minor;
		uint32_t device_flags; /* 1: connectionless */
		uint32_t medium;       /* 0: 802.3 */
		uint32_t packets_max;  /* in one message to the host */
		uint32_t transfer_max; /* bytes of one message to the host */
		uint32_t alignment;    /* of the packets in it, as a power of two */
		uint32_t reserved[2];
	} PACKED initialize_complete;
	struct {
		uint32_t request_id;
		uint32_t oid;
		uint32_t length, offset; /* of the information buffer */
		uint32_t reserved;
	} PACKED query, set;
	struct {
		uint32_t request_id;
		uint32_t status;
		uint32_t length, offset;
	} PACKED query_complete;
	struct {
		uint32_t request_id;
		uint32_t status;
	} PACKED set_complete, keep_alive_complete;
	struct {
		uint32_t request_id;
	} PACKED halt, keep_alive;
	struct {
		uint32_t status;
		uint32_t addressing_reset;
	} PACKED reset_complete;
	struct {
		uint32_t status;
		uint32_t length, offset;
	} PACKED indicate_status;
} PACKED;
_Static_assert(sizeof(union rndis_body) == 44, "wire format");
_Static_assert(offsetof(union rndis_body, query.offset) == 12, "wire format");

/* ---- Packets ---- */

struct rndis_packet {
	uint32_t data_offset, data_length;
	uint32_t oob_offset, oob_length, oob_count;
	uint32_t info_offset, info_length; /* of the per-packet information */
	uint32_t reserved[2];
} PACKED;
_Static_assert(sizeof(struct rndis_packet) == 36, "wire format");

struct rndis_packet_info {
	uint32_t size;   /* bytes, with this header and the value */
	uint32_t type;   /* enum rndis_info; RNDIS_INFO_INTERNAL is a flag */
	uint32_t offset; /* of the value, from here */
} PACKED;
_Static_assert(sizeof(struct rndis_packet_info) == 12, "wire format");

enum rndis_info {
	RNDIS_INFO_CHECKSUM = 0,
	RNDIS_INFO_LARGE_SEND = 2,
	RNDIS_INFO_8021Q = 6,
	RNDIS_INFO_HASH_VALUE = 8,
	RNDIS_INFO_HASH_INFO = 9, /* NDIS_HASH_ and the function */
};
#define RNDIS_INFO_INTERNAL 0x80000000u
#define RNDIS_INFO_ID       (RNDIS_INFO_INTERNAL | 1u) /* struct rndis_packet_id */

/* Bits of RNDIS_INFO_CHECKSUM to the host; the rest is the TCP header's offset. */
#define RNDIS_SEND_IPV4            0x00000001u
#define RNDIS_SEND_IPV6            0x00000002u
#define RNDIS_SEND_TCP_CHECKSUM    0x00000004u
#define RNDIS_SEND_UDP_CHECKSUM    0x00000008u
#define RNDIS_SEND_IP_CHECKSUM     0x00000010u
#define RNDIS_SEND_TRANSPORT(info) ((info) >> 16 & 0x3ffu)

/* Bits of RNDIS_INFO_CHECKSUM to the guest. */
#define RNDIS_RECEIVE_TCP_SUCCEEDED 0x00000008u
#define RNDIS_RECEIVE_UDP_SUCCEEDED 0x00000010u
#define RNDIS_RECEIVE_IP_SUCCEEDED  0x00000020u

/* RNDIS_INFO_LARGE_SEND, version 2. */
#define RNDIS_LARGE_SEND_SEGMENT(info)   ((info)&0xfffffu)
#define RNDIS_LARGE_SEND_TRANSPORT(info) ((info) >> 20 & 0x3ffu)
#define RNDIS_LARGE_SEND_V2              0x40000000u
#define RNDIS_LARGE_SEND_IPV6            0x80000000u

/* RNDIS_INFO_8021Q: priority in bits 0 to 2, DEI in bit 3, VLAN in bits 4 to 15. */
static inline uint32_t rndis_8021q_from_tci(uint16_t tci)
{
	return (uint32_t)(tci >> 13 | (tci >> 12 & 1) << 3 | (tci & 0xfff) << 4);
}

static inline uint16_t rndis_8021q_to_tci(uint32_t info)
{
	return (uint16_t)((info & 7) << 13 | (info >> 3 & 1) << 12 | (info >> 4 & 0xfff));
}

/* A frame to the guest may lie in several slots: one message each, in one transfer-page packet. */
struct rndis_packet_id {
	uint8_t version; /* 1 */
	uint8_t flags;   /* RNDIS_PACKET_ID_ */
	uint16_t id;
} PACKED;
_Static_assert(sizeof(struct rndis_packet_id) == 4, "wire format");

#define RNDIS_PACKET_ID_FRAGMENT 0x1u
#define RNDIS_PACKET_ID_FIRST    0x2u
#define RNDIS_PACKET_ID_LAST     0x4u

/* ---- OIDs ---- */

enum rndis_oid {
	OID_GEN_SUPPORTED_LIST = 0x00010101,
	OID_GEN_HARDWARE_STATUS = 0x00010102,
	OID_GEN_MEDIA_SUPPORTED = 0x00010103,
	OID_GEN_MEDIA_IN_USE = 0x00010104,
	OID_GEN_MAXIMUM_LOOKAHEAD = 0x00010105,
	OID_GEN_MAXIMUM_FRAME_SIZE = 0x00010106,
	OID_GEN_LINK_SPEED = 0x00010107,
	OID_GEN_TRANSMIT_BUFFER_SPACE = 0x00010108,
	OID_GEN_RECEIVE_BUFFER_SPACE = 0x00010109,
	OID_GEN_TRANSMIT_BLOCK_SIZE = 0x0001010a,
	OID_GEN_RECEIVE_BLOCK_SIZE = 0x0001010b,
	OID_GEN_VENDOR_ID = 0x0001010c,
	OID_GEN_VENDOR_DESCRIPTION = 0x0001010d,
	OID_GEN_CURRENT_PACKET_FILTER = 0x0001010e,
	OID_GEN_CURRENT_LOOKAHEAD = 0x0001010f,
	OID_GEN_DRIVER_VERSION = 0x00010110,
	OID_GEN_MAXIMUM_TOTAL_SIZE = 0x00010111,
	OID_GEN_PROTOCOL_OPTIONS = 0x00010112,
	OID_GEN_MAC_OPTIONS = 0x00010113,
	OID_GEN_MEDIA_CONNECT_STATUS = 0x00010114,
	OID_GEN_MAXIMUM_SEND_PACKETS = 0x00010115,
	OID_GEN_VENDOR_DRIVER_VERSION = 0x00010116,
	OID_GEN_NETWORK_LAYER_ADDRESSES = 0x00010118,
	OID_GEN_RNDIS_CONFIG_PARAMETER = 0x0001021b,
	OID_GEN_MAX_LINK_SPEED = 0x00010206,
	OID_GEN_LINK_STATE = 0x00010207,
	OID_GEN_STATISTICS = 0x00020106,
	OID_GEN_FRIENDLY_NAME = 0x00020216,
	OID_GEN_BYTES_RCV = 0x00020219,
	OID_GEN_BYTES_XMIT = 0x0002021a,
	OID_GEN_RCV_DISCARDS = 0x0002021b,
	OID_GEN_XMIT_DISCARDS = 0x0002021c,
	OID_GEN_RECEIVE_SCALE_CAPABILITIES = 0x00010203,
	OID_GEN_RECEIVE_SCALE_PARAMETERS = 0x00010204,
	OID_GEN_XMIT_OK = 0x00020101,
	OID_GEN_RCV_OK = 0x00020102,
	OID_GEN_XMIT_ERROR = 0x00020103,
	OID_GEN_RCV_ERROR = 0x00020104,
	OID_GEN_RCV_NO_BUFFER = 0x00020105,
	OID_802_3_PERMANENT_ADDRESS = 0x01010101,
	OID_802_3_CURRENT_ADDRESS = 0x01010102,
	OID_802_3_MULTICAST_LIST = 0x01010103,
	OID_802_3_MAXIMUM_LIST_SIZE = 0x01010104,
	OID_802_3_MAC_OPTIONS = 0x01010105,
	OID_OFFLOAD_ENCAPSULATION = 0x0101010a,
	OID_802_3_RCV_ERROR_ALIGNMENT = 0x01020101,
	OID_802_3_XMIT_ONE_COLLISION = 0x01020102,
	OID_802_3_XMIT_MORE_COLLISIONS = 0x01020103,
	OID_TCP_OFFLOAD_CURRENT_CONFIG = (int)0xfc01020b,
	OID_TCP_OFFLOAD_PARAMETERS = (int)0xfc01020c,
	OID_TCP_OFFLOAD_HARDWARE_CAPABILITIES = (int)0xfc01020d,
};

#define NDIS_PACKET_DIRECTED      0x00000001u
#define NDIS_PACKET_MULTICAST     0x00000002u
#define NDIS_PACKET_ALL_MULTICAST 0x00000004u
#define NDIS_PACKET_BROADCAST     0x00000008u
#define NDIS_PACKET_PROMISCUOUS   0x00000020u

/* OID_GEN_MAC_OPTIONS */
#define NDIS_MAC_COPY_LOOKAHEAD     0x00000001u
#define NDIS_MAC_TRANSFERS_NOT_PEND 0x00000004u
#define NDIS_MAC_NO_LOOPBACK        0x00000008u
#define NDIS_MAC_8021P_PRIORITY     0x00000040u
#define NDIS_MAC_8021Q_VLAN         0x00000200u

/* OID_GEN_FRIENDLY_NAME: UTF-16, closed by zeros, always so long; Linux looks for the end. */
#define RNDIS_FRIENDLY_NAME_SIZE 512

#define NDIS_MEDIA_CONNECTED    0u
#define NDIS_MEDIA_DISCONNECTED 1u

/* OID_GEN_RNDIS_CONFIG_PARAMETER; offsets are from here, texts are UTF-16. */
struct rndis_config_parameter {
	uint32_t name_offset, name_length;
	uint32_t type; /* RNDIS_CONFIG_ */
	uint32_t value_offset, value_length;
} PACKED;
_Static_assert(sizeof(struct rndis_config_parameter) == 20, "wire format");
#define RNDIS_CONFIG_STRING 2u

struct ndis_header {
	uint8_t type; /* NDIS_OBJECT_ */
	uint8_t revision;
	uint16_t size;
} PACKED;

#define NDIS_OBJECT_DEFAULT          0x80
#define NDIS_OBJECT_RSS_CAPABILITIES 0x88
#define NDIS_OBJECT_RSS_PARAMETERS   0x89
#define NDIS_OBJECT_OFFLOAD          0xa7

#define NDIS_OBJECT_OFFLOAD_ENCAPSULATION 0xa8

#define NDIS_ENCAPSULATION_8023 0x2u
#define NDIS_ETHERNET_SIZE      14u

/* OID_OFFLOAD_ENCAPSULATION */
struct ndis_offload_encapsulation {
	struct ndis_header header;
	struct {
		uint32_t enabled; /* NDIS_ENCAPSULATION_ON, or not */
		uint32_t type;    /* NDIS_ENCAPSULATION_8023 */
		uint32_t header_size;
	} PACKED ipv4, ipv6;
} PACKED;
_Static_assert(sizeof(struct ndis_offload_encapsulation) == 28, "wire format");

#define NDIS_ENCAPSULATION_ON 1u

/* ndis_offload: checksums of IPv4 */
#define NDIS_CHECKSUM_IP_OPTIONS  0x001u
#define NDIS_CHECKSUM_TCP_OPTIONS 0x004u
#define NDIS_CHECKSUM_TCP         0x010u
#define NDIS_CHECKSUM_UDP         0x040u
#define NDIS_CHECKSUM_IP          0x100u
/* … and of IPv6, whose extension headers have the bit of IPv4's options */

#define NDIS_LARGE_SEND_IPV6_EXTENSIONS 0x1u
#define NDIS_LARGE_SEND_TCP_OPTIONS     0x4u

struct ndis_checksum_offload {
	uint32_t encapsulation, flags;
} PACKED;

/*
 * OID_TCP_OFFLOAD_HARDWARE_CAPABILITIES. Revision 1 ends before ipsec_v2, 2 before rsc. FreeBSD's
 * and older Linux' headers have longer fields in ipsec_v2 than Windows, and so other sizes; what
 * they read lies before it.
 */
struct ndis_offload {
	struct ndis_header header;
	struct ndis_checksum_offload ipv4_send, ipv4_receive, ipv6_send, ipv6_receive;
	uint32_t large_send_v1[4];
	uint32_t ipsec_v1[7];
	struct {
		uint32_t ipv4_encapsulation, ipv4_size_max, ipv4_segments_min;
		uint32_t ipv6_encapsulation, ipv6_size_max, ipv6_segments_min, ipv6_options;
	} PACKED large_send_v2;
	uint32_t flags;
	uint8_t ipsec_v2[32];
	struct {
		uint8_t ipv4, ipv6;
		uint16_t padding;
	} PACKED rsc;
	struct {
		uint32_t flags, header_max;
	} PACKED encapsulated;
} PACKED;
_Static_assert(offsetof(struct ndis_offload, ipsec_v2) == 112, "wire format");
_Static_assert(offsetof(struct ndis_offload, rsc.ipv6) == 145, "wire format");
_Static_assert(sizeof(struct ndis_offload) == 156, "wire format");

#define NDIS_OFFLOAD_REVISION_1      1
#define NDIS_OFFLOAD_REVISION_2      2
#define NDIS_OFFLOAD_REVISION_3      3
#define NDIS_OFFLOAD_SIZE_REVISION_1 112
#define NDIS_OFFLOAD_SIZE_REVISION_2 144
#define NDIS_OFFLOAD_SIZE_REVISION_3 156

/*
 * OID_TCP_OFFLOAD_PARAMETERS; each byte 0: no change. Of checksums 1: off, 2: of what is sent, 3:
 * of what is received, 4: of both; else an NDIS_OFFLOAD_ value.
 */
struct ndis_offload_parameters {
	struct ndis_header header;
	uint8_t checksum[5]; /* IPv4; TCP and UDP in IPv4; TCP and UDP in IPv6 */
	uint8_t large_send_v1, ipsec_v1, large_send_v2_ipv4, large_send_v2_ipv6;
	uint8_t tcp_connection_ipv4, tcp_connection_ipv6;
	uint8_t padding;
	uint32_t flags;
	uint8_t ipsec_v2, ipsec_v2_ipv4;
	uint8_t rsc_ipv4, rsc_ipv6;
	uint8_t encapsulated, encapsulation_types;
} PACKED;
_Static_assert(offsetof(struct ndis_offload_parameters, flags) == 16, "wire format");
_Static_assert(offsetof(struct ndis_offload_parameters, rsc_ipv4) == 22, "wire format");
#define NDIS_OFFLOAD_PARAMETERS_SIZE_MIN 15 /* up to tcp_connection_ipv6 */

#define NDIS_OFFLOAD_DISABLED 1 /* of large_send and rsc */
#define NDIS_OFFLOAD_ENABLED  2

/* OID_GEN_RECEIVE_SCALE_CAPABILITIES */
struct ndis_rss_capabilities {
	struct ndis_header header;
	uint32_t flags;         /* NDIS_RSS_ */
	uint32_t message_count; /* interrupts */
	uint32_t queue_count;
	uint16_t table_size; /* entries; revision 2 on */
	uint16_t padding;
} PACKED;
_Static_assert(sizeof(struct ndis_rss_capabilities) == 20, "wire format");
#define NDIS_RSS_CAPABILITIES_SIZE     18 /* without the padding */
#define NDIS_RSS_CAPABILITIES_SIZE_MIN 16 /* revision 1 */

#define NDIS_RSS_TOEPLITZ          0x00000001u
#define NDIS_RSS_HASH_TCP_IPV4     0x00000100u
#define NDIS_RSS_HASH_TCP_IPV6     0x00000200u
#define NDIS_RSS_HASH_TCP_IPV6_EX  0x00000400u
#define NDIS_RSS_MESSAGE_INTERRUPT 0x01000000u
#define NDIS_RSS_CLASSIFY_IN_ISR   0x02000000u
#define NDIS_RSS_CLASSIFY_IN_DPC   0x04000000u

/* OID_GEN_RECEIVE_SCALE_PARAMETERS; offsets are from here. */
struct ndis_rss_parameters {
	struct ndis_header header;
	uint16_t flags; /* NDIS_RSS_PARAMETERS_ */
	uint16_t base_processor;
	uint32_t hash;       /* NDIS_HASH_, and the function */
	uint16_t table_size; /* bytes */
	uint16_t padding;
	uint32_t table_offset;
	uint16_t key_size; /* bytes */
	uint16_t padding_2;
	uint32_t key_offset;
	uint32_t masks_offset, mask_count, mask_size;
} PACKED;
_Static_assert(offsetof(struct ndis_rss_parameters, table_offset) == 16, "wire format");
_Static_assert(offsetof(struct ndis_rss_parameters, key_offset) == 24, "wire format");
_Static_assert(sizeof(struct ndis_rss_parameters) == 40, "wire format");
#define NDIS_RSS_PARAMETERS_SIZE_MIN 28 /* up to key_offset */

#define NDIS_RSS_PARAMETERS_HASH_UNCHANGED  0x0002u
#define NDIS_RSS_PARAMETERS_TABLE_UNCHANGED 0x0004u
#define NDIS_RSS_PARAMETERS_KEY_UNCHANGED   0x0008u
#define NDIS_RSS_PARAMETERS_DISABLE         0x0010u

#define NDIS_HASH_IPV4     0x00000100u
#define NDIS_HASH_TCP_IPV4 0x00000200u
#define NDIS_HASH_IPV6     0x00000400u
#define NDIS_HASH_TCP_IPV6 0x00001000u
#define NDIS_HASH_UDP_IPV4 0x00004000u
#define NDIS_HASH_UDP_IPV6 0x00008000u

#define NDIS_RSS_TABLE_SIZE 128 /* entries */
#define NDIS_RSS_KEY_SIZE   40  /* bytes */
