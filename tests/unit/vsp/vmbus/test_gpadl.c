/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* GPA descriptor lists: what makes one, what the host refuses, and that it forgets them. */
#include "tests/fake/echo.h"
#include "tests/fake/fake.h"
#include "tests/unit/unit.h"
#include "vsp/vmbus/gpadl.h"

#include <string.h>

/* ---- The table ---- */

static struct gpadl_table table;

static int setup_table(void **state)
{
	gpadl_table_init(&table);
	return 0;
}

static int teardown_table(void **state)
{
	gpadl_table_clear(&table);
	assert_int_equal(table.count, 0);
	assert_int_equal(table.word_count, 0);
	return 0;
}

/* A range as the wire has it, for a word of a list. */
static uint64_t range_word(uint32_t byte_count, uint32_t byte_offset)
{
	return (uint64_t)byte_offset << 32 | byte_count;
}

static int begin(uint32_t id, uint32_t range_count, const uint64_t *words, uint32_t word_count)
{
	struct gpadl *gpadl;

	return gpadl_begin(&table, id, 1, word_count * 8, range_count, words, word_count * 8,
			   &gpadl);
}

static void test_one_range(void **state)
{
	const uint64_t words[] = { range_word(2 * 4096, 0), 7, 5 };
	const uint64_t *pfns;

	assert_int_equal(begin(1, 1, words, 3), 0);
	assert_int_equal(gpadl_pages(gpadl_find(&table, 1), &pfns), 2);
	assert_int_equal(pfns[0], 7);
	assert_int_equal(pfns[1], 5);
	assert_null(gpadl_find(&table, 1 + GPADL_BUCKETS));
}

static void test_several_ranges(void **state)
{
	const uint64_t words[] = { range_word(1, 4095), 7, range_word(2, 4095), 8, 9 };
	const uint64_t *pfns;

	assert_int_equal(begin(1, 2, words, 5), 0);
	/* It is one, but rings cannot lie in it. */
	assert_int_equal(gpadl_pages(gpadl_find(&table, 1), &pfns), 0);
}

static void test_not_for_rings(void **state)
{
	const uint64_t offset[] = { range_word(4096, 8), 7, 5 };
	const uint64_t part[] = { range_word(4097, 0), 7, 5 };
	const uint64_t *pfns;

	assert_int_equal(begin(1, 1, offset, 3), 0);
	assert_int_equal(gpadl_pages(gpadl_find(&table, 1), &pfns), 0);
	assert_int_equal(begin(2, 1, part, 3), 0);
	assert_int_equal(gpadl_pages(gpadl_find(&table, 2), &pfns), 0);
}

static void test_malformed(void **state)
{
	static const struct {
		uint32_t range_count, word_count;
		uint64_t words[4];
	} rows[] = {
		{ 0, 2, { 4096, 7 } },                     /* no range */
		{ 1, 1, { 4096 } },                        /* no page */
		{ 1, 2, { 0, 7 } },                        /* of nothing */
		{ 1, 2, { 4097, 7 } },                     /* too few pages */
		{ 1, 3, { 4096, 7, 8 } },                  /* too many */
		{ 1, 2, { (uint64_t)4096 << 32 | 1, 7 } }, /* offset beyond the page */
		{ 1, 2, { UINT64_MAX, 7 } },
		{ 1, 2, { UINT32_MAX, 7 } },
		{ 2, 3, { 4096, 7, 4096 } },     /* second without a page */
		{ 2, 4, { 4096, 7, 8192, 8 } },  /* second with too few */
		{ 2, 4, { 3 * 4096, 7, 8, 9 } }, /* second not there */
		{ UINT16_MAX, 4, { 4096, 7, 4096, 8 } },
	};

	for (uint32_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_int_equal(begin(i, rows[i].range_count, rows[i].words, rows[i].word_count),
				 GPADL_E_INVALID);
		assert_null(gpadl_find(&table, i));
	}
}

static void test_size_is_of_whole_words(void **state)
{
	const uint64_t words[] = { range_word(4096, 0), 7 };
	struct gpadl *gpadl;

	for (uint32_t size = 0; size < 16; size++)
		assert_int_equal(gpadl_begin(&table, 1, 1, size, 1, words, sizeof(words), &gpadl),
				 GPADL_E_INVALID);
}

static void test_in_pieces(void **state)
{
	uint64_t words[1 + 100] = { range_word(100 * 4096, 0) };
	struct gpadl *gpadl;
	const uint64_t *pfns;

	for (unsigned i = 0; i < 100; i++)
		words[1 + i] = 1000 + i;
	/* Not even the first range's own word; an odd number of bytes; nothing. */
	assert_int_equal(gpadl_begin(&table, 1, 1, sizeof(words), 1, words, 0, &gpadl),
			 GPADL_E_INCOMPLETE);
	assert_int_equal(gpadl_pages(gpadl, &pfns), 0);
	assert_int_equal(gpadl_extend(&table, gpadl, words, 15), GPADL_E_INCOMPLETE);
	assert_int_equal(gpadl_extend(&table, gpadl, words, 0), GPADL_E_INCOMPLETE);
	assert_int_equal(gpadl_extend(&table, gpadl, words + 1, 99 * 8), GPADL_E_INCOMPLETE);
	/* What goes beyond the list is not taken. */
	assert_int_equal(gpadl_extend(&table, gpadl, words + 100, 8), 0);
	assert_int_equal(gpadl_pages(gpadl, &pfns), 100);
	assert_int_equal(pfns[99], 1099);
}

static void test_limits(void **state)
{
	const uint64_t words[] = { range_word(4096, 0), 7 };
	struct gpadl *gpadl;
	uint32_t id = 0;

	while (id < GPADL_MAX)
		assert_int_equal(begin(id++, 1, words, 2), 0);
	assert_int_equal(begin(id, 1, words, 2), GPADL_E_LIMIT);
	gpadl_free(&table, gpadl_find(&table, 17));
	assert_int_equal(begin(id, 1, words, 2), 0);
	gpadl_table_clear(&table);

	/* 65528 bytes are what a header can ask for. */
	for (id = 0; (id + 1) * 8191 <= GPADL_PAGE_MAX; id++)
		assert_int_equal(gpadl_begin(&table, id, 1, 65528, 1, words, 8, &gpadl),
				 GPADL_E_INCOMPLETE);
	assert_int_equal(gpadl_begin(&table, id, 1, 65528, 1, words, 8, &gpadl), GPADL_E_LIMIT);
}

/* ---- Over the bus ---- */

struct fixture {
	struct fake *fake;
	struct echo echo, other;
	uint32_t relid;
	struct fake_channel channel;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->fake = fake_new(1, 16 << 20);
	echo_offer(&f->echo, f->fake->bus, 1, 0);
	echo_offer(&f->other, f->fake->bus, 2, 0);
	assert_true(fake_connect(f->fake, VMBUS_VERSION_5_3));
	assert_true(fake_request_offers(f->fake));
	f->relid = fake_find_offer(f->fake, &echo_type, NULL, 0)->relid;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	fake_stop(f->fake);
	vmbus_channel_free(f->echo.channel);
	vmbus_channel_free(f->other.channel);
	fake_free(f->fake);
	free(f);
	return 0;
}

static void test_create_and_tear_down(void **state)
{
	struct fixture *f = *state;
	uint64_t pfns[1000];
	uint32_t gpadl;

	fake_alloc(f->fake, ARRAY_SIZE(pfns), pfns);
	for (uint32_t pages = 1; pages <= ARRAY_SIZE(pfns); pages += 37) {
		assert_int_equal(fake_gpadl_create(f->fake, f->relid, pfns, pages, 0, &gpadl), 0);
		assert_true(fake_gpadl_teardown(f->fake, f->relid, gpadl));
	}
}

struct header_message {
	struct vmbus_message_gpadl_header header;
	uint64_t words[26];
} PACKED;

struct body_message {
	struct vmbus_message_gpadl_body header;
	uint64_t words[28];
} PACKED;

static void post_header(struct fixture *f, uint32_t relid, uint32_t id, uint32_t words,
			const uint64_t *ranges, uint32_t sent)
{
	struct header_message message = {
		.header.header.type = VMBUS_MESSAGE_GPADL_HEADER,
		.header.relid = relid,
		.header.gpadl = id,
		.header.range_size = (uint16_t)(words * 8),
		.header.range_count = 1,
	};

	memcpy((uint8_t *)&message + sizeof(message.header), ranges, sent * 8);
	fake_post(f->fake, &message, sizeof(message.header) + sent * 8);
}

static void post_body(struct fixture *f, uint32_t id, const uint64_t *ranges, uint32_t sent)
{
	struct body_message message = {
		.header.header.type = VMBUS_MESSAGE_GPADL_BODY,
		.header.gpadl = id,
	};

	memcpy((uint8_t *)&message + sizeof(message.header), ranges, sent * 8);
	fake_post(f->fake, &message, sizeof(message.header) + sent * 8);
}

static uint32_t await_created(struct fixture *f, uint32_t id)
{
	struct vmbus_message_gpadl_created reply;

	assert_true(fake_await(f->fake, VMBUS_MESSAGE_GPADL_CREATED, &reply, sizeof(reply)));
	assert_int_equal(reply.gpadl, id);
	assert_int_equal(reply.relid, f->relid);
	return reply.status;
}

/* Drivers probe in parallel: bodies of several lists come mixed. */
static void test_interleaved(void **state)
{
	struct fixture *f = *state;
	uint64_t words[1 + 60] = { range_word(60 * 4096, 0) };

	for (unsigned i = 1; i < ARRAY_SIZE(words); i++)
		words[i] = i;
	for (uint32_t id = 0; id < 3; id++)
		post_header(f, f->relid, id, ARRAY_SIZE(words), words, 26);
	for (uint32_t id = 0; id < 3; id++)
		post_body(f, id, words + 26, 28);
	fake_settle(f->fake);
	assert_false(fake_has_message(f->fake, VMBUS_MESSAGE_GPADL_CREATED));
	for (uint32_t id = 3; id-- > 0;) {
		post_body(f, id, words + 54, 7);
		assert_int_equal(await_created(f, id), 0);
	}
	/* A body too many. */
	post_body(f, 1, words, 7);
	fake_settle(f->fake);
	assert_int_equal(f->fake->inbox_count, 0);
}

static void test_refused(void **state)
{
	struct fixture *f = *state;
	uint64_t words[] = { range_word(4096, 0), 1 };
	struct vmbus_message_gpadl_created reply;

	post_header(f, f->relid, 1, 2, words, 2);
	assert_int_equal(await_created(f, 1), 0);
	/* The same id again; the first stays. */
	post_header(f, f->relid, 1, 2, words, 2);
	assert_int_equal(await_created(f, 1), VMBUS_STATUS_INVALID_PARAMETER);
	assert_true(fake_gpadl_teardown(f->fake, f->relid, 1));
	/* Nonsense. */
	words[0] = 0;
	post_header(f, f->relid, 2, 2, words, 2);
	assert_int_equal(await_created(f, 2), VMBUS_STATUS_INVALID_PARAMETER);
	/* A channel that does not exist. */
	for (uint32_t relid = 0; relid < UINT32_MAX / 2; relid = relid * 3 + 77) {
		post_header(f, relid, 3, 2, words, 2);
		assert_true(
			fake_await(f->fake, VMBUS_MESSAGE_GPADL_CREATED, &reply, sizeof(reply)));
		assert_int_equal(reply.relid, relid);
		assert_int_equal(reply.status, VMBUS_STATUS_INVALID_PARAMETER);
	}
	/* Bodies and teardowns of nothing, and a teardown by another channel. */
	post_body(f, 4, words, 2);
	words[0] = range_word(4096, 0);
	post_header(f, f->relid, 5, 2, words, 2);
	assert_int_equal(await_created(f, 5), 0);
	fake_post(f->fake,
		  &(struct vmbus_message_gpadl_teardown){
			  .header.type = VMBUS_MESSAGE_GPADL_TEARDOWN, .relid = 2, .gpadl = 5 },
		  sizeof(struct vmbus_message_gpadl_teardown));
	fake_settle(f->fake);
	assert_int_equal(f->fake->inbox_count, 0);
}

static void test_limit_over_the_bus(void **state)
{
	struct fixture *f = *state;
	uint64_t words[] = { range_word(4096, 0), 1 };

	for (uint32_t id = 0; id < GPADL_MAX; id++) {
		post_header(f, f->relid, id, 2, words, 2);
		assert_int_equal(await_created(f, id), 0);
	}
	post_header(f, f->relid, GPADL_MAX, 2, words, 2);
	assert_int_equal(await_created(f, GPADL_MAX), VMBUS_STATUS_INSUFFICIENT_RESOURCES);
	assert_true(fake_gpadl_teardown(f->fake, f->relid, 99));
	post_header(f, f->relid, GPADL_MAX, 2, words, 2);
	assert_int_equal(await_created(f, GPADL_MAX), 0);
	/* The next guest starts with none. */
	assert_true(fake_connect(f->fake, VMBUS_VERSION_5_3));
	assert_true(fake_request_offers(f->fake));
	post_header(f, f->relid, 1, 2, words, 2);
	assert_int_equal(await_created(f, 1), 0);
}

/* The relid is given back with its lists; torn down or not, complete or not. */
static void test_released_with_relid(void **state)
{
	struct fixture *f = *state;
	uint64_t words[] = { range_word(4096, 0), 1 };
	struct vmbus_message_relid release = {
		.header.type = VMBUS_MESSAGE_RELID_RELEASED,
		.relid = f->relid,
	};

	for (uint32_t id = 0; id < GPADL_MAX; id++) {
		post_header(f, f->relid, id, 2, words, id % 2 ? 1 : 2);
		if (id % 2 == 0)
			assert_int_equal(await_created(f, id), 0);
	}
	fake_post(f->fake, &release, sizeof(release));
	f->relid = 2;
	post_header(f, f->relid, 0, 2, words, 2);
	assert_int_equal(await_created(f, 0), 0);
}

static uint32_t open_with(struct fixture *f, const uint64_t *pfns, uint32_t pages,
			  uint32_t byte_count)
{
	f->channel = (struct fake_channel){ .fake = f->fake, .relid = f->relid };
	assert_int_equal(
		fake_gpadl_create(f->fake, f->relid, pfns, pages, byte_count, &f->channel.gpadl),
		0);
	return fake_open_rings(&f->channel, 2, NULL);
}

static void test_opening_with_bad_lists(void **state)
{
	struct fixture *f = *state;
	uint64_t pfns[4];

	fake_alloc(f->fake, 4, pfns);
	assert_int_equal(open_with(f, pfns, 4, 4 * 4096 - 1), VMBUS_STATUS_INVALID_PARAMETER);
	assert_int_equal(open_with(f, pfns, 3, 0), VMBUS_STATUS_INVALID_PARAMETER);
	/* Pages that are no RAM. */
	pfns[2] = f->fake->ram_size / HV_PAGE_SIZE;
	assert_int_equal(open_with(f, pfns, 4, 0), VMBUS_STATUS_INVALID_PARAMETER);
	pfns[2] = UINT64_MAX;
	assert_int_equal(open_with(f, pfns, 4, 0), VMBUS_STATUS_INVALID_PARAMETER);
	/* A list of another channel, one that is being torn down, and none. */
	pfns[2] = pfns[3] + 1;
	f->relid = 2;
	assert_int_equal(open_with(f, pfns, 4, 0), 0);
	f->channel.relid = 1;
	assert_int_equal(fake_open_rings(&f->channel, 2, NULL), VMBUS_STATUS_INVALID_PARAMETER);
	f->channel.gpadl = 12345;
	assert_int_equal(fake_open_rings(&f->channel, 2, NULL), VMBUS_STATUS_INVALID_PARAMETER);
}

/* A list that an open channel uses stays until it is closed. */
static void test_teardown_before_close(void **state)
{
	struct fixture *f = *state;
	const struct vmbus_message_offer_channel *offer =
		fake_find_offer(f->fake, &echo_type, NULL, 0);
	struct vmbus_message_gpadl_teardown message = {
		.header.type = VMBUS_MESSAGE_GPADL_TEARDOWN,
	};
	struct vmbus_message_relid close = { .header.type = VMBUS_MESSAGE_CLOSE_CHANNEL };
	struct vmbus_message_gpadl_torndown reply;
	struct ring_packet packet;

	assert_int_equal(fake_open(f->fake, offer, 4, 4, 0, &f->channel), 0);
	message.relid = close.relid = f->channel.relid;
	message.gpadl = f->channel.gpadl;
	/* Asked for often, answered once. */
	for (unsigned i = 0; i < 10000; i++)
		fake_post(f->fake, &message, sizeof(message));
	fake_settle(f->fake);
	assert_false(fake_has_message(f->fake, VMBUS_MESSAGE_GPADL_TORNDOWN));
	assert_true(fake_send(&f->channel, RING_PACKET_INBAND, RING_FLAG_COMPLETION_REQUESTED, 1,
			      "still", 5));
	assert_true(fake_receive(&f->channel, &packet));
	fake_post(f->fake, &close, sizeof(close));
	assert_true(fake_await(f->fake, VMBUS_MESSAGE_GPADL_TORNDOWN, &reply, sizeof(reply)));
	fake_settle(f->fake);
	assert_false(fake_has_message(f->fake, VMBUS_MESSAGE_GPADL_TORNDOWN));
	/* None of it took a place in the outbox for good. */
	f->fake->hold_slots = true;
	for (unsigned i = 0; i < 10; i++)
		fake_post(f->fake,
			  &(struct vmbus_message_open_channel){
				  .header.type = VMBUS_MESSAGE_OPEN_CHANNEL, .relid = 99 },
			  sizeof(struct vmbus_message_open_channel));
	f->fake->hold_slots = false;
	fake_settle(f->fake);
	assert_int_equal(f->fake->inbox_count, 10);
}

/* Who has left is told only that. */
static void test_unload_before_teardown(void **state)
{
	struct fixture *f = *state;
	const struct vmbus_message_offer_channel *offer =
		fake_find_offer(f->fake, &echo_type, NULL, 0);
	struct vmbus_message_gpadl_teardown message = {
		.header.type = VMBUS_MESSAGE_GPADL_TEARDOWN,
	};
	struct vmbus_message_header unload = { .type = VMBUS_MESSAGE_UNLOAD }, reply;

	assert_int_equal(fake_open(f->fake, offer, 4, 4, 0, &f->channel), 0);
	f->echo.hold_close = true;
	message.relid = f->channel.relid;
	message.gpadl = f->channel.gpadl;
	fake_post(f->fake, &message, sizeof(message));
	fake_post(f->fake, &unload, sizeof(unload));
	vmbus_channel_closed(f->echo.channel);
	assert_true(fake_await(f->fake, VMBUS_MESSAGE_UNLOAD_RESPONSE, &reply, sizeof(reply)));
	assert_int_equal(f->fake->inbox_count, 0);
	f->echo.hold_close = false;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_one_range, setup_table, teardown_table),
		cmocka_unit_test_setup_teardown(test_several_ranges, setup_table, teardown_table),
		cmocka_unit_test_setup_teardown(test_not_for_rings, setup_table, teardown_table),
		cmocka_unit_test_setup_teardown(test_malformed, setup_table, teardown_table),
		cmocka_unit_test_setup_teardown(test_size_is_of_whole_words, setup_table,
						teardown_table),
		cmocka_unit_test_setup_teardown(test_in_pieces, setup_table, teardown_table),
		cmocka_unit_test_setup_teardown(test_limits, setup_table, teardown_table),
		cmocka_unit_test_setup_teardown(test_create_and_tear_down, setup, teardown),
		cmocka_unit_test_setup_teardown(test_interleaved, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_limit_over_the_bus, setup, teardown),
		cmocka_unit_test_setup_teardown(test_released_with_relid, setup, teardown),
		cmocka_unit_test_setup_teardown(test_opening_with_bad_lists, setup, teardown),
		cmocka_unit_test_setup_teardown(test_teardown_before_close, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unload_before_teardown, setup, teardown),
	};

	return cmocka_run_group_tests_name("gpadl", tests, NULL, NULL);
}
