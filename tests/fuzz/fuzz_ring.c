/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A ring whose shared memory the fuzzer writes, between and after what both ends do to it.
 *
 * Input: a byte of page count and placement, then steps, each a byte and what it needs.
 */
#include "common/wire/ring.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define PAGE_MAX 6u

struct input {
	const uint8_t *bytes;
	size_t size;
};

static uint32_t take(struct input *input, unsigned bytes)
{
	uint32_t value = 0;

	while (bytes-- > 0 && input->size > 0) {
		value = value << 8 | *input->bytes++;
		input->size--;
	}
	return value;
}

/* Of the exact size of the data area, so that the sanitizer sees what goes beyond. */
static void read_one(struct ring *reader, uint32_t buffer_size)
{
	uint64_t *buffer = malloc(buffer_size ? buffer_size : 1);
	struct ring_packet packet;
	const uint8_t *begin = (const uint8_t *)buffer;

	if (ring_read(reader, buffer, buffer_size, &packet) == 0) {
		const uint8_t *payload = packet.payload;
		volatile uint8_t sum = 0;

		assert(payload == begin + packet.extension_size);
		assert(payload + packet.payload_size <= begin + buffer_size);
		for (uint32_t i = 0; i < packet.extension_size + packet.payload_size; i++)
			sum = (uint8_t)(sum + begin[i]);
	}
	free(buffer);
}

static void write_one(struct ring *writer, uint32_t extension_size, uint32_t payload_size)
{
	static const uint8_t zeros[256 * 8 + 65536];
	struct ring_packet packet = {
		.type = RING_PACKET_INBAND,
		.extension = zeros,
		.extension_size = extension_size,
		.payload = zeros,
		.payload_size = payload_size,
	};

	(void)!ring_write(writer, &packet);
}

static void check(const struct ring *ring)
{
	assert(ring->position < ring->size && ring->position % 8 == 0);
	assert(ring->published < ring->size && ring->published % 8 == 0);
}

static void step(struct input *input, struct ring *writer, struct ring *reader, uint8_t **pages,
		 uint32_t page_count)
{
	uint32_t *control = (uint32_t *)pages[0];
	uint32_t place;

	switch (take(input, 1) % 10) {
	case 0:
		read_one(reader, take(input, 1) % 2 ? reader->size : take(input, 2) & ~7u);
		break;
	case 1:
		write_one(writer, take(input, 1) * 8, take(input, 2));
		break;
	case 2:
		(void)!ring_publish_read(reader);
		break;
	case 3:
		(void)!ring_publish_written(writer);
		break;
	case 4:
		ring_mask(reader);
		break;
	case 5:
		(void)!ring_unmask(reader);
		break;
	case 6:
		(void)!ring_await_space(writer, take(input, 2));
		break;
	case 7:
		ring_forget_space(writer);
		break;
	case 8: /* a word of the control page; indices come in range more often than by chance */
		place = take(input, 1) % 5;
		control[place == 4 ? 16 : place] =
			take(input, 1) % 2 ? take(input, 4) : take(input, 2) & ~7u;
		break;
	case 9: /* some data */
		place = take(input, 2) % ((page_count - 1) * RING_PAGE_SIZE - 8);
		for (unsigned i = 0; i < 8; i++, place++)
			pages[1 + place / RING_PAGE_SIZE][place % RING_PAGE_SIZE] =
				(uint8_t)take(input, 1);
		break;
	}
	check(writer);
	check(reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { .bytes = data, .size = size };
	uint32_t page_count = 2 + take(&input, 1) % (PAGE_MAX - 1);
	uint8_t *memory = aligned_alloc(RING_PAGE_SIZE, page_count * RING_PAGE_SIZE);
	bool backwards = take(&input, 1) % 2;
	uint8_t *pages[PAGE_MAX];
	struct ring writer, reader;

	memset(memory, 0, page_count * RING_PAGE_SIZE);
	for (uint32_t i = 0; i < page_count; i++)
		pages[i] = memory + (backwards ? page_count - 1 - i : i) * RING_PAGE_SIZE;
	if (ring_init_writer(&writer, pages, page_count) ||
	    ring_init_reader(&reader, pages, page_count))
		abort();
	while (input.size > 0)
		step(&input, &writer, &reader, pages, page_count);
	free(memory);
	return 0;
}
