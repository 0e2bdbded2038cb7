/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Integration services: negotiation, shutdown, heartbeat, and guests that do not play along. */
#include "common/base/json.h"
#include "tests/fake/fake.h"
#include "tests/unit/unit.h"
#include "vsp/ic/ic_service.h"

#include <errno.h>
#include <string.h>

#define MILLISECOND 1000000ull

struct fixture {
	struct fake *fake;
	struct ic_shutdown *shutdown;
	struct ic_heartbeat *heartbeat;
	struct fake_channel channel;

	/* What the services reported. */
	unsigned shutdown_calls, changes;
	int shutdown_result;
	enum ic_heartbeat_status status, awaited;
	enum ic_application_state application;
};

/* A message as it lies in a packet. */
struct message {
	struct ic_pipe_header pipe;
	struct ic_header header;
	union {
		struct ic_negotiate negotiate;
		struct ic_heartbeat_body heartbeat;
		struct ic_shutdown_body shutdown;
	};
} PACKED;

static void heartbeat_changed(void *data, enum ic_heartbeat_status status,
			      enum ic_application_state application)
{
	struct fixture *f = data;

	f->changes++;
	f->status = status;
	f->application = application;
}

static const struct ic_heartbeat_callbacks heartbeat_callbacks = { .changed = heartbeat_changed };

static void shutdown_done(void *data, int result)
{
	struct fixture *f = data;

	f->shutdown_calls++;
	f->shutdown_result = result;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->fake = fake_new(1, 4 << 20);
	assert_int_equal(ic_shutdown_new(f->fake->bus, &f->shutdown), 0);
	assert_int_equal(
		ic_heartbeat_new(f->fake->bus, MILLISECOND, &heartbeat_callbacks, f, &f->heartbeat),
		0);
	assert_true(fake_connect(f->fake, VMBUS_VERSION_5_3));
	assert_true(fake_request_offers(f->fake));
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	fake_stop(f->fake);
	ic_shutdown_free(f->shutdown);
	ic_heartbeat_free(f->heartbeat);
	fake_free(f->fake);
	free(f);
	return 0;
}

static bool is_connected(const struct fixture *f)
{
	return ic_service_is_connected(ic_shutdown_service(f->shutdown));
}

static void open_service(struct fixture *f, struct guid type)
{
	const struct vmbus_message_offer_channel *offer = fake_find_offer(f->fake, &type, NULL, 0);

	assert_non_null(offer);
	assert_int_equal(fake_open(f->fake, offer, 4, 4, 0, &f->channel), 0);
}

/* Return: the bytes of the packet. */
static uint32_t receive(struct fixture *f, struct message *message)
{
	struct ring_packet packet;

	assert_true(fake_receive(&f->channel, &packet));
	assert_int_equal(packet.type, RING_PACKET_INBAND);
	assert_int_equal(packet.flags, 0);
	assert_int_equal(packet.transaction_id, 0);
	assert_true(packet.payload_size >= 28 && packet.payload_size <= sizeof(*message));
	memset(message, 0, sizeof(*message));
	memcpy(message, packet.payload, packet.payload_size);
	assert_int_equal(message->pipe.type, IC_PIPE_DATA);
	assert_int_equal(message->pipe.size, sizeof(message->header) + message->header.size);
	assert_int_equal(ALIGN_UP(message->pipe.size + 8, 8u), packet.payload_size);
	assert_int_equal(message->header.flags, IC_FLAG_TRANSACTION | IC_FLAG_REQUEST);
	return packet.payload_size;
}

static void answer(struct fixture *f, struct message *message, uint32_t size)
{
	message->header.flags = IC_FLAG_TRANSACTION | IC_FLAG_RESPONSE;
	assert_true(fake_send(&f->channel, RING_PACKET_INBAND, 0, 0, message, size));
	fake_settle(f->fake);
}

/* As Linux: one framework and one message version, written over the offer. */
static void negotiate(struct fixture *f, uint16_t major, uint16_t minor)
{
	struct message message;
	uint32_t size = receive(f, &message);

	assert_int_equal(message.header.type, IC_MESSAGE_NEGOTIATE);
	assert_int_equal(message.header.framework_version.major, 0);
	message.header.size = 16;
	message.negotiate.framework_count = message.negotiate.message_count = 1;
	message.negotiate.versions[0] = (struct ic_version){ 3, 0 };
	message.negotiate.versions[1] = (struct ic_version){ major, minor };
	answer(f, &message, size);
}

static void test_offers(void **state)
{
	struct fixture *f = *state;
	struct guid type = IC_SHUTDOWN_TYPE, instance = IC_SHUTDOWN_INSTANCE;
	const struct vmbus_message_offer_channel *offer =
		fake_find_offer(f->fake, &type, &instance, 0);
	uint32_t pipe_mode;

	assert_non_null(offer);
	memcpy(&pipe_mode, offer->user_defined, sizeof(pipe_mode));
	assert_int_equal(pipe_mode, VMBUS_PIPE_MODE_MESSAGE);
	assert_int_equal(offer->flags, VMBUS_OFFER_ENUMERATE);
	assert_int_equal(f->fake->offer_count, 2);
}

static void test_negotiation_offers_all_versions(void **state)
{
	struct fixture *f = *state;
	struct message message;
	static const struct ic_version versions[] = { { 1, 0 }, { 3, 0 }, { 1, 0 },
						      { 3, 0 }, { 3, 1 }, { 3, 2 } };

	open_service(f, IC_SHUTDOWN_TYPE);
	receive(f, &message);
	assert_int_equal(message.negotiate.framework_count, 2);
	assert_int_equal(message.negotiate.message_count, 4);
	assert_memory_equal(message.negotiate.versions, versions, sizeof(versions));
	assert_int_equal(message.header.size, 8 + sizeof(versions));
	assert_false(is_connected(f));
}

static void assert_inspected(struct fixture *f, const char *state, const char *version)
{
	AUTO_JSON struct json_object *tree = ic_shutdown_inspect(f->shutdown);
	struct json_object *value;

	assert_true(json_object_object_get_ex(tree, "state", &value));
	assert_string_equal(json_object_get_string(value), state);
	assert_true(json_object_object_get_ex(tree, "version", &value));
	assert_string_equal(json_object_get_string(value), version);
}

static void request_shutdown(struct fixture *f, enum ic_shutdown_action action, bool force,
			     int expected)
{
	assert_int_equal(ic_shutdown_request(f->shutdown, action, force, shutdown_done, f),
			 expected);
}

static void test_shutdown(void **state)
{
	struct fixture *f = *state;
	struct message message;
	uint32_t size;

	request_shutdown(f, IC_SHUTDOWN_ACTION_POWER_OFF, true, -ENOTCONN);
	open_service(f, IC_SHUTDOWN_TYPE);
	request_shutdown(f, IC_SHUTDOWN_ACTION_POWER_OFF, true, -ENOTCONN);
	assert_inspected(f, "negotiating", "");
	negotiate(f, 3, 2);
	assert_true(is_connected(f));
	assert_inspected(f, "connected", "3.2");

	request_shutdown(f, IC_SHUTDOWN_ACTION_POWER_OFF, true, 0);
	request_shutdown(f, IC_SHUTDOWN_ACTION_POWER_OFF, true, -EALREADY);
	size = receive(f, &message);
	assert_int_equal(message.header.type, IC_MESSAGE_SHUTDOWN);
	assert_int_equal(message.header.size, sizeof(struct ic_shutdown_body));
	assert_int_equal(message.header.message_version.major, 3);
	assert_int_equal(message.header.message_version.minor, 2);
	assert_int_equal(message.shutdown.flags, IC_SHUTDOWN_FORCE);
	assert_int_equal(f->shutdown_calls, 0);
	answer(f, &message, size);
	assert_int_equal(f->shutdown_calls, 1);
	assert_int_equal(f->shutdown_result, 0);

	request_shutdown(f, IC_SHUTDOWN_ACTION_REBOOT, false, 0);
	size = receive(f, &message);
	assert_int_equal(message.shutdown.flags, IC_SHUTDOWN_RESTART);
	message.header.status = IC_STATUS_FAIL;
	answer(f, &message, size);
	assert_int_equal(f->shutdown_calls, 2);
	assert_int_equal(f->shutdown_result, IC_E_REFUSED);

	request_shutdown(f, IC_SHUTDOWN_ACTION_HIBERNATE, false, 0);
	receive(f, &message);
	assert_int_equal(message.shutdown.flags, IC_SHUTDOWN_HIBERNATE);
}

static void test_shutdown_without_hibernation(void **state)
{
	struct fixture *f = *state;

	open_service(f, IC_SHUTDOWN_TYPE);
	negotiate(f, 3, 1);
	request_shutdown(f, IC_SHUTDOWN_ACTION_HIBERNATE, false, -EOPNOTSUPP);
	request_shutdown(f, IC_SHUTDOWN_ACTION_REBOOT, false, 0);
}

static void test_old_shutdown_has_no_reboot(void **state)
{
	struct fixture *f = *state;

	open_service(f, IC_SHUTDOWN_TYPE);
	negotiate(f, 3, 0);
	request_shutdown(f, IC_SHUTDOWN_ACTION_REBOOT, false, -EOPNOTSUPP);
	request_shutdown(f, IC_SHUTDOWN_ACTION_POWER_OFF, false, 0);
}

static void test_guest_goes_without_answer(void **state)
{
	struct fixture *f = *state;

	open_service(f, IC_SHUTDOWN_TYPE);
	negotiate(f, 3, 2);
	request_shutdown(f, IC_SHUTDOWN_ACTION_POWER_OFF, false, 0);
	assert_true(fake_close(&f->channel));
	assert_int_equal(f->shutdown_calls, 1);
	assert_int_equal(f->shutdown_result, IC_E_GONE);
	assert_false(is_connected(f));

	/* And again, with a new guest. */
	assert_true(fake_connect(f->fake, VMBUS_VERSION_4_0));
	assert_true(fake_request_offers(f->fake));
	open_service(f, IC_SHUTDOWN_TYPE);
	negotiate(f, 1, 0);
	assert_true(is_connected(f));
}

/* Each answers the negotiation in a way that makes no agreement. */
static void test_negotiation_refused(void **state)
{
	struct fixture *f = *state;

	for (unsigned variant = 0; variant < 6; variant++) {
		struct message message;
		uint32_t size;

		open_service(f, IC_SHUTDOWN_TYPE);
		size = receive(f, &message);
		message.header.size = 16;
		message.negotiate.framework_count = message.negotiate.message_count = 1;
		message.negotiate.versions[0] = (struct ic_version){ 3, 0 };
		message.negotiate.versions[1] = (struct ic_version){ 3, 0 };
		switch (variant) {
		case 0: /* none in common, as Linux says it */
			message.negotiate.framework_count = message.negotiate.message_count = 0;
			break;
		case 1: /* versions never offered */
			message.negotiate.versions[0] = (struct ic_version){ 2, 0 };
			break;
		case 2:
			message.negotiate.versions[1] = (struct ic_version){ 3, 7 };
			break;
		case 3: /* too short */
			message.header.size = 15;
			break;
		case 4:
			message.header.size = 0;
			break;
		case 5: /* more than was asked for */
			message.negotiate.message_count = UINT16_MAX;
			break;
		}
		answer(f, &message, size);
		assert_false(is_connected(f));
		assert_true(fake_close(&f->channel));
	}
	open_service(f, IC_SHUTDOWN_TYPE);
	negotiate(f, 3, 2);
	assert_true(is_connected(f));
}

/* Packets that are no answer to anything: the answer is still waited for after each. */
static void test_junk_is_ignored(void **state)
{
	struct fixture *f = *state;
	struct message message, junk;
	uint32_t size;

	open_service(f, IC_SHUTDOWN_TYPE);
	negotiate(f, 3, 2);
	request_shutdown(f, IC_SHUTDOWN_ACTION_POWER_OFF, false, 0);
	size = receive(f, &message);
	for (unsigned variant = 0; variant < 9; variant++) {
		uint32_t junk_size = size;

		junk = message;
		junk.header.flags = IC_FLAG_TRANSACTION | IC_FLAG_RESPONSE;
		switch (variant) {
		case 0:
			junk.header.flags = IC_FLAG_TRANSACTION | IC_FLAG_REQUEST;
			break;
		case 1:
			junk.header.transaction_id++;
			break;
		case 2:
			junk.header.type = IC_MESSAGE_NEGOTIATE;
			break;
		case 3:
			junk.header.size = UINT16_MAX;
			break;
		case 4:
			junk.pipe.size = UINT32_MAX;
			break;
		case 5:
			junk.pipe.size = 19;
			break;
		case 6:
			junk.pipe.type = 2;
			break;
		case 7:
			junk_size = 24;
			break;
		case 8:
			junk_size = 0;
			break;
		}
		assert_true(fake_send(&f->channel, RING_PACKET_INBAND, 0, 0, &junk, junk_size));
		fake_settle(f->fake);
		assert_int_equal(f->shutdown_calls, 0);
	}
	message.header.flags = IC_FLAG_TRANSACTION | IC_FLAG_RESPONSE;
	assert_true(fake_send(&f->channel, RING_PACKET_COMPLETION, 0, 0, &message, size));
	fake_settle(f->fake);
	assert_int_equal(f->shutdown_calls, 0);
	answer(f, &message, size);
	assert_int_equal(f->shutdown_calls, 1);
}

static void beat(struct fixture *f, uint64_t sequence, uint32_t application)
{
	struct message message;
	uint32_t size = receive(f, &message);

	assert_int_equal(message.header.type, IC_MESSAGE_HEARTBEAT);
	assert_int_equal(message.header.size, sizeof(struct ic_heartbeat_body));
	assert_int_equal(message.heartbeat.sequence, sequence);
	message.heartbeat.sequence++;
	message.heartbeat.application_state = application;
	answer(f, &message, size);
}

static bool status_is_awaited(void *data)
{
	struct fixture *f = data;

	return f->status == f->awaited;
}

static void await_status(struct fixture *f, enum ic_heartbeat_status status)
{
	f->awaited = status;
	assert_true(fake_run_until(f->fake, status_is_awaited, f));
	assert_int_equal(ic_heartbeat_status(f->heartbeat), status);
}

static void test_heartbeat(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(ic_heartbeat_status(f->heartbeat), IC_HEARTBEAT_UNKNOWN);
	open_service(f, IC_HEARTBEAT_TYPE);
	negotiate(f, 3, 0);
	assert_int_equal(ic_heartbeat_status(f->heartbeat), IC_HEARTBEAT_UNKNOWN);
	for (unsigned i = 1; i <= 20; i++)
		beat(f, i, IC_APPLICATION_UNKNOWN);
	assert_int_equal(f->changes, 1);
	assert_int_equal(f->status, IC_HEARTBEAT_OK);
	beat(f, 21, IC_APPLICATION_CRITICAL);
	assert_int_equal(f->changes, 2);
	assert_int_equal(f->application, IC_APPLICATION_CRITICAL);
	beat(f, 22, 0x12345678);
	assert_int_equal(f->application, IC_APPLICATION_UNKNOWN);
	assert_true(fake_close(&f->channel));
	assert_int_equal(f->status, IC_HEARTBEAT_UNKNOWN);
}

static void test_old_heartbeat_has_no_application_state(void **state)
{
	struct fixture *f = *state;

	open_service(f, IC_HEARTBEAT_TYPE);
	negotiate(f, 1, 0);
	beat(f, 1, IC_APPLICATION_CRITICAL);
	assert_int_equal(f->status, IC_HEARTBEAT_OK);
	assert_int_equal(f->application, IC_APPLICATION_UNKNOWN);
}

/* A guest that hangs is noticed, is not buried in beats, and is noticed again when it is back. */
static void test_heartbeat_lost_and_found(void **state)
{
	struct fixture *f = *state;
	struct ring_packet packet;
	struct message message;
	uint32_t size;

	open_service(f, IC_HEARTBEAT_TYPE);
	negotiate(f, 3, 0);
	beat(f, 1, IC_APPLICATION_HEALTHY);
	await_status(f, IC_HEARTBEAT_LOST);
	assert_int_equal(f->application, IC_APPLICATION_HEALTHY);
	size = receive(f, &message);
	assert_int_equal(message.heartbeat.sequence, 2);
	assert_false(fake_receive_now(&f->channel, &packet));
	answer(f, &message, size);
	assert_int_equal(f->status, IC_HEARTBEAT_OK);
	beat(f, 3, IC_APPLICATION_HEALTHY);
	await_status(f, IC_HEARTBEAT_LOST);
}

static void test_heartbeat_paused(void **state)
{
	struct fixture *f = *state;

	open_service(f, IC_HEARTBEAT_TYPE);
	negotiate(f, 3, 0);
	beat(f, 1, IC_APPLICATION_HEALTHY);
	ic_heartbeat_pause(f->heartbeat);
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(loop_run_once(f->fake->loop, 2 * MILLISECOND), 0);
	assert_int_equal(f->status, IC_HEARTBEAT_OK);
	ic_heartbeat_resume(f->heartbeat);
	await_status(f, IC_HEARTBEAT_LOST);
}

static void test_reset_while_beating(void **state)
{
	struct fixture *f = *state;

	for (unsigned i = 0; i < 5; i++) {
		open_service(f, IC_HEARTBEAT_TYPE);
		negotiate(f, 3, 0);
		beat(f, 1, IC_APPLICATION_HEALTHY);
		fake_stop(f->fake);
		assert_int_equal(f->status, IC_HEARTBEAT_UNKNOWN);
		assert_true(fake_connect(f->fake, VMBUS_VERSION_5_3));
		assert_true(fake_request_offers(f->fake));
	}
}

/* The guest reads nothing any more: its ring has no room for a second request. */
static void test_no_room(void **state)
{
	struct fixture *f = *state;
	struct guid type = IC_SHUTDOWN_TYPE;
	const struct vmbus_message_offer_channel *offer = fake_find_offer(f->fake, &type, NULL, 0);
	struct message message = { 0 };

	assert_int_equal(fake_open(f->fake, offer, 2, 2, 0, &f->channel), 0);
	negotiate(f, 3, 2);
	request_shutdown(f, IC_SHUTDOWN_ACTION_POWER_OFF, false, 0);
	message.pipe = (struct ic_pipe_header){ IC_PIPE_DATA, sizeof(message.header) };
	message.header.type = IC_MESSAGE_SHUTDOWN;
	message.header.transaction_id = 2; /* negotiation was the first */
	answer(f, &message, 28);
	assert_int_equal(f->shutdown_calls, 1);
	request_shutdown(f, IC_SHUTDOWN_ACTION_POWER_OFF, false, -EAGAIN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_offers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_negotiation_offers_all_versions, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_shutdown, setup, teardown),
		cmocka_unit_test_setup_teardown(test_shutdown_without_hibernation, setup, teardown),
		cmocka_unit_test_setup_teardown(test_old_shutdown_has_no_reboot, setup, teardown),
		cmocka_unit_test_setup_teardown(test_guest_goes_without_answer, setup, teardown),
		cmocka_unit_test_setup_teardown(test_negotiation_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_junk_is_ignored, setup, teardown),
		cmocka_unit_test_setup_teardown(test_heartbeat, setup, teardown),
		cmocka_unit_test_setup_teardown(test_old_heartbeat_has_no_application_state, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_heartbeat_lost_and_found, setup, teardown),
		cmocka_unit_test_setup_teardown(test_heartbeat_paused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reset_while_beating, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_room, setup, teardown),
	};

	return cmocka_run_group_tests_name("ic", tests, NULL, NULL);
}
