/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The RNDIS device that a network adapter is to its guest: requests, OIDs, and packets.
 *
 *   rndis.c         control messages
 *   rndis_oid.c     the table of OIDs, and their values
 *   rndis_packet.c  data messages
 *
 * A struct rndis is plain state; nothing here waits or calls out. What a guest changed that others
 * have to follow is noted in `changes`.
 */
#pragma once

#include "common/base/cc.h"
#include "common/wire/rndis.h"

#include <linux/virtio_net.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define RNDIS_CONTROL_MAX   1024 /* bytes of a control message, either way */
#define RNDIS_MULTICAST_MAX 64
#define RNDIS_MAC_SIZE      6
#define RNDIS_NAME_MAX      64

/* rndis.changes */
#define RNDIS_CHANGED_OFFLOADS       0x1u
#define RNDIS_CHANGED_STATE          0x2u
#define RNDIS_CHANGED_CURRENT_CONFIG 0x4u /* the guest is to be told, rndis_indicate_offloads() */

/* As struct ndis_offload_parameters has them. */
enum rndis_checksum {
	RNDIS_CHECKSUM_IP,
	RNDIS_CHECKSUM_TCP_IPV4,
	RNDIS_CHECKSUM_UDP_IPV4,
	RNDIS_CHECKSUM_TCP_IPV6,
	RNDIS_CHECKSUM_UDP_IPV6,
	RNDIS_CHECKSUM_COUNT,
};

#define RNDIS_OFFLOAD_SEND    1
#define RNDIS_OFFLOAD_RECEIVE 2
#define RNDIS_OFFLOAD_BOTH    3

struct rndis_offloads {
	uint8_t checksum[RNDIS_CHECKSUM_COUNT]; /* RNDIS_OFFLOAD_ */
	bool large_send_ipv4, large_send_ipv6;
};

struct rndis_counters {
	uint64_t sent_frames, sent_bytes, sent_dropped;
	uint64_t received_frames, received_bytes, received_dropped;
	uint64_t refused; /* malformed messages and packets */
};

struct rndis {
	/* Set by the owner. */
	uint8_t permanent_mac[RNDIS_MAC_SIZE];
	char name[RNDIS_NAME_MAX]; /* ASCII */
	bool mac_changeable;
	unsigned mtu;         /* the guest's, or that it is to begin with */
	unsigned queue_count; /* channels that there may be */
	bool link_up;
	uint32_t ndis_version; /* major << 16 | minor, as the guest said */
	bool rsc_possible;     /* frames in fragments, by the version negotiated */
	struct rndis_counters counters;

	/* The guest's. */
	bool initialized;
	uint8_t mac[RNDIS_MAC_SIZE];
	uint32_t filter; /* NDIS_PACKET_ */
	uint32_t lookahead;
	uint8_t multicast[RNDIS_MULTICAST_MAX][RNDIS_MAC_SIZE];
	unsigned multicast_count;
	struct rndis_offloads offloads; /* that it makes use of */
	bool rsc_ipv4, rsc_ipv6;        /* likewise */
	bool rss;
	uint32_t hash_types; /* NDIS_HASH_ */
	uint8_t key[NDIS_RSS_KEY_SIZE];
	uint16_t table[NDIS_RSS_TABLE_SIZE];
	unsigned table_size; /* entries */
	unsigned changes;    /* RNDIS_CHANGED_, cleared by the owner */
};

/* A guest that knows nothing yet: the owner's part stays. */
void rndis_reset(struct rndis *rndis);

/*
 * A control message from the guest. reply: RNDIS_CONTROL_MAX bytes. Return: the size of the reply;
 * 0: none is due, or the message was malformed.
 */
size_t rndis_control(struct rndis *rndis, const void *message, size_t size, void *reply);

/* The message that tells of the link. Return: its size. */
size_t rndis_indicate_link(const struct rndis *rndis, bool up, void *message);

/* The message that tells of the offloads in use. Return: its size. */
size_t rndis_indicate_offloads(const struct rndis *rndis, void *message);

/* Whether the guest wants a frame to this address. */
bool rndis_accepts(const struct rndis *rndis, const uint8_t *destination);

/* ---- rndis_offload.c ---- */

void rndis_reset_offloads(struct rndis *rndis);

/* ---- rndis_oid.c ---- */

/* value: RNDIS_CONTROL_MAX - 24 bytes. input: what came with the query. Return: RNDIS_STATUS_. */
uint32_t rndis_oid_query(struct rndis *rndis, uint32_t oid, const void *input, size_t input_size,
			 void *value, size_t *ret_size);
uint32_t rndis_oid_set(struct rndis *rndis, uint32_t oid, const void *value, size_t size);

/* ---- rndis_packet.c ---- */

/* A data message from the guest. Offsets count from the beginning of the message. */
struct rndis_frame {
	uint32_t message_size; /* up to the next message */
	uint32_t data_offset, data_size;
	bool tagged;
	uint16_t tci;      /* of the VLAN tag that is to be put in */
	uint32_t checksum; /* RNDIS_SEND_ */
	uint32_t large_send;
};

/* The message that begins at `offset`. Return: 0; -EINVAL. */
int rndis_packet_parse(const struct iovec *iov, unsigned iov_count, size_t offset,
		       struct rndis_frame *ret_frame) MUST_CHECK;

/* What goes before a frame, or a fragment of one, to the guest. */
struct rndis_envelope {
	uint32_t data_size;
	uint32_t data_offset; /* RNDIS_ENVELOPE_MAX or more */
	bool tagged, hashed;
	uint16_t tci;
	uint32_t hash, hash_info; /* of a hashed one: NDIS_HASH_ and the function */
	uint32_t checksum;        /* RNDIS_RECEIVE_; 0: none */
	uint8_t fragment;         /* RNDIS_PACKET_ID_; 0: a whole frame */
	uint16_t fragment_id;
};

#define RNDIS_ENVELOPE_MAX 128 /* bytes */

/* Return: bytes written, at most RNDIS_ENVELOPE_MAX. */
size_t rndis_envelope_write(const struct rndis_envelope *envelope, uint8_t *out);
