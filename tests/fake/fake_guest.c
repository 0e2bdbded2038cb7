/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The fake guest's VMBus client: running the host, messages, offers, GPADLs. */
#include "tests/fake/fake.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Frame numbers in a GPADL_HEADER after its one range, and in a GPADL_BODY. */
#define HEADER_PFNS 26u
#define BODY_PFNS   28u

#define STATUS_NONE UINT32_MAX

/* ---- Running the host ---- */

static void *grown(void *array, size_t count, size_t size)
{
	array = realloc(array, (count + 1) * size);
	assert(array);
	return array;
}

static void fake_forget_offer(struct fake *fake, uint32_t relid)
{
	for (size_t i = 0; i < fake->offer_count; i++)
		if (fake->offers[i].relid == relid)
			fake->offers[i--] = fake->offers[--fake->offer_count];
}

static void fake_keep_message(struct fake *fake, const struct fake_message *message)
{
	struct vmbus_message_header header;
	struct vmbus_message_relid rescission;

	assert(message->size >= sizeof(header));
	memcpy(&header, message->bytes, sizeof(header));
	if (header.type == VMBUS_MESSAGE_OFFER_CHANNEL) {
		assert(message->size == sizeof(*fake->offers));
		assert(fake->offer_count < VMBUS_CHANNEL_MAX);
		memcpy(&fake->offers[fake->offer_count++], message->bytes, sizeof(*fake->offers));
		return;
	}
	if (header.type == VMBUS_MESSAGE_RESCIND_OFFER) {
		memcpy(&rescission, message->bytes, sizeof(rescission));
		fake_forget_offer(fake, rescission.relid);
	}
	fake->inbox = grown(fake->inbox, fake->inbox_count, sizeof(*fake->inbox));
	fake->inbox[fake->inbox_count++] = *message;
}

static void fake_take_messages(struct fake *fake)
{
	struct fake_message message;

	for (uint32_t vp = 0; vp < fake->host.vp_count && !fake->hold_slots; vp++)
		while (fake_take_message(fake, vp, &message))
			fake_keep_message(fake, &message);
}

static void fake_turn(struct fake *fake, uint64_t timeout_ns)
{
	int r = loop_run_once(fake->loop, timeout_ns);

	assert(r == 0);
	fake_check_marks(fake);
	fake_take_messages(fake);
}

void fake_run(struct fake *fake)
{
	fake_take_messages(fake);
	fake_turn(fake, 0);
}

bool fake_run_until(struct fake *fake, bool (*done)(void *data), void *data)
{
	uint64_t end = loop_now() + FAKE_TIMEOUT_NS, now;

	fake_run(fake);
	while (!done(data)) {
		now = loop_now();
		if (now >= end)
			return false;
		fake_turn(fake, end - now);
	}
	return true;
}

void fake_settle(struct fake *fake)
{
	for (unsigned quiet = 0; quiet < 4; quiet++) {
		size_t messages = fake->inbox_count + fake->offer_count;
		unsigned interrupts = fake->interrupts;

		fake_run(fake);
		if (fake->inbox_count + fake->offer_count != messages ||
		    fake->interrupts != interrupts)
			quiet = 0;
	}
}

/* ---- Messages ---- */

void fake_post(struct fake *fake, const void *message, size_t size)
{
	uint32_t connection_id =
		fake->connection_id ? fake->connection_id : VMBUS_CONNECTION_ID_MESSAGE_4;

	vmbus_receive_message(fake->bus, connection_id, message, size);
}

static struct fake_message *fake_find_message(const struct fake *fake, uint32_t type)
{
	for (size_t i = 0; i < fake->inbox_count; i++)
		if (memcmp(fake->inbox[i].bytes, &type, sizeof(type)) == 0)
			return &fake->inbox[i];
	return NULL;
}

bool fake_has_message(const struct fake *fake, uint32_t type)
{
	return fake_find_message(fake, type) != NULL;
}

struct message_wait {
	struct fake *fake;
	uint32_t type;
};

static bool message_is_there(void *data)
{
	struct message_wait *wait = data;

	return fake_has_message(wait->fake, wait->type);
}

bool fake_await(struct fake *fake, uint32_t type, void *ret_message, size_t size)
{
	struct message_wait wait = { .fake = fake, .type = type };
	struct fake_message *message;
	size_t index;

	if (!fake_run_until(fake, message_is_there, &wait))
		return false;
	message = fake_find_message(fake, type);
	assert(message->size == size);
	memcpy(ret_message, message->bytes, size);
	index = (size_t)(message - fake->inbox);
	memmove(message, message + 1, (--fake->inbox_count - index) * sizeof(*message));
	return true;
}

bool fake_connect(struct fake *fake, uint32_t version)
{
	struct vmbus_message_initiate_contact contact = {
		.header.type = VMBUS_MESSAGE_INITIATE_CONTACT,
		.version = version,
		.target_vp = fake->target_vp,
	};
	struct vmbus_message_version_response response;

	fake->connection_id = VMBUS_CONNECTION_ID_MESSAGE;
	if (version >= VMBUS_VERSION_5_0) {
		fake->connection_id = VMBUS_CONNECTION_ID_MESSAGE_4;
		contact.sint = VMBUS_SINT;
	}
	fake->offer_count = fake->inbox_count = 0;
	fake_post(fake, &contact, sizeof(contact));
	if (!fake_await(fake, VMBUS_MESSAGE_VERSION_RESPONSE, &response, sizeof(response)))
		return false;
	if (response.supported && version >= VMBUS_VERSION_5_0)
		fake->connection_id = response.connection_id;
	fake->version = version;
	return response.supported;
}

bool fake_request_offers(struct fake *fake)
{
	struct vmbus_message_header request = { .type = VMBUS_MESSAGE_REQUEST_OFFERS }, reply;

	fake_post(fake, &request, sizeof(request));
	return fake_await(fake, VMBUS_MESSAGE_ALL_OFFERS_DELIVERED, &reply, sizeof(reply));
}

struct offer_wait {
	struct fake *fake;
	const struct guid *type, *instance;
	uint16_t sub_channel_index;
	const struct vmbus_message_offer_channel *found;
};

static bool offer_is_there(void *data)
{
	struct offer_wait *wait = data;

	for (size_t i = 0; i < wait->fake->offer_count; i++) {
		const struct vmbus_message_offer_channel *offer = &wait->fake->offers[i];

		if (guid_equal(&offer->type, wait->type) &&
		    (!wait->instance || guid_equal(&offer->instance, wait->instance)) &&
		    offer->sub_channel_index == wait->sub_channel_index) {
			wait->found = offer;
			return true;
		}
	}
	return false;
}

const struct vmbus_message_offer_channel *fake_find_offer(struct fake *fake,
							  const struct guid *type,
							  const struct guid *instance,
							  uint16_t sub_channel_index)
{
	struct offer_wait wait = {
		.fake = fake,
		.type = type,
		.instance = instance,
		.sub_channel_index = sub_channel_index,
	};

	fake_run_until(fake, offer_is_there, &wait);
	return wait.found;
}

bool fake_has_offer(const struct fake *fake, const struct guid *type)
{
	for (size_t i = 0; i < fake->offer_count; i++) {
		if (guid_equal(&fake->offers[i].type, type))
			return true;
	}
	return false;
}

bool fake_unload(struct fake *fake)
{
	struct vmbus_message_header unload = { .type = VMBUS_MESSAGE_UNLOAD }, reply;

	fake_post(fake, &unload, sizeof(unload));
	return fake_await(fake, VMBUS_MESSAGE_UNLOAD_RESPONSE, &reply, sizeof(reply));
}

/* ---- GPADLs ---- */

static void post_gpadl_header(struct fake *fake, uint32_t relid, uint32_t gpadl,
			      const uint64_t *pfns, uint32_t page_count, uint32_t byte_count)
{
	struct {
		struct vmbus_message_gpadl_header header;
		struct vmbus_gpa_range range;
		uint64_t pfns[HEADER_PFNS];
	} PACKED message = {
		.header.header.type = VMBUS_MESSAGE_GPADL_HEADER,
		.header.relid = relid,
		.header.gpadl = gpadl,
		.header.range_size = (uint16_t)((1 + page_count) * sizeof(uint64_t)),
		.header.range_count = 1,
		.range.byte_count = byte_count,
	};
	uint32_t count = MIN(page_count, HEADER_PFNS);

	memcpy((uint8_t *)&message + sizeof(message.header) + sizeof(message.range), pfns,
	       count * sizeof(*pfns));
	fake_post(fake, &message,
		  sizeof(message.header) + sizeof(message.range) + count * sizeof(*pfns));
}

static void post_gpadl_body(struct fake *fake, uint32_t gpadl, const uint64_t *pfns,
			    uint32_t page_count)
{
	struct {
		struct vmbus_message_gpadl_body header;
		uint64_t pfns[BODY_PFNS];
	} PACKED message = {
		.header.header.type = VMBUS_MESSAGE_GPADL_BODY,
		.header.gpadl = gpadl,
	};

	memcpy((uint8_t *)&message + sizeof(message.header), pfns, page_count * sizeof(*pfns));
	fake_post(fake, &message, sizeof(message.header) + page_count * sizeof(*pfns));
}

uint32_t fake_gpadl_create(struct fake *fake, uint32_t relid, const uint64_t *pfns,
			   uint32_t page_count, uint32_t byte_count, uint32_t *ret_gpadl)
{
	uint32_t gpadl = fake->next_gpadl++, sent = MIN(page_count, HEADER_PFNS);
	struct vmbus_message_gpadl_created reply;

	post_gpadl_header(fake, relid, gpadl, pfns, page_count,
			  byte_count ? byte_count : page_count * HV_PAGE_SIZE);
	while (sent < page_count) {
		uint32_t count = MIN(page_count - sent, BODY_PFNS);

		post_gpadl_body(fake, gpadl, pfns + sent, count);
		sent += count;
	}
	*ret_gpadl = gpadl;
	if (!fake_await(fake, VMBUS_MESSAGE_GPADL_CREATED, &reply, sizeof(reply)))
		return STATUS_NONE;
	assert(reply.relid == relid && reply.gpadl == gpadl);
	return reply.status;
}

bool fake_gpadl_teardown(struct fake *fake, uint32_t relid, uint32_t gpadl)
{
	struct vmbus_message_gpadl_teardown message = {
		.header.type = VMBUS_MESSAGE_GPADL_TEARDOWN,
		.relid = relid,
		.gpadl = gpadl,
	};
	struct vmbus_message_gpadl_torndown reply;

	fake_post(fake, &message, sizeof(message));
	return fake_await(fake, VMBUS_MESSAGE_GPADL_TORNDOWN, &reply, sizeof(reply)) &&
	       reply.gpadl == gpadl;
}
