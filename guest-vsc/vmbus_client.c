/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The guest's end of VMBus.
 *
 * The host's messages come in the order it sent them, but what comes next is never certain: a
 * rescind may stand before an answer, offers of sub-channels come when the host gets to them. So
 * everything that comes is taken in at once: offers and rescinds change the table, the rest is
 * kept until asked for, unless it is shorter than its type wants it: behind its end a slot may hold
 * what was there before.
 */
#include "guest-vsc/vmbus_client.h"
#include "guest-vsc/clock.h"
#include "guest-vsc/hypercall.h"
#include "guest-vsc/machine.h"
#include "guest-vsc/memory.h"
#include "guest-vsc/synic.h"

#define FIRST_GPADL 0x1000

#define PAGE_SIZE 4096u

const uint32_t vmbus_client_versions[] = {
	VMBUS_VERSION_5_3, VMBUS_VERSION_5_2, VMBUS_VERSION_5_1, VMBUS_VERSION_5_0,
	VMBUS_VERSION_4_1, VMBUS_VERSION_4_0, VMBUS_VERSION_3_0, VMBUS_VERSION_2_4,
};
const size_t vmbus_client_version_count = ARRAY_SIZE(vmbus_client_versions);

/* Part of the contact; with dedicated interrupts and no monitored channels nobody uses them. */
static uint8_t monitor_pages[2][PAGE_SIZE] __attribute__((aligned(4096)));

void vmbus_client_init(struct vmbus_client *client)
{
	memset(client, 0, sizeof(*client));
	client->next_gpadl = FIRST_GPADL;
}

int vmbus_client_post(struct vmbus_client *client, const void *message, size_t size)
{
	uint64_t deadline = clock_now() + VMBUS_CLIENT_TIMEOUT;
	uint16_t status;

	do {
		status = hypercall_post_message(client->connection_id, VMBUS_HV_MESSAGE_TYPE,
						message, size);
	} while (status == HV_STATUS_INSUFFICIENT_BUFFERS && clock_now() < deadline);
	if (status != HV_STATUS_SUCCESS) {
		client->status = status;
		return VMBUS_CLIENT_E_POST;
	}
	return 0;
}

/* ---- Receiving ---- */

/* relid 0 finds a free place. */
static struct vmbus_client_offer *find_offer(struct vmbus_client *client, uint32_t relid)
{
	for (unsigned i = 0; i < VMBUS_CLIENT_OFFERS_MAX; i++)
		if (client->offers[i].message.relid == relid)
			return &client->offers[i];
	return NULL;
}

/* The relid is a number of ours as much as of the host's: it is the channel's event flag. */
static void take_offer(struct vmbus_client *client, const struct hv_message *message)
{
	struct vmbus_client_offer taken = { 0 }, *offer = find_offer(client, 0);

	memcpy(&taken.message, message->payload, sizeof(taken.message));
	if (taken.message.relid == 0 || taken.message.relid >= HV_EVENT_FLAG_COUNT ||
	    find_offer(client, taken.message.relid))
		client->strays++;
	else if (!offer)
		client->messages_lost++;
	else
		*offer = taken;
}

static void release_offer(struct vmbus_client *client, struct vmbus_client_offer *offer)
{
	struct vmbus_message_relid released = {
		.header.type = VMBUS_MESSAGE_RELID_RELEASED,
		.relid = offer->message.relid,
	};

	offer->message.relid = 0;
	if (vmbus_client_post(client, &released, sizeof(released)))
		client->messages_lost++;
}

static void take_rescind(struct vmbus_client *client, const struct hv_message *message)
{
	struct vmbus_message_relid rescind;
	struct vmbus_client_offer *offer;

	memcpy(&rescind, message->payload, sizeof(rescind));
	offer = rescind.relid ? find_offer(client, rescind.relid) : NULL;
	if (!offer)
		return;
	offer->rescinded = true;
	if (!offer->open)
		release_offer(client, offer);
}

void vmbus_client_set_open(struct vmbus_client *client, uint32_t relid, bool open)
{
	struct vmbus_client_offer *offer = find_offer(client, relid);

	if (!offer)
		return;
	offer->open = open;
	if (!open && offer->rescinded)
		release_offer(client, offer);
}

static void keep_answer(struct vmbus_client *client, const struct hv_message *message)
{
	if (client->answer_count == VMBUS_CLIENT_ANSWERS_MAX) {
		memmove(&client->answers[0], &client->answers[1],
			sizeof(client->answers) - sizeof(client->answers[0]));
		client->answer_count--;
		client->messages_lost++;
	}
	client->answers[client->answer_count++] = *message;
}

static uint32_t message_word(const struct hv_message *message, size_t offset)
{
	uint32_t word;

	memcpy(&word, message->payload + offset, sizeof(word));
	return word;
}

/* Of a type that is not known, a header is enough. */
static bool message_is_sound(const struct hv_message *message)
{
	static const uint8_t sizes[] = {
		[VMBUS_MESSAGE_OFFER_CHANNEL] = sizeof(struct vmbus_message_offer_channel),
		[VMBUS_MESSAGE_RESCIND_OFFER] = sizeof(struct vmbus_message_relid),
		[VMBUS_MESSAGE_OPEN_RESULT] = sizeof(struct vmbus_message_open_result),
		[VMBUS_MESSAGE_GPADL_CREATED] = sizeof(struct vmbus_message_gpadl_created),
		[VMBUS_MESSAGE_GPADL_TORNDOWN] = sizeof(struct vmbus_message_gpadl_torndown),
		[VMBUS_MESSAGE_VERSION_RESPONSE] = sizeof(struct vmbus_message_version_response),
		[VMBUS_MESSAGE_TL_CONNECT_RESULT] = sizeof(struct vmbus_message_tl_connect_result),
		[VMBUS_MESSAGE_MODIFY_CHANNEL_RESPONSE] =
			sizeof(struct vmbus_message_modify_channel_response),
	};
	uint32_t type;

	if (message->type != VMBUS_HV_MESSAGE_TYPE ||
	    message->payload_size < sizeof(struct vmbus_message_header) ||
	    message->payload_size > sizeof(message->payload))
		return false;
	type = message_word(message, 0);
	return type >= ARRAY_SIZE(sizes) || message->payload_size >= sizes[type];
}

void vmbus_client_poll(struct vmbus_client *client)
{
	struct hv_message message;

	while (synic_take_message(VMBUS_SINT, &message)) {
		client->messages_received++;
		if (!message_is_sound(&message)) {
			client->strays++;
			continue;
		}
		switch (message_word(&message, 0)) {
		case VMBUS_MESSAGE_OFFER_CHANNEL:
			take_offer(client, &message);
			break;
		case VMBUS_MESSAGE_RESCIND_OFFER:
			take_rescind(client, &message);
			break;
		default:
			keep_answer(client, &message);
		}
	}
}

/* Takes the oldest kept message that fits. */
static bool take_answer(struct vmbus_client *client, uint32_t type, size_t key_offset, uint32_t key,
			void *ret_message, size_t size)
{
	for (unsigned i = 0; i < client->answer_count; i++) {
		struct hv_message *answer = &client->answers[i];

		if (message_word(answer, 0) != type ||
		    (key_offset && message_word(answer, key_offset) != key))
			continue;
		memcpy(ret_message, answer->payload, size);
		client->answer_count--;
		memmove(answer, answer + 1,
			(client->answer_count - i) * sizeof(client->answers[0]));
		return true;
	}
	return false;
}

int vmbus_client_await(struct vmbus_client *client, uint32_t type, size_t key_offset, uint32_t key,
		       void *ret_message, size_t size)
{
	uint64_t deadline = clock_now() + VMBUS_CLIENT_TIMEOUT;

	for (;;) {
		vmbus_client_poll(client);
		if (take_answer(client, type, key_offset, key, ret_message, size))
			return 0;
		if (clock_now() > deadline)
			return VMBUS_CLIENT_E_TIMEOUT;
		machine_pause();
	}
}

/* ---- The connection ---- */

static int initiate_contact(struct vmbus_client *client, uint32_t version)
{
	struct vmbus_message_initiate_contact contact = {
		.header.type = VMBUS_MESSAGE_INITIATE_CONTACT,
		.version = version,
		.monitor_page_1 = machine_gpa(monitor_pages[0]),
		.monitor_page_2 = machine_gpa(monitor_pages[1]),
	};
	struct vmbus_message_version_response response;
	int r;

	/* What came before belongs to an earlier contact. */
	vmbus_client_poll(client);
	client->answer_count = 0;
	client->connection_id = VMBUS_CONNECTION_ID_MESSAGE;
	if (version >= VMBUS_VERSION_5_0) {
		client->connection_id = VMBUS_CONNECTION_ID_MESSAGE_4;
		contact.sint = VMBUS_SINT;
	}
	r = vmbus_client_post(client, &contact, sizeof(contact));
	if (!r)
		r = vmbus_client_await(client, VMBUS_MESSAGE_VERSION_RESPONSE, 0, 0, &response,
				       sizeof(response));
	if (r)
		return r;
	if (!response.supported || response.state != 0) {
		client->status = response.state;
		return VMBUS_CLIENT_E_REFUSED;
	}
	/* The offers are of an earlier connection. */
	memset(client->offers, 0, sizeof(client->offers));
	client->answer_count = 0;
	if (version >= VMBUS_VERSION_5_0)
		client->connection_id = response.connection_id;
	client->version = version;
	return 0;
}

int vmbus_client_connect(struct vmbus_client *client, const uint32_t *versions, size_t count)
{
	int r = VMBUS_CLIENT_E_REFUSED;

	for (size_t i = 0; i < count && r == VMBUS_CLIENT_E_REFUSED; i++)
		r = initiate_contact(client, versions[i]);
	return r;
}

int vmbus_client_request_offers(struct vmbus_client *client)
{
	struct vmbus_message_header message = { .type = VMBUS_MESSAGE_REQUEST_OFFERS };
	int r;

	r = vmbus_client_post(client, &message, sizeof(message));
	if (!r)
		r = vmbus_client_await(client, VMBUS_MESSAGE_ALL_OFFERS_DELIVERED, 0, 0, &message,
				       sizeof(message));
	return r;
}

/* The nth offer in use whose `guid` member, at an offset in the message, is this one. */
static const struct vmbus_message_offer_channel *find_guid(const struct vmbus_client *client,
							   size_t guid_offset,
							   const struct guid *guid,
							   uint16_t sub_channel_index, unsigned nth)
{
	for (unsigned i = 0; i < VMBUS_CLIENT_OFFERS_MAX; i++) {
		const struct vmbus_client_offer *offer = &client->offers[i];

		if (offer->message.relid && !offer->rescinded &&
		    offer->message.sub_channel_index == sub_channel_index &&
		    memcmp((const uint8_t *)&offer->message + guid_offset, guid, sizeof(*guid)) ==
			    0 &&
		    nth-- == 0)
			return &offer->message;
	}
	return NULL;
}

const struct vmbus_message_offer_channel *vmbus_client_find(const struct vmbus_client *client,
							    const struct guid *type,
							    uint16_t sub_channel_index,
							    unsigned nth)
{
	return find_guid(client, offsetof(struct vmbus_message_offer_channel, type), type,
			 sub_channel_index, nth);
}

int vmbus_client_await_offer(struct vmbus_client *client, const struct guid *instance,
			     uint16_t sub_channel_index,
			     const struct vmbus_message_offer_channel **ret_offer)
{
	uint64_t deadline = clock_now() + VMBUS_CLIENT_TIMEOUT;
	const struct vmbus_message_offer_channel *offer;

	for (;;) {
		vmbus_client_poll(client);
		offer = find_guid(client, offsetof(struct vmbus_message_offer_channel, instance),
				  instance, sub_channel_index, 0);
		if (offer) {
			*ret_offer = offer;
			return 0;
		}
		if (clock_now() > deadline)
			return VMBUS_CLIENT_E_TIMEOUT;
		machine_pause();
	}
}

int vmbus_client_unload(struct vmbus_client *client)
{
	struct vmbus_message_header message = { .type = VMBUS_MESSAGE_UNLOAD };
	int r;

	r = vmbus_client_post(client, &message, sizeof(message));
	if (!r)
		r = vmbus_client_await(client, VMBUS_MESSAGE_UNLOAD_RESPONSE, 0, 0, &message,
				       sizeof(message));
	if (!r)
		vmbus_client_init(client);
	return r;
}

/* ---- GPADLs ---- */

/*
 * A descriptor list of one range, as 64-bit words: word 0 is byte count and offset, word n the
 * frame number of page n - 1. Posts a message that begins with `head` and goes on with as many
 * words, from *first on, as it has room for.
 */
static int post_descriptors(struct vmbus_client *client, const void *head, size_t head_size,
			    uint64_t start, size_t size, size_t *first)
{
	uint8_t message[VMBUS_MESSAGE_MAX];
	size_t at = head_size;
	uint64_t word;

	memcpy(message, head, head_size);
	while (*first <= size / PAGE_SIZE && at + sizeof(word) <= sizeof(message)) {
		word = *first == 0 ? size : start / PAGE_SIZE + *first - 1;
		memcpy(message + at, &word, sizeof(word));
		at += sizeof(word);
		++*first;
	}
	return vmbus_client_post(client, message, at);
}

static int post_gpadl(struct vmbus_client *client, uint32_t relid, uint32_t gpadl, uint64_t start,
		      size_t size)
{
	struct vmbus_message_gpadl_header header = {
		.header.type = VMBUS_MESSAGE_GPADL_HEADER,
		.relid = relid,
		.gpadl = gpadl,
		.range_size = (uint16_t)((1 + size / PAGE_SIZE) * sizeof(uint64_t)),
		.range_count = 1,
	};
	struct vmbus_message_gpadl_body body = {
		.header.type = VMBUS_MESSAGE_GPADL_BODY,
		.gpadl = gpadl,
	};
	size_t next = 0;
	int r;

	r = post_descriptors(client, &header, sizeof(header), start, size, &next);
	while (!r && next <= size / PAGE_SIZE)
		r = post_descriptors(client, &body, sizeof(body), start, size, &next);
	return r;
}

int vmbus_client_share(struct vmbus_client *client, uint32_t relid, void *memory, size_t size,
		       uint32_t *ret_gpadl)
{
	struct vmbus_message_gpadl_created created;
	uint32_t gpadl = client->next_gpadl++;
	int r;

	if ((1 + size / PAGE_SIZE) * sizeof(uint64_t) > UINT16_MAX)
		return VMBUS_CLIENT_E_LIMIT;
	r = post_gpadl(client, relid, gpadl, machine_gpa(memory), size);
	if (!r)
		r = vmbus_client_await(client, VMBUS_MESSAGE_GPADL_CREATED,
				       offsetof(struct vmbus_message_gpadl_created, gpadl), gpadl,
				       &created, sizeof(created));
	if (r)
		return r;
	if (created.status != VMBUS_STATUS_SUCCESS) {
		client->status = created.status;
		return VMBUS_CLIENT_E_REFUSED;
	}
	*ret_gpadl = gpadl;
	return 0;
}

int vmbus_client_unshare(struct vmbus_client *client, uint32_t relid, uint32_t gpadl)
{
	struct vmbus_message_gpadl_teardown teardown = {
		.header.type = VMBUS_MESSAGE_GPADL_TEARDOWN,
		.relid = relid,
		.gpadl = gpadl,
	};
	struct vmbus_message_gpadl_torndown torndown;
	int r;

	r = vmbus_client_post(client, &teardown, sizeof(teardown));
	if (!r)
		r = vmbus_client_await(client, VMBUS_MESSAGE_GPADL_TORNDOWN,
				       offsetof(struct vmbus_message_gpadl_torndown, gpadl), gpadl,
				       &torndown, sizeof(torndown));
	return r;
}
