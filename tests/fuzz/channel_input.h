/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What fuzz targets of devices with a channel of messages share: an input that is taken byte by
 * byte, packets made of it, and reading what has come.
 */
#pragma once

#include "tests/fake/fake.h"

#include <assert.h>

#define INPUT_PACKET_MAX 64

struct input {
	const uint8_t *bytes;
	size_t size;
};

/* The next byte; 0 when there is no more. */
static inline uint8_t take(struct input *input)
{
	if (input->size == 0)
		return 0;
	input->size--;
	return *input->bytes++;
}

/* A packet of fewer than `limit` bytes of the input, which is of the kind that is expected, or not. */
static inline void input_send_packet(struct input *input, struct fake_channel *channel,
				     uint8_t limit)
{
	const uint8_t type = take(input), size = take(input) % limit;
	uint8_t message[INPUT_PACKET_MAX];

	assert(limit <= sizeof(message));
	for (uint8_t i = 0; i < size; i++)
		message[i] = take(input);
	fake_send(channel, type & 1 ? RING_PACKET_INBAND : RING_PACKET_COMPLETION, 0, 0, message,
		  size);
}

/* All that has come, of which no packet has more than `limit` bytes. */
static inline void input_read_all(struct fake_channel *channel, size_t limit)
{
	struct ring_packet packet;

	while (fake_receive_now(channel, &packet))
		assert(packet.payload_size <= limit);
}
