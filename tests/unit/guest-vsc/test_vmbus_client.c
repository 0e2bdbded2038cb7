/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The guest's end of VMBus, and messages that no honest host sends. */
#include "guest-vsc/client_channel.h"
#include "tests/fake/client_host.h"
#include "tests/unit/unit.h"

#include <string.h>

#define RING_PAGES 4

static const struct guid type = GUID(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11);
static struct client_channel channel;

static struct vmbus_client *bus(void)
{
	return &client_host.bus;
}

static unsigned offer_count(void)
{
	unsigned count = 0;

	while (vmbus_client_find(bus(), &type, 0, count))
		count++;
	return count;
}

static int open_channel(void)
{
	return client_channel_open(&channel, bus(), vmbus_client_find(bus(), &type, 0, 0),
				   client_host_rings(RING_PAGES), NULL);
}

static int setup(void **state)
{
	client_host_start(&type);
	return 0;
}

/* ---- What comes unasked ---- */

static void test_honest_host(void **state)
{
	assert_int_equal(bus()->version, VMBUS_VERSION_5_3);
	assert_int_equal(offer_count(), 1);
	assert_int_equal(open_channel(), 0);
	assert_false(client_channel_unmask(&channel));
	assert_int_equal(client_channel_close(&channel), 0);
	assert_int_equal(bus()->strays, 0);
	assert_int_equal(vmbus_client_unload(bus()), 0);
}

static void test_strange_slots(void **state)
{
	const struct vmbus_message_offer_channel offer = {
		.header.type = VMBUS_MESSAGE_OFFER_CHANNEL,
		.type = type,
		.relid = 9,
	};
	struct hv_message message = {
		.type = VMBUS_HV_MESSAGE_TYPE,
		.payload_size = sizeof(offer),
	};

	memcpy(message.payload, &offer, sizeof(offer));
	message.type = HV_MESSAGE_TIMER_EXPIRED;
	client_host_deliver(&message);
	message.type = VMBUS_HV_MESSAGE_TYPE;
	message.payload_size = HV_MESSAGE_PAYLOAD_SIZE + 1;
	client_host_deliver(&message);
	message.payload_size = 0;
	client_host_deliver(&message);
	vmbus_client_poll(bus());
	assert_int_equal(bus()->strays, 3);
	assert_int_equal(offer_count(), 1);
	assert_int_equal(bus()->answer_count, 0);
}

/* What is missing is not read out of the slot, where something older may lie. */
static void test_short_messages(void **state)
{
	static const struct {
		uint32_t type;
		size_t size;
	} rows[] = {
		{ VMBUS_MESSAGE_OFFER_CHANNEL, sizeof(struct vmbus_message_offer_channel) },
		{ VMBUS_MESSAGE_RESCIND_OFFER, sizeof(struct vmbus_message_relid) },
		{ VMBUS_MESSAGE_ALL_OFFERS_DELIVERED, sizeof(struct vmbus_message_header) },
		{ VMBUS_MESSAGE_OPEN_RESULT, sizeof(struct vmbus_message_open_result) },
		{ VMBUS_MESSAGE_GPADL_CREATED, sizeof(struct vmbus_message_gpadl_created) },
		{ VMBUS_MESSAGE_GPADL_TORNDOWN, sizeof(struct vmbus_message_gpadl_torndown) },
		{ VMBUS_MESSAGE_VERSION_RESPONSE, sizeof(struct vmbus_message_version_response) },
		{ VMBUS_MESSAGE_UNLOAD_RESPONSE, sizeof(struct vmbus_message_header) },
	};
	uint8_t message[HV_MESSAGE_PAYLOAD_SIZE] = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		memcpy(message, &rows[i].type, sizeof(rows[i].type));
		client_host_post(message, rows[i].size - 1);
		client_host_post(message, sizeof(uint32_t));
	}
	vmbus_client_poll(bus());
	assert_int_equal(bus()->strays, 2 * ARRAY_SIZE(rows));
	assert_int_equal(bus()->answer_count, 0);
	assert_int_equal(offer_count(), 1);
}

/* A channel's number is that of its event flag, of which there are so many. */
static void test_offers_of_no_channel(void **state)
{
	static const uint32_t relids[] = { 0, HV_EVENT_FLAG_COUNT, 1u << 16, UINT32_MAX,
					   CLIENT_HOST_RELID };

	for (size_t i = 0; i < ARRAY_SIZE(relids); i++)
		client_host_offer(&type, relids[i]);
	vmbus_client_poll(bus());
	assert_int_equal(bus()->strays, ARRAY_SIZE(relids));
	assert_int_equal(offer_count(), 1);
	client_host_offer(&type, HV_EVENT_FLAG_COUNT - 1);
	vmbus_client_poll(bus());
	assert_int_equal(offer_count(), 2);
}

static void test_too_many_offers(void **state)
{
	for (uint32_t relid = 100; relid < 100 + VMBUS_CLIENT_OFFERS_MAX; relid++)
		client_host_offer(&type, relid);
	vmbus_client_poll(bus());
	assert_int_equal(offer_count(), VMBUS_CLIENT_OFFERS_MAX);
	assert_int_equal(bus()->messages_lost, 1);
}

static void rescind(uint32_t relid)
{
	const struct vmbus_message_relid message = {
		.header.type = VMBUS_MESSAGE_RESCIND_OFFER,
		.relid = relid,
	};

	client_host_post(&message, sizeof(message));
	vmbus_client_poll(bus());
}

static void test_rescinds(void **state)
{
	rescind(0);
	rescind(77);
	rescind(UINT32_MAX);
	assert_int_equal(offer_count(), 1);
	assert_int_equal(open_channel(), 0);
	rescind(CLIENT_HOST_RELID);
	rescind(CLIENT_HOST_RELID);
	assert_int_equal(offer_count(), 0);
	assert_int_equal(client_host.released, 0);
	assert_int_equal(client_channel_close(&channel), 0);
	assert_int_equal(client_host.released, CLIENT_HOST_RELID);
	rescind(CLIENT_HOST_RELID);
}

/* ---- Answers ---- */

static struct vmbus_message_gpadl_created created;
static struct vmbus_message_open_result result;
static unsigned answers;
static size_t answer_size;

/* In place of whatever is right. */
static bool lie(const void *message, size_t size)
{
	const struct vmbus_message_gpadl_header *header = message;
	const struct vmbus_message_open_channel *open = message;

	if (header->header.type == VMBUS_MESSAGE_GPADL_HEADER && created.header.type) {
		for (unsigned i = 0; i < answers; i++)
			client_host_post(&created, answer_size);
		return true;
	}
	if (open->header.type == VMBUS_MESSAGE_OPEN_CHANNEL && result.header.type) {
		for (unsigned i = 0; i < answers; i++)
			client_host_post(&result, answer_size);
		return true;
	}
	return false;
}

static int setup_lies(void **state)
{
	client_host_start(&type);
	client_host.posted = lie;
	created = (struct vmbus_message_gpadl_created){ 0 };
	result = (struct vmbus_message_open_result){ 0 };
	return 0;
}

static void lie_about_gpadl(uint32_t gpadl, uint32_t status, size_t size, unsigned count)
{
	created = (struct vmbus_message_gpadl_created){
		.header.type = VMBUS_MESSAGE_GPADL_CREATED,
		.relid = CLIENT_HOST_RELID,
		.gpadl = gpadl,
		.status = status,
	};
	answer_size = size;
	answers = count;
}

static void test_lies_about_gpadls(void **state)
{
	uint32_t next = bus()->next_gpadl;

	lie_about_gpadl(next, VMBUS_STATUS_UNSUCCESSFUL, sizeof(created), 1);
	assert_int_equal(open_channel(), VMBUS_CLIENT_E_REFUSED);
	/* Of another one, once and more often than can be kept. */
	lie_about_gpadl(next, 0, sizeof(created), 1);
	assert_int_equal(open_channel(), VMBUS_CLIENT_E_TIMEOUT);
	lie_about_gpadl(next + 100, 0, sizeof(created), 2 * VMBUS_CLIENT_ANSWERS_MAX);
	assert_int_equal(open_channel(), VMBUS_CLIENT_E_TIMEOUT);
	assert_true(bus()->messages_lost > 0);
	/* The last word is missing. */
	lie_about_gpadl(bus()->next_gpadl, 0, offsetof(struct vmbus_message_gpadl_created, status),
			1);
	assert_int_equal(open_channel(), VMBUS_CLIENT_E_TIMEOUT);
	/* After all this an honest one is heard. */
	client_host.posted = NULL;
	assert_int_equal(open_channel(), 0);
}

static void test_lies_about_channels(void **state)
{
	result = (struct vmbus_message_open_result){
		.header.type = VMBUS_MESSAGE_OPEN_RESULT,
		.relid = CLIENT_HOST_RELID + 1,
	};
	answers = 1;
	answer_size = sizeof(result);
	assert_int_equal(open_channel(), VMBUS_CLIENT_E_TIMEOUT);
	result.relid = CLIENT_HOST_RELID;
	answer_size = offsetof(struct vmbus_message_open_result, status);
	assert_int_equal(open_channel(), VMBUS_CLIENT_E_TIMEOUT);
	result.status = VMBUS_STATUS_UNSUCCESSFUL;
	answer_size = sizeof(result);
	assert_int_equal(open_channel(), VMBUS_CLIENT_E_REFUSED);
}

/* ---- Contact ---- */

static unsigned contacts;

/* Each is answered twice; none but the last version that is tried is supported. */
static bool stammer(const void *message, size_t size)
{
	const struct vmbus_message_initiate_contact *contact = message;
	struct vmbus_message_version_response response = {
		.header.type = VMBUS_MESSAGE_VERSION_RESPONSE,
		.supported = contact->version == VMBUS_VERSION_2_4,
	};

	if (contact->header.type != VMBUS_MESSAGE_INITIATE_CONTACT)
		return false;
	contacts++;
	client_host_post(&response, sizeof(response));
	client_host_post(&response, sizeof(response));
	return true;
}

/* An answer to the contact before is none to the next. */
static void test_duplicate_version_responses(void **state)
{
	client_host_reset(&type);
	client_host.posted = stammer;
	contacts = 0;
	assert_int_equal(
		vmbus_client_connect(bus(), vmbus_client_versions, vmbus_client_version_count), 0);
	assert_int_equal(bus()->version, VMBUS_VERSION_2_4);
	assert_int_equal(contacts, vmbus_client_version_count);
	client_host.posted = NULL;
	assert_int_equal(vmbus_client_request_offers(bus()), 0);
	assert_int_equal(offer_count(), 1);
}

static bool keep_silent(const void *message, size_t size)
{
	return true;
}

static void test_silence(void **state)
{
	const struct vmbus_message_offer_channel *offer;

	client_host.posted = keep_silent;
	assert_int_equal(vmbus_client_request_offers(bus()), VMBUS_CLIENT_E_TIMEOUT);
	assert_int_equal(open_channel(), VMBUS_CLIENT_E_TIMEOUT);
	assert_int_equal(vmbus_client_await_offer(bus(), &type, 1, &offer), VMBUS_CLIENT_E_TIMEOUT);
	assert_int_equal(vmbus_client_unload(bus()), VMBUS_CLIENT_E_TIMEOUT);
	assert_int_equal(
		vmbus_client_connect(bus(), vmbus_client_versions, vmbus_client_version_count),
		VMBUS_CLIENT_E_TIMEOUT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_honest_host, setup),
		cmocka_unit_test_setup(test_strange_slots, setup),
		cmocka_unit_test_setup(test_short_messages, setup),
		cmocka_unit_test_setup(test_offers_of_no_channel, setup),
		cmocka_unit_test_setup(test_too_many_offers, setup),
		cmocka_unit_test_setup(test_rescinds, setup),
		cmocka_unit_test_setup(test_lies_about_gpadls, setup_lies),
		cmocka_unit_test_setup(test_lies_about_channels, setup_lies),
		cmocka_unit_test(test_duplicate_version_responses),
		cmocka_unit_test_setup(test_silence, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
