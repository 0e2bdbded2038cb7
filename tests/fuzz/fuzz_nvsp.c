/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Fuzzes the network protocol: a guest that says whatever it likes on the channels of an adapter,
 * gives and tears down its buffers, closes, gives up and opens channels in any order, and is reset,
 * while frames come, networks come and go or keep what they have, and the adapter is taken away.
 *
 * Input: records of a verb byte and what it takes. At the end the bus must come to rest, and the
 * adapter hold nothing.
 */
#include "tests/fake/netvsc.h"
#include "vsp/network/network.h"

#include <stdlib.h>
#include <string.h>

#define RAM_SIZE (64u << 20) /* enough for an adapter opened at every step */
#define STEPS    40
#define TURNS    3
#define CHANNELS 3

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

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
	struct network_adapter *adapter;
	struct fake_network *network; /* NULL: no link */
	bool network_freed;
	struct netvsc netvsc;
	bool open;
	bool removing, gone; /* the adapter */
};

static uint8_t take(struct input *input)
{
	return input->at < input->end ? *input->at++ : 0;
}

static uint32_t take_number(struct input *input)
{
	uint32_t number = take(input);

	return number < 0xf0 ? number : UINT32_MAX - (0xff - number);
}

static size_t take_bytes(struct input *input, uint8_t *bytes, size_t most)
{
	size_t size = MIN(most, (size_t)take(input) * 4);

	for (size_t i = 0; i < size; i++)
		bytes[i] = take(input);
	return size;
}

static struct fake_channel *pick(struct session *s, uint8_t number)
{
	return &s->netvsc.channels[number % s->netvsc.channel_count];
}

static void connect_network(struct session *s)
{
	if (s->removing)
		return;
	s->network_freed = false;
	s->network = fake_network_new(1 + take(&s->input) % 4);
	s->network->freed = &s->network_freed;
	network_adapter_connect(s->adapter, &s->network->backend);
}

static void send_message(struct session *s)
{
	uint8_t bytes[64] = { 0 }, channel = take(&s->input), flags = take(&s->input);
	struct nvsp_message message = { .type = take(&s->input) };

	take_bytes(&s->input, bytes, sizeof(bytes));
	memcpy(message.bytes, bytes, sizeof(message.bytes));
	if (flags & 2) {
		message.buffer.gpadl = flags & 16 ? s->netvsc.send_gpadl : s->netvsc.receive_gpadl;
		message.buffer.id = NVSP_RECEIVE_BUFFER_ID;
	}
	fake_send(pick(s, channel), flags & 4 ? RING_PACKET_COMPLETION : RING_PACKET_INBAND,
		  flags & RING_FLAG_COMPLETION_REQUESTED, take_number(&s->input), &message,
		  flags & 8 ? 8 : sizeof(message));
}

/* RNDIS of the input's, in the send buffer or in pages. */
static void send_rndis(struct session *s, uint32_t kind)
{
	uint8_t bytes[600], channel = take(&s->input), flags = take(&s->input);
	struct nvsp_message message = {
		.type = NVSP_SEND_RNDIS_PACKET,
		.rndis = { kind, NVSP_NO_SEND_SECTION, 0 },
	};
	uint32_t type = take(&s->input) % 10, size;

	size = (uint32_t)MAX(take_bytes(&s->input, bytes, sizeof(bytes)), (size_t)16);
	if (flags & 1) {
		memcpy(bytes, &type, 4);
		memcpy(bytes + 4, &size, 4);
	}
	if (!s->netvsc.page_pfns[0] || !s->netvsc.section_size)
		return;
	if (flags & 2) {
		netvsc_send_section(&s->netvsc, channel % s->netvsc.channel_count, 1, flags >> 4,
				    bytes, size);
		return;
	}
	if (flags & 4) {
		message.rndis.send_section = take_number(&s->input);
		message.rndis.send_section_size = take_number(&s->input);
	}
	memcpy(fake_memory(s->fake, gpa_from_pfn(s->netvsc.page_pfns[0]), HV_PAGE_SIZE), bytes,
	       size);
	fake_send_range(pick(s, channel), RING_FLAG_COMPLETION_REQUESTED, 2, s->netvsc.page_pfns, 0,
			size, &message, sizeof(message));
}

/* A well-formed packet with the input's information and frame. */
static void send_frame(struct session *s)
{
	uint8_t frame[600] = { 0 }, packet[700], channel = take(&s->input);
	uint32_t type = take(&s->input) % 12, info = 0;
	size_t size;

	for (unsigned i = 0; i < 4; i++)
		info = info << 8 | take(&s->input);
	size = MAX(take_bytes(&s->input, frame, sizeof(frame)), (size_t)14);
	size = netvsc_wrap(packet, frame, size, type, &info);
	if (s->netvsc.section_size)
		netvsc_send_section(&s->netvsc, channel % s->netvsc.channel_count, 3, channel % 8,
				    packet, size);
}

static void deliver(struct session *s)
{
	uint8_t bytes[600], flags = take(&s->input);
	struct virtio_net_hdr header = {
		.flags = flags & 3,
		.gso_type = flags & 4 ? VIRTIO_NET_HDR_GSO_TCPV4 : VIRTIO_NET_HDR_GSO_NONE,
		.csum_offset = take(&s->input),
	};
	static uint8_t frame[NET_FRAME_MAX];
	size_t size = take_bytes(&s->input, bytes, sizeof(bytes));

	memcpy(frame, bytes, size);
	if (flags & 8)
		memset(frame, 0xff, 6);
	if (flags & 16)
		size = (size_t)take(&s->input) * 257;
	if (s->network && !s->network_freed)
		fake_network_deliver(s->network, flags % s->network->backend.queue_count, &header,
				     frame, MIN(size, sizeof(frame)));
}

static void start(struct session *s)
{
	uint8_t flags = take(&s->input);

	s->open = !s->removing && s->fake->offer_count &&
		  netvsc_start(&s->netvsc, s->fake, NVSP_VERSION_6_1, flags & 1);
	if (s->open && (flags & 2))
		netvsc_open_sub_channels(&s->netvsc, CHANNELS - 1);
	if (s->open && (flags & 4))
		netvsc_enable_rss(&s->netvsc, s->netvsc.channel_count);
	s->netvsc.keep = flags & 8;
	s->netvsc.lax = true;
}

static void let_go(struct session *s)
{
	if (s->network_freed)
		return;
	s->network->slow = false;
	fake_network_release(s->network);
	fake_network_return(s->network);
}

static void reconnect(struct session *s)
{
	let_go(s);
	fake_stop(s->fake);
	s->open = false;
	require(fake_connect(s->fake, VMBUS_VERSION_5_3) && fake_request_offers(s->fake));
}

static void drain(struct session *s)
{
	for (unsigned channel = 0; s->open && channel < s->netvsc.channel_count; channel++)
		for (unsigned i = 0; i < 64 && netvsc_poll(&s->netvsc, channel); i++)
			;
}

static void post_relid(struct session *s, enum vmbus_message_type type, uint32_t relid)
{
	struct vmbus_message_relid message = { .header.type = type, .relid = relid };

	fake_post(s->fake, &message, sizeof(message));
}

static void tear_down(struct session *s, uint32_t gpadl)
{
	struct vmbus_message_gpadl_teardown message = {
		.header.type = VMBUS_MESSAGE_GPADL_TEARDOWN,
		.relid = s->netvsc.channels[0].relid,
		.gpadl = gpadl,
	};

	fake_post(s->fake, &message, sizeof(message));
}

static void begin(struct session *s)
{
	if (!s->open)
		start(s);
}

static void send_control(struct session *s)
{
	send_rndis(s, NVSP_CHANNEL_CONTROL);
}

static void send_data(struct session *s)
{
	send_rndis(s, NVSP_CHANNEL_DATA);
}

static void hold_frames(struct session *s)
{
	if (!s->network || s->network_freed)
		return;
	s->network->hold = take(&s->input) & 1;
	if (!s->network->hold)
		fake_network_release(s->network);
}

static void change_network(struct session *s)
{
	if (take(&s->input) & 1)
		connect_network(s);
	else if (!s->removing)
		network_adapter_disconnect(s->adapter);
}

static void hold_buffers(struct session *s)
{
	if (!s->network || s->network_freed)
		return;
	s->network->slow = take(&s->input) & 1;
	if (!s->network->slow)
		fake_network_return(s->network);
}

static void close_channel(struct session *s)
{
	post_relid(s, VMBUS_MESSAGE_CLOSE_CHANNEL, pick(s, take(&s->input))->relid);
}

static void give_up_channel(struct session *s)
{
	post_relid(s, VMBUS_MESSAGE_RELID_RELEASED, pick(s, take(&s->input))->relid);
}

static void open_channel(struct session *s)
{
	struct fake_channel *channel = pick(s, take(&s->input));

	fake_open_rings(channel, channel->out_pages, NULL);
}

static void tear_down_buffer(struct session *s)
{
	tear_down(s, take(&s->input) & 1 ? s->netvsc.send_gpadl : s->netvsc.receive_gpadl);
}

/* As for another MTU: the next step may begin anew. */
static void close_all(struct session *s)
{
	for (unsigned i = s->netvsc.channel_count; i-- > 0;)
		post_relid(s, VMBUS_MESSAGE_CLOSE_CHANNEL, s->netvsc.channels[i].relid);
	s->open = false;
}

static void removed(void *data)
{
	((struct session *)data)->gone = true;
}

static bool is_gone(void *data)
{
	return ((struct session *)data)->gone;
}

static void remove_adapter(struct session *s)
{
	if (s->removing || !(take(&s->input) & 1))
		return;
	s->removing = true;
	network_adapter_remove(s->adapter, 1000000, removed, s);
}

static const struct {
	void (*run)(struct session *s);
	bool open; /* it needs channels */
} verbs[] = {
	{ begin, false },           { send_message, true },    { send_message, true },
	{ send_control, true },     { send_control, true },    { send_data, true },
	{ send_frame, true },       { send_frame, true },      { deliver, false },
	{ deliver, false },         { drain, false },          { hold_frames, false },
	{ change_network, false },  { reconnect, false },      { hold_buffers, false },
	{ close_channel, true },    { give_up_channel, true }, { open_channel, true },
	{ tear_down_buffer, true }, { close_all, true },       { remove_adapter, false },
};

static void step(struct session *s)
{
	unsigned verb = take(&s->input) % ARRAY_SIZE(verbs);

	if (s->open || !verbs[verb].open)
		verbs[verb].run(s);
}

/* The guest goes, and then nothing of it is left. */
static void finish(struct session *s)
{
	struct network_counters counters;

	let_go(s);
	fake_stop(s->fake);
	if (s->removing) {
		require(fake_run_until(s->fake, is_gone, s));
	} else {
		network_adapter_counters(s->adapter, &counters);
		require(counters.lent == 0 && counters.sending == 0 && counters.channels == 0);
		network_adapter_free(s->adapter);
	}
	fake_free(s->fake);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct network_options options = {
		.instance = GUID(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11),
		.mac = { 2, 0, 0, 0, 0, 1 },
		.name = "nic",
		.channel_max = CHANNELS,
		.mtu = 1500,
		.mac_changeable = true,
	};
	struct session session = { .input = { data, data + size } }, *s = &session;

	s->fake = fake_new(2, RAM_SIZE);
	fake_choose_waits(s->fake, data, size);
	require(network_adapter_new(s->fake->bus, &options, &s->adapter) == 0);
	connect_network(s);
	require(fake_connect(s->fake, VMBUS_VERSION_5_3) && fake_request_offers(s->fake));
	for (unsigned i = 0; i < STEPS && s->input.at < s->input.end; i++) {
		step(s);
		for (unsigned turn = 0; turn < TURNS; turn++)
			fake_run(s->fake);
	}
	finish(s);
	return 0;
}
