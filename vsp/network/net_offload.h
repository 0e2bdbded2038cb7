/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What network hardware does to frames: checksums, segmentation, hashing.
 *
 * A frame's headers are looked at in a private copy of its beginning (vsp/network/net_head.h).
 * Everything here is arithmetic on bytes, and safe on any bytes.
 *
 * Sources: RFC 1071; virtio 1.1, 5.1.6; Microsoft's NDIS reference, "RSS Hashing Functions"; Linux
 * include/uapi/linux/virtio_net.h.
 */
#pragma once

#include "common/base/cc.h"
#include "vsp/network/net_head.h"

#include <linux/virtio_net.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/* ---- Frames from the guest ---- */

/* What the guest wants done; zero: nothing. */
struct net_offload_request {
	bool ip_checksum;        /* of the IPv4 header */
	bool transport_checksum; /* TCP's or UDP's */
	uint16_t segment_size;   /* not 0: TCP payload bytes of each segment */
};

/*
 * Prepares a frame's headers and the header before it, as a tap wants them: lengths, IP checksum
 * and pseudo-header sum are put in, where they are not there already. The headers of a large send
 * are in the head afterwards, whole. Return: 0; -EINVAL: the requests do not fit the frame.
 */
int net_offload_prepare(struct net_head *head, const struct net_offload_request *request,
			struct virtio_net_hdr *ret_header) MUST_CHECK;

/* ---- Checksums ---- */

/* The Internet checksum's sum, unfolded, continuing `sum`. */
uint32_t net_checksum_add(uint32_t sum, const uint8_t *bytes, size_t size);
uint16_t net_checksum_fold(uint32_t sum);

/*
 * The sum of `size` bytes from `offset` on, which lie in pieces; `sum` is that of an even number.
 */
uint32_t net_checksum_pieces(uint32_t sum, const struct iovec *iov, unsigned iov_count,
			     size_t offset, size_t size);

/* What goes into the field `field` bytes into the transport's header. */
uint16_t net_checksum_finish(uint32_t sum, size_t field);

/* The sum of what TCP and UDP count besides: addresses, protocol, and their length. */
uint32_t net_checksum_pseudo_header(const uint8_t *ip, unsigned ip_version, uint8_t protocol,
				    size_t length);

/* The checksum of an IPv4 header, which is whole. */
uint16_t net_checksum_ipv4(const uint8_t *ip);

/* ---- Receive-side scaling ---- */

#define NET_TOEPLITZ_INPUT_MAX 36 /* two IPv6 addresses and ports */

struct net_toeplitz {
	uint32_t table[NET_TOEPLITZ_INPUT_MAX][256];
};

/* key: 40 bytes. */
void net_toeplitz_init(struct net_toeplitz *toeplitz, const uint8_t *key);

struct net_hash {
	uint32_t type; /* what was hashed: NDIS_HASH_ of common/wire/rndis.h */
	uint32_t value;
};

/*
 * The hash of a frame, if it is of one of the types. Where TCP's ports count, UDP's do, too, as
 * with Hyper-V (Linux Documentation/networking/device_drivers/ethernet/microsoft/netvsc.rst).
 * Return: whether it has one.
 */
bool net_toeplitz_frame(const struct net_toeplitz *toeplitz, uint32_t types, const uint8_t *frame,
			const struct net_layout *layout, struct net_hash *ret_hash);
