/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Rings whose indices and descriptors lie.
 */
#include "guest-vsc/memory.h"
#include "tests/guest/hostile.h"
#include "tests/guest/pattern.h"

static const uint32_t wild_indices[] = {
	1,
	4,
	12,
	0xfffff000,
	UINT32_MAX,
	0x80000000,
	RIG_RING_PAGES / 2 * RING_PAGE_SIZE,
	(RIG_RING_PAGES / 2 - 1) * RING_PAGE_SIZE,
	(RIG_RING_PAGES / 2 - 1) * RING_PAGE_SIZE - 8,
};

static void wild_write_index(unsigned variant)
{
	hostile_channel()->outgoing.control->write_index = wild_indices[variant];
	client_channel_ring_doorbell(hostile_channel());
}

/* The host finds it when it answers. */
static void wild_read_index(unsigned variant)
{
	struct storvsc_request request = disk_client_read(&rig.disk, 0, hostile_buffer, 4096);

	hostile_channel()->incoming.control->read_index = wild_indices[variant];
	if (storvsc_client_submit(&rig.storage, 0, &request) == 0)
		storvsc_client_flush(&rig.storage);
}

/* Indices that change all the time, while the host works. */
static void restless_indices(unsigned variant)
{
	struct ring_control *control = hostile_channel()->outgoing.control;

	for (unsigned i = 0; i < 200; i++) {
		control->write_index = (uint32_t)pattern_random(UINT32_MAX) & ~7u;
		control->interrupt_mask = (uint32_t)pattern_random(2);
		control->pending_send_size = (uint32_t)pattern_random(UINT32_MAX);
		hostile_channel()->incoming.control->read_index =
			(uint32_t)pattern_random(UINT32_MAX);
		hostile_channel()->incoming.control->interrupt_mask = (uint32_t)pattern_random(2);
		client_channel_ring_doorbell(hostile_channel());
	}
}

/* Puts bytes into the ring as they are, and publishes `published` of them. */
static void put_raw(const void *bytes, uint32_t size, uint32_t published)
{
	struct ring *ring = &hostile_channel()->outgoing;

	memcpy(ring->flat + ring->position, bytes, size);
	__atomic_store_n(&ring->control->write_index, ring->position + published, __ATOMIC_RELEASE);
	client_channel_ring_doorbell(hostile_channel());
}

static const struct ring_descriptor descriptors[] = {
	{ RING_PACKET_INBAND, 0, 0, 1, 7 },
	{ RING_PACKET_INBAND, 2, 0, 1, 7 },
	{ RING_PACKET_INBAND, 1, 10, 1, 7 },
	{ RING_PACKET_INBAND, 11, 10, 1, 7 },
	{ RING_PACKET_INBAND, 65535, 10, 1, 7 },
	{ RING_PACKET_INBAND, 2, 65535, 1, 7 },
	{ RING_PACKET_INBAND, 65535, 65535, 65535, UINT64_MAX },
	{ RING_PACKET_INBAND, 2, 2, 1, 7 },
	{ RING_PACKET_INBAND, 2, 4, 1, 7 },
	{ RING_PACKET_GPA_DIRECT, 2, 10, 1, 7 },
	{ RING_PACKET_GPA_DIRECT, 3, 10, 1, 7 },
	{ RING_PACKET_TRANSFER_PAGES, 4, 12, 1, 7 },
	{ RING_PACKET_GPADL, 4, 12, 1, 7 },
	{ RING_PACKET_CANCEL, 2, 10, 1, 7 },
	{ RING_PACKET_COMPLETION, 2, 10, 1, 7 },
	{ 0, 2, 10, 1, 7 },
	{ 65535, 2, 10, 1, 7 },
};

static void garbled_descriptors(unsigned variant)
{
	uint8_t packet[256];

	memset(packet, 0x5a, sizeof(packet));
	memcpy(packet, &descriptors[variant], sizeof(descriptors[variant]));
	put_raw(packet, sizeof(packet), 88);
}

static void truncated_descriptor(unsigned variant)
{
	static const struct ring_descriptor descriptor = { RING_PACKET_INBAND, 2, 10, 1, 7 };

	put_raw(&descriptor, sizeof(descriptor), 8);
}

const struct attack hostile_rings[] = {
	{ "a wild write index", wild_write_index, ARRAY_SIZE(wild_indices), HOSTILE_OPEN },
	{ "a wild read index", wild_read_index, ARRAY_SIZE(wild_indices), HOSTILE_OPEN },
	{ "restless indices", restless_indices, 1, HOSTILE_OPEN },
	{ "garbled descriptors", garbled_descriptors, ARRAY_SIZE(descriptors), HOSTILE_OPEN },
	{ "a truncated descriptor", truncated_descriptor, 1, HOSTILE_OPEN },
	{ 0 },
};
