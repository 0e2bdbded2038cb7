/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a guest may answer the integration services.
 *
 * Input: a byte that chooses the service, then answers: a byte of how, a length, and bytes. An
 * answer is the fuzzer's own, or the host's last message with some bytes changed.
 */
#include "tests/fake/fake.h"
#include "vsp/ic.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct input {
	const uint8_t *bytes;
	size_t size;
};

static struct fake *fake;
static struct ic_shutdown *shutdown_service;
static struct ic_heartbeat *heartbeat;
static unsigned asked, answered;

static uint32_t take(struct input *input, unsigned bytes)
{
	uint32_t value = 0;

	while (bytes-- > 0 && input->size > 0) {
		value = value << 8 | *input->bytes++;
		input->size--;
	}
	return value;
}

static void heartbeat_changed(void *data, enum ic_heartbeat_status status,
			      enum ic_application_state application)
{
	assert(ic_heartbeat_status_name(status));
	assert(application <= IC_APPLICATION_STOPPED);
}

static void shutdown_done(void *data, int result)
{
	answered++;
	assert(answered <= asked);
}

static void ask(struct input *input)
{
	enum ic_shutdown_action action =
		take(input, 1) % 2 ? IC_SHUTDOWN_ACTION_REBOOT : IC_SHUTDOWN_ACTION_POWER_OFF;

	if (ic_shutdown_request(shutdown_service, action, take(input, 1) % 2, shutdown_done,
				NULL) == 0)
		asked++;
}

static void answer(struct input *input, struct fake_channel *channel)
{
	static uint8_t message[4096];
	struct ring_packet packet;
	uint8_t how = (uint8_t)take(input, 1);
	uint32_t size = take(input, 1);

	if (how % 2 && fake_receive_now(channel, &packet) &&
	    packet.payload_size <= sizeof(message)) {
		uint32_t changes = how / 2 % 8;

		memcpy(message, packet.payload, packet.payload_size);
		message[25] = IC_FLAG_TRANSACTION | IC_FLAG_RESPONSE; /* the header's flags */
		while (changes-- > 0) {
			uint32_t place = take(input, 1) % 64;

			message[place] = (uint8_t)take(input, 1);
		}
		size = how & 0x80 ? packet.payload_size : size;
	} else {
		for (uint32_t i = 0; i < size; i++)
			message[i] = (uint8_t)take(input, 1);
	}
	fake_send(channel, how & 0x40 ? RING_PACKET_COMPLETION : RING_PACKET_INBAND, 0, 0, message,
		  size);
	fake_run(fake);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct ic_heartbeat_callbacks callbacks = { .changed = heartbeat_changed };
	static struct fake_channel channel;
	struct input input = { .bytes = data, .size = size };
	bool beats = take(&input, 1) % 2;
	struct guid type = beats ? IC_HEARTBEAT_TYPE : IC_SHUTDOWN_TYPE;
	bool ok;

	if (!fake) {
		fake = fake_new(1, 64 * HV_PAGE_SIZE);
		if (ic_shutdown_new(fake->bus, &shutdown_service) ||
		    ic_heartbeat_new(fake->bus, 1000, &callbacks, NULL, &heartbeat))
			abort();
	}
	asked = answered = 0;
	ok = fake_connect(fake, VMBUS_VERSION_5_3) && fake_request_offers(fake) &&
	     fake_open(fake, fake_find_offer(fake, &type, NULL, 0), 4, 4, 0, &channel) == 0;
	assert(ok);
	fake_run(fake);
	while (input.size > 0) {
		if (!beats && take(&input, 1) % 4 == 0)
			ask(&input);
		answer(&input, &channel);
	}
	fake_stop(fake);
	assert(asked == answered);
	fake->ram_used = HV_PAGE_SIZE;
	memset(fake->ram, 0, fake->ram_size);
	return 0;
}
