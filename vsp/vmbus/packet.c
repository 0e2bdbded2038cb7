/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Packets over an open channel.
 *
 * The guest rings the doorbell (an eventfd behind the channel's connection id) and the device reads
 * the ring until it is empty; meanwhile the guest need not ring, which the interrupt mask tells it.
 * What is read and written takes effect for the guest in packet_flush(), once per iteration of the
 * loop: one barrier and at most one interrupt for all of it; none, if all of it can wait and there
 * will be more (vsp/vmbus/moderation.c). Reading is published earlier where the ring ran empty,
 * since the guest may sleep on it.
 *
 * An iteration reads a bounded number of packets; then the device is told that the ring is empty,
 * and the channel rings its own doorbell, so that what else the loop has to do gets its turn.
 */
#include "vsp/vmbus/bus.h"

#include "common/base/error.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define PACKETS_PER_TURN 128

/* ---- Doorbells ---- */

static void doorbell_rung(struct loop_operation *operation, int result, bool more)
{
	struct doorbell *doorbell = container_of(operation, struct doorbell, operation);
	struct vmbus_channel *channel = doorbell->channel;

	if (!channel) {
		if (!more)
			doorbell_free(doorbell);
		return;
	}
	if (!more)
		loop_poll(doorbell->loop, &doorbell->operation, doorbell->event_fd, POLLIN);
	if (channel->state == CHANNEL_OPEN && !channel->bus->quiet) {
		channel->counters.signals_in++;
		if (!moderation_begin(channel))
			packet_look(channel);
	}
}

int doorbell_new(struct vmbus_channel *channel, struct doorbell **ret_doorbell)
{
	struct doorbell *doorbell = calloc(1, sizeof(*doorbell));

	if (!doorbell)
		return -ENOMEM;
	doorbell->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (doorbell->event_fd < 0) {
		free(doorbell);
		return error_origin(-errno);
	}
	doorbell->operation.complete = doorbell_rung;
	doorbell->loop = channel->bus->loop;
	doorbell->channel = channel;
	list_append(&channel->bus->doorbells, &doorbell->link);
	loop_poll(doorbell->loop, &doorbell->operation, doorbell->event_fd, POLLIN);
	*ret_doorbell = doorbell;
	return 0;
}

void doorbell_detach(struct doorbell *doorbell)
{
	doorbell->channel = NULL;
	loop_cancel(doorbell->loop, &doorbell->operation);
}

void doorbell_free(struct doorbell *doorbell)
{
	list_unlink(&doorbell->link);
	close(doorbell->event_fd);
	free(doorbell);
}

/* ---- What the host writes to the rings, and dirty tracking ---- */

static void packet_mark_page(struct vmbus_channel *channel, uint32_t page)
{
	const struct vsp_host *host = channel->bus->host;

	/* The first word of a list of one range is the range's own. */
	host->ops->mark_written(host->host, gpa_from_pfn(channel->gpadl->ranges[1 + page]),
				HV_PAGE_SIZE);
}

/* Indices, what is waited for, and packets that were put into the ring since the last time. */
static void packet_mark_written(struct vmbus_channel *channel)
{
	const struct ring *out = &channel->out;
	uint32_t data_page = channel->downstream_page + 1;

	packet_mark_page(channel, 0);
	packet_mark_page(channel, channel->downstream_page);
	while (channel->marked != out->position) {
		uint32_t left = (out->position + out->size - channel->marked) % out->size;
		uint32_t in_page = RING_PAGE_SIZE - channel->marked % RING_PAGE_SIZE;

		packet_mark_page(channel, data_page + channel->marked / RING_PAGE_SIZE);
		channel->marked = (channel->marked + MIN(left, in_page)) % out->size;
	}
}

void packet_mask(struct vmbus_channel *channel)
{
	if (channel->masked)
		return;
	ring_mask(&channel->in);
	channel->masked = true;
	packet_mark_page(channel, 0);
}

bool packet_unmask(struct vmbus_channel *channel)
{
	channel->masked = ring_unmask(&channel->in);
	if (channel->masked)
		ring_mask(&channel->in);
	packet_mark_page(channel, 0);
	return channel->masked;
}

/* ---- An iteration ---- */

void packet_look(struct vmbus_channel *channel)
{
	if (channel->broken || channel->bus->quiet)
		return;
	loop_defer(channel->bus->loop, &channel->flush);
	if (channel->blocked && ring_has_space(&channel->out, channel->blocked)) {
		ring_forget_space(&channel->out);
		channel->blocked = 0;
		if (channel->ops->writable)
			channel->ops->writable(channel->device, channel);
	}
	/*
	 * Masked and empty: the iteration before ended with the last packet, and the mask is to go.
	 */
	if (channel->state == CHANNEL_OPEN && (channel->masked || ring_has_packets(&channel->in))) {
		packet_mask(channel);
		channel->ops->readable(channel->device, channel);
	}
}

static void packet_told(struct vmbus_channel *channel)
{
	channel->pending = false;
	channel->quiet_count = 0;
	channel->quiet_size = 0;
}

/* Publishes what was read and written, and interrupts the guest if it is to hear of it now. */
static void packet_publish(struct vmbus_channel *channel, bool wrote)
{
	const struct vsp_host *host = channel->bus->host;

	channel->interrupt |= ring_publish_read(&channel->in);
	channel->pending |= ring_publish_written(&channel->out);
	packet_mark_written(channel);
	if (channel->urgent)
		moderation_unfollow(channel);
	if (channel->pending && !channel->interrupt)
		channel->interrupt = channel->urgent || !moderation_follow(channel);
	if (channel->interrupt && channel->target_vp != VMBUS_TARGET_VP_NONE) {
		host->ops->signal_event(host->host, channel->target_vp, channel->relid);
		channel->counters.signals_out++;
	} else if (wrote) {
		channel->counters.signals_spared++;
	}
	if (channel->interrupt)
		packet_told(channel);
	channel->interrupt = channel->urgent = false;
}

static void packet_flush(struct loop_deferred *deferred)
{
	struct vmbus_channel *channel = container_of(deferred, struct vmbus_channel, flush);
	bool wrote = channel->out.position != channel->out.published;

	channel->budget = PACKETS_PER_TURN;
	packet_publish(channel, wrote);
	moderation_end(channel);
	/*
	 * A guest that made room before it saw what had filled the ring saw no host that waited,
	 * and does not ring.
	 */
	channel->kick |= channel->blocked && ring_has_space(&channel->out, channel->blocked);
	if (wrote)
		busy_poll_begin(channel);
	if (channel->kick) {
		channel->kick = false;
		loop_signal(channel->bus->loop, channel->doorbell->event_fd);
	}
}

void packet_init(struct vmbus_channel *channel)
{
	list_init(&channel->flush.link);
	list_init(&channel->busy_poll);
	list_init(&channel->moderated);
	channel->flush.run = packet_flush;
}

void packet_start(struct vmbus_channel *channel)
{
	channel->budget = PACKETS_PER_TURN;
	channel->masked = channel->broken = channel->interrupt = channel->urgent = false;
	channel->followed = false;
	channel->idle_looks = 0;
	channel->blocked = 0;
	channel->busy_poll_backoff = channel->moderation_backoff = channel->following_backoff =
		(struct backoff){ 0 };
	packet_told(channel);
	channel->completions_pending = 0;
	channel->marked = channel->out.position;
	packet_resume(channel);
}

void packet_resume(struct vmbus_channel *channel)
{
	if (channel->bus->quiet)
		return;
	/* Packets may be there already, put there before the doorbell was connected. */
	channel->kick = true;
	loop_defer(channel->bus->loop, &channel->flush);
}

void packet_quiesce(struct vmbus_channel *channel)
{
	loop_deferred_cancel(&channel->flush);
	list_unlink(&channel->busy_poll);
	list_unlink(&channel->moderated);
	channel->followed = channel->kick = false;
	channel->budget = PACKETS_PER_TURN;
	channel->iteration_begun = 0;
	channel->urgent |= channel->pending;
	packet_publish(channel, channel->out.position != channel->out.published);
}

void packet_stop(struct vmbus_channel *channel)
{
	loop_deferred_cancel(&channel->flush);
	list_unlink(&channel->busy_poll);
	list_unlink(&channel->moderated);
	/*
	 * The iteration that would have said so was cancelled, and the rings are not touched any
	 * more.
	 */
	packet_mark_written(channel);
}

static int packet_corrupt(struct vmbus_channel *channel)
{
	channel->broken = true;
	channel->counters.corrupt++;
	return VMBUS_E_CORRUPT;
}

static bool packet_is_allowed(const struct vmbus_channel *channel)
{
	return channel->state == CHANNEL_OPEN && !channel->broken;
}

/* ---- Receiving ---- */

/* The ring ran empty: lets the guest signal again. Return: whether packets came meanwhile. */
static bool packet_ring_drained(struct vmbus_channel *channel)
{
	channel->interrupt |= ring_publish_read(&channel->in);
	return channel->masked && packet_unmask(channel);
}

/*
 * Walks the ranges of a GPA-direct packet, in our copy. Return: 0, or VMBUS_E_CORRUPT if they do
 * not fit their packet or are more than it may have.
 */
static int packet_parse_ranges(const struct ring_packet *ring_packet, struct vmbus_packet *packet)
{
	const struct ring_gpa_direct *direct = ring_packet->extension;
	uint32_t left = ring_packet->extension_size;
	const uint8_t *at = ring_packet->extension;

	if (left < sizeof(*direct) || direct->range_count > VMBUS_RANGE_PAGE_MAX)
		return VMBUS_E_CORRUPT;
	at += sizeof(*direct);
	left -= (uint32_t)sizeof(*direct);
	packet->range_count = direct->range_count;
	packet->ranges = at;
	for (uint32_t i = 0; i < direct->range_count; i++) {
		const struct ring_gpa_range *range = (const struct ring_gpa_range *)at;
		uint64_t pages;

		if (left < sizeof(*range) || range->byte_offset >= HV_PAGE_SIZE ||
		    range->byte_count == 0)
			return VMBUS_E_CORRUPT;
		left -= (uint32_t)sizeof(*range);
		pages = ((uint64_t)range->byte_offset + range->byte_count + HV_PAGE_SIZE - 1) /
			HV_PAGE_SIZE;
		if (pages > left / sizeof(uint64_t) ||
		    pages > VMBUS_RANGE_PAGE_MAX - packet->page_count)
			return VMBUS_E_CORRUPT;
		left -= (uint32_t)(pages * sizeof(uint64_t));
		at += sizeof(*range) + pages * sizeof(uint64_t);
		packet->page_count += (uint32_t)pages;
		packet->range_size += range->byte_count;
	}
	return 0;
}

static int packet_parse(const struct ring_packet *ring_packet, struct vmbus_packet *ret_packet)
{
	struct vmbus_packet packet = {
		.type = ring_packet->type,
		.completion_requested = ring_packet->flags & RING_FLAG_COMPLETION_REQUESTED,
		.transaction_id = ring_packet->transaction_id,
		.payload = ring_packet->payload,
		.size = ring_packet->payload_size,
	};

	if (packet.size > VMBUS_PACKET_MAX)
		return VMBUS_E_CORRUPT;
	if (packet.type == RING_PACKET_GPA_DIRECT && packet_parse_ranges(ring_packet, &packet))
		return VMBUS_E_CORRUPT;
	*ret_packet = packet;
	return 0;
}

int vmbus_channel_receive(struct vmbus_channel *channel, struct vmbus_packet *ret_packet)
{
	struct ring_packet packet;
	int r;

	if (!packet_is_allowed(channel))
		return VMBUS_E_CORRUPT;
	if (channel->bus->quiet)
		return VMBUS_E_EMPTY;
	loop_defer(channel->bus->loop, &channel->flush);
	if (channel->budget == 0) {
		channel->kick = true;
		return VMBUS_E_EMPTY;
	}
	do {
		r = ring_read(&channel->in, channel->buffer, channel->buffer_size, &packet);
	} while (r == RING_E_EMPTY && packet_ring_drained(channel));
	if (r == RING_E_EMPTY)
		return VMBUS_E_EMPTY;
	if (r != 0 || packet_parse(&packet, ret_packet))
		return packet_corrupt(channel);
	channel->budget--;
	channel->counters.packets_in++;
	channel->completions_pending += ret_packet->completion_requested;
	return 0;
}

/* Where vmbus_packet_map() puts what it finds. */
struct packet_map {
	const struct vsp_host *host;
	struct iovec *iov;
	struct vmbus_extent *extents; /* or NULL */
	unsigned count, max;
};

/*
 * Appends `size` bytes at gpa, to the last vector if they lie next to it. Return as of the caller.
 */
static int packet_map_append(struct packet_map *map, gpa_t gpa, uint32_t size)
{
	uint8_t *address = map->host->ops->map(map->host->host, gpa, size);
	unsigned last = map->count - 1;

	if (!address)
		return VMBUS_E_INVALID;
	if (map->count > 0 &&
	    (uint8_t *)map->iov[last].iov_base + map->iov[last].iov_len == address &&
	    (!map->extents ||
	     gpa_add(map->extents[last].gpa, map->extents[last].size).value == gpa.value)) {
		map->iov[last].iov_len += size;
		if (map->extents)
			map->extents[last].size += size;
		return 0;
	}
	if (map->count == map->max)
		return VMBUS_E_INVALID;
	map->iov[map->count] = (struct iovec){ .iov_base = address, .iov_len = size };
	if (map->extents)
		map->extents[map->count] = (struct vmbus_extent){ .gpa = gpa, .size = size };
	map->count++;
	return 0;
}

/*
 * Neighbouring frames, of which `offset` bytes are left out. They are mapped at once; page by page
 * where they go from RAM that was there into RAM that was added, which is not mapped as one. Return
 * as of the caller.
 */
static int packet_map_run(struct packet_map *map, uint64_t pfn, uint32_t offset, uint32_t size)
{
	uint32_t part;

	if (packet_map_append(map, gpa_add(gpa_from_pfn(pfn), offset), size) == 0)
		return 0;
	for (; size > 0; size -= part, offset = 0, pfn++) {
		part = MIN(size, (uint32_t)HV_PAGE_SIZE - offset);
		if (packet_map_append(map, gpa_add(gpa_from_pfn(pfn), offset), part))
			return VMBUS_E_INVALID;
	}
	return 0;
}

/* Run by run. Return: 0; VMBUS_E_INVALID. */
static int packet_map_range(struct packet_map *map, const struct ring_gpa_range *range)
{
	uint32_t offset = range->byte_offset, left = range->byte_count, page = 0;

	while (left > 0) {
		uint32_t run = 1, size;

		while ((uint64_t)run * HV_PAGE_SIZE < (uint64_t)offset + left &&
		       range->pfns[page + run] == range->pfns[page] + run)
			run++;
		size = (uint32_t)MIN((uint64_t)run * HV_PAGE_SIZE - offset, (uint64_t)left);
		if (packet_map_run(map, range->pfns[page], offset, size))
			return VMBUS_E_INVALID;
		page += run;
		left -= size;
		offset = 0;
	}
	return 0;
}

int vmbus_packet_map(struct vmbus_channel *channel, const struct vmbus_packet *packet,
		     struct iovec *iov, struct vmbus_extent *extents, unsigned iov_max,
		     unsigned *ret_iov_count)
{
	struct packet_map map = {
		.host = channel->bus->host,
		.iov = iov,
		.extents = extents,
		.max = iov_max,
	};
	const uint8_t *at = packet->ranges;

	for (uint32_t i = 0; i < packet->range_count; i++) {
		const struct ring_gpa_range *range = (const struct ring_gpa_range *)at;
		uint32_t pages =
			(range->byte_offset + range->byte_count + HV_PAGE_SIZE - 1) / HV_PAGE_SIZE;

		if (packet_map_range(&map, range))
			return VMBUS_E_INVALID;
		at += sizeof(*range) + pages * sizeof(uint64_t);
	}
	*ret_iov_count = map.count;
	return 0;
}

/* ---- Sending ---- */

/* Return: 0 if it fits after all; VMBUS_E_FULL: `writable` will be called. */
static int packet_await_space(struct vmbus_channel *channel, uint32_t size)
{
	if (ring_await_space(&channel->out, size)) {
		channel->blocked = 0;
		return 0;
	}
	channel->blocked = size;
	channel->counters.ring_full++;
	return VMBUS_E_FULL;
}

static int packet_send(struct vmbus_channel *channel, const struct ring_packet *packet)
{
	int r;

	if (!packet_is_allowed(channel))
		return VMBUS_E_CORRUPT;
	if (!channel->bus->quiet)
		loop_defer(channel->bus->loop, &channel->flush);
	r = ring_write(&channel->out, packet);
	if (r == RING_E_FULL) {
		if (packet_await_space(channel, ring_packet_size(packet->extension_size,
								 packet->payload_size)))
			return VMBUS_E_FULL;
		r = ring_write(&channel->out, packet);
	}
	switch (r) {
	case 0:
		channel->counters.packets_out++;
		channel->urgent = true;
		channel->completions_pending -=
			packet->type == RING_PACKET_COMPLETION && channel->completions_pending > 0;
		/* No iteration is waited for, so that between any two events all is published. */
		if (channel->bus->quiet)
			packet_publish(channel, true);
		return 0;
	case RING_E_FULL:
		/* The index moved back: no reader does that. */
		return packet_corrupt(channel);
	case RING_E_TOO_BIG:
		return VMBUS_E_INVALID;
	default:
		return packet_corrupt(channel);
	}
}

int vmbus_channel_send(struct vmbus_channel *channel, uint16_t type, bool completion_requested,
		       uint64_t transaction_id, const void *payload, size_t size)
{
	struct ring_packet packet = {
		.type = type,
		.flags = completion_requested ? RING_FLAG_COMPLETION_REQUESTED : 0,
		.transaction_id = transaction_id,
		.payload = payload,
		.payload_size = (uint32_t)size,
	};

	if (size > VMBUS_PACKET_MAX && packet_is_allowed(channel))
		return VMBUS_E_INVALID;
	return packet_send(channel, &packet);
}

int vmbus_channel_send_ranges(struct vmbus_channel *channel, uint16_t set_id,
			      const struct ring_transfer_range *ranges, unsigned range_count,
			      uint64_t transaction_id, const void *payload, size_t size)
{
	struct {
		struct ring_transfer_pages header;
		struct ring_transfer_range ranges[VMBUS_TRANSFER_MAX];
	} extension;
	struct ring_packet packet = {
		.type = RING_PACKET_TRANSFER_PAGES,
		.flags = RING_FLAG_COMPLETION_REQUESTED,
		.transaction_id = transaction_id,
		.extension = &extension,
		.extension_size =
			(uint32_t)(sizeof(extension.header) + range_count * sizeof(*ranges)),
		.payload = payload,
		.payload_size = (uint32_t)size,
	};

	if (range_count > VMBUS_TRANSFER_MAX || size > VMBUS_PACKET_MAX)
		return VMBUS_E_INVALID;
	extension.header =
		(struct ring_transfer_pages){ .set_id = set_id, .range_count = range_count };
	memcpy(extension.ranges, ranges, range_count * sizeof(*ranges));
	return packet_send(channel, &packet);
}

int vmbus_channel_complete(struct vmbus_channel *channel, uint64_t transaction_id,
			   const void *payload, size_t size)
{
	return vmbus_channel_send(channel, RING_PACKET_COMPLETION, false, transaction_id, payload,
				  size);
}

int vmbus_channel_complete_without_interrupt(struct vmbus_channel *channel, uint64_t transaction_id,
					     const void *payload, size_t size, size_t held)
{
	bool urgent = channel->urgent;
	int r;

	r = vmbus_channel_complete(channel, transaction_id, payload, size);
	if (r)
		return r;
	channel->urgent = urgent;
	channel->quiet_count++;
	channel->quiet_size += held;
	return 0;
}
