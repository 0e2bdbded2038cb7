/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The headers that a frame begins with, and where they are.
 *
 * A frame may lie in the guest's memory, which changes under our hands. Its head is a private copy
 * of as much of its beginning as somebody has needed, made piece by piece: what is judged is the
 * copy, of which every byte was read once. Whoever changes headers changes them there, and
 * `changed` says that the copy is to be sent in place of the original.
 *
 * Sources: IEEE 802.3, 802.1Q; RFC 791, 768, 793, 8200.
 */
#pragma once

#include "common/base/cc.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define NET_HEAD_MAX       256 /* bytes in which headers must lie */
#define NET_ETHERNET_SIZE  14
#define NET_VLAN_SIZE      4
#define NET_ETHERTYPE_IPV4 0x0800
#define NET_ETHERTYPE_IPV6 0x86dd
#define NET_ETHERTYPE_VLAN 0x8100
#define NET_PROTOCOL_TCP   6
#define NET_PROTOCOL_UDP   17
#define NET_IPV4_SIZE_MIN  20
#define NET_IPV6_SIZE      40
#define NET_TCP_SIZE_MIN   20
#define NET_UDP_SIZE       8
#define NET_TCP_CHECKSUM   16 /* offset in the header */
#define NET_UDP_CHECKSUM   6

static inline uint16_t net_get16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static inline void net_put16(uint8_t *at, uint16_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static inline uint32_t net_get32(const uint8_t *at)
{
	return (uint32_t)net_get16(at) << 16 | net_get16(at + 2);
}

static inline void net_put32(uint8_t *at, uint32_t value)
{
	net_put16(at, (uint16_t)(value >> 16));
	net_put16(at + 2, (uint16_t)value);
}

struct net_head {
	size_t frame_size; /* bytes of the frame, with what was inserted */
	size_t size;       /* bytes that are here */
	size_t inserted;   /* of them, that the original has not */
	bool changed;

	/* Where the frame is: borrowed, for as long as more may be needed. */
	const struct iovec *iov;
	unsigned iov_count;
	size_t offset;

	uint8_t bytes[NET_HEAD_MAX];
};

/* A frame of `frame_size` bytes that lies `offset` bytes into a vector. */
void net_head_init(struct net_head *head, const struct iovec *iov, unsigned iov_count,
		   size_t offset, size_t frame_size);

/* Whether the frame has `size` bytes in which headers may lie. */
static inline bool net_head_may_have(const struct net_head *head, size_t size)
{
	return size <= head->frame_size && size <= NET_HEAD_MAX;
}

/* Sees to it that the first `size` bytes are here. Return: whether they are. */
bool net_head_need(struct net_head *head, size_t size);

/* Changes a word of what is here. */
void net_head_put16(struct net_head *head, size_t at, uint16_t value);

/* Puts a VLAN tag behind the addresses, before anything else is needed. Return: whether it fits. */
bool net_head_tag(struct net_head *head, uint16_t tci);

/* Where a frame's headers are, as far as they are understood. */
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

/*
 * Of headers that are understood, the parts of fixed size are in the head afterwards, and IPv6
 * extension headers; options of IPv4 and TCP need not be.
 */
void net_layout_parse(struct net_head *head, struct net_layout *ret_layout);
