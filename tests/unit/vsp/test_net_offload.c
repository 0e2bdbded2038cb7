/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Checksums, segmentation and hashing of frames. */
#include "common/base/cc.h"
#include "common/wire/rndis.h"
#include "tests/unit/unit.h"
#include "vsp/net_offload.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- Frames ---- */

static void put16(uint8_t *at, unsigned value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static unsigned get16(const uint8_t *at)
{
	return (unsigned)(at[0] << 8 | at[1]);
}

static uint32_t get32(const uint8_t *at)
{
	return (uint32_t)get16(at) << 16 | get16(at + 2);
}

/* TCP with `size` bytes of payload. Return: the frame's size. */
static size_t make_tcp(uint8_t *frame, bool ipv6, bool tagged, size_t size)
{
	size_t network = tagged ? 18 : 14, transport = network + (ipv6 ? 40 : 20);

	memset(frame, 0, transport + 20);
	for (size_t i = 0; i < 12; i++)
		frame[i] = (uint8_t)(2 + i);
	if (tagged)
		memcpy(frame + 12, "\x81\x00\x00\x07", 4);
	put16(frame + network - 2, ipv6 ? 0x86dd : 0x0800);
	frame[network] = ipv6 ? 0x60 : 0x45;
	if (ipv6) {
		frame[network + 6] = 6;
		for (size_t i = 0; i < 32; i++)
			frame[network + 8 + i] = (uint8_t)(i * 3);
	} else {
		put16(frame + network + 4, 0x1234);
		frame[network + 9] = 6;
		memcpy(frame + network + 12, "\x0a\x01\x02\x03\x0a\x01\x02\x04", 8);
	}
	put16(frame + transport, 1234);
	put16(frame + transport + 2, 80);
	put16(frame + transport + 6, 0xff00); /* the sequence number wraps within 16 bits */
	frame[transport + 12] = 5 << 4;
	frame[transport + 13] = 0x80 | 0x18 | 0x01; /* CWR, ACK, PSH, FIN */
	for (size_t i = 0; i < size; i++)
		frame[transport + 20 + i] = (uint8_t)(i * 11 + i / 251);
	return transport + 20 + size;
}

/* The independent way: whatever is right sums up to 0xffff with its pseudo-header. */
static void assert_checksums(const uint8_t *frame, size_t size, size_t network, bool ipv6)
{
	size_t transport = network + (ipv6 ? 40 : 20), length = size - transport;
	uint32_t sum = (uint32_t)(6 + length);

	if (ipv6) {
		assert_int_equal(get16(frame + network + 4), length);
		for (size_t i = 8; i < 40; i += 2)
			sum += get16(frame + network + i);
	} else {
		uint32_t header = 0;

		assert_int_equal(get16(frame + network + 2), size - network);
		for (size_t i = 0; i < 20; i += 2)
			header += get16(frame + network + i);
		assert_int_equal((header & 0xffff) + (header >> 16), 0xffff);
		for (size_t i = 12; i < 20; i += 2)
			sum += get16(frame + network + i);
	}
	for (size_t i = 0; i < length; i++)
		sum += i % 2 ? frame[transport + i] : (uint32_t)frame[transport + i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	assert_int_equal(sum, 0xffff);
}

/* ---- Checksums and segments ---- */

static void test_checksum(void **state)
{
	for (unsigned variant = 0; variant < 4; variant++) {
		const struct net_wishes wishes = { .ip_checksum = true,
						   .transport_checksum = true };
		bool ipv6 = variant & 1, tagged = variant & 2;
		size_t network = tagged ? 18 : 14;
		uint8_t frame[1000], out[1100];
		struct virtio_net_hdr header;
		size_t size = make_tcp(frame, ipv6, tagged, 333);

		if (ipv6)
			put16(frame + network + 4, (unsigned)(size - network - 40));
		else
			put16(frame + network + 2, (unsigned)(size - network));
		assert_int_equal(net_offload_prepare(frame, 200, size, &wishes, &header), 0);
		assert_int_equal(header.csum_start, network + (ipv6 ? 40 : 20));
		assert_int_equal(header.csum_offset, 16);
		assert_int_equal(net_offload_finish(frame, size, &header, out, size + 3), 0);
		assert_int_equal(net_offload_finish(frame, size, &header, out, sizeof(out)),
				 size + 4);
		assert_int_equal(get32(out), size);
		assert_checksums(out + 4, size, network, ipv6);
	}
}

static void test_segments(void **state)
{
	static uint8_t frame[65536], out[131072];

	for (unsigned variant = 0; variant < 4; variant++) {
		const struct net_wishes wishes = { .segment_size = 1000 };
		bool ipv6 = variant & 1, tagged = variant & 2;
		size_t network = tagged ? 18 : 14, transport = network + (ipv6 ? 40 : 20), at = 0;
		size_t size = make_tcp(frame, ipv6, tagged, 10500), done = 0, written;
		struct virtio_net_hdr header;

		assert_int_equal(net_offload_prepare(frame, 256, size, &wishes, &header), 0);
		assert_int_equal(header.gso_type & ~VIRTIO_NET_HDR_GSO_ECN,
				 ipv6 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4);
		assert_int_equal(header.hdr_len, transport + 20);
		written = net_offload_finish(frame, size, &header, out, sizeof(out));
		assert_int_equal(written, net_offload_finished_size(size, &header));
		for (unsigned number = 0; at < written; number++) {
			const uint8_t *segment = out + at + 4;
			size_t one = get32(out + at), payload = one - transport - 20;

			assert_int_equal(payload, number < 10 ? 1000 : 500);
			assert_checksums(segment, one, network, ipv6);
			assert_int_equal(get32(segment + transport + 4), 0xff00 + number * 1000);
			assert_int_equal(segment[transport + 13] & 0x80, number == 0 ? 0x80 : 0);
			assert_int_equal(segment[transport + 13] & 0x09, number == 10 ? 0x09 : 0);
			if (!ipv6)
				assert_int_equal(get16(segment + network + 4), 0x1234 + number);
			assert_memory_equal(segment + transport + 20, frame + transport + 20 + done,
					    payload);
			done += payload;
			at += 4 + one;
		}
		assert_int_equal(done, 10500);
	}
}

static void test_refuses(void **state)
{
	const struct net_wishes checksum = { .transport_checksum = true };
	const struct net_wishes large = { .segment_size = 100 };
	struct virtio_net_hdr header;
	uint8_t frame[300];
	size_t size = make_tcp(frame, false, false, 200);

	assert_int_equal(net_offload_prepare(frame, 40, size, &checksum, &header), -EINVAL);
	assert_int_equal(net_offload_prepare(frame, 54, 54, &large, &header), -EINVAL);
	frame[14 + 6] = 0x20; /* a fragment */
	assert_int_equal(net_offload_prepare(frame, 256, size, &checksum, &header), -EINVAL);
	frame[14 + 6] = 0;
	frame[14 + 9] = 17; /* UDP cannot be cut */
	assert_int_equal(net_offload_prepare(frame, 256, size, &large, &header), -EINVAL);
	frame[12] = 0x88;
	assert_int_equal(net_offload_prepare(frame, 256, size, &large, &header), -EINVAL);
}

static void test_layout(void **state)
{
	struct net_layout layout;
	uint8_t frame[200] = { 0 };

	make_tcp(frame, true, false, 10);
	/* Destination options of 16 bytes before TCP. */
	memmove(frame + 70, frame + 54, 30);
	frame[14 + 6] = 60;
	frame[54] = 6;
	frame[55] = 1;
	net_layout_parse(frame, sizeof(frame), &layout);
	assert_int_equal(layout.ip_version, 6);
	assert_int_equal(layout.protocol, NET_PROTOCOL_TCP);
	assert_int_equal(layout.transport, 70);
	assert_true(layout.extended);
	for (size_t size = 0; size < 90; size++) {
		net_layout_parse(frame, size, &layout);
		assert_int_equal(layout.protocol, 0);
	}
}

/* ---- Hashing: Microsoft's published examples ---- */

static const uint8_t key[] = {
	0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3,
	0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3,
	0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
};

static void test_toeplitz(void **state)
{
	static const uint8_t source[] = { 66, 9, 149, 187, 161, 142, 100, 80 };
	static struct net_toeplitz toeplitz;
	struct net_layout layout;
	uint8_t frame[200];
	uint32_t hash;

	net_toeplitz_init(&toeplitz, key);
	make_tcp(frame, false, false, 10);
	memcpy(frame + 26, source, sizeof(source)); /* 66.9.149.187:2794 to 161.142.100.80:1766 */
	put16(frame + 34, 2794);
	put16(frame + 36, 1766);
	net_layout_parse(frame, sizeof(frame), &layout);
	assert_true(net_toeplitz_frame(&toeplitz, NDIS_HASH_TCP_IPV4 | NDIS_HASH_IPV4, frame,
				       &layout, &hash));
	assert_int_equal(hash, 0x51ccc178);
	assert_true(net_toeplitz_frame(&toeplitz, NDIS_HASH_IPV4, frame, &layout, &hash));
	assert_int_equal(hash, 0x323e8fc2);
	assert_false(net_toeplitz_frame(&toeplitz, NDIS_HASH_IPV6, frame, &layout, &hash));

	/* 3ffe:2501:200:1fff::7, port 2794, to 3ffe:2501:200:3::1, port 1766 */
	make_tcp(frame, true, false, 10);
	memset(frame + 22, 0, 32);
	memcpy(frame + 22, "\x3f\xfe\x25\x01\x02\x00\x1f\xff\0\0\0\0\0\0\0\x07", 16);
	memcpy(frame + 38, "\x3f\xfe\x25\x01\x02\x00\x00\x03\0\0\0\0\0\0\0\x01", 16);
	put16(frame + 54, 2794);
	put16(frame + 56, 1766);
	net_layout_parse(frame, sizeof(frame), &layout);
	assert_true(net_toeplitz_frame(&toeplitz, NDIS_HASH_TCP_IPV6, frame, &layout, &hash));
	assert_int_equal(hash, 0x40207d3d);
	assert_true(net_toeplitz_frame(&toeplitz, NDIS_HASH_IPV6, frame, &layout, &hash));
	assert_int_equal(hash, 0x2cc18cd5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_checksum), cmocka_unit_test(test_segments),
		cmocka_unit_test(test_refuses),  cmocka_unit_test(test_layout),
		cmocka_unit_test(test_toeplitz),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
