/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Dynamic memory: what is taken and given back, and guests that do not follow the protocol. */
#include "common/base/state.h"
#include "common/wire/dynamic_memory.h"
#include "tests/fake/fake.h"
#include "tests/unit/unit.h"
#include "vsp/memory/balloon.h"
#include "vsp/memory/page_set.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define RAM        (UINT64_C(512) << 20)
#define MIB_PAGES  256u
#define RAM_PAGES  (RAM / HV_PAGE_SIZE)
#define FIRST_FREE (UINT64_C(64) * MIB_PAGES) /* frames from here on the guest has free */

struct fixture {
	struct fake *fake;
	struct balloon *balloon;
	struct fake_channel channel;
	unsigned changes;
	uint64_t maximum; /* pages */
	struct balloon_options options;
};

static void on_changed(void *data)
{
	struct fixture *f = data;

	f->changes++;
}

static const struct balloon_callbacks callbacks = { .changed = on_changed };

static int setup_with(void **state, struct balloon_options options)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->fake = fake_new(1, RAM);
	f->options = options;
	f->maximum = MAX(options.size, options.maximum) / HV_PAGE_SIZE;
	assert_int_equal(balloon_new(f->fake->bus, &options, &callbacks, f, &f->balloon), 0);
	assert_true(fake_connect(f->fake, VMBUS_VERSION_5_3));
	assert_true(fake_request_offers(f->fake));
	*state = f;
	return 0;
}

static int setup(void **state)
{
	return setup_with(state, (struct balloon_options){ .size = RAM, .end = RAM });
}

/* The second half of the fake's RAM is room, of which the guest may have most. */
static int setup_room(void **state)
{
	const uint64_t half = RAM / 2, maximum = RAM - (UINT64_C(32) << 20);
	const struct balloon_options options = {
		.size = half, .end = half, .room = GPA(half), .room_size = half, .maximum = maximum
	};
	struct fixture *f;
	int r = setup_with(state, options);

	f = *state;
	f->fake->hole = GPA(half);
	f->fake->hole_size = half;
	return r;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	fake_stop(f->fake);
	balloon_free(f->balloon);
	fake_free(f->fake);
	free(f);
	return 0;
}

/* ---- The guest ---- */

static struct balloon_report report(const struct fixture *f)
{
	return balloon_report(f->balloon);
}

static void open_channel(struct fixture *f)
{
	const struct guid type = DM_TYPE;
	const struct vmbus_message_offer_channel *offer = fake_find_offer(f->fake, &type, NULL, 0);

	assert_non_null(offer);
	assert_int_equal(fake_open(f->fake, offer, 5, 5, 0, &f->channel), 0);
}

static void say(struct fixture *f, enum dm_type type, void *message, size_t size)
{
	struct dm_header header = { .type = (uint16_t)type, .size = (uint16_t)size };

	memcpy(message, &header, sizeof(header));
	assert_true(fake_send(&f->channel, RING_PACKET_INBAND, 0, 0, message, (uint32_t)size));
	fake_settle(f->fake);
}

static void receive(struct fixture *f, enum dm_type type, void *ret_message, size_t size)
{
	struct ring_packet packet;
	struct dm_header header;

	assert_true(fake_receive(&f->channel, &packet));
	assert_int_equal(packet.type, RING_PACKET_INBAND);
	assert_true(packet.payload_size >= sizeof(header));
	memcpy(&header, packet.payload, sizeof(header));
	assert_int_equal(header.type, type);
	assert_true(header.size <= packet.payload_size && header.size <= size);
	memcpy(ret_message, packet.payload, header.size);
}

static void assert_silent(struct fixture *f)
{
	struct ring_packet packet;

	fake_settle(f->fake);
	assert_false(fake_receive_now(&f->channel, &packet));
}

static bool negotiate_version(struct fixture *f, uint32_t version)
{
	struct dm_version_request request = { .version = version };
	struct dm_acceptance answer;

	say(f, DM_VERSION_REQUEST, &request, sizeof(request));
	receive(f, DM_VERSION_RESPONSE, &answer, sizeof(answer));
	return answer.flags == DM_ACCEPTED;
}

static void negotiate(struct fixture *f, uint64_t capabilities)
{
	struct dm_capabilities_report report = { .capabilities = capabilities,
						 .maximum_page = UINT64_MAX };
	struct dm_acceptance answer;
	struct dm_info info;

	open_channel(f);
	assert_true(negotiate_version(f, DM_VERSION_2_0));
	say(f, DM_CAPABILITIES_REPORT, &report, sizeof(report));
	receive(f, DM_CAPABILITIES_RESPONSE, &answer, sizeof(answer));
	assert_int_equal(answer.flags, DM_ACCEPTED);
	receive(f, DM_INFO, &info, sizeof(info));
	assert_int_equal(info.type, DM_INFO_MAXIMUM_PAGES);
	assert_int_equal(info.maximum_pages, f->maximum);
}

static void tell_needs(struct fixture *f, uint64_t available, uint64_t committed)
{
	struct dm_status_report status = { .available = available, .committed = committed };

	say(f, DM_STATUS_REPORT, &status, sizeof(status));
}

static uint32_t receive_balloon_request(struct fixture *f)
{
	struct dm_balloon_request request;

	receive(f, DM_BALLOON_REQUEST, &request, sizeof(request));
	assert_int_equal(request.pages % DM_BALLOON_PAGES, 0);
	return request.pages;
}

static void hand_over(struct fixture *f, const uint64_t *ranges, uint32_t count, bool more)
{
	struct {
		struct dm_balloon_response response;
		uint64_t ranges[DM_RANGES_MAX];
	} PACKED message = { .response.flags_and_count = count << 1 | more };

	for (uint32_t i = 0; i < count; i++)
		message.ranges[i] = ranges[i];
	say(f, DM_BALLOON_RESPONSE, &message, sizeof(message.response) + count * sizeof(*ranges));
}

/* Hands over what it is asked for, from `first` on, in one range. */
static uint32_t obey(struct fixture *f, uint64_t first)
{
	uint32_t pages = receive_balloon_request(f);

	hand_over(f, (uint64_t[]){ DM_RANGE(first, pages) }, 1, false);
	return pages;
}

struct unballooned {
	struct dm_unballoon_request request;
	uint64_t ranges[DM_RANGES_MAX];
} PACKED;

static void answer_unballoon(struct fixture *f)
{
	struct dm_header answer;

	say(f, DM_UNBALLOON_RESPONSE, &answer, sizeof(answer));
}

static void assert_refused(struct fixture *f)
{
	assert_int_equal(report(f).state, BALLOON_REFUSED);
	assert_silent(f);
}

/* ---- Negotiation ---- */

static void test_versions(void **state)
{
	static const uint32_t versions[] = { DM_VERSION_0_3, DM_VERSION_1_0, DM_VERSION_2_0 };
	struct fixture *f = *state;
	struct dm_capabilities_report capabilities = { .capabilities = DM_CAPABILITY_BALLOON };
	struct dm_acceptance answer;

	assert_int_equal(report(f).state, BALLOON_ABSENT);
	for (size_t i = 0; i < ARRAY_SIZE(versions); i++) {
		open_channel(f);
		assert_int_equal(report(f).state, BALLOON_NEGOTIATING);
		assert_false(negotiate_version(f, DM_VERSION(3, 0)));
		assert_true(negotiate_version(f, versions[i]));
		assert_true(fake_close(&f->channel));
	}
	/* The oldest knows no info message. */
	open_channel(f);
	assert_true(negotiate_version(f, DM_VERSION_0_3));
	say(f, DM_CAPABILITIES_REPORT, &capabilities, sizeof(capabilities));
	receive(f, DM_CAPABILITIES_RESPONSE, &answer, sizeof(answer));
	assert_silent(f);
	assert_int_equal(report(f).state, BALLOON_RESTING);
}

static void test_capabilities_without_version(void **state)
{
	struct fixture *f = *state;
	struct dm_capabilities_report capabilities = { .capabilities = DM_CAPABILITY_BALLOON };

	open_channel(f);
	assert_false(negotiate_version(f, DM_VERSION(0, 1)));
	say(f, DM_CAPABILITIES_REPORT, &capabilities, sizeof(capabilities));
	assert_refused(f);
	/* What it says from then on is not heard. */
	tell_needs(f, 1, 1);
	assert_false(report(f).reported);
}

static void test_early_report(void **state)
{
	struct fixture *f = *state;

	open_channel(f);
	tell_needs(f, 1000, 2000);
	assert_int_equal(report(f).state, BALLOON_NEGOTIATING);
	assert_true(negotiate_version(f, DM_VERSION_2_0));
	assert_true(report(f).reported);
}

/* ---- Needs ---- */

static void test_demand(void **state)
{
	struct fixture *f = *state;
	unsigned changes;

	negotiate(f, DM_CAPABILITY_BALLOON);
	assert_false(report(f).reported);
	changes = f->changes;
	tell_needs(f, RAM_PAGES - 100 * MIB_PAGES, 200 * MIB_PAGES);
	assert_true(f->changes > changes && report(f).reported);
	assert_int_equal(report(f).demand, UINT64_C(200) << 20);
	tell_needs(f, RAM_PAGES - 300 * MIB_PAGES, 200 * MIB_PAGES);
	assert_int_equal(report(f).demand, UINT64_C(300) << 20);
	/* What is in the balloon is committed, and no need. */
	balloon_set_target(f->balloon, RAM - (UINT64_C(64) << 20));
	assert_int_equal(obey(f, FIRST_FREE), 64 * MIB_PAGES);
	assert_int_equal(report(f).demand, UINT64_C(300) << 20); /* nothing has changed for it */
	tell_needs(f, 400 * MIB_PAGES, 264 * MIB_PAGES);
	assert_int_equal(report(f).demand, UINT64_C(200) << 20);
	/* Nonsense is bounded. */
	tell_needs(f, UINT64_MAX, UINT64_MAX);
	assert_true(report(f).demand <= UINT64_C(1) << 52);
	tell_needs(f, UINT64_MAX, 0);
	assert_int_equal(report(f).demand, 0);
}

/* ---- Taking and giving ---- */

static void test_take_and_give(void **state)
{
	struct fixture *f = *state;
	struct unballooned message;
	uint8_t *page;

	negotiate(f, DM_CAPABILITY_BALLOON);
	assert_silent(f);
	page = fake_memory(f->fake, GPA(FIRST_FREE * HV_PAGE_SIZE), HV_PAGE_SIZE);
	*page = 1;
	balloon_set_target(f->balloon, RAM - (UINT64_C(32) << 20));
	assert_int_equal(report(f).state, BALLOON_TAKING);
	assert_int_equal(obey(f, FIRST_FREE), 32 * MIB_PAGES);
	assert_int_equal(f->fake->discarded, UINT64_C(32) << 20);
	assert_int_equal(*page, 0);
	assert_int_equal(report(f).state, BALLOON_RESTING);
	assert_int_equal(report(f).assigned, report(f).target);
	assert_silent(f);

	balloon_set_target(f->balloon, RAM - (UINT64_C(12) << 20));
	assert_int_equal(report(f).state, BALLOON_GIVING);
	receive(f, DM_UNBALLOON_REQUEST, &message, sizeof(message));
	assert_int_equal(message.request.flags, 0);
	assert_int_equal(message.request.range_count, 1);
	assert_int_equal(message.ranges[0], DM_RANGE(FIRST_FREE, 20 * MIB_PAGES));
	assert_silent(f);
	answer_unballoon(f);
	assert_int_equal(report(f).state, BALLOON_RESTING);
	assert_int_equal(report(f).assigned, RAM - (UINT64_C(12) << 20));

	/* What was given back can be handed over again. */
	balloon_set_target(f->balloon, RAM - (UINT64_C(14) << 20));
	assert_int_equal(obey(f, FIRST_FREE), 2 * MIB_PAGES);
	assert_int_equal(report(f).state, BALLOON_RESTING);
}

/* A large step is made of several; the target may move meanwhile. */
static void test_steps(void **state)
{
	struct fixture *f = *state;
	struct unballooned message;
	uint64_t given = 0;

	negotiate(f, DM_CAPABILITY_BALLOON);
	balloon_set_target(f->balloon, RAM - (UINT64_C(300) << 20));
	assert_int_equal(obey(f, FIRST_FREE), BALLOON_STEP_PAGES);
	assert_int_equal(obey(f, FIRST_FREE + BALLOON_STEP_PAGES), BALLOON_STEP_PAGES);
	balloon_set_target(f->balloon, RAM);
	assert_int_equal(obey(f, FIRST_FREE + 2 * BALLOON_STEP_PAGES), 44 * MIB_PAGES);
	while (report(f).state == BALLOON_GIVING) {
		receive(f, DM_UNBALLOON_REQUEST, &message, sizeof(message));
		for (uint32_t i = 0; i < message.request.range_count; i++)
			given += DM_RANGE_COUNT(message.ranges[i]);
		if (!(message.request.flags & DM_MORE_PAGES))
			answer_unballoon(f);
	}
	assert_int_equal(given, 300 * MIB_PAGES);
	assert_int_equal(report(f).assigned, RAM);
}

/* Pages that are scattered: several responses, and messages that fill the ring. */
static void test_scattered(void **state)
{
	struct fixture *f = *state;
	struct unballooned message;
	uint64_t ranges[DM_RANGES_MAX], frame = FIRST_FREE, given = 0;
	uint32_t pages, left, messages = 0;

	negotiate(f, DM_CAPABILITY_BALLOON);
	balloon_set_target(f->balloon, RAM - (UINT64_C(16) << 20));
	pages = left = receive_balloon_request(f);
	while (left > 0) {
		uint32_t count = MIN(left, (uint32_t)DM_RANGES_MAX);

		for (uint32_t i = 0; i < count; i++, frame += 2)
			ranges[i] = DM_RANGE(frame, 1);
		left -= count;
		hand_over(f, ranges, count, left > 0);
	}
	assert_int_equal(report(f).state, BALLOON_RESTING);
	assert_int_equal(f->fake->discarded, (uint64_t)pages * HV_PAGE_SIZE);
	balloon_set_target(f->balloon, RAM);
	do {
		receive(f, DM_UNBALLOON_REQUEST, &message, sizeof(message));
		messages++;
		given += message.request.range_count;
		for (uint32_t i = 0; i < message.request.range_count; i++)
			assert_int_equal(DM_RANGE_COUNT(message.ranges[i]), 1);
	} while (message.request.flags & DM_MORE_PAGES);
	assert_int_equal(given, pages);
	assert_true(messages > 5);
	answer_unballoon(f);
	assert_int_equal(report(f).assigned, RAM);
}

/* It is asked again, but not at once. */
static void test_guest_without_spare_pages(void **state)
{
	struct fixture *f = *state;
	unsigned reports = 0;

	negotiate(f, DM_CAPABILITY_BALLOON);
	balloon_set_target(f->balloon, RAM - (UINT64_C(64) << 20));
	assert_int_equal(receive_balloon_request(f), 64 * MIB_PAGES);
	hand_over(f, (uint64_t[]){ DM_RANGE(FIRST_FREE, MIB_PAGES) }, 1, false);
	assert_silent(f);
	assert_int_equal(report(f).assigned, RAM - (UINT64_C(1) << 20));
	while (report(f).state == BALLOON_RESTING && reports++ < 100)
		tell_needs(f, 1, 1);
	assert_true(reports > 1);
	assert_int_equal(receive_balloon_request(f), 62 * MIB_PAGES);
	hand_over(f, NULL, 0, false);
	assert_silent(f);
	/* Another target is worth another try. */
	balloon_set_target(f->balloon, RAM - (UINT64_C(8) << 20));
	assert_int_equal(receive_balloon_request(f), 6 * MIB_PAGES);
}

static void test_guest_without_balloon(void **state)
{
	struct fixture *f = *state;

	negotiate(f, 0);
	balloon_set_target(f->balloon, RAM / 2);
	assert_silent(f);
	assert_int_equal(report(f).assigned, RAM);
	assert_int_equal(report(f).state, BALLOON_RESTING);
}

static void test_target_is_bounded(void **state)
{
	struct fixture *f = *state;

	negotiate(f, DM_CAPABILITY_BALLOON);
	balloon_set_target(f->balloon, UINT64_MAX);
	assert_int_equal(report(f).target, RAM);
	assert_silent(f);
}

/* What a driver has handed over, the next one knows nothing of. */
static void test_driver_is_loaded_anew(void **state)
{
	struct fixture *f = *state;

	negotiate(f, DM_CAPABILITY_BALLOON);
	balloon_set_target(f->balloon, RAM - (UINT64_C(32) << 20));
	obey(f, FIRST_FREE);
	assert_true(fake_close(&f->channel));
	assert_int_equal(report(f).state, BALLOON_ABSENT);
	assert_int_equal(report(f).assigned, RAM);
	negotiate(f, DM_CAPABILITY_BALLOON);
	assert_int_equal(obey(f, FIRST_FREE), 32 * MIB_PAGES);
	assert_int_equal(report(f).assigned, report(f).target);
}

static void test_host_keeps_pages(void **state)
{
	struct fixture *f = *state;

	negotiate(f, DM_CAPABILITY_BALLOON);
	f->fake->discard_error = -EOPNOTSUPP;
	balloon_set_target(f->balloon, RAM - (UINT64_C(2) << 20));
	obey(f, FIRST_FREE);
	assert_int_equal(report(f).failures, 1);
	assert_int_equal(report(f).assigned, report(f).target);
}

/* Neighbours go back at once. */
static void test_neighbours(void **state)
{
	struct fixture *f = *state;
	const uint64_t ranges[] = { DM_RANGE(FIRST_FREE, 512), DM_RANGE(FIRST_FREE + 512, 512),
				    DM_RANGE(FIRST_FREE + 2048, 512) };

	negotiate(f, DM_CAPABILITY_BALLOON);
	balloon_set_target(f->balloon, RAM - (UINT64_C(6) << 20));
	receive_balloon_request(f);
	hand_over(f, ranges, ARRAY_SIZE(ranges), false);
	assert_int_equal(f->fake->discards, 2);
	assert_int_equal(f->fake->discarded, UINT64_C(6) << 20);
}

/* A range across RAM that was added and what was added next; and one that is not all RAM. */
static void test_seam(void **state)
{
	struct fixture *f = *state;
	const uint64_t across = DM_RANGE(FIRST_FREE, 1024), beyond = DM_RANGE(4095, 2);

	f->fake->seam = GPA((FIRST_FREE + 512) * HV_PAGE_SIZE);
	negotiate(f, DM_CAPABILITY_BALLOON);
	balloon_set_target(f->balloon, RAM - (UINT64_C(4) << 20));
	receive_balloon_request(f);
	hand_over(f, &across, 1, false);
	assert_int_equal(report(f).state, BALLOON_RESTING);
	assert_int_equal(report(f).assigned, RAM - (UINT64_C(4) << 20));
	assert_int_equal(f->fake->discarded, UINT64_C(4) << 20);

	f->fake->seam = f->fake->hole = GPA(UINT64_C(4096) * HV_PAGE_SIZE);
	f->fake->hole_size = HV_PAGE_SIZE;
	balloon_set_target(f->balloon, RAM - (UINT64_C(8) << 20));
	receive_balloon_request(f);
	hand_over(f, &beyond, 1, false);
	assert_int_equal(report(f).state, BALLOON_REFUSED);
}

/* ---- Adding ---- */

#define HALF              (RAM / 2)
#define CAPABILITIES(n)   (DM_CAPABILITY_BALLOON | DM_CAPABILITY_HOT_ADD | (uint64_t)(n) << 2)
#define UNITS_OF_64_MIB   CAPABILITIES(6)
#define ANSWER(count, ok) ((struct dm_hot_add_response){ .pages = (count), .result = (ok) })

static uint64_t receive_hot_add(struct fixture *f)
{
	struct dm_hot_add_request request;

	receive(f, DM_HOT_ADD_REQUEST, &request, sizeof(request));
	assert_int_equal(report(f).state, BALLOON_ADDING);
	return request.range;
}

static void answer_hot_add(struct fixture *f, struct dm_hot_add_response answer)
{
	say(f, DM_HOT_ADD_RESPONSE, &answer, sizeof(answer));
}

static void add(struct fixture *f, uint64_t first_mib, uint32_t mib)
{
	assert_int_equal(receive_hot_add(f), DM_RANGE(first_mib * MIB_PAGES, mib * MIB_PAGES));
	answer_hot_add(f, ANSWER(mib * MIB_PAGES, 1));
}

/* In the guest's units, and what is too much goes into the balloon. */
static void test_add(void **state)
{
	struct fixture *f = *state;

	negotiate(f, UNITS_OF_64_MIB);
	assert_silent(f);
	balloon_set_target(f->balloon, HALF + (UINT64_C(100) << 20));
	add(f, 256, 128);
	assert_non_null(fake_memory(f->fake, GPA(HALF), 1));
	assert_int_equal(obey(f, FIRST_FREE), 28 * MIB_PAGES);
	assert_int_equal(report(f).state, BALLOON_RESTING);
	assert_int_equal(report(f).assigned, HALF + (UINT64_C(100) << 20));
	/* Pages that were added can be handed over as well. */
	balloon_set_target(f->balloon, HALF + (UINT64_C(90) << 20));
	assert_int_equal(obey(f, HALF / HV_PAGE_SIZE), 10 * MIB_PAGES);
	assert_int_equal(report(f).state, BALLOON_RESTING);
}

/* The balloon comes first; the maximum is not a multiple of the unit, and is not reached. */
static void test_add_to_the_maximum(void **state)
{
	struct fixture *f = *state;
	struct unballooned message;

	negotiate(f, UNITS_OF_64_MIB);
	balloon_set_target(f->balloon, HALF - (UINT64_C(64) << 20));
	obey(f, FIRST_FREE);
	balloon_set_target(f->balloon, UINT64_MAX);
	assert_int_equal(report(f).target, f->maximum * HV_PAGE_SIZE);
	receive(f, DM_UNBALLOON_REQUEST, &message, sizeof(message));
	answer_unballoon(f);
	add(f, 256, 128);
	add(f, 384, 64);
	assert_silent(f);
	assert_int_equal(report(f).assigned, HALF + (UINT64_C(192) << 20));
	assert_int_equal(report(f).target, report(f).assigned);
}

static void test_guest_that_does_not_grow(void **state)
{
	struct fixture *f = *state;

	negotiate(f, DM_CAPABILITY_BALLOON);
	balloon_set_target(f->balloon, RAM);
	assert_silent(f);
	assert_int_equal(report(f).target, HALF);
}

/* A unit that there is no room for. */
static void test_unit_too_large(void **state)
{
	struct fixture *f = *state;

	negotiate(f, CAPABILITIES(15));
	balloon_set_target(f->balloon, RAM);
	assert_silent(f);
	assert_int_equal(report(f).target, HALF);
}

static void test_host_without_memory_to_add(void **state)
{
	struct fixture *f = *state;

	f->fake->add_error = -ENOMEM;
	negotiate(f, UNITS_OF_64_MIB);
	balloon_set_target(f->balloon, RAM);
	assert_silent(f);
	assert_int_equal(report(f).failures, 1);
	assert_int_equal(report(f).assigned, HALF);
}

/* In part: it has reached its end. Not at all: it may take it later, or never. */
static void test_guest_takes_less(void **state)
{
	struct fixture *f = *state;
	unsigned reports = 0;

	negotiate(f, UNITS_OF_64_MIB);
	balloon_set_target(f->balloon, HALF + (UINT64_C(64) << 20));
	receive_hot_add(f);
	answer_hot_add(f, ANSWER(0, 0));
	assert_silent(f);
	assert_int_equal(report(f).state, BALLOON_RESTING);
	while (report(f).state == BALLOON_RESTING && reports++ < 100)
		tell_needs(f, 1, 1);
	assert_true(reports > 1);
	assert_int_equal(receive_hot_add(f), DM_RANGE(256 * MIB_PAGES, 64 * MIB_PAGES));
	answer_hot_add(f, ANSWER(10 * MIB_PAGES, 1));
	assert_silent(f);
	assert_int_equal(report(f).assigned, HALF + (UINT64_C(10) << 20));
	balloon_set_target(f->balloon, RAM);
	assert_silent(f);

	assert_true(fake_close(&f->channel));
	negotiate(f, UNITS_OF_64_MIB);
	receive_hot_add(f);
	answer_hot_add(f, ANSWER(0, 1));
	assert_silent(f);
	assert_int_equal(report(f).target, report(f).assigned);
}

/* What was added outlives the driver, but not the machine's reset. */
static void test_start_over(void **state)
{
	struct fixture *f = *state;

	negotiate(f, UNITS_OF_64_MIB);
	balloon_set_target(f->balloon, HALF + (UINT64_C(64) << 20));
	add(f, 256, 64);
	assert_true(fake_close(&f->channel));
	negotiate(f, UNITS_OF_64_MIB);
	assert_silent(f);
	assert_int_equal(report(f).assigned, report(f).target);
	assert_true(fake_close(&f->channel));
	balloon_start_over(f->balloon);
	assert_int_equal(report(f).assigned, HALF);
	negotiate(f, UNITS_OF_64_MIB);
	add(f, 256, 64);
	assert_silent(f);
}

static void test_hostile_additions(void **state)
{
	static const struct dm_hot_add_response answers[] = {
		{ .pages = UINT32_MAX, .result = 1 },
		{ .pages = 64 * MIB_PAGES + 1, .result = 1 },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
		negotiate(f, UNITS_OF_64_MIB);
		balloon_set_target(f->balloon, HALF + (UINT64_C(64) << 20));
		receive_hot_add(f);
		answer_hot_add(f, answers[i]);
		assert_refused(f);
		assert_true(fake_close(&f->channel));
		balloon_set_target(f->balloon, HALF);
	}
	negotiate(f, UNITS_OF_64_MIB);
	answer_hot_add(f, ANSWER(1, 1));
	assert_refused(f);
	assert_int_equal(report(f).assigned, HALF);
}

/* ---- Hostile guests ---- */

static void test_hostile_ranges(void **state)
{
	static const uint64_t ranges[][2] = {
		{ DM_RANGE(RAM_PAGES, 1) },                   /* beyond RAM */
		{ DM_RANGE(RAM_PAGES - 1, 2) },               /* over its end */
		{ DM_RANGE(DM_RANGE_FRAME_MAX, 1) },          /* at the end of all */
		{ DM_RANGE(FIRST_FREE, DM_RANGE_COUNT_MAX) }, /* more than was asked for */
		{ DM_RANGE(FIRST_FREE, 513) },                /* by one page */
		{ DM_RANGE(FIRST_FREE, 0) },                  /* nothing */
		{ DM_RANGE(FIRST_FREE, 2), DM_RANGE(FIRST_FREE + 1, 1) }, /* twice */
		{ DM_RANGE(4096, 1) },                                    /* a hole */
	};
	struct fixture *f = *state;

	f->fake->hole = GPA(UINT64_C(4096) * HV_PAGE_SIZE);
	f->fake->hole_size = HV_PAGE_SIZE;
	for (size_t i = 0; i < ARRAY_SIZE(ranges); i++) {
		negotiate(f, DM_CAPABILITY_BALLOON);
		balloon_set_target(f->balloon, RAM - (UINT64_C(2) << 20));
		receive_balloon_request(f);
		hand_over(f, ranges[i], ranges[i][1] ? 2 : 1, false);
		assert_refused(f);
		assert_true(fake_close(&f->channel));
		balloon_set_target(f->balloon, RAM);
	}
}

static void test_handed_over_twice(void **state)
{
	struct fixture *f = *state;

	negotiate(f, DM_CAPABILITY_BALLOON);
	balloon_set_target(f->balloon, RAM - (UINT64_C(2) << 20));
	obey(f, FIRST_FREE);
	balloon_set_target(f->balloon, RAM - (UINT64_C(4) << 20));
	obey(f, FIRST_FREE + 511);
	assert_refused(f);
	assert_int_equal(f->fake->discarded, UINT64_C(2) << 20);
}

static void test_unasked(void **state)
{
	struct fixture *f = *state;

	negotiate(f, DM_CAPABILITY_BALLOON);
	hand_over(f, (uint64_t[]){ DM_RANGE(FIRST_FREE, 1) }, 1, false);
	assert_refused(f);
	assert_int_equal(f->fake->discarded, 0);
	assert_true(fake_close(&f->channel));
	negotiate(f, DM_CAPABILITY_BALLOON);
	answer_unballoon(f);
	assert_refused(f);
	/* It is not spoken to any more, whatever it is meant to have. */
	balloon_set_target(f->balloon, RAM / 2);
	assert_silent(f);
}

static void test_wrong_sizes(void **state)
{
	static const enum dm_type types[] = {
		DM_HOT_ADD_RESPONSE,   DM_STATUS_REPORT, DM_BALLOON_RESPONSE,
		DM_UNBALLOON_RESPONSE, DM_ERROR,         DM_INFO,
		DM_VERSION_REQUEST,    (enum dm_type)77
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		for (uint32_t size = 0; size < 24; size += 4) {
			uint8_t message[64] = { (uint8_t)types[i], 0, (uint8_t)size };

			negotiate(f, DM_CAPABILITY_BALLOON);
			assert_true(fake_send(&f->channel, RING_PACKET_INBAND, 0, 0, message,
					      MAX(size, 8u)));
			fake_settle(f->fake);
			assert_int_equal(report(f).state, BALLOON_REFUSED);
			assert_true(fake_close(&f->channel));
		}
	}
}

/* More ranges than the message has, and a size beyond the packet's. */
static void test_count_beyond_message(void **state)
{
	struct fixture *f = *state;
	struct dm_balloon_response response = {
		.header = { .type = DM_BALLOON_RESPONSE, .size = sizeof(response) },
		.flags_and_count = UINT32_MAX,
	};

	for (unsigned i = 0; i < 2; i++) {
		negotiate(f, DM_CAPABILITY_BALLOON);
		balloon_set_target(f->balloon, RAM - (UINT64_C(2) << 20));
		receive_balloon_request(f);
		response.header.size = i ? UINT16_MAX : sizeof(response);
		assert_true(fake_send(&f->channel, RING_PACKET_INBAND, 0, 0, &response,
				      sizeof(response)));
		fake_settle(f->fake);
		assert_refused(f);
		assert_true(fake_close(&f->channel));
		balloon_set_target(f->balloon, RAM);
	}
}

/* The pages of its own ring: it stops itself. */
static void test_hands_over_its_ring(void **state)
{
	struct fixture *f = *state;

	negotiate(f, DM_CAPABILITY_BALLOON);
	balloon_set_target(f->balloon, RAM - (UINT64_C(2) << 20));
	receive_balloon_request(f);
	hand_over(f, (uint64_t[]){ DM_RANGE(f->channel.pfns[0], 1) }, 1, true);
	balloon_set_target(f->balloon, RAM);
	fake_settle(f->fake);
	assert_int_equal(f->fake->discarded, HV_PAGE_SIZE);
	/* The teardown in teardown() is the test: the host has not been harmed. */
}

/* It does not read: nothing is lost when it does at last. */
static void test_full_ring(void **state)
{
	struct fixture *f = *state;
	struct unballooned message;
	uint64_t ranges[DM_RANGES_MAX], frame = FIRST_FREE, given = 0;
	uint32_t left;

	negotiate(f, DM_CAPABILITY_BALLOON);
	balloon_set_target(f->balloon, RAM - (UINT64_C(64) << 20));
	left = receive_balloon_request(f);
	while (left > 0) {
		uint32_t count = MIN(left, (uint32_t)DM_RANGES_MAX);

		for (uint32_t i = 0; i < count; i++, frame += 2)
			ranges[i] = DM_RANGE(frame, 1);
		left -= count;
		hand_over(f, ranges, count, left > 0);
	}
	balloon_set_target(f->balloon, RAM);
	fake_settle(f->fake);
	balloon_set_target(f->balloon, RAM - (UINT64_C(2) << 20));
	balloon_set_target(f->balloon, RAM);
	do {
		receive(f, DM_UNBALLOON_REQUEST, &message, sizeof(message));
		given += message.request.range_count;
	} while (message.request.flags & DM_MORE_PAGES);
	assert_int_equal(given, 64 * MIB_PAGES);
}

/* ---- Sets of pages ---- */

static void test_page_set(void **state)
{
	struct page_set *set;
	uint64_t first, count;

	assert_int_equal(page_set_new(1000, &set), 0);
	assert_false(page_set_next(set, 0, UINT64_MAX, &first, &count));
	assert_true(page_set_add(set, 60, 10));
	assert_true(page_set_add(set, 999, 1));
	assert_false(page_set_add(set, 1000, 1));
	assert_false(page_set_add(set, 999, UINT64_MAX));
	assert_false(page_set_add(set, 50, 11));
	assert_int_equal(page_set_count(set), 11);
	assert_true(page_set_next(set, 0, 4, &first, &count));
	assert_int_equal(first, 60);
	assert_int_equal(count, 4);
	assert_true(page_set_next(set, 64, UINT64_MAX, &first, &count));
	assert_int_equal(first, 64);
	assert_int_equal(count, 6);
	page_set_remove(set, 60, 10);
	assert_true(page_set_next(set, 0, UINT64_MAX, &first, &count));
	assert_int_equal(first, 999);
	assert_int_equal(count, 1);
	assert_true(page_set_add(set, 0, 1));
	assert_true(page_set_next(set, 0, UINT64_MAX, &first, &count));
	assert_int_equal(first, 0);
	page_set_clear(set);
	assert_int_equal(page_set_count(set), 0);
	assert_true(page_set_add(set, 0, 1000));
	assert_true(page_set_next(set, 0, UINT64_MAX, &first, &count));
	assert_int_equal(count, 1000);
	page_set_free(set);
}

#define TEST(name)      cmocka_unit_test_setup_teardown(name, setup, teardown)
#define TEST_ROOM(name) cmocka_unit_test_setup_teardown(name, setup_room, teardown)

/* ---- State ---- */

static void nothing(void *data)
{
}

static void save(struct fixture *f, struct state_writer *writer)
{
	vmbus_quiesce(f->fake->bus, nothing, NULL);
	balloon_quiesce(f->balloon);
	fake_save_bus(f->fake, writer);
	balloon_save(f->balloon, "balloon", writer);
	assert_int_equal(state_writer_error(writer), 0);
}

static void restore(struct fixture *f, const struct state_writer *writer)
{
	struct state_reader reader;

	fake_leave(f->fake);
	balloon_free(f->balloon);
	fake_arrive(f->fake);
	assert_int_equal(balloon_new(f->fake->bus, &f->options, &callbacks, f, &f->balloon), 0);
	assert_int_equal(fake_restore_bus(f->fake, writer, &reader), 0);
	assert_int_equal(balloon_restore(f->balloon, "balloon", &reader), 0);
}

static void go_on(struct fixture *f)
{
	fake_go_on(f->fake);
	balloon_resume(f->balloon);
}

static void move(struct fixture *f)
{
	struct balloon_report before = report(f), after;
	struct state_writer first, second;

	save(f, &first);
	restore(f, &first);
	save(f, &second);
	assert_int_equal(second.size, first.size);
	assert_memory_equal(second.bytes, first.bytes, first.size);
	state_writer_deinit(&first);
	state_writer_deinit(&second);
	after = report(f);
	assert_int_equal(after.state, before.state);
	assert_int_equal(after.assigned, before.assigned);
	assert_int_equal(after.target, before.target);
	assert_int_equal(after.demand, before.demand);
	go_on(f);
}

/* In the middle of taking, of giving, and with the negotiation half done. */
static void test_moves(void **state)
{
	struct dm_capabilities_report capabilities = { .capabilities = DM_CAPABILITY_BALLOON };
	struct fixture *f = *state;
	struct unballooned message;
	struct dm_acceptance answer;
	uint32_t pages;

	move(f);
	open_channel(f);
	assert_true(negotiate_version(f, DM_VERSION_2_0));
	move(f);
	say(f, DM_CAPABILITIES_REPORT, &capabilities, sizeof(capabilities));
	receive(f, DM_CAPABILITIES_RESPONSE, &answer, sizeof(answer));
	receive(f, DM_INFO, &message, sizeof(message));
	tell_needs(f, 1000, 2000);
	balloon_set_target(f->balloon, RAM - (UINT64_C(32) << 20));
	pages = receive_balloon_request(f);
	hand_over(f, (uint64_t[]){ DM_RANGE(FIRST_FREE, 100) }, 1, true);
	move(f);
	hand_over(f, (uint64_t[]){ DM_RANGE(FIRST_FREE + 200, pages - 100) }, 1, false);
	assert_int_equal(report(f).assigned, RAM - (UINT64_C(32) << 20));
	move(f);
	assert_silent(f);
	/* All that was taken, before and after, is given back. */
	balloon_set_target(f->balloon, RAM);
	move(f);
	receive(f, DM_UNBALLOON_REQUEST, &message, sizeof(message));
	assert_int_equal(message.request.range_count, 2);
	assert_int_equal(message.ranges[0], DM_RANGE(FIRST_FREE, 100));
	assert_int_equal(message.ranges[1], DM_RANGE(FIRST_FREE + 200, pages - 100));
	answer_unballoon(f);
	assert_int_equal(report(f).state, BALLOON_RESTING);
}

static void test_a_target_while_quiet(void **state)
{
	struct fixture *f = *state;

	negotiate(f, DM_CAPABILITY_BALLOON);
	balloon_quiesce(f->balloon);
	balloon_set_target(f->balloon, RAM - (UINT64_C(32) << 20));
	assert_silent(f);
	balloon_resume(f->balloon);
	assert_int_equal(obey(f, FIRST_FREE), 32 * MIB_PAGES);
}

static void take_room_away(struct fixture *f)
{
	f->fake->hole = f->options.room;
	f->fake->hole_size = f->options.room_size;
}

/* What was added is RAM for the one that goes on, which was made without. */
static void test_added_memory_moves(void **state)
{
	struct dm_hot_add_response response = { .result = 1 };
	struct fixture *f = *state;
	struct dm_hot_add_request request;
	uint64_t half = RAM / 2, more = half + (UINT64_C(64) << 20);

	negotiate(f, DM_CAPABILITY_BALLOON | DM_CAPABILITY_HOT_ADD);
	balloon_set_target(f->balloon, more);
	receive(f, DM_HOT_ADD_REQUEST, &request, sizeof(request));
	take_room_away(f);
	move(f);
	assert_int_equal(f->fake->hole.value, more);
	response.pages = (uint32_t)DM_RANGE_COUNT(request.range);
	say(f, DM_HOT_ADD_RESPONSE, &response, sizeof(response));
	assert_int_equal(report(f).assigned, more);
	take_room_away(f);
	move(f);
	assert_int_equal(f->fake->hole.value, more);
	balloon_set_target(f->balloon, half);
	obey(f, half / HV_PAGE_SIZE);
	assert_int_equal(report(f).assigned, half);
}

/* Each byte changed: it is refused, or the balloon goes on with it. */
static void test_any_record_is_survived(void **state)
{
	struct fixture *f = *state;
	struct state_writer writer;
	struct state_reader reader;
	unsigned refused = 0;

	negotiate(f, DM_CAPABILITY_BALLOON);
	balloon_set_target(f->balloon, RAM - (UINT64_C(32) << 20));
	obey(f, FIRST_FREE);
	balloon_set_target(f->balloon, RAM);
	save(f, &writer);
	restore(f, &writer);
	for (size_t at = 0; at < writer.size; at++) {
		writer.bytes[at] ^= 0x81;
		if (state_reader_init(&reader, writer.bytes, writer.size) == 0 &&
		    balloon_restore(f->balloon, "balloon", &reader) == 0) {
			balloon_resume(f->balloon);
			balloon_set_target(f->balloon, RAM / 2);
		} else {
			refused++;
		}
		writer.bytes[at] ^= 0x81;
	}
	assert_true(refused > 32);
	restore(f, &writer);
	go_on(f);
	state_writer_deinit(&writer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_versions),
		TEST(test_moves),
		TEST(test_a_target_while_quiet),
		TEST_ROOM(test_added_memory_moves),
		TEST(test_any_record_is_survived),
		TEST(test_capabilities_without_version),
		TEST(test_early_report),
		TEST(test_demand),
		TEST(test_take_and_give),
		TEST(test_steps),
		TEST(test_scattered),
		TEST(test_guest_without_spare_pages),
		TEST(test_guest_without_balloon),
		TEST(test_target_is_bounded),
		TEST(test_driver_is_loaded_anew),
		TEST(test_host_keeps_pages),
		TEST(test_neighbours),
		TEST(test_seam),
		TEST(test_hostile_ranges),
		TEST(test_handed_over_twice),
		TEST(test_unasked),
		TEST(test_wrong_sizes),
		TEST(test_count_beyond_message),
		TEST(test_hands_over_its_ring),
		TEST(test_full_ring),
		TEST_ROOM(test_add),
		TEST_ROOM(test_add_to_the_maximum),
		TEST_ROOM(test_guest_that_does_not_grow),
		TEST_ROOM(test_unit_too_large),
		TEST_ROOM(test_host_without_memory_to_add),
		TEST_ROOM(test_guest_takes_less),
		TEST_ROOM(test_start_over),
		TEST_ROOM(test_hostile_additions),
		cmocka_unit_test(test_page_set),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
