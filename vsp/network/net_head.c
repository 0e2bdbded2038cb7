/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reading a frame's headers, no further than they are needed. */
#include "vsp/network/net_head.h"

#include "vsp/iov.h"

void net_head_init(struct net_head *head, const struct iovec *iov, unsigned iov_count,
		   size_t offset, size_t frame_size)
{
	head->frame_size = frame_size;
	head->size = head->inserted = 0;
	head->changed = false;
	head->iov = iov;
	head->iov_count = iov_count;
	head->offset = offset;
}

bool net_head_need(struct net_head *head, size_t size)
{
	size_t have = head->size;

	if (size <= have)
		return true;
	if (!net_head_may_have(head, size))
		return false;
	head->size += iov_read(head->bytes + have, size - have, head->iov, head->iov_count,
			       head->offset + have - head->inserted);
	return head->size == size;
}

void net_head_put16(struct net_head *head, size_t at, uint16_t value)
{
	if (net_get16(head->bytes + at) == value)
		return;
	net_put16(head->bytes + at, value);
	head->changed = true;
}

bool net_head_tag(struct net_head *head, uint16_t tci)
{
	if (!net_head_need(head, 12))
		return false;
	net_put16(head->bytes + 12, NET_ETHERTYPE_VLAN);
	net_put16(head->bytes + 14, tci);
	head->size = 16;
	head->inserted = NET_VLAN_SIZE;
	head->frame_size += NET_VLAN_SIZE;
	head->changed = true;
	return true;
}

/* ---- Layout ---- */

/* Walks the extension headers that may come before TCP or UDP. */
static void layout_parse_ipv6(struct net_head *head, struct net_layout *layout)
{
	size_t at = (size_t)layout->network + NET_IPV6_SIZE;
	uint8_t next;

	if (!net_head_need(head, at))
		return;
	layout->ip_version = 6;
	next = head->bytes[layout->network + 6];
	/* Hop-by-hop options, routing, destination options; a fragment's rest is not for us. */
	while (next == 0 || next == 43 || next == 60) {
		if (!net_head_need(head, at + 8))
			return;
		next = head->bytes[at];
		at += ((size_t)head->bytes[at + 1] + 1) * 8;
		layout->extended = true;
	}
	layout->transport = (uint16_t)at;
	layout->protocol = next;
}

static void layout_parse_ipv4(struct net_head *head, struct net_layout *layout)
{
	const uint8_t *ip = head->bytes + layout->network;
	size_t header_size;

	if (!net_head_need(head, (size_t)layout->network + NET_IPV4_SIZE_MIN) || ip[0] >> 4 != 4)
		return;
	header_size = (size_t)(ip[0] & 0xf) * 4;
	if (header_size < NET_IPV4_SIZE_MIN ||
	    !net_head_may_have(head, layout->network + header_size))
		return;
	layout->ip_version = 4;
	if (net_get16(ip + 6) & 0x3fff) /* a fragment */
		return;
	layout->transport = (uint16_t)(layout->network + header_size);
	layout->protocol = ip[9];
}

static bool layout_parse_transport(struct net_head *head, struct net_layout *layout)
{
	size_t at = layout->transport, header_size = NET_UDP_SIZE;

	if (layout->protocol == NET_PROTOCOL_TCP) {
		if (!net_head_need(head, at + NET_TCP_SIZE_MIN))
			return false;
		header_size = (size_t)(head->bytes[at + 12] >> 4) * 4;
		if (header_size < NET_TCP_SIZE_MIN || !net_head_may_have(head, at + header_size))
			return false;
	} else if (layout->protocol != NET_PROTOCOL_UDP ||
		   !net_head_need(head, at + NET_UDP_SIZE)) {
		return false;
	}
	layout->payload = (uint16_t)(at + header_size);
	return true;
}

void net_layout_parse(struct net_head *head, struct net_layout *ret_layout)
{
	struct net_layout layout = { .network = NET_ETHERNET_SIZE };

	if (net_head_need(head, NET_ETHERNET_SIZE))
		layout.ethertype = net_get16(head->bytes + 12);
	if (layout.ethertype == NET_ETHERTYPE_VLAN &&
	    net_head_need(head, NET_ETHERNET_SIZE + NET_VLAN_SIZE)) {
		layout.tagged = true;
		layout.ethertype = net_get16(head->bytes + 16);
		layout.network += NET_VLAN_SIZE;
	}
	if (layout.ethertype == NET_ETHERTYPE_IPV4)
		layout_parse_ipv4(head, &layout);
	else if (layout.ethertype == NET_ETHERTYPE_IPV6)
		layout_parse_ipv6(head, &layout);
	if (!layout_parse_transport(head, &layout))
		layout.protocol = 0;
	*ret_layout = layout;
}
