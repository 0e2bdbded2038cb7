/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Any bytes as RNDIS: control messages one after the other, each answered within bounds; a data
 * message; and a frame, laid out, prepared for a network and finished as one without offloads takes
 * it, by a guest that changes it meanwhile.
 *
 * Input: a verb byte, and a length byte in units of 4 with so many bytes, again and again.
 */
#include "common/wire/rndis.h"
#include "vsp/iov.h"
#include "vsp/network/net_gather.h"
#include "vsp/network/net_offload.h"
#include "vsp/network/rndis.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
	if (!condition)
		abort();
}

/* The reply's own idea of itself must hold. */
static void control(struct rndis *rndis, const uint8_t *bytes, size_t size)
{
	uint8_t *message = malloc(size ? size : 1), reply[RNDIS_CONTROL_MAX];
	uint32_t header[2];
	size_t reply_size;

	memcpy(message, bytes, size);
	reply_size = rndis_control(rndis, message, size, reply);
	require(reply_size <= sizeof(reply));
	if (reply_size) {
		memcpy(header, reply, sizeof(header));
		require((header[0] & RNDIS_COMPLETE) && header[1] == reply_size);
	}
	for (unsigned i = 0; i < rndis->table_size; i++)
		require(rndis->table[i] < rndis->queue_count);
	require(rndis->table_size <= NDIS_RSS_TABLE_SIZE && (!rndis->rss || rndis->table_size));
	free(message);
}

static void packet(const uint8_t *bytes, size_t size)
{
	size_t half = size / 3;
	struct iovec iov[2] = { { (void *)bytes, half }, { (void *)(bytes + half), size - half } };
	struct rndis_frame frame;

	if (rndis_packet_parse(iov, 2, 0, &frame))
		return;
	require(frame.message_size <= size);
	require(frame.data_offset <= size && frame.data_size <= size - frame.data_offset);
}

static struct net_gather gather;

/* Whatever has become of the frame since its headers were read. */
static void finish(const struct net_frame *frame)
{
	net_gather_empty(&gather);
	if (frame->header.gso_type != VIRTIO_NET_HDR_GSO_NONE &&
	    frame->header.gso_size < NET_GATHER_SEGMENT)
		return;
	require(net_gather_add(&gather, frame));
	require(iov_size(gather.pieces, gather.count) == gather.size);
	require(gather.count <= NET_GATHER_PIECES && gather.own_size <= NET_GATHER_OWN);
}

static void frame(uint8_t flags, uint8_t segment, const uint8_t *bytes, size_t size)
{
	static struct net_toeplitz toeplitz;
	uint8_t *copy = malloc(size ? size : 1);
	size_t first = MIN((size_t)segment, size);
	struct iovec iov[2] = { { copy, first }, { copy + first, size - first } };
	struct iovec pieces[4];
	struct net_frame frame = { .iov = pieces, .iov_count = 1 };
	struct net_offload_request request = {
		.ip_checksum = flags & 1,
		.transport_checksum = flags & 2,
		.segment_size = flags & 4 ? (uint16_t)MAX(segment * 4u, 1u) : 0,
	};
	struct net_layout layout;
	struct net_head head;
	struct net_hash hash;

	memcpy(copy, bytes, size);
	net_head_init(&head, iov, 2, 0, size);
	net_layout_parse(&head, &layout);
	require(head.size <= MIN(size, (size_t)NET_HEAD_MAX));
	net_toeplitz_frame(&toeplitz, UINT32_MAX, head.bytes, &layout, &hash);
	net_head_init(&head, iov, 2, 0, size);
	if (flags & 8 && size >= NET_FRAME_MIN)
		require(net_head_tag(&head, 7));
	if (size > 0 && net_offload_prepare(&head, &request, &frame.header) == 0) {
		size_t own = head.changed ? head.size - head.inserted : 0;

		pieces[0] = (struct iovec){ &frame.header, NET_HEADER_SIZE };
		if (head.changed)
			pieces[frame.iov_count++] = (struct iovec){ head.bytes, head.size };
		frame.iov_count += iov_slice(iov, 2, own, size - own, pieces + frame.iov_count);
		require(iov_size(pieces + 1, frame.iov_count - 1) == head.frame_size);
		finish(&frame);
		memset(copy, flags, size);
		finish(&frame);
	}
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rndis rndis = {
		.permanent_mac = { 2, 0, 0, 0, 0, 1 },
		.name = "nic0",
		.mac_changeable = true,
		.mtu = 1500,
		.queue_count = 4,
		.ndis_version = 0x6001e,
		.rsc_possible = true,
	};

	rndis_reset(&rndis);
	rndis.initialized = true;
	while (size >= 4) {
		size_t length = MIN((size_t)data[1] * 4, size - 4);

		if (data[0] % 4 < 2)
			control(&rndis, data + 4, length);
		else if (data[0] % 4 == 2)
			packet(data + 4, length);
		else
			frame(data[2], data[3], data + 4, length);
		data += 4 + length;
		size -= 4 + length;
	}
	return 0;
}
