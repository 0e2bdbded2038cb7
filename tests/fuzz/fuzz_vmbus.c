/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Channel messages in any order, with devices that come, go, and are slow to let go.
 *
 * Input: steps. A step posts a message (of the fuzzer's bytes, or well-formed but for the fields
 * that it fills), lets the host run, takes messages from the slots, writes into guest memory, rings
 * a doorbell, or makes a device do something. At the end the machine is reset: whatever the guest
 * did, everything must come to rest, and nothing may be left.
 */
#include "tests/fake/echo.h"
#include "tests/fake/fake.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#define ECHO_COUNT 4
#define RING_PAGES 8 /* of every GPADL that is well-formed: the first pages of RAM, in turn */
#define BODY_PAGES 4 /* more, of GPADL 7 */

struct input {
	const uint8_t *bytes;
	size_t size;
};

static struct fake *fake;
static struct echo echoes[ECHO_COUNT];

static uint32_t take(struct input *input, unsigned bytes)
{
	uint32_t value = 0;

	while (bytes-- > 0 && input->size > 0) {
		value = value << 8 | *input->bytes++;
		input->size--;
	}
	return value;
}

static void post_raw(struct input *input)
{
	size_t size = take(input, 1);
	uint8_t *message = malloc(size ? size : 1);

	for (size_t i = 0; i < size; i++)
		message[i] = (uint8_t)take(input, 1);
	/* The types there are, more often than by chance. */
	if (size >= 4 && take(input, 1) % 4) {
		uint32_t type = message[0] % 26;

		memcpy(message, &type, sizeof(type));
	}
	vmbus_receive_message(fake->bus, take(input, 1) % 8, message, size);
	free(message);
}

static void post_contact(struct input *input)
{
	static const uint32_t versions[] = { VMBUS_VERSION_2_4, VMBUS_VERSION_4_1,
					     VMBUS_VERSION_5_0, VMBUS_VERSION_5_3 };
	struct vmbus_message_initiate_contact message = {
		.header.type = VMBUS_MESSAGE_INITIATE_CONTACT,
		.version = versions[take(input, 1) % ARRAY_SIZE(versions)],
		.target_vp = take(input, 1) % 4 ? 0 : take(input, 1),
		.sint = VMBUS_SINT,
	};

	fake->connection_id = message.version >= VMBUS_VERSION_5_0 ? 4 : 1;
	fake_post(fake, &message, sizeof(message));
}

/* REQUEST_OFFERS, CLOSE_CHANNEL, RELID_RELEASED, UNLOAD. */
static void post_short(struct input *input, uint32_t type)
{
	struct vmbus_message_relid message = {
		.header.type = type,
		.relid = take(input, 1) % 8,
	};

	fake_post(fake, &message, sizeof(message));
}

/* Complete, or in want of a body. */
static void post_gpadl(struct input *input)
{
	struct {
		struct vmbus_message_gpadl_header header;
		struct vmbus_gpa_range range;
		uint64_t pfns[RING_PAGES];
	} PACKED message = {
		.header.header.type = VMBUS_MESSAGE_GPADL_HEADER,
		.header.range_count = 1,
	};
	uint32_t pages = RING_PAGES;

	message.header.relid = take(input, 1) % 8;
	message.header.gpadl = take(input, 1) % 8;
	if (message.header.gpadl == 7)
		pages += BODY_PAGES;
	message.header.range_size = (uint16_t)((1 + pages) * sizeof(uint64_t));
	message.range.byte_count = pages * HV_PAGE_SIZE;
	for (unsigned i = 0; i < RING_PAGES; i++)
		message.pfns[i] = message.header.gpadl * RING_PAGES + i;
	fake_post(fake, &message, sizeof(message));
}

static void post_gpadl_body(struct input *input)
{
	struct {
		struct vmbus_message_gpadl_body header;
		uint64_t pfns[BODY_PAGES];
	} PACKED message = {
		.header.header.type = VMBUS_MESSAGE_GPADL_BODY,
		.header.gpadl = take(input, 1) % 8,
	};

	for (unsigned i = 0; i < BODY_PAGES; i++)
		message.pfns[i] = i;
	fake_post(fake, &message, sizeof(message));
}

static void post_open(struct input *input)
{
	struct vmbus_message_open_channel message = {
		.header.type = VMBUS_MESSAGE_OPEN_CHANNEL,
		.relid = take(input, 1) % 8,
		.ring_gpadl = take(input, 1) % 8,
		.target_vp = take(input, 1) % 4,
		.downstream_page = take(input, 1) % (RING_PAGES + 2),
	};

	fake_post(fake, &message, sizeof(message));
}

static void post_pair(struct input *input, uint32_t type)
{
	struct vmbus_message_modify_channel message = {
		.header.type = type,
		.relid = take(input, 1) % 8,
		.target_vp = take(input, 1) % 8, /* or the GPADL */
	};

	fake_post(fake, &message, sizeof(message));
}

static void poke_memory(struct input *input)
{
	uint32_t page = take(input, 1) % (8 * RING_PAGES), place = take(input, 1) * 8 % 128;
	uint64_t value = take(input, 4);

	memcpy(fake->ram + page * HV_PAGE_SIZE + place, &value, sizeof(value));
}

/*
 * Packets that are well-formed on the outside, from where the host reads next, in a ring that ends
 * where a downstream page of 4 lets it end.
 */
static void poke_packets(struct input *input)
{
	uint8_t *memory = fake->ram + take(input, 1) % 8 * RING_PAGES * HV_PAGE_SIZE;
	uint32_t type = take(input, 1), offset = take(input, 1), length = take(input, 1);
	unsigned count = take(input, 1) + 1;
	uint8_t packet[16 * 8] = { 0 };
	struct ring_descriptor descriptor = {
		.type = type % 2 ? RING_PACKET_GPA_DIRECT : RING_PACKET_INBAND,
		.offset8 = (uint16_t)(2 + offset % 4),
		.length8 = (uint16_t)(2 + length % 12),
		.flags = 1,
	};
	struct ring_control *control = (struct ring_control *)memory;
	uint32_t size = (descriptor.length8 + 1u) * 8, end = 3 * HV_PAGE_SIZE;
	uint32_t index = control->read_index & ~7u;

	memcpy(packet, &descriptor, sizeof(descriptor));
	for (uint32_t i = sizeof(descriptor); i < size; i++)
		packet[i] = (uint8_t)take(input, 1);
	while (count-- > 0)
		for (uint32_t i = 0; i < size; i++, index++)
			memory[HV_PAGE_SIZE + index % end] = packet[i];
	control->write_index = index % end;
}

static void ring_doorbells(void)
{
	for (unsigned i = 0; i < fake->connection_count; i++)
		eventfd_write(fake->connections[i].event_fd, 1);
}

static void settle_closing(struct echo *echo)
{
	if (echo->held) {
		echo->held = false;
		vmbus_channel_closed(echo->channel);
	}
}

static void move_device(struct input *input)
{
	struct echo *echo = &echoes[take(input, 1) % ECHO_COUNT];
	uint32_t move = take(input, 1) % 8;

	switch (move) {
	case 0:
		if (!echo->channel)
			echo_offer(echo, fake->bus, (uint8_t)take(input, 1), 0);
		break;
	case 1:
		if (echo->channel && !echo->rescinding) {
			echo->rescinding = true;
			vmbus_channel_rescind(echo->channel);
		}
		break;
	case 2:
		settle_closing(echo);
		break;
	case 3:
		if (echo->channel && vmbus_channel_is_open(echo->channel))
			echo_receive(echo);
		break;
	case 4:
		echo->busy = !echo->busy;
		break;
	case 5:
		echo->silent = !echo->silent;
		break;
	case 6:
		if (!echo->held)
			echo->hold_close = !echo->hold_close;
		break;
	case 7:
		echo->open_result = echo->open_result ? 0 : -1;
		break;
	}
}

static void step(struct input *input)
{
	switch (take(input, 1) % 18) {
	case 0:
		post_raw(input);
		break;
	case 1:
		post_contact(input);
		break;
	case 2:
		post_short(input, VMBUS_MESSAGE_REQUEST_OFFERS);
		break;
	case 3:
		post_short(input, VMBUS_MESSAGE_CLOSE_CHANNEL);
		break;
	case 4:
		post_short(input, VMBUS_MESSAGE_RELID_RELEASED);
		break;
	case 5:
		post_short(input, VMBUS_MESSAGE_UNLOAD);
		break;
	case 6:
		post_gpadl(input);
		break;
	case 7:
		post_gpadl_body(input);
		break;
	case 8:
	case 9:
		post_open(input);
		break;
	case 10:
		post_pair(input, VMBUS_MESSAGE_MODIFY_CHANNEL);
		break;
	case 11:
		post_pair(input, VMBUS_MESSAGE_GPADL_TEARDOWN);
		break;
	case 12:
		fake_run(fake);
		break;
	case 13:
		fake->hold_slots = !fake->hold_slots;
		break;
	case 14:
		poke_memory(input);
		break;
	case 15:
		poke_packets(input);
		break;
	case 16:
		ring_doorbells();
		break;
	case 17:
		move_device(input);
		break;
	}
}

static void rest(void)
{
	for (unsigned i = 0; i < ECHO_COUNT; i++) {
		settle_closing(&echoes[i]);
		echoes[i].hold_close = false;
	}
	fake->hold_slots = false;
	fake_stop(fake);
	assert(fake->connection_count == 0);
	for (unsigned i = 0; i < ECHO_COUNT; i++) {
		assert(echoes[i].opens == echoes[i].closes);
		vmbus_channel_free(echoes[i].channel);
		memset(&echoes[i], 0, sizeof(echoes[i]));
	}
	fake_settle(fake); /* the loop lets go of doorbells */
	fake->inbox_count = fake->offer_count = 0;
	fake->connection_id = 0;
	memset(fake->ram, 0, fake->ram_size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { .bytes = data, .size = size };

	if (!fake)
		fake = fake_new(4, 8 * RING_PAGES * HV_PAGE_SIZE);
	fake_choose_waits(fake, data, size);
	for (unsigned i = 0; i < ECHO_COUNT - 1; i++)
		echo_offer(&echoes[i], fake->bus, (uint8_t)i, 0);
	while (input.size > 0)
		step(&input);
	rest();
	return 0;
}
