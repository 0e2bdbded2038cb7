/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Messages from the guest.
 *
 * One row per message says how long it must be at least, whether it needs a connection, and
 * whether it is answered: then it is handled only if the outbox has a place for the answer, and
 * dropped otherwise. What is unknown, too short or out of place is ignored; what is wrong in
 * itself is answered with a failure where the protocol has one.
 */
#include "vsp/vmbus/bus.h"

#include <string.h>

/* Return: whether the place reserved for an answer was used, or will be. */
typedef bool (*message_handler)(struct vmbus *bus, const void *message, size_t size);

static const uint32_t versions[] = {
	VMBUS_VERSION_2_4, VMBUS_VERSION_3_0, VMBUS_VERSION_4_0, VMBUS_VERSION_4_1,
	VMBUS_VERSION_5_0, VMBUS_VERSION_5_1, VMBUS_VERSION_5_2, VMBUS_VERSION_5_3,
};

bool bus_knows_version(uint32_t version)
{
	for (size_t i = 0; i < ARRAY_SIZE(versions); i++)
		if (versions[i] == version)
			return true;
	return false;
}

static bool handle_initiate_contact(struct vmbus *bus, const void *data, size_t size)
{
	const struct vmbus_message_initiate_contact *message = data;
	bool place_ok = message->version < VMBUS_VERSION_5_0 ||
			(message->sint == VMBUS_SINT && message->vtl == 0);

	bus_contact(bus, message->version, message->target_vp,
		    bus_knows_version(message->version) && place_ok &&
			    message->target_vp < bus->host->vp_count);
	return false;
}

static bool handle_request_offers(struct vmbus *bus, const void *data, size_t size)
{
	bus_request_offers(bus);
	return false;
}

static bool handle_unload(struct vmbus *bus, const void *data, size_t size)
{
	bus_unload(bus);
	return false;
}

static bool handle_open_channel(struct vmbus *bus, const void *data, size_t size)
{
	const struct vmbus_message_open_channel *message = data;
	struct vmbus_channel *channel = channel_find(bus, message->relid);
	struct vmbus_message_open_result result = {
		.header.type = VMBUS_MESSAGE_OPEN_RESULT,
		.relid = message->relid,
		.open_id = message->open_id,
	};

	result.status = channel ? channel_open(channel, message) : VMBUS_STATUS_INVALID_PARAMETER;
	bus_reply(bus, &result, sizeof(result));
	return true;
}

static bool handle_close_channel(struct vmbus *bus, const void *data, size_t size)
{
	const struct vmbus_message_relid *message = data;
	struct vmbus_channel *channel = channel_find(bus, message->relid);

	if (channel)
		channel_close(channel);
	return false;
}

static bool handle_modify_channel(struct vmbus *bus, const void *data, size_t size)
{
	const struct vmbus_message_modify_channel *message = data;
	struct vmbus_channel *channel = channel_find(bus, message->relid);
	struct vmbus_message_modify_channel_response response = {
		.header.type = VMBUS_MESSAGE_MODIFY_CHANNEL_RESPONSE,
		.relid = message->relid,
		.status = VMBUS_STATUS_INVALID_PARAMETER,
	};

	if (bus->version < VMBUS_VERSION_4_1)
		return false;
	if (channel)
		response.status = channel_modify(channel, message->target_vp);
	if (bus->version < VMBUS_VERSION_5_3)
		return false;
	bus_reply(bus, &response, sizeof(response));
	return true;
}

static bool handle_relid_released(struct vmbus *bus, const void *data, size_t size)
{
	const struct vmbus_message_relid *message = data;
	struct vmbus_channel *channel = channel_find(bus, message->relid);

	if (channel)
		channel_guest_released(channel);
	return false;
}

static uint32_t gpadl_status(int error)
{
	switch (error) {
	case 0:
		return VMBUS_STATUS_SUCCESS;
	case GPADL_E_LIMIT:
		return VMBUS_STATUS_INSUFFICIENT_RESOURCES;
	default:
		return VMBUS_STATUS_INVALID_PARAMETER;
	}
}

static bool gpadl_reply(struct vmbus *bus, uint32_t relid, uint32_t id, int result)
{
	struct vmbus_message_gpadl_created message = {
		.header.type = VMBUS_MESSAGE_GPADL_CREATED,
		.relid = relid,
		.gpadl = id,
		.status = gpadl_status(result),
	};

	if (result == GPADL_E_INCOMPLETE)
		return false;
	bus_reply(bus, &message, sizeof(message));
	return true;
}

static bool handle_gpadl_header(struct vmbus *bus, const void *data, size_t size)
{
	const struct vmbus_message_gpadl_header *message = data;
	struct vmbus_channel *channel = channel_find(bus, message->relid);
	struct gpadl *gpadl;
	int r = GPADL_E_INVALID;

	if (channel && !channel->rescinded && !gpadl_find(&bus->gpadls, message->gpadl))
		r = gpadl_begin(&bus->gpadls, message->gpadl, message->relid, message->range_size,
				message->range_count, (const uint8_t *)data + sizeof(*message),
				size - sizeof(*message), &gpadl);
	return gpadl_reply(bus, message->relid, message->gpadl, r);
}

static bool handle_gpadl_body(struct vmbus *bus, const void *data, size_t size)
{
	const struct vmbus_message_gpadl_body *message = data;
	struct gpadl *gpadl = gpadl_find(&bus->gpadls, message->gpadl);
	uint32_t relid;
	int r;

	if (!gpadl || gpadl->words_received == gpadl->word_count)
		return false;
	relid = gpadl->relid;
	r = gpadl_extend(&bus->gpadls, gpadl, (const uint8_t *)data + sizeof(*message),
			 size - sizeof(*message));
	return gpadl_reply(bus, relid, message->gpadl, r);
}

static bool handle_gpadl_teardown(struct vmbus *bus, const void *data, size_t size)
{
	const struct vmbus_message_gpadl_teardown *message = data;
	struct gpadl *gpadl = gpadl_find(&bus->gpadls, message->gpadl);

	if (!gpadl || gpadl->relid != message->relid || gpadl->torn_down)
		return false;
	gpadl->torn_down = true;
	channel_settle_gpadl(bus, gpadl);
	return true;
}

/* Who asks again before it has read the answers of so many goes without one. */
void vmbus_refuse_connect(struct vmbus *bus, const struct guid *service,
			  const struct guid *endpoint)
{
	struct vmbus_message_tl_connect_result result = {
		.header.type = VMBUS_MESSAGE_TL_CONNECT_RESULT,
		.endpoint = *endpoint,
		.service = *service,
		.status = VMBUS_STATUS_CONNECTION_REFUSED,
	};

	if (bus->state != BUS_CONNECTED || !outbox_reserve(&bus->outbox))
		return;
	bus_reply(bus, &result, sizeof(result));
	bus_send(bus);
}

static bool handle_tl_connect_request(struct vmbus *bus, const void *data, size_t size)
{
	const struct vmbus_message_tl_connect_request *message = data;
	const struct guid service = message->service, endpoint = message->endpoint;

	if (!bus->connect_handler ||
	    !bus->connect_handler->requested(bus->connect_data, &service, &endpoint))
		vmbus_refuse_connect(bus, &service, &endpoint);
	return false;
}

static const struct message_kind {
	uint32_t type;
	size_t size; /* at least */
	bool connected, answered;
	message_handler handle;
} message_kinds[] = {
	{ VMBUS_MESSAGE_REQUEST_OFFERS, sizeof(struct vmbus_message_header), true, false,
	  handle_request_offers },
	{ VMBUS_MESSAGE_OPEN_CHANNEL, sizeof(struct vmbus_message_open_channel), true, true,
	  handle_open_channel },
	{ VMBUS_MESSAGE_CLOSE_CHANNEL, sizeof(struct vmbus_message_relid), true, false,
	  handle_close_channel },
	{ VMBUS_MESSAGE_GPADL_HEADER, sizeof(struct vmbus_message_gpadl_header), true, true,
	  handle_gpadl_header },
	{ VMBUS_MESSAGE_GPADL_BODY, sizeof(struct vmbus_message_gpadl_body), true, true,
	  handle_gpadl_body },
	{ VMBUS_MESSAGE_GPADL_TEARDOWN, sizeof(struct vmbus_message_gpadl_teardown), true, true,
	  handle_gpadl_teardown },
	{ VMBUS_MESSAGE_RELID_RELEASED, sizeof(struct vmbus_message_relid), true, false,
	  handle_relid_released },
	{ VMBUS_MESSAGE_INITIATE_CONTACT, sizeof(struct vmbus_message_initiate_contact), false,
	  false, handle_initiate_contact },
	{ VMBUS_MESSAGE_UNLOAD, sizeof(struct vmbus_message_header), false, false, handle_unload },
	{ VMBUS_MESSAGE_TL_CONNECT_REQUEST, sizeof(struct vmbus_message_tl_connect_request), true,
	  false, handle_tl_connect_request },
	{ VMBUS_MESSAGE_MODIFY_CHANNEL, sizeof(struct vmbus_message_modify_channel), true, true,
	  handle_modify_channel },
};

static const struct message_kind *message_kind(uint32_t type)
{
	for (size_t i = 0; i < ARRAY_SIZE(message_kinds); i++)
		if (message_kinds[i].type == type)
			return &message_kinds[i];
	return NULL;
}

void vmbus_receive_message(struct vmbus *bus, uint32_t connection_id, const void *payload,
			   size_t size)
{
	union {
		struct vmbus_message_header header;
		uint8_t bytes[VMBUS_MESSAGE_MAX];
	} message __attribute__((aligned(8)));
	const struct message_kind *kind;

	if (size < sizeof(message.header) || size > sizeof(message.bytes))
		return;
	memcpy(message.bytes, payload, size);
	kind = message_kind(message.header.type);
	if (!kind || size < kind->size)
		return;
	if (kind->connected && (bus->state != BUS_CONNECTED || connection_id != bus->connection_id))
		return;
	if (kind->answered && !outbox_reserve(&bus->outbox))
		return;
	if (!kind->handle(bus, message.bytes, size) && kind->answered)
		outbox_unreserve(&bus->outbox);
	bus_send(bus);
}
