/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a guest may say to its keyboard, while somebody types.
 *
 * Input: steps, each a byte that says what happens: a request for a version, keys, bytes of the
 * fuzzer's as a message, or what has come is read. After each, the queue is within its bounds.
 */
#include "common/wire/keyboard.h"
#include "tests/fuzz/channel_input.h"
#include "vsp/hid/keyboard.h"

#include <assert.h>
#include <stdlib.h>

static struct fake *fake;
static struct keyboard *keyboard;

static void request(struct input *input, struct fake_channel *channel)
{
	const uint8_t what = take(input);
	const struct keyboard_protocol_request message = { KEYBOARD_PROTOCOL_REQUEST,
							   KEYBOARD_VERSION_1_0 + (what >> 7) };

	fake_send(channel, RING_PACKET_INBAND, what & RING_FLAG_COMPLETION_REQUESTED, what,
		  &message, sizeof(message));
}

static void press(struct input *input, struct fake_channel *channel)
{
	struct keyboard_key keys[UINT8_MAX] = { 0 };
	const uint8_t count = take(input);
	const struct keyboard_report before = keyboard_report(keyboard);
	struct keyboard_report after;
	int r = keyboard_press(keyboard, keys, count);

	after = keyboard_report(keyboard);
	assert((r == KEYBOARD_E_ABSENT) == (before.state != KEYBOARD_READY));
	assert(after.waiting + after.sent == before.waiting + before.sent + (r == 0 ? count : 0));
}

static void say_anything(struct input *input, struct fake_channel *channel)
{
	input_send_packet(input, channel, 32);
}

static void read_all(struct input *input, struct fake_channel *channel)
{
	input_read_all(channel, 16);
}

static void (*const steps[])(struct input *input, struct fake_channel *channel) = {
	request,
	press,
	say_anything,
	read_all,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct fake_channel channel;
	const struct guid type = KEYBOARD_TYPE;
	struct input input = { .bytes = data, .size = size };
	bool ok;

	if (!fake) {
		fake = fake_new(1, 4 << 20);
		if (keyboard_new(fake->bus, &keyboard) < 0)
			abort();
	}
	fake_choose_waits(fake, data, size);
	ok = fake_connect(fake, VMBUS_VERSION_5_3) && fake_request_offers(fake) &&
	     fake_open(fake, fake_find_offer(fake, &type, NULL, 0), 2, 2, 0, &channel) == 0;
	assert(ok);
	while (input.size > 0) {
		steps[take(&input) % ARRAY_SIZE(steps)](&input, &channel);
		fake_run(fake);
		assert(keyboard_report(keyboard).waiting <= KEYBOARD_KEYS_MAX);
		assert(keyboard_state_name(keyboard_report(keyboard).state));
	}
	fake_stop(fake);
	assert(keyboard_report(keyboard).state == KEYBOARD_ABSENT);
	fake->ram_used = HV_PAGE_SIZE;
	return 0;
}
