/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A network adapter in the guest, and a host that says what it should not. */
#include "tests/fake/client_host.h"
#include "tests/fake/netvsp_host.h"
#include "tests/unit/unit.h"

#include <string.h>

#define FRAME 100u

static struct netvsc_client net;

/* A frame as it lies in the receive buffer. */
struct frame {
	struct rndis_header header;
	struct rndis_packet packet;
	uint8_t bytes[NETVSC_CLIENT_FRAME_MAX + 400];
} PACKED;

static struct frame frame_of(uint32_t size)
{
	struct frame frame = {
		.header = { RNDIS_PACKET, (uint32_t)offsetof(struct frame, bytes) + size },
		.packet.data_offset = sizeof(struct rndis_packet),
		.packet.data_length = size,
	};

	memset(frame.bytes, 1, size);
	return frame;
}

static int setup(void **state)
{
	netvsp_host_start();
	return netvsp_host_open(&net);
}

static int poll_client(void)
{
	int r = netvsc_client_poll(&net);

	netvsp_host_run();
	return r;
}

/* Tells of a message that the client has to leave alone. */
static void expect_stray(const void *message, uint32_t size)
{
	uint64_t strays = net.strays;
	unsigned frames = netvsp_host.frames, given_back = netvsp_host.given_back;

	netvsp_host_tell(message, size);
	assert_int_equal(poll_client(), 0);
	assert_int_equal(net.strays, strays + 1);
	assert_int_equal(netvsp_host.frames, frames);
	assert_int_equal(netvsp_host.given_back, given_back + 1);
}

/* ---- Frames ---- */

static void test_good_frames(void **state)
{
	struct frame frame = frame_of(NETVSC_CLIENT_FRAME_MAX);

	assert_true(net.link_up);
	netvsp_host_tell(&frame, frame.header.length);
	assert_int_equal(poll_client(), 0);
	assert_int_equal(netvsp_host.frames, 1);
	assert_int_equal(netvsp_host.frame_size, NETVSC_CLIENT_FRAME_MAX);
	assert_int_equal(netvsp_host.sum, (uint8_t)NETVSC_CLIENT_FRAME_MAX);
	assert_int_equal(net.strays, 0);
}

static void test_spoiled_frames(void **state)
{
	struct frame frame;

	for (uint32_t size = 0; size < NDIS_ETHERNET_SIZE; size++) {
		frame = frame_of(size);
		expect_stray(&frame, frame.header.length);
	}
	frame = frame_of(NETVSC_CLIENT_FRAME_MAX + 1);
	expect_stray(&frame, frame.header.length);
	/* Longer than what was told of, and shorter than it has to be. */
	frame = frame_of(FRAME);
	expect_stray(&frame, frame.header.length - 1);
	for (uint32_t i = 0; i < offsetof(struct frame, bytes); i++) {
		frame.header.length = i;
		expect_stray(&frame, sizeof(frame.header) + FRAME);
	}
	frame.header.length = UINT32_MAX;
	expect_stray(&frame, FRAME);
}

static void test_spoiled_offsets(void **state)
{
	static const struct {
		uint32_t offset, length;
	} rows[] = {
		{ sizeof(struct rndis_packet) + 1, FRAME },
		{ sizeof(struct rndis_packet), FRAME + 1 },
		{ UINT32_MAX, FRAME },
		{ UINT32_MAX, UINT32_MAX },
		{ sizeof(struct rndis_packet), UINT32_MAX },
		{ UINT32_MAX - FRAME + 1, FRAME },
		{ sizeof(struct rndis_packet) + FRAME, NDIS_ETHERNET_SIZE },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct frame frame = frame_of(FRAME);

		frame.packet.data_offset = rows[i].offset;
		frame.packet.data_length = rows[i].length;
		expect_stray(&frame, frame.header.length);
	}
}

static void test_spoiled_ranges(void **state)
{
	static const struct ring_transfer_range rows[] = {
		{ FRAME, NETVSP_HOST_BUFFER },
		{ FRAME, NETVSP_HOST_BUFFER - FRAME + 1 },
		{ FRAME, UINT32_MAX },
		{ UINT32_MAX, 0 },
		{ UINT32_MAX, UINT32_MAX },
		{ UINT32_MAX - FRAME, FRAME + 1 },
		{ NETVSP_HOST_BUFFER, 0 },
		{ sizeof(struct rndis_header) - 1, 0 },
		{ 0, 0 },
	};
	struct frame frame = frame_of(FRAME);

	netvsp_host_tell(&frame, frame.header.length);
	assert_int_equal(poll_client(), 0);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		netvsp_host_transfer(NVSP_RECEIVE_BUFFER_ID, 1, &rows[i], 1);
		assert_int_equal(poll_client(), 0);
	}
	assert_int_equal(net.strays, ARRAY_SIZE(rows));
	assert_int_equal(netvsp_host.frames, 1);
	netvsp_host_transfer(NVSP_RECEIVE_BUFFER_ID, 0, rows, 0);
	assert_int_equal(poll_client(), 0);
}

static void test_spoiled_transfers(void **state)
{
	static const struct {
		uint16_t set_id;
		uint32_t count;
		unsigned given;
	} rows[] = {
		{ NVSP_RECEIVE_BUFFER_ID + 1, 1, 1 },
		{ NVSP_RECEIVE_BUFFER_ID, 2, 1 },
		{ NVSP_RECEIVE_BUFFER_ID, UINT32_MAX, 1 },
		{ NVSP_RECEIVE_BUFFER_ID, UINT32_MAX / 8 + 2, 1 },
		{ NVSP_RECEIVE_BUFFER_ID, 1, 0 },
	};
	const struct ring_transfer_range range = { FRAME, 0 };
	const struct ring_packet bare = { .type = RING_PACKET_TRANSFER_PAGES };

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_int_equal(setup(state), 0);
		netvsp_host_transfer(rows[i].set_id, rows[i].count, &range, rows[i].given);
		assert_int_equal(poll_client(), NETVSC_CLIENT_E_PROTOCOL);
	}
	assert_int_equal(setup(state), 0);
	assert_true(client_host_send(&bare));
	assert_int_equal(poll_client(), NETVSC_CLIENT_E_PROTOCOL);
}

/* ---- Completions ---- */

static uint64_t sent_id;

static bool keep_frame(uint64_t transaction_id, const struct nvsp_message *message)
{
	sent_id = transaction_id;
	return message->type == NVSP_SEND_RNDIS_PACKET && message->rndis.channel == 0;
}

static void test_spoiled_completions(void **state)
{
	static const uint8_t frame[FRAME] __attribute__((aligned(4096)));
	static const uint64_t ids[] = { 0,
					2,
					NETVSC_CLIENT_SLOTS_MAX,
					NETVSC_CLIENT_SLOTS_MAX + 1,
					UINT32_MAX,
					UINT64_MAX - 1,
					UINT64_MAX };
	const struct nvsp_message message = {
		.type = NVSP_SEND_RNDIS_PACKET_COMPLETE,
		.rndis_complete.status = NVSP_STATUS_SUCCESS,
	};
	uint16_t free_count = net.free_count;

	netvsp_host.asked = keep_frame;
	assert_int_equal(netvsc_client_send(&net, frame, FRAME, NETVSC_CLIENT_BY_SECTION), 0);
	assert_int_equal(poll_client(), 0);
	for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
		if (ids[i] == sent_id)
			continue;
		assert_true(client_host_complete(ids[i], &message, sizeof(message)));
		assert_int_equal(poll_client(), 0);
	}
	assert_int_equal(netvsp_host.sents, 0);
	assert_true(net.strays >= ARRAY_SIZE(ids) - 1);
	/* Once it is the frame's, even if it says nothing; then no more. */
	assert_true(client_host_complete(sent_id, NULL, 0));
	assert_true(client_host_complete(sent_id, &message, sizeof(message)));
	assert_int_equal(poll_client(), 0);
	assert_int_equal(netvsp_host.sents, 1);
	assert_int_equal(netvsp_host.refusals, 1);
	assert_int_equal(net.free_count, free_count);
}

/* A frame's completion is no answer to a request, whatever it says and whenever it comes. */
static bool mix_completions(uint64_t transaction_id, const struct nvsp_message *message)
{
	const struct nvsp_message stranger = { .type = NVSP_SEND_RNDIS_PACKET_COMPLETE };
	struct nvsp_message answer = { .type = NVSP_INIT_COMPLETE };

	if (message->type != NVSP_INIT)
		return false;
	answer.init_complete.status = NVSP_STATUS_SUCCESS;
	(void)client_host_complete(3, &stranger, sizeof(stranger));
	(void)client_host_complete(transaction_id, &answer, sizeof(answer));
	(void)client_host_complete(4, &stranger, sizeof(stranger));
	return true;
}

static void test_mixed_completions(void **state)
{
	netvsp_host_start();
	netvsp_host.asked = mix_completions;
	assert_int_equal(netvsp_host_open(&net), 0);
	assert_int_equal(net.version, NVSP_VERSION_6_1);
	assert_int_equal(net.strays, 2);
}

static void test_other_packets(void **state)
{
	static const uint8_t bytes[1024] = { 0xff };
	static const uint16_t types[] = { 0,
					  RING_PACKET_INBAND,
					  RING_PACKET_GPADL,
					  RING_PACKET_GPA_DIRECT,
					  RING_PACKET_CANCEL,
					  UINT16_MAX };

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		const struct ring_packet packet = {
			.type = types[i],
			.extension = bytes,
			.extension_size = 64,
			.payload = bytes,
			.payload_size = (uint32_t)(i * 200),
		};

		assert_true(client_host_send(&packet));
		assert_int_equal(poll_client(), 0);
	}
	assert_int_equal(netvsp_host.frames, 0);
	client_host.to_guest.control->write_index = 3;
	assert_int_equal(poll_client(), NETVSC_CLIENT_E_RING);
}

/* What is given back finds no room, as nobody reads it. */
static void test_deaf_host(void **state)
{
	const struct ring_transfer_range range = { FRAME, 0 };
	int r = 0;

	client_host.signalled = NULL;
	for (unsigned i = 0; i < 10000 && !r; i++) {
		netvsp_host_transfer(NVSP_RECEIVE_BUFFER_ID, 1, &range, 1);
		r = netvsc_client_poll(&net);
	}
	assert_int_equal(r, NETVSC_CLIENT_E_TIMEOUT);
}

/* ---- The handshake ---- */

static struct nvsp_message lie; /* in answer to what has the type before */
static uint32_t lie_size;

static bool tell_lie(uint64_t transaction_id, const struct nvsp_message *message)
{
	if (message->type + 1 != lie.type)
		return false;
	if (lie_size)
		(void)client_host_complete(transaction_id, &lie, lie_size);
	return true;
}

static int open_with_lie(uint32_t size)
{
	lie_size = size;
	netvsp_host_start();
	netvsp_host.asked = tell_lie;
	return netvsp_host_open(&net);
}

static void test_lies_about_versions(void **state)
{
	lie = (struct nvsp_message){ .type = NVSP_INIT_COMPLETE };
	assert_int_equal(open_with_lie(0), NETVSC_CLIENT_E_TIMEOUT);
	assert_int_equal(open_with_lie(sizeof(lie)), NETVSC_CLIENT_E_REFUSED);
	assert_int_equal(net.version, 0);
	lie.init_complete.status = NVSP_STATUS_SUCCESS;
	/* Cut before the status. */
	assert_int_equal(open_with_lie(8), NETVSC_CLIENT_E_REFUSED);
	assert_int_equal(open_with_lie(sizeof(lie)), 0);
}

static bool answer_strangely(uint64_t transaction_id, const struct nvsp_message *message)
{
	const struct nvsp_message answer = { .type = UINT32_MAX };

	(void)client_host_complete(transaction_id, &answer, sizeof(answer));
	return true;
}

static void test_answers_of_other_types(void **state)
{
	netvsp_host_start();
	netvsp_host.asked = answer_strangely;
	assert_int_equal(netvsp_host_open(&net), NETVSC_CLIENT_E_PROTOCOL);
}

static void test_lies_about_the_receive_buffer(void **state)
{
	const struct nvsp_message good = {
		.type = NVSP_SEND_RECEIVE_BUFFER_COMPLETE,
		.receive_buffer_complete = { NVSP_STATUS_SUCCESS, 1, 0, 0, 0, 0 },
	};

	lie = good;
	lie.receive_buffer_complete.status = NVSP_STATUS_FAIL;
	assert_int_equal(open_with_lie(sizeof(lie)), NETVSC_CLIENT_E_REFUSED);
	lie = good;
	lie.receive_buffer_complete.section_count = 2;
	assert_int_equal(open_with_lie(sizeof(lie)), NETVSC_CLIENT_E_PROTOCOL);
	lie.receive_buffer_complete.section_count = 0;
	assert_int_equal(open_with_lie(sizeof(lie)), NETVSC_CLIENT_E_PROTOCOL);
	lie = good;
	lie.receive_buffer_complete.offset = UINT32_MAX;
	assert_int_equal(open_with_lie(sizeof(lie)), NETVSC_CLIENT_E_PROTOCOL);
	lie = good;
	assert_int_equal(open_with_lie(8), NETVSC_CLIENT_E_PROTOCOL);
}

static void test_lies_about_the_send_buffer(void **state)
{
	static const uint32_t sizes[] = { 0, 1, 43, NETVSP_HOST_BUFFER + 1, UINT32_MAX };
	static const uint8_t frame[FRAME] __attribute__((aligned(4096)));

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		lie = (struct nvsp_message){
			.type = NVSP_SEND_SEND_BUFFER_COMPLETE,
			.send_buffer_complete = { NVSP_STATUS_SUCCESS, sizes[i] },
		};
		assert_int_equal(open_with_lie(sizeof(lie)), NETVSC_CLIENT_E_PROTOCOL);
		assert_int_equal(net.free_count, 0);
	}
	assert_int_equal(open_with_lie(8), NETVSC_CLIENT_E_PROTOCOL);
	/* As small as it can be: a header, and no frame. */
	lie.send_buffer_complete.section_size = 44;
	(void)open_with_lie(sizeof(lie));
	assert_int_equal(netvsc_client_send(&net, frame, FRAME, NETVSC_CLIENT_BY_SECTION),
			 NETVSC_CLIENT_E_TOO_BIG);
	assert_int_equal(netvsc_client_send(&net, frame, FRAME, NETVSC_CLIENT_BY_BOTH), 0);
}

static struct nvsp_message sub_channel_answer;

static bool answer_sub_channel(uint64_t transaction_id, const struct nvsp_message *message)
{
	if (message->type != NVSP_SUB_CHANNEL)
		return false;
	(void)client_host_complete(transaction_id, &sub_channel_answer, sizeof(sub_channel_answer));
	return true;
}

static void test_lies_about_sub_channels(void **state)
{
	static const struct {
		uint32_t status, count;
		int expected;
	} rows[] = {
		{ NVSP_STATUS_FAIL, 1, NETVSC_CLIENT_E_REFUSED },
		{ NVSP_STATUS_SUCCESS, 2, NETVSC_CLIENT_E_PROTOCOL },
		{ NVSP_STATUS_SUCCESS, UINT32_MAX, NETVSC_CLIENT_E_PROTOCOL },
		{ NVSP_STATUS_SUCCESS, 1, NETVSC_CLIENT_E_BUS }, /* the offer never comes */
		{ NVSP_STATUS_SUCCESS, 0, 0 },
	};
	const struct client_channel_memory rings[NETVSC_CLIENT_CHANNELS_MAX] = { 0 };

	netvsp_host.asked = answer_sub_channel;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		sub_channel_answer = (struct nvsp_message){
			.type = NVSP_SUB_CHANNEL,
			.sub_channel_complete = { rows[i].status, rows[i].count },
		};
		assert_int_equal(netvsc_client_add_channels(&net, 1, rings), rows[i].expected);
		assert_int_equal(net.channel_count, 1);
	}
	sub_channel_answer.type = NVSP_INIT_COMPLETE;
	assert_int_equal(netvsc_client_add_channels(&net, 1, rings), NETVSC_CLIENT_E_PROTOCOL);
	assert_int_equal(netvsc_client_add_channels(&net, NETVSC_CLIENT_CHANNELS_MAX, rings),
			 NETVSC_CLIENT_E_TOO_BIG);
}

/* ---- RNDIS ---- */

static struct netvsp_host_rndis reply;
static uint32_t reply_size, reply_to; /* bytes; the type of the requests that have this reply */
static int id_off;
static unsigned replies;

static bool tell_reply(const struct netvsp_host_rndis *request)
{
	if (request->header.type != reply_to)
		return false;
	reply.body.query_complete.request_id = request->body.query.request_id + (uint32_t)id_off;
	for (unsigned i = 0; i < replies; i++)
		netvsp_host_tell(&reply, reply_size);
	return true;
}

static void prepare_reply(uint32_t type, uint32_t length)
{
	reply = (struct netvsp_host_rndis){ .header = { type | RNDIS_COMPLETE, length } };
	reply_size = length;
	reply_to = type;
	id_off = 0;
	replies = 1;
	netvsp_host.rndis_asked = tell_reply;
}

static int query(uint32_t *ret_value)
{
	uint32_t size = sizeof(*ret_value);
	int r;

	*ret_value = 0x12345678;
	r = netvsc_client_query(&net, OID_GEN_LINK_SPEED, ret_value, &size);
	assert_true(size <= sizeof(*ret_value));
	return r;
}

static void test_short_replies(void **state)
{
	uint32_t value;

	for (uint32_t length = sizeof(struct rndis_header) + 4;
	     length < sizeof(struct rndis_header) + sizeof(reply.body.query_complete); length++) {
		prepare_reply(RNDIS_QUERY, length);
		assert_int_equal(query(&value), NETVSC_CLIENT_E_PROTOCOL);
		assert_int_equal(value, 0x12345678);
	}
	for (uint32_t length = sizeof(struct rndis_header) + 4;
	     length < sizeof(struct rndis_header) + sizeof(reply.body.set_complete); length++) {
		prepare_reply(RNDIS_SET, length);
		assert_int_equal(netvsc_client_set(&net, OID_GEN_CURRENT_PACKET_FILTER, &value, 4),
				 NETVSC_CLIENT_E_PROTOCOL);
	}
	/* Without a whole id it is nobody's. */
	prepare_reply(RNDIS_QUERY, sizeof(struct rndis_header) + 3);
	assert_int_equal(query(&value), NETVSC_CLIENT_E_TIMEOUT);
}

static void test_short_initialisations(void **state)
{
	for (uint32_t length = sizeof(struct rndis_header) + 4;
	     length < sizeof(struct rndis_header) + sizeof(reply.body.initialize_complete);
	     length++) {
		netvsp_host_start();
		prepare_reply(RNDIS_INITIALIZE, length);
		assert_int_equal(netvsp_host_open(&net), NETVSC_CLIENT_E_PROTOCOL);
	}
	/* The state of the link is a whole number. */
	netvsp_host_start();
	prepare_reply(RNDIS_QUERY, sizeof(reply));
	reply.body.query_complete.length = 3;
	reply.body.query_complete.offset = sizeof(reply.body.query_complete);
	assert_int_equal(netvsp_host_open(&net), NETVSC_CLIENT_E_PROTOCOL);
	assert_false(net.link_up);
}

static void test_spoiled_values(void **state)
{
	static const struct {
		uint32_t offset, length;
	} rows[] = {
		{ 0, UINT32_MAX },
		{ UINT32_MAX, 1 },
		{ UINT32_MAX, UINT32_MAX },
		{ sizeof(union rndis_body), 1 },
		{ sizeof(union rndis_body) - 3, 4 },
		{ sizeof(union rndis_body) + 1, 0 },
		{ UINT32_MAX - 3, 4 },
	};
	uint32_t value;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		prepare_reply(RNDIS_QUERY, sizeof(reply));
		reply.body.query_complete.offset = rows[i].offset;
		reply.body.query_complete.length = rows[i].length;
		assert_int_equal(query(&value), NETVSC_CLIENT_E_PROTOCOL);
		assert_int_equal(value, 0x12345678);
	}
	/* More than was asked for is cut. */
	prepare_reply(RNDIS_QUERY, sizeof(reply));
	reply.body.query_complete.offset = sizeof(reply.body.query_complete);
	reply.body.query_complete.length = 20;
	assert_int_equal(query(&value), 0);
	assert_int_equal(value, 0);
}

static void test_strange_replies(void **state)
{
	uint64_t strays = net.strays;
	uint32_t value;

	/* To another request, the one before, none, or of another type. */
	for (id_off = -1; id_off <= 1; id_off += 2) {
		int off = id_off;

		prepare_reply(RNDIS_QUERY, sizeof(reply));
		id_off = off;
		assert_int_equal(query(&value), NETVSC_CLIENT_E_TIMEOUT);
		assert_int_equal(net.strays, ++strays);
	}
	prepare_reply(RNDIS_QUERY, sizeof(reply));
	reply.header.type = RNDIS_SET | RNDIS_COMPLETE;
	assert_int_equal(query(&value), NETVSC_CLIENT_E_PROTOCOL);
	prepare_reply(RNDIS_QUERY, sizeof(reply));
	reply.body.query_complete.status = RNDIS_STATUS_FAILURE;
	assert_int_equal(query(&value), NETVSC_CLIENT_E_REFUSED);
	assert_int_equal(net.status, RNDIS_STATUS_FAILURE);
	/* The first counts, and the rest are strays: also for the next request. */
	prepare_reply(RNDIS_QUERY, sizeof(reply));
	replies = 3;
	strays = net.strays;
	assert_int_equal(query(&value), 0);
	assert_int_equal(poll_client(), 0);
	assert_int_equal(net.strays, strays + 2);
	netvsp_host.rndis_asked = NULL;
	assert_int_equal(query(&value), 0);
	assert_int_equal(value, NDIS_MEDIA_CONNECTED);
}

static void test_big_reply(void **state)
{
	static uint8_t big[sizeof(net.reply) + 8];
	const struct rndis_header header = { RNDIS_QUERY | RNDIS_COMPLETE, sizeof(big) };
	const uint32_t id = net.request_id;

	memcpy(big, &header, sizeof(header));
	memcpy(big + sizeof(header), &id, sizeof(id));
	expect_stray(big, sizeof(big));
}

static void test_indications(void **state)
{
	struct netvsp_host_rndis message = {
		.header = { RNDIS_INDICATE_STATUS, sizeof(message) },
		.body.indicate_status.status = RNDIS_STATUS_MEDIA_DISCONNECT,
	};

	/* Of too few bytes to say which. */
	for (uint32_t length = sizeof(message.header); length < sizeof(message.header) + 4;
	     length++) {
		message.header.length = length;
		expect_stray(&message, sizeof(message));
	}
	assert_true(net.link_up);
	message.header.length = sizeof(message);
	message.body.indicate_status.length = UINT32_MAX;
	message.body.indicate_status.offset = UINT32_MAX;
	netvsp_host_tell(&message, sizeof(message));
	assert_int_equal(poll_client(), 0);
	assert_false(net.link_up);
	message.body.indicate_status.status = UINT32_MAX;
	netvsp_host_tell(&message, sizeof(message));
	assert_int_equal(poll_client(), 0);
	message.header.type = UINT32_MAX >> 1;
	expect_stray(&message, sizeof(message));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_good_frames, setup),
		cmocka_unit_test_setup(test_spoiled_frames, setup),
		cmocka_unit_test_setup(test_spoiled_offsets, setup),
		cmocka_unit_test_setup(test_spoiled_ranges, setup),
		cmocka_unit_test(test_spoiled_transfers),
		cmocka_unit_test_setup(test_spoiled_completions, setup),
		cmocka_unit_test(test_mixed_completions),
		cmocka_unit_test_setup(test_other_packets, setup),
		cmocka_unit_test_setup(test_deaf_host, setup),
		cmocka_unit_test(test_lies_about_versions),
		cmocka_unit_test(test_answers_of_other_types),
		cmocka_unit_test(test_lies_about_the_receive_buffer),
		cmocka_unit_test(test_lies_about_the_send_buffer),
		cmocka_unit_test_setup(test_lies_about_sub_channels, setup),
		cmocka_unit_test_setup(test_short_replies, setup),
		cmocka_unit_test(test_short_initialisations),
		cmocka_unit_test_setup(test_spoiled_values, setup),
		cmocka_unit_test_setup(test_strange_replies, setup),
		cmocka_unit_test_setup(test_big_reply, setup),
		cmocka_unit_test_setup(test_indications, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
