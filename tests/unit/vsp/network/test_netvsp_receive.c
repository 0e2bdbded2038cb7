/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The network VSP against the fake guest: frames to the guest. */
#include "tests/unit/vsp/network/netvsp_fixture.h"

static void test_receive(void **state)
{
	struct netvsc *netvsc = &fixture.netvsc;
	uint8_t frame[1514], *data;
	uint32_t value;

	start(false);
	netvsc->keep = true;
	fill_frame(frame, sizeof(frame));
	/* What comes in one iteration goes in one packet. */
	for (unsigned i = 0; i < 3; i++) {
		frame[20] = (uint8_t)i;
		assert_true(
			fake_network_deliver(fixture.network, 0, NULL, frame, sizeof(frame) - i));
	}
	assert_true(netvsc_receive(netvsc, 0));
	assert_int_equal(netvsc->message.rndis.channel, NVSP_CHANNEL_DATA);
	assert_int_equal(netvsc->range_count, 3);
	for (unsigned i = 0; i < 3; i++) {
		frame[20] = (uint8_t)i;
		assert_int_equal(netvsc_data(netvsc, i, &data), sizeof(frame) - i);
		assert_memory_equal(data, frame, sizeof(frame) - i);
		assert_false(netvsc_info(netvsc, i, RNDIS_INFO_CHECKSUM, &value));
		assert_false(netvsc_info(netvsc, i, RNDIS_INFO_ID, &value));
	}
	assert_int_equal(counters().received_frames, 3);
	assert_int_equal(counters().lent, 3);
	netvsc_complete(netvsc, 0, netvsc->transaction_id);
	fake_settle(fixture.fake);
	assert_int_equal(counters().lent, 0);
}

static void test_filter(void **state)
{
	struct netvsc *netvsc = &fixture.netvsc;
	uint32_t filter = NDIS_PACKET_DIRECTED;
	uint8_t frame[64];

	start(false);
	fill_frame(frame, sizeof(frame));
	frame[5] ^= 1; /* somebody else's */
	fake_network_deliver(fixture.network, 0, NULL, frame, sizeof(frame));
	fake_settle(fixture.fake);
	assert_int_equal(counters().received_frames, 0);
	memset(frame, 0xff, 6);
	fake_network_deliver(fixture.network, 0, NULL, frame, sizeof(frame));
	fake_settle(fixture.fake);
	assert_int_equal(counters().received_frames, 1);
	assert_int_equal(netvsc_set(netvsc, OID_GEN_CURRENT_PACKET_FILTER, &filter, 4), 0);
	fake_network_deliver(fixture.network, 0, NULL, frame, sizeof(frame));
	fake_settle(fixture.fake);
	assert_int_equal(counters().received_frames, 1);
	filter = NDIS_PACKET_PROMISCUOUS;
	assert_int_equal(netvsc_set(netvsc, OID_GEN_CURRENT_PACKET_FILTER, &filter, 4), 0);
	frame[0] = 0x02;
	fake_network_deliver(fixture.network, 0, NULL, frame, sizeof(frame));
	fake_settle(fixture.fake);
	assert_int_equal(counters().received_frames, 2);
	assert_int_equal(counters().received_dropped, 0);
}

static void test_receive_vlan_and_checksum(void **state)
{
	struct netvsc *netvsc = &fixture.netvsc;
	struct virtio_net_hdr header = { .flags = VIRTIO_NET_HDR_F_DATA_VALID };
	uint8_t frame[200], tagged[204], *data;
	uint32_t value;

	start(false);
	netvsc->keep = true;
	fill_tcp(frame, sizeof(frame), 1);
	memcpy(tagged, frame, 12);
	memcpy(tagged + 12, "\x81\x00\x60\x07", 4);
	memcpy(tagged + 16, frame + 12, sizeof(frame) - 12);
	fake_network_deliver(fixture.network, 0, &header, tagged, sizeof(tagged));
	assert_true(netvsc_receive(netvsc, 0));
	assert_int_equal(netvsc_data(netvsc, 0, &data), sizeof(frame));
	assert_memory_equal(data, frame, sizeof(frame));
	assert_true(netvsc_info(netvsc, 0, RNDIS_INFO_8021Q, &value));
	assert_int_equal(rndis_8021q_to_tci(value), 3 << 13 | 7);
	assert_true(netvsc_info(netvsc, 0, RNDIS_INFO_CHECKSUM, &value));
	assert_int_equal(value, RNDIS_RECEIVE_TCP_SUCCEEDED | RNDIS_RECEIVE_IP_SUCCEEDED);

	/* The network has looked at the transport's checksum, not at the header's. */
	tagged[28] ^= 1;
	fake_network_deliver(fixture.network, 0, &header, tagged, sizeof(tagged));
	assert_true(netvsc_receive(netvsc, 0));
	assert_true(netvsc_info(netvsc, 0, RNDIS_INFO_CHECKSUM, &value));
	assert_int_equal(value, RNDIS_RECEIVE_TCP_SUCCEEDED);
}

static void test_receive_large(void **state)
{
	struct netvsc *netvsc = &fixture.netvsc;
	struct virtio_net_hdr header = {
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
		.gso_size = 1448,
		.hdr_len = 54,
		.csum_start = 34,
		.csum_offset = 16,
	};
	static uint8_t frame[65014], whole[65014];
	uint32_t size = 0, value;

	start(true);
	assert_int_equal(fixture.network->offloads, NET_OFFLOAD_CHECKSUM | NET_OFFLOAD_LARGE);
	netvsc->keep = true;
	fill_tcp(frame, sizeof(frame), 1);
	assert_true(fake_network_deliver(fixture.network, 0, &header, frame, sizeof(frame)));
	assert_true(netvsc_receive(netvsc, 0));
	assert_int_equal(netvsc->range_count, 9);
	for (unsigned i = 0; i < netvsc->range_count; i++) {
		uint8_t *data;
		uint32_t part = netvsc_data(netvsc, i, &data);
		struct rndis_packet_id id;

		memcpy(whole + size, data, part);
		size += part;
		assert_true(netvsc_info(netvsc, i, RNDIS_INFO_ID, &value));
		memcpy(&id, &value, sizeof(id));
		assert_int_equal(id.version, 1);
		assert_int_equal(id.flags, RNDIS_PACKET_ID_FRAGMENT |
						   (i == 0 ? RNDIS_PACKET_ID_FIRST : 0) |
						   (i == 8 ? RNDIS_PACKET_ID_LAST : 0));
	}
	assert_int_equal(size, sizeof(frame));
	assert_memory_equal(whole, frame, sizeof(frame));
	assert_true(netvsc_info(netvsc, 0, RNDIS_INFO_CHECKSUM, &value));
	assert_int_equal(value, RNDIS_RECEIVE_TCP_SUCCEEDED | RNDIS_RECEIVE_IP_SUCCEEDED);
	assert_int_equal(counters().lent, 9);
}

/* A frame longer than the guest's MTU is for nobody. */
static void test_receive_too_long(void **state)
{
	uint8_t frame[1533];

	start(false);
	assert_int_equal(fixture.network->offloads, NET_OFFLOAD_CHECKSUM);
	fill_frame(frame, sizeof(frame));
	fake_network_deliver(fixture.network, 0, NULL, frame, sizeof(frame));
	fake_settle(fixture.fake);
	assert_int_equal(counters().received_frames, 0);
	assert_int_equal(counters().received_dropped, 1);
	fake_network_deliver(fixture.network, 0, NULL, frame, 13);
	fake_settle(fixture.fake);
	assert_int_equal(counters().received_frames, 0);
}

/*
 * A guest that gives nothing back receives no more, keeps what it has, and can still be answered.
 */
static void test_guest_that_never_completes(void **state)
{
	struct netvsc *netvsc = &fixture.netvsc;
	uint64_t ids[NETVSC_RECEIVE_PAGES * 2];
	uint8_t frame[64], *data;
	unsigned delivered = 0, packets = 0;
	uint32_t number;
	size_t size = 0;
	bool used[NETVSC_RECEIVE_PAGES * 2] = { false };

	start(false);
	netvsc->keep = true;
	fill_frame(frame, sizeof(frame));
	while (fake_network_deliver(fixture.network, 0, NULL, frame, sizeof(frame))) {
		delivered++;
		assert_true(netvsc_receive(netvsc, 0));
		assert_int_equal(netvsc->range_count, 1);
		assert_false(used[netvsc->ranges[0].byte_offset / netvsc->slot_size]);
		used[netvsc->ranges[0].byte_offset / netvsc->slot_size] = true;
		assert_int_equal(netvsc_data(netvsc, 0, &data), sizeof(frame));
		memset(data, 0xee, sizeof(frame));
		ids[packets++] = netvsc->transaction_id;
	}
	assert_in_range(delivered, netvsc->slot_count / 2, netvsc->slot_count);
	netvsc->keep = false;
	assert_int_equal(netvsc_query(netvsc, OID_GEN_LINK_SPEED, &number, &size), 0);

	/* Nonsense gives nothing back, nor does the same packet twice. */
	netvsc_complete(netvsc, 0, 0);
	netvsc_complete(netvsc, 0, UINT64_MAX);
	netvsc_complete(netvsc, 0, ids[0]);
	netvsc_complete(netvsc, 0, ids[0]);
	fake_settle(fixture.fake);
	assert_int_equal(counters().refused, 3);
	assert_int_equal(counters().lent, delivered - 1);
	for (unsigned i = 1; i < packets; i++) {
		netvsc_complete(netvsc, 0, ids[i]);
		if (i % 64 == 0)
			fake_settle(fixture.fake);
	}
	fake_settle(fixture.fake);
	assert_int_equal(counters().lent, 0);
	assert_true(fake_network_deliver(fixture.network, 0, NULL, frame, sizeof(frame)));
	assert_true(netvsc_receive(netvsc, 0));
}

/* Nobody reads the ring: frames are dropped, and what was gathered comes when there is room. */
static void test_receive_ring_full(void **state)
{
	struct netvsc *netvsc = &fixture.netvsc;
	uint8_t frame[64];
	unsigned received = 0;

	start(false);
	fill_frame(frame, sizeof(frame));
	for (unsigned i = 0; i < 5000; i++) {
		if (!fake_network_deliver(fixture.network, i % QUEUES, NULL, frame, sizeof(frame)))
			break;
		fake_run(fixture.fake);
	}
	while (netvsc_receive(netvsc, 0)) {
		received += netvsc->range_count;
		if (received == counters().received_frames)
			break;
	}
	assert_int_equal(received, counters().received_frames);
	fake_settle(fixture.fake);
	assert_int_equal(counters().lent, 0);
}

/* ---- Checksums of frames from this host ---- */

/* Whether the sum over the pseudo-header and the transport is what it should be. */
static bool transport_is_good(const uint8_t *frame, size_t size, size_t network, unsigned version,
			      uint8_t protocol)
{
	size_t start = network + (version == 4 ? 20 : 40);
	uint32_t sum = net_checksum_pseudo_header(frame + network, version, protocol, size - start);

	return net_checksum_fold(net_checksum_add(sum, frame + start, size - start)) == 0xffff;
}

/* TCP or UDP in IPv4 or IPv6, with the pseudo-header's sum in the field. Return: its size. */
static size_t fill_partial(uint8_t *frame, size_t payload, unsigned version, uint8_t protocol,
			   struct virtio_net_hdr *header)
{
	size_t start = version == 4 ? 34 : 54, size = start + (protocol == 6 ? 20 : 8) + payload;
	uint32_t sum;

	fill_frame(frame, size);
	memset(frame + 14, 0, size - payload - 14);
	net_put16(frame + 12, version == 4 ? NET_ETHERTYPE_IPV4 : NET_ETHERTYPE_IPV6);
	if (version == 4) {
		frame[14] = 0x45;
		net_put16(frame + 16, (uint16_t)(size - 14));
		frame[23] = protocol;
		memcpy(frame + 26, "\x0a\0\0\1\x0a\0\0\2", 8);
		net_put16(frame + 24, net_checksum_ipv4(frame + 14));
	} else {
		frame[14] = 0x60;
		net_put16(frame + 18, (uint16_t)(size - 54));
		frame[20] = protocol;
		frame[37] = 1;
		frame[53] = 2;
	}
	net_put16(frame + start, 4711);
	if (protocol == 6)
		frame[start + 12] = 5 << 4;
	*header = (struct virtio_net_hdr){
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.csum_start = (uint16_t)start,
		.csum_offset = protocol == 6 ? 16 : 6,
	};
	sum = net_checksum_pseudo_header(frame + 14, version, protocol, size - start);
	net_put16(frame + start + header->csum_offset, net_checksum_fold(sum));
	return size;
}

static void test_checksums_are_filled_in(void **state)
{
	static const struct {
		unsigned version;
		uint8_t protocol;
		uint32_t told;
	} rows[] = {
		{ 4, 6, RNDIS_RECEIVE_TCP_SUCCEEDED | RNDIS_RECEIVE_IP_SUCCEEDED },
		{ 4, 17, RNDIS_RECEIVE_UDP_SUCCEEDED | RNDIS_RECEIVE_IP_SUCCEEDED },
		{ 6, 6, RNDIS_RECEIVE_TCP_SUCCEEDED },
		{ 6, 17, RNDIS_RECEIVE_UDP_SUCCEEDED },
	};
	static const size_t payloads[] = { 0, 1, 99, 1400 };
	struct netvsc *netvsc = &fixture.netvsc;

	start(false);
	for (size_t i = 0; i < ARRAY_SIZE(rows) * ARRAY_SIZE(payloads); i++) {
		unsigned version = rows[i / ARRAY_SIZE(payloads)].version;
		uint8_t protocol = rows[i / ARRAY_SIZE(payloads)].protocol;
		struct virtio_net_hdr header;
		uint8_t frame[1600], *data;
		uint32_t value;
		size_t size = fill_partial(frame, payloads[i % ARRAY_SIZE(payloads)], version,
					   protocol, &header);

		assert_false(transport_is_good(frame, size, 14, version, protocol));
		netvsc->keep = true;
		assert_true(fake_network_deliver(fixture.network, 0, &header, frame, size));
		assert_true(netvsc_receive(netvsc, 0));
		assert_int_equal(netvsc_data(netvsc, 0, &data), size);
		assert_true(transport_is_good(data, size, 14, version, protocol));
		assert_true(netvsc_info(netvsc, 0, RNDIS_INFO_CHECKSUM, &value));
		assert_int_equal(value, rows[i / ARRAY_SIZE(payloads)].told);
		netvsc_complete(netvsc, 0, netvsc->transaction_id);
	}
}

/* Of another transport, inside this one: no guest is told of that, so that it has to be there. */
static void test_checksums_within(void **state)
{
	struct netvsc *netvsc = &fixture.netvsc;
	struct virtio_net_hdr header;
	uint8_t inner[200], frame[400], *data;
	uint32_t value;
	size_t size, at = 50;

	start(true);
	netvsc->keep = true;
	size = fill_partial(inner, 100, 4, 6, &header);
	fill_partial(frame, 8 + size, 4, 17, &(struct virtio_net_hdr){ 0 });
	memcpy(frame + at, inner, size);
	header.csum_start += at;
	assert_true(fake_network_deliver(fixture.network, 0, &header, frame, at + size));
	assert_true(netvsc_receive(netvsc, 0));
	assert_int_equal(netvsc_data(netvsc, 0, &data), at + size);
	assert_true(transport_is_good(data + at, size, 14, 4, 6));
	assert_false(netvsc_info(netvsc, 0, RNDIS_INFO_CHECKSUM, &value));

	/* Outside of the frame, and over its end. */
	for (uint16_t offset = 0xffff; offset > 0; offset = (uint16_t)(offset > 149 ? 149 : 0)) {
		size = fill_partial(frame, 96, 4, 6, &header);
		header.csum_start = 0;
		header.csum_offset = offset;
		assert_true(fake_network_deliver(fixture.network, 0, &header, frame, size));
		assert_true(netvsc_receive(netvsc, 0));
		assert_int_equal(netvsc_data(netvsc, 0, &data), size);
		assert_memory_equal(data, frame, size);
		assert_false(netvsc_info(netvsc, 0, RNDIS_INFO_CHECKSUM, &value));
	}
}

/* The hash, and of what it is: FreeBSD takes neither without the other. */
static void test_hash_is_told(void **state)
{
	struct netvsc *netvsc = &fixture.netvsc;
	struct virtio_net_hdr header = { .flags = VIRTIO_NET_HDR_F_DATA_VALID };
	uint8_t frame[100], tagged[104];
	uint32_t value;

	start(false);
	assert_int_equal(netvsc_enable_rss(netvsc, 1), 0);
	netvsc->keep = true;
	fill_tcp(frame, sizeof(frame), 1);
	memcpy(tagged, frame, 12);
	memcpy(tagged + 12, "\x81\x00\x60\x07", 4);
	memcpy(tagged + 16, frame + 12, sizeof(frame) - 12);
	/* With all else that there is to tell. */
	assert_true(fake_network_deliver(fixture.network, 0, &header, tagged, sizeof(tagged)));
	assert_true(netvsc_receive(netvsc, 0));
	assert_true(netvsc_info(netvsc, 0, RNDIS_INFO_HASH_VALUE, &value));
	assert_true(netvsc_info(netvsc, 0, RNDIS_INFO_HASH_INFO, &value));
	assert_int_equal(value, NDIS_RSS_TOEPLITZ | NDIS_HASH_TCP_IPV4);
	assert_true(netvsc_info(netvsc, 0, RNDIS_INFO_8021Q, &value));
	assert_true(netvsc_info(netvsc, 0, RNDIS_INFO_CHECKSUM, &value));
	/* Of another protocol, the addresses alone. */
	frame[23] = 50;
	assert_true(fake_network_deliver(fixture.network, 0, NULL, frame, sizeof(frame)));
	assert_true(netvsc_receive(netvsc, 0));
	assert_true(netvsc_info(netvsc, 0, RNDIS_INFO_HASH_INFO, &value));
	assert_int_equal(value, NDIS_RSS_TOEPLITZ | NDIS_HASH_IPV4);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_receive),
		TEST(test_filter),
		TEST(test_receive_vlan_and_checksum),
		TEST(test_receive_large),
		TEST(test_receive_too_long),
		TEST(test_guest_that_never_completes),
		TEST(test_receive_ring_full),
		TEST(test_checksums_are_filled_in),
		TEST(test_checksums_within),
		TEST(test_hash_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
