/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which adapter has which addresses, by what a hostile guest tells: whatever it answers, and
 * whichever adapters come and go meanwhile, what is told on is text of an adapter that is there,
 * and told when it has changed, or when its network has.
 *
 * Input: steps, each a byte of what, and what it takes.
 */
#include "common/base/text.h"
#include "common/base/utf16.h"
#include "tests/fake/ic_guest.h"
#include "vmwp/device/devices.h"
#include "vmwp/resource/resources.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define NICS 2

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
	const uint8_t *bytes;
	size_t size;
};

struct nic {
	bool there;
	bool connected; /* since it was last told of */
	char told[IC_KVP_ADDRESSES_MAX];
};

static struct fake *fake;
static struct definition *definition;
static struct resources *resources;
static struct device_config config;
static struct adapters *adapters;
static struct ic_kvp *kvp;
static struct guest_addresses *addresses;
static struct fake_channel channel;
static struct nic nics[NICS];
static const char *const names[NICS] = { "nic0", "nic1" };

static uint32_t take(struct input *input, unsigned bytes)
{
	uint32_t value = 0;

	while (bytes-- > 0 && input->size > 0) {
		value = value << 8 | *input->bytes++;
		input->size--;
	}
	return value;
}

/* ---- What is told ---- */

static unsigned number_of(const char *name)
{
	for (unsigned i = 0; i < NICS; i++)
		if (strcmp(name, names[i]) == 0)
			return i;
	abort();
}

static void changed(void *data, const char *adapter, const char *text)
{
	struct nic *nic = &nics[number_of(adapter)];

	assert(nic->there);
	assert(strlen(text) < sizeof(nic->told) && text_is_utf8(text, strlen(text)));
	assert(nic->connected || strcmp(nic->told, text) != 0);
	nic->connected = false;
	strcpy(nic->told, text);
}

static void network_ended(void *data, const char *name)
{
}

static void connected(void *data, const char *name)
{
	struct nic *nic = &nics[number_of(name)];

	nic->there = nic->connected = true;
	if (addresses)
		guest_addresses_connected(addresses, name);
}

static void guest_told(void *data, const struct ic_kvp_guest *guest)
{
	guest_addresses_guest(addresses);
}

static void refreshed(void *data)
{
	guest_addresses_refreshed(addresses);
}

/* ---- What the guest does ---- */

static bool receive(struct ic_message *message)
{
	fake_run(fake);
	return ic_guest_has_request(&channel) && ic_guest_receive(&channel, message);
}

/* The host's own message, answered with some bytes of the guest's. */
static void answer_anything(struct input *input)
{
	static struct ic_message message;
	uint32_t changes = take(input, 1) % 16, status = take(input, 1);

	if (!receive(&message))
		return;
	while (changes-- > 0) {
		uint32_t place = take(input, 2) % sizeof(message.bytes);

		((uint8_t *)&message)[sizeof(message.pipe) + place] = (uint8_t)take(input, 1);
	}
	message.pipe.size = MIN(message.pipe.size, (uint32_t)(sizeof(message) - 8));
	fake_send(&channel, RING_PACKET_INBAND, 0, 0, &message,
		  message.pipe.size + (uint32_t)sizeof(message.pipe));
	message.header.flags = IC_FLAG_TRANSACTION | IC_FLAG_RESPONSE;
	message.header.status = status & 0x80 ? IC_STATUS_OK : status;
	fake_send(&channel, RING_PACKET_INBAND, 0, 0, &message,
		  message.pipe.size + (uint32_t)sizeof(message.pipe));
}

static size_t take_text(struct input *input, char *text, size_t size)
{
	size_t length = take(input, 1) % size;

	for (size_t i = 0; i < length; i++)
		text[i] = (char)(0x20 + take(input, 1) % 0x5f);
	text[length] = '\0';
	return length;
}

/* As Linux' daemon answers: with an address of its own, or with what an adapter has. */
static void answer_well(struct input *input)
{
	static struct ic_message message;
	struct ic_kvp_item *item = &message.kvp.enumerate.item;
	uint8_t *body = (uint8_t *)&message.kvp_addresses;
	char text[64];

	if (!receive(&message))
		return;
	take_text(input, text, sizeof(text));
	if (message.kvp.header.operation == IC_KVP_ENUMERATE) {
		item->type = IC_KVP_TEXT;
		item->key_size = (uint32_t)utf16_from_utf8(item->key, sizeof(item->key),
							   "NetworkAddressIPv4");
		item->value_size =
			(uint32_t)utf16_from_utf8(item->value, sizeof(item->value), text);
	} else if (message.kvp.header.operation == IC_KVP_GET_ADDRESSES) {
		(void)!utf16_from_utf8(body + offsetof(struct ic_kvp_address_body, addresses),
				       sizeof(message.kvp_addresses.addresses), text);
	}
	ic_guest_answer(&channel, &message,
			take(input, 1) & 1 ? IC_STATUS_OK : IC_KVP_STATUS_NO_MORE_ITEMS);
}

static void say_no_more(struct input *input)
{
	static struct ic_message message;

	if (receive(&message))
		ic_guest_answer(&channel, &message,
				take(input, 1) & 1 ? IC_KVP_STATUS_NO_GUID
						   : IC_KVP_STATUS_NO_MORE_ITEMS);
}

/* ---- What the host does ---- */

static void refresh(struct input *input)
{
	ic_kvp_refresh_soon(kvp);
}

static void turn(struct input *input)
{
	fake_run(fake);
}

static void connect_nic(struct input *input)
{
	unsigned number = take(input, 1) % NICS;
	struct failure failure;

	if (!nics[number].there)
		return;
	(void)!adapters_connect(adapters, names[number], CONTROL_BACKEND_NONE, NULL, 0, &failure);
}

static void detach(struct input *input)
{
	unsigned number = take(input, 1) % NICS;
	struct failure failure;

	if (adapters_detach(adapters, names[number], NULL, NULL, &failure) == 0)
		nics[number].there = false;
}

static void attach(struct input *input)
{
	unsigned number = take(input, 1) % NICS;
	struct failure failure;

	(void)!adapters_attach(adapters, &definition->network.adapters[number],
			       CONTROL_BACKEND_NONE, NULL, 0, &failure);
}

static void (*const steps[])(struct input *input) = {
	answer_anything, answer_well, answer_well, say_no_more, refresh, turn, turn,
	connect_nic,     detach,      attach,
};

/* ---- All of it ---- */

static void make(void)
{
	static const struct devices_callbacks callbacks = { .network_ended = network_ended,
							    .network_connected = connected };
	static const struct ic_kvp_callbacks kvp_callbacks = { guest_told, refreshed };
	static const struct ic_kvp_options options = { .refresh_ns = 1000, .soon_ns = 1000 };
	static const char text[] =
		"{\"name\": \"t\", \"boot\": {\"kernel\": \"/k\"}, \"network_adapters\": ["
		"{\"name\": \"nic0\", \"mac\": \"02:56:4d:00:00:0a\"},"
		"{\"name\": \"nic1\", \"mac\": \"02:56:4d:00:00:0b\"}]}";
	struct guest_addresses_config addresses_config = { .changed = changed };
	struct json_error error;
	struct failure failure;

	fake = fake_new(1, 8 << 20);
	if (definition_parse(text, strlen(text), &definition, &error) ||
	    resources_new(&resources) < 0)
		abort();
	config = (struct device_config){ .loop = fake->loop, .callbacks = &callbacks };
	config.bus = fake->bus;
	config.definition = definition;
	config.resources = resources;
	if (adapters_ops.make(&config, (void **)&adapters, &failure) ||
	    ic_kvp_new(fake->bus, &options, &kvp_callbacks, NULL, &kvp) < 0)
		abort();
	addresses_config.adapters = adapters;
	addresses_config.kvp = kvp;
	if (guest_addresses_new(&addresses_config, &addresses) < 0)
		abort();
}

static void end(void)
{
	fake_stop(fake);
	fake_settle(fake);
	guest_addresses_free(addresses);
	addresses = NULL;
	ic_kvp_free(kvp);
	adapters_ops.free(adapters);
	fake_free(fake);
	resources_free(resources);
	definition_free(definition);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { .bytes = data, .size = size };
	bool ok;

	for (unsigned i = 0; i < NICS; i++)
		nics[i] = (struct nic){ .there = true };
	make();
	fake_choose_waits(fake, data, size);
	ok = fake_connect(fake, VMBUS_VERSION_5_3) && fake_request_offers(fake);
	assert(ok);
	ic_guest_open(fake, IC_KVP_TYPE, &channel);
	ic_guest_negotiate(&channel, 4, 0);
	for (unsigned i = 0; i < 64 && input.size > 0; i++)
		steps[take(&input, 1) % ARRAY_SIZE(steps)](&input);
	end();
	return 0;
}
