/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The way between a screen and who shows it, with a guest in memory at the one end. */
#include "vmwp/device/screen_link.h"

#include "common/screen_link.h"
#include "common/wire/keyboard.h"
#include "common/wire/mouse.h"
#include "common/wire/video.h"
#include "tests/fake/fake.h"
#include "tests/unit/unit.h"
#include "vsp/hid/hid.h"
#include "vsp/video/video.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define RING_PAGES 4

struct fixture {
	struct fake *fake;
	uint8_t *vram;
	struct video *video;
	struct keyboard *keyboard;
	struct mouse *mouse;
	struct fake_channel screen, keys, hand;
	struct screen_link *link;
	int memory, far; /* far: the other end of the link */
};

static int place(void *data, gpa_t gpa)
{
	return 0;
}

static void take_away(void *data)
{
}

static const struct video_ops ops = { place, take_away };

static void link_ended(void *data)
{
	struct fixture *f = data;

	screen_link_free(TAKE_PTR(f->link));
}

static void link_open(struct fixture *f)
{
	const struct screen_link_config config = { .loop = f->fake->loop,
						   .video = f->video,
						   .keyboard = f->keyboard,
						   .mouse = f->mouse,
						   .vram = f->memory,
						   .ended = link_ended,
						   .data = f };
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(screen_link_new(&config, pair[0], &f->link), 0);
	f->far = pair[1];
}

static void guest_say(struct fixture *f, uint32_t type, const void *body, size_t size)
{
	struct {
		struct video_header header;
		uint8_t body[4096];
	} message = { .header = { .pipe = { VIDEO_PIPE_DATA, (uint32_t)size + 8 },
				  .type = type,
				  .size = (uint32_t)size + 8 } };

	memcpy(message.body, body, size);
	assert_true(fake_send(&f->screen, RING_PACKET_INBAND, 0, 0, &message,
			      sizeof(message.header) + size));
	fake_settle(f->fake);
}

static void guest_show(struct fixture *f, uint32_t width, uint32_t height)
{
	const struct video_situation_update update = {
		.output_count = 1, .output = { 1, 0, 32, width, height, width * 4 }
	};

	guest_say(f, VIDEO_SITUATION_UPDATE, &update, sizeof(update));
}

static void guest_draw(struct fixture *f, int32_t x1, int32_t y1, int32_t x2, int32_t y2)
{
	const struct {
		struct video_dirt head;
		struct video_rectangle rectangle;
	} PACKED dirt = { { 0, 1 }, { x1, y1, x2, y2 } };

	guest_say(f, VIDEO_DIRT, &dirt, sizeof(dirt));
}

static void guest_say_to_mouse(struct fixture *f, uint32_t type, uint32_t number)
{
	const struct {
		struct mouse_header header;
		uint32_t number;
	} message = { { MOUSE_PIPE_DATA, 12, type, 4 }, number };

	assert_true(fake_send(&f->hand, RING_PACKET_INBAND, 0, 0, &message, sizeof(message)));
	fake_settle(f->fake);
}

static void guest_start(struct fixture *f)
{
	const struct guid screen = VIDEO_TYPE, keys = KEYBOARD_TYPE, hand = MOUSE_TYPE;
	const struct video_version_request video_version = { VIDEO_VERSION(5) };
	const struct keyboard_protocol_request version = { KEYBOARD_PROTOCOL_REQUEST,
							   KEYBOARD_VERSION_1_0 };

	assert_int_equal(fake_open(f->fake, fake_find_offer(f->fake, &screen, NULL, 0), RING_PAGES,
				   RING_PAGES, 0, &f->screen),
			 0);
	assert_int_equal(fake_open(f->fake, fake_find_offer(f->fake, &keys, NULL, 0), RING_PAGES,
				   RING_PAGES, 0, &f->keys),
			 0);
	assert_int_equal(fake_open(f->fake, fake_find_offer(f->fake, &hand, NULL, 0), RING_PAGES,
				   RING_PAGES, 0, &f->hand),
			 0);
	guest_say_to_mouse(f, MOUSE_PROTOCOL_REQUEST, MOUSE_VERSION_2_0);
	guest_say_to_mouse(f, MOUSE_DEVICE_INFO_ACK, 0);
	guest_say(f, VIDEO_VERSION_REQUEST, &video_version, sizeof(video_version));
	assert_true(fake_send(&f->keys, RING_PACKET_INBAND, RING_FLAG_COMPLETION_REQUESTED, 7,
			      &version, sizeof(version)));
	fake_settle(f->fake);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct video_config config = { .ops = &ops, .data = f, .resolution = { 800, 600 } };

	f->fake = fake_new(1, 8 << 20);
	f->memory = memfd_create("vram", MFD_CLOEXEC);
	config.bus = f->fake->bus;
	config.vram = f->vram = calloc(1, VIDEO_VRAM_SIZE);
	assert_int_equal(video_new(&config, &f->video), 0);
	assert_int_equal(keyboard_new(f->fake->bus, &f->keyboard), 0);
	assert_int_equal(mouse_new(f->fake->bus, &f->mouse), 0);
	assert_true(fake_connect(f->fake, VMBUS_VERSION_5_3));
	assert_true(fake_request_offers(f->fake));
	guest_start(f);
	link_open(f);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	fake_stop(f->fake);
	close(f->far);
	while (f->link)
		assert_int_equal(loop_run_once(f->fake->loop, 1000000), 0);
	video_free(f->video);
	keyboard_free(f->keyboard);
	mouse_free(f->mouse);
	fake_free(f->fake);
	close(f->memory);
	free(f->vram);
	free(f);
	return 0;
}

/* ---- The other end ---- */

static void far_say(struct fixture *f, uint32_t type, int32_t first, int32_t second)
{
	const struct screen_link_message message = { type, { first, second } };

	assert_int_equal(send(f->far, &message, sizeof(message), 0), sizeof(message));
	fake_settle(f->fake);
}

/* Of that type; with so many numbers, and bytes behind it. */
static void far_expect(struct fixture *f, uint32_t type, const int32_t *numbers, size_t count,
		       size_t more)
{
	static uint8_t bytes[sizeof(struct screen_link_message) + SCREEN_LINK_SHAPE_SIZE];
	struct screen_link_message message;

	assert_int_equal(recv(f->far, bytes, sizeof(bytes), MSG_DONTWAIT), sizeof(message) + more);
	memcpy(&message, bytes, sizeof(message));
	assert_int_equal(message.type, type);
	assert_memory_equal(message.numbers, numbers, count * sizeof(numbers[0]));
}

#define EXPECT(f, type, more, ...)                            \
	far_expect(f, type, (const int32_t[]){ __VA_ARGS__ }, \
		   sizeof((const int32_t[]){ __VA_ARGS__ }) / sizeof(int32_t), more)

static void expect_nothing(struct fixture *f)
{
	uint8_t byte;

	fake_settle(f->fake);
	assert_int_equal(recv(f->far, &byte, 1, MSG_DONTWAIT), -1);
	assert_int_equal(errno, EAGAIN);
}

/* The frame buffer, and all there is. */
static void expect_all(struct fixture *f)
{
	EXPECT(f, SCREEN_LINK_VRAM, 0, SCREEN_LINK_VERSION);
	expect_nothing(f);
	far_say(f, SCREEN_LINK_READY, 0, 0);
	EXPECT(f, SCREEN_LINK_MODE, 0, 0);
	EXPECT(f, SCREEN_LINK_SHAPE, 0, 0, 0, 0, 0);
	EXPECT(f, SCREEN_LINK_POINTER, 0, 0, 0, 0);
	expect_nothing(f);
}

static void what_is_new_is_told_when_it_is_asked_for(void **state)
{
	const struct {
		struct video_pointer_shape head;
		uint32_t pixels[4];
	} PACKED shape = { { VIDEO_POINTER_LAST, 1, 2, 2, 1, 0 }, { 1, 2, 3, 4 } };
	const struct video_pointer_position position = { 1, 0, 3, 4 };
	struct fixture *f = *state;

	expect_all(f);
	guest_show(f, 800, 600);
	guest_draw(f, 0, 0, 9, 9);
	expect_nothing(f);
	far_say(f, SCREEN_LINK_READY, 0, 0);
	EXPECT(f, SCREEN_LINK_MODE, 0, 1, 0, 800, 600, 3200);
	EXPECT(f, SCREEN_LINK_DIRT, 0, 0, 0, 9, 9);
	expect_nothing(f);
	/* Asked beforehand, it is told at once. */
	far_say(f, SCREEN_LINK_READY, 0, 0);
	expect_nothing(f);
	guest_say(f, VIDEO_POINTER_SHAPE, &shape, sizeof(shape));
	EXPECT(f, SCREEN_LINK_SHAPE, sizeof(shape.pixels), 2, 2, 1, 0);
	guest_say(f, VIDEO_POINTER_POSITION, &position, sizeof(position));
	guest_say(f, VIDEO_POINTER_POSITION, &position, sizeof(position));
	expect_nothing(f);
	far_say(f, SCREEN_LINK_READY, 0, 0);
	EXPECT(f, SCREEN_LINK_POINTER, 0, 1, 3, 4);
	expect_nothing(f);
}

static void much_dirt_becomes_one(void **state)
{
	struct fixture *f = *state;

	expect_all(f);
	guest_show(f, 800, 600);
	for (int32_t i = 0; i <= SCREEN_LINK_DIRT_MAX; i++)
		guest_draw(f, 10 * i, 20 * i, 10 * i + 5, 20 * i + 5);
	far_say(f, SCREEN_LINK_READY, 0, 0);
	EXPECT(f, SCREEN_LINK_MODE, 0, 1);
	EXPECT(f, SCREEN_LINK_DIRT, 0, 0, 0, 165, 325);
	expect_nothing(f);
	/* Of another mode nothing is left. */
	guest_draw(f, 0, 0, 5, 5);
	guest_show(f, 640, 480);
	far_say(f, SCREEN_LINK_READY, 0, 0);
	EXPECT(f, SCREEN_LINK_MODE, 0, 1, 0, 640, 480, 2560);
	expect_nothing(f);
}

static void what_is_said_reaches_the_guest(void **state)
{
	static const int32_t wrong[][2] = {
		{ 0x80, 0 }, { -1, 0 }, { 0x1e, 1 }, { 0x1e, 16 }, { 0x1e, -1 }
	};
	struct fixture *f = *state;

	expect_all(f);
	far_say(f, SCREEN_LINK_WATCH, 1, 0);
	assert_true(video_report(f->video).watched);
	far_say(f, SCREEN_LINK_KEY, 0x1e, 0);
	far_say(f, SCREEN_LINK_KEY, 0x1e, KEYBOARD_BREAK | KEYBOARD_E0);
	assert_int_equal(keyboard_report(f->keyboard).sent, 2);
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		far_say(f, SCREEN_LINK_KEY, wrong[i][0], wrong[i][1]);
	far_say(f, SCREEN_LINK_MOUSE, MOUSE_BUTTONS, MOUSE_POSITION_MAX);
	assert_int_equal(mouse_status(f->mouse).sent, 1);
	far_say(f, SCREEN_LINK_MOUSE, MOUSE_BUTTONS + 1, 0);
	far_say(f, SCREEN_LINK_MOUSE, 0, MOUSE_POSITION_MAX + 1);
	far_say(f, SCREEN_LINK_MOUSE, -1, -1);
	assert_int_equal(mouse_status(f->mouse).sent, 1);
	far_say(f, 12345, 0, 0);
	assert_int_equal(keyboard_report(f->keyboard).sent, 2);
	far_say(f, SCREEN_LINK_WATCH, 0, 0);
	assert_false(video_report(f->video).watched);
	assert_non_null(f->link);
}

static void wait_for_the_end(struct fixture *f)
{
	for (int i = 0; i < 1000 && f->link; i++)
		assert_int_equal(loop_run_once(f->fake->loop, 1000000), 0);
	assert_null(f->link);
	assert_false(video_report(f->video).watched);
}

static void it_ends_with_the_other_side(void **state)
{
	struct fixture *f = *state;

	far_say(f, SCREEN_LINK_WATCH, 1, 0);
	close(f->far);
	wait_for_the_end(f);
	/* The guest goes on, and there may be another. */
	guest_show(f, 800, 600);
	link_open(f);
	/* What is no message is its end. */
	assert_int_equal(send(f->far, "?", 1, 0), 1);
	wait_for_the_end(f);
	close(f->far);
	link_open(f);
	screen_link_end(f->link);
	wait_for_the_end(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_is_new_is_told_when_it_is_asked_for, setup,
						teardown),
		cmocka_unit_test_setup_teardown(much_dirt_becomes_one, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_said_reaches_the_guest, setup, teardown),
		cmocka_unit_test_setup_teardown(it_ends_with_the_other_side, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
