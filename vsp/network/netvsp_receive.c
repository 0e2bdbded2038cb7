/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The receive buffer: slots, and whose they are.
 *
 * The guest's buffer is cut into slots of one size. A slot is free, ours (the network is to fill
 * it, or has), or lent to the guest, and only the guest's completion of the packet that lent it
 * makes it free again: one that never completes runs out of slots and receives no more.
 */
#include "vsp/network/netvsp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define BUFFERS_SIZE    (NETVSP_BUFFER_MAX * sizeof(struct netvsp_buffer))
#define QUEUE_BUFFERS   16u /* that one queue has at most */
#define SLOT_SIZE_UNIT  2048u
#define SLOT_SIZE_LARGE 8192u /* where frames may be large: few fragments, many slots */
#define SLOTS_MIN       8u    /* Linux lets its administrator go down to 10 */

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

uint32_t netvsp_slot_take(struct network_adapter *adapter)
{
	uint32_t slot = adapter->free_slot;

	adapter->free_slot = adapter->slots[slot].next;
	adapter->free_count--;
	adapter->slots[slot].state = NETVSP_SLOT_HELD;
	return slot;
}

void netvsp_slot_put(struct network_adapter *adapter, uint32_t slot)
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

		netvsp_slot_put(adapter, slot);
		slot = next;
	}
}

static uint32_t slot_size_for(const struct network_adapter *adapter)
{
	/* A byte more than the largest frame shows one that is too long. */
	uint32_t size =
		ALIGN_UP(netvsp_frame_max(adapter) + 1 + RNDIS_ENVELOPE_MAX, SLOT_SIZE_UNIT);

	if (adapter->rndis.rsc_possible)
		size = ALIGN_UP(MAX(size, SLOT_SIZE_LARGE), (uint32_t)HV_PAGE_SIZE);
	return size;
}

static void receive_set_fragments(struct network_adapter *adapter)
{
	uint32_t room = netvsp_slot_room(adapter);

	adapter->fragments =
		netvsp_takes_large_frames(adapter) ? (NET_FRAME_MAX + room - 1) / room : 1;
}

uint32_t netvsp_receive_start(struct network_adapter *adapter, uint32_t gpadl)
{
	uint32_t size;

	if (adapter->receive_buffer ||
	    vmbus_buffer_map(adapter->primary->base.channel, gpadl, NETVSP_RECEIVE_BUFFER_MAX,
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
		netvsp_slot_put(adapter, slot - 1);
	receive_set_fragments(adapter);
	netvsp_defer(adapter);
	return NVSP_STATUS_SUCCESS;
}

bool netvsp_receive_settle(struct network_adapter *adapter)
{
	if (adapter->receive_revoked && adapter->buffers_out == 0) {
		adapter->receive_revoked = false;
		list_for_each (link, &adapter->channels.channels) {
			struct netvsp_channel *channel =
				container_of(link, struct netvsp_channel, base.link);

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

int netvsp_receive_lend(struct netvsp_channel *channel, uint32_t rndis_channel,
			const struct ring_transfer_range *ranges, unsigned count, uint32_t first)
{
	struct network_adapter *adapter = channel->adapter;
	struct nvsp_message message = {
		.type = NVSP_SEND_RNDIS_PACKET,
		.rndis = { .channel = rndis_channel, .send_section = NVSP_NO_SEND_SECTION },
	};
	int r;

	r = vmbus_channel_send_ranges(channel->base.channel, adapter->receive_id, ranges, count,
				      (uint64_t)first + 1, &message, netvsp_message_size(adapter));
	if (r)
		return r;
	for (uint32_t slot = first; slot != NETVSP_SLOT_NONE; slot = adapter->slots[slot].next) {
		adapter->slots[slot].state = NETVSP_SLOT_LENT;
		adapter->slots[slot].channel = (uint8_t)channel->base.index;
	}
	adapter->slots[first].state = NETVSP_SLOT_FIRST;
	adapter->lent_count += count;
	return 0;
}

void netvsp_receive_flush(struct netvsp_channel *channel)
{
	struct network_adapter *adapter = channel->adapter;
	struct netvsp_batch *batch = &channel->batch;
	int r;

	if (!batch->range_count || !adapter->receive_buffer)
		return;
	/* What was gathered before the guest revoked the buffer is not for it any more. */
	r = VMBUS_E_INVALID;
	if (!adapter->receive_revoked)
		r = netvsp_receive_lend(channel, NVSP_CHANNEL_DATA, batch->ranges,
					batch->range_count, batch->first);
	channel->blocked = r == VMBUS_E_FULL;
	if (channel->blocked)
		return;
	if (r)
		slots_put(adapter, batch->first);
	batch->range_count = 0;
}

void netvsp_receive_returned(struct netvsp_channel *channel, uint64_t transaction_id)
{
	struct network_adapter *adapter = channel->adapter;
	uint64_t first = transaction_id - 1;

	if (!adapter->receive_buffer || first >= adapter->slot_count ||
	    adapter->slots[first].state != NETVSP_SLOT_FIRST ||
	    adapter->slots[first].channel != channel->base.index) {
		adapter->rndis.counters.refused++;
		return;
	}
	for (uint32_t slot = (uint32_t)first; slot != NETVSP_SLOT_NONE;
	     slot = adapter->slots[slot].next)
		adapter->lent_count--;
	slots_put(adapter, (uint32_t)first);
	netvsp_defer(adapter);
}

/* ---- The network's buffers ---- */

void netvsp_receive_mark(const struct netvsp_buffer *buffer, uint32_t offset, uint32_t size)
{
	const struct network_adapter *adapter = buffer->adapter;
	uint32_t room = netvsp_slot_room(adapter), part;

	for (; size > 0 && offset / room < buffer->slot_count; offset += part, size -= part) {
		uint32_t slot = buffer->slots[offset / room];

		part = MIN(size, room - offset % room);
		vmbus_buffer_mark(adapter->receive_buffer,
				  slot * adapter->slot_size + RNDIS_ENVELOPE_MAX + offset % room,
				  part);
	}
}

static void buffer_filled(struct net_buffer *net_buffer, int result)
{
	struct netvsp_buffer *buffer = container_of(net_buffer, struct netvsp_buffer, buffer);
	struct network_adapter *adapter = buffer->adapter;
	unsigned used = 0;

	adapter->buffers_out--;
	adapter->queue_out[net_buffer->queue]--;
	/* Whatever becomes of the frame, the guest's memory has been written. */
	if (result > 0)
		netvsp_receive_mark(buffer, 0, (uint32_t)result);
	if (result >= NET_FRAME_MIN && !adapter->receive_revoked)
		used = netvsp_arrival_deliver(buffer, (uint32_t)result);
	for (unsigned i = used; i < buffer->slot_count; i++)
		netvsp_slot_put(adapter, buffer->slots[i]);
	list_append(&adapter->free_buffers, &buffer->link);
	netvsp_defer(adapter);
}

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
		buffer->slots[i] = netvsp_slot_take(adapter);
		net_buffer->iov_count += vmbus_buffer_iov(
			adapter->receive_buffer,
			buffer->slots[i] * adapter->slot_size + RNDIS_ENVELOPE_MAX,
			netvsp_slot_room(adapter), net_buffer->iov + net_buffer->iov_count);
	}
	adapter->buffers_out++;
	adapter->queue_out[queue]++;
	net_backend_receive(adapter->backend, queue, net_buffer);
}

static bool receive_may_give(const struct network_adapter *adapter)
{
	uint32_t reserve = MIN(adapter->slot_count / 4, (uint32_t)NETVSP_SLOT_RESERVE);

	return adapter->backend && adapter->receive_buffer && !adapter->receive_revoked &&
	       !adapter->quiet && !adapter->withdrawing &&
	       adapter->buffers_out < NETVSP_BUFFER_MAX &&
	       adapter->free_count >= adapter->fragments + reserve;
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
	unsigned offloads = NET_OFFLOAD_CHECKSUM; /* vsp/network/netvsp_arrival.c */

	if (netvsp_takes_large_frames(adapter))
		offloads |= NET_OFFLOAD_LARGE;
	if (adapter->backend)
		net_backend_set_offloads(adapter->backend, offloads);
}
