/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The VMBus connection: versions, offers, message slots, unload, guests that come back, resets. */
#include "tests/fake/echo.h"
#include "tests/fake/fake.h"
#include "tests/unit/unit.h"
#include "vsp/vmbus/bus.h"
#include "vsp/vmbus/outbox.h"

#include <errno.h>
#include <string.h>

struct fixture {
	struct fake *fake;
	struct echo echo;
	struct fake_channel channel;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->fake = fake_new(2, 16 << 20);
	echo_offer(&f->echo, f->fake->bus, 1, 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	fake_stop(f->fake);
	vmbus_channel_free(f->echo.channel);
	fake_free(f->fake);
	free(f);
	return 0;
}

static void connect_and_open(struct fixture *f)
{
	const struct vmbus_message_offer_channel *offer;

	assert_true(fake_connect(f->fake, VMBUS_VERSION_5_3));
	assert_true(fake_request_offers(f->fake));
	offer = fake_find_offer(f->fake, &echo_type, NULL, 0);
	assert_non_null(offer);
	assert_int_equal(fake_open(f->fake, offer, 4, 4, 0, &f->channel), 0);
}

static void post_type(struct fixture *f, uint32_t type)
{
	struct vmbus_message_header message = { .type = type };

	fake_post(f->fake, &message, sizeof(message));
}

static void expect_silence(struct fixture *f)
{
	size_t inbox = f->fake->inbox_count, offers = f->fake->offer_count;

	fake_settle(f->fake);
	assert_int_equal(f->fake->inbox_count, inbox);
	assert_int_equal(f->fake->offer_count, offers);
}

/* ---- Versions ---- */

static void test_versions(void **state)
{
	struct fixture *f = *state;
	static const struct {
		uint32_t version;
		bool supported;
	} rows[] = {
		{ VMBUS_VERSION(6, 0), false },
		{ VMBUS_VERSION(5, 4), false },
		{ VMBUS_VERSION_5_3, true },
		{ VMBUS_VERSION_5_2, true },
		{ VMBUS_VERSION_5_1, true },
		{ VMBUS_VERSION_5_0, true },
		{ VMBUS_VERSION_4_1, true },
		{ VMBUS_VERSION_4_0, true },
		{ VMBUS_VERSION_3_0, true },
		{ VMBUS_VERSION_2_4, true },
		{ VMBUS_VERSION(1, 1), false },
		{ VMBUS_VERSION(0, 13), false },
		{ 0, false },
		{ UINT32_MAX, false },
	};
	unsigned connected = 0;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_int_equal(fake_connect(f->fake, rows[i].version), rows[i].supported);
		connected += rows[i].supported;
		assert_int_equal(f->fake->connected_count, connected);
		if (!rows[i].supported)
			continue;
		assert_int_equal(f->fake->connected_version, rows[i].version);
		assert_int_equal(f->fake->connection_id,
				 rows[i].version >= VMBUS_VERSION_5_0 ? 4 : 1);
		assert_true(fake_request_offers(f->fake));
		assert_int_equal(f->fake->offer_count, 1);
	}
	assert_int_equal(f->fake->left_count, connected);
}

static void test_version_response(void **state)
{
	struct fixture *f = *state;
	struct vmbus_message_initiate_contact contact = {
		.header.type = VMBUS_MESSAGE_INITIATE_CONTACT,
		.version = VMBUS_VERSION_5_3,
		.target_vp = 1,
		.sint = VMBUS_SINT,
	};
	struct vmbus_message_version_response response;
	struct fake_message message;

	f->fake->hold_slots = true;
	fake_post(f->fake, &contact, sizeof(contact));
	/* At the vp that asked, in all of 16 bytes. */
	assert_false(fake_take_message(f->fake, 0, &message));
	assert_true(fake_take_message(f->fake, 1, &message));
	assert_int_equal(message.size, sizeof(response));
	memcpy(&response, message.bytes, sizeof(response));
	assert_int_equal(response.supported, 1);
	assert_int_equal(response.state, 0);
	assert_int_equal(response.connection_id, 4);
}

/* Where the guest wants its messages must exist. */
static void test_contact_refused(void **state)
{
	struct fixture *f = *state;
	struct vmbus_message_initiate_contact contact = {
		.header.type = VMBUS_MESSAGE_INITIATE_CONTACT,
		.version = VMBUS_VERSION_5_3,
		.sint = VMBUS_SINT,
	};
	struct vmbus_message_version_response response;

	for (unsigned variant = 0; variant < 4; variant++) {
		struct vmbus_message_initiate_contact bad = contact;

		if (variant == 0)
			bad.sint = 3;
		else if (variant == 1)
			bad.vtl = 1;
		else
			bad.target_vp = variant == 2 ? 2 : UINT32_MAX;
		fake_post(f->fake, &bad, sizeof(bad));
		assert_true(fake_await(f->fake, VMBUS_MESSAGE_VERSION_RESPONSE, &response,
				       sizeof(response)));
		assert_int_equal(response.supported, 0);
		post_type(f, VMBUS_MESSAGE_REQUEST_OFFERS);
		expect_silence(f);
	}
	/* Before 5.0 the same bytes are an address. */
	contact.sint = 3;
	contact.version = VMBUS_VERSION_4_1;
	fake_post(f->fake, &contact, sizeof(contact));
	assert_true(
		fake_await(f->fake, VMBUS_MESSAGE_VERSION_RESPONSE, &response, sizeof(response)));
	assert_int_equal(response.supported, 1);
}

static void test_connection_id(void **state)
{
	struct fixture *f = *state;
	struct vmbus_message_header request = { .type = VMBUS_MESSAGE_REQUEST_OFFERS };

	assert_true(fake_connect(f->fake, VMBUS_VERSION_5_3));
	vmbus_receive_message(f->fake->bus, 1, &request, sizeof(request));
	expect_silence(f);
	vmbus_receive_message(f->fake->bus, 4, &request, sizeof(request));
	fake_settle(f->fake);
	assert_int_equal(f->fake->offer_count, 1);
}

/* ---- Offers ---- */

static void test_offer_fields(void **state)
{
	struct fixture *f = *state;
	const struct vmbus_message_offer_channel *offer;
	struct guid instance = echo_instance(1);

	assert_true(fake_connect(f->fake, VMBUS_VERSION_5_3));
	assert_true(fake_request_offers(f->fake));
	offer = fake_find_offer(f->fake, &echo_type, &instance, 0);
	assert_non_null(offer);
	assert_int_equal(offer->flags, VMBUS_OFFER_ENUMERATE);
	assert_int_equal(offer->relid, 1);
	assert_int_equal(offer->monitor_flags, 0);
	assert_int_equal(offer->interrupt_flags, VMBUS_DEDICATED_INTERRUPT);
	assert_int_equal(offer->connection_id, 0x2001);
	/* Once a connection. */
	post_type(f, VMBUS_MESSAGE_REQUEST_OFFERS);
	expect_silence(f);
}

static void test_hot_add(void **state)
{
	struct fixture *f = *state;
	struct echo late = { 0 };
	struct guid instance = echo_instance(2);

	assert_true(fake_connect(f->fake, VMBUS_VERSION_5_3));
	echo_offer(&late, f->fake->bus, 2, 0);
	/* Not before the guest asked for offers. */
	expect_silence(f);
	assert_true(fake_request_offers(f->fake));
	assert_int_equal(f->fake->offer_count, 2);
	vmbus_channel_rescind(late.channel);
	echo_offer(&late, f->fake->bus, 3, 0);
	fake_settle(f->fake);
	assert_int_equal(f->fake->offer_count, 2);
	assert_true(fake_has_message(f->fake, VMBUS_MESSAGE_RESCIND_OFFER));
	instance = echo_instance(3);
	assert_non_null(fake_find_offer(f->fake, &echo_type, &instance, 0));
	vmbus_channel_rescind(late.channel);
}

static void test_all_relids(void **state)
{
	struct fixture *f = *state;
	struct echo *echoes = calloc(VMBUS_CHANNEL_MAX, sizeof(*echoes));
	static bool seen[VMBUS_CHANNEL_MAX + 1];
	struct vmbus_offer offer = { .type = echo_type };
	static const struct vmbus_channel_ops ops;
	struct vmbus_channel *channel;

	for (unsigned i = 0; i < VMBUS_CHANNEL_MAX - 1; i++)
		echo_offer(&echoes[i], f->fake->bus, 2, (uint16_t)(i + 1));
	assert_int_equal(vmbus_channel_offer(f->fake->bus, &offer, &ops, NULL, &channel), -ENOSPC);
	assert_true(fake_connect(f->fake, VMBUS_VERSION_5_3));
	assert_true(fake_request_offers(f->fake));
	assert_int_equal(f->fake->offer_count, VMBUS_CHANNEL_MAX);
	memset(seen, 0, sizeof(seen));
	for (size_t i = 0; i < f->fake->offer_count; i++) {
		uint32_t relid = f->fake->offers[i].relid;

		assert_in_range(relid, 1, VMBUS_CHANNEL_MAX);
		assert_false(seen[relid]);
		seen[relid] = true;
		assert_int_equal(f->fake->offers[i].connection_id, 0x2000 | relid);
	}
	for (unsigned i = 0; i < VMBUS_CHANNEL_MAX - 1; i++)
		vmbus_channel_rescind(echoes[i].channel);
	fake_settle(f->fake);
	assert_int_equal(f->fake->offer_count, 1);
	/* Relids that the guest has not given back are not to be had. */
	assert_int_equal(vmbus_channel_offer(f->fake->bus, &offer, &ops, NULL, &channel), -ENOSPC);
	fake_stop(f->fake);
	echo_offer(&echoes[0], f->fake->bus, 2, 0);
	vmbus_channel_free(echoes[0].channel);
	free(echoes);
}

/* ---- Message slots ---- */

/* One message at a time fits a slot; the others wait, in order, for the slot to be freed. */
static void test_slot_is_busy(void **state)
{
	struct fixture *f = *state;
	struct fake_message message;
	struct vmbus_message_header header;
	static const uint32_t expected[] = {
		VMBUS_MESSAGE_VERSION_RESPONSE,
		VMBUS_MESSAGE_OFFER_CHANNEL,
		VMBUS_MESSAGE_ALL_OFFERS_DELIVERED,
	};
	struct vmbus_message_initiate_contact contact = {
		.header.type = VMBUS_MESSAGE_INITIATE_CONTACT,
		.version = VMBUS_VERSION_5_3,
		.sint = VMBUS_SINT,
	};

	f->fake->hold_slots = true;
	fake_post(f->fake, &contact, sizeof(contact));
	post_type(f, VMBUS_MESSAGE_REQUEST_OFFERS);
	for (size_t i = 0; i < ARRAY_SIZE(expected); i++) {
		/* Another vp's slot is no business of ours. */
		vmbus_slot_free(f->fake->bus, 1);
		vmbus_slot_free(f->fake->bus, 0);
		assert_true(fake_take_message(f->fake, 0, &message));
		memcpy(&header, message.bytes, sizeof(header));
		assert_int_equal(header.type, expected[i]);
	}
	assert_false(fake_take_message(f->fake, 0, &message));
}

/* A vp without SynIC loses its messages; nothing waits for it. */
static void test_deaf_vp(void **state)
{
	struct fixture *f = *state;
	struct vmbus_message_initiate_contact contact = {
		.header.type = VMBUS_MESSAGE_INITIATE_CONTACT,
		.version = VMBUS_VERSION_5_3,
		.sint = VMBUS_SINT,
	};

	f->fake->deaf[0] = true;
	fake_post(f->fake, &contact, sizeof(contact));
	post_type(f, VMBUS_MESSAGE_REQUEST_OFFERS);
	f->fake->deaf[0] = false;
	vmbus_slot_free(f->fake->bus, 0);
	expect_silence(f);
	connect_and_open(f);
}

/* A guest that asks and never listens fills a bounded queue, and then is not heard. */
static void test_replies_are_bounded(void **state)
{
	struct fixture *f = *state;
	struct vmbus_message_open_channel open = {
		.header.type = VMBUS_MESSAGE_OPEN_CHANNEL,
		.relid = 99,
	};
	unsigned replies = 0;
	struct vmbus_message_open_result result;

	assert_true(fake_connect(f->fake, VMBUS_VERSION_5_3));
	f->fake->hold_slots = true;
	for (unsigned i = 0; i < 3 * OUTBOX_REPLY_MAX; i++) {
		open.open_id = i;
		fake_post(f->fake, &open, sizeof(open));
	}
	f->fake->hold_slots = false;
	fake_settle(f->fake);
	while (fake_has_message(f->fake, VMBUS_MESSAGE_OPEN_RESULT)) {
		assert_true(
			fake_await(f->fake, VMBUS_MESSAGE_OPEN_RESULT, &result, sizeof(result)));
		assert_int_equal(result.open_id, replies++);
		assert_int_equal(result.status, VMBUS_STATUS_INVALID_PARAMETER);
	}
	assert_int_equal(replies, OUTBOX_REPLY_MAX + 1); /* and one in the slot */
	assert_true(fake_request_offers(f->fake));
}

/* ---- Leaving ---- */

static void test_unload(void **state)
{
	struct fixture *f = *state;

	connect_and_open(f);
	assert_true(fake_unload(f->fake));
	assert_int_equal(f->echo.closes, 1);
	assert_int_equal(f->fake->left_count, 1);
	/* Nothing but a new contact is heard. */
	post_type(f, VMBUS_MESSAGE_REQUEST_OFFERS);
	expect_silence(f);
	/* Linux asks even when no version was agreed on. */
	assert_true(fake_unload(f->fake));
	assert_int_equal(f->fake->left_count, 1);
	connect_and_open(f);
}

/* The answer means that the host has let go of the guest's memory. */
static void test_unload_waits_for_devices(void **state)
{
	struct fixture *f = *state;

	connect_and_open(f);
	f->echo.hold_close = true;
	post_type(f, VMBUS_MESSAGE_UNLOAD);
	expect_silence(f);
	assert_int_equal(f->echo.closes, 1);
	vmbus_channel_closed(f->echo.channel);
	fake_settle(f->fake);
	assert_true(fake_has_message(f->fake, VMBUS_MESSAGE_UNLOAD_RESPONSE));
	f->echo.hold_close = false;
	connect_and_open(f);
}

/* kexec of a crashed kernel: the new one knows nothing of the old one's channels. */
static void test_contact_without_unload(void **state)
{
	struct fixture *f = *state;
	struct vmbus_message_initiate_contact contact = {
		.header.type = VMBUS_MESSAGE_INITIATE_CONTACT,
		.version = VMBUS_VERSION_5_2,
		.sint = VMBUS_SINT,
	};
	struct vmbus_message_version_response response;

	connect_and_open(f);
	f->echo.hold_close = true;
	fake_post(f->fake, &contact, sizeof(contact));
	/* Until the device is done, nobody is connected. */
	post_type(f, VMBUS_MESSAGE_REQUEST_OFFERS);
	expect_silence(f);
	assert_int_equal(f->fake->connected_version, 0);
	vmbus_channel_closed(f->echo.channel);
	assert_true(
		fake_await(f->fake, VMBUS_MESSAGE_VERSION_RESPONSE, &response, sizeof(response)));
	assert_int_equal(response.supported, 1);
	assert_int_equal(f->fake->connected_version, VMBUS_VERSION_5_2);
	f->echo.hold_close = false;
	f->fake->offer_count = 0;
	assert_true(fake_request_offers(f->fake));
	assert_int_equal(fake_open(f->fake, fake_find_offer(f->fake, &echo_type, NULL, 0), 4, 4, 0,
				   &f->channel),
			 0);
}

/* Whoever asks last while devices close is answered. */
static void test_contact_while_leaving(void **state)
{
	struct fixture *f = *state;
	struct vmbus_message_initiate_contact contact = {
		.header.type = VMBUS_MESSAGE_INITIATE_CONTACT,
		.sint = VMBUS_SINT,
	};
	struct vmbus_message_version_response response;

	connect_and_open(f);
	f->echo.hold_close = true;
	post_type(f, VMBUS_MESSAGE_UNLOAD);
	contact.version = VMBUS_VERSION(6, 0);
	fake_post(f->fake, &contact, sizeof(contact));
	contact.version = VMBUS_VERSION_5_0;
	fake_post(f->fake, &contact, sizeof(contact));
	expect_silence(f);
	vmbus_channel_closed(f->echo.channel);
	assert_true(
		fake_await(f->fake, VMBUS_MESSAGE_VERSION_RESPONSE, &response, sizeof(response)));
	assert_int_equal(response.supported, 1);
	assert_int_equal(f->fake->inbox_count, 0);
	f->echo.hold_close = false;
}

/* What the old guest did not fetch is not for the new one. */
static void test_contact_drops_old_replies(void **state)
{
	struct fixture *f = *state;
	struct vmbus_message_open_channel open = {
		.header.type = VMBUS_MESSAGE_OPEN_CHANNEL,
		.relid = 99,
	};
	struct fake_message message;

	assert_true(fake_connect(f->fake, VMBUS_VERSION_5_3));
	f->fake->hold_slots = true;
	post_type(f, VMBUS_MESSAGE_REQUEST_OFFERS);
	for (unsigned i = 0; i < 10; i++)
		fake_post(f->fake, &open, sizeof(open));
	f->fake->slots[0].size = 0; /* a new kernel's message page */
	f->fake->hold_slots = false;
	assert_true(fake_connect(f->fake, VMBUS_VERSION_5_3));
	expect_silence(f);
	assert_int_equal(f->fake->inbox_count, 0);
	assert_int_equal(f->fake->offer_count, 0);
	assert_false(fake_take_message(f->fake, 0, &message));
}

/* Devices take sub-channels away when their channel closes: the guest that comes does not care. */
static void test_contact_with_sub_channel(void **state)
{
	struct fixture *f = *state;
	struct echo sub = { 0 };

	connect_and_open(f);
	echo_offer(&sub, f->fake->bus, 1, 1);
	assert_non_null(fake_find_offer(f->fake, &echo_type, NULL, 1));
	f->echo.sub = &sub;
	f->fake->hold_slots = true;
	fake_post(f->fake,
		  &(struct vmbus_message_initiate_contact){ .header.type =
								    VMBUS_MESSAGE_INITIATE_CONTACT,
							    .version = VMBUS_VERSION_5_3,
							    .sint = VMBUS_SINT },
		  sizeof(struct vmbus_message_initiate_contact));
	f->fake->hold_slots = false;
	fake_settle(f->fake);
	assert_int_equal(sub.releases, 1);
	assert_true(fake_has_message(f->fake, VMBUS_MESSAGE_VERSION_RESPONSE));
	assert_int_equal(f->fake->inbox_count, 1);
	f->fake->offer_count = 0;
	assert_true(fake_request_offers(f->fake));
	assert_int_equal(f->fake->offer_count, 1);
	f->echo.sub = NULL;
}

static void count_call(void *data)
{
	++*(unsigned *)data;
}

static void test_reset(void **state)
{
	struct fixture *f = *state;
	unsigned done = 0;

	/* Nothing to end: at once. */
	vmbus_reset(f->fake->bus, count_call, &done);
	assert_int_equal(done, 1);

	connect_and_open(f);
	f->echo.hold_close = true;
	vmbus_reset(f->fake->bus, count_call, &done);
	fake_settle(f->fake);
	assert_int_equal(done, 1);
	assert_int_equal(f->fake->connected_version, 0);
	/* A message that was on its way is of a guest that is no more. */
	post_type(f, VMBUS_MESSAGE_UNLOAD);
	fake_post(f->fake,
		  &(struct vmbus_message_initiate_contact){ .header.type =
								    VMBUS_MESSAGE_INITIATE_CONTACT,
							    .version = VMBUS_VERSION_5_3,
							    .sint = VMBUS_SINT },
		  sizeof(struct vmbus_message_initiate_contact));
	vmbus_channel_closed(f->echo.channel);
	assert_int_equal(done, 2);
	expect_silence(f);
	f->echo.hold_close = false;
	connect_and_open(f);
}

/* A reset while the guest is leaving takes its place. */
static void test_reset_while_leaving(void **state)
{
	struct fixture *f = *state;
	unsigned done = 0;

	connect_and_open(f);
	f->echo.hold_close = true;
	post_type(f, VMBUS_MESSAGE_UNLOAD);
	vmbus_reset(f->fake->bus, count_call, &done);
	vmbus_channel_closed(f->echo.channel);
	assert_int_equal(done, 1);
	expect_silence(f);
	f->echo.hold_close = false;
}

static void test_reset_with_rescinded_channel(void **state)
{
	struct fixture *f = *state;
	unsigned done = 0;

	connect_and_open(f);
	f->echo.hold_close = true;
	vmbus_channel_rescind(f->echo.channel);
	vmbus_reset(f->fake->bus, count_call, &done);
	assert_int_equal(done, 0);
	assert_int_equal(f->echo.releases, 0);
	vmbus_channel_closed(f->echo.channel);
	assert_int_equal(f->echo.releases, 1);
	assert_int_equal(done, 1);
	f->echo.hold_close = false;
	echo_offer(&f->echo, f->fake->bus, 1, 0);
	assert_int_equal(vmbus_channel_relid(f->echo.channel), 1);
	connect_and_open(f);
}

/* The guest reboots again and again, with packets under way. */
static void test_many_guests(void **state)
{
	struct fixture *f = *state;

	for (unsigned i = 0; i < 30; i++) {
		connect_and_open(f);
		for (unsigned j = 0; j < 5; j++)
			assert_true(fake_send(&f->channel, RING_PACKET_INBAND,
					      RING_FLAG_COMPLETION_REQUESTED, j, "x", 1));
		if (i % 3 == 0)
			fake_run(f->fake);
		if (i % 2 == 0)
			fake_stop(f->fake);
		assert_int_equal(f->echo.closes, f->echo.opens - i % 2);
		f->fake->ram_used = HV_PAGE_SIZE;
		memset(f->fake->ram, 0, f->fake->ram_size);
	}
}

/* ---- What makes no sense ---- */

/* Every type in every size, before and after connecting: no answer, or a refusal. */
static void test_short_and_unknown_messages(void **state)
{
	struct fixture *f = *state;
	uint8_t message[VMBUS_MESSAGE_MAX + 16] = { 0 };

	for (unsigned connected = 0; connected < 2; connected++) {
		for (uint32_t type = 0; type < 40; type++) {
			if (type == VMBUS_MESSAGE_INITIATE_CONTACT || type == VMBUS_MESSAGE_UNLOAD)
				continue;
			memcpy(message, &type, sizeof(type));
			for (size_t size = 0; size <= sizeof(message); size++) {
				/* A copy of its own, so that reading beyond it is noticed. */
				uint8_t *copy = malloc(size ? size : 1);

				memcpy(copy, message, size);
				fake_post(f->fake, copy, size);
				free(copy);
			}
			fake_run(f->fake);
			if (!connected)
				assert_int_equal(f->fake->inbox_count, 0);
		}
		if (!connected)
			assert_true(fake_connect(f->fake, VMBUS_VERSION_5_3));
	}
	connect_and_open(f);
}

static void test_short_message_is_not_answered(void **state)
{
	struct fixture *f = *state;
	struct vmbus_message_open_channel open = {
		.header.type = VMBUS_MESSAGE_OPEN_CHANNEL,
	};

	assert_true(fake_connect(f->fake, VMBUS_VERSION_5_3));
	for (size_t size = 0; size < sizeof(open); size++)
		fake_post(f->fake, &open, size);
	expect_silence(f);
	fake_post(f->fake, &open, sizeof(open));
	fake_settle(f->fake);
	assert_int_equal(f->fake->inbox_count, 1);
}

static void test_tl_connect_is_refused(void **state)
{
	struct fixture *f = *state;
	struct vmbus_message_tl_connect_request request = {
		.header.type = VMBUS_MESSAGE_TL_CONNECT_REQUEST,
		.endpoint = echo_instance(1),
		.service = echo_instance(2),
	};
	struct vmbus_message_tl_connect_result result;

	assert_true(fake_connect(f->fake, VMBUS_VERSION_5_3));
	fake_post(f->fake, &request, sizeof(request));
	assert_true(fake_await(f->fake, VMBUS_MESSAGE_TL_CONNECT_RESULT, &result, sizeof(result)));
	assert_memory_equal(&result.endpoint, &request.endpoint, 32);
	assert_int_equal(result.status, VMBUS_STATUS_CONNECTION_REFUSED);
}

static void test_modify_by_version(void **state)
{
	struct fixture *f = *state;
	struct vmbus_message_modify_channel message = {
		.header.type = VMBUS_MESSAGE_MODIFY_CHANNEL,
		.relid = 1,
		.target_vp = 1,
	};
	static const uint32_t versions[] = { VMBUS_VERSION_4_0, VMBUS_VERSION_4_1,
					     VMBUS_VERSION_5_2, VMBUS_VERSION_5_3 };

	for (size_t i = 0; i < ARRAY_SIZE(versions); i++) {
		assert_true(fake_connect(f->fake, versions[i]));
		assert_true(fake_request_offers(f->fake));
		assert_int_equal(fake_open(f->fake, fake_find_offer(f->fake, &echo_type, NULL, 0),
					   4, 4, 0, &f->channel),
				 0);
		fake_post(f->fake, &message, sizeof(message));
		fake_settle(f->fake);
		assert_int_equal(f->echo.channel->target_vp, versions[i] >= VMBUS_VERSION_4_1);
		assert_int_equal(fake_has_message(f->fake, VMBUS_MESSAGE_MODIFY_CHANNEL_RESPONSE),
				 versions[i] >= VMBUS_VERSION_5_3);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_versions, setup, teardown),
		cmocka_unit_test_setup_teardown(test_version_response, setup, teardown),
		cmocka_unit_test_setup_teardown(test_contact_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_connection_id, setup, teardown),
		cmocka_unit_test_setup_teardown(test_offer_fields, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hot_add, setup, teardown),
		cmocka_unit_test_setup_teardown(test_all_relids, setup, teardown),
		cmocka_unit_test_setup_teardown(test_slot_is_busy, setup, teardown),
		cmocka_unit_test_setup_teardown(test_deaf_vp, setup, teardown),
		cmocka_unit_test_setup_teardown(test_replies_are_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unload, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unload_waits_for_devices, setup, teardown),
		cmocka_unit_test_setup_teardown(test_contact_without_unload, setup, teardown),
		cmocka_unit_test_setup_teardown(test_contact_while_leaving, setup, teardown),
		cmocka_unit_test_setup_teardown(test_contact_drops_old_replies, setup, teardown),
		cmocka_unit_test_setup_teardown(test_contact_with_sub_channel, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reset, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reset_while_leaving, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reset_with_rescinded_channel, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many_guests, setup, teardown),
		cmocka_unit_test_setup_teardown(test_short_and_unknown_messages, setup, teardown),
		cmocka_unit_test_setup_teardown(test_short_message_is_not_answered, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_tl_connect_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_modify_by_version, setup, teardown),
	};

	return cmocka_run_group_tests_name("bus", tests, NULL, NULL);
}
