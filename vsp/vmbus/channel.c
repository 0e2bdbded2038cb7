/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Channels: offering, opening, closing, rescinding.
 *
 * Who holds what: a channel lives while a device offers it or the guest knows its relid, whichever
 * is longer. Its rings are mapped while it is CHANNEL_OPEN or CHANNEL_CLOSING, but touched only
 * while it is open. The GPADL of the rings has the channel as a user for the same time, and its
 * teardown is answered after that.
 */
#include "vsp/vmbus/bus.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Room in the connection ids for the SINT they belong to, which keeps them apart from messages'. */
#define CONNECTION_ID(relid) (VMBUS_SINT << 12 | (relid))

/* A packet without its payload: the ranges of GPA-direct packets, each with one page at least. */
#define EXTENSION_MAX                     \
	(sizeof(struct ring_gpa_direct) + \
	 VMBUS_RANGE_PAGE_MAX * (sizeof(struct ring_gpa_range) + sizeof(uint64_t)))

struct vmbus_channel *channel_find(struct vmbus *bus, uint32_t relid)
{
	struct vmbus_channel *channel = relid <= VMBUS_CHANNEL_MAX ? bus->channels[relid] : NULL;

	return channel && channel->offered ? channel : NULL;
}

/* ---- Offers ---- */

static uint32_t bus_free_relid(const struct vmbus *bus)
{
	for (uint32_t relid = 1; relid <= VMBUS_CHANNEL_MAX; relid++)
		if (!bus->channels[relid])
			return relid;
	return 0;
}

static struct vmbus_channel *bus_unclaimed_channel(const struct vmbus *bus,
						   const struct vmbus_offer *offer)
{
	for (uint32_t relid = 1; relid <= VMBUS_CHANNEL_MAX; relid++) {
		struct vmbus_channel *channel = bus->channels[relid];

		if (channel && channel->unclaimed && vmbus_offer_is_same(&channel->offer, offer))
			return channel;
	}
	return NULL;
}

static void channel_claim(struct vmbus_channel *channel, const struct vmbus_offer *offer,
			  const struct vmbus_channel_ops *ops, void *device)
{
	channel->offer = *offer;
	channel->ops = ops;
	channel->device = device;
	channel->unclaimed = false;
}

void channel_set_relid(struct vmbus_channel *channel, uint32_t relid)
{
	channel->relid = relid;
	channel->connection_id = CONNECTION_ID(relid);
}

int vmbus_channel_offer(struct vmbus *bus, const struct vmbus_offer *offer,
			const struct vmbus_channel_ops *ops, void *device,
			struct vmbus_channel **ret_channel)
{
	struct vmbus_channel *channel = bus_unclaimed_channel(bus, offer);
	uint32_t relid = bus_free_relid(bus);

	loop_assert_thread(bus->loop);
	if (channel) {
		channel_claim(channel, offer, ops, device);
		*ret_channel = channel;
		return 0;
	}
	if (relid == 0)
		return -ENOSPC;
	channel = calloc(1, sizeof(*channel));
	if (!channel)
		return -ENOMEM;
	channel->bus = bus;
	channel->offer = *offer;
	channel->ops = ops;
	channel->device = device;
	channel_set_relid(channel, relid);
	list_init(&channel->announced);
	packet_init(channel);
	bus->channels[relid] = channel;
	*ret_channel = channel;
	if (bus->offers_requested) {
		list_append(&bus->outbox.channels, &channel->announced);
		bus_send(bus);
	}
	return 0;
}

/* The channel must be closed. */
void vmbus_channel_free(struct vmbus_channel *channel)
{
	if (!channel)
		return;
	assert(channel->state == CHANNEL_CLOSED);
	channel->bus->channels[channel->relid] = NULL;
	list_unlink(&channel->announced);
	if (channel->doorbell)
		doorbell_detach(channel->doorbell);
	free(channel);
}

/* The device has closed a rescinded channel: only the guest may still know the relid. */
static void channel_release(struct vmbus_channel *channel)
{
	const struct vmbus_channel_ops *ops = channel->ops;
	void *device = channel->device;

	channel->ops = NULL;
	channel->device = NULL;
	channel->unclaimed = false;
	/* It never opens again, and a guest that keeps relids is to keep no descriptors of ours. */
	if (channel->doorbell)
		doorbell_detach(TAKE_PTR(channel->doorbell));
	if (ops)
		ops->released(device, channel);
	if (!channel->offered)
		vmbus_channel_free(channel);
}

static void channel_announce_rescission(struct vmbus_channel *channel)
{
	if (channel->rescinded)
		return;
	channel->rescinded = true;
	list_unlink(&channel->announced);
	if (channel->offered)
		list_append(&channel->bus->outbox.channels, &channel->announced);
}

void vmbus_channel_withdraw(struct vmbus_channel *channel)
{
	struct vmbus *bus = channel->bus;

	loop_assert_thread(bus->loop);
	channel_announce_rescission(channel);
	if (channel->state == CHANNEL_CLOSED)
		channel_release(channel);
	bus_send(bus);
}

void vmbus_channel_rescind(struct vmbus_channel *channel)
{
	struct vmbus *bus = channel->bus;

	loop_assert_thread(bus->loop);
	channel_announce_rescission(channel);
	if (channel->state == CHANNEL_OPEN)
		channel_close(channel);
	else if (channel->state == CHANNEL_CLOSED)
		channel_release(channel);
	bus_send(bus);
}

/* ---- Opening ---- */

/* Return: 0; VMBUS_E_INVALID; -ENOMEM. */
static int channel_map_pages(struct vmbus_channel *channel, const uint64_t *pfns,
			     uint32_t page_count)
{
	const struct vsp_host *host = channel->bus->host;

	channel->pages = calloc(page_count, sizeof(*channel->pages));
	if (!channel->pages)
		return -ENOMEM;
	for (uint32_t i = 0; i < page_count; i++) {
		channel->pages[i] = host->ops->map(host->host, gpa_from_pfn(pfns[i]), HV_PAGE_SIZE);
		if (!channel->pages[i])
			return VMBUS_E_INVALID;
	}
	return 0;
}

static int channel_make_buffer(struct vmbus_channel *channel)
{
	channel->buffer_size = MIN(channel->in.size, (uint32_t)(EXTENSION_MAX + VMBUS_PACKET_MAX));
	channel->buffer = malloc(channel->buffer_size);
	return channel->buffer ? 0 : -ENOMEM;
}

/* Return: 0; VMBUS_E_INVALID; -ENOMEM. */
static int channel_map_rings(struct vmbus_channel *channel, const uint64_t *pfns,
			     uint32_t page_count, uint32_t downstream_page)
{
	const struct vsp_host *host = channel->bus->host;
	int r;

	r = channel_map_pages(channel, pfns, page_count);
	if (r)
		return r;
	r = ring_init_reader(&channel->in, channel->pages, downstream_page);
	if (r == 0)
		r = ring_init_writer(&channel->out, channel->pages + downstream_page,
				     page_count - downstream_page);
	/* Also of a ring that was refused in the end. */
	host->ops->mark_written(host->host, gpa_from_pfn(pfns[0]), HV_PAGE_SIZE);
	host->ops->mark_written(host->host, gpa_from_pfn(pfns[downstream_page]), HV_PAGE_SIZE);
	if (r)
		return VMBUS_E_INVALID;

	channel->downstream_page = downstream_page;
	return channel_make_buffer(channel);
}

static void channel_unmap_rings(struct vmbus_channel *channel)
{
	free(channel->pages);
	channel->pages = NULL;
	free(channel->buffer);
	channel->buffer = NULL;
}

static int channel_connect(struct vmbus_channel *channel)
{
	const struct vsp_host *host = channel->bus->host;
	int r;

	if (!channel->doorbell) {
		r = doorbell_new(channel, &channel->doorbell);
		if (r < 0)
			return r;
	}
	return host->ops->connection_add(host->host, channel->connection_id,
					 channel->doorbell->event_fd);
}

static void channel_disconnect(struct vmbus_channel *channel)
{
	const struct vsp_host *host = channel->bus->host;

	host->ops->connection_remove(host->host, channel->connection_id);
}

static bool target_vp_is_valid(const struct vmbus_channel *channel, uint32_t vp)
{
	return vp == VMBUS_TARGET_VP_NONE || vp < channel->bus->host->vp_count;
}

/* The GPADL's pages, if two rings of at least a page each, the second at downstream_page, fit. */
static uint32_t ring_pages(const struct vmbus_channel *channel, const struct gpadl *gpadl,
			   uint32_t downstream_page, const uint64_t **ret_pfns)
{
	uint32_t page_count;

	if (gpadl->relid != channel->relid)
		return 0;
	page_count = gpadl_pages(gpadl, ret_pfns);
	if (downstream_page < 2 || downstream_page >= page_count ||
	    page_count - downstream_page < 2)
		return 0;
	return page_count;
}

static int channel_start(struct vmbus_channel *channel, struct gpadl *gpadl,
			 const struct vmbus_message_open_channel *message)
{
	uint8_t user_data[VMBUS_USER_DATA_SIZE];
	int r;

	r = channel_connect(channel);
	if (r < 0)
		return r;
	memcpy(user_data, message->user_data, sizeof(user_data));
	channel->gpadl = gpadl;
	channel->target_vp = message->target_vp;
	channel->state = CHANNEL_OPEN;
	packet_start(channel);
	r = channel->ops->open(channel->device, channel, user_data);
	if (r < 0) {
		channel->state = CHANNEL_CLOSED;
		packet_stop(channel);
		channel_disconnect(channel);
		return r;
	}
	gpadl->users++;
	return 0;
}

uint32_t channel_open(struct vmbus_channel *channel,
		      const struct vmbus_message_open_channel *message)
{
	struct gpadl *gpadl = gpadl_find(&channel->bus->gpadls, message->ring_gpadl);
	const uint64_t *pfns;
	uint32_t page_count;
	int r;

	if (channel->state != CHANNEL_CLOSED || channel->rescinded)
		return VMBUS_STATUS_UNSUCCESSFUL;
	if (!gpadl || !target_vp_is_valid(channel, message->target_vp))
		return VMBUS_STATUS_INVALID_PARAMETER;
	page_count = ring_pages(channel, gpadl, message->downstream_page, &pfns);
	if (page_count == 0)
		return VMBUS_STATUS_INVALID_PARAMETER;

	r = channel_map_rings(channel, pfns, page_count, message->downstream_page);
	if (r == 0)
		r = channel_start(channel, gpadl, message);
	if (r == 0)
		return VMBUS_STATUS_SUCCESS;
	channel_unmap_rings(channel);
	return r < 0 ? VMBUS_STATUS_UNSUCCESSFUL : VMBUS_STATUS_INVALID_PARAMETER;
}

static int channel_restore_rings(struct vmbus_channel *channel, const struct channel_rings *rings,
				 const uint64_t *pfns, uint32_t page_count)
{
	uint32_t downstream = rings->downstream_page;
	int r;

	r = channel_map_pages(channel, pfns, page_count);
	if (r)
		return r;
	channel->downstream_page = downstream;
	if (ring_restore_reader(&channel->in, channel->pages, downstream, rings->in_position) ||
	    ring_restore_writer(&channel->out, channel->pages + downstream, page_count - downstream,
				rings->out_position))
		return VMBUS_E_INVALID;
	r = channel_make_buffer(channel);
	return r < 0 ? r : channel_connect(channel);
}

int channel_restore(struct vmbus_channel *channel, const struct channel_rings *rings)
{
	struct gpadl *gpadl = gpadl_find(&channel->bus->gpadls, rings->gpadl);
	const uint64_t *pfns;
	uint32_t page_count;
	int r;

	if (!gpadl || !target_vp_is_valid(channel, rings->target_vp))
		return VMBUS_E_INVALID;
	page_count = ring_pages(channel, gpadl, rings->downstream_page, &pfns);
	if (page_count == 0)
		return VMBUS_E_INVALID;
	r = channel_restore_rings(channel, rings, pfns, page_count);
	if (r) {
		channel_unmap_rings(channel);
		return r;
	}
	channel->gpadl = gpadl;
	gpadl->users++;
	channel->target_vp = rings->target_vp;
	channel->state = CHANNEL_OPEN;
	packet_start(channel);
	return 0;
}

uint32_t channel_modify(struct vmbus_channel *channel, uint32_t target_vp)
{
	if (channel->state != CHANNEL_OPEN)
		return VMBUS_STATUS_UNSUCCESSFUL;
	if (!target_vp_is_valid(channel, target_vp))
		return VMBUS_STATUS_INVALID_PARAMETER;
	channel->target_vp = target_vp;
	return VMBUS_STATUS_SUCCESS;
}

/* ---- Closing ---- */

void channel_settle_gpadl(struct vmbus *bus, struct gpadl *gpadl)
{
	struct vmbus_message_gpadl_torndown message = {
		.header.type = VMBUS_MESSAGE_GPADL_TORNDOWN,
		.gpadl = gpadl->id,
	};

	if (gpadl->users > 0 || !(gpadl->torn_down || gpadl->orphan))
		return;
	/* Who leaves is not answered, and its reservations are gone. */
	if (gpadl->torn_down && bus->state == BUS_CONNECTED)
		bus_reply(bus, &message, sizeof(message));
	gpadl_free(&bus->gpadls, gpadl);
}

void channel_close(struct vmbus_channel *channel)
{
	if (channel->state != CHANNEL_OPEN)
		return;
	channel->state = CHANNEL_CLOSING;
	channel->bus->closing_count++;
	packet_stop(channel);
	channel_disconnect(channel);
	if (channel->ops)
		channel->ops->close(channel->device, channel);
	else
		vmbus_channel_closed(channel);
}

void channel_abandon(struct vmbus_channel *channel)
{
	channel->unclaimed = false;
	channel_announce_rescission(channel);
	if (channel->state == CHANNEL_OPEN)
		channel_close(channel);
	else
		channel_release(channel);
}

void vmbus_channel_closed(struct vmbus_channel *channel)
{
	struct vmbus *bus = channel->bus;
	struct gpadl *gpadl = channel->gpadl;

	loop_assert_thread(bus->loop);
	assert(channel->state == CHANNEL_CLOSING);
	channel_unmap_rings(channel);
	channel->state = CHANNEL_CLOSED;
	channel->gpadl = NULL;
	gpadl->users--;
	channel_settle_gpadl(bus, gpadl);
	if (channel->rescinded)
		channel_release(channel);
	bus_channel_closed(bus);
}

/* The guest gives up all lists of a relid, without a teardown for each. */
static void channel_orphan_gpadls(struct vmbus_channel *channel)
{
	struct vmbus *bus = channel->bus;

	for (size_t i = 0; i < ARRAY_SIZE(bus->gpadls.buckets); i++) {
		list_for_each (link, &bus->gpadls.buckets[i]) {
			struct gpadl *gpadl = container_of(link, struct gpadl, link);

			if (gpadl->relid != channel->relid)
				continue;
			gpadl->orphan = true;
			channel_settle_gpadl(bus, gpadl);
		}
	}
}

/* A channel that was not rescinded is offered again only to the next guest. */
void channel_guest_released(struct vmbus_channel *channel)
{
	channel->offered = false;
	list_unlink(&channel->announced);
	channel_orphan_gpadls(channel);
	if (channel->rescinded && channel->state == CHANNEL_CLOSED)
		vmbus_channel_free(channel);
	else
		channel_close(channel);
}

void channel_guest_gone(struct vmbus_channel *channel)
{
	channel->offered = false;
	/* Nobody offers it to the next guest. */
	channel->rescinded |= channel->unclaimed;
	list_unlink(&channel->announced);
	if (channel->rescinded && channel->state == CHANNEL_CLOSED)
		vmbus_channel_free(channel);
	else
		channel_close(channel);
}

bool vmbus_channel_is_open(const struct vmbus_channel *channel)
{
	return channel->state == CHANNEL_OPEN;
}

uint32_t vmbus_channel_relid(const struct vmbus_channel *channel)
{
	return channel->relid;
}

void vmbus_channel_counters(const struct vmbus_channel *channel,
			    struct vmbus_channel_counters *ret_counters)
{
	*ret_counters = channel->counters;
}
