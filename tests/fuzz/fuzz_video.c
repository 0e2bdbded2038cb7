/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a guest may say of its screen, while somebody looks or nobody does.
 *
 * Input: steps, each a byte that says what happens: a message of the type that the next byte names,
 * with a body of the fuzzer's; bytes of the fuzzer's as a packet; somebody looks, or ceases to; what
 * has come is read. After each, all that is shown of the frame buffer lies within it.
 */
#include "common/wire/video.h"
#include "tests/fuzz/channel_input.h"
#include "vsp/video/video.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define WINDOW     UINT64_C(0xf8000000)
#define WINDOW_END UINT64_C(0xfe000000)
#define BODY_MAX   8500

static struct fake *fake;
static struct video *video;
static uint8_t *vram;
static bool placed;

static int place(void *data, gpa_t gpa)
{
	if (gpa.value < WINDOW || gpa.value >= WINDOW_END)
		return VIDEO_E_PLACE;
	placed = true;
	return 0;
}

static void take_away(void *data)
{
	assert(placed);
	placed = false;
}

static const struct video_ops ops = { place, take_away };

/* A body has a size in two bytes, and repeats what is left of the input if that is too short. */
static void say(struct input *input, struct fake_channel *channel)
{
	static struct {
		struct video_header header;
		uint8_t body[BODY_MAX];
	} message;
	const uint8_t type = take(input), given = take(input);
	const size_t size = ((size_t)(take(input) << 8) | take(input)) % BODY_MAX;

	memset(message.body, 0, sizeof(message.body));
	for (size_t i = 0; i < given; i++)
		message.body[i] = take(input);
	message.header = (struct video_header){
		.pipe = { VIDEO_PIPE_DATA, (uint32_t)size + 8 },
		.type = type % 16,
		.size = (uint32_t)size + (type & 0x80 ? 0 : 8),
	};
	fake_send(channel, RING_PACKET_INBAND, type & 0x40 ? RING_FLAG_COMPLETION_REQUESTED : 0,
		  type, &message, sizeof(message.header) + size);
}

static void say_anything(struct input *input, struct fake_channel *channel)
{
	input_send_packet(input, channel, 64);
}

static void look(struct input *input, struct fake_channel *channel)
{
	video_watch(video, take(input) & 1);
}

static void read_all(struct input *input, struct fake_channel *channel)
{
	input_read_all(channel, 512);
}

static void (*const steps[])(struct input *input, struct fake_channel *channel) = {
	say,
	say_anything,
	look,
	read_all,
};

static void check(void)
{
	const struct video_report report = video_report(video);
	const struct video_mode *mode = &report.mode;

	assert(video_state_name(report.state) && report.placed == placed);
	assert(!report.placed || (report.place.value >= WINDOW && report.place.value < WINDOW_END));
	if (mode->active)
		assert(mode->width * sizeof(uint32_t) <= mode->pitch &&
		       mode->offset + (uint64_t)mode->pitch * mode->height <= VIDEO_VRAM_SIZE);
	assert(report.pointer.width <= VIDEO_POINTER_SIZE_MAX &&
	       report.pointer.height <= VIDEO_POINTER_SIZE_MAX);
}

static void make(void)
{
	struct video_config config = { .ops = &ops, .resolution = { 1024, 768 } };

	fake = fake_new(1, 4 << 20);
	vram = calloc(1, VIDEO_VRAM_SIZE);
	config.bus = fake->bus;
	config.vram = vram;
	if (!vram || video_new(&config, &video) < 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct fake_channel channel;
	const struct guid type = VIDEO_TYPE;
	struct input input = { .bytes = data, .size = size };
	bool ok;

	if (!fake)
		make();
	fake_choose_waits(fake, data, size);
	ok = fake_connect(fake, VMBUS_VERSION_5_3) && fake_request_offers(fake) &&
	     fake_open(fake, fake_find_offer(fake, &type, NULL, 0), 5, 5, 0, &channel) == 0;
	assert(ok);
	while (input.size > 0) {
		steps[take(&input) % ARRAY_SIZE(steps)](&input, &channel);
		fake_run(fake);
		check();
	}
	fake_stop(fake);
	video_reset(video);
	assert(video_report(video).state == VIDEO_ABSENT && !placed);
	fake->ram_used = HV_PAGE_SIZE;
	return 0;
}
