/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The network VSP against the fake guest: frames from the guest. */
#include "tests/unit/vsp/network/netvsp_fixture.h"

static void test_send_section(void **state)
{
	struct netvsc *netvsc = &fixture.netvsc;
	uint8_t frame[200], packet[1000];
	size_t size = 0;

	start(false);
	fill_frame(frame, sizeof(frame));
	/* Three in one packet, padded to 8 bytes between. */
	for (unsigned i = 0; i < 3; i++) {
		frame[20] = (uint8_t)i;
		size_t one = netvsc_wrap(packet + size, frame, 100 + i, 0, NULL);
		uint32_t padded = (uint32_t)ALIGN_UP(one, 8u);

		memcpy(packet + size + 4, &padded, 4);
		size += padded;
	}
	assert_true(netvsc_send_section(netvsc, 0, 7, 3, packet, size));
	assert_int_equal(netvsc_await_sent(netvsc, 0, 7), NVSP_STATUS_SUCCESS);
	assert_int_equal(fixture.network->sent_count, 3);
	for (unsigned i = 0; i < 3; i++) {
		frame[20] = (uint8_t)i;
		assert_int_equal(fixture.network->sent[i].size, 100 + i);
		assert_memory_equal(fixture.network->sent[i].bytes, frame, 100 + i);
	}
	assert_int_equal(counters().sent_frames, 3);
	assert_int_equal(counters().sent_bytes, 303);
	assert_int_equal(counters().sending, 0);
}

static void test_send_pages(void **state)
{
	struct netvsc *netvsc = &fixture.netvsc;
	uint8_t frame[9014], packet[9200];
	size_t size;

	start(false);
	fill_frame(frame, sizeof(frame));
	size = netvsc_wrap(packet, frame, sizeof(frame), 0, NULL);
	assert_true(netvsc_send_pages(netvsc, 0, 8, packet, size));
	assert_int_equal(netvsc_await_sent(netvsc, 0, 8), NVSP_STATUS_SUCCESS);
	assert_int_equal(fake_network_last(fixture.network)->size, sizeof(frame));
	assert_memory_equal(fake_network_last(fixture.network)->bytes, frame, sizeof(frame));
	assert_int_equal(fake_network_last(fixture.network)->header.flags, 0);
}

/* The envelope in the send buffer, the frame in pages. */
static void test_send_split(void **state)
{
	struct netvsc *netvsc = &fixture.netvsc;
	uint8_t frame[2000], packet[2200];
	struct nvsp_message message = {
		.type = NVSP_SEND_RNDIS_PACKET,
		.rndis = { NVSP_CHANNEL_DATA, 0, 44 },
	};

	start(false);
	fill_frame(frame, sizeof(frame));
	netvsc_wrap(packet, frame, sizeof(frame), 0, NULL);
	memcpy(fake_memory(fixture.fake, gpa_from_pfn(netvsc->send_pfns[0]), 44), packet, 44);
	memcpy(fake_memory(fixture.fake, gpa_from_pfn(netvsc->page_pfns[0]), sizeof(frame)), frame,
	       sizeof(frame));
	assert_true(fake_send_range(&netvsc->channels[0], RING_FLAG_COMPLETION_REQUESTED, 9,
				    netvsc->page_pfns, 0, sizeof(frame), &message,
				    sizeof(message)));
	assert_int_equal(netvsc_await_sent(netvsc, 0, 9), NVSP_STATUS_SUCCESS);
	assert_int_equal(fake_network_last(fixture.network)->size, sizeof(frame));
	assert_memory_equal(fake_network_last(fixture.network)->bytes, frame, sizeof(frame));
}

static void test_send_vlan(void **state)
{
	struct netvsc *netvsc = &fixture.netvsc;
	uint32_t tag = rndis_8021q_from_tci(5 << 13 | 100);
	uint8_t frame[300], packet[400];
	const struct fake_network_frame *sent;
	size_t size;

	start(false);
	fill_frame(frame, sizeof(frame));
	size = netvsc_wrap(packet, frame, sizeof(frame), RNDIS_INFO_8021Q, &tag);
	assert_true(netvsc_send_section(netvsc, 0, 1, 0, packet, size));
	assert_int_equal(netvsc_await_sent(netvsc, 0, 1), NVSP_STATUS_SUCCESS);
	sent = fake_network_last(fixture.network);
	assert_int_equal(sent->size, sizeof(frame) + 4);
	assert_memory_equal(sent->bytes, frame, 12);
	assert_memory_equal(sent->bytes + 12, "\x81\x00\xa0\x64", 4);
	assert_memory_equal(sent->bytes + 16, frame + 12, sizeof(frame) - 12);
}

static void test_send_offloads(void **state)
{
	struct netvsc *netvsc = &fixture.netvsc;
	uint32_t checksum = RNDIS_SEND_IPV4 | RNDIS_SEND_TCP_CHECKSUM | 34u << 16;
	uint32_t large = 1448 | 34u << 20 | RNDIS_LARGE_SEND_V2;
	static uint8_t frame[60014], packet[61000];
	const struct fake_network_frame *sent;
	size_t size;

	start(false);
	fill_tcp(frame, 1000, 1234);
	size = netvsc_wrap(packet, frame, 1000, RNDIS_INFO_CHECKSUM, &checksum);
	assert_true(netvsc_send_section(netvsc, 0, 1, 0, packet, size));
	assert_int_equal(netvsc_await_sent(netvsc, 0, 1), NVSP_STATUS_SUCCESS);
	sent = fake_network_last(fixture.network);
	assert_int_equal(sent->header.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
	assert_int_equal(sent->header.gso_type, VIRTIO_NET_HDR_GSO_NONE);
	assert_int_equal(sent->header.csum_start, 34);
	assert_int_equal(sent->header.csum_offset, 16);

	fill_tcp(frame, sizeof(frame), 1234);
	frame[16] = frame[17] = 0; /* as a guest leaves it */
	size = netvsc_wrap(packet, frame, sizeof(frame), RNDIS_INFO_LARGE_SEND, &large);
	assert_true(netvsc_send_pages(netvsc, 0, 2, packet, size));
	assert_int_equal(netvsc_await_sent(netvsc, 0, 2), NVSP_STATUS_SUCCESS);
	sent = fake_network_last(fixture.network);
	assert_int_equal(sent->size, sizeof(frame));
	assert_int_equal(sent->header.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
	assert_int_equal(sent->header.gso_type, VIRTIO_NET_HDR_GSO_TCPV4);
	assert_int_equal(sent->header.gso_size, 1448);
	assert_int_equal(sent->header.hdr_len, 54);
	assert_int_equal(sent->bytes[16] << 8 | sent->bytes[17], sizeof(frame) - 14);
	assert_memory_equal(sent->bytes + 54, frame + 54, sizeof(frame) - 54);
}

/* Frames go out from where they lie; what has to be changed in front does not. */
static void test_send_from_guest_memory(void **state)
{
	static const struct {
		uint32_t info_type, info, own;
	} cases[] = {
		{ RNDIS_INFO_HASH_VALUE, 0, 0 },
		{ RNDIS_INFO_CHECKSUM, RNDIS_SEND_IPV4 | RNDIS_SEND_TCP_CHECKSUM, 54 },
		{ RNDIS_INFO_LARGE_SEND, 1448 | RNDIS_LARGE_SEND_V2, 54 },
		{ RNDIS_INFO_8021Q, 0x70, 16 },
	};
	struct netvsc *netvsc = &fixture.netvsc;
	static uint8_t frame[9000], packet[9200];
	const struct fake_network_frame *sent;

	start(false);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		size_t size;

		fill_tcp(frame, sizeof(frame), 1234);
		size = netvsc_wrap(packet, frame, sizeof(frame), cases[i].info_type,
				   &cases[i].info);
		assert_true(netvsc_send_pages(netvsc, 0, i, packet, size));
		assert_int_equal(netvsc_await_sent(netvsc, 0, i), NVSP_STATUS_SUCCESS);
		sent = fake_network_last(fixture.network);
		assert_int_equal(sent->own, cases[i].own);
		assert_int_equal(sent->size, sizeof(frame) + (i == 3 ? 4 : 0));
		assert_memory_equal(sent->bytes + 100 + (i == 3 ? 4 : 0), frame + 100,
				    sizeof(frame) - 100);
		if (cases[i].info_type != RNDIS_INFO_CHECKSUM)
			continue;
		/* As it should be: there is nothing to change. */
		memcpy(frame, sent->bytes, 54);
		size = netvsc_wrap(packet, frame, sizeof(frame), cases[i].info_type,
				   &cases[i].info);
		assert_true(netvsc_send_pages(netvsc, 0, 100, packet, size));
		assert_int_equal(netvsc_await_sent(netvsc, 0, 100), NVSP_STATUS_SUCCESS);
		sent = fake_network_last(fixture.network);
		assert_int_equal(sent->own, 0);
		assert_int_equal(sent->header.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
		assert_memory_equal(sent->bytes, frame, sizeof(frame));
	}
}

/* The RNDIS message before the frame moves the headers over the end of a page. */
static void test_send_headers_over_pages(void **state)
{
	uint32_t large = 1448 | RNDIS_LARGE_SEND_V2;
	struct netvsc *netvsc = &fixture.netvsc;
	static uint8_t frame[9000], packet[9200];
	struct nvsp_message message = {
		.type = NVSP_SEND_RNDIS_PACKET,
		.rndis = { NVSP_CHANNEL_DATA, NVSP_NO_SEND_SECTION, 0 },
	};
	uint64_t pfns[4];

	start(false);
	fixture.fake->scatter = true;
	/* Pages that follow each other for the guest only. */
	for (unsigned i = 0; i < ARRAY_SIZE(pfns); i++)
		pfns[i] = netvsc->page_pfns[2 * i];
	for (uint32_t before = 1; before < 130; before++) {
		size_t size, done = 0;
		uint32_t offset = (uint32_t)HV_PAGE_SIZE - before;
		const struct fake_network_frame *sent;

		fill_tcp(frame, sizeof(frame), (uint16_t)before);
		frame[16] = frame[17] = 0;
		size = netvsc_wrap(packet, frame, sizeof(frame), RNDIS_INFO_LARGE_SEND, &large);
		for (unsigned i = 0; done < size; i++) {
			uint32_t at = i == 0 ? offset : 0;
			size_t part = MIN(size - done, (size_t)HV_PAGE_SIZE - at);

			memcpy((uint8_t *)fake_memory(fixture.fake, gpa_from_pfn(pfns[i]),
						      HV_PAGE_SIZE) +
				       at,
			       packet + done, part);
			done += part;
		}
		assert_true(fake_send_range(&netvsc->channels[0], RING_FLAG_COMPLETION_REQUESTED,
					    before, pfns, offset, (uint32_t)size, &message,
					    sizeof(message)));
		assert_int_equal(netvsc_await_sent(netvsc, 0, before), NVSP_STATUS_SUCCESS);
		sent = fake_network_last(fixture.network);
		assert_int_equal(sent->size, sizeof(frame));
		assert_int_equal(sent->own, 54);
		assert_int_equal(sent->header.hdr_len, 54);
		assert_int_equal(sent->bytes[16] << 8 | sent->bytes[17], sizeof(frame) - 14);
		assert_memory_equal(sent->bytes + 54, frame + 54, sizeof(frame) - 54);
	}
}

/* A guest that changes everything while its frame is under way. */
static void test_send_changed_meanwhile(void **state)
{
	static const uint32_t checksum = RNDIS_SEND_IPV4 | RNDIS_SEND_TCP_CHECKSUM;
	static const uint32_t large = 1448 | RNDIS_LARGE_SEND_V2;
	struct netvsc *netvsc = &fixture.netvsc;
	static uint8_t frame[9000], packet[9200];

	start(false);
	fixture.network->hold = true;
	for (unsigned i = 0; i < 2; i++) {
		const struct fake_network_frame *sent;
		size_t size;

		fill_tcp(frame, sizeof(frame), 1234);
		size = netvsc_wrap(packet, frame, sizeof(frame),
				   i ? RNDIS_INFO_LARGE_SEND : RNDIS_INFO_CHECKSUM,
				   i ? &large : &checksum);
		assert_true(netvsc_send_pages(netvsc, 0, i, packet, size));
		fake_settle(fixture.fake);
		assert_int_equal(counters().sending, 1);
		memset(fake_memory(fixture.fake, gpa_from_pfn(netvsc->page_pfns[0]), HV_PAGE_SIZE),
		       0xff, HV_PAGE_SIZE);
		fake_network_release(fixture.network);
		assert_int_equal(netvsc_await_sent(netvsc, 0, i), NVSP_STATUS_SUCCESS);
		sent = fake_network_last(fixture.network);
		/*
		 * What the network is told, and a large send's headers, are as they were checked.
		 */
		assert_int_equal(sent->size, sizeof(frame));
		assert_int_equal(sent->header.csum_start, 34);
		assert_int_equal(sent->header.csum_offset, 16);
		assert_memory_equal(sent->bytes, frame, 16);
		assert_int_equal(sent->bytes[16] << 8 | sent->bytes[17], sizeof(frame) - 14);
		assert_int_equal(sent->bytes[54], 0xff);
	}
	assert_int_equal(counters().sending, 0);
}

static void test_send_refuses(void **state)
{
	struct netvsc *netvsc = &fixture.netvsc;
	uint32_t large = 1448 | RNDIS_LARGE_SEND_V2;
	static uint8_t frame[20000], packet[21000];
	struct nvsp_message message = { .type = NVSP_SEND_RNDIS_PACKET };
	struct {
		uint32_t at, value;
	} cases[] = {
		{ 0, 9 },           /* not a packet */
		{ 4, 43 },          /* shorter than its header */
		{ 4, 5000 },        /* longer than what there is */
		{ 8, 0xfffffff0 },  /* data out of the message */
		{ 12, 0xfffffff0 }, /* data longer than the message */
		{ 12, 13 },         /* shorter than a frame */
		{ 28, 0xffffff00 }, /* information out of the message */
		{ 32, 11 },         /* information shorter than its header */
		{ 32, 0x1000 },     /* information too long */
	};

	start(false);
	fill_frame(frame, sizeof(frame));
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		size_t size = netvsc_wrap(packet, frame, 100, 0, NULL);

		memcpy(packet + cases[i].at, &cases[i].value, 4);
		assert_true(netvsc_send_section(netvsc, 0, i, 0, packet, size));
		assert_int_equal(netvsc_await_sent(netvsc, 0, i), NVSP_STATUS_INVALID_RNDIS_PACKET);
	}
	/* Not TCP; no such section; nothing at all; too long without segments. */
	size_t size = netvsc_wrap(packet, frame, 1000, RNDIS_INFO_LARGE_SEND, &large);
	assert_true(netvsc_send_section(netvsc, 0, 20, 0, packet, size));
	assert_int_equal(netvsc_await_sent(netvsc, 0, 20), NVSP_STATUS_INVALID_RNDIS_PACKET);
	message.rndis.send_section = 4096;
	message.rndis.send_section_size = 100;
	assert_true(fake_send(&netvsc->channels[0], RING_PACKET_INBAND,
			      RING_FLAG_COMPLETION_REQUESTED, 21, &message, sizeof(message)));
	assert_int_equal(netvsc_await_sent(netvsc, 0, 21), NVSP_STATUS_INVALID_RNDIS_PACKET);
	message.rndis.send_section = NVSP_NO_SEND_SECTION;
	assert_true(fake_send(&netvsc->channels[0], RING_PACKET_INBAND,
			      RING_FLAG_COMPLETION_REQUESTED, 22, &message, sizeof(message)));
	assert_int_equal(netvsc_await_sent(netvsc, 0, 22), NVSP_STATUS_INVALID_RNDIS_PACKET);
	size = netvsc_wrap(packet, frame, sizeof(frame), 0, NULL);
	assert_true(netvsc_send_pages(netvsc, 0, 23, packet, size));
	assert_int_equal(netvsc_await_sent(netvsc, 0, 23), NVSP_STATUS_INVALID_RNDIS_PACKET);
	assert_int_equal(fixture.network->sent_count, 0);
	assert_int_equal(counters().refused, ARRAY_SIZE(cases) + 4);
	assert_int_equal(counters().sending, 0);
}

/* More than the adapter takes at once: the rest waits in the ring, and nothing is lost. */
static void test_send_more_than_fits(void **state)
{
	struct netvsc *netvsc = &fixture.netvsc;
	uint8_t frame[64], packet[128];
	size_t size;
	unsigned sent = 0, done = 0;

	start(false);
	fill_frame(frame, sizeof(frame));
	size = netvsc_wrap(packet, frame, sizeof(frame), 0, NULL);
	fixture.network->hold = true;
	while (sent < 400 && netvsc_send_section(netvsc, 0, 1000 + sent, 0, packet, size)) {
		sent++;
		if (sent % 64 == 0)
			fake_settle(fixture.fake);
	}
	assert_int_equal(sent, 400);
	fake_settle(fixture.fake);
	assert_in_range(counters().sending, 200, 256);
	for (unsigned i = 0; i < 20 && done < sent; i++) {
		fake_network_release(fixture.network);
		fake_settle(fixture.fake);
		while (netvsc_poll(netvsc, 0) == RING_PACKET_COMPLETION)
			done++;
	}
	assert_int_equal(done, 400);
	assert_int_equal(counters().sent_frames, 400);
}

/* Sends one frame, with an offload. Return: whether the guest is interrupted for its completion. */
static bool is_told_at_once(uint64_t id, uint32_t checksum)
{
	struct netvsc *netvsc = &fixture.netvsc;
	uint64_t sent = counters().sent_frames;
	uint8_t frame[200], packet[300];
	size_t size;

	fill_tcp(frame, sizeof(frame), 1234);
	frame[23] = checksum & RNDIS_SEND_UDP_CHECKSUM ? 17 : 6;
	size = netvsc_wrap(packet, frame, sizeof(frame), RNDIS_INFO_CHECKSUM, &checksum);
	assert_true(netvsc_send_section(netvsc, 0, id, 0, packet, size));
	while (counters().sent_frames == sent)
		assert_int_equal(loop_run_once(fixture.fake->loop, 1000000), 0);
	return fake_take_event(fixture.fake, 0, netvsc->channels[0].relid);
}

static bool is_told(void *data)
{
	return fake_take_event(fixture.fake, 0, fixture.netvsc.channels[0].relid);
}

/* Who sends datagrams need not be interrupted for each; TCP, or who knows, is told at once. */
static void test_datagrams_are_told_together(void **state)
{
	static const uint32_t tcp = RNDIS_SEND_IPV4 | RNDIS_SEND_TCP_CHECKSUM;
	static const uint32_t udp = RNDIS_SEND_IPV4 | RNDIS_SEND_UDP_CHECKSUM;
	struct netvsc *netvsc = &fixture.netvsc;

	start(false);
	(void)fake_take_event(fixture.fake, 0, netvsc->channels[0].relid);
	assert_true(is_told_at_once(1, udp)); /* nobody is moderation */
	assert_int_equal(netvsc_await_sent(netvsc, 0, 1), NVSP_STATUS_SUCCESS);
	vmbus_moderate(fixture.fake->bus);
	assert_true(is_told_at_once(2, tcp));
	assert_int_equal(netvsc_await_sent(netvsc, 0, 2), NVSP_STATUS_SUCCESS);
	assert_false(is_told_at_once(3, udp));
	assert_true(fake_run_until(fixture.fake, is_told, NULL));
	assert_int_equal(netvsc_await_sent(netvsc, 0, 3), NVSP_STATUS_SUCCESS);
	/* That was in vain, so the next chance is passed over. */
	assert_true(is_told_at_once(4, udp));
	assert_int_equal(netvsc_await_sent(netvsc, 0, 4), NVSP_STATUS_SUCCESS);
	assert_true(is_told_at_once(5, tcp));
	assert_int_equal(netvsc_await_sent(netvsc, 0, 5), NVSP_STATUS_SUCCESS);
	assert_false(is_told_at_once(6, udp));
	assert_true(is_told_at_once(7, tcp));
	assert_int_equal(counters().sending, 0);
	assert_int_equal(netvsc_await_sent(netvsc, 0, 6), NVSP_STATUS_SUCCESS);
	assert_int_equal(netvsc_await_sent(netvsc, 0, 7), NVSP_STATUS_SUCCESS);
}

static void test_send_without_network(void **state)
{
	struct netvsc *netvsc = &fixture.netvsc;
	uint8_t frame[64], packet[128];
	size_t size;

	start(false);
	fill_frame(frame, sizeof(frame));
	size = netvsc_wrap(packet, frame, sizeof(frame), 0, NULL);
	network_adapter_disconnect(fixture.adapter);
	assert_true(netvsc_send_section(netvsc, 0, 1, 0, packet, size));
	assert_int_equal(netvsc_await_sent(netvsc, 0, 1), NVSP_STATUS_SUCCESS);
	assert_int_equal(counters().sent_dropped, 1);
}

static size_t add_info(uint8_t *out, size_t at, uint32_t type, uint32_t value)
{
	struct rndis_packet_info info = { 16, type, 12 };

	memcpy(out + at, &info, sizeof(info));
	memcpy(out + at + sizeof(info), &value, sizeof(value));
	return at + 16;
}

/* All that a driver may say of one frame, and what nobody knows. */
static void test_send_with_all_information(void **state)
{
	struct netvsc *netvsc = &fixture.netvsc;
	static uint8_t frame[5000], packet[6000];
	struct {
		struct rndis_header header;
		struct rndis_packet packet;
	} PACKED message = { .header = { .type = RNDIS_PACKET } };
	const struct fake_network_frame *sent;
	size_t size = sizeof(message);

	start(false);
	fill_tcp(frame, sizeof(frame), 1234);
	frame[16] = frame[17] = 0;
	size = add_info(packet, size, RNDIS_INFO_HASH_VALUE, 0x12345678);
	size = add_info(packet, size, 77, 1);
	size = add_info(packet, size, RNDIS_INFO_8021Q, rndis_8021q_from_tci(100));
	size = add_info(packet, size, RNDIS_INFO_INTERNAL | 2, 2);
	size = add_info(packet, size, RNDIS_INFO_LARGE_SEND,
			1400 | 34u << 20 | RNDIS_LARGE_SEND_V2);
	for (unsigned i = 0; i < 30; i++)
		size = add_info(packet, size, 100 + i, i);
	message.packet.info_offset = sizeof(message.packet);
	message.packet.info_length = (uint32_t)(size - sizeof(message));
	message.packet.data_offset = (uint32_t)(size - sizeof(message.header));
	message.packet.data_length = sizeof(frame);
	message.header.length = (uint32_t)(size + sizeof(frame));
	memcpy(packet, &message, sizeof(message));
	memcpy(packet + size, frame, sizeof(frame));
	assert_true(netvsc_send_pages(netvsc, 0, 1, packet, message.header.length));
	assert_int_equal(netvsc_await_sent(netvsc, 0, 1), NVSP_STATUS_SUCCESS);
	sent = fake_network_last(fixture.network);
	assert_int_equal(sent->size, sizeof(frame) + 4);
	assert_memory_equal(sent->bytes + 12, "\x81\x00\x00\x64\x08\x00", 6);
	assert_int_equal(sent->header.gso_size, 1400);
	assert_int_equal(sent->header.hdr_len, 58);
	assert_int_equal(sent->header.csum_start, 38);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_send_section),
		TEST(test_send_pages),
		TEST(test_send_split),
		TEST(test_send_vlan),
		TEST(test_send_offloads),
		TEST(test_send_from_guest_memory),
		TEST(test_send_headers_over_pages),
		TEST(test_send_changed_meanwhile),
		TEST(test_send_refuses),
		TEST(test_send_more_than_fits),
		TEST(test_datagrams_are_told_together),
		TEST(test_send_without_network),
		TEST(test_send_with_all_information),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
