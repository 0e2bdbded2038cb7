/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What network hardware does to frames: checksums, segmentation, hashing.
 *
 * A frame's headers are looked at in a private copy of its beginning. Everything here is arithmetic
 * on bytes, and safe on any bytes.
 *
 * Sources: RFC 791, 768, 793, 8200, 1071; virtio 1.1, 5.1.6; Microsoft's NDIS reference, "RSS
 * Hashing Functions"; Linux include/uapi/linux/virtio_net.h.
 */
#pragma once

#include "common/base/cc.h"

#include <linux/virtio_net.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define NET_ETHERNET_SIZE  14
#define NET_VLAN_SIZE      4
#define NET_ETHERTYPE_IPV4 0x0800
#define NET_ETHERTYPE_IPV6 0x86dd
#define NET_ETHERTYPE_VLAN 0x8100
#define NET_PROTOCOL_TCP   6
#define NET_PROTOCOL_UDP   17

/* Where a frame's headers are, as far as they are understood and in the bytes given. */
struct net_layout {
	uint16_t ethertype; /* behind a VLAN tag */
	uint8_t ip_version; /* 4, 6; 0: neither, or not whole */
	uint8_t protocol;   /* NET_PROTOCOL_; 0: another, a later fragment, or not whole */
	uint16_t network;   /* offset of the IP header */
	uint16_t transport; /* offset of the TCP or UDP header */
	uint16_t payload;   /* offset behind it */
	bool tagged;        /* there is a VLAN tag */
	bool extended;      /* IPv6 extension headers lie between */
};

void net_layout_parse(const uint8_t *frame, size_t size, struct net_layout *ret_layout);

/* ---- Frames from the guest ---- */

/* What the guest wants done; zero: nothing. */
struct net_wishes {
	bool ip_checksum;        /* of the IPv4 header */
	bool transport_checksum; /* TCP's or UDP's */
	uint16_t segment_size;   /* not 0: TCP payload bytes of each segment */
};

/*
 * Prepares the beginning of a frame of `size` bytes and the header before it, as a tap wants them:
 * lengths, IP checksum and pseudo-header sum are put in. Return: 0; -EINVAL: the wishes do not fit
 * the frame.
 */
int net_offload_prepare(uint8_t *prefix, size_t prefix_size, size_t size,
			const struct net_wishes *wishes,
			struct virtio_net_hdr *ret_header) MUST_CHECK;

/*
 * The same frame finished here, for a network that takes plain frames: appends frames of what the
 * header describes, each behind its length in 4 big-endian bytes, to `out`. frame: all of it, its
 * headers checked by net_offload_prepare(). Return: bytes written; 0 if `out` has no room.
 */
size_t net_offload_finish(const uint8_t *frame, size_t size, const struct virtio_net_hdr *header,
			  uint8_t *out, size_t out_size);

/* So many bytes for a frame of `size`. */
size_t net_offload_finished_size(size_t size, const struct virtio_net_hdr *header);

/* The Internet checksum's sum, unfolded, continuing `sum`. */
uint32_t net_checksum_add(uint32_t sum, const uint8_t *bytes, size_t size);
uint16_t net_checksum_fold(uint32_t sum);

/* ---- Receive-side scaling ---- */

#define NET_TOEPLITZ_INPUT_MAX 36 /* two IPv6 addresses and ports */

struct net_toeplitz {
	uint32_t table[NET_TOEPLITZ_INPUT_MAX][256];
};

/* key: 40 bytes. */
void net_toeplitz_init(struct net_toeplitz *toeplitz, const uint8_t *key);
uint32_t net_toeplitz_hash(const struct net_toeplitz *toeplitz, const uint8_t *input, size_t size);

/*
 * The hash of a frame, by NDIS_HASH_ types of common/wire/rndis.h. Return: whether the frame has
 * one.
 */
bool net_toeplitz_frame(const struct net_toeplitz *toeplitz, uint32_t types, const uint8_t *frame,
			const struct net_layout *layout, uint32_t *ret_hash);
