/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Fuzzes the storage protocol: a guest that says whatever it likes on the channels of a controller,
 * closes and opens them, and is reset, while units come and go.
 *
 * Input: records of a verb byte and what it takes; one that ends with LAST_OF_IDE is for an IDE disk. At the end the bus must come to rest, and the
 * controller hold nothing.
 */
#include "tests/fake/disk_fault.h"
#include "tests/fake/disk_memory.h"
#include "tests/fake/storvsc.h"
#include "vsp/storage/storage.h"

#include <stdlib.h>
#include <string.h>

#define DISK_SIZE (1u << 20)
#define RAM_SIZE  (128u << 20) /* enough for a channel opened at every step */
#define STEPS     64
#define TURNS     4

#define LAST_OF_IDE 0xee

static void require(bool condition)
{
	if (!condition)
		abort();
}

struct input {
	const uint8_t *at, *end;
};

struct session {
	struct input input;
	struct fake *fake;
	struct storage_controller *controller;
	struct disk *disk; /* of unit 0, with faults; NULL when it is gone */
	struct storvsc channels[2];
	bool open[2];
	uint8_t target; /* the one that there is */
};

static uint8_t take(struct input *input)
{
	return input->at < input->end ? *input->at++ : 0;
}

static void take_bytes(struct input *input, void *data, size_t size)
{
	for (size_t i = 0; i < size; i++)
		((uint8_t *)data)[i] = take(input);
}

static struct disk *new_disk(struct session *s)
{
	struct disk *disk;
	int r = disk_memory_new(s->fake->loop, DISK_SIZE, 512, &disk);

	require(r == 0);
	return disk_fault_new(s->fake->loop, disk);
}

static void attach(struct session *s)
{
	struct disk *disk = new_disk(s);

	if (storage_attach(s->controller, 0, &(struct storage_unit){ 0 }, disk))
		disk_retire(disk, NULL, NULL);
	else
		s->disk = disk;
}

static void detach(struct session *s)
{
	/* A disk that holds on to requests would keep them for ever. */
	if (s->disk)
		disk_fault_release(s->disk);
	if (!storage_detach(s->controller, 0, NULL, NULL))
		s->disk = NULL;
}

static void start(struct session *s)
{
	s->open[0] = s->fake->offer_count && storvsc_start(&s->channels[0], s->fake);
}

/* An SRB whose fields are the input's, but for those that would mostly end it early. */
static void send_srb(struct session *s, struct storvsc *channel)
{
	struct storvsp_packet packet = { .operation = STORVSP_EXECUTE_SRB };
	uint8_t tame = take(&s->input);
	uint32_t size, range;

	take_bytes(&s->input, &packet.srb, sizeof(packet.srb));
	if (tame & 1) {
		packet.srb.path = packet.srb.lun = 0;
		packet.srb.target = s->target;
	}
	if (tame & 2)
		packet.srb.cdb_length = 16;
	if (tame & 4)
		packet.srb.data_in %= 3;
	size = packet.srb.transfer_length % STORVSC_DATA_SIZE;
	if (tame & 8)
		packet.srb.transfer_length = size;
	range = tame & 16 ? size / 2 : size;
	if (range)
		fake_send_range(&channel->channel, RING_FLAG_COMPLETION_REQUESTED, tame,
				channel->pfns, tame & 32 ? 512 : 0, range, &packet, sizeof(packet));
	else
		storvsc_send(channel, tame, &packet);
}

static void send_anything(struct session *s, struct storvsc *channel)
{
	uint8_t bytes[96];
	uint32_t size = take(&s->input) % sizeof(bytes);
	uint16_t type = take(&s->input) % 16, flags = take(&s->input) & 1;

	take_bytes(&s->input, bytes, size);
	if (type == RING_PACKET_GPA_DIRECT)
		type = RING_PACKET_INBAND;
	fake_send(&channel->channel, type, flags, 0, bytes, size);
}

/* Whatever operation, sent as the driver would. */
static void send_operation(struct session *s, struct storvsc *channel)
{
	struct storvsp_packet packet = { .operation = take(&s->input) % 16 };

	packet.sub_channel_count = take(&s->input) % 8;
	storvsc_send(channel, STORVSC_INIT_ID, &packet);
}

static void receive_all(struct storvsc *channel)
{
	while (storvsc_receive_now(channel))
		require(channel->reply.operation == STORVSP_COMPLETE_IO);
}

static void run(struct session *s)
{
	for (unsigned i = 0; i < TURNS; i++)
		fake_run(s->fake);
}

static void toggle(struct session *s, unsigned index)
{
	if (s->open[index]) {
		if (s->disk)
			disk_fault_release(s->disk);
		s->open[index] = false;
		fake_close(&s->channels[index].channel);
	} else if (index == 0) {
		start(s);
	} else {
		for (size_t i = 0; i < s->fake->offer_count; i++)
			if (s->fake->offers[i].sub_channel_index == 1)
				s->open[index] = storvsc_open(&s->channels[index], s->fake, 1, 8);
	}
}

static void reset_done(void *data)
{
	*(bool *)data = true;
}

static bool is_true(void *data)
{
	return *(bool *)data;
}

/* The machine is reset, and a guest that knows nothing of the last one connects. */
static void reset(struct session *s)
{
	bool done = false;

	if (s->disk)
		disk_fault_release(s->disk);
	vmbus_reset(s->fake->bus, reset_done, &done);
	require(done || fake_run_until(s->fake, is_true, &done));
	fake_was_reset(s->fake);
	s->open[0] = s->open[1] = false;
	memset(s->fake->ram, 0, s->fake->ram_used);
	s->fake->ram_used = HV_PAGE_SIZE;
	s->fake->inbox_count = s->fake->offer_count = 0;
	require(fake_connect(s->fake, VMBUS_VERSION_5_3) && fake_request_offers(s->fake));
	require(s->fake->offer_count == 1);
}

static void step(struct session *s)
{
	uint8_t verb = take(&s->input);
	unsigned index = verb >> 7;
	struct storvsc *channel = &s->channels[index];

	switch (verb & 0x0f) {
	case 0:
		toggle(s, index);
		break;
	case 1:
		detach(s);
		break;
	case 2:
		attach(s);
		break;
	case 3:
		if (s->disk)
			disk_fault_hold(s->disk);
		break;
	case 4:
		if (s->disk)
			disk_fault_release(s->disk);
		break;
	case 6:
		reset(s);
		break;
	case 7:
		run(s);
		break;
	case 8:
		if (s->open[index])
			receive_all(channel);
		break;
	case 9:
		if (s->open[index])
			send_anything(s, channel);
		break;
	case 10:
	case 11:
		if (s->open[index])
			send_operation(s, channel);
		break;
	default:
		if (s->open[index])
			send_srb(s, channel);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static const struct storage_options options[] = {
		{ .sub_channel_max = STORAGE_SUB_CHANNELS_AUTOMATIC },
		{ .kind = STORAGE_IDE, .ide_device = 1 },
	};
	/* Kept from one input to the next: making an io_uring takes longer than using it. */
	static struct session sessions[ARRAY_SIZE(options)];
	bool ide = size > 0 && bytes[size - 1] == LAST_OF_IDE;
	struct session *s = &sessions[ide];
	struct storage_counters counters;

	if (!s->fake) {
		s->fake = fake_new(2, RAM_SIZE);
		s->target = options[ide].ide_device;
		require(storage_controller_new(s->fake->bus, &options[ide], &s->controller) == 0);
	}
	s->input = (struct input){ bytes, bytes + size };
	reset(s);
	fake_choose_waits(s->fake, bytes, size);
	attach(s);
	start(s);
	require(s->open[0]);
	for (unsigned i = 0; s->input.at < s->input.end && i < STEPS; i++)
		step(s);
	detach(s);
	reset(s);
	storage_counters(s->controller, &counters);
	require(counters.in_flight == 0 && counters.sub_channels == 0);
	return 0;
}
