/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a guest may say of its memory.
 *
 * Input: steps, each a byte that says what happens: a new target, a message of the guest's with
 * bytes of the fuzzer's in it, or an answer that is right. After each, no more is in the balloon
 * than the guest has.
 */
#include "common/wire/dynamic_memory.h"
#include "tests/fake/fake.h"
#include "vsp/memory/balloon.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define RAM  (UINT64_C(64) << 20)
#define ROOM (UINT64_C(32) << 20)
#define MOST (RAM + ROOM / 2) /* that the guest may have */

struct input {
	const uint8_t *bytes;
	size_t size;
};

static struct fake *fake;
static struct balloon *balloon;

static uint64_t take(struct input *input, unsigned bytes)
{
	uint64_t value = 0;

	while (bytes-- > 0 && input->size > 0) {
		value = value << 8 | *input->bytes++;
		input->size--;
	}
	return value;
}

static void check(void)
{
	struct balloon_report report = balloon_report(balloon);

	assert(report.assigned <= MOST && report.target <= MOST);
	assert(report.demand <= UINT64_C(1) << 52 && report.available <= UINT64_C(1) << 52);
	assert(balloon_state_name(report.state));
}

static void changed(void *data)
{
	check();
}

static void say(struct fake_channel *channel, enum dm_type type, void *message, uint32_t size)
{
	struct dm_header header = { .type = (uint16_t)type, .size = (uint16_t)size };

	memcpy(message, &header, sizeof(header));
	fake_send(channel, RING_PACKET_INBAND, 0, 0, message, size);
}

static void negotiate(struct input *input, struct fake_channel *channel)
{
	struct dm_version_request version = { .version = DM_VERSION_2_0 };
	struct dm_capabilities_report capabilities = { .capabilities = take(input, 1) };

	say(channel, DM_VERSION_REQUEST, &version, sizeof(version));
	say(channel, DM_CAPABILITIES_REPORT, &capabilities, sizeof(capabilities));
}

static void set_target(struct input *input, struct fake_channel *channel)
{
	balloon_set_target(balloon, take(input, 2) << 14);
}

static void hand_over(struct input *input, struct fake_channel *channel)
{
	struct {
		struct dm_balloon_response response;
		uint64_t ranges[16];
	} PACKED message = { 0 };
	uint32_t count = (uint32_t)take(input, 1) % 16;

	for (uint32_t i = 0; i < count; i++) {
		uint64_t frame = take(input, 2);

		message.ranges[i] = DM_RANGE(frame, take(input, 2));
	}
	message.response.flags_and_count = count << 1 | (take(input, 1) & DM_MORE_PAGES);
	say(channel, DM_BALLOON_RESPONSE, &message,
	    (uint32_t)(sizeof(message.response) + count * sizeof(uint64_t)));
}

static void report(struct input *input, struct fake_channel *channel)
{
	struct dm_status_report status = { .available = take(input, 8) };

	status.committed = take(input, 8);
	say(channel, DM_STATUS_REPORT, &status, sizeof(status));
}

static void take_back(struct input *input, struct fake_channel *channel)
{
	struct dm_header answer;

	say(channel, DM_UNBALLOON_RESPONSE, &answer, sizeof(answer));
}

static void take_more(struct input *input, struct fake_channel *channel)
{
	struct dm_hot_add_response answer = { .pages = (uint32_t)take(input, 2) };

	answer.result = (uint32_t)take(input, 1);
	say(channel, DM_HOT_ADD_RESPONSE, &answer, sizeof(answer));
}

static void say_anything(struct input *input, struct fake_channel *channel)
{
	uint8_t message[64];
	uint32_t size = (uint32_t)take(input, 1) % sizeof(message);

	for (uint32_t i = 0; i < size; i++)
		message[i] = (uint8_t)take(input, 1);
	fake_send(channel, take(input, 1) & 1 ? RING_PACKET_COMPLETION : RING_PACKET_INBAND, 0, 0,
		  message, size);
}

/* A guest may have handed over the ring's own pages; then there is nothing to read any more. */
static void read_all(struct input *input, struct fake_channel *channel)
{
	struct ring_packet packet;

	while (ring_read(&channel->in, channel->buffer, sizeof(channel->buffer), &packet) == 0) {
		assert(packet.payload_size <= DM_MESSAGE_MAX);
		if (ring_publish_read(&channel->in))
			fake_signal(channel);
	}
}

static void (*const steps[])(struct input *input, struct fake_channel *channel) = {
	negotiate, set_target, hand_over, report, take_back, say_anything, read_all, take_more,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct balloon_callbacks callbacks = { changed };
	static const struct balloon_options options = {
		.size = RAM, .end = RAM, .room = { RAM }, .room_size = ROOM, .maximum = MOST
	};
	static struct fake_channel channel;
	const struct guid type = DM_TYPE;
	struct input input = { .bytes = data, .size = size };
	bool ok;

	if (!fake) {
		fake = fake_new(1, RAM + ROOM);
		if (balloon_new(fake->bus, &options, &callbacks, NULL, &balloon) < 0)
			abort();
	}
	fake_choose_waits(fake, data, size);
	fake->hole = GPA(RAM);
	fake->hole_size = ROOM;
	ok = fake_connect(fake, VMBUS_VERSION_5_3) && fake_request_offers(fake) &&
	     fake_open(fake, fake_find_offer(fake, &type, NULL, 0), 4, 4, 0, &channel) == 0;
	assert(ok);
	while (input.size > 0) {
		steps[take(&input, 1) % ARRAY_SIZE(steps)](&input, &channel);
		fake_run(fake);
		check();
	}
	fake_stop(fake);
	balloon_start_over(balloon);
	assert(balloon_report(balloon).assigned == RAM);
	balloon_set_target(balloon, RAM);
	fake->ram_used = HV_PAGE_SIZE;
	return 0;
}
