/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a guest may say to its mouse, while somebody points.
 *
 * Input: steps, each a byte that says what happens: a message of a type that is known or not,
 * bytes of the fuzzer's as a packet, an event, or what has come is read. After each, the queue is
 * within its bounds.
 */
#include "common/wire/mouse.h"
#include "tests/fuzz/channel_input.h"
#include "vsp/hid/mouse.h"

#include <assert.h>
#include <stdlib.h>

static struct fake *fake;
static struct mouse *mouse;

static void say(struct input *input, struct fake_channel *channel)
{
	const uint8_t type = take(input), what = take(input);
	const struct {
		struct mouse_header header;
		struct mouse_protocol_request request;
	} message = { { MOUSE_PIPE_DATA, 12, type, 4 }, { MOUSE_VERSION_2_0 + (what >> 7) } };

	fake_send(channel, RING_PACKET_INBAND, what & RING_FLAG_COMPLETION_REQUESTED, what,
		  &message, sizeof(message));
}

static void point(struct input *input, struct fake_channel *channel)
{
	const struct mouse_event event = { .buttons = take(input) & MOUSE_BUTTONS,
					   .x = (uint16_t)(take(input) << 7),
					   .y = (uint16_t)(take(input) << 7),
					   .wheel = (int16_t)((take(input) - 128) * 256) };
	const struct mouse_status before = mouse_status(mouse);
	unsigned count = take(input);
	int r = 0;

	for (unsigned i = 0; i <= count && r == 0; i++)
		r = mouse_point(mouse, &event);
	assert((r == MOUSE_E_ABSENT) == (before.state != MOUSE_READY));
}

static void say_anything(struct input *input, struct fake_channel *channel)
{
	input_send_packet(input, channel, 32);
}

static void read_all(struct input *input, struct fake_channel *channel)
{
	input_read_all(channel, 128);
}

static void (*const steps[])(struct input *input, struct fake_channel *channel) = {
	say,
	point,
	say_anything,
	read_all,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct fake_channel channel;
	const struct guid type = MOUSE_TYPE;
	struct input input = { .bytes = data, .size = size };
	bool ok;

	if (!fake) {
		fake = fake_new(1, 4 << 20);
		if (mouse_new(fake->bus, &mouse) < 0)
			abort();
	}
	fake_choose_waits(fake, data, size);
	ok = fake_connect(fake, VMBUS_VERSION_5_3) && fake_request_offers(fake) &&
	     fake_open(fake, fake_find_offer(fake, &type, NULL, 0), 2, 2, 0, &channel) == 0;
	assert(ok);
	while (input.size > 0) {
		steps[take(&input) % ARRAY_SIZE(steps)](&input, &channel);
		fake_run(fake);
		assert(mouse_status(mouse).waiting <= MOUSE_EVENTS_MAX);
		assert(mouse_state_name(mouse_status(mouse).state));
	}
	fake_stop(fake);
	assert(mouse_status(mouse).state == MOUSE_ABSENT);
	fake->ram_used = HV_PAGE_SIZE;
	return 0;
}
