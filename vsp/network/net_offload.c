/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Checksums, segmentation and hashing of frames.
 *
 * A guest leaves lengths out of the headers of a large send (an adapter fills them in), and the
 * pseudo-header sum without them; a tap wants both. They are computed here from the frame's real
 * size, whatever the guest wrote.
 */
#include "vsp/network/net_offload.h"

#include "common/wire/rndis.h"

#include <errno.h>
#include <string.h>

#define TCP_CWR 0x80

/* ---- Checksums ---- */

/* Eight bytes of any alignment. */
typedef struct {
	uint64_t value;
} PACKED __attribute__((may_alias)) word_t;

static uint64_t add_with_carry(uint64_t sum, uint64_t word)
{
	return ADD_OVERFLOWS(sum, word, &sum) ? sum + 1 : sum;
}

/* The sum is the same in either byte order but for its own: RFC 1071, 2 (B). */
uint32_t net_checksum_add(uint32_t sum, const uint8_t *bytes, size_t size)
{
	uint64_t wide = 0, last = 0;
	size_t at = 0;

	for (; size - at >= sizeof(word_t); at += sizeof(word_t))
		wide = add_with_carry(wide, ((const word_t *)(bytes + at))->value);
	for (unsigned shift = 0; at < size; at++, shift += 8)
		last |= (uint64_t)bytes[at] << shift;
	wide = add_with_carry(wide, last);
	wide = (wide & UINT32_MAX) + (wide >> 32);
	wide = (wide & UINT32_MAX) + (wide >> 32);
	wide = (uint64_t)sum + __builtin_bswap16(net_checksum_fold((uint32_t)wide));
	return (uint32_t)((wide & UINT32_MAX) + (wide >> 32));
}

uint16_t net_checksum_fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

/* Behind an odd number of bytes, even and odd ones change places. */
uint32_t net_checksum_pieces(uint32_t sum, const struct iovec *iov, unsigned iov_count,
			     size_t offset, size_t size)
{
	bool odd = false;

	for (unsigned i = 0; i < iov_count && size > 0; i++) {
		size_t length = iov[i].iov_len;
		uint16_t part;

		if (offset >= length) {
			offset -= length;
			continue;
		}
		length = MIN(length - offset, size);
		part = net_checksum_fold(
			net_checksum_add(0, (const uint8_t *)iov[i].iov_base + offset, length));
		sum = net_checksum_fold(sum) + (odd ? __builtin_bswap16(part) : part);
		odd ^= length & 1;
		size -= length;
		offset = 0;
	}
	return sum;
}

uint16_t net_checksum_finish(uint32_t sum, size_t field)
{
	uint16_t checksum = (uint16_t)~net_checksum_fold(sum);

	/* For UDP, zero would mean that there is none. */
	return checksum == 0 && field == NET_UDP_CHECKSUM ? 0xffff : checksum;
}

uint32_t net_checksum_pseudo_header(const uint8_t *ip, unsigned ip_version, uint8_t protocol,
				    size_t length)
{
	uint32_t sum = (uint32_t)(protocol + (length >> 16) + (length & 0xffff));

	return ip_version == 4 ? net_checksum_add(sum, ip + 12, 8)
			       : net_checksum_add(sum, ip + 8, 32);
}

uint16_t net_checksum_ipv4(const uint8_t *ip)
{
	size_t size = (size_t)(ip[0] & 0xf) * 4;

	/* All but the field itself. */
	return (uint16_t)~net_checksum_fold(
		net_checksum_add(net_checksum_add(0, ip, 10), ip + 12, size - 12));
}

/* ---- From the guest ---- */

/*
 * The field is to hold the pseudo-header's sum. Where IPv6 extension headers change the addresses
 * that count, the guest's own sum is taken, to which it adds no length in a large send.
 */
static void prepare_transport_checksum(struct net_head *head, const struct net_layout *layout,
				       struct virtio_net_hdr *header)
{
	size_t length = head->frame_size - layout->transport, field;
	uint32_t sum;

	header->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	header->csum_start = layout->transport;
	header->csum_offset =
		layout->protocol == NET_PROTOCOL_TCP ? NET_TCP_CHECKSUM : NET_UDP_CHECKSUM;
	field = (size_t)layout->transport + header->csum_offset;
	if (!layout->extended)
		sum = net_checksum_pseudo_header(head->bytes + layout->network, layout->ip_version,
						 layout->protocol, length);
	else if (header->gso_type != VIRTIO_NET_HDR_GSO_NONE)
		sum = net_get16(head->bytes + field) + (uint32_t)length;
	else
		return;
	net_head_put16(head, field, net_checksum_fold(sum));
}

static int prepare_large_send(struct net_head *head, uint16_t segment_size,
			      const struct net_layout *layout, struct virtio_net_hdr *header)
{
	size_t length = head->frame_size - layout->network;

	if (layout->protocol != NET_PROTOCOL_TCP || head->frame_size <= layout->payload ||
	    length > UINT16_MAX || !net_head_need(head, layout->payload))
		return -EINVAL;
	header->gso_type =
		layout->ip_version == 4 ? VIRTIO_NET_HDR_GSO_TCPV4 : VIRTIO_NET_HDR_GSO_TCPV6;
	if (head->bytes[layout->transport + 13] & TCP_CWR)
		header->gso_type |= VIRTIO_NET_HDR_GSO_ECN;
	header->gso_size = segment_size;
	header->hdr_len = layout->payload;
	if (layout->ip_version == 4)
		net_head_put16(head, (size_t)layout->network + 2, (uint16_t)length);
	else
		net_head_put16(head, (size_t)layout->network + 4,
			       (uint16_t)(length - NET_IPV6_SIZE));
	/* Whoever cuts it takes what was checked here. */
	head->changed = true;
	return 0;
}

/* Return: 0; -EINVAL: the header is not whole. */
static int prepare_ip_checksum(struct net_head *head, const struct net_layout *layout)
{
	size_t at = layout->network;

	if (layout->ip_version != 4)
		return 0;
	if (!net_head_need(head, at + (size_t)(head->bytes[at] & 0xf) * 4))
		return -EINVAL;
	net_head_put16(head, at + 10, net_checksum_ipv4(head->bytes + at));
	return 0;
}

int net_offload_prepare(struct net_head *head, const struct net_offload_request *request,
			struct virtio_net_hdr *ret_header)
{
	struct virtio_net_hdr header = { 0 };
	struct net_layout layout;
	int r = 0;

	if (!request->segment_size && !request->transport_checksum && !request->ip_checksum) {
		*ret_header = header;
		return 0;
	}
	net_layout_parse(head, &layout);
	if (request->segment_size)
		r = prepare_large_send(head, request->segment_size, &layout, &header);
	if (r == 0 && (request->ip_checksum || request->segment_size))
		r = prepare_ip_checksum(head, &layout);
	if (r == 0 && (request->transport_checksum || request->segment_size)) {
		if (!layout.protocol)
			return -EINVAL;
		prepare_transport_checksum(head, &layout, &header);
	}
	if (r == 0)
		*ret_header = header;
	return r;
}

/* ---- Hashing ---- */

void net_toeplitz_init(struct net_toeplitz *toeplitz, const uint8_t *key)
{
	for (size_t byte = 0; byte < NET_TOEPLITZ_INPUT_MAX; byte++) {
		/* 32 bits of the key from this byte's first bit on, and the next eight. */
		uint64_t window = (uint64_t)net_get32(key + byte) << 8 | key[byte + 4];

		for (unsigned value = 0; value < 256; value++) {
			uint32_t hash = 0;

			for (unsigned bit = 0; bit < 8; bit++)
				if (value & 0x80u >> bit)
					hash ^= (uint32_t)(window >> (8 - bit));
			toeplitz->table[byte][value] = hash;
		}
	}
}

static uint32_t net_toeplitz_hash(const struct net_toeplitz *toeplitz, const uint8_t *input,
				  size_t size)
{
	uint32_t hash = 0;

	for (size_t i = 0; i < size; i++)
		hash ^= toeplitz->table[i][input[i]];
	return hash;
}

/* The ports of TCP and UDP count where the guest has asked for TCP's: of UDP's, NDIS knew none. */
static uint32_t hash_type_with_ports(uint32_t types, const struct net_layout *layout)
{
	bool ipv4 = layout->ip_version == 4;
	uint32_t tcp = ipv4 ? NDIS_HASH_TCP_IPV4 : NDIS_HASH_TCP_IPV6;
	uint32_t udp = ipv4 ? NDIS_HASH_UDP_IPV4 : NDIS_HASH_UDP_IPV6;

	if (layout->protocol == NET_PROTOCOL_TCP)
		return types & tcp;
	return layout->protocol == NET_PROTOCOL_UDP && (types & (tcp | udp)) ? udp : 0;
}

bool net_toeplitz_frame(const struct net_toeplitz *toeplitz, uint32_t types, const uint8_t *frame,
			const struct net_layout *layout, struct net_hash *ret_hash)
{
	bool ipv4 = layout->ip_version == 4;
	size_t addresses = ipv4 ? 8 : 32, size = addresses;
	uint8_t input[NET_TOEPLITZ_INPUT_MAX];
	uint32_t type;

	if (!layout->ip_version)
		return false;
	memcpy(input, frame + layout->network + (ipv4 ? 12 : 8), addresses);
	type = hash_type_with_ports(types, layout);
	if (type) {
		memcpy(input + addresses, frame + layout->transport, 4);
		size += 4;
	} else {
		type = types & (ipv4 ? NDIS_HASH_IPV4 : NDIS_HASH_IPV6);
		if (!type)
			return false;
	}
	ret_hash->type = type;
	ret_hash->value = net_toeplitz_hash(toeplitz, input, size);
	return true;
}
