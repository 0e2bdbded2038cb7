/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * RNDIS control messages: each is answered at once, from a table; in every state, since a guest
 * would wait for an answer that does not come.
 */
#include "vsp/network/rndis.h"

#include <string.h>

#define PACKETS_PER_MESSAGE 8           /* data messages that a guest may put in one packet */
#define TRANSFER_MAX        0xefffffffu /* bytes; what Hyper-V says: a large send is one message */
#define ALIGNMENT           3           /* as a power of two */

struct rndis_message {
	struct rndis_header header;
	union rndis_body body;
} PACKED;

struct rndis_request {
	const struct rndis_message *message; /* its body is zero where the guest's was short */
	const uint8_t *bytes;                /* the whole of it */
	size_t size;
};

/* An information buffer follows the body. */
#define REPLY_VALUE_OFFSET (sizeof(struct rndis_header) + 16)

/* Each fills the reply's body. Return: the body's size; 0: no reply. */
typedef size_t (*rndis_handler)(struct rndis *rndis, const struct rndis_request *request,
				union rndis_body *reply, uint8_t *value);

void rndis_reset(struct rndis *rndis)
{
	rndis->initialized = false;
	memcpy(rndis->mac, rndis->permanent_mac, sizeof(rndis->mac));
	rndis->filter = 0;
	rndis->lookahead = 0;
	rndis->multicast_count = 0;
	rndis_reset_offloads(rndis);
	rndis->rss = false;
	rndis->hash_types = 0;
	memset(rndis->key, 0, sizeof(rndis->key));
	rndis->table_size = 0;
	rndis->changes |= RNDIS_CHANGED_OFFLOADS | RNDIS_CHANGED_STATE;
}

static size_t rndis_initialize(struct rndis *rndis, const struct rndis_request *request,
			       union rndis_body *reply, uint8_t *value)
{
	const union rndis_body *body = &request->message->body;
	bool known = body->initialize.major == RNDIS_VERSION_MAJOR;

	reply->initialize_complete = (__typeof__(reply->initialize_complete)){
		.request_id = body->initialize.request_id,
		.status = known ? RNDIS_STATUS_SUCCESS : RNDIS_STATUS_NOT_SUPPORTED,
		.major = RNDIS_VERSION_MAJOR,
		.minor = RNDIS_VERSION_MINOR,
		.device_flags = 1,
		.packets_max = PACKETS_PER_MESSAGE,
		.transfer_max = TRANSFER_MAX,
		.alignment = ALIGNMENT,
	};
	if (known) {
		rndis_reset(rndis);
		rndis->initialized = true;
	}
	return sizeof(reply->initialize_complete);
}

static size_t rndis_halt(struct rndis *rndis, const struct rndis_request *request,
			 union rndis_body *reply, uint8_t *value)
{
	rndis_reset(rndis);
	return 0;
}

/* The information buffer of a query or set. Return: NULL: it is not all in the message. */
static const uint8_t *request_information(const struct rndis_request *request, size_t *ret_size)
{
	size_t offset = request->message->body.query.offset,
	       size = request->message->body.query.length;
	size_t body_size = request->size - sizeof(struct rndis_header);

	if (size > 0 && (offset > body_size || size > body_size - offset))
		return NULL;
	*ret_size = size;
	return request->bytes + sizeof(struct rndis_header) + (size > 0 ? offset : 0);
}

static size_t rndis_query(struct rndis *rndis, const struct rndis_request *request,
			  union rndis_body *reply, uint8_t *value)
{
	const union rndis_body *body = &request->message->body;
	uint32_t status = RNDIS_STATUS_INVALID_LENGTH;
	const uint8_t *input;
	size_t input_size, size = 0;

	input = request_information(request, &input_size);
	if (!rndis->initialized)
		status = RNDIS_STATUS_FAILURE;
	else if (input)
		status = rndis_oid_query(rndis, body->query.oid, input, input_size, value, &size);
	if (status != RNDIS_STATUS_SUCCESS)
		size = 0;
	reply->query_complete = (__typeof__(reply->query_complete)){
		.request_id = body->query.request_id,
		.status = status,
		.length = (uint32_t)size,
		.offset = size ? sizeof(reply->query_complete) : 0,
	};
	return sizeof(reply->query_complete) + size;
}

static size_t rndis_set(struct rndis *rndis, const struct rndis_request *request,
			union rndis_body *reply, uint8_t *value)
{
	const union rndis_body *body = &request->message->body;
	uint32_t status = RNDIS_STATUS_INVALID_LENGTH;
	const uint8_t *input;
	size_t size;

	input = request_information(request, &size);
	if (!rndis->initialized)
		status = RNDIS_STATUS_FAILURE;
	else if (input)
		status = rndis_oid_set(rndis, body->set.oid, input, size);
	reply->set_complete.request_id = body->set.request_id;
	reply->set_complete.status = status;
	return sizeof(reply->set_complete);
}

static size_t rndis_reset_device(struct rndis *rndis, const struct rndis_request *request,
				 union rndis_body *reply, uint8_t *value)
{
	/* The addresses have to be set again. */
	rndis->filter = 0;
	rndis->multicast_count = 0;
	reply->reset_complete.status = RNDIS_STATUS_SUCCESS;
	reply->reset_complete.addressing_reset = 1;
	return sizeof(reply->reset_complete);
}

static size_t rndis_keep_alive(struct rndis *rndis, const struct rndis_request *request,
			       union rndis_body *reply, uint8_t *value)
{
	reply->keep_alive_complete.request_id = request->message->body.keep_alive.request_id;
	reply->keep_alive_complete.status = RNDIS_STATUS_SUCCESS;
	return sizeof(reply->keep_alive_complete);
}

static const struct {
	size_t size; /* of the body, at least */
	rndis_handler handle;
} rndis_requests[] = {
	[RNDIS_INITIALIZE] = { 16, rndis_initialize }, [RNDIS_HALT] = { 4, rndis_halt },
	[RNDIS_QUERY] = { 16, rndis_query },           [RNDIS_SET] = { 16, rndis_set },
	[RNDIS_RESET] = { 0, rndis_reset_device },     [RNDIS_KEEP_ALIVE] = { 4, rndis_keep_alive },
};

size_t rndis_control(struct rndis *rndis, const void *bytes, size_t size, void *reply_bytes)
{
	struct rndis_message message = { 0 }, *reply = reply_bytes;
	struct rndis_request request = { .message = &message, .bytes = bytes };
	uint32_t type;
	size_t body_size;

	memcpy(&message, bytes, MIN(size, sizeof(message)));
	type = message.header.type;
	/* What lies behind the message's own end is not its. */
	request.size = MIN(size, (size_t)message.header.length);
	if (request.size < sizeof(message.header) || type >= ARRAY_SIZE(rndis_requests) ||
	    !rndis_requests[type].handle ||
	    request.size - sizeof(message.header) < rndis_requests[type].size) {
		rndis->counters.refused++;
		return 0;
	}
	memset(reply, 0, sizeof(*reply));
	body_size = rndis_requests[type].handle(rndis, &request, &reply->body,
						(uint8_t *)reply_bytes + REPLY_VALUE_OFFSET);
	if (!body_size)
		return 0;
	reply->header.type = type | RNDIS_COMPLETE;
	reply->header.length = (uint32_t)(sizeof(reply->header) + body_size);
	return reply->header.length;
}

size_t rndis_indicate_link(const struct rndis *rndis, bool up, void *bytes)
{
	struct rndis_message *message = bytes;

	memset(message, 0, sizeof(*message));
	message->header.type = RNDIS_INDICATE_STATUS;
	message->header.length = sizeof(message->header) + sizeof(message->body.indicate_status);
	message->body.indicate_status.status =
		up ? RNDIS_STATUS_MEDIA_CONNECT : RNDIS_STATUS_MEDIA_DISCONNECT;
	return message->header.length;
}

bool rndis_accepts(const struct rndis *rndis, const uint8_t *destination)
{
	static const uint8_t broadcast[RNDIS_MAC_SIZE] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

	if (rndis->filter & NDIS_PACKET_PROMISCUOUS)
		return true;
	if (memcmp(destination, broadcast, sizeof(broadcast)) == 0)
		return rndis->filter & NDIS_PACKET_BROADCAST;
	if (!(destination[0] & 1))
		return (rndis->filter & NDIS_PACKET_DIRECTED) &&
		       memcmp(destination, rndis->mac, RNDIS_MAC_SIZE) == 0;
	if (rndis->filter & NDIS_PACKET_ALL_MULTICAST)
		return true;
	for (unsigned i = 0; i < rndis->multicast_count; i++)
		if (memcmp(destination, rndis->multicast[i], RNDIS_MAC_SIZE) == 0)
			return rndis->filter & NDIS_PACKET_MULTICAST;
	return false;
}
