/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The receive buffer, and what goes to the guest in it.
 *
 * The guest's buffer is cut into slots of one size. A slot is free, ours (the network is to fill
 * it, or has), or lent to the guest, and only the guest's completion of the packet that lent it
 * makes it free again: one that never completes runs out of slots and receives no more.
 *
 * The network fills slots directly, from RNDIS_ENVELOPE_MAX bytes on; then the envelope is written
 * before the data, the hash of the headers chooses the channel, and the frame joins the packet that
 * is gathered for that channel until the turn ends. A frame larger than a slot lies in several,
 * each with an envelope that says so: what guests know as receive segment coalescing.
 */
#include "vsp/netvsp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define BUFFERS_SIZE    (NETVSP_BUFFER_MAX * sizeof(struct netvsp_buffer))
#define QUEUE_BUFFERS   16u /* that one queue has at most */
#define SLOT_SIZE_UNIT  2048u
#define SLOT_SIZE_LARGE 8192u /* where frames may be large: few fragments, many slots */
#define SLOTS_MIN       32u

int netvsp_receive_init(struct network_adapter *adapter)
{
	list_init(&adapter->free_buffers);
	list_init(&adapter->control_free);
	list_init(&adapter->control_waiting);
	adapter->toeplitz = malloc(sizeof(*adapter->toeplitz));
	if (!adapter->toeplitz)
		return -ENOMEM;
	adapter->buffers = mmap(NULL, BUFFERS_SIZE, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (adapter->buffers == MAP_FAILED) {
		free(adapter->toeplitz);
		return -ENOMEM;
	}
	for (size_t i = 0; i < NETVSP_CONTROL_MAX; i++)
		list_append(&adapter->control_free, &adapter->controls[i].link);
	return 0;
}

void netvsp_receive_free(struct network_adapter *adapter)
{
	munmap(adapter->buffers, BUFFERS_SIZE);
	free(adapter->toeplitz);
	free(adapter->slots);
}

/* ---- Slots ---- */

static uint32_t slot_take(struct network_adapter *adapter)
{
	uint32_t slot = adapter->free_slot;

	adapter->free_slot = adapter->slots[slot].next;
	adapter->free_count--;
	adapter->slots[slot].state = NETVSP_SLOT_HELD;
	return slot;
}

static void slot_put(struct network_adapter *adapter, uint32_t slot)
{
	adapter->slots[slot].state = NETVSP_SLOT_FREE;
	adapter->slots[slot].next = adapter->free_slot;
	adapter->free_slot = slot;
	adapter->free_count++;
}

/* Slots that are linked by `next`. */
static void slots_put(struct network_adapter *adapter, uint32_t slot)
{
	while (slot != NETVSP_SLOT_NONE) {
		uint32_t next = adapter->slots[slot].next;

		slot_put(adapter, slot);
		slot = next;
	}
}

static uint32_t slot_room(const struct network_adapter *adapter)
{
	return adapter->slot_size - RNDIS_ENVELOPE_MAX;
}

static uint32_t slot_size_for(const struct network_adapter *adapter)
{
	/* A byte more than the largest frame shows one that is too long. */
	uint32_t size = ALIGN_UP(adapter->frame_size + NET_VLAN_SIZE + 1 + RNDIS_ENVELOPE_MAX,
				 SLOT_SIZE_UNIT);

	if (adapter->rndis.rsc_possible)
		size = ALIGN_UP(MAX(size, SLOT_SIZE_LARGE), (uint32_t)HV_PAGE_SIZE);
	return size;
}

static bool takes_large_frames(const struct network_adapter *adapter)
{
	return adapter->rndis.rsc_ipv4 && adapter->rndis.rsc_ipv6;
}

static void receive_set_fragments(struct network_adapter *adapter)
{
	uint32_t room = slot_room(adapter);

	adapter->fragments = takes_large_frames(adapter) ? (NET_FRAME_MAX + room - 1) / room : 1;
}

uint32_t netvsp_receive_start(struct network_adapter *adapter, uint32_t gpadl)
{
	uint32_t size;

	if (adapter->receive_buffer ||
	    vmbus_buffer_map(adapter->primary->channel, gpadl, NETVSP_RECEIVE_BUFFER_MAX,
			     &adapter->receive_buffer))
		return NVSP_STATUS_FAIL;
	adapter->slot_size = slot_size_for(adapter);
	size = vmbus_buffer_size(adapter->receive_buffer);
	adapter->slot_count = MIN(size / adapter->slot_size, (uint32_t)NETVSP_SLOT_MAX);
	adapter->slots = adapter->slot_count >= SLOTS_MIN
				 ? calloc(adapter->slot_count, sizeof(*adapter->slots))
				 : NULL;
	if (!adapter->slots) {
		vmbus_buffer_unmap(TAKE_PTR(adapter->receive_buffer));
		return NVSP_STATUS_FAIL;
	}
	adapter->receive_revoked = false;
	adapter->free_slot = NETVSP_SLOT_NONE;
	adapter->free_count = adapter->lent_count = 0;
	for (uint32_t slot = adapter->slot_count; slot > 0; slot--)
		slot_put(adapter, slot - 1);
	receive_set_fragments(adapter);
	netvsp_defer(adapter);
	return NVSP_STATUS_SUCCESS;
}

bool netvsp_receive_settle(struct network_adapter *adapter)
{
	if (adapter->receive_revoked && adapter->buffers_out == 0) {
		adapter->receive_revoked = false;
		list_for_each (link, &adapter->channels) {
			struct netvsp_channel *channel =
				container_of(link, struct netvsp_channel, link);

			channel->batch.range_count = 0;
			channel->blocked = false;
		}
		vmbus_buffer_unmap(TAKE_PTR(adapter->receive_buffer));
		free(TAKE_PTR(adapter->slots));
		adapter->lent_count = 0;
	}
	return !adapter->receive_buffer;
}

/* ---- To the guest ---- */

/* Return: 0; VMBUS_E_FULL: later; VMBUS_E_CORRUPT and so on: never. */
static int receive_lend(struct netvsp_channel *channel, uint32_t rndis_channel,
			const struct ring_transfer_range *ranges, unsigned count, uint32_t first)
{
	struct network_adapter *adapter = channel->adapter;
	struct nvsp_message message = {
		.type = NVSP_SEND_RNDIS_PACKET,
		.rndis = { .channel = rndis_channel, .send_section = NVSP_NO_SEND_SECTION },
	};
	int r;

	r = vmbus_channel_send_ranges(channel->channel, adapter->receive_id, ranges, count,
				      (uint64_t)first + 1, &message, netvsp_message_size(adapter));
	if (r)
		return r;
	for (uint32_t slot = first; slot != NETVSP_SLOT_NONE; slot = adapter->slots[slot].next) {
		adapter->slots[slot].state = NETVSP_SLOT_LENT;
		adapter->slots[slot].channel = (uint8_t)channel->index;
	}
	adapter->slots[first].state = NETVSP_SLOT_FIRST;
	adapter->lent_count += count;
	return 0;
}

void netvsp_receive_flush(struct netvsp_channel *channel)
{
	struct netvsp_batch *batch = &channel->batch;
	int r;

	if (!batch->range_count || !channel->adapter->receive_buffer)
		return;
	r = receive_lend(channel, NVSP_CHANNEL_DATA, batch->ranges, batch->range_count,
			 batch->first);
	channel->blocked = r == VMBUS_E_FULL;
	if (channel->blocked)
		return;
	if (r)
		slots_put(channel->adapter, batch->first);
	batch->range_count = 0;
}

void netvsp_receive_returned(struct netvsp_channel *channel, uint64_t transaction_id)
{
	struct network_adapter *adapter = channel->adapter;
	uint64_t first = transaction_id - 1;

	if (!adapter->receive_buffer || first >= adapter->slot_count ||
	    adapter->slots[first].state != NETVSP_SLOT_FIRST ||
	    adapter->slots[first].channel != channel->index) {
		adapter->rndis.counters.refused++;
		return;
	}
	for (uint32_t slot = (uint32_t)first; slot != NETVSP_SLOT_NONE;
	     slot = adapter->slots[slot].next)
		adapter->lent_count--;
	slots_put(adapter, (uint32_t)first);
	netvsp_defer(adapter);
}

/* ---- Frames ---- */

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
		uint32_t part = MIN(left, slot_room(adapter));

		envelope->data_offset = RNDIS_ENVELOPE_MAX + skip;
		envelope->data_size = part - skip;
		if (arrival->fragment_count > 1)
			envelope->fragment = (uint8_t)(RNDIS_PACKET_ID_FRAGMENT |
						       (i == 0 ? RNDIS_PACKET_ID_FIRST : 0) |
						       (left == part ? RNDIS_PACKET_ID_LAST : 0));
		vmbus_buffer_mark(adapter->receive_buffer, slot * adapter->slot_size,
				  RNDIS_ENVELOPE_MAX + part);
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

/* What is known of the checksums: the network has verified them, or nobody has broken them yet. */
static uint32_t arrival_checksum(const struct virtio_net_hdr *header,
				 const struct net_layout *layout)
{
	uint32_t ip = layout->ip_version == 4 ? RNDIS_RECEIVE_IP_SUCCEEDED : 0;

	if (header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
		return ip | (header->csum_offset == 16 ? RNDIS_RECEIVE_TCP_SUCCEEDED
						       : RNDIS_RECEIVE_UDP_SUCCEEDED);
	if (!(header->flags & VIRTIO_NET_HDR_F_DATA_VALID))
		return 0;
	if (layout->protocol == NET_PROTOCOL_TCP)
		return ip | RNDIS_RECEIVE_TCP_SUCCEEDED;
	return layout->protocol == NET_PROTOCOL_UDP ? ip | RNDIS_RECEIVE_UDP_SUCCEEDED : 0;
}

static struct netvsp_channel *arrival_channel(struct network_adapter *adapter,
					      struct arrival *arrival, const uint8_t *head,
					      const struct net_layout *layout)
{
	const struct rndis *rndis = &adapter->rndis;
	struct netvsp_channel *channel = NULL;

	if (rndis->rss && net_toeplitz_frame(adapter->toeplitz, rndis->hash_types, head, layout,
					     &arrival->envelope.hash)) {
		arrival->envelope.hashed = true;
		channel =
			adapter->by_index[rndis->table[arrival->envelope.hash % rndis->table_size]];
	}
	return channel && channel->open ? channel : adapter->primary;
}

/* Return: whether the frame is for the guest; then its first slots are gone. */
static bool receive_deliver(struct network_adapter *adapter, struct arrival *arrival)
{
	const struct net_buffer *buffer = &arrival->buffer->buffer;
	struct rndis *rndis = &adapter->rndis;
	struct netvsp_channel *channel;
	struct net_layout layout;
	struct net_head head;

	net_head_init(&head, buffer->iov + 1, buffer->iov_count - 1, 0, arrival->size);
	net_layout_parse(&head, &layout);
	if (!rndis_accepts(rndis, head.bytes))
		return false;
	arrival->fragment_count = (arrival->size + slot_room(adapter) - 1) / slot_room(adapter);
	arrival->envelope.checksum = arrival_checksum(&buffer->header, &layout);
	arrival->envelope.fragment_id = adapter->fragment_id;
	channel = arrival_channel(adapter, arrival, head.bytes, &layout);
	if ((arrival->size > adapter->frame_size + NET_VLAN_SIZE && !takes_large_frames(adapter)) ||
	    !channel->open || !batch_has_room(channel, arrival->fragment_count)) {
		rndis->counters.received_dropped++;
		return false;
	}
	if (layout.tagged && (adapter->capabilities & NVSP_CAPABILITY_IEEE_8021Q))
		arrival_untag(adapter, arrival, head.bytes);
	adapter->fragment_id += arrival->fragment_count > 1;
	arrival_enqueue(arrival, channel);
	rndis->counters.received_frames++;
	rndis->counters.received_bytes += arrival->size - arrival->skip;
	return true;
}

static void buffer_filled(struct net_buffer *net_buffer, int result)
{
	struct netvsp_buffer *buffer = container_of(net_buffer, struct netvsp_buffer, buffer);
	struct network_adapter *adapter = buffer->adapter;
	struct arrival arrival = { .buffer = buffer, .size = (uint32_t)result };
	unsigned used = 0;

	adapter->buffers_out--;
	adapter->queue_out[net_buffer->queue]--;
	if (result >= NET_FRAME_MIN && !adapter->receive_revoked &&
	    receive_deliver(adapter, &arrival))
		used = arrival.fragment_count;
	for (unsigned i = used; i < buffer->slot_count; i++)
		slot_put(adapter, buffer->slots[i]);
	list_append(&adapter->free_buffers, &buffer->link);
	netvsp_defer(adapter);
}

/* ---- The network's buffers ---- */

static void receive_give(struct network_adapter *adapter, unsigned queue)
{
	struct netvsp_buffer *buffer;
	struct net_buffer *net_buffer;

	if (list_empty(&adapter->free_buffers)) {
		buffer = &adapter->buffers[adapter->fresh_buffer++];
		list_init(&buffer->link);
	} else {
		buffer = container_of(adapter->free_buffers.next, struct netvsp_buffer, link);
		list_unlink(&buffer->link);
	}
	net_buffer = &buffer->buffer;
	buffer->adapter = adapter;
	buffer->slot_count = adapter->fragments;
	net_buffer->filled = buffer_filled;
	net_buffer->iov = buffer->iov;
	net_buffer->iov[0] = (struct iovec){ &net_buffer->header, NET_HEADER_SIZE };
	net_buffer->iov_count = 1;
	for (unsigned i = 0; i < buffer->slot_count; i++) {
		buffer->slots[i] = slot_take(adapter);
		net_buffer->iov_count += vmbus_buffer_iov(
			adapter->receive_buffer,
			buffer->slots[i] * adapter->slot_size + RNDIS_ENVELOPE_MAX,
			slot_room(adapter), net_buffer->iov + net_buffer->iov_count);
	}
	adapter->buffers_out++;
	adapter->queue_out[queue]++;
	net_backend_receive(adapter->backend, queue, net_buffer);
}

static bool receive_may_give(const struct network_adapter *adapter)
{
	return adapter->backend && adapter->receive_buffer && !adapter->receive_revoked &&
	       !adapter->withdrawing && adapter->buffers_out < NETVSP_BUFFER_MAX &&
	       adapter->free_count >= adapter->fragments + NETVSP_SLOT_RESERVE;
}

void netvsp_receive_post(struct network_adapter *adapter)
{
	unsigned queues, target;

	if (adapter->withdrawing && adapter->buffers_out == 0) {
		adapter->withdrawing = false;
		if (adapter->receive_buffer)
			receive_set_fragments(adapter);
	}
	if (!receive_may_give(adapter))
		return;
	/* Half of the slots may wait for frames; the others are for frames that have come. */
	queues = adapter->backend->queue_count;
	target = adapter->slot_count / 2 / (queues * adapter->fragments);
	target = MIN(MAX(target, 1u), QUEUE_BUFFERS);
	for (unsigned level = 1; level <= target; level++)
		for (unsigned queue = 0; queue < queues; queue++)
			if (adapter->queue_out[queue] < level && receive_may_give(adapter))
				receive_give(adapter, queue);
}

void netvsp_receive_withdraw(struct network_adapter *adapter)
{
	adapter->withdrawing = true;
	if (adapter->backend)
		net_backend_withdraw(adapter->backend);
	netvsp_defer(adapter);
}

void netvsp_receive_configure(struct network_adapter *adapter)
{
	struct rndis *rndis = &adapter->rndis;

	if (rndis->changes & RNDIS_CHANGED_OFFLOADS) {
		netvsp_apply_offloads(adapter);
		netvsp_receive_withdraw(adapter);
	}
	if (rndis->changes & RNDIS_CHANGED_CURRENT_CONFIG)
		netvsp_indicate_offloads(adapter);
	if ((rndis->changes & RNDIS_CHANGED_STATE) && rndis->rss)
		net_toeplitz_init(adapter->toeplitz, rndis->key);
	rndis->changes = 0;
}

void netvsp_apply_offloads(struct network_adapter *adapter)
{
	unsigned offloads = 0;

	/*
	 * A guest that takes large frames does not pass them on, so that it never sees on a wire
	 * what was not filled in.
	 */
	if (takes_large_frames(adapter))
		offloads = NET_OFFLOAD_CHECKSUM | NET_OFFLOAD_LARGE;
	if (adapter->backend)
		net_backend_set_offloads(adapter->backend, offloads);
}

/* ---- Control messages ---- */

struct netvsp_control *netvsp_control_take(struct network_adapter *adapter)
{
	struct netvsp_control *control;

	if (list_empty(&adapter->control_free))
		return NULL;
	control = container_of(adapter->control_free.next, struct netvsp_control, link);
	list_unlink(&control->link);
	return control;
}

void netvsp_control_free(struct network_adapter *adapter, struct netvsp_control *control)
{
	list_append(&adapter->control_free, &control->link);
}

void netvsp_control_send(struct network_adapter *adapter, struct netvsp_control *control)
{
	list_append(&adapter->control_waiting, &control->link);
	netvsp_defer(adapter);
}

/* Return: whether the message is done with. */
static bool control_write(struct network_adapter *adapter, const struct netvsp_control *control)
{
	struct ring_transfer_range range;
	uint32_t slot;
	int r;

	if (!adapter->receive_buffer || adapter->receive_revoked || !adapter->primary ||
	    !adapter->primary->open)
		return true;
	if (adapter->free_count == 0)
		return false;
	slot = slot_take(adapter);
	adapter->slots[slot].next = NETVSP_SLOT_NONE;
	range = (struct ring_transfer_range){ (uint32_t)control->size, slot * adapter->slot_size };
	vmbus_buffer_write(adapter->receive_buffer, range.byte_offset, control->bytes,
			   range.byte_count);
	r = receive_lend(adapter->primary, NVSP_CHANNEL_CONTROL, &range, 1, slot);
	if (r)
		slot_put(adapter, slot);
	return r != VMBUS_E_FULL;
}

void netvsp_control_flush(struct network_adapter *adapter)
{
	while (!list_empty(&adapter->control_waiting)) {
		struct netvsp_control *control =
			container_of(adapter->control_waiting.next, struct netvsp_control, link);

		if (!control_write(adapter, control))
			return;
		list_unlink(&control->link);
		netvsp_control_free(adapter, control);
	}
}
