/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The guest's end of dynamic memory.
 *
 * Versions are tried from the newest down, each once. A request is done at once, whatever its size,
 * and answered in as many messages as its ranges take.
 */
#include "guest-vsc/balloon_client.h"
#include "guest-vsc/clock.h"
#include "guest-vsc/machine.h"
#include "guest-vsc/memory.h"

#define HOST_TIMEOUT (10 * CLOCK_SECOND)
#define PACKET_MAX   (DM_MESSAGE_MAX + 64) /* with its descriptor */

#define LAST_ATTEMPT 1u /* flag of struct dm_version_request */
#define ADDED        1u /* result of struct dm_hot_add_response */

/* A message that was received: header.size bytes, 8-aligned, in a copy of its own. */
struct message {
	const struct dm_header *header;
	const void *bytes;
};

/* ---- Sending ---- */

/* Waits until the ring has room. */
static int send(struct balloon_client *balloon, enum dm_type type, void *message, size_t size)
{
	const struct dm_header header = {
		.type = (uint16_t)type,
		.size = (uint16_t)size,
		.transaction_id = ++balloon->transaction_id,
	};
	const struct ring_packet packet = {
		.type = RING_PACKET_INBAND,
		.payload = message,
		.payload_size = (uint32_t)size,
	};
	uint64_t deadline = clock_now() + HOST_TIMEOUT;
	int r;

	memcpy(message, &header, sizeof(header));
	while ((r = client_channel_send(&balloon->channel, &packet)) == RING_E_FULL) {
		client_channel_flush(&balloon->channel);
		if (clock_now() > deadline)
			return BALLOON_CLIENT_E_TIMEOUT;
		machine_pause();
	}
	client_channel_flush(&balloon->channel);
	return r ? BALLOON_CLIENT_E_RING : 0;
}

static int report(struct balloon_client *balloon)
{
	struct balloon_client_needs needs = balloon->options.memory->needs(balloon->options.data);
	struct dm_status_report status = {
		.available = needs.available,
		.committed = needs.committed + balloon->ballooned,
		.free = needs.free,
	};

	balloon->report_at = clock_now() + BALLOON_CLIENT_REPORT_NS;
	balloon->reports++;
	return send(balloon, DM_STATUS_REPORT, &status, sizeof(status));
}

/* ---- Receiving ---- */

/* Return: E_RING, E_PROTOCOL; *ret_any: whether there was a message. */
static int receive(struct balloon_client *balloon, struct message *ret_message, bool *ret_any)
{
	static uint64_t buffer[PACKET_MAX / sizeof(uint64_t)];
	struct ring_packet packet;
	int r = client_channel_receive(&balloon->channel, buffer, sizeof(buffer), &packet);

	*ret_any = r == 0;
	if (r)
		return r == RING_E_EMPTY ? 0 : BALLOON_CLIENT_E_RING;
	ret_message->header = ret_message->bytes = packet.payload;
	if (packet.type != RING_PACKET_INBAND || packet.payload_size < sizeof(struct dm_header) ||
	    ret_message->header->size > packet.payload_size ||
	    ret_message->header->size < sizeof(struct dm_header))
		return BALLOON_CLIENT_E_PROTOCOL;
	return 0;
}

/* The host's answer to what was just sent; nothing else comes before it is done negotiating. */
static int await_acceptance(struct balloon_client *balloon, enum dm_type type, bool *ret_accepted)
{
	uint64_t deadline = clock_now() + HOST_TIMEOUT;
	struct dm_acceptance answer;
	struct message message;
	bool any;
	int r;

	while (!(r = receive(balloon, &message, &any)) && !any) {
		if (clock_now() > deadline)
			return BALLOON_CLIENT_E_TIMEOUT;
		machine_pause();
	}
	if (r)
		return r;
	if (message.header->type != type || message.header->size < sizeof(answer))
		return BALLOON_CLIENT_E_PROTOCOL;
	memcpy(&answer, message.bytes, sizeof(answer));
	*ret_accepted = answer.flags & DM_ACCEPTED;
	return 0;
}

/* ---- Negotiation ---- */

static int agree_on_version(struct balloon_client *balloon)
{
	static const uint32_t versions[] = { DM_VERSION_2_0, DM_VERSION_1_0, DM_VERSION_0_3 };
	bool accepted = false;
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(versions); i++) {
		struct dm_version_request request = {
			.version = versions[i],
			.flags = i + 1 == ARRAY_SIZE(versions) ? LAST_ATTEMPT : 0,
		};

		if (versions[i] > balloon->options.newest)
			continue;
		r = send(balloon, DM_VERSION_REQUEST, &request, sizeof(request));
		if (!r)
			r = await_acceptance(balloon, DM_VERSION_RESPONSE, &accepted);
		if (r)
			return r;
		if (accepted) {
			balloon->version = versions[i];
			return 0;
		}
	}
	return BALLOON_CLIENT_E_REFUSED;
}

static int agree_on_capabilities(struct balloon_client *balloon)
{
	struct dm_capabilities_report capabilities = {
		.capabilities = balloon->options.capabilities,
		.maximum_page = UINT64_MAX,
	};
	bool accepted;
	int r;

	r = send(balloon, DM_CAPABILITIES_REPORT, &capabilities, sizeof(capabilities));
	if (!r)
		r = await_acceptance(balloon, DM_CAPABILITIES_RESPONSE, &accepted);
	if (r)
		return r;
	return accepted ? 0 : BALLOON_CLIENT_E_REFUSED;
}

/* ---- What is in the balloon ---- */

static bool frames_are_valid(uint64_t first, uint64_t count)
{
	return count > 0 && first < BALLOON_CLIENT_FRAMES_MAX &&
	       count <= BALLOON_CLIENT_FRAMES_MAX - first;
}

static bool is_in_balloon(const struct balloon_client *balloon, uint64_t frame)
{
	return balloon->in_balloon[frame / 64] >> frame % 64 & 1;
}

/* Return: false, and nothing is changed, if not all of them are in it, or out of it. */
static bool move_frames(struct balloon_client *balloon, uint64_t first, uint64_t count, bool in)
{
	if (!frames_are_valid(first, count))
		return false;
	for (uint64_t i = first; i < first + count; i++)
		if (is_in_balloon(balloon, i) == in)
			return false;
	for (uint64_t i = first; i < first + count; i++)
		balloon->in_balloon[i / 64] ^= UINT64_C(1) << i % 64;
	balloon->ballooned = in ? balloon->ballooned + count : balloon->ballooned - count;
	return true;
}

/* ---- Requests ---- */

struct balloon_response {
	struct dm_balloon_response response;
	uint64_t ranges[DM_RANGES_MAX];
} PACKED;
_Static_assert(sizeof(struct balloon_response) <= DM_MESSAGE_MAX, "one page holds it");

/* As many ranges as fit. Return: the pages of them; less than `wanted` may be all there are. */
static uint64_t fill_response(struct balloon_client *balloon, struct balloon_response *message,
			      uint64_t wanted, bool *ret_exhausted)
{
	const struct balloon_client_options *options = &balloon->options;
	uint64_t named = 0, first, count;
	unsigned i = 0;

	*ret_exhausted = false;
	while (i < DM_RANGES_MAX && named < wanted && !*ret_exhausted) {
		uint64_t most = MIN(wanted - named, DM_RANGE_COUNT_MAX);

		count = options->memory->take(options->data, most, &first);
		if (count == 0 || count > most || !move_frames(balloon, first, count, true)) {
			*ret_exhausted = true;
		} else {
			message->ranges[i++] = DM_RANGE(first, count);
			named += count;
		}
	}
	message->response = (struct dm_balloon_response){ .flags_and_count = i << 1 };
	return named;
}

/* The last answer may have no ranges. */
static int inflate(struct balloon_client *balloon, const struct message *received)
{
	static struct balloon_response message;
	struct dm_balloon_request request;
	bool exhausted = false;
	uint64_t wanted;
	int r = 0;

	memcpy(&request, received->bytes, sizeof(request));
	wanted = request.pages;
	do {
		size_t size;

		wanted -= fill_response(balloon, &message, wanted, &exhausted);
		size = offsetof(struct balloon_response,
				ranges[message.response.flags_and_count >> 1]);
		if (wanted > 0 && !exhausted)
			message.response.flags_and_count |= DM_MORE_PAGES;
		balloon->responses++;
		r = send(balloon, DM_BALLOON_RESPONSE, &message, size);
	} while (!r && wanted > 0 && !exhausted);
	return r;
}

static int deflate(struct balloon_client *balloon, const struct message *received)
{
	const struct balloon_client_options *options = &balloon->options;
	const uint8_t *ranges =
		(const uint8_t *)received->bytes + sizeof(struct dm_unballoon_request);
	struct dm_unballoon_request request;
	struct dm_header answer = { 0 };

	memcpy(&request, received->bytes, sizeof(request));
	if (request.range_count > (received->header->size - sizeof(request)) / sizeof(uint64_t))
		return BALLOON_CLIENT_E_PROTOCOL;
	for (uint32_t i = 0; i < request.range_count; i++) {
		uint64_t range;

		memcpy(&range, ranges + i * sizeof(range), sizeof(range));
		if (!move_frames(balloon, DM_RANGE_FRAME(range), DM_RANGE_COUNT(range), false))
			return BALLOON_CLIENT_E_PROTOCOL;
		options->memory->give(options->data, DM_RANGE_FRAME(range), DM_RANGE_COUNT(range));
	}
	if (request.flags & DM_MORE_PAGES)
		return 0;
	return send(balloon, DM_UNBALLOON_RESPONSE, &answer, sizeof(answer));
}

/* What the guest cannot use now it never can. */
static int grow(struct balloon_client *balloon, const struct message *received)
{
	const struct balloon_client_options *options = &balloon->options;
	struct dm_hot_add_response response = { .result = ADDED };
	struct dm_hot_add_request request;
	uint64_t first, count;

	memcpy(&request, received->bytes, sizeof(request));
	first = DM_RANGE_FRAME(request.range);
	count = DM_RANGE_COUNT(request.range);
	if (options->capabilities & DM_CAPABILITY_HOT_ADD && frames_are_valid(first, count))
		response.pages = (uint32_t)options->memory->add(options->data, first, count);
	return send(balloon, DM_HOT_ADD_RESPONSE, &response, sizeof(response));
}

static int take_information(struct balloon_client *balloon, const struct message *received)
{
	struct dm_info info;

	memcpy(&info, received->bytes, sizeof(info));
	if (info.type == DM_INFO_MAXIMUM_PAGES && info.data_size == sizeof(info.maximum_pages))
		balloon->maximum_pages = info.maximum_pages;
	return 0;
}

static const struct handler {
	size_t size; /* of the message, at least */
	int (*handle)(struct balloon_client *balloon, const struct message *message);
} handlers[] = {
	[DM_BALLOON_REQUEST] = { sizeof(struct dm_balloon_request), inflate },
	[DM_UNBALLOON_REQUEST] = { sizeof(struct dm_unballoon_request), deflate },
	[DM_HOT_ADD_REQUEST] = { sizeof(struct dm_hot_add_request), grow },
	[DM_INFO] = { sizeof(struct dm_info), take_information },
};

static int handle(struct balloon_client *balloon, const struct message *message)
{
	const struct handler *handler = message->header->type < ARRAY_SIZE(handlers)
						? &handlers[message->header->type]
						: NULL;

	if (!handler || !handler->handle) {
		balloon->unknown++;
		return 0;
	}
	if (message->header->size < handler->size)
		return BALLOON_CLIENT_E_PROTOCOL;
	return handler->handle(balloon, message);
}

int balloon_client_poll(struct balloon_client *balloon)
{
	struct message message;
	bool any;
	int r;

	do {
		r = receive(balloon, &message, &any);
		if (!r && any)
			r = handle(balloon, &message);
	} while (!r && any);
	if (!r && clock_now() >= balloon->report_at)
		r = report(balloon);
	return r;
}

/* ---- The channel ---- */

int balloon_client_open(struct balloon_client *balloon, struct vmbus_client *bus,
			const struct balloon_client_options *options,
			struct client_channel_memory memory)
{
	static const struct guid type = DM_TYPE;
	const struct vmbus_message_offer_channel *offer = vmbus_client_find(bus, &type, 0, 0);
	int r;

	memset(balloon, 0, sizeof(*balloon));
	balloon->options = *options;
	if (!offer)
		return BALLOON_CLIENT_E_ABSENT;
	if (client_channel_open(&balloon->channel, bus, offer, memory, NULL))
		return BALLOON_CLIENT_E_BUS;
	r = agree_on_version(balloon);
	return r ? r : agree_on_capabilities(balloon);
}
