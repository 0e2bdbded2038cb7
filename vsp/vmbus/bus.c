/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The VMBus connection.
 *
 * A guest that goes (unload, machine reset) and a guest that comes without having said good-bye
 * (contact after a crash or kexec) take the same way: the bus is BUS_LEAVING until every device has
 * let go of guest memory, then everything the old guest knew is forgotten, and then whoever waits
 * is answered. So a new guest never meets the I/O of the old one, and a guest that is told it has
 * unloaded can reuse its memory.
 */
#include "vsp/vmbus/bus.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void bus_quiescing(struct loop_deferred *deferred);

int vmbus_new(struct loop *loop, const struct vsp_host *host,
	      const struct vmbus_callbacks *callbacks, void *data, struct vmbus **ret_bus)
{
	struct vmbus *bus = calloc(1, sizeof(*bus));

	if (!bus)
		return -ENOMEM;
	bus->loop = loop;
	bus->host = host;
	bus->callbacks = callbacks;
	bus->data = data;
	outbox_init(&bus->outbox);
	gpadl_table_init(&bus->gpadls);
	list_init(&bus->doorbells);
	list_init(&bus->quiescing.link);
	bus->quiescing.run = bus_quiescing;
	busy_poll_init(bus);
	moderation_init(bus);
	*ret_bus = bus;
	return 0;
}

void vmbus_free(struct vmbus *bus)
{
	if (!bus)
		return;
	loop_assert_thread(bus->loop);
	assert(bus->closing_count == 0);
	loop_deferred_cancel(&bus->quiescing);
	if (bus->busy_polls)
		loop_set_idle(bus->loop, NULL);
	/* Relids that a guest never gave back are left, and no device's channel. */
	for (uint32_t relid = 1; relid <= VMBUS_CHANNEL_MAX; relid++) {
		assert(!bus->channels[relid] || !bus->channels[relid]->ops);
		vmbus_channel_free(bus->channels[relid]);
	}
	list_for_each (link, &bus->doorbells)
		doorbell_free(container_of(link, struct doorbell, link));
	gpadl_table_clear(&bus->gpadls);
	outbox_destroy(&bus->outbox);
	free(bus);
}

uint32_t vmbus_version(const struct vmbus *bus)
{
	return bus->state == BUS_CONNECTED ? bus->version : 0;
}

void vmbus_set_connect_handler(struct vmbus *bus, const struct vmbus_connect_handler *handler,
			       void *data)
{
	bus->connect_handler = handler;
	bus->connect_data = data;
}

const struct vsp_host *vmbus_host(const struct vmbus *bus)
{
	return bus->host;
}

struct loop *vmbus_loop(const struct vmbus *bus)
{
	return bus->loop;
}

/* ---- Messages to the guest ---- */

/* Return: false if the guest's slot is busy. A message that cannot be posted is lost. */
static bool bus_post(struct vmbus *bus, const void *message, size_t size)
{
	return bus->host->ops->post_message(bus->host->host, bus->target_vp, message, size) !=
	       VSP_HOST_E_BUSY;
}

static bool bus_post_offer(struct vmbus_channel *channel)
{
	struct vmbus_message_offer_channel message = {
		.header.type = VMBUS_MESSAGE_OFFER_CHANNEL,
		.type = channel->offer.type,
		.instance = channel->offer.instance,
		.flags = channel->offer.flags,
		.mmio_megabytes = channel->offer.mmio_megabytes,
		.sub_channel_index = channel->offer.sub_channel_index,
		.relid = channel->relid,
		.interrupt_flags = VMBUS_DEDICATED_INTERRUPT,
		.connection_id = channel->connection_id,
	};

	memcpy(message.user_defined, channel->offer.user_defined, sizeof(message.user_defined));
	return bus_post(channel->bus, &message, sizeof(message));
}

static bool bus_post_rescission(struct vmbus_channel *channel)
{
	struct vmbus_message_relid message = {
		.header.type = VMBUS_MESSAGE_RESCIND_OFFER,
		.relid = channel->relid,
	};

	return bus_post(channel->bus, &message, sizeof(message));
}

/* Return: false if the guest's slot is busy. */
static bool bus_send_replies(struct vmbus *bus)
{
	const struct outbox_reply *reply;

	while ((reply = outbox_first(&bus->outbox))) {
		if (!bus_post(bus, reply->bytes, reply->size))
			return false;
		outbox_remove_first(&bus->outbox);
	}
	return true;
}

/*
 * Whether the guest still knows a device under this instance that was taken back. Linux takes no
 * notice of a second one.
 */
static bool bus_knows_instance(const struct vmbus *bus, const struct vmbus_offer *offer)
{
	for (uint32_t relid = 1; relid <= VMBUS_CHANNEL_MAX; relid++) {
		const struct vmbus_channel *other = bus->channels[relid];

		if (other && other->rescinded && other->offered &&
		    other->offer.sub_channel_index == 0 &&
		    guid_equal(&other->offer.type, &offer->type) &&
		    guid_equal(&other->offer.instance, &offer->instance))
			return true;
	}
	return false;
}

/*
 * Before the replies: a guest that has closed a device goes on when it has the last answer, and
 * then has to know which sub-channels went with it. Linux, when it suspends its bus, takes no
 * notice of what comes later, and waits for it.
 */
static bool bus_send_rescissions(struct vmbus *bus)
{
	list_for_each (link, &bus->outbox.channels) {
		struct vmbus_channel *channel = container_of(link, struct vmbus_channel, announced);

		if (!channel->rescinded)
			continue;
		if (!bus_post_rescission(channel))
			return false;
		list_unlink(&channel->announced);
	}
	return true;
}

static bool bus_send_offers(struct vmbus *bus)
{
	list_for_each (link, &bus->outbox.channels) {
		struct vmbus_channel *channel = container_of(link, struct vmbus_channel, announced);

		if (channel->offer.sub_channel_index == 0 &&
		    bus_knows_instance(bus, &channel->offer))
			continue;
		if (!bus_post_offer(channel))
			return false;
		list_unlink(&channel->announced);
		channel->offered = true;
	}
	return true;
}

void bus_send(struct vmbus *bus)
{
	struct vmbus_message_header all_offers = {
		.type = VMBUS_MESSAGE_ALL_OFFERS_DELIVERED,
	};

	if (bus->state == BUS_CONNECTED && !bus_send_rescissions(bus))
		return;
	if (!bus_send_replies(bus) || bus->state != BUS_CONNECTED || !bus_send_offers(bus))
		return;
	if (bus->outbox.all_offers && bus_post(bus, &all_offers, sizeof(all_offers)))
		bus->outbox.all_offers = false;
}

void bus_reply(struct vmbus *bus, const void *message, size_t size)
{
	outbox_put(&bus->outbox, message, size);
}

void vmbus_slot_free(struct vmbus *bus, uint32_t vp)
{
	loop_assert_thread(bus->loop);
	if (vp == bus->target_vp)
		bus_send(bus);
}

/* ---- Connecting and leaving ---- */

static void bus_answer_contact(struct vmbus *bus)
{
	bool supported = bus->next_version != 0;
	struct vmbus_message_version_response message = {
		.header.type = VMBUS_MESSAGE_VERSION_RESPONSE,
		.supported = supported,
	};

	bus->target_vp = bus->next_target_vp;
	if (supported) {
		bus->state = BUS_CONNECTED;
		bus->version = bus->next_version;
		bus->connection_id = VMBUS_CONNECTION_ID_MESSAGE;
		if (bus->version >= VMBUS_VERSION_5_0) {
			bus->connection_id = VMBUS_CONNECTION_ID_MESSAGE_4;
			message.connection_id = bus->connection_id;
		}
	}
	if (outbox_reserve(&bus->outbox))
		bus_reply(bus, &message, sizeof(message));
	bus_send(bus);
	if (supported)
		bus->callbacks->connected(bus->data, bus->version);
}

static void bus_answer_unload(struct vmbus *bus)
{
	struct vmbus_message_header message = { .type = VMBUS_MESSAGE_UNLOAD_RESPONSE };

	if (outbox_reserve(&bus->outbox))
		bus_reply(bus, &message, sizeof(message));
	bus_send(bus);
}

/* The last device has let go. bus->reset_done may free the bus. */
static void bus_left(struct vmbus *bus)
{
	enum bus_next next = bus->next;

	gpadl_table_clear(&bus->gpadls);
	bus->state = BUS_DISCONNECTED;
	bus->next = BUS_NEXT_NOTHING;
	switch (next) {
	case BUS_NEXT_NOTHING:
		break;
	case BUS_NEXT_CONTACT:
		bus_answer_contact(bus);
		break;
	case BUS_NEXT_UNLOAD:
		bus_answer_unload(bus);
		break;
	case BUS_NEXT_RESET:
		bus->reset_done(bus->reset_data);
		break;
	}
}

void bus_channel_closed(struct vmbus *bus)
{
	bus->closing_count--;
	if (bus->closing_count > 0) {
		bus_send(bus);
		return;
	}
	/* What follows may free the bus. */
	if (bus->quiesced)
		loop_defer(bus->loop, &bus->quiescing);
	if (bus->state == BUS_LEAVING)
		bus_left(bus);
	else
		bus_send(bus);
}

/* ---- Quiet ---- */

static void bus_end_quiesce(struct vmbus *bus)
{
	void (*done)(void *data) = TAKE_PTR(bus->quiesced);

	done(bus->quiesced_data);
}

static void bus_quiescing(struct loop_deferred *deferred)
{
	struct vmbus *bus = container_of(deferred, struct vmbus, quiescing);

	if (bus->quiesced && bus->closing_count == 0)
		bus_end_quiesce(bus);
}

void vmbus_quiesce(struct vmbus *bus, void (*done)(void *data), void *data)
{
	bus->quiet = true;
	for (uint32_t relid = 1; relid <= VMBUS_CHANNEL_MAX; relid++)
		if (bus->channels[relid] && bus->channels[relid]->state == CHANNEL_OPEN)
			packet_quiesce(bus->channels[relid]);
	bus->quiesced = done;
	bus->quiesced_data = data;
	if (bus->closing_count == 0)
		bus_end_quiesce(bus);
}

void vmbus_resume(struct vmbus *bus)
{
	if (!bus->quiet)
		return;
	bus->quiet = false;
	bus->quiesced = NULL;
	loop_deferred_cancel(&bus->quiescing);
	for (uint32_t relid = 1; relid <= VMBUS_CHANNEL_MAX; relid++)
		if (bus->channels[relid] && bus->channels[relid]->state == CHANNEL_OPEN)
			packet_resume(bus->channels[relid]);
	bus_send(bus);
}

/* ---- Leaving ---- */

static void bus_leave(struct vmbus *bus, enum bus_next next)
{
	bool connected = bus->state == BUS_CONNECTED;

	if (bus->next == BUS_NEXT_RESET)
		return;
	bus->next = next;
	if (bus->state == BUS_LEAVING)
		return;
	bus->state = BUS_LEAVING;
	bus->offers_requested = false;
	outbox_clear(&bus->outbox);
	if (connected)
		bus->callbacks->connected(bus->data, 0);
	if (bus->connect_handler)
		bus->connect_handler->left(bus->connect_data);

	/* Counts as one that closes, so that the last channel does not end the walk half-way. */
	bus->closing_count++;
	for (uint32_t relid = 1; relid <= VMBUS_CHANNEL_MAX; relid++)
		if (bus->channels[relid])
			channel_guest_gone(bus->channels[relid]);
	bus_channel_closed(bus);
}

void bus_contact(struct vmbus *bus, uint32_t version, uint32_t target_vp, bool acceptable)
{
	bus->next_version = acceptable ? version : 0;
	bus->next_target_vp = target_vp < bus->host->vp_count ? target_vp : 0;
	bus_leave(bus, BUS_NEXT_CONTACT);
}

void bus_unload(struct vmbus *bus)
{
	bus_leave(bus, BUS_NEXT_UNLOAD);
}

void vmbus_reset(struct vmbus *bus, void (*done)(void *data), void *data)
{
	loop_assert_thread(bus->loop);
	bus->reset_done = done;
	bus->reset_data = data;
	bus_leave(bus, BUS_NEXT_RESET);
}

void bus_request_offers(struct vmbus *bus)
{
	if (bus->offers_requested)
		return;
	bus->offers_requested = true;
	bus->outbox.all_offers = true;
	for (uint32_t relid = 1; relid <= VMBUS_CHANNEL_MAX; relid++) {
		struct vmbus_channel *channel = bus->channels[relid];

		/* None is rescinded: nobody knew of it, so it went at once. */
		if (channel)
			list_append(&bus->outbox.channels, &channel->announced);
	}
}
