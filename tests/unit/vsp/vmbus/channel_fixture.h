/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A connected fake guest of 4 vps, and an echo device that it has been offered. */
#pragma once

#include "tests/fake/echo.h"
#include "tests/fake/fake.h"
#include "tests/unit/unit.h"

#include <stdlib.h>

struct fixture {
	struct fake *fake;
	struct echo echo;
	const struct vmbus_message_offer_channel *offer;
	struct fake_channel channel;
};

static inline int channel_setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->fake = fake_new(4, 16 << 20);
	echo_offer(&f->echo, f->fake->bus, 1, 0);
	assert_true(fake_connect(f->fake, VMBUS_VERSION_5_3));
	assert_true(fake_request_offers(f->fake));
	f->offer = fake_find_offer(f->fake, &echo_type, NULL, 0);
	assert_non_null(f->offer);
	*state = f;
	return 0;
}

static inline int channel_teardown(void **state)
{
	struct fixture *f = *state;

	fake_stop(f->fake);
	vmbus_channel_free(f->echo.channel);
	fake_free(f->fake);
	free(f);
	return 0;
}

static inline void open_channel(struct fixture *f, uint32_t out_pages, uint32_t in_pages)
{
	assert_int_equal(fake_open(f->fake, f->offer, out_pages, in_pages, 1, &f->channel), 0);
}

static inline void expect_echo(struct fixture *f, uint64_t transaction_id, const void *payload,
			       uint32_t size)
{
	struct ring_packet packet;

	assert_true(fake_receive(&f->channel, &packet));
	assert_int_equal(packet.type, RING_PACKET_COMPLETION);
	assert_int_equal(packet.transaction_id, transaction_id);
	assert_int_equal(packet.payload_size, ALIGN_UP(size, 8u));
	assert_memory_equal(packet.payload, payload, size);
}

static inline void expect_nothing(struct fixture *f)
{
	struct ring_packet packet;

	fake_settle(f->fake);
	assert_false(fake_receive_now(&f->channel, &packet));
}
