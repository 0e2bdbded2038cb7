/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which adapter has which addresses: when the guest is asked, and what becomes of its answers. */
#include "common/base/state.h"
#include "common/base/utf16.h"
#include "tests/fake/ic_guest.h"
#include "tests/unit/unit.h"
#include "vmwp/device/devices.h"
#include "vmwp/resource/resources.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MILLISECOND 1000000ull

struct fixture {
	struct fake *fake;
	struct definition *definition;
	struct resources *resources;
	struct device_config config;
	struct adapters *adapters;
	struct ic_kvp *kvp;
	struct guest_addresses *addresses; /* NULL: not yet */
	struct fake_channel channel;
	char told[256]; /* "nic0=192.0.2.7 nic1=" */
};

static void take_ended(void *data, const char *name)
{
}

static void take_connected(void *data, const char *name)
{
	struct fixture *f = data;

	if (f->addresses)
		guest_addresses_connected(f->addresses, name);
}

static void take_guest(void *data, const struct ic_kvp_guest *guest)
{
	struct fixture *f = data;

	guest_addresses_guest(f->addresses);
}

static void take_refreshed(void *data)
{
	struct fixture *f = data;

	guest_addresses_refreshed(f->addresses);
}

static void take_changed(void *data, const char *adapter, const char *addresses)
{
	struct fixture *f = data;
	size_t used = strlen(f->told);

	snprintf(f->told + used, sizeof(f->told) - used, "%s%s=%s", used ? " " : "", adapter,
		 addresses);
}

static void make_adapters(struct fixture *f)
{
	static const struct devices_callbacks callbacks = { .network_ended = take_ended,
							    .network_connected = take_connected };
	static const char text[] =
		"{\"name\": \"t\", \"boot\": {\"kernel\": \"/k\"}, \"network_adapters\": ["
		"{\"mac\": \"02:56:4d:00:00:0a\"}, {\"mac\": \"02:56:4d:00:00:0b\"}]}";
	struct json_error error;
	struct failure failure;

	assert_int_equal(definition_parse(text, strlen(text), &f->definition, &error), 0);
	assert_int_equal(resources_new(&f->resources), 0);
	f->config = (struct device_config){
		.loop = f->fake->loop,
		.bus = f->fake->bus,
		.definition = f->definition,
		.resources = f->resources,
		.callbacks = &callbacks,
		.data = f,
	};
	assert_int_equal(adapters_ops.make(&f->config, (void **)&f->adapters, &failure), 0);
}

static int setup(void **state)
{
	static const struct ic_kvp_callbacks callbacks = { take_guest, take_refreshed };
	const struct ic_kvp_options options = { .refresh_ns = MILLISECOND };
	struct guest_addresses_config config = { .changed = take_changed };
	struct fixture *f = calloc(1, sizeof(*f));

	f->fake = fake_new(1, 8 << 20);
	make_adapters(f);
	assert_int_equal(ic_kvp_new(f->fake->bus, &options, &callbacks, f, &f->kvp), 0);
	config.adapters = f->adapters;
	config.kvp = f->kvp;
	config.data = f;
	assert_int_equal(guest_addresses_new(&config, &f->addresses), 0);
	assert_true(fake_connect(f->fake, VMBUS_VERSION_5_3));
	assert_true(fake_request_offers(f->fake));
	ic_guest_open(f->fake, IC_KVP_TYPE, &f->channel);
	ic_guest_negotiate(&f->channel, 4, 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	fake_stop(f->fake);
	guest_addresses_free(f->addresses);
	ic_kvp_free(f->kvp);
	adapters_ops.free(f->adapters);
	fake_free(f->fake);
	resources_free(f->resources);
	definition_free(f->definition);
	free(f);
	return 0;
}

/* ---- The guest ---- */

/* It is asked about itself, and tells these addresses. */
static void tell(struct fixture *f, const char *ipv4)
{
	struct ic_message message;
	struct ic_kvp_item *item = &message.kvp.enumerate.item;

	assert_true(ic_guest_receive(&f->channel, &message));
	assert_int_equal(message.kvp.header.operation, IC_KVP_ENUMERATE);
	item->type = IC_KVP_TEXT;
	item->key_size =
		(uint32_t)utf16_from_utf8(item->key, sizeof(item->key), "NetworkAddressIPv4");
	item->value_size = (uint32_t)utf16_from_utf8(item->value, sizeof(item->value), ipv4);
	ic_guest_answer(&f->channel, &message, IC_STATUS_OK);
	assert_true(ic_guest_receive(&f->channel, &message));
	ic_guest_answer(&f->channel, &message, IC_KVP_STATUS_NO_MORE_ITEMS);
}

/* It is asked about the adapter with this MAC address. addresses: NULL: it has none such. */
static void answer(struct fixture *f, const char *mac, const char *addresses)
{
	struct ic_message message;
	uint8_t *body = (uint8_t *)&message.kvp_addresses;
	char asked[64];

	assert_true(ic_guest_receive(&f->channel, &message));
	assert_int_equal(message.kvp.header.operation, IC_KVP_GET_ADDRESSES);
	utf16_to_utf8(asked, sizeof(asked), body + offsetof(struct ic_kvp_address_body, adapter),
		      sizeof(message.kvp_addresses.adapter));
	assert_string_equal(asked, mac);
	if (addresses)
		assert_true(utf16_from_utf8(body + offsetof(struct ic_kvp_address_body, addresses),
					    sizeof(message.kvp_addresses.addresses),
					    addresses) > 0);
	ic_guest_answer(&f->channel, &message, addresses ? IC_STATUS_OK : IC_KVP_STATUS_NO_GUID);
}

#define MAC_0 "02:56:4D:00:00:0A"
#define MAC_1 "02:56:4D:00:00:0B"

/* What was told since the last time. */
static void assert_told(struct fixture *f, const char *text)
{
	assert_string_equal(f->told, text);
	f->told[0] = '\0';
}

/* ---- Tests ---- */

static void each_adapter_is_asked(void **state)
{
	struct fixture *f = *state;

	tell(f, "192.0.2.7");
	answer(f, MAC_0, "192.0.2.7;fe80::1;");
	answer(f, MAC_1, NULL);
	assert_told(f, "nic0=192.0.2.7;fe80::1;");
}

/* Only when something has changed. */
static void an_idle_guest_is_left_in_peace(void **state)
{
	struct fixture *f = *state;

	tell(f, "192.0.2.7");
	answer(f, MAC_0, "192.0.2.7");
	answer(f, MAC_1, "");
	for (unsigned i = 0; i < 3; i++)
		tell(f, "192.0.2.7");
	assert_told(f, "nic0=192.0.2.7");
	tell(f, "192.0.2.7;192.0.2.8");
	answer(f, MAC_0, "192.0.2.7");
	answer(f, MAC_1, "192.0.2.8");
	assert_told(f, "nic1=192.0.2.8");
}

static void an_address_that_goes(void **state)
{
	struct fixture *f = *state;

	tell(f, "192.0.2.7;192.0.2.8");
	answer(f, MAC_0, "192.0.2.7");
	answer(f, MAC_1, "192.0.2.8");
	tell(f, "192.0.2.8");
	answer(f, MAC_0, NULL);
	answer(f, MAC_1, "192.0.2.8");
	assert_told(f, "nic0=192.0.2.7 nic1=192.0.2.8 nic0=");
	tell(f, "");
	assert_told(f, "nic1=");
}

static void a_guest_that_goes(void **state)
{
	struct fixture *f = *state;

	tell(f, "192.0.2.7");
	answer(f, MAC_0, "192.0.2.7");
	assert_true(fake_close(&f->channel));
	assert_told(f, "nic0=192.0.2.7 nic0=");
}

/* Who has connected the adapter has forgotten what it had: it is told again, though the same. */
static void an_adapter_with_another_network(void **state)
{
	struct fixture *f = *state;
	struct failure failure;

	tell(f, "192.0.2.7");
	answer(f, MAC_0, "192.0.2.7");
	answer(f, MAC_1, "");
	f->told[0] = '\0';
	guest_addresses_connected(f->addresses, "nic0");
	tell(f, "192.0.2.7");
	answer(f, MAC_0, "192.0.2.7");
	assert_told(f, "nic0=192.0.2.7");

	assert_int_equal(adapters_detach(f->adapters, "nic0", NULL, NULL, &failure), 0);
	fake_settle(f->fake);
	tell(f, "192.0.2.9");
	answer(f, MAC_1, "192.0.2.9");
	assert_told(f, "nic1=192.0.2.9");
}

/* The answer is that of a time when the adapter had another network. */
static void an_answer_that_is_too_old(void **state)
{
	struct fixture *f = *state;

	tell(f, "192.0.2.7");
	guest_addresses_connected(f->addresses, "nic0");
	answer(f, MAC_0, "192.0.2.7");
	answer(f, MAC_0, "192.0.2.8");
	answer(f, MAC_1, NULL);
	assert_told(f, "nic0=192.0.2.8");
}

/* Another object, of the same adapters, goes on with the record. Return: as restoring it. */
static int go_on_with(struct fixture *f, const struct state_writer *writer)
{
	struct guest_addresses_config config = {
		.adapters = f->adapters, .kvp = f->kvp, .changed = take_changed, .data = f
	};
	struct state_reader reader;

	guest_addresses_free(f->addresses);
	assert_int_equal(guest_addresses_new(&config, &f->addresses), 0);
	if (state_reader_init(&reader, writer->bytes, writer->size))
		return STATE_E_INVALID;
	return guest_addresses_restore(f->addresses, &reader);
}

static void what_was_told_is_told_again(void **state)
{
	struct fixture *f = *state;
	struct state_writer first, second;

	tell(f, "192.0.2.7;192.0.2.8");
	answer(f, MAC_0, "192.0.2.7");
	answer(f, MAC_1, "192.0.2.8");
	f->told[0] = '\0';
	state_writer_init(&first);
	guest_addresses_save(f->addresses, &first);
	assert_int_equal(go_on_with(f, &first), 0);
	assert_told(f, "nic0=192.0.2.7 nic1=192.0.2.8");
	state_writer_init(&second);
	guest_addresses_save(f->addresses, &second);
	assert_int_equal(second.size, first.size);
	assert_memory_equal(second.bytes, first.bytes, first.size);
	state_writer_deinit(&second);
	/* And only what has changed since. */
	tell(f, "192.0.2.7;192.0.2.9");
	answer(f, MAC_0, "192.0.2.7");
	answer(f, MAC_1, "192.0.2.9");
	assert_told(f, "nic1=192.0.2.9");
	state_writer_deinit(&first);
}

static void any_record_is_survived(void **state)
{
	struct fixture *f = *state;
	struct state_writer writer;
	unsigned refused = 0;

	tell(f, "192.0.2.7");
	answer(f, MAC_0, "192.0.2.7");
	answer(f, MAC_1, NULL);
	state_writer_init(&writer);
	guest_addresses_save(f->addresses, &writer);
	for (size_t at = 0; at < writer.size; at++) {
		writer.bytes[at] ^= 0x81;
		f->told[0] = '\0';
		refused += go_on_with(f, &writer) != 0;
		writer.bytes[at] ^= 0x81;
	}
	assert_true(refused > 8);
	state_writer_deinit(&writer);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(each_adapter_is_asked),
		TEST(what_was_told_is_told_again),
		TEST(any_record_is_survived),
		TEST(an_idle_guest_is_left_in_peace),
		TEST(an_address_that_goes),
		TEST(a_guest_that_goes),
		TEST(an_adapter_with_another_network),
		TEST(an_answer_that_is_too_old),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
