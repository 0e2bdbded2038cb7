/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Headers read piece by piece, checksums, segmentation and hashing of frames. */
#include "common/base/cc.h"
#include "common/wire/rndis.h"
#include "tests/unit/unit.h"
#include "vsp/iov.h"
#include "vsp/network/net_gather.h"
#include "vsp/network/net_offload.h"

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

/* ---- Frames in pieces ---- */

#define PIECES 7

/* A frame as a guest may have it, in pieces that end where they like. */
struct pieces {
	struct iovec iov[PIECES];
	struct net_head head;
	struct iovec frame_iov[PIECES + 2];
	struct net_frame frame;
};

static void cut(struct pieces *pieces, uint8_t *frame, size_t size, size_t first, size_t step)
{
	size_t at = 0;

	for (unsigned i = 0; i < PIECES; i++) {
		size_t length = i == 0 ? first : step;

		length = i == PIECES - 1 ? size - at : MIN(length, size - at);
		pieces->iov[i] = (struct iovec){ frame + at, length };
		at += length;
	}
	net_head_init(&pieces->head, pieces->iov, PIECES, 0, size);
}

/* As the adapter gives it to a network. */
static const struct net_frame *name(struct pieces *pieces)
{
	size_t own = pieces->head.changed ? pieces->head.size : 0;
	unsigned count = 0;

	pieces->frame_iov[count++] = (struct iovec){ &pieces->frame.header, NET_HEADER_SIZE };
	if (own)
		pieces->frame_iov[count++] = (struct iovec){ pieces->head.bytes, own };
	count += iov_slice(pieces->iov, PIECES, own, pieces->head.frame_size - own,
			   pieces->frame_iov + count);
	pieces->frame.iov = pieces->frame_iov;
	pieces->frame.iov_count = count;
	return &pieces->frame;
}

static int prepare(struct pieces *pieces, const struct net_offload_request *request)
{
	return net_offload_prepare(&pieces->head, request, &pieces->frame.header);
}

static struct net_gather gather;

/* The frame as it goes to a stream. Return: its size with its lengths. */
static size_t finish(const struct net_frame *frame, uint8_t *out, size_t out_size)
{
	net_gather_empty(&gather);
	assert_true(net_gather_add(&gather, frame));
	assert_int_equal(iov_size(gather.pieces, gather.count), gather.size);
	assert_true(gather.size <= out_size);
	return iov_copy_in(out, out_size, gather.pieces, gather.count);
}

/* ---- Checksums and segments ---- */

static void test_sum(void **state)
{
	uint8_t bytes[80];

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i % 5 ? i * 37 : 0xff);
	for (size_t first = 0; first < 8; first++) {
		for (size_t size = 0; size <= sizeof(bytes) - first; size++) {
			uint32_t sum = 0xfffffff0 % 0xffff;

			for (size_t i = 0; i < size; i++)
				sum += i % 2 ? bytes[first + i] : (uint32_t)bytes[first + i] << 8;
			assert_int_equal(net_checksum_fold(sum) % 0xffff,
					 net_checksum_fold(net_checksum_add(0xfffffff0,
									    bytes + first, size)) %
						 0xffff);
		}
	}
}

static void test_checksum(void **state)
{
	for (unsigned variant = 0; variant < 80; variant++) {
		const struct net_offload_request request = { .ip_checksum = true,
							     .transport_checksum = true };
		bool ipv6 = variant & 1, tagged = variant & 2;
		size_t network = tagged ? 18 : 14;
		uint8_t frame[1000], out[1100];
		struct pieces pieces;
		size_t size = make_tcp(frame, ipv6, tagged, 333);

		if (ipv6)
			put16(frame + network + 4, (unsigned)(size - network - 40));
		else
			put16(frame + network + 2, (unsigned)(size - network));
		cut(&pieces, frame, size, 1 + variant, 1 + variant * 3 % 50);
		assert_int_equal(prepare(&pieces, &request), 0);
		assert_int_equal(pieces.frame.header.csum_start, network + (ipv6 ? 40 : 20));
		assert_int_equal(pieces.frame.header.csum_offset, 16);
		assert_int_equal(finish(name(&pieces), out, sizeof(out)), size + 4);
		assert_int_equal(get32(out), size);
		assert_checksums(out + 4, size, network, ipv6);
	}
}

/* Headers that are as they should be go out from where they lie. */
static void test_nothing_to_change(void **state)
{
	const struct net_offload_request request = { .transport_checksum = true };
	uint8_t frame[500], out[600];
	struct pieces pieces;
	size_t size = make_tcp(frame, false, false, 333);

	frame[16] = (uint8_t)((size - 14) >> 8);
	frame[17] = (uint8_t)(size - 14);
	net_put16(frame + 24, net_checksum_ipv4(frame + 14));
	cut(&pieces, frame, size, 100, 100);
	assert_int_equal(prepare(&pieces, &request), 0);
	assert_true(pieces.head.changed);
	put16(frame + 50, get16(pieces.head.bytes + 50)); /* the pseudo-header's sum */
	cut(&pieces, frame, size, 100, 100);
	assert_int_equal(prepare(&pieces, &request), 0);
	assert_false(pieces.head.changed);
	assert_int_equal(pieces.head.size, 54);
	assert_int_equal(finish(name(&pieces), out, sizeof(out)), size + 4);
	assert_checksums(out + 4, size, 14, false);
	for (unsigned i = 1; i < gather.count; i++)
		assert_true(gather.pieces[i].iov_len == 2 ||
			    ((uint8_t *)gather.pieces[i].iov_base >= frame &&
			     (uint8_t *)gather.pieces[i].iov_base < frame + size));
	/* Without requests, nothing is read. */
	cut(&pieces, frame, size, 100, 100);
	assert_int_equal(prepare(&pieces, &(struct net_offload_request){ 0 }), 0);
	assert_int_equal(pieces.head.size, 0);
}

static void assert_segments(const uint8_t *frame, const uint8_t *out, size_t written, bool ipv6,
			    bool tagged)
{
	size_t network = tagged ? 18 : 14, transport = network + (ipv6 ? 40 : 20), at = 0, done = 0;

	for (unsigned number = 0; at < written; number++) {
		const uint8_t *segment = out + at + 4;
		size_t one = get32(out + at), payload = one - transport - 20;

		assert_int_equal(payload, number < 10 ? 1001 : 500);
		assert_checksums(segment, one, network, ipv6);
		assert_int_equal(get32(segment + transport + 4), 0xff00 + number * 1001);
		assert_int_equal(segment[transport + 13] & 0x80, number == 0 ? 0x80 : 0);
		assert_int_equal(segment[transport + 13] & 0x09, number == 10 ? 0x09 : 0);
		if (!ipv6)
			assert_int_equal(get16(segment + network + 4), 0x1234 + number);
		assert_memory_equal(segment + transport + 20, frame + transport + 20 + done,
				    payload);
		done += payload;
		at += 4 + one;
	}
	assert_int_equal(done, 10510);
}

static void test_segments(void **state)
{
	static uint8_t frame[65536], out[131072];

	for (unsigned variant = 0; variant < 80; variant++) {
		const struct net_offload_request request = { .segment_size = 1001 };
		bool ipv6 = variant & 1, tagged = variant & 2;
		size_t size = make_tcp(frame, ipv6, tagged, 10510), written;
		struct pieces pieces;

		cut(&pieces, frame, size, 1 + variant, 700 + variant * 3);
		assert_int_equal(prepare(&pieces, &request), 0);
		assert_int_equal(pieces.frame.header.gso_type & ~VIRTIO_NET_HDR_GSO_ECN,
				 ipv6 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4);
		assert_int_equal(pieces.frame.header.hdr_len,
				 (tagged ? 18 : 14) + (ipv6 ? 40 : 20) + 20);
		/* Even if there is nothing to change, they are sent as they were checked. */
		memcpy(frame, pieces.head.bytes, pieces.frame.header.hdr_len);
		cut(&pieces, frame, size, 1 + variant, 700 + variant * 3);
		assert_int_equal(prepare(&pieces, &request), 0);
		assert_true(pieces.head.changed);
		/* A guest that changes its headers now is not asked again. */
		memset(frame, 0xa5, pieces.frame.header.hdr_len);
		written = finish(name(&pieces), out, sizeof(out));
		assert_segments(frame, out, written, ipv6, tagged);
	}
}

/*
 * Behind a routing header, another destination counts than the header's: the guest has summed that
 * up, without the length.
 */
static void test_segments_behind_a_route(void **state)
{
	static uint8_t frame[65536], out[131072];
	const struct net_offload_request request = { .segment_size = 1001 };
	static const uint8_t route[8] = { 6, 0, 0, 1 };
	size_t size = make_tcp(frame, true, false, 10510) + sizeof(route), written, at = 0;
	uint8_t addresses[40] = { 0 };
	struct pieces pieces;
	unsigned segments = 0;

	memmove(frame + 54 + sizeof(route), frame + 54, size - 54 - sizeof(route));
	memcpy(frame + 54, route, sizeof(route));
	frame[20] = 43;
	memcpy(addresses + 8, frame + 22, 32);
	addresses[39] ^= 0x55; /* where it is to arrive in the end */
	put16(frame + 62 + 16, net_checksum_fold(net_checksum_pseudo_header(addresses, 6, 6, 0)));
	cut(&pieces, frame, size, 70, 900);
	assert_int_equal(prepare(&pieces, &request), 0);
	assert_int_equal(pieces.frame.header.csum_start, 62);
	assert_int_equal(get16(pieces.head.bytes + 62 + 16),
			 net_checksum_fold(net_checksum_pseudo_header(addresses, 6, 6, size - 62)));
	for (written = finish(name(&pieces), out, sizeof(out)); at < written; segments++) {
		size_t one = get32(out + at);
		uint32_t sum = net_checksum_pseudo_header(addresses, 6, 6, one - 62);

		sum = net_checksum_add(sum, out + at + 4 + 62, one - 62);
		assert_int_equal(net_checksum_fold(sum), 0xffff);
		assert_int_equal(get16(out + at + 4 + 18), one - 54);
		at += 4 + one;
	}
	assert_int_equal(segments, 11);
}

/*
 * A guest that changes everything between the look and the sending spoils its frame, and no more.
 */
static void test_changed_meanwhile(void **state)
{
	static uint8_t frame[65536], out[131072];
	const struct net_offload_request request = { .transport_checksum = true };
	struct pieces pieces;
	size_t size = make_tcp(frame, true, true, 1400);

	cut(&pieces, frame, size, 61, 77);
	assert_int_equal(prepare(&pieces, &request), 0);
	memset(frame, 0xff, size);
	assert_int_equal(finish(name(&pieces), out, sizeof(out)), size + 4);
	assert_int_equal(get32(out), size);
	memset(frame, 0, size);
	assert_int_equal(finish(name(&pieces), out, sizeof(out)), size + 4);
}

/* The finest cut of the largest frame fits an empty gather, and what does not fit is not begun. */
static void test_gather_fills(void **state)
{
	static uint8_t frame[65549];
	const struct net_offload_request request = { .segment_size = NET_GATHER_SEGMENT };
	struct pieces pieces;
	unsigned added = 0, count;
	size_t size;

	make_tcp(frame, false, false, sizeof(frame) - 54);
	cut(&pieces, frame, sizeof(frame), 4095, 4097);
	assert_int_equal(prepare(&pieces, &request), 0);
	net_gather_empty(&gather);
	do {
		count = gather.count;
		size = gather.size;
	} while (net_gather_add(&gather, name(&pieces)) && added++ < 10);
	assert_in_range(added, 1, 4);
	assert_int_equal(gather.count, count);
	assert_int_equal(gather.size, size);
	assert_true(gather.count <= NET_GATHER_PIECES && gather.own_size <= NET_GATHER_OWN);
}

static int prepare_flat(uint8_t *frame, size_t have, size_t size,
			const struct net_offload_request *request)
{
	struct pieces pieces;

	cut(&pieces, frame, have, 1, 13);
	pieces.head.frame_size = size;
	return prepare(&pieces, request);
}

static void test_refuses(void **state)
{
	const struct net_offload_request checksum = { .transport_checksum = true };
	const struct net_offload_request large = { .segment_size = 100 };
	uint8_t frame[300];
	size_t size = make_tcp(frame, false, false, 200);

	/* Shorter than its headers, whatever it claims. */
	assert_int_equal(prepare_flat(frame, 40, 40, &checksum), -EINVAL);
	assert_int_equal(prepare_flat(frame, 40, size, &checksum), -EINVAL);
	assert_int_equal(prepare_flat(frame, 54, 54, &large), -EINVAL);
	frame[46] = 15 << 4; /* options beyond the frame's end */
	assert_int_equal(prepare_flat(frame, 90, 90, &checksum), -EINVAL);
	assert_int_equal(prepare_flat(frame, 90, 90, &large), -EINVAL);
	frame[46] = 4 << 4;
	assert_int_equal(prepare_flat(frame, size, size, &checksum), -EINVAL);
	frame[46] = 5 << 4;
	frame[14] = 0x4f; /* likewise of IP */
	assert_int_equal(prepare_flat(frame, 70, 70, &checksum), -EINVAL);
	frame[14] = 0x41;
	assert_int_equal(prepare_flat(frame, size, size, &checksum), -EINVAL);
	frame[14] = 0x45;
	frame[14 + 6] = 0x20; /* a fragment */
	assert_int_equal(prepare_flat(frame, size, size, &checksum), -EINVAL);
	frame[14 + 6] = 0;
	frame[14 + 9] = 17; /* UDP cannot be cut */
	assert_int_equal(prepare_flat(frame, size, size, &large), -EINVAL);
	frame[12] = 0x88;
	assert_int_equal(prepare_flat(frame, size, size, &large), -EINVAL);
}

static void test_layout(void **state)
{
	struct pieces pieces;
	struct net_layout layout;
	uint8_t frame[200] = { 0 };

	make_tcp(frame, true, false, 10);
	/* Destination options of 16 bytes before TCP. */
	memmove(frame + 70, frame + 54, 30);
	frame[14 + 6] = 60;
	frame[54] = 6;
	frame[55] = 1;
	cut(&pieces, frame, sizeof(frame), 3, 17);
	net_layout_parse(&pieces.head, &layout);
	assert_int_equal(layout.ip_version, 6);
	assert_int_equal(layout.protocol, NET_PROTOCOL_TCP);
	assert_int_equal(layout.transport, 70);
	assert_true(layout.extended);
	for (size_t size = 0; size < 90; size++) {
		cut(&pieces, frame, size, 3, 17);
		net_layout_parse(&pieces.head, &layout);
		assert_int_equal(layout.protocol, 0);
	}
}

/* A tag is put in before the rest is looked at. */
static void test_tag(void **state)
{
	const struct net_offload_request request = { .segment_size = 1001 };
	static uint8_t frame[65536], tagged[65536], out[131072];
	struct pieces pieces;
	size_t size = make_tcp(frame, false, false, 10510);

	assert_int_equal(make_tcp(tagged, false, true, 10510), size + 4);
	cut(&pieces, frame, size, 5, 9);
	assert_true(net_head_tag(&pieces.head, 7));
	assert_int_equal(pieces.head.frame_size, size + 4);
	assert_int_equal(prepare(&pieces, &request), 0);
	assert_int_equal(pieces.head.size, 58);
	assert_memory_equal(pieces.head.bytes, tagged, 18);
	pieces.frame_iov[0] = (struct iovec){ &pieces.frame.header, NET_HEADER_SIZE };
	pieces.frame_iov[1] = (struct iovec){ pieces.head.bytes, pieces.head.size };
	pieces.frame_iov[2] = (struct iovec){ frame + 54, size - 54 };
	pieces.frame.iov = pieces.frame_iov;
	pieces.frame.iov_count = 3;
	assert_segments(tagged, out, finish(&pieces.frame, out, sizeof(out)), false, true);
}

/* ---- Hashing: Microsoft's published examples ---- */

static const uint8_t key[] = {
	0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3,
	0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3,
	0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
};

/* types: that the guest asks for; type: what its frame has of them, 0: none. */
static void assert_hash(struct pieces *pieces, uint32_t types, uint32_t value, uint32_t type)
{
	static struct net_toeplitz toeplitz;
	struct net_layout layout;
	struct net_hash hash;

	net_toeplitz_init(&toeplitz, key);
	net_layout_parse(&pieces->head, &layout);
	assert_int_equal(net_toeplitz_frame(&toeplitz, types, pieces->head.bytes, &layout, &hash),
			 type != 0);
	if (type != 0) {
		assert_int_equal(hash.value, value);
		assert_int_equal(hash.type, type);
	}
}

static void test_toeplitz(void **state)
{
	static const uint8_t source[] = { 66, 9, 149, 187, 161, 142, 100, 80 };
	struct pieces pieces;
	uint8_t frame[200];

	make_tcp(frame, false, false, 10);
	memcpy(frame + 26, source, sizeof(source)); /* 66.9.149.187:2794 to 161.142.100.80:1766 */
	put16(frame + 34, 2794);
	put16(frame + 36, 1766);
	cut(&pieces, frame, sizeof(frame), 100, 100);
	assert_hash(&pieces, NDIS_HASH_TCP_IPV4 | NDIS_HASH_IPV4, 0x51ccc178, NDIS_HASH_TCP_IPV4);
	assert_hash(&pieces, NDIS_HASH_IPV4, 0x323e8fc2, NDIS_HASH_IPV4);
	assert_hash(&pieces, NDIS_HASH_IPV6, 0, 0);

	/* The ports of datagrams count as TCP's do; a fragment has none. */
	frame[23] = 17;
	cut(&pieces, frame, sizeof(frame), 100, 100);
	assert_hash(&pieces, NDIS_HASH_TCP_IPV4 | NDIS_HASH_IPV4, 0x51ccc178, NDIS_HASH_UDP_IPV4);
	frame[20] = 0x20;
	cut(&pieces, frame, sizeof(frame), 100, 100);
	assert_hash(&pieces, NDIS_HASH_TCP_IPV4 | NDIS_HASH_IPV4, 0x323e8fc2, NDIS_HASH_IPV4);

	/* 3ffe:2501:200:1fff::7, port 2794, to 3ffe:2501:200:3::1, port 1766 */
	make_tcp(frame, true, false, 10);
	memset(frame + 22, 0, 32);
	memcpy(frame + 22, "\x3f\xfe\x25\x01\x02\x00\x1f\xff\0\0\0\0\0\0\0\x07", 16);
	memcpy(frame + 38, "\x3f\xfe\x25\x01\x02\x00\x00\x03\0\0\0\0\0\0\0\x01", 16);
	put16(frame + 54, 2794);
	put16(frame + 56, 1766);
	cut(&pieces, frame, sizeof(frame), 100, 100);
	assert_hash(&pieces, NDIS_HASH_TCP_IPV6, 0x40207d3d, NDIS_HASH_TCP_IPV6);
	assert_hash(&pieces, NDIS_HASH_IPV6, 0x2cc18cd5, NDIS_HASH_IPV6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sum),
		cmocka_unit_test(test_checksum),
		cmocka_unit_test(test_nothing_to_change),
		cmocka_unit_test(test_segments),
		cmocka_unit_test(test_segments_behind_a_route),
		cmocka_unit_test(test_changed_meanwhile),
		cmocka_unit_test(test_gather_fills),
		cmocka_unit_test(test_refuses),
		cmocka_unit_test(test_layout),
		cmocka_unit_test(test_tag),
		cmocka_unit_test(test_toeplitz),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
