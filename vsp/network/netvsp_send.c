/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Frames from the guest.
 *
 * A packet's bytes are a stream: what it has in the send buffer, then its GPA ranges. RNDIS
 * messages follow each other there, and each is a frame, which goes to the network from the guest's
 * own memory. Where the guest asks for checksums or segments, its headers are read and checked, no
 * further than that takes; and if they have to be changed, they are sent from the copy. What is
 * told the network beside the frame comes from that copy alone: a guest that changes the original
 * meanwhile gets a frame of its own making onto the wire, as it could anyway. The packet is
 * completed when the last of its frames has been sent, so that the guest does not reuse memory that
 * is still read.
 *
 * Control messages come the same way, and are copied out whole.
 */
#include "vsp/network/netvsp.h"

#include "vsp/iov.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#define FRAMES_SIZE (NETVSP_FRAME_MAX * sizeof(struct netvsp_frame))

int netvsp_send_init(struct network_adapter *adapter)
{
	list_init(&adapter->free_packets);
	list_init(&adapter->free_frames);
	/* What is never used is never backed by memory. */
	adapter->frames = mmap(NULL, FRAMES_SIZE, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (adapter->frames == MAP_FAILED)
		return -ENOMEM;
	for (size_t i = 0; i < NETVSP_PACKET_MAX; i++)
		list_append(&adapter->free_packets, &adapter->packets[i].link);
	return 0;
}

void netvsp_send_free(struct network_adapter *adapter)
{
	munmap(adapter->frames, FRAMES_SIZE);
}

uint32_t netvsp_send_start(struct network_adapter *adapter, uint32_t gpadl)
{
	if (adapter->send_buffer || vmbus_buffer_map(adapter->primary->base.channel, gpadl,
						     NETVSP_SEND_BUFFER_MAX, &adapter->send_buffer))
		return NVSP_STATUS_FAIL;
	if (vmbus_buffer_size(adapter->send_buffer) < NETVSP_SECTION_SIZE) {
		vmbus_buffer_unmap(TAKE_PTR(adapter->send_buffer));
		return NVSP_STATUS_FAIL;
	}
	adapter->send_revoked = false;
	return NVSP_STATUS_SUCCESS;
}

bool netvsp_send_settle(struct network_adapter *adapter)
{
	if (adapter->send_revoked && adapter->channels.in_flight == 0) {
		adapter->send_revoked = false;
		vmbus_buffer_unmap(TAKE_PTR(adapter->send_buffer));
	}
	return !adapter->send_buffer;
}

bool netvsp_send_has_room(const struct network_adapter *adapter)
{
	return !list_empty(&adapter->free_packets) &&
	       adapter->frame_count + NETVSP_MESSAGE_MAX <= NETVSP_FRAME_MAX;
}

/* ---- Completing ---- */

static void packet_answer(struct netvsp_packet *packet, enum nvsp_status status)
{
	packet->answer = (struct nvsp_message){
		.type = NVSP_SEND_RNDIS_PACKET_COMPLETE,
		.rndis_complete.status = status,
	};
	packet->answer_size = (uint32_t)netvsp_message_size(packet->channel->adapter);
}

/* Return: whether it is done with; else it waits for room. */
static bool packet_complete(struct netvsp_packet *packet)
{
	struct netvsp_channel *channel = packet->channel;

	if (!packet->completion_requested || !channel->open)
		return true;
	/*
	 * Whoever sends datagrams waits for nothing but room. TCP paces itself by what is
	 * completed.
	 */
	if (packet->datagrams)
		return vmbus_channel_complete_without_interrupt(
			       channel->base.channel, packet->transaction_id, &packet->answer,
			       packet->answer_size, packet->size) != VMBUS_E_FULL;
	return vmbus_channel_complete(channel->base.channel, packet->transaction_id,
				      &packet->answer, packet->answer_size) != VMBUS_E_FULL;
}

static void packet_free(struct netvsp_packet *packet)
{
	struct network_adapter *adapter = packet->channel->adapter;

	device_channel_end(&packet->channel->base);
	list_append(&adapter->free_packets, &packet->link);
	if (adapter->send_revoked || packet->channel->base.closing ||
	    adapter->primary->base.closing || !list_empty(&adapter->channels.starved))
		netvsp_defer(adapter);
}

static bool packet_answer_send(struct list *answer)
{
	return packet_complete(container_of(answer, struct netvsp_packet, link));
}

static void packet_answer_sent(struct list *answer)
{
	packet_free(container_of(answer, struct netvsp_packet, link));
}

const struct device_channels_ops netvsp_answer_ops = {
	.send = packet_answer_send,
	.sent = packet_answer_sent,
};

struct netvsp_packet *netvsp_packet_take(struct netvsp_channel *channel,
					 const struct vmbus_packet *vmbus_packet)
{
	struct network_adapter *adapter = channel->adapter;
	struct netvsp_packet *packet =
		container_of(adapter->free_packets.next, struct netvsp_packet, link);

	list_unlink(&packet->link);
	packet->channel = channel;
	packet->transaction_id = vmbus_packet->transaction_id;
	packet->completion_requested = vmbus_packet->completion_requested;
	packet->frames_left = 1;
	packet->datagrams = false;
	packet->size = 0;
	packet->answer_size = 0;
	device_channel_begin(&channel->base);
	return packet;
}

void netvsp_packet_put(struct netvsp_packet *packet)
{
	if (--packet->frames_left == 0)
		device_channel_send(&packet->channel->base, &packet->link, false);
}

/* ---- Frames ---- */

static struct netvsp_frame *frame_take(struct network_adapter *adapter)
{
	struct netvsp_frame *frame;

	if (list_empty(&adapter->free_frames)) {
		frame = &adapter->frames[adapter->fresh_frame++];
	} else {
		frame = container_of(adapter->free_frames.next, struct netvsp_frame, link);
		list_unlink(&frame->link);
	}
	adapter->frame_count++;
	return frame;
}

static void frame_free(struct netvsp_frame *frame)
{
	struct network_adapter *adapter = frame->adapter;

	adapter->frame_count--;
	list_append(&adapter->free_frames, &frame->link);
}

static void frame_sent(struct net_frame *net_frame, int result)
{
	struct netvsp_frame *frame = container_of(net_frame, struct netvsp_frame, frame);
	struct netvsp_packet *packet = frame->packet;
	struct rndis_counters *counters = &frame->adapter->rndis.counters;

	if (result < 0) {
		counters->sent_dropped++;
	} else {
		counters->sent_frames++;
		counters->sent_bytes += frame->size;
	}
	frame_free(frame);
	if (frame->adapter->quiet)
		netvsp_defer(frame->adapter);
	netvsp_packet_put(packet);
}

static struct net_offload_request frame_offload_request(const struct rndis_frame *rndis)
{
	struct net_offload_request request = {
		.ip_checksum = (rndis->checksum & RNDIS_SEND_IPV4) &&
			       (rndis->checksum & RNDIS_SEND_IP_CHECKSUM),
		.transport_checksum =
			rndis->checksum & (RNDIS_SEND_TCP_CHECKSUM | RNDIS_SEND_UDP_CHECKSUM),
	};

	if (rndis->large_send & RNDIS_LARGE_SEND_V2)
		request.segment_size = (uint16_t)MIN(RNDIS_LARGE_SEND_SEGMENT(rndis->large_send),
						     UINT32_C(0xffff));
	return request;
}

/* Names the frame's bytes: those of the head, if it was changed, and the guest's. */
static void frame_name(struct netvsp_frame *frame, const struct iovec *stream, unsigned count,
		       size_t offset)
{
	const struct net_head *head = &frame->head;
	size_t own = head->changed ? head->size - head->inserted : 0;
	unsigned used = 0;

	frame->iov[used++] = (struct iovec){ &frame->frame.header, NET_HEADER_SIZE };
	if (head->changed)
		frame->iov[used++] = (struct iovec){ frame->head.bytes, head->size };
	used += iov_slice(stream, count, offset + own, frame->size - own, frame->iov + used);
	frame->frame.iov = frame->iov;
	frame->frame.iov_count = used;
}

/* Return: 0; -EINVAL: the guest's frame is none. */
static int frame_build(struct netvsp_frame *frame, const struct iovec *stream, unsigned count,
		       size_t offset, const struct rndis_frame *rndis)
{
	size_t at = offset + rndis->data_offset, size = rndis->data_size;
	struct net_offload_request request = frame_offload_request(rndis);
	int r;

	if (size < NET_FRAME_MIN || size > NET_FRAME_MAX - NET_VLAN_SIZE)
		return -EINVAL;
	if (!request.segment_size && size > NETVSP_MTU_MAX + NET_ETHERNET_SIZE + NET_VLAN_SIZE)
		return -EINVAL;
	frame->size = rndis->data_size;
	net_head_init(&frame->head, stream, count, at, size);
	if (rndis->tagged && !net_head_tag(&frame->head, rndis->tci))
		return -EINVAL;
	r = net_offload_prepare(&frame->head, &request, &frame->frame.header);
	if (r == 0)
		frame_name(frame, stream, count, at);
	return r;
}

static int packet_send_frame(struct netvsp_packet *packet, const struct iovec *stream,
			     unsigned count, size_t offset, const struct rndis_frame *rndis)
{
	struct network_adapter *adapter = packet->channel->adapter;
	struct netvsp_frame *frame = frame_take(adapter);
	int r;

	frame->adapter = adapter;
	frame->packet = packet;
	frame->frame.sent = frame_sent;
	r = frame_build(frame, stream, count, offset, rndis);
	if (r < 0) {
		frame_free(frame);
		return r;
	}
	packet->frames_left++;
	packet->datagrams &= rndis->checksum & RNDIS_SEND_UDP_CHECKSUM && !rndis->large_send;
	packet->size += rndis->data_size;
	if (adapter->backend)
		net_backend_send(adapter->backend, packet->channel->base.index, &frame->frame);
	else
		frame_sent(&frame->frame, -ENETDOWN);
	return 0;
}

static void packet_send_data(struct netvsp_packet *packet, const struct iovec *stream,
			     unsigned count)
{
	struct network_adapter *adapter = packet->channel->adapter;
	size_t size = iov_size(stream, count), offset = 0;

	packet->datagrams = true;
	for (unsigned i = 0; offset < size; i++) {
		struct rndis_frame rndis;

		if (i == NETVSP_MESSAGE_MAX || rndis_packet_parse(stream, count, offset, &rndis) ||
		    packet_send_frame(packet, stream, count, offset, &rndis)) {
			adapter->rndis.counters.refused++;
			packet_answer(packet, NVSP_STATUS_INVALID_RNDIS_PACKET);
			packet->datagrams = false;
			return;
		}
		offset += rndis.message_size;
	}
}

/* ---- Control messages ---- */

static void packet_run_control(struct netvsp_packet *packet, const struct iovec *stream,
			       unsigned count)
{
	struct network_adapter *adapter = packet->channel->adapter;
	uint8_t message[RNDIS_CONTROL_MAX] __attribute__((aligned(8)));
	struct netvsp_control *reply;
	size_t size = iov_copy_in(message, sizeof(message), stream, count);

	if (packet->channel != adapter->primary || !adapter->receive_buffer)
		goto refuse;
	reply = netvsp_control_take(adapter);
	if (!reply)
		goto refuse;
	reply->size = rndis_control(&adapter->rndis, message, size, reply->bytes);
	/* The guest is told that the request has come before it is told what came of it. */
	if (reply->size > 0)
		netvsp_control_send(adapter, reply);
	else
		netvsp_control_free(adapter, reply);
	netvsp_receive_configure(adapter);
	return;

refuse:
	packet_answer(packet, NVSP_STATUS_FAIL);
}

/* ---- Packets ---- */

/* The send buffer's part of a packet. Return: 0; -EINVAL. */
static int stream_add_section(const struct network_adapter *adapter,
			      const struct nvsp_message *message, struct iovec *stream,
			      unsigned *count)
{
	uint32_t section = message->rndis.send_section, size = message->rndis.send_section_size;

	if (section == NVSP_NO_SEND_SECTION)
		return 0;
	if (!adapter->send_buffer || adapter->send_revoked || size == 0 ||
	    size > NETVSP_SECTION_SIZE ||
	    section >= vmbus_buffer_size(adapter->send_buffer) / NETVSP_SECTION_SIZE)
		return -EINVAL;
	*count += vmbus_buffer_iov(adapter->send_buffer, section * NETVSP_SECTION_SIZE, size,
				   stream + *count);
	return 0;
}

static int stream_add_ranges(struct netvsp_channel *channel,
			     const struct vmbus_packet *vmbus_packet, struct iovec *stream,
			     unsigned *count)
{
	unsigned added;

	if (vmbus_packet->range_count == 0)
		return 0;
	if (vmbus_packet->page_count > NETVSP_PAGE_MAX ||
	    vmbus_packet_map(channel->base.channel, vmbus_packet, stream + *count, NULL,
			     NETVSP_PAGE_MAX, &added))
		return -EINVAL;
	*count += added;
	return 0;
}

void netvsp_send_packet(struct netvsp_channel *channel, const struct vmbus_packet *vmbus_packet,
			const struct nvsp_message *message)
{
	struct netvsp_packet *packet = netvsp_packet_take(channel, vmbus_packet);
	struct network_adapter *adapter = channel->adapter;
	struct iovec stream[NETVSP_STREAM_MAX];
	unsigned count = 0;

	packet_answer(packet, NVSP_STATUS_SUCCESS);
	if (stream_add_section(adapter, message, stream, &count) ||
	    stream_add_ranges(channel, vmbus_packet, stream, &count) || count == 0) {
		adapter->rndis.counters.refused++;
		packet_answer(packet, NVSP_STATUS_INVALID_RNDIS_PACKET);
	} else if (message->rndis.channel == NVSP_CHANNEL_DATA) {
		packet_send_data(packet, stream, count);
	} else {
		packet_run_control(packet, stream, count);
	}
	netvsp_packet_put(packet);
}
