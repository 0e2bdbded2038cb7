/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Checksums, segmentation and hashing of frames.
 *
 * A guest leaves lengths out of the headers of a large send (an adapter fills them in), and the
 * pseudo-header sum without them; a tap wants both. They are computed here from the frame's real
 * size, whatever the guest wrote.
 */
#include "vsp/net_offload.h"

#include "common/wire/rndis.h"

#include <errno.h>
#include <string.h>

#define IPV4_SIZE_MIN 20
#define IPV6_SIZE     40
#define TCP_SIZE_MIN  20
#define UDP_SIZE      8

#define TCP_CHECKSUM 16 /* offset in the header */
#define UDP_CHECKSUM 6
#define TCP_FIN      0x01
#define TCP_PUSH     0x08
#define TCP_CWR      0x80

static uint16_t get16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static void put16(uint8_t *at, uint16_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static uint32_t get32(const uint8_t *at)
{
	return (uint32_t)get16(at) << 16 | get16(at + 2);
}

static void put32(uint8_t *at, uint32_t value)
{
	put16(at, (uint16_t)(value >> 16));
	put16(at + 2, (uint16_t)value);
}

/* ---- Layout ---- */

/* Walks the extension headers that may come before TCP or UDP. */
static void layout_parse_ipv6(const uint8_t *frame, size_t size, struct net_layout *layout)
{
	size_t at = (size_t)layout->network + IPV6_SIZE;
	uint8_t next;

	if (size < at)
		return;
	layout->ip_version = 6;
	next = frame[layout->network + 6];
	/* Hop-by-hop options, routing, destination options; a fragment's rest is not for us. */
	while (next == 0 || next == 43 || next == 60) {
		if (size < at + 8)
			return;
		next = frame[at];
		at += ((size_t)frame[at + 1] + 1) * 8;
		layout->extended = true;
	}
	if (at > UINT16_MAX)
		return;
	layout->transport = (uint16_t)at;
	layout->protocol = next;
}

static void layout_parse_ipv4(const uint8_t *frame, size_t size, struct net_layout *layout)
{
	const uint8_t *ip = frame + layout->network;
	size_t header_size;

	if (size < (size_t)layout->network + IPV4_SIZE_MIN || ip[0] >> 4 != 4)
		return;
	header_size = (size_t)(ip[0] & 0xf) * 4;
	if (header_size < IPV4_SIZE_MIN || size < layout->network + header_size)
		return;
	layout->ip_version = 4;
	if (get16(ip + 6) & 0x3fff) /* a fragment */
		return;
	layout->transport = (uint16_t)(layout->network + header_size);
	layout->protocol = ip[9];
}

static bool layout_parse_transport(const uint8_t *frame, size_t size, struct net_layout *layout)
{
	size_t at = layout->transport, header_size = UDP_SIZE;

	if (layout->protocol == NET_PROTOCOL_TCP) {
		if (size < at + TCP_SIZE_MIN)
			return false;
		header_size = (size_t)(frame[at + 12] >> 4) * 4;
		if (header_size < TCP_SIZE_MIN)
			return false;
	} else if (layout->protocol != NET_PROTOCOL_UDP) {
		return false;
	}
	if (size < at + header_size)
		return false;
	layout->payload = (uint16_t)(at + header_size);
	return true;
}

void net_layout_parse(const uint8_t *frame, size_t size, struct net_layout *ret_layout)
{
	struct net_layout layout = { .network = NET_ETHERNET_SIZE };

	if (size >= NET_ETHERNET_SIZE)
		layout.ethertype = get16(frame + 12);
	if (layout.ethertype == NET_ETHERTYPE_VLAN && size >= NET_ETHERNET_SIZE + NET_VLAN_SIZE) {
		layout.tagged = true;
		layout.ethertype = get16(frame + 16);
		layout.network += NET_VLAN_SIZE;
	}
	if (layout.ethertype == NET_ETHERTYPE_IPV4)
		layout_parse_ipv4(frame, size, &layout);
	else if (layout.ethertype == NET_ETHERTYPE_IPV6)
		layout_parse_ipv6(frame, size, &layout);
	if (!layout_parse_transport(frame, size, &layout))
		layout.protocol = 0;
	*ret_layout = layout;
}

/* ---- Checksums ---- */

uint32_t net_checksum_add(uint32_t sum, const uint8_t *bytes, size_t size)
{
	uint64_t wide = sum;

	for (; size >= 2; bytes += 2, size -= 2)
		wide += get16(bytes);
	if (size)
		wide += (uint32_t)bytes[0] << 8;
	while (wide >> 32)
		wide = (wide & UINT32_MAX) + (wide >> 32);
	return (uint32_t)wide;
}

uint16_t net_checksum_fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

/* Addresses, protocol and length; the layout has a protocol. */
static uint32_t pseudo_header_sum(const uint8_t *frame, const struct net_layout *layout,
				  size_t length)
{
	const uint8_t *ip = frame + layout->network;
	uint32_t sum = (uint32_t)(layout->protocol + (length >> 16) + (length & 0xffff));

	return layout->ip_version == 4 ? net_checksum_add(sum, ip + 12, 8)
				       : net_checksum_add(sum, ip + 8, 32);
}

static void ipv4_checksum(uint8_t *frame, const struct net_layout *layout)
{
	uint8_t *ip = frame + layout->network;

	put16(ip + 10, 0);
	put16(ip + 10,
	      (uint16_t)~net_checksum_fold(net_checksum_add(0, ip, (size_t)(ip[0] & 0xf) * 4)));
}

/* The IP header's length field, for a frame of `size` bytes. */
static void ip_set_length(uint8_t *frame, const struct net_layout *layout, size_t size)
{
	size_t length = size - layout->network;

	if (layout->ip_version == 4)
		put16(frame + layout->network + 2, (uint16_t)length);
	else
		put16(frame + layout->network + 4, (uint16_t)(length - IPV6_SIZE));
}

static uint16_t checksum_offset(const struct net_layout *layout)
{
	return layout->protocol == NET_PROTOCOL_TCP ? TCP_CHECKSUM : UDP_CHECKSUM;
}

/* ---- From the guest ---- */

static void prepare_transport_checksum(uint8_t *prefix, size_t size,
				       const struct net_layout *layout,
				       struct virtio_net_hdr *header)
{
	header->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	header->csum_start = layout->transport;
	header->csum_offset = checksum_offset(layout);
	/* A routing header changes the addresses that count: then the guest's own sum does. */
	if (!layout->extended)
		put16(prefix + layout->transport + header->csum_offset,
		      net_checksum_fold(
			      pseudo_header_sum(prefix, layout, size - layout->transport)));
}

static int prepare_large_send(uint8_t *prefix, size_t size, uint16_t segment_size,
			      const struct net_layout *layout, struct virtio_net_hdr *header)
{
	if (layout->protocol != NET_PROTOCOL_TCP || size <= layout->payload)
		return -EINVAL;
	if (size - layout->network > UINT16_MAX)
		return -EINVAL;
	header->gso_type =
		layout->ip_version == 4 ? VIRTIO_NET_HDR_GSO_TCPV4 : VIRTIO_NET_HDR_GSO_TCPV6;
	if (prefix[layout->transport + 13] & TCP_CWR)
		header->gso_type |= VIRTIO_NET_HDR_GSO_ECN;
	header->gso_size = segment_size;
	header->hdr_len = layout->payload;
	ip_set_length(prefix, layout, size);
	return 0;
}

int net_offload_prepare(uint8_t *prefix, size_t prefix_size, size_t size,
			const struct net_wishes *wishes, struct virtio_net_hdr *ret_header)
{
	struct virtio_net_hdr header = { 0 };
	struct net_layout layout;
	int r = 0;

	if (!wishes->segment_size && !wishes->transport_checksum && !wishes->ip_checksum) {
		*ret_header = header;
		return 0;
	}
	net_layout_parse(prefix, prefix_size, &layout);
	if (wishes->segment_size)
		r = prepare_large_send(prefix, size, wishes->segment_size, &layout, &header);
	if (r < 0)
		return r;
	if ((wishes->ip_checksum || wishes->segment_size) && layout.ip_version == 4)
		ipv4_checksum(prefix, &layout);
	if (wishes->transport_checksum || wishes->segment_size) {
		if (!layout.protocol)
			return -EINVAL;
		prepare_transport_checksum(prefix, size, &layout, &header);
	}
	*ret_header = header;
	return 0;
}

size_t net_offload_finished_size(size_t size, const struct virtio_net_hdr *header)
{
	size_t segments;

	if (header->gso_type == VIRTIO_NET_HDR_GSO_NONE)
		return 4 + size;
	segments = (size - header->hdr_len + header->gso_size - 1) / header->gso_size;
	return size - header->hdr_len + segments * (4 + (size_t)header->hdr_len);
}

/* The transport checksum of a whole frame, whose field holds the pseudo-header sum. */
static void finish_checksum(uint8_t *frame, size_t size, size_t start, size_t offset)
{
	uint16_t checksum =
		(uint16_t)~net_checksum_fold(net_checksum_add(0, frame + start, size - start));

	/* For UDP, zero would mean that there is none. */
	if (checksum == 0 && offset == UDP_CHECKSUM)
		checksum = 0xffff;
	put16(frame + start + offset, checksum);
}

static void finish_segment(uint8_t *segment, size_t size, const struct net_layout *layout,
			   unsigned number, size_t payload_offset, bool last)
{
	uint8_t *ip = segment + layout->network, *tcp = segment + layout->transport;

	ip_set_length(segment, layout, size);
	if (layout->ip_version == 4) {
		put16(ip + 4, (uint16_t)(get16(ip + 4) + number));
		ipv4_checksum(segment, layout);
	}
	put32(tcp + 4, get32(tcp + 4) + (uint32_t)payload_offset);
	if (!last)
		tcp[13] &= (uint8_t) ~(TCP_FIN | TCP_PUSH);
	if (number > 0)
		tcp[13] &= (uint8_t)~TCP_CWR;
	put16(tcp + TCP_CHECKSUM,
	      net_checksum_fold(pseudo_header_sum(segment, layout, size - layout->transport)));
	finish_checksum(segment, size, layout->transport, TCP_CHECKSUM);
}

static size_t finish_large_send(const uint8_t *frame, size_t size,
				const struct virtio_net_hdr *header, uint8_t *out)
{
	size_t payload = size - header->hdr_len, done = 0;
	uint8_t *at = out;
	struct net_layout layout;

	net_layout_parse(frame, header->hdr_len, &layout);
	for (unsigned number = 0; done < payload; number++) {
		size_t part = MIN(payload - done, (size_t)header->gso_size);

		put32(at, (uint32_t)(header->hdr_len + part));
		memcpy(at + 4, frame, header->hdr_len);
		memcpy(at + 4 + header->hdr_len, frame + header->hdr_len + done, part);
		finish_segment(at + 4, header->hdr_len + part, &layout, number, done,
			       done + part == payload);
		at += 4 + header->hdr_len + part;
		done += part;
	}
	return (size_t)(at - out);
}

size_t net_offload_finish(const uint8_t *frame, size_t size, const struct virtio_net_hdr *header,
			  uint8_t *out, size_t out_size)
{
	if (out_size < net_offload_finished_size(size, header))
		return 0;
	if (header->gso_type != VIRTIO_NET_HDR_GSO_NONE)
		return finish_large_send(frame, size, header, out);
	put32(out, (uint32_t)size);
	memcpy(out + 4, frame, size);
	if (header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
		finish_checksum(out + 4, size, header->csum_start, header->csum_offset);
	return 4 + size;
}

/* ---- Hashing ---- */

void net_toeplitz_init(struct net_toeplitz *toeplitz, const uint8_t *key)
{
	for (size_t byte = 0; byte < NET_TOEPLITZ_INPUT_MAX; byte++) {
		/* 32 bits of the key from this byte's first bit on, and the next eight. */
		uint64_t window = (uint64_t)get32(key + byte) << 8 | key[byte + 4];

		for (unsigned value = 0; value < 256; value++) {
			uint32_t hash = 0;

			for (unsigned bit = 0; bit < 8; bit++)
				if (value & 0x80u >> bit)
					hash ^= (uint32_t)(window >> (8 - bit));
			toeplitz->table[byte][value] = hash;
		}
	}
}

uint32_t net_toeplitz_hash(const struct net_toeplitz *toeplitz, const uint8_t *input, size_t size)
{
	uint32_t hash = 0;

	for (size_t i = 0; i < size; i++)
		hash ^= toeplitz->table[i][input[i]];
	return hash;
}

bool net_toeplitz_frame(const struct net_toeplitz *toeplitz, uint32_t types, const uint8_t *frame,
			const struct net_layout *layout, uint32_t *ret_hash)
{
	bool ipv4 = layout->ip_version == 4;
	size_t addresses = ipv4 ? 8 : 32, size = addresses;
	uint8_t input[NET_TOEPLITZ_INPUT_MAX];
	uint32_t ports = 0;

	if (!layout->ip_version)
		return false;
	if (layout->protocol == NET_PROTOCOL_TCP)
		ports = ipv4 ? NDIS_HASH_TCP_IPV4 : NDIS_HASH_TCP_IPV6;
	else if (layout->protocol == NET_PROTOCOL_UDP)
		ports = ipv4 ? NDIS_HASH_UDP_IPV4 : NDIS_HASH_UDP_IPV6;
	memcpy(input, frame + layout->network + (ipv4 ? 12 : 8), addresses);
	if (types & ports) {
		memcpy(input + addresses, frame + layout->transport, 4);
		size += 4;
	} else if (!(types & (ipv4 ? NDIS_HASH_IPV4 : NDIS_HASH_IPV6))) {
		return false;
	}
	*ret_hash = net_toeplitz_hash(toeplitz, input, size);
	return true;
}
