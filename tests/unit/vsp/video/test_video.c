/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Synthetic video, and a guest's driver that keeps to the protocol or does not. */
#include "common/base/state.h"
#include "common/wire/video.h"
#include "tests/fake/fake.h"
#include "tests/unit/unit.h"
#include "vsp/video/video.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define RING_PAGES 9

struct fixture {
	struct fake *fake;
	struct video *video;
	struct fake_channel channel;
	uint8_t *vram;
	uint64_t place;    /* 0: nowhere */
	uint64_t free_end; /* below it the frame buffer may begin */
};

static const struct video_resolution preferred = { 1024, 768 };

static int place(void *data, gpa_t gpa)
{
	struct fixture *f = data;

	if (gpa.value >= f->free_end)
		return VIDEO_E_PLACE;
	f->place = gpa.value;
	return 0;
}

static void take_away(void *data)
{
	struct fixture *f = data;

	assert_true(f->place != 0);
	f->place = 0;
}

static const struct video_ops ops = { place, take_away };

static void make_video(struct fixture *f)
{
	const struct video_config config = {
		.bus = f->fake->bus,
		.ops = &ops,
		.data = f,
		.vram = f->vram,
		.resolution = preferred,
	};

	assert_int_equal(video_new(&config, &f->video), 0);
}

static void open_video(struct fixture *f)
{
	const struct guid type = VIDEO_TYPE;

	assert_int_equal(fake_open(f->fake, fake_find_offer(f->fake, &type, NULL, 0), RING_PAGES,
				   RING_PAGES, 0, &f->channel),
			 0);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->fake = fake_new(1, 8 << 20);
	f->vram = calloc(1, VIDEO_VRAM_SIZE);
	f->free_end = UINT64_MAX;
	make_video(f);
	assert_true(fake_connect(f->fake, VMBUS_VERSION_5_3));
	assert_true(fake_request_offers(f->fake));
	open_video(f);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	fake_stop(f->fake);
	video_reset(f->video);
	assert_int_equal(f->place, 0);
	video_free(f->video);
	fake_free(f->fake);
	free(f->vram);
	free(f);
	return 0;
}

/* ---- The guest's driver ---- */

static void say(struct fixture *f, uint32_t type, const void *body, size_t size)
{
	struct {
		struct video_header header;
		uint8_t body[16000];
	} message = {
		.header = { .pipe = { VIDEO_PIPE_DATA, (uint32_t)size + 8 },
			    .type = type,
			    .size = (uint32_t)size + 8 },
	};

	assert_true(size <= sizeof(message.body));
	memcpy(message.body, body, size);
	assert_true(fake_send(&f->channel, RING_PACKET_INBAND, 0, 0, &message,
			      sizeof(message.header) + size));
}

/* The body of the next message, which is of that type and has at least so many bytes. */
static void receive(struct fixture *f, uint32_t type, void *body, size_t size)
{
	struct video_header header;
	struct ring_packet packet;

	assert_true(fake_receive(&f->channel, &packet));
	assert_int_equal(packet.type, RING_PACKET_INBAND);
	assert_false(packet.flags & RING_FLAG_COMPLETION_REQUESTED);
	assert_true(packet.payload_size >= sizeof(header) + size);
	memcpy(&header, packet.payload, sizeof(header));
	assert_int_equal(header.pipe.type, VIDEO_PIPE_DATA);
	assert_int_equal(header.pipe.size, header.size);
	assert_int_equal(header.type, type);
	assert_true(header.size >= 8 + size);
	memcpy(body, packet.payload + sizeof(header), size);
}

static void expect_nothing(struct fixture *f)
{
	struct ring_packet packet;

	fake_settle(f->fake);
	assert_false(fake_receive_now(&f->channel, &packet));
}

static uint8_t ask_version(struct fixture *f, uint32_t version)
{
	const struct video_version_request request = { version };
	struct video_version_response response;

	say(f, VIDEO_VERSION_REQUEST, &request, sizeof(request));
	receive(f, VIDEO_VERSION_RESPONSE, &response, sizeof(response));
	assert_int_equal(response.version, version);
	return response.accepted;
}

static void expect_features(struct fixture *f, uint8_t wanted)
{
	struct video_feature_change change;

	receive(f, VIDEO_FEATURE_CHANGE, &change, sizeof(change));
	assert_int_equal(change.dirt, wanted);
	assert_int_equal(change.pointer_position, wanted);
	assert_int_equal(change.pointer_shape, wanted);
	assert_int_equal(change.situation, wanted);
}

static void negotiate(struct fixture *f)
{
	assert_int_equal(ask_version(f, VIDEO_VERSION(5)), VIDEO_ACCEPTED);
	expect_features(f, 0);
}

static void say_place(struct fixture *f, uint64_t gpa)
{
	const struct video_vram_location location = { 7, 1, gpa };

	say(f, VIDEO_VRAM_LOCATION, &location, sizeof(location));
}

static void expect_ack(struct fixture *f, uint32_t type, uint64_t context)
{
	struct video_ack ack;

	receive(f, type, &ack, sizeof(ack));
	assert_int_equal(ack.context, context);
}

static void say_mode(struct fixture *f, struct video_situation situation)
{
	const struct video_situation_update update = { 8, 1, situation };

	say(f, VIDEO_SITUATION_UPDATE, &update, sizeof(update));
	expect_ack(f, VIDEO_SITUATION_UPDATE_ACK, 8);
}

static const struct video_situation usual = { 1, 0, 32, 1024, 768, 4096 };

static void start_driver(struct fixture *f)
{
	negotiate(f);
	say_place(f, 0xf8000000);
	expect_ack(f, VIDEO_VRAM_LOCATION_ACK, 7);
	say_mode(f, usual);
}

static struct video_report report_of(const struct fixture *f)
{
	return video_report(f->video);
}

/* ---- The protocol ---- */

static void test_a_driver_gets_its_screen(void **state)
{
	struct fixture *f = *state;
	struct video_report report;

	start_driver(f);
	report = report_of(f);
	assert_int_equal(report.state, VIDEO_READY);
	assert_string_equal(video_state_name(report.state), "ready");
	assert_int_equal(report.version, VIDEO_VERSION(5));
	assert_int_equal(report.place.value, 0xf8000000);
	assert_int_equal(f->place, 0xf8000000);
	assert_true(report.mode.active);
	assert_int_equal(report.mode.width, 1024);
	assert_int_equal(report.mode.height, 768);
	assert_int_equal(report.mode.pitch, 4096);
	assert_int_equal(report.refused, 0);
	say_place(f, 0xf0000000);
	expect_ack(f, VIDEO_VRAM_LOCATION_ACK, 7);
	assert_int_equal(f->place, 0xf0000000);
	/* What it has shown stays until another comes, or the machine is reset. */
	assert_true(fake_close(&f->channel));
	assert_int_equal(report_of(f).state, VIDEO_ABSENT);
	assert_int_equal(f->place, 0xf0000000);
	assert_true(report_of(f).mode.active);
	video_reset(f->video);
	assert_int_equal(f->place, 0);
	assert_false(report_of(f).mode.active);
}

static void test_versions(void **state)
{
	struct fixture *f = *state;

	for (unsigned minor = 0; minor <= VIDEO_MINOR_MAX; minor++) {
		assert_int_equal(ask_version(f, VIDEO_VERSION(minor)), VIDEO_ACCEPTED);
		if (minor == 0)
			expect_features(f, 0);
	}
	assert_int_equal(ask_version(f, VIDEO_VERSION(VIDEO_MINOR_MAX + 1)), 0);
	assert_int_equal(report_of(f).state, VIDEO_NEGOTIATING);
	say_place(f, 0x1000);
	expect_nothing(f);
	assert_int_equal(report_of(f).refused, 1);
}

static void ask_resolutions(struct fixture *f, uint8_t maximum,
			    struct video_resolution_response *ret_head,
			    struct video_resolution ret_list[VIDEO_RESOLUTION_MAX])
{
	struct {
		struct video_resolution_response head;
		struct video_resolution list[VIDEO_RESOLUTION_MAX];
	} PACKED response;
	struct ring_packet packet;

	say(f, VIDEO_RESOLUTION_REQUEST, &maximum, sizeof(maximum));
	assert_true(fake_receive(&f->channel, &packet));
	assert_true(packet.payload_size <= sizeof(struct video_header) + sizeof(response));
	memset(&response, 0, sizeof(response));
	memcpy(&response, packet.payload + sizeof(struct video_header),
	       packet.payload_size - sizeof(struct video_header));
	*ret_head = response.head;
	memcpy(ret_list, response.list, sizeof(response.list));
}

static void test_resolutions_fit_and_one_is_preferred(void **state)
{
	struct video_resolution list[VIDEO_RESOLUTION_MAX];
	struct video_resolution_response head;
	struct fixture *f = *state;
	uint8_t sum = 0;

	negotiate(f);
	ask_resolutions(f, 64, &head, list);
	assert_true(head.count > 5 && head.count < 64);
	assert_memory_equal(&list[head.preferred], &preferred, sizeof(preferred));
	for (unsigned i = 0; i < head.count; i++)
		assert_true(video_resolution_is_valid(list[i].width, list[i].height));
	for (unsigned i = 0; i < VIDEO_EDID_SIZE; i++)
		sum = (uint8_t)(sum + head.edid[i]);
	assert_int_equal(sum, 0);
	assert_memory_equal(head.edid, "\0\xff\xff\xff\xff\xff\xff\0", 8);
	assert_int_equal(head.edid[56] | (head.edid[58] & 0xf0) << 4, preferred.width);
	assert_int_equal(head.edid[59] | (head.edid[61] & 0xf0) << 4, preferred.height);
	ask_resolutions(f, 1, &head, list);
	assert_int_equal(head.count, 1);
	assert_memory_equal(&list[0], &preferred, sizeof(preferred));
	ask_resolutions(f, 0, &head, list);
	assert_int_equal(head.count, 0);
}

static void test_an_unusual_resolution_is_in_the_list(void **state)
{
	const struct video_config config = {
		.bus = ((struct fixture *)*state)->fake->bus,
		.ops = &ops,
		.resolution = { 900, 700 },
	};
	struct video_config bad = config;
	struct video *video;

	bad.resolution.width = VIDEO_WIDTH_MIN - 1;
	assert_int_equal(video_new(&bad, &video), -EINVAL);
	bad.resolution = (struct video_resolution){ 2048, 1025 };
	assert_int_equal(video_new(&bad, &video), -EINVAL);
	assert_true(video_resolution_is_valid(2048, 1024));
}

static void test_who_looks_is_told_of(void **state)
{
	const struct {
		struct video_dirt head;
		struct video_rectangle rectangles[2];
	} PACKED dirt = { { 0, 2 }, { { 0, 0, 10, 10 }, { -5, 0, INT32_MAX, 7 } } };
	struct fixture *f = *state;

	start_driver(f);
	video_watch(f->video, true);
	expect_features(f, 1);
	video_watch(f->video, true);
	expect_nothing(f);
	say(f, VIDEO_DIRT, &dirt, sizeof(dirt));
	fake_settle(f->fake);
	assert_int_equal(report_of(f).rectangles, 2);
	say(f, VIDEO_DIRT, &dirt, sizeof(dirt) - sizeof(struct video_rectangle));
	fake_settle(f->fake);
	assert_int_equal(report_of(f).rectangles, 2);
	assert_int_equal(report_of(f).refused, 1);
	video_watch(f->video, false);
	expect_features(f, 0);
}

/* ---- The viewer ---- */

struct told {
	unsigned modes, shapes, pointers, rectangles;
	struct video_rectangle last;
};

static void told_mode(void *data)
{
	((struct told *)data)->modes++;
}

static void told_shape(void *data)
{
	((struct told *)data)->shapes++;
}

static void told_pointer(void *data)
{
	((struct told *)data)->pointers++;
}

static void told_dirt(void *data, const struct video_rectangle *rectangle)
{
	struct told *told = data;

	told->rectangles++;
	told->last = *rectangle;
}

/* Of rectangles what lies within the mode; of others, and without a mode, nothing. */
static void test_the_viewer_is_told_what_is_new(void **state)
{
	static const struct video_viewer viewer = { told_mode, told_shape, told_pointer,
						    told_dirt };
	const struct {
		struct video_dirt head;
		struct video_rectangle rectangles[6];
	} PACKED dirt = { { 0, 6 },
			  { { 5, 5, 5, 9 },
			    { INT32_MIN, 0, 0, 9 },
			    { 0, 600, 9, INT32_MAX },
			    { 9, 9, 2, 2 },
			    { INT32_MAX, INT32_MAX, INT32_MIN, INT32_MIN },
			    { -5, 590, INT32_MAX, 700 } } };
	const struct video_pointer_position position = { 1, 0, 3, 4 };
	const struct video_situation_update update = { .output_count = 1,
						       .output = { 1, 0, 32, 800, 600, 3200 } };
	struct fixture *f = *state;
	struct told told = { 0 };

	start_driver(f);
	video_set_viewer(f->video, &viewer, &told);
	say(f, VIDEO_SITUATION_UPDATE, &update, sizeof(update));
	say(f, VIDEO_DIRT, &dirt, sizeof(dirt));
	say(f, VIDEO_POINTER_POSITION, &position, sizeof(position));
	fake_settle(f->fake);
	assert_true(told.modes == 1 && told.rectangles == 1 && told.pointers == 1);
	assert_true(told.last.x1 == 0 && told.last.y1 == 590 && told.last.x2 == 800 &&
		    told.last.y2 == 600);
	assert_true(fake_close(&f->channel));
	video_reset(f->video);
	assert_int_equal(told.modes, 2);
	open_video(f);
	assert_int_equal(ask_version(f, VIDEO_VERSION(5)), VIDEO_ACCEPTED);
	say(f, VIDEO_DIRT, &dirt, sizeof(dirt));
	fake_settle(f->fake);
	assert_int_equal(told.rectangles, 1);
	video_set_viewer(f->video, NULL, NULL);
	say(f, VIDEO_POINTER_POSITION, &position, sizeof(position));
	fake_settle(f->fake);
	assert_int_equal(told.pointers, 1);
}

static void test_the_next_driver_hears_who_looks(void **state)
{
	struct fixture *f = *state;

	video_watch(f->video, true);
	expect_nothing(f);
	assert_int_equal(ask_version(f, VIDEO_VERSION(2)), VIDEO_ACCEPTED);
	expect_features(f, 1);
	assert_true(fake_close(&f->channel));
	open_video(f);
	assert_int_equal(ask_version(f, VIDEO_VERSION(2)), VIDEO_ACCEPTED);
	expect_features(f, 1);
}

/* ---- The pointer ---- */

struct shape {
	struct video_pointer_shape head;
	uint32_t pixels[2048];
} PACKED;

static void send_part(struct fixture *f, uint8_t part, uint32_t width, uint32_t height,
		      unsigned first, unsigned count)
{
	static struct shape shape;

	shape.head = (struct video_pointer_shape){ part, 1, width, height, 1, 0 };
	for (unsigned i = 0; i < count; i++)
		shape.pixels[i] = 0xff000000 + first + i;
	say(f, VIDEO_POINTER_SHAPE, &shape, sizeof(shape.head) + count * sizeof(uint32_t));
	fake_settle(f->fake);
}

static void test_a_pointer_comes_in_parts(void **state)
{
	const struct video_pointer_position position = { 1, 0, 17, -3 };
	struct fixture *f = *state;
	struct video_report report;

	start_driver(f);
	say(f, VIDEO_POINTER_POSITION, &position, sizeof(position));
	send_part(f, 0, 64, 64, 0, 2048);
	assert_int_equal(report_of(f).pointer.width, 0);
	send_part(f, VIDEO_POINTER_LAST, 64, 64, 2048, 2048);
	report = report_of(f);
	assert_true(report.pointer.visible);
	assert_int_equal(report.pointer.x, 17);
	assert_int_equal(report.pointer.y, -3);
	assert_int_equal(report.pointer.width, 64);
	assert_int_equal(report.pointer.hot_x, 1);
	for (unsigned i = 0; i < 4096; i++)
		assert_int_equal(video_pointer_pixels(f->video)[i], 0xff000000 + i);
	send_part(f, VIDEO_POINTER_LAST, 2, 2, 5, 4);
	assert_int_equal(report_of(f).pointer.width, 2);
	assert_int_equal(video_pointer_pixels(f->video)[3], 0xff000008);
	assert_int_equal(report_of(f).refused, 0);
}

static void test_pointers_that_make_no_sense(void **state)
{
	static const struct video_pointer_shape bad[] = {
		{ VIDEO_POINTER_LAST, 0, 8, 8, 0, 0 },  /* masks */
		{ VIDEO_POINTER_LAST, 1, 97, 8, 0, 0 }, /* too large */
		{ VIDEO_POINTER_LAST, 1, 8, 97, 0, 0 },
		{ VIDEO_POINTER_LAST, 1, 0, 8, 0, 0 },
		{ VIDEO_POINTER_LAST, 1, 8, 0, 0, 0 },
		{ VIDEO_POINTER_LAST, 1, 8, 8, 8, 0 }, /* its place is outside */
		{ VIDEO_POINTER_LAST, 1, 8, 8, 0, 8 },
		{ VIDEO_POINTER_LAST, 1, 8, 8, 0, 0 }, /* pixels are missing */
		{ VIDEO_POINTER_LAST, 1, UINT32_MAX, UINT32_MAX, 0, 0 },
	};
	struct fixture *f = *state;

	start_driver(f);
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		say(f, VIDEO_POINTER_SHAPE, &bad[i], sizeof(bad[i]));
		fake_settle(f->fake);
		assert_int_equal(report_of(f).refused, i + 1);
		assert_int_equal(report_of(f).pointer.width, 0);
	}
	for (unsigned i = 0; i < 20; i++) /* more than fits */
		send_part(f, 1, 64, 64, 0, 2048);
	send_part(f, VIDEO_POINTER_LAST, 64, 64, 0, 1);
	assert_int_equal(report_of(f).pointer.width, 64);
}

/* ---- A guest that lies ---- */

static void test_a_place_that_cannot_be(void **state)
{
	const struct video_vram_location unsaid = { 7, 0, 0x1000 };
	struct fixture *f = *state;

	f->free_end = 0x100000;
	negotiate(f);
	say_place(f, 0x100000);
	expect_nothing(f);
	assert_false(report_of(f).placed);
	say(f, VIDEO_VRAM_LOCATION, &unsaid, sizeof(unsaid));
	expect_nothing(f);
	say_place(f, 0xff000);
	expect_ack(f, VIDEO_VRAM_LOCATION_ACK, 7);
	say_place(f, UINT64_MAX);
	expect_nothing(f);
	assert_int_equal(report_of(f).place.value, 0xff000);
	assert_int_equal(report_of(f).refused, 3);
}

static void test_modes_that_cannot_be_are_none(void **state)
{
	static const struct video_situation bad[] = {
		{ 1, 0, 16, 1024, 768, 4096 },
		{ 1, 0, 32, 0, 768, 4096 },
		{ 1, 0, 32, 1024, 0, 4096 },
		{ 1, 0, 32, 1024, 768, 4095 },
		{ 1, 0, 32, 1024, 2049, 4096 },
		{ 1, 1, 32, 1024, 2048, 4096 },
		{ 1, UINT32_MAX, 32, 1024, 768, 4096 },
		{ 1, 0, 32, 0x40000001, 1, 4 },
		{ 1, 0, 32, 1, UINT32_MAX, UINT32_MAX },
		{ 1, 0, 32, 4097, 1, 32768 },
	};
	struct video_situation_update two = { 8, 2, usual };
	struct fixture *f = *state;

	start_driver(f);
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		say_mode(f, bad[i]);
		assert_false(report_of(f).mode.active);
		assert_int_equal(report_of(f).refused, i + 1);
		say_mode(f, usual);
		assert_true(report_of(f).mode.active);
	}
	say(f, VIDEO_SITUATION_UPDATE, &two, sizeof(two));
	expect_ack(f, VIDEO_SITUATION_UPDATE_ACK, 8);
	assert_int_equal(report_of(f).refused, ARRAY_SIZE(bad) + 1);
	say_mode(f, (struct video_situation){ 0 });
	assert_false(report_of(f).mode.active);
	assert_int_equal(report_of(f).refused, ARRAY_SIZE(bad) + 1);
	say_mode(f, (struct video_situation){ 1, 0, 32, 1024, 2048, 4096 });
	assert_true(report_of(f).mode.active);
}

static void test_broken_messages_end_it_until_it_is_opened_anew(void **state)
{
	static const struct {
		uint16_t type;
		uint32_t size;
	} broken[] = { { RING_PACKET_INBAND, 8 }, { RING_PACKET_COMPLETION, 24 } };
	static const uint8_t nothing[24];
	struct fixture *f = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(broken); i++) {
		start_driver(f);
		assert_true(fake_send(&f->channel, broken[i].type, 0, 0, nothing, broken[i].size));
		expect_nothing(f);
		assert_int_equal(report_of(f).state, VIDEO_REFUSED);
		assert_int_equal(f->place, 0);
		say(f, VIDEO_VERSION_REQUEST, nothing, 8);
		expect_nothing(f);
		assert_true(fake_close(&f->channel));
		open_video(f);
	}
}

static void test_unknown_and_short_messages(void **state)
{
	const uint32_t unknown[] = { 0, 9, 11, 15, 255, UINT32_MAX };
	const uint32_t known[] = { 3, 5, 7, 8 };
	const uint8_t few[8] = { 0 };
	struct fixture *f = *state;

	start_driver(f);
	for (unsigned i = 0; i < ARRAY_SIZE(unknown); i++)
		say(f, unknown[i], few, sizeof(few));
	expect_nothing(f);
	assert_int_equal(report_of(f).refused, 0);
	for (unsigned i = 0; i < ARRAY_SIZE(known); i++)
		say(f, known[i], few, sizeof(few));
	expect_nothing(f);
	assert_int_equal(report_of(f).refused, ARRAY_SIZE(known));
	assert_int_equal(report_of(f).state, VIDEO_READY);
}

static void test_a_guest_that_asks_and_does_not_read(void **state)
{
	const struct video_version_request request = { VIDEO_VERSION(5) };
	const uint8_t maximum = 64;
	struct fixture *f = *state;

	negotiate(f);
	for (unsigned i = 0; i < 1000 && report_of(f).state == VIDEO_READY; i++) {
		say(f, VIDEO_RESOLUTION_REQUEST, &maximum, sizeof(maximum));
		fake_settle(f->fake);
	}
	assert_int_equal(report_of(f).state, VIDEO_REFUSED);
	say(f, VIDEO_VERSION_REQUEST, &request, sizeof(request));
	fake_settle(f->fake);
	assert_int_equal(report_of(f).state, VIDEO_REFUSED);
}

/* ---- State ---- */

static void done(void *data)
{
}

static void save(struct fixture *f, struct state_writer *writer)
{
	vmbus_quiesce(f->fake->bus, done, NULL);
	video_quiesce(f->video);
	fake_save_bus(f->fake, writer);
	video_save(f->video, "video", writer);
	assert_int_equal(state_writer_error(writer), 0);
}

/* Return: as video_restore(). */
static int restore(struct fixture *f, const struct state_writer *writer)
{
	struct state_reader reader;

	fake_leave(f->fake);
	video_reset(f->video);
	video_free(f->video);
	fake_arrive(f->fake);
	memset(f->vram, 0, VIDEO_VRAM_SIZE);
	make_video(f);
	assert_int_equal(fake_restore_bus(f->fake, writer, &reader), 0);
	return video_restore(f->video, "video", &reader);
}

/* Between firmware and system: no driver is there, and what the firmware has shown is. */
static void test_what_a_driver_has_left_moves_along(void **state)
{
	struct fixture *f = *state;
	struct state_writer writer;

	start_driver(f);
	f->vram[0] = 1;
	assert_true(fake_close(&f->channel));
	save(f, &writer);
	assert_int_equal(restore(f, &writer), 0);
	assert_int_equal(report_of(f).state, VIDEO_ABSENT);
	assert_int_equal(f->place, 0xf8000000);
	assert_int_equal(report_of(f).mode.width, 1024);
	assert_int_equal(f->vram[0], 1);
	state_writer_deinit(&writer);
}

static void test_the_screen_moves_along(void **state)
{
	const struct video_pointer_position position = { 1, 0, 17, -3 };
	struct fixture *f = *state;
	struct state_writer writer;
	struct video_report report;

	start_driver(f);
	say(f, VIDEO_POINTER_POSITION, &position, sizeof(position));
	send_part(f, VIDEO_POINTER_LAST, 16, 16, 9, 256);
	f->vram[0] = 1;
	f->vram[5 * HV_PAGE_SIZE + 77] = 2;
	f->vram[VIDEO_VRAM_SIZE - 1] = 3;
	save(f, &writer);
	assert_int_equal(restore(f, &writer), 0);
	report = report_of(f);
	assert_int_equal(report.state, VIDEO_READY);
	assert_int_equal(report.version, VIDEO_VERSION(5));
	assert_int_equal(report.mode.width, 1024);
	assert_int_equal(report.pointer.y, -3);
	assert_int_equal(video_pointer_pixels(f->video)[255], 0xff000000 + 264);
	assert_int_equal(f->place, 0xf8000000);
	assert_int_equal(f->vram[0], 1);
	assert_int_equal(f->vram[5 * HV_PAGE_SIZE + 77], 2);
	assert_int_equal(f->vram[VIDEO_VRAM_SIZE - 1], 3);
	fake_go_on(f->fake);
	video_resume(f->video);
	expect_features(f, 0); /* whoever looked there does not look here */
	say_mode(f, usual);
	state_writer_deinit(&writer);
}

/* As it is stored. */
struct record {
	uint32_t state, version;
	uint64_t place;
	uint32_t placed, visible;
	int32_t x, y;
	uint32_t width, height, hot_x, hot_y;
	uint32_t active, offset, mode_width, mode_height, pitch;
	uint32_t pages;
};

static const struct record good = {
	.state = VIDEO_READY,
	.version = VIDEO_VERSION(5),
	.place = 0x1000,
	.placed = 1,
	.active = 1,
	.mode_width = 1024,
	.mode_height = 768,
	.pitch = 4096,
};

static int try_record(struct fixture *f, const struct state_writer *whole,
		      const struct record *record, const void *more, size_t size)
{
	struct state_writer writer;
	struct state_reader reader;
	int r;

	assert_int_equal(restore(f, whole), 0);
	state_writer_init(&writer);
	state_begin(&writer, "video", 1);
	state_put(&writer, record, sizeof(*record));
	state_put(&writer, more, size);
	state_end(&writer);
	assert_int_equal(state_reader_init(&reader, writer.bytes, writer.size), 0);
	r = video_restore(f->video, "video", &reader);
	state_writer_deinit(&writer);
	return r;
}

#define BAD(member, value)                             \
	{                                              \
		offsetof(struct record, member), value \
	}

static void test_a_state_that_cannot_be_is_refused(void **state)
{
	static const struct {
		size_t offset;
		uint32_t value;
	} bad[] = {
		BAD(state, VIDEO_REFUSED + 1),
		BAD(state, VIDEO_ABSENT), /* but the channel is open */
		BAD(state, VIDEO_NEGOTIATING),
		BAD(version, 0),
		BAD(version, VIDEO_VERSION(6)),
		BAD(placed, 2),
		BAD(visible, 2),
		BAD(width, 97),
		BAD(width, 1), /* without a height */
		BAD(hot_x, 1),
		BAD(active, 2),
		BAD(offset, VIDEO_VRAM_SIZE),
		BAD(mode_width, 4097),
		BAD(mode_height, 0),
		BAD(pitch, 4095),
		BAD(pages, 1), /* that is missing */
		BAD(pages, UINT32_MAX),
	};
	static struct {
		uint64_t number;
		uint8_t bytes[HV_PAGE_SIZE];
	} pages[2];
	struct fixture *f = *state;
	struct state_writer whole;
	struct record record;

	start_driver(f);
	save(f, &whole);
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		record = good;
		memcpy((uint8_t *)&record + bad[i].offset, &bad[i].value, sizeof(bad[i].value));
		assert_int_equal(try_record(f, &whole, &record, NULL, 0), STATE_E_INVALID);
	}
	record = good;
	record.pages = 2;
	assert_int_equal(try_record(f, &whole, &record, pages, sizeof(pages)), STATE_E_INVALID);
	pages[1].number = VIDEO_VRAM_SIZE / HV_PAGE_SIZE;
	assert_int_equal(try_record(f, &whole, &record, pages, sizeof(pages)), STATE_E_INVALID);
	pages[1].number--;
	assert_int_equal(try_record(f, &whole, &record, pages, sizeof(pages)), 0);
	record.pages = 1;
	assert_int_equal(try_record(f, &whole, &record, pages, sizeof(pages)), STATE_E_INVALID);
	f->free_end = 0x1000;
	assert_int_equal(restore(f, &whole), STATE_E_INVALID);
	state_writer_deinit(&whole);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(test_a_driver_gets_its_screen),
		TEST(test_versions),
		TEST(test_resolutions_fit_and_one_is_preferred),
		TEST(test_an_unusual_resolution_is_in_the_list),
		TEST(test_who_looks_is_told_of),
		TEST(test_the_viewer_is_told_what_is_new),
		TEST(test_the_next_driver_hears_who_looks),
		TEST(test_a_pointer_comes_in_parts),
		TEST(test_pointers_that_make_no_sense),
		TEST(test_a_place_that_cannot_be),
		TEST(test_modes_that_cannot_be_are_none),
		TEST(test_broken_messages_end_it_until_it_is_opened_anew),
		TEST(test_unknown_and_short_messages),
		TEST(test_a_guest_that_asks_and_does_not_read),
		TEST(test_the_screen_moves_along),
		TEST(test_what_a_driver_has_left_moves_along),
		TEST(test_a_state_that_cannot_be_is_refused),
#undef TEST
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
