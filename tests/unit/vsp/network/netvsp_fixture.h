/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An adapter on a fake bus, with a network and a guest's driver, for the tests of the network VSP.
 */
#pragma once

#include "common/base/cc.h"
#include "tests/fake/netvsc.h"
#include "tests/unit/unit.h"
#include "vsp/network/net_offload.h"
#include "vsp/network/network.h"

#include <string.h>

#define QUEUES 4

static const uint8_t mac[] = { 0x02, 0x56, 0x4d, 0x00, 0x00, 0x01 };

static struct fixture {
	struct fake *fake;
	struct network_adapter *adapter;
	struct fake_network *network;
	struct netvsc netvsc;
	bool network_freed;
	unsigned ended;
} fixture;

static inline void network_is_over(void *data)
{
	fixture.ended++;
}

static inline int setup(void **state)
{
	struct network_options options = {
		.instance = GUID(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11),
		.name = "nic0",
		.channel_max = QUEUES,
		.mtu = 1500,
		.ended = network_is_over,
	};

	memset(&fixture, 0, sizeof(fixture));
	memcpy(options.mac, mac, sizeof(mac));
	fixture.fake = fake_new(QUEUES, 32 << 20);
	assert_int_equal(network_adapter_new(fixture.fake->bus, &options, &fixture.adapter), 0);
	fixture.network = fake_network_new(QUEUES);
	fixture.network->freed = &fixture.network_freed;
	fixture.network->ram = fake_host_memory(fixture.fake);
	fixture.network->ram_size = fixture.fake->ram_size;
	network_adapter_connect(fixture.adapter, &fixture.network->backend);
	assert_true(fake_connect(fixture.fake, VMBUS_VERSION_5_3));
	assert_true(fake_request_offers(fixture.fake));
	return 0;
}

static inline int teardown(void **state)
{
	fake_stop(fixture.fake);
	network_adapter_free(fixture.adapter);
	fake_free(fixture.fake);
	return 0;
}

static inline void start(bool rsc)
{
	assert_true(netvsc_start(&fixture.netvsc, fixture.fake, NVSP_VERSION_6_1, rsc));
	fake_settle(fixture.fake);
}

static inline struct network_counters counters(void)
{
	struct network_counters counters;

	network_adapter_counters(fixture.adapter, &counters);
	return counters;
}

/* An Ethernet frame to the guest, of recognisable bytes. */
static inline void fill_frame(uint8_t *frame, size_t size)
{
	for (size_t i = 0; i < size; i++)
		frame[i] = (uint8_t)(i * 7 + i / 256);
	memcpy(frame, mac, sizeof(mac));
	memset(frame + 6, 0x0a, 6);
	frame[12] = 0x88;
	frame[13] = 0xb5;
}

/* IPv4 and TCP headers, 54 bytes in all, of whose checksums only the IPv4 header's is there. */
static inline void fill_tcp(uint8_t *frame, size_t size, uint16_t port)
{
	static const uint8_t addresses[] = { 10, 0, 0, 1, 10, 0, 0, 2 };

	fill_frame(frame, size);
	memset(frame + 14, 0, 40);
	frame[12] = 0x08;
	frame[13] = 0x00;
	frame[14] = 0x45;
	frame[16] = (uint8_t)((size - 14) >> 8);
	frame[17] = (uint8_t)(size - 14);
	frame[22] = 64;
	frame[23] = 6;
	memcpy(frame + 26, addresses, sizeof(addresses));
	frame[34] = (uint8_t)(port >> 8);
	frame[35] = (uint8_t)port;
	frame[37] = 80;
	frame[46] = 5 << 4;
	frame[47] = 0x18;
	net_put16(frame + 24, net_checksum_ipv4(frame + 14));
}
