/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Cutting frames into plain ones, by naming their pieces. */
#include "vsp/network/net_gather.h"

#include "vsp/iov.h"
#include "vsp/network/net_offload.h"

#define LENGTH_SIZE 4 /* before each frame */
#define CSUM_SIZE   2
#define TCP_FIN     0x01
#define TCP_PUSH    0x08
#define TCP_CWR     0x80

#define SEGMENTS_MAX (NET_FRAME_MAX / NET_GATHER_SEGMENT + 1)
_Static_assert((LENGTH_SIZE + NET_HEAD_MAX) * SEGMENTS_MAX <= NET_GATHER_OWN, "any frame fits");
_Static_assert(2 * SEGMENTS_MAX + NET_FRAME_PIECES <= NET_GATHER_PIECES, "any frame fits");

/* A frame without its virtio header. */
struct source {
	const struct virtio_net_hdr *header;
	const struct iovec *iov;
	unsigned count;
	size_t size;
};

static bool is_large(const struct virtio_net_hdr *header)
{
	return header->gso_type != VIRTIO_NET_HDR_GSO_NONE;
}

static bool is_ipv4(const struct virtio_net_hdr *header)
{
	return (header->gso_type & ~VIRTIO_NET_HDR_GSO_ECN) == VIRTIO_NET_HDR_GSO_TCPV4;
}

static size_t segment_count(const struct source *source)
{
	return (source->size - source->header->hdr_len + source->header->gso_size - 1) /
	       source->header->gso_size;
}

static bool has_room(const struct net_gather *gather, const struct source *source)
{
	size_t own = LENGTH_SIZE + CSUM_SIZE, pieces = 3 + source->count;

	if (is_large(source->header)) {
		own = segment_count(source) * (LENGTH_SIZE + (size_t)source->header->hdr_len);
		/* Each has its headers, and may end within a piece of the frame. */
		pieces = 2 * segment_count(source) + source->count;
	}
	return own <= NET_GATHER_OWN - gather->own_size &&
	       pieces <= NET_GATHER_PIECES - gather->count;
}

static uint8_t *add_own(struct net_gather *gather, size_t size)
{
	uint8_t *own = gather->own + gather->own_size;

	gather->own_size += size;
	gather->size += size;
	gather->pieces[gather->count++] = (struct iovec){ own, size };
	return own;
}

static void add_part(struct net_gather *gather, const struct source *source, size_t offset,
		     size_t size)
{
	gather->count +=
		iov_slice(source->iov, source->count, offset, size, gather->pieces + gather->count);
	gather->size += size;
}

/* The field of the checksum holds the pseudo-header's sum, and is replaced in the stream alone. */
static void add_plain(struct net_gather *gather, const struct source *source)
{
	size_t start = source->header->csum_start, field = start + source->header->csum_offset;
	uint32_t sum;

	net_put32(add_own(gather, LENGTH_SIZE), (uint32_t)source->size);
	if (!(source->header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)) {
		add_part(gather, source, 0, source->size);
		return;
	}
	sum = net_checksum_pieces(0, source->iov, source->count, start, source->size - start);
	add_part(gather, source, 0, field);
	net_put16(add_own(gather, CSUM_SIZE),
		  net_checksum_finish(sum, source->header->csum_offset));
	add_part(gather, source, field + CSUM_SIZE, source->size - field - CSUM_SIZE);
}

/* ---- Large sends ---- */

/* One segment of a large send. */
struct segment {
	const struct source *source;
	unsigned number;
	size_t done, size; /* of the payload: before it, and in it */
	bool last;
};

static void segment_finish_ip(const struct segment *segment, uint8_t *ip, size_t length)
{
	if (is_ipv4(segment->source->header)) {
		net_put16(ip + 2, (uint16_t)length);
		net_put16(ip + 4, (uint16_t)(net_get16(ip + 4) + segment->number));
		net_put16(ip + 10, net_checksum_ipv4(ip));
	} else {
		net_put16(ip + 4, (uint16_t)(length - NET_IPV6_SIZE));
	}
}

static void segment_finish_tcp(const struct segment *segment, uint8_t *tcp)
{
	net_put32(tcp + 4, net_get32(tcp + 4) + (uint32_t)segment->done);
	if (!segment->last)
		tcp[13] &= (uint8_t) ~(TCP_FIN | TCP_PUSH);
	if (segment->number > 0)
		tcp[13] &= (uint8_t)~TCP_CWR;
}

/* Headers as they were checked: net_offload_prepare() has found them to be IP and TCP. */
static void segment_finish(const struct segment *segment, uint8_t *headers)
{
	const struct virtio_net_hdr *header = segment->source->header;
	size_t network = net_get16(headers + 12) == NET_ETHERTYPE_VLAN
				 ? NET_ETHERNET_SIZE + NET_VLAN_SIZE
				 : NET_ETHERNET_SIZE;
	size_t size = header->hdr_len + segment->size, start = header->csum_start;
	uint8_t *ip = headers + network, *tcp = headers + start;
	uint32_t sum;

	segment_finish_ip(segment, ip, size - network);
	segment_finish_tcp(segment, tcp);
	/* The pseudo-header's sum, but for the length, is the same in all. */
	sum = net_get16(tcp + NET_TCP_CHECKSUM) + (uint32_t)(size - start) +
	      (uint16_t)~net_checksum_fold((uint32_t)(segment->source->size - start));
	net_put16(tcp + NET_TCP_CHECKSUM, 0);
	sum = net_checksum_add(sum, tcp, header->hdr_len - start);
	sum = net_checksum_pieces(sum, segment->source->iov, segment->source->count,
				  header->hdr_len + segment->done, segment->size);
	net_put16(tcp + NET_TCP_CHECKSUM, net_checksum_finish(sum, NET_TCP_CHECKSUM));
}

static void add_large(struct net_gather *gather, const struct source *source)
{
	size_t head = source->header->hdr_len, payload = source->size - head;
	struct segment segment = { .source = source };

	for (; segment.done < payload; segment.done += segment.size, segment.number++) {
		uint8_t *own = add_own(gather, LENGTH_SIZE + head);

		segment.size = MIN(payload - segment.done, (size_t)source->header->gso_size);
		segment.last = segment.done + segment.size == payload;
		net_put32(own, (uint32_t)(head + segment.size));
		/* All of it in the first piece, and not the guest's: net_backend.h. */
		iov_read(own + LENGTH_SIZE, head, source->iov, 1, 0);
		segment_finish(&segment, own + LENGTH_SIZE);
		add_part(gather, source, head + segment.done, segment.size);
	}
}

bool net_gather_add(struct net_gather *gather, const struct net_frame *frame)
{
	const struct source source = {
		.header = &frame->header,
		.iov = frame->iov + 1,
		.count = frame->iov_count - 1,
		.size = iov_size(frame->iov + 1, frame->iov_count - 1),
	};

	if (!has_room(gather, &source))
		return false;
	if (is_large(source.header))
		add_large(gather, &source);
	else
		add_plain(gather, &source);
	return true;
}
