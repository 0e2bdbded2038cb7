/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Integration services in the guest, and requests that no honest host makes. */
#include "common/wire/ic_kvp.h"
#include "guest-vsc/ic_kvp_client.h"
#include "guest-vsc/ic_services.h"
#include "tests/fake/client_host.h"
#include "tests/fake/ic_host.h"
#include "tests/unit/unit.h"

#include <string.h>

#define HEADERS offsetof(struct ic_host_message, body)

static union {
	struct ic_client ic;
	struct ic_heartbeat_client heartbeat;
	struct ic_shutdown_client shutdown;
	struct ic_time_client time;
	struct ic_vss_client vss;
	struct ic_kvp_client kvp;
} client;

static void connect(const struct ic_client_kind *kind)
{
	memset(&client, 0, sizeof(client));
	ic_host_open(&client.ic, kind);
	assert_true(
		ic_host_negotiate(&client.ic, kind->versions[0].major, kind->versions[0].minor));
	assert_true(ic_client_has_version(&client.ic, kind->versions[0].major,
					  kind->versions[0].minor));
}

static uint32_t ask(const void *body, size_t size)
{
	return ic_host_ask(&client.ic, body, size)->header.status;
}

/* ---- The envelope ---- */

static struct ic_host_message beat(size_t *ret_size)
{
	const struct ic_heartbeat_body body = { .sequence = 7 };
	struct ic_host_message message;

	*ret_size = ic_host_fill(&message, IC_MESSAGE_HEARTBEAT, &body, sizeof(body));
	return message;
}

static void test_good_envelope(void **state)
{
	const struct ic_host_message *answer;
	struct ic_host_message message;
	size_t size;

	connect(&ic_heartbeat_client_kind);
	message = beat(&size);
	message.header.transaction_id = 200;
	answer = ic_host_send(&client.ic, &message, size);
	assert_non_null(answer);
	assert_int_equal(answer->header.status, IC_STATUS_OK);
	assert_int_equal(answer->header.transaction_id, 200);
	assert_int_equal(answer->header.flags, IC_FLAG_TRANSACTION | IC_FLAG_RESPONSE);
	assert_int_equal(answer->body[0], 8);
	assert_int_equal(client.heartbeat.sequence, 7);
	assert_int_equal(client.ic.strays, 0);
}

enum spoiling {
	PIPE_TYPE,
	PIPE_SIZE_BEYOND,
	PIPE_SIZE_HUGE,
	PIPE_SIZE_SHORT,
	HEADER_SIZE_BEYOND,
	HEADER_SIZE_HUGE,
	NO_REQUEST,
	RESPONSE,
	SPOILINGS,
};

static void spoil(struct ic_host_message *message, enum spoiling spoiling)
{
	switch (spoiling) {
	case PIPE_TYPE:
		message->pipe.type = 2;
		break;
	case PIPE_SIZE_BEYOND: /* by more than the padding of a packet */
		message->pipe.size += 8;
		break;
	case PIPE_SIZE_HUGE:
		message->pipe.size = UINT32_MAX;
		break;
	case PIPE_SIZE_SHORT:
		message->pipe.size = sizeof(message->header) - 1;
		break;
	case HEADER_SIZE_BEYOND:
		message->header.size++;
		break;
	case HEADER_SIZE_HUGE:
		message->header.size = UINT16_MAX;
		break;
	case NO_REQUEST:
		message->header.flags = IC_FLAG_TRANSACTION;
		break;
	case RESPONSE:
		message->header.flags = IC_FLAG_TRANSACTION | IC_FLAG_RESPONSE;
		break;
	case SPOILINGS:
		break;
	}
}

static void test_spoiled_envelopes(void **state)
{
	struct ic_host_message message;
	size_t size;

	connect(&ic_heartbeat_client_kind);
	for (unsigned i = 0; i < SPOILINGS; i++) {
		message = beat(&size);
		spoil(&message, i);
		assert_null(ic_host_send(&client.ic, &message, size));
		assert_int_equal(client.ic.strays, i + 1);
	}
	assert_int_equal(client.heartbeat.sequence, 0);
	message = beat(&size);
	assert_non_null(ic_host_send(&client.ic, &message, size));
}

static void test_cut_messages(void **state)
{
	struct ic_host_message message;
	uint64_t strays = 0;
	size_t size;

	connect(&ic_heartbeat_client_kind);
	message = beat(&size);
	/* A packet's payload is padded to a multiple of 8. */
	for (size_t i = 0; i + 8 <= size; i++, strays++)
		assert_null(ic_host_send(&client.ic, &message, i));
	assert_int_equal(client.ic.strays, strays);
	/* So little is a body as the header says, whatever else is in the packet. */
	for (uint16_t i = 0; i < sizeof(struct ic_heartbeat_body); i++) {
		message.header.size = i;
		assert_int_equal(ic_host_send(&client.ic, &message, size)->header.status,
				 IC_STATUS_FAIL);
	}
	assert_int_equal(client.heartbeat.sequence, 0);
}

static void test_other_packets(void **state)
{
	struct ic_host_message message;
	size_t size;

	connect(&ic_heartbeat_client_kind);
	message = beat(&size);
	assert_true(client_host_complete(0, &message, size));
	assert_true(client_host_complete(UINT64_MAX, NULL, 0));
	assert_int_equal(ic_client_poll(&client.ic), 0);
	assert_int_equal(client.ic.strays, 2);
	assert_null(client_host_receive());
	message.header.type = IC_MESSAGE_SHUTDOWN;
	assert_int_equal(ic_host_send(&client.ic, &message, size)->header.status, IC_STATUS_FAIL);
	message.header.type = UINT16_MAX;
	assert_int_equal(ic_host_send(&client.ic, &message, size)->header.status, IC_STATUS_FAIL);
	assert_int_equal(client.heartbeat.sequence, 0);
}

static void test_broken_rings(void **state)
{
	static const uint8_t big[IC_CLIENT_PACKET_MAX + 8];

	connect(&ic_heartbeat_client_kind);
	assert_true(client_host_send_inband(big, sizeof(big)));
	assert_int_equal(ic_client_poll(&client.ic), IC_CLIENT_E_RING);

	connect(&ic_heartbeat_client_kind);
	client_host.to_guest.control->write_index = 12345;
	assert_int_equal(ic_client_poll(&client.ic), IC_CLIENT_E_RING);
}

/* A host that asks and does not listen: what was answered is lost, and nothing else happens. */
static void test_deaf_host(void **state)
{
	struct ic_host_message message;
	size_t size;

	connect(&ic_heartbeat_client_kind);
	message = beat(&size);
	for (unsigned i = 0; i < 500; i++) {
		assert_true(client_host_send_inband(&message, size));
		assert_int_equal(ic_client_poll(&client.ic), 0);
	}
	assert_true(client.ic.lost > 0);
	while (client_host_receive())
		;
	assert_int_equal(ask(message.body, sizeof(struct ic_heartbeat_body)), IC_STATUS_OK);
}

/* ---- Versions ---- */

static uint32_t negotiate(const struct ic_negotiate *offer, size_t size)
{
	struct ic_host_message message;

	size = ic_host_fill(&message, IC_MESSAGE_NEGOTIATE, offer, size);
	return ic_host_send(&client.ic, &message, size)->header.status;
}

static void test_spoiled_negotiations(void **state)
{
	struct ic_negotiate offer = {
		.framework_count = 1,
		.message_count = 1,
		.versions = { { 3, 0 }, { 3, 0 } },
	};
	const size_t good = offsetof(struct ic_negotiate, versions[2]);
	static const uint16_t counts[][2] = {
		{ 2, 1 },          { 1, 2 },          { IC_VERSION_MAX, 1 },
		{ 1, UINT16_MAX }, { UINT16_MAX, 1 }, { UINT16_MAX, UINT16_MAX },
	};

	ic_host_open(&client.ic, &ic_heartbeat_client_kind);
	/* Before there is a version, nothing else is answered. */
	assert_int_equal(ask(&(struct ic_heartbeat_body){ 0 }, sizeof(struct ic_heartbeat_body)),
			 IC_STATUS_FAIL);
	for (size_t size = 0; size < good; size++)
		assert_int_equal(negotiate(&offer, size), IC_STATUS_FAIL);
	for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
		offer.framework_count = counts[i][0];
		offer.message_count = counts[i][1];
		assert_int_equal(negotiate(&offer, good), IC_STATUS_FAIL);
		if (counts[i][0] > 2 || counts[i][1] > 2)
			assert_int_equal(negotiate(&offer, sizeof(offer)), IC_STATUS_FAIL);
	}
	assert_false(ic_client_is_connected(&client.ic));
}

static void test_nothing_in_common(void **state)
{
	static const struct ic_negotiate offers[] = {
		{ .framework_count = 0, .message_count = 2, .versions = { { 3, 0 }, { 3, 0 } } },
		{ .framework_count = 2, .message_count = 0, .versions = { { 3, 0 }, { 3, 0 } } },
		{ .framework_count = 0, .message_count = 0, .versions = { { 3, 0 }, { 3, 0 } } },
		{ .framework_count = 1, .message_count = 1, .versions = { { 3, 0 }, { 0, 0 } } },
		{ .framework_count = 1,
		  .message_count = 1,
		  .versions = { { 3, 0 }, { UINT16_MAX, UINT16_MAX } } },
		{ .framework_count = 1, .message_count = 1, .versions = { { 2, 0 }, { 3, 0 } } },
	};

	for (size_t i = 0; i < ARRAY_SIZE(offers); i++) {
		/* Also where there was a version before. */
		connect(&ic_heartbeat_client_kind);
		assert_int_equal(negotiate(&offers[i], sizeof(offers[i])), IC_STATUS_OK);
		assert_false(ic_client_is_connected(&client.ic));
		assert_int_equal(
			ask(&(struct ic_heartbeat_body){ 0 }, sizeof(struct ic_heartbeat_body)),
			IC_STATUS_FAIL);
	}
}

/* ---- Services ---- */

static void test_short_bodies(void **state)
{
	static const struct {
		const struct ic_client_kind *kind;
		size_t size;
	} rows[] = {
		{ &ic_heartbeat_client_kind, sizeof(struct ic_heartbeat_body) },
		{ &ic_shutdown_client_kind, sizeof(struct ic_shutdown_body) },
		{ &ic_time_client_kind, sizeof(struct ic_time_reference_body) },
		{ &ic_vss_client_kind, sizeof(struct ic_vss_body) },
		{ &ic_kvp_client_kind, sizeof(struct ic_kvp_body) },
	};
	static const uint8_t zeros[4096];

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		connect(rows[i].kind);
		for (size_t size = 0; size < rows[i].size; size += size < 64 ? 1 : 61)
			assert_int_equal(ask(zeros, size), IC_STATUS_FAIL);
		assert_int_equal(ask(zeros, rows[i].size - 1), IC_STATUS_FAIL);
		assert_int_equal(client.ic.failures + 1, client.ic.requests);
		/* There is no such operation in snapshots. */
		if (rows[i].kind != &ic_vss_client_kind && rows[i].kind != &ic_kvp_client_kind)
			assert_int_equal(ask(zeros, rows[i].size), IC_STATUS_OK);
	}
}

static void test_unknown_operations(void **state)
{
	struct ic_shutdown_body shutdown = { .flags = IC_SHUTDOWN_HIBERNATE };
	struct ic_vss_body vss = { .operation = UINT8_MAX };

	connect(&ic_shutdown_client_kind);
	assert_int_equal(ask(&shutdown, sizeof(shutdown)), IC_STATUS_FAIL);
	shutdown.flags = UINT32_MAX;
	assert_int_equal(ask(&shutdown, sizeof(shutdown)), IC_STATUS_FAIL);
	assert_int_equal(client.shutdown.asked, IC_SHUTDOWN_CLIENT_NONE);
	/* The first good one is what is done, whatever follows. */
	shutdown.flags = IC_SHUTDOWN_RESTART;
	assert_int_equal(ask(&shutdown, sizeof(shutdown)), IC_STATUS_OK);
	shutdown.flags = IC_SHUTDOWN_FORCE;
	assert_int_equal(ask(&shutdown, sizeof(shutdown)), IC_STATUS_OK);
	assert_int_equal(client.shutdown.asked, IC_SHUTDOWN_CLIENT_RESTART);
	assert_false(client.shutdown.force);

	connect(&ic_vss_client_kind);
	assert_int_equal(ask(&vss, sizeof(vss)), IC_STATUS_FAIL);
	vss.operation = IC_VSS_THAW;
	assert_int_equal(ask(&vss, sizeof(vss)), IC_STATUS_OK);
	assert_int_equal(client.vss.thaws, 0);
	vss.operation = IC_VSS_FREEZE;
	assert_int_equal(ask(&vss, sizeof(vss)), IC_STATUS_OK);
	assert_int_equal(ask(&vss, sizeof(vss)), IC_STATUS_OK);
	assert_int_equal(client.vss.freezes, 1);
}

/* A clock that goes back, or is at its end, is told as it is. */
static void test_impossible_times(void **state)
{
	static const uint64_t times[] = { UINT64_MAX, 0, 1, UINT64_MAX / 2 };
	struct ic_time_reference_body body = { .flags = IC_TIME_SYNC };

	connect(&ic_time_client_kind);
	for (size_t i = 0; i < ARRAY_SIZE(times); i++) {
		body.host_time = times[i];
		body.reference_time = times[ARRAY_SIZE(times) - 1 - i];
		assert_int_equal(ask(&body, sizeof(body)), IC_STATUS_OK);
		assert_int_equal(client.time.host_time, times[i]);
		(void)ic_time_client_now(&client.time);
	}
	assert_int_equal(client.time.syncs, ARRAY_SIZE(times));
}

/* ---- Key-value pairs ---- */

static struct ic_kvp_body kvp_set(void)
{
	return (struct ic_kvp_body){
		.header = { .operation = IC_KVP_SET, .pool = IC_KVP_POOL_EXTERNAL },
		.item = { .type = IC_KVP_TEXT,
			  .key_size = 4,
			  .value_size = 4,
			  .key = "k",
			  .value = "v" },
	};
}

static void test_kvp_sizes(void **state)
{
	static const uint32_t sizes[] = {
		0, 1, 3, IC_KVP_KEY_SIZE + 2, UINT32_MAX, UINT32_MAX - 1
	};
	struct ic_kvp_body body;

	connect(&ic_kvp_client_kind);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		body = kvp_set();
		body.item.key_size = sizes[i];
		assert_int_equal(ask(&body, sizeof(body)), IC_STATUS_FAIL);
		body.header.operation = IC_KVP_GET;
		assert_int_equal(ask(&body, sizeof(body)), IC_STATUS_FAIL);
		body.header.operation = IC_KVP_DELETE;
		body.delete.key_size = sizes[i];
		assert_int_equal(ask(&body, sizeof(body)), IC_STATUS_FAIL);
		body = kvp_set();
		body.item.value_size =
			sizes[i] == IC_KVP_KEY_SIZE + 2 ? IC_KVP_VALUE_SIZE + 2 : sizes[i];
		assert_int_equal(ask(&body, sizeof(body)), IC_STATUS_FAIL);
	}
	assert_int_equal(client.kvp.pair_count, 0);
}

/* As long as it may be, and nothing closes it. */
static void test_kvp_open_texts(void **state)
{
	struct ic_kvp_body body = kvp_set();

	connect(&ic_kvp_client_kind);
	body.item.key_size = sizeof(body.item.key);
	memset(body.item.key, 'k', sizeof(body.item.key));
	assert_int_equal(ask(&body, sizeof(body)), IC_STATUS_FAIL);
	body.item.key[sizeof(body.item.key) - 1] = 0; /* half of a unit */
	assert_int_equal(ask(&body, sizeof(body)), IC_STATUS_FAIL);
	body.item.key[sizeof(body.item.key) - 2] = 0;
	assert_int_equal(ask(&body, sizeof(body)), IC_STATUS_OK);
	body.item.value_size = sizeof(body.item.value);
	memset(body.item.value, 'v', sizeof(body.item.value));
	assert_int_equal(ask(&body, sizeof(body)), IC_STATUS_FAIL);
	assert_int_equal(client.kvp.pair_count, 1);
	assert_int_equal(client.kvp.pairs[0].value_size, 4);
}

static void test_kvp_strange_requests(void **state)
{
	struct ic_kvp_body body = kvp_set();

	connect(&ic_kvp_client_kind);
	body.item.type = IC_KVP_UINT64;
	assert_int_equal(ask(&body, sizeof(body)), IC_STATUS_FAIL);
	for (unsigned pool = IC_KVP_POOL_AUTO_INTERNAL + 1; pool <= UINT8_MAX; pool += 50) {
		body = kvp_set();
		body.header.pool = (uint8_t)pool;
		assert_int_equal(ask(&body, sizeof(body)), IC_STATUS_FAIL);
	}
	body = kvp_set();
	body.header.pool = IC_KVP_POOL_AUTO;
	assert_int_equal(ask(&body, sizeof(body)), IC_STATUS_FAIL);
	body.header.operation = IC_KVP_DELETE;
	body.delete.key_size = 4;
	assert_int_equal(ask(&body, sizeof(body)), IC_STATUS_FAIL);
	body.header.operation = UINT8_MAX;
	assert_int_equal(ask(&body, sizeof(body)), IC_STATUS_FAIL);
	body.header.operation = IC_KVP_ENUMERATE;
	body.enumerate.index = UINT32_MAX;
	assert_int_equal(ask(&body, sizeof(body)), IC_KVP_STATUS_NO_MORE_ITEMS);
	assert_int_equal(client.kvp.pair_count, 0);
}

/* More pairs than there is room for, and each of them deleted twice. */
static void test_kvp_flood(void **state)
{
	struct ic_kvp_body body = kvp_set();
	unsigned accepted = 0;

	connect(&ic_kvp_client_kind);
	for (unsigned i = 0; i < 3 * IC_KVP_CLIENT_PAIRS_MAX; i++) {
		body.item.key[1] = (uint8_t)i;
		accepted += ask(&body, sizeof(body)) == IC_STATUS_OK;
	}
	assert_int_equal(accepted, IC_KVP_CLIENT_PAIRS_MAX);
	body = (struct ic_kvp_body){
		.header = { .operation = IC_KVP_DELETE, .pool = IC_KVP_POOL_EXTERNAL },
		.delete = { .key_size = 4, .key = "k" },
	};
	for (unsigned i = 0; i < IC_KVP_CLIENT_PAIRS_MAX; i++) {
		body.delete.key[1] = (uint8_t)i;
		assert_int_equal(ask(&body, sizeof(body)), IC_STATUS_OK);
		assert_int_equal(ask(&body, sizeof(body)), IC_KVP_STATUS_NO_ELEMENT);
	}
	assert_int_equal(client.kvp.pair_count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good_envelope),
		cmocka_unit_test(test_spoiled_envelopes),
		cmocka_unit_test(test_cut_messages),
		cmocka_unit_test(test_other_packets),
		cmocka_unit_test(test_broken_rings),
		cmocka_unit_test(test_deaf_host),
		cmocka_unit_test(test_spoiled_negotiations),
		cmocka_unit_test(test_nothing_in_common),
		cmocka_unit_test(test_short_bodies),
		cmocka_unit_test(test_unknown_operations),
		cmocka_unit_test(test_impossible_times),
		cmocka_unit_test(test_kvp_sizes),
		cmocka_unit_test(test_kvp_open_texts),
		cmocka_unit_test(test_kvp_strange_requests),
		cmocka_unit_test(test_kvp_flood),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
