/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Dynamic memory in the guest, and a host that does not keep to the protocol. */
#include "common/wire/dynamic_memory.h"
#include "guest-vsc/balloon_client.h"
#include "tests/fake/client_host.h"
#include "tests/unit/unit.h"

#include <string.h>

#define FIRST 1000u /* frames that can be spared, as many as PAGES says */
#define PAGES 3000u
#define PIECE 50u

static struct balloon_client balloon;

static uint64_t spared, given, added;
static unsigned gives, adds;

/* ---- The guest's memory ---- */

static uint64_t take(void *data, uint64_t wanted, uint64_t *ret_first)
{
	uint64_t most = MIN(wanted, (uint64_t)PIECE), count = MIN(most, PAGES - spared);

	*ret_first = FIRST + spared;
	spared += count;
	return count;
}

static void give(void *data, uint64_t first, uint64_t count)
{
	assert_true(first >= FIRST && first + count <= FIRST + PAGES && count > 0);
	gives++;
	given += count;
}

static uint64_t add(void *data, uint64_t first, uint64_t count)
{
	assert_true(first < BALLOON_CLIENT_FRAMES_MAX && count > 0 &&
		    count <= BALLOON_CLIENT_FRAMES_MAX - first);
	adds++;
	added += count;
	return count;
}

static struct balloon_client_needs needs(void *data)
{
	return (struct balloon_client_needs){ .available = PAGES };
}

static const struct balloon_client_memory memory = { take, give, add, needs };

/* ---- The host ---- */

/* What it says to a version and to capabilities. */
static struct answer {
	uint16_t type, size; /* as the header says */
	size_t sent;         /* bytes */
	bool accepted, complete;
} version_answer, capabilities_answer;

static unsigned responses, acknowledgements;
static uint64_t pages_named;
static uint32_t hot_added;

static void send_answer(const struct answer *answer)
{
	struct dm_acceptance message = {
		.header = { .type = answer->type, .size = answer->size },
		.flags = answer->accepted ? DM_ACCEPTED : 0,
	};

	if (answer->complete)
		(void)client_host_complete(0, &message, answer->sent);
	else
		(void)client_host_send_inband(&message, answer->sent);
}

static void take_response(const uint8_t *bytes)
{
	struct dm_balloon_response response;
	uint64_t range;

	memcpy(&response, bytes, sizeof(response));
	responses++;
	for (uint32_t i = 0; i < response.flags_and_count >> 1; i++) {
		memcpy(&range, bytes + sizeof(response) + i * sizeof(range), sizeof(range));
		pages_named += DM_RANGE_COUNT(range);
	}
}

static void run_host(void)
{
	const struct ring_packet *packet;
	struct dm_hot_add_response hot_add;
	struct dm_header header;

	while ((packet = client_host_receive())) {
		memcpy(&header, packet->payload, sizeof(header));
		assert_true(header.size <= packet->payload_size);
		if (header.type == DM_VERSION_REQUEST && version_answer.sent) {
			send_answer(&version_answer);
		} else if (header.type == DM_CAPABILITIES_REPORT && capabilities_answer.sent) {
			send_answer(&capabilities_answer);
		} else if (header.type == DM_BALLOON_RESPONSE) {
			take_response(packet->payload);
		} else if (header.type == DM_UNBALLOON_RESPONSE) {
			acknowledgements++;
		} else if (header.type == DM_HOT_ADD_RESPONSE) {
			memcpy(&hot_add, packet->payload, sizeof(hot_add));
			hot_added = hot_add.pages;
		}
	}
}

static const struct answer good_version = { DM_VERSION_RESPONSE, sizeof(struct dm_acceptance),
					    sizeof(struct dm_acceptance), true, false };
static const struct answer good_capabilities = { DM_CAPABILITIES_RESPONSE,
						 sizeof(struct dm_acceptance),
						 sizeof(struct dm_acceptance), true, false };

static int open_client(uint64_t capabilities)
{
	static const struct guid type = DM_TYPE;
	const struct balloon_client_options options = {
		.memory = &memory,
		.newest = UINT32_MAX,
		.capabilities = capabilities,
	};

	client_host_start(&type);
	client_host.signalled = run_host;
	spared = given = added = pages_named = 0;
	gives = adds = responses = acknowledgements = 0;
	hot_added = UINT32_MAX;
	return balloon_client_open(&balloon, &client_host.bus, &options,
				   client_host_rings(BALLOON_CLIENT_RING_PAGES));
}

static int setup(void **state)
{
	version_answer = good_version;
	capabilities_answer = good_capabilities;
	return open_client(DM_CAPABILITY_BALLOON | DM_CAPABILITY_HOT_ADD);
}

/* Sends a message of which `size` is the header's, and has the client poll. */
static int tell(void *message, enum dm_type type, size_t size, size_t sent)
{
	struct dm_header header = { .type = (uint16_t)type, .size = (uint16_t)size };

	memcpy(message, &header, sizeof(header));
	assert_true(client_host_send_inband(message, sent));
	return balloon_client_poll(&balloon);
}

static int inflate(uint32_t pages)
{
	struct dm_balloon_request request = { .pages = pages };

	return tell(&request, DM_BALLOON_REQUEST, sizeof(request), sizeof(request));
}

/* `said` ranges, of which `sent` are there. */
static int deflate(uint32_t said, unsigned sent, const uint64_t *ranges)
{
	struct {
		struct dm_unballoon_request request;
		uint64_t ranges[8];
	} PACKED message = { .request.range_count = said };
	size_t size = sizeof(message.request) + sent * sizeof(*ranges);

	memcpy(message.ranges, ranges, sent * sizeof(*ranges));
	return tell(&message, DM_UNBALLOON_REQUEST, size, size);
}

/* ---- Negotiation ---- */

static void test_spoiled_answers(void **state)
{
	static const struct {
		struct answer answer;
		int expected;
	} rows[] = {
		{ { DM_VERSION_RESPONSE, 16, 8, true, false }, BALLOON_CLIENT_E_PROTOCOL },
		{ { DM_VERSION_RESPONSE, 15, 16, true, false }, BALLOON_CLIENT_E_PROTOCOL },
		{ { DM_VERSION_RESPONSE, 7, 16, true, false }, BALLOON_CLIENT_E_PROTOCOL },
		{ { DM_VERSION_RESPONSE, 0, 16, true, false }, BALLOON_CLIENT_E_PROTOCOL },
		{ { DM_VERSION_RESPONSE, UINT16_MAX, 16, true, false }, BALLOON_CLIENT_E_PROTOCOL },
		{ { DM_VERSION_RESPONSE, 16, 16, true, true }, BALLOON_CLIENT_E_PROTOCOL },
		{ { DM_INFO, 16, 16, true, false }, BALLOON_CLIENT_E_PROTOCOL },
		{ { UINT16_MAX, 16, 16, true, false }, BALLOON_CLIENT_E_PROTOCOL },
		{ { DM_VERSION_RESPONSE, 16, 16, false, false }, BALLOON_CLIENT_E_REFUSED },
		{ { 0 }, BALLOON_CLIENT_E_TIMEOUT },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		version_answer = rows[i].answer;
		capabilities_answer = good_capabilities;
		assert_int_equal(open_client(DM_CAPABILITY_BALLOON), rows[i].expected);
		version_answer = good_version;
		capabilities_answer = rows[i].answer;
		if (capabilities_answer.type == DM_VERSION_RESPONSE)
			capabilities_answer.type = DM_CAPABILITIES_RESPONSE;
		assert_int_equal(open_client(DM_CAPABILITY_BALLOON), rows[i].expected);
	}
}

/* ---- Requests ---- */

static void test_short_requests(void **state)
{
	static const struct {
		enum dm_type type;
		size_t size;
	} rows[] = {
		{ DM_BALLOON_REQUEST, sizeof(struct dm_balloon_request) },
		{ DM_UNBALLOON_REQUEST, sizeof(struct dm_unballoon_request) },
		{ DM_HOT_ADD_REQUEST, sizeof(struct dm_hot_add_request) },
		{ DM_INFO, sizeof(struct dm_info) },
	};
	uint8_t message[64] = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		for (size_t size = 0; size < rows[i].size; size++) {
			assert_int_equal(setup(state), 0);
			memset(message, 1, sizeof(message));
			assert_int_equal(tell(message, rows[i].type, size, sizeof(message)),
					 BALLOON_CLIENT_E_PROTOCOL);
		}
		assert_int_equal(setup(state), 0);
		assert_int_equal(tell(message, rows[i].type, rows[i].size, rows[i].size - 8),
				 BALLOON_CLIENT_E_PROTOCOL);
	}
	assert_int_equal(responses + gives + adds, 0);
}

static void test_other_packets(void **state)
{
	static const uint8_t big[2 * DM_MESSAGE_MAX];
	uint64_t message[4] = { 0 };

	for (unsigned type = 0; type < 64; type++)
		if (type < DM_BALLOON_REQUEST || type == DM_BALLOON_RESPONSE ||
		    type == DM_UNBALLOON_RESPONSE || type > DM_INFO || type == DM_HOT_ADD_RESPONSE)
			assert_int_equal(tell(message, type, sizeof(message), sizeof(message)), 0);
	assert_int_equal(balloon.unknown, 64 - 4);
	assert_true(client_host_send_inband(big, sizeof(big)));
	assert_int_equal(balloon_client_poll(&balloon), BALLOON_CLIENT_E_RING);
	assert_int_equal(setup(state), 0);
	assert_true(client_host_complete(0, message, sizeof(message)));
	assert_int_equal(balloon_client_poll(&balloon), BALLOON_CLIENT_E_PROTOCOL);
	assert_int_equal(setup(state), 0);
	assert_true(client_host_send_inband(message, 0));
	assert_int_equal(balloon_client_poll(&balloon), BALLOON_CLIENT_E_PROTOCOL);
	assert_int_equal(setup(state), 0);
	client_host.to_guest.control->write_index = UINT32_MAX;
	assert_int_equal(balloon_client_poll(&balloon), BALLOON_CLIENT_E_RING);
}

/* What there is, is handed over, and no more; the last answer says so by what it lacks. */
static void test_too_much_is_asked_for(void **state)
{
	assert_int_equal(inflate(0), 0);
	assert_int_equal(responses, 1);
	assert_int_equal(inflate(UINT32_MAX), 0);
	assert_int_equal(balloon.ballooned, PAGES);
	assert_int_equal(pages_named, PAGES);
	assert_int_equal(inflate(UINT32_MAX), 0);
	assert_int_equal(balloon.ballooned, PAGES);
	assert_int_equal(responses, 3);
}

static void test_good_deflation(void **state)
{
	const uint64_t ranges[] = { DM_RANGE(FIRST, PIECE), DM_RANGE(FIRST + PIECE + 1, 1) };

	assert_int_equal(inflate(2 * PIECE), 0);
	assert_int_equal(deflate(2, 2, ranges), 0);
	assert_int_equal(given, PIECE + 1);
	assert_int_equal(acknowledgements, 1);
	assert_int_equal(balloon.ballooned, PIECE - 1);
}

static void test_spoiled_deflations(void **state)
{
	static const struct {
		uint32_t said;
		unsigned sent;
		uint64_t ranges[2];
		unsigned gives; /* before the lie */
	} rows[] = {
		{ 1, 0, { 0 }, 0 },
		{ 3, 2, { DM_RANGE(FIRST, 1), DM_RANGE(FIRST + 1, 1) }, 0 },
		{ UINT32_MAX, 1, { DM_RANGE(FIRST, 1) }, 0 },
		{ UINT32_MAX / 8 + 1, 1, { DM_RANGE(FIRST, 1) }, 0 },
		{ 1, 1, { DM_RANGE(FIRST, 0) }, 0 },
		{ 1, 1, { DM_RANGE(FIRST - 1, 2) }, 0 },
		{ 1, 1, { DM_RANGE(FIRST, 2 * PIECE + 1) }, 0 },
		{ 1, 1, { DM_RANGE(FIRST, DM_RANGE_COUNT_MAX) }, 0 },
		{ 1, 1, { DM_RANGE(DM_RANGE_FRAME_MAX, 1) }, 0 },
		{ 1, 1, { DM_RANGE(BALLOON_CLIENT_FRAMES_MAX, 1) }, 0 },
		{ 1, 1, { DM_RANGE(BALLOON_CLIENT_FRAMES_MAX - 1, 2) }, 0 },
		{ 1, 1, { UINT64_MAX }, 0 },
		{ 2, 2, { DM_RANGE(FIRST, 1), DM_RANGE(FIRST, 1) }, 1 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_int_equal(setup(state), 0);
		assert_int_equal(inflate(2 * PIECE), 0);
		assert_int_equal(deflate(rows[i].said, rows[i].sent, rows[i].ranges),
				 BALLOON_CLIENT_E_PROTOCOL);
		assert_int_equal(gives, rows[i].gives);
		assert_int_equal(balloon.ballooned, 2 * PIECE - given);
		assert_int_equal(acknowledgements, 0);
	}
}

static int grow(uint64_t range)
{
	struct dm_hot_add_request request = { .range = range };

	return tell(&request, DM_HOT_ADD_REQUEST, sizeof(request), sizeof(request));
}

static void test_spoiled_growth(void **state)
{
	static const uint64_t ranges[] = {
		0,
		DM_RANGE(0, 0),
		DM_RANGE(BALLOON_CLIENT_FRAMES_MAX, 1),
		DM_RANGE(BALLOON_CLIENT_FRAMES_MAX - 1, 2),
		DM_RANGE(1, DM_RANGE_COUNT_MAX),
		UINT64_MAX,
	};

	for (size_t i = 0; i < ARRAY_SIZE(ranges); i++) {
		hot_added = UINT32_MAX;
		assert_int_equal(grow(ranges[i]), 0);
		assert_int_equal(hot_added, 0);
	}
	assert_int_equal(adds, 0);
	assert_int_equal(grow(DM_RANGE(1, 7)), 0);
	assert_int_equal(hot_added, 7);
	/* A guest that never said that it could. */
	assert_int_equal(open_client(DM_CAPABILITY_BALLOON), 0);
	assert_int_equal(grow(DM_RANGE(1, 7)), 0);
	assert_int_equal(hot_added, 0);
}

static void test_information(void **state)
{
	struct dm_info info = { .type = 1, .data_size = 8, .maximum_pages = 5 };

	assert_int_equal(tell(&info, DM_INFO, sizeof(info), sizeof(info)), 0);
	info.type = DM_INFO_MAXIMUM_PAGES;
	info.data_size = UINT32_MAX;
	assert_int_equal(tell(&info, DM_INFO, sizeof(info), sizeof(info)), 0);
	assert_int_equal(balloon.maximum_pages, 0);
	info.data_size = sizeof(info.maximum_pages);
	assert_int_equal(tell(&info, DM_INFO, sizeof(info), sizeof(info)), 0);
	assert_int_equal(balloon.maximum_pages, 5);
}

static void test_deaf_host(void **state)
{
	int r = 0;

	client_host.signalled = NULL;
	for (unsigned i = 0; i < 10000 && !r; i++) {
		client_host.now += BALLOON_CLIENT_REPORT_NS;
		r = balloon_client_poll(&balloon);
	}
	assert_int_equal(r, BALLOON_CLIENT_E_TIMEOUT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_spoiled_answers),
		cmocka_unit_test(test_short_requests),
		cmocka_unit_test_setup(test_other_packets, setup),
		cmocka_unit_test_setup(test_too_much_is_asked_for, setup),
		cmocka_unit_test_setup(test_good_deflation, setup),
		cmocka_unit_test(test_spoiled_deflations),
		cmocka_unit_test_setup(test_spoiled_growth, setup),
		cmocka_unit_test_setup(test_information, setup),
		cmocka_unit_test_setup(test_deaf_host, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
