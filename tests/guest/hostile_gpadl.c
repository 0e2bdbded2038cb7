/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * GPADLs that describe nothing, too much, or what is in use.
 */
#include "guest-vsc/machine.h"
#include "tests/guest/hostile.h"

struct garbled_gpadl {
	uint16_t range_size, range_count;
	uint32_t byte_count, byte_offset;
	uint64_t pfns[2]; /* small ones are pages of hostile_shared */
};

static uint64_t page_frame(uint64_t pfn)
{
	return pfn < RIG_RING_PAGES ? machine_gpa(hostile_shared) / RING_PAGE_SIZE + pfn : pfn;
}

static void post_garbled_gpadl(const struct garbled_gpadl *garbled, uint32_t gpadl)
{
	struct {
		struct vmbus_message_gpadl_header header;
		uint32_t byte_count, byte_offset;
		uint64_t pfns[2];
	} PACKED message = {
		.header = {
			.header.type = VMBUS_MESSAGE_GPADL_HEADER,
			.relid = hostile_relid(),
			.gpadl = gpadl,
			.range_size = garbled->range_size,
			.range_count = garbled->range_count,
		},
		.byte_count = garbled->byte_count,
		.byte_offset = garbled->byte_offset,
		.pfns = { page_frame(garbled->pfns[0]), page_frame(garbled->pfns[1]) },
	};

	HOSTILE_POST(message);
}

static void garbled_gpadls(unsigned variant)
{
	static const struct garbled_gpadl garbled[] = {
		{ 24, 0, 8192, 0, { 0, 1 } },
		{ 24, 2, 8192, 0, { 0, 1 } },
		{ 24, 65535, 8192, 0, { 0, 1 } },
		{ 0, 1, 8192, 0, { 0, 1 } },
		{ 7, 1, 8192, 0, { 0, 1 } },
		{ 65535, 1, UINT32_MAX, 0, { 0, 1 } },
		{ 24, 1, 0, 0, { 0, 1 } },
		{ 24, 1, UINT32_MAX, 0, { 0, 1 } },
		{ 24, 1, 8192, 4096, { 0, 1 } },
		{ 24, 1, 8192, UINT32_MAX, { 0, 1 } },
		{ 24, 1, UINT32_MAX, UINT32_MAX, { 0, 1 } },
		{ 24, 1, 8192, 0, { HOSTILE_WILD_PFN, HOSTILE_WILD_PFN } },
		{ 24, 1, 8192, 0, { HOSTILE_HOLE_PFN, UINT64_MAX } },
		{ 24, 1, 8192, 0, { 0, 0 } },
		{ 24, 1, 4096, 0, { 0, 1 } },
	};

	for (uint32_t i = 0; i < ARRAY_SIZE(garbled); i++) {
		post_garbled_gpadl(&garbled[i], 0x5000 + i);
		HOSTILE_POST((struct vmbus_message_open_channel){
			.header.type = VMBUS_MESSAGE_OPEN_CHANNEL,
			.relid = hostile_relid(),
			.ring_gpadl = 0x5000 + i,
			.downstream_page = 1 });
		HOSTILE_POST((struct vmbus_message_relid){
			.header.type = VMBUS_MESSAGE_CLOSE_CHANNEL, .relid = hostile_relid() });
	}
}

static void gpadl_bodies_without_header(unsigned variant)
{
	struct {
		struct vmbus_message_gpadl_body body;
		uint64_t pfns[28];
	} PACKED message = { .body.header.type = VMBUS_MESSAGE_GPADL_BODY };

	for (uint32_t i = 0; i < 16; i++) {
		message.body.gpadl = i * 0x11111111;
		HOSTILE_POST(message);
	}
}

/* Each promises 8190 pages and gives two: memory of the host's, if it lets us. */
static void unfinished_gpadls(unsigned variant)
{
	static const struct garbled_gpadl promise = { 65528, 1, 8190 * 4096, 0, { 0, 1 } };

	for (uint32_t i = 0; i < 1500; i++)
		post_garbled_gpadl(&promise, 0x10000 + i);
}

static void same_gpadl_again(unsigned variant)
{
	static const struct garbled_gpadl good = { 24, 1, 8192, 0, { 0, 1 } };

	for (uint32_t i = 0; i < 8; i++)
		post_garbled_gpadl(&good, rig.storage.channels[0].gpadl);
}

static void teardown_garbage(unsigned variant)
{
	struct vmbus_message_gpadl_teardown teardown = {
		.header.type = VMBUS_MESSAGE_GPADL_TEARDOWN,
		.relid = hostile_relid(),
	};

	for (uint32_t i = 0; i < 4; i++) {
		teardown.gpadl = 0xdead + i;
		HOSTILE_POST(teardown);
	}
	teardown.gpadl = rig.storage.channels[0].gpadl; /* in use */
	HOSTILE_POST(teardown);
	teardown.relid++;
	HOSTILE_POST(teardown);
	client_channel_ring_doorbell(&rig.storage.channels[0]);
}

const struct attack hostile_gpadls[] = {
	{ "garbled GPADLs", garbled_gpadls, 1, 0 },
	{ "GPADL bodies without header", gpadl_bodies_without_header, 1, 0 },
	{ "unfinished GPADLs", unfinished_gpadls, 1, 0 },
	{ "the same GPADL again", same_gpadl_again, 1, HOSTILE_OPEN },
	{ "tearing down GPADLs in use", teardown_garbage, 1, HOSTILE_OPEN },
	{ 0 },
};
