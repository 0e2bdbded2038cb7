/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * RNDIS, in the guest: requests, one at a time, and what the host tells unasked.
 */
#include "guest-vsc/netvsc_request.h"
#include "guest-vsc/clock.h"
#include "guest-vsc/machine.h"
#include "guest-vsc/memory.h"

#define ANSWER_TIMEOUT (10 * CLOCK_SECOND)
#define PAGE_SIZE      4096u
#define TRANSFER_MAX   0x4000u /* bytes of a message to the guest, as Linux says */

struct rndis_message {
	struct rndis_header header;
	union rndis_body body;
} PACKED;

#define BODY_OF_REQUEST 20u /* bytes of body.query and body.set; the value follows */
#define WITH_HEADER(member) \
	((uint32_t)(sizeof(struct rndis_header) + sizeof(((struct rndis_message *)0)->body.member)))

/* A request, in a page that the packet names. */
static uint8_t request_page[PAGE_SIZE] __attribute__((aligned(4096)));

int netvsc_request_await(struct netvsc_client *net, const bool *done)
{
	uint64_t deadline = clock_now() + ANSWER_TIMEOUT;
	int r;

	while (!(r = netvsc_client_poll(net)) && !*done) {
		if (clock_now() > deadline)
			return NETVSC_CLIENT_E_TIMEOUT;
		machine_pause();
	}
	return r;
}

/* ---- What comes ---- */

static void take_indication(struct netvsc_client *net, const struct rndis_message *message)
{
	switch (message->body.indicate_status.status) {
	case RNDIS_STATUS_MEDIA_CONNECT:
		net->link_up = true;
		net->links_up++;
		break;
	case RNDIS_STATUS_MEDIA_DISCONNECT:
		net->link_up = false;
		net->links_down++;
		break;
	default:
		break; /* offloads, which are not used */
	}
}

void netvsc_request_take(struct netvsc_client *net, const uint8_t *bytes, uint32_t size)
{
	struct rndis_message message = { 0 };

	memcpy(&message, bytes, MIN(size, sizeof(message)));
	if (size < WITH_HEADER(query_complete.request_id)) {
		net->strays++;
	} else if (message.header.type == RNDIS_INDICATE_STATUS) {
		take_indication(net, &message);
	} else if ((message.header.type & RNDIS_COMPLETE) && net->reply_size == 0 &&
		   size <= sizeof(net->reply) &&
		   message.body.query_complete.request_id == net->request_id) {
		memcpy(net->reply, bytes, size);
		net->reply_size = size;
	} else {
		net->strays++;
	}
}

/* ---- Requests ---- */

static int send_request(struct netvsc_client *net, const struct rndis_message *message,
			const void *value, uint32_t size)
{
	const struct nvsp_message nvsp = {
		.type = NVSP_SEND_RNDIS_PACKET,
		.rndis = { NVSP_CHANNEL_CONTROL, NVSP_NO_SEND_SECTION, 0 },
	};
	const uint64_t extension[] = { UINT64_C(1) << 32, message->header.length,
				       machine_gpa(request_page) / PAGE_SIZE };
	const struct ring_packet packet = {
		.type = RING_PACKET_GPA_DIRECT,
		.flags = RING_FLAG_COMPLETION_REQUESTED,
		.transaction_id = ++net->packet_id,
		.extension = extension,
		.extension_size = sizeof(extension),
		.payload = &nvsp,
		.payload_size = netvsc_message_size(net),
	};
	uint32_t fixed = message->header.length - size;

	memcpy(request_page, message, fixed);
	if (size)
		memcpy(request_page + fixed, value, size);
	net->completed = false;
	net->reply_size = 0;
	if (client_channel_send(&net->channels[0], &packet))
		return NETVSC_CLIENT_E_RING;
	client_channel_flush(&net->channels[0]);
	return netvsc_request_await(net, &net->completed);
}

/* Bytes of a reply that says yes. */
static uint32_t reply_size_min(uint32_t type)
{
	return type == RNDIS_INITIALIZE ? WITH_HEADER(initialize_complete)
	       : type == RNDIS_QUERY    ? WITH_HEADER(query_complete)
					: WITH_HEADER(set_complete);
}

/* The answer may come before the request is completed, or after. */
static int await_reply(struct netvsc_client *net, uint32_t type, struct rndis_message *ret_reply)
{
	uint64_t deadline = clock_now() + ANSWER_TIMEOUT;
	int r = 0;

	while (!r && net->reply_size == 0) {
		if (clock_now() > deadline)
			return NETVSC_CLIENT_E_TIMEOUT;
		r = netvsc_client_poll(net);
	}
	if (r)
		return r;
	memset(ret_reply, 0, sizeof(*ret_reply));
	memcpy(ret_reply, net->reply, MIN(net->reply_size, sizeof(*ret_reply)));
	if (ret_reply->header.type != (type | RNDIS_COMPLETE) ||
	    net->reply_size < WITH_HEADER(set_complete))
		return NETVSC_CLIENT_E_PROTOCOL;
	net->status = ret_reply->body.query_complete.status;
	if (net->status != RNDIS_STATUS_SUCCESS)
		return NETVSC_CLIENT_E_REFUSED;
	return net->reply_size < reply_size_min(type) ? NETVSC_CLIENT_E_PROTOCOL : 0;
}

static int request(struct netvsc_client *net, uint32_t type, uint32_t oid, const void *value,
		   uint32_t size, struct rndis_message *ret_reply)
{
	struct rndis_message message = {
		.header = { type, (uint32_t)sizeof(struct rndis_header) + BODY_OF_REQUEST + size },
		.body.set = {
			.request_id = ++net->request_id,
			.oid = oid,
			.length = size,
			.offset = size ? BODY_OF_REQUEST : 0,
		},
	};
	int r;

	if (size > NETVSC_CLIENT_VALUE_MAX)
		return NETVSC_CLIENT_E_TOO_BIG;
	r = send_request(net, &message, value, size);
	return r ? r : await_reply(net, type, ret_reply);
}

int netvsc_client_query(struct netvsc_client *net, uint32_t oid, void *value, uint32_t *size)
{
	struct rndis_message reply;
	uint32_t length, offset, body;
	int r = request(net, RNDIS_QUERY, oid, NULL, 0, &reply);

	if (r)
		return r;
	length = reply.body.query_complete.length;
	offset = reply.body.query_complete.offset;
	body = net->reply_size - (uint32_t)sizeof(struct rndis_header);
	if (offset > body || length > body - offset)
		return NETVSC_CLIENT_E_PROTOCOL;
	*size = MIN(*size, length);
	memcpy(value, net->reply + sizeof(struct rndis_header) + offset, *size);
	return 0;
}

int netvsc_client_set(struct netvsc_client *net, uint32_t oid, const void *value, uint32_t size)
{
	struct rndis_message reply;

	return request(net, RNDIS_SET, oid, value, size, &reply);
}

/* ---- The adapter's life ---- */

int netvsc_request_initialize(struct netvsc_client *net)
{
	struct rndis_message message = {
		.header = { RNDIS_INITIALIZE,
			    sizeof(struct rndis_header) + sizeof(message.body.initialize) },
		.body.initialize = { .request_id = ++net->request_id,
				     .major = RNDIS_VERSION_MAJOR,
				     .minor = RNDIS_VERSION_MINOR,
				     .transfer_max = TRANSFER_MAX },
	};
	uint32_t state = NDIS_MEDIA_DISCONNECTED, size = sizeof(state);
	struct rndis_message reply;
	int r;

	r = send_request(net, &message, NULL, 0);
	if (!r)
		r = await_reply(net, RNDIS_INITIALIZE, &reply);
	if (r)
		return r;
	net->transfer_max = reply.body.initialize_complete.transfer_max;
	r = netvsc_client_query(net, OID_GEN_MEDIA_CONNECT_STATUS, &state, &size);
	if (!r && size < sizeof(state))
		r = NETVSC_CLIENT_E_PROTOCOL;
	net->link_up = !r && state == NDIS_MEDIA_CONNECTED;
	return r;
}

int netvsc_request_halt(struct netvsc_client *net)
{
	const struct rndis_message message = {
		.header = { RNDIS_HALT, sizeof(struct rndis_header) + sizeof(message.body.halt) },
		.body.halt.request_id = ++net->request_id,
	};

	return send_request(net, &message, NULL, 0);
}
