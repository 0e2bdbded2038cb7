/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Frames on their way from the network to the guest.
 *
 * The network fills slots of the receive buffer directly, from RNDIS_ENVELOPE_MAX bytes on; then
 * the envelope is written before the data, the hash of the headers chooses the channel, and the
 * frame joins the packet that is gathered for that channel until the iteration ends. A frame larger
 * than a slot lies in several, each with an envelope that says so: what guests know as receive
 * segment coalescing.
 *
 * A frame from this host may come without its transport checksum. A guest that takes large frames
 * does not pass them on to a wire, and is told that the checksum is good, which it is; for any
 * other guest it is filled in here, where the frame lies.
 */
#include "vsp/network/netvsp.h"

#include "vsp/iov.h"

/* A frame that has come, on its way to a channel. */
struct arrival {
	struct netvsp_buffer *buffer;
	uint32_t size; /* bytes in the slots */
	uint32_t skip; /* bytes before the frame, in the first slot */
	struct rndis_envelope envelope;
	unsigned fragment_count;
};

static void batch_add(struct netvsp_channel *channel, uint32_t slot, uint32_t size)
{
	struct network_adapter *adapter = channel->adapter;
	struct netvsp_batch *batch = &channel->batch;

	if (batch->range_count == 0)
		batch->first = slot;
	else
		adapter->slots[batch->last].next = slot;
	adapter->slots[slot].next = NETVSP_SLOT_NONE;
	batch->last = slot;
	batch->ranges[batch->range_count++] = (struct ring_transfer_range){
		.byte_count = size,
		.byte_offset = slot * adapter->slot_size,
	};
}

/* Return: whether the frame's fragments fit the channel's packet. */
static bool batch_has_room(struct netvsp_channel *channel, unsigned fragments)
{
	if (channel->batch.range_count + fragments <= NETVSP_BATCH_MAX)
		return true;
	if (!channel->blocked)
		netvsp_receive_flush(channel);
	return channel->batch.range_count + fragments <= NETVSP_BATCH_MAX;
}

static void arrival_enqueue(struct arrival *arrival, struct netvsp_channel *channel)
{
	struct network_adapter *adapter = channel->adapter;
	struct rndis_envelope *envelope = &arrival->envelope;
	uint8_t bytes[RNDIS_ENVELOPE_MAX];
	uint32_t left = arrival->size;

	for (unsigned i = 0; i < arrival->fragment_count; i++) {
		uint32_t slot = arrival->buffer->slots[i], skip = i == 0 ? arrival->skip : 0;
		uint32_t part = MIN(left, netvsp_slot_room(adapter));

		envelope->data_offset = RNDIS_ENVELOPE_MAX + skip;
		envelope->data_size = part - skip;
		if (arrival->fragment_count > 1)
			envelope->fragment = (uint8_t)(RNDIS_PACKET_ID_FRAGMENT |
						       (i == 0 ? RNDIS_PACKET_ID_FIRST : 0) |
						       (left == part ? RNDIS_PACKET_ID_LAST : 0));
		vmbus_buffer_write(adapter->receive_buffer, slot * adapter->slot_size, bytes,
				   (uint32_t)rndis_envelope_write(envelope, bytes));
		batch_add(channel, slot, RNDIS_ENVELOPE_MAX + part);
		left -= part;
	}
}

/* The guest takes tags beside the frame: this one is taken out, the addresses moved up to it. */
static void arrival_untag(struct network_adapter *adapter, struct arrival *arrival,
			  const uint8_t *head)
{
	uint32_t at = arrival->buffer->slots[0] * adapter->slot_size + RNDIS_ENVELOPE_MAX;

	vmbus_buffer_write(adapter->receive_buffer, at + NET_VLAN_SIZE, head, 12);
	arrival->skip = NET_VLAN_SIZE;
	arrival->envelope.tagged = true;
	arrival->envelope.tci = (uint16_t)(head[14] << 8 | head[15]);
}

/* ---- Checksums ---- */

/* Whether the checksum that is missing is the one that guests are told of. */
static bool is_of_transport(const struct virtio_net_hdr *header, const struct net_layout *layout)
{
	return layout->protocol && header->csum_start == layout->transport &&
	       header->csum_offset ==
		       (layout->protocol == NET_PROTOCOL_TCP ? NET_TCP_CHECKSUM : NET_UDP_CHECKSUM);
}

static bool ipv4_header_is_good(struct net_head *head, const struct net_layout *layout)
{
	size_t at = layout->network;

	return layout->ip_version == 4 &&
	       net_head_need(head, at + (size_t)(head->bytes[at] & 0xf) * 4) &&
	       net_checksum_ipv4(head->bytes + at) == net_get16(head->bytes + at + 10);
}

/*
 * What is known of the checksums: the network has verified the transport's, or nobody has broken it
 * yet. It says nothing of the IPv4 header's.
 */
static uint32_t arrival_checksum(const struct virtio_net_hdr *header, struct net_head *head,
				 const struct net_layout *layout)
{
	bool known = header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM
			     ? is_of_transport(header, layout)
			     : header->flags & VIRTIO_NET_HDR_F_DATA_VALID && layout->protocol;

	if (!known)
		return 0;
	return (layout->protocol == NET_PROTOCOL_TCP ? RNDIS_RECEIVE_TCP_SUCCEEDED
						     : RNDIS_RECEIVE_UDP_SUCCEEDED) |
	       (ipv4_header_is_good(head, layout) ? RNDIS_RECEIVE_IP_SUCCEEDED : 0);
}

/* The field holds the sum of the pseudo-header. Nonsense is left as it is. */
static void arrival_fill_checksum(const struct arrival *arrival)
{
	const struct net_buffer *buffer = &arrival->buffer->buffer;
	size_t start = buffer->header.csum_start, field = start + buffer->header.csum_offset;
	struct iovec at[2];
	uint8_t checksum[2];
	uint32_t sum;

	if (field + sizeof(checksum) > arrival->size)
		return;
	sum = net_checksum_pieces(0, buffer->iov + 1, buffer->iov_count - 1, start,
				  arrival->size - start);
	net_put16(checksum, net_checksum_finish(sum, buffer->header.csum_offset));
	iov_copy_out(at,
		     iov_slice(buffer->iov + 1, buffer->iov_count - 1, field, sizeof(checksum), at),
		     checksum, sizeof(checksum));
	netvsp_receive_mark(arrival->buffer, (uint32_t)field, sizeof(checksum));
}

/* ---- The way to a channel ---- */

static struct netvsp_channel *arrival_channel(struct network_adapter *adapter,
					      struct arrival *arrival, const uint8_t *head,
					      const struct net_layout *layout)
{
	const struct rndis *rndis = &adapter->rndis;
	struct rndis_envelope *envelope = &arrival->envelope;
	struct netvsp_channel *channel = NULL;
	struct net_hash hash;

	if (rndis->rss &&
	    net_toeplitz_frame(adapter->toeplitz, rndis->hash_types, head, layout, &hash)) {
		envelope->hashed = true;
		envelope->hash = hash.value;
		envelope->hash_info = NDIS_RSS_TOEPLITZ | hash.type;
		channel = adapter->by_index[rndis->table[hash.value % rndis->table_size]];
	}
	return channel && channel->open ? channel : adapter->primary;
}

static bool arrival_has_room(const struct arrival *arrival, struct netvsp_channel *channel)
{
	const struct network_adapter *adapter = channel->adapter;

	if (arrival->size > netvsp_frame_max(adapter) && !netvsp_takes_large_frames(adapter))
		return false;
	return channel->open && batch_has_room(channel, arrival->fragment_count);
}

unsigned netvsp_arrival_deliver(struct netvsp_buffer *netvsp_buffer, uint32_t size)
{
	struct network_adapter *adapter = netvsp_buffer->adapter;
	const struct net_buffer *buffer = &netvsp_buffer->buffer;
	uint32_t room = netvsp_slot_room(adapter);
	struct arrival arrival = {
		.buffer = netvsp_buffer,
		.size = size,
		.envelope.fragment_id = adapter->fragment_id,
		.fragment_count = (size + room - 1) / room,
	};
	struct netvsp_channel *channel;
	struct net_layout layout;
	struct net_head head;

	net_head_init(&head, buffer->iov + 1, buffer->iov_count - 1, 0, size);
	net_layout_parse(&head, &layout);
	if (!rndis_accepts(&adapter->rndis, head.bytes))
		return 0;
	channel = arrival_channel(adapter, &arrival, head.bytes, &layout);
	if (!arrival_has_room(&arrival, channel)) {
		adapter->rndis.counters.received_dropped++;
		return 0;
	}
	arrival.envelope.checksum = arrival_checksum(&buffer->header, &head, &layout);
	if ((buffer->header.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) &&
	    !(netvsp_takes_large_frames(adapter) && is_of_transport(&buffer->header, &layout)))
		arrival_fill_checksum(&arrival);
	if (layout.tagged && (adapter->capabilities & NVSP_CAPABILITY_IEEE_8021Q))
		arrival_untag(adapter, &arrival, head.bytes);
	adapter->fragment_id += arrival.fragment_count > 1;
	arrival_enqueue(&arrival, channel);
	adapter->rndis.counters.received_frames++;
	adapter->rndis.counters.received_bytes += size - arrival.skip;
	return arrival.fragment_count;
}
