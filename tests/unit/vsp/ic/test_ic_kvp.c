/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Key-value pairs: what is asked, what becomes of the answers, and of guests that lie. */
#include "common/base/text.h"
#include "common/base/utf16.h"
#include "tests/fake/ic_guest.h"
#include "tests/unit/unit.h"
#include "vsp/ic/ic.h"
#include "vsp/ic/ic_kvp.h"

#include <errno.h>
#include <string.h>

#define MILLISECOND 1000000ull
#define HOUR        (3600 * 1000 * MILLISECOND)

struct fixture {
	struct fake *fake;
	struct ic_kvp *kvp;
	struct fake_channel channel;

	/* What was told. */
	unsigned changes, refreshes, pairs, dones, addresses;
	int result;
	char key[IC_KVP_KEY_MAX], value[IC_KVP_VALUE_MAX];
	struct ic_kvp_addresses last_addresses;
};

static void guest_changed(void *data, const struct ic_kvp_guest *guest)
{
	struct fixture *f = data;

	f->changes++;
}

static void guest_refreshed(void *data)
{
	struct fixture *f = data;

	f->refreshes++;
}

static void on_pair(void *data, const char *key, const char *value)
{
	struct fixture *f = data;

	f->pairs++;
	assert_true(text_is_utf8(key, strlen(key)) && text_is_utf8(value, strlen(value)));
	strcpy(f->key, key);
	strcpy(f->value, value);
}

static void on_addresses(void *data, const struct ic_kvp_addresses *addresses)
{
	struct fixture *f = data;

	f->addresses++;
	f->last_addresses = *addresses;
}

static void on_done(void *data, int result)
{
	struct fixture *f = data;

	f->dones++;
	f->result = result;
}

static const struct ic_kvp_handler handler = { on_pair, on_addresses, on_done };

static struct fixture *make(uint64_t refresh_ns, uint64_t timeout_ns, uint64_t soon_ns)
{
	static const struct ic_kvp_callbacks callbacks = { guest_changed, guest_refreshed };
	const struct ic_kvp_options options = { refresh_ns, timeout_ns, soon_ns };
	struct fixture *f = calloc(1, sizeof(*f));

	f->fake = fake_new(1, 4 << 20);
	assert_int_equal(ic_kvp_new(f->fake->bus, &options, &callbacks, f, &f->kvp), 0);
	assert_true(fake_connect(f->fake, VMBUS_VERSION_5_3));
	assert_true(fake_request_offers(f->fake));
	return f;
}

static int setup(void **state)
{
	*state = make(HOUR, HOUR, HOUR);
	return 0;
}

static int setup_quick(void **state)
{
	*state = make(MILLISECOND, HOUR, 0);
	return 0;
}

static int setup_soon(void **state)
{
	*state = make(HOUR, HOUR, MILLISECOND);
	return 0;
}

static int setup_impatient(void **state)
{
	*state = make(HOUR, MILLISECOND, HOUR);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	fake_stop(f->fake);
	ic_kvp_free(f->kvp);
	fake_free(f->fake);
	free(f);
	return 0;
}

/* ---- The guest ---- */

static void receive(struct fixture *f, struct ic_message *message, uint8_t operation, uint8_t pool)
{
	assert_true(ic_guest_receive(&f->channel, message));
	assert_int_equal(message->header.type, IC_MESSAGE_KVP);
	assert_int_equal(message->kvp.header.operation, operation);
	assert_int_equal(message->kvp.header.pool, pool);
}

static void put_text(uint8_t *buffer, size_t size, uint32_t *ret_size, const char *text)
{
	*ret_size = (uint32_t)utf16_from_utf8(buffer, size, text);
	assert_true(*ret_size > 0);
}

static void put_item(struct ic_kvp_item *item, const char *key, const char *value)
{
	uint32_t key_size, value_size;

	put_text(item->key, sizeof(item->key), &key_size, key);
	put_text(item->value, sizeof(item->value), &value_size, value);
	item->type = IC_KVP_TEXT;
	item->key_size = key_size;
	item->value_size = value_size;
}

/* Answers the enumeration under way with these pairs; closed by NULL. */
static void tell_pairs(struct fixture *f, uint8_t pool, const char *const (*pairs)[2])
{
	struct ic_message message;

	for (uint32_t i = 0;; i++) {
		receive(f, &message, IC_KVP_ENUMERATE, pool);
		assert_int_equal(message.kvp.enumerate.index, i);
		assert_int_equal(message.header.size, sizeof(struct ic_kvp_body));
		if (!pairs[i][0])
			break;
		put_item(&message.kvp.enumerate.item, pairs[i][0], pairs[i][1]);
		ic_guest_answer(&f->channel, &message, IC_STATUS_OK);
	}
	ic_guest_answer(&f->channel, &message, IC_KVP_STATUS_NO_MORE_ITEMS);
}

static const char *const nothing[][2] = { { NULL, NULL } };

static void open_service(struct fixture *f)
{
	ic_guest_open(f->fake, IC_KVP_TYPE, &f->channel);
	ic_guest_negotiate(&f->channel, 4, 0);
}

/* The same, and the guest has told nothing of itself. */
static void open_without_messages(struct fixture *f)
{
	open_service(f);
	tell_pairs(f, IC_KVP_POOL_AUTO, nothing);
	assert_int_equal(f->changes, 0);
}

/* ---- Tests ---- */

static void test_guest_tells_of_itself(void **state)
{
	static const char *const pairs[][2] = {
		{ "FullyQualifiedDomainName", "guest.example.org" },
		{ "IntegrationServicesVersion", "3.1" },
		{ "NetworkAddressIPv4", "192.0.2.7;198.51.100.1" },
		{ "NetworkAddressIPv6", "2001:db8::7" },
		{ "OSBuildNumber", "6.1.0-30-amd64" },
		{ "OSName", "Debian GNU/Linux" },
		{ "OSMajorVersion", "12" },
		{ "OSMinorVersion", "9" },
		{ "OSVersion", "6.1.0" },
		{ "ProcessorArchitecture", "x86_64" },
		{ NULL, NULL },
	};
	struct fixture *f = *state;
	const struct ic_kvp_guest *guest = ic_kvp_guest(f->kvp);

	open_service(f);
	assert_int_equal(f->changes, 0);
	tell_pairs(f, IC_KVP_POOL_AUTO, pairs);
	assert_int_equal(f->changes, 1);
	assert_string_equal(guest->host_name, "guest.example.org");
	assert_string_equal(guest->os_name, "Debian GNU/Linux");
	assert_string_equal(guest->os_version, "6.1.0");
	assert_string_equal(guest->os_major, "12");
	assert_string_equal(guest->os_build, "6.1.0-30-amd64");
	assert_string_equal(guest->architecture, "x86_64");
	assert_string_equal(guest->services_version, "3.1");
	assert_string_equal(guest->ipv4, "192.0.2.7;198.51.100.1");
	assert_string_equal(guest->ipv6, "2001:db8::7");
	assert_true(fake_close(&f->channel));
	assert_int_equal(f->changes, 2);
	assert_string_equal(guest->host_name, "");
}

static void test_refresh_tells_changes(void **state)
{
	static const char *const first[][2] = { { "OSName", "One" }, { NULL, NULL } };
	static const char *const second[][2] = { { "OSName", "Two" }, { NULL, NULL } };
	struct fixture *f = *state;

	open_service(f);
	tell_pairs(f, IC_KVP_POOL_AUTO, first);
	tell_pairs(f, IC_KVP_POOL_AUTO, first);
	assert_int_equal(f->changes, 1);
	tell_pairs(f, IC_KVP_POOL_AUTO, second);
	assert_int_equal(f->changes, 2);
	assert_string_equal(ic_kvp_guest(f->kvp)->os_name, "Two");
}

/* Every hour would do, but something may have happened. */
static void test_refresh_soon(void **state)
{
	static const char *const told[][2] = { { "OSName", "One" }, { NULL, NULL } };
	struct fixture *f = *state;

	open_service(f);
	for (unsigned i = 0; i < 6; i++) {
		tell_pairs(f, IC_KVP_POOL_AUTO, told);
		assert_int_equal(f->refreshes, i + 1);
		if (i > 2)
			ic_kvp_refresh_soon(f->kvp);
	}
	assert_int_equal(f->changes, 1);
}

/* A guest that has told of itself is left in peace. */
static void test_refresh_later(void **state)
{
	struct fixture *f = *state;

	open_without_messages(f);
	assert_int_equal(f->refreshes, 1);
	fake_settle(f->fake);
	assert_false(ic_guest_has_request(&f->channel));
}

static void test_set(void **state)
{
	struct fixture *f = *state;
	struct ic_message message;
	char text[64];

	assert_int_equal(ic_kvp_set(f->kvp, IC_KVP_POOL_EXTERNAL, "k", "v", &handler, f),
			 -ENOTCONN);
	open_without_messages(f);
	assert_int_equal(
		ic_kvp_set(f->kvp, IC_KVP_POOL_EXTERNAL, "k\xc3\xa4y", "value", &handler, f), 0);
	receive(f, &message, IC_KVP_SET, IC_KVP_POOL_EXTERNAL);
	assert_int_equal(message.kvp.item.type, IC_KVP_TEXT);
	assert_int_equal(message.kvp.item.key_size, 8);
	assert_int_equal(message.kvp.item.value_size, 12);
	utf16_to_utf8(text, sizeof(text), message.kvp.item.key, message.kvp.item.key_size);
	assert_string_equal(text, "k\xc3\xa4y");
	assert_int_equal(f->dones, 0);
	ic_guest_answer(&f->channel, &message, IC_STATUS_OK);
	assert_int_equal(f->dones, 1);
	assert_int_equal(f->result, 0);
	assert_int_equal(f->pairs, 0);
}

/* By enumerating: what Linux answers to a plain get lacks four bytes. */
static void test_get(void **state)
{
	static const char *const others[][2] = { { "a", "1" }, { "b", "2" }, { NULL, NULL } };
	struct fixture *f = *state;
	struct ic_message message;

	open_without_messages(f);
	assert_int_equal(ic_kvp_get(f->kvp, IC_KVP_POOL_GUEST, "color", &handler, f), 0);
	receive(f, &message, IC_KVP_ENUMERATE, IC_KVP_POOL_GUEST);
	put_item(&message.kvp.enumerate.item, "colors", "red");
	ic_guest_answer(&f->channel, &message, IC_STATUS_OK);
	assert_int_equal(f->pairs, 0);
	receive(f, &message, IC_KVP_ENUMERATE, IC_KVP_POOL_GUEST);
	assert_int_equal(message.kvp.enumerate.index, 1);
	put_item(&message.kvp.enumerate.item, "color", "bl\xc3\xa4u");
	ic_guest_answer(&f->channel, &message, IC_STATUS_OK);
	assert_int_equal(f->dones, 1);
	assert_int_equal(f->result, 0);
	assert_string_equal(f->key, "color");
	assert_string_equal(f->value, "bl\xc3\xa4u");
	assert_false(ic_guest_has_request(&f->channel));

	assert_int_equal(ic_kvp_get(f->kvp, IC_KVP_POOL_GUEST, "none", &handler, f), 0);
	tell_pairs(f, IC_KVP_POOL_GUEST, others);
	assert_int_equal(f->result, IC_E_ABSENT);
	assert_int_equal(f->pairs, 1);
}

static void test_numbers_become_text(void **state)
{
	struct fixture *f = *state;
	struct ic_message message;

	open_without_messages(f);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(ic_kvp_get(f->kvp, IC_KVP_POOL_GUEST, "n", &handler, f), 0);
		receive(f, &message, IC_KVP_ENUMERATE, IC_KVP_POOL_GUEST);
		put_item(&message.kvp.enumerate.item, "n", "");
		memset(message.kvp.enumerate.item.value, 0xff, IC_KVP_VALUE_SIZE);
		message.kvp.enumerate.item.type = i ? IC_KVP_UINT64 : IC_KVP_UINT32;
		message.kvp.enumerate.item.value_size = UINT32_MAX;
		ic_guest_answer(&f->channel, &message, IC_STATUS_OK);
		assert_string_equal(f->value, i ? "18446744073709551615" : "4294967295");
	}
}

static void test_delete(void **state)
{
	struct fixture *f = *state;
	struct ic_message message;

	open_without_messages(f);
	assert_int_equal(ic_kvp_delete(f->kvp, IC_KVP_POOL_EXTERNAL, "color", &handler, f), 0);
	receive(f, &message, IC_KVP_DELETE, IC_KVP_POOL_EXTERNAL);
	assert_int_equal(message.kvp.delete.key_size, 12);
	assert_memory_equal(message.kvp.delete.key, "c\0o\0l\0o\0r\0\0\0", 12);
	ic_guest_answer(&f->channel, &message, IC_STATUS_FAIL);
	assert_int_equal(f->result, IC_E_REFUSED);
}

static void test_enumerate(void **state)
{
	static const char *const pairs[][2] = { { "a", "1" }, { "b", "" }, { NULL, NULL } };
	struct fixture *f = *state;

	open_without_messages(f);
	assert_int_equal(ic_kvp_enumerate(f->kvp, IC_KVP_POOL_GUEST, &handler, f), 0);
	tell_pairs(f, IC_KVP_POOL_GUEST, pairs);
	assert_int_equal(f->pairs, 2);
	assert_string_equal(f->key, "b");
	assert_string_equal(f->value, "");
	assert_int_equal(f->dones, 1);
	assert_int_equal(f->result, 0);
}

/* A guest whose pool has no end. */
static void test_enumeration_ends(void **state)
{
	struct fixture *f = *state;
	struct ic_message message;

	open_without_messages(f);
	assert_int_equal(ic_kvp_enumerate(f->kvp, IC_KVP_POOL_GUEST, &handler, f), 0);
	for (uint32_t i = 0; i < IC_KVP_PAIRS_MAX; i++) {
		receive(f, &message, IC_KVP_ENUMERATE, IC_KVP_POOL_GUEST);
		put_item(&message.kvp.enumerate.item, "k", "v");
		ic_guest_answer(&f->channel, &message, IC_STATUS_OK);
	}
	assert_false(ic_guest_has_request(&f->channel));
	assert_int_equal(f->pairs, IC_KVP_PAIRS_MAX);
	assert_int_equal(f->dones, 1);
	assert_int_equal(f->result, 0);
}

#define PUT(message, member, text)                                     \
	put_text((uint8_t *)&(message)->kvp_addresses +                \
			 offsetof(struct ic_kvp_address_body, member), \
		 sizeof((message)->kvp_addresses.member), &(uint32_t){ 0 }, text)

static void test_addresses(void **state)
{
	static const uint8_t mac[] = { 0x00, 0x15, 0x5d, 0x01, 0x02, 0x03 };
	struct fixture *f = *state;
	struct ic_message message;
	char adapter[64];

	open_without_messages(f);
	assert_int_equal(ic_kvp_get_addresses(f->kvp, mac, &handler, f), 0);
	receive(f, &message, IC_KVP_GET_ADDRESSES, 0);
	assert_int_equal(message.header.size, sizeof(struct ic_kvp_address_body));
	utf16_to_utf8(adapter, sizeof(adapter),
		      (uint8_t *)&message.kvp_addresses +
			      offsetof(struct ic_kvp_address_body, adapter),
		      sizeof(message.kvp_addresses.adapter));
	assert_string_equal(adapter, "00:15:5D:01:02:03");
	PUT(&message, addresses, "192.0.2.7;2001:db8::7");
	PUT(&message, masks, "255.255.255.0;/64");
	PUT(&message, gateways, "192.0.2.1");
	PUT(&message, name_servers, "192.0.2.53");
	message.kvp_addresses.dhcp = 7;
	ic_guest_answer(&f->channel, &message, IC_STATUS_OK);
	assert_int_equal(f->addresses, 1);
	assert_string_equal(f->last_addresses.addresses, "192.0.2.7;2001:db8::7");
	assert_string_equal(f->last_addresses.masks, "255.255.255.0;/64");
	assert_string_equal(f->last_addresses.gateways, "192.0.2.1");
	assert_string_equal(f->last_addresses.name_servers, "192.0.2.53");
	assert_true(f->last_addresses.dhcp);
	assert_int_equal(f->result, 0);

	assert_true(fake_close(&f->channel));
	ic_guest_open(f->fake, IC_KVP_TYPE, &f->channel);
	ic_guest_negotiate(&f->channel, 3, 0);
	assert_int_equal(ic_kvp_get_addresses(f->kvp, mac, &handler, f), -EOPNOTSUPP);
}

static void test_arguments(void **state)
{
	struct fixture *f = *state;
	char key[257], value[1025];

	memset(key, 'k', 256);
	memset(value, 'v', 1024);
	key[256] = value[1024] = '\0';
	open_without_messages(f);
	assert_int_equal(ic_kvp_get(f->kvp, IC_KVP_POOL_GUEST, "", &handler, f), -EINVAL);
	assert_int_equal(ic_kvp_get(f->kvp, IC_KVP_POOL_GUEST, key, &handler, f), -EINVAL);
	assert_int_equal(ic_kvp_delete(f->kvp, IC_KVP_POOL_GUEST, key, &handler, f), -EINVAL);
	assert_int_equal(ic_kvp_delete(f->kvp, IC_KVP_POOL_GUEST, "", &handler, f), -EINVAL);
	assert_int_equal(ic_kvp_set(f->kvp, IC_KVP_POOL_GUEST, key, "v", &handler, f), -EINVAL);
	assert_int_equal(ic_kvp_set(f->kvp, IC_KVP_POOL_GUEST, "k", value, &handler, f), -EINVAL);
	assert_int_equal(ic_kvp_set(f->kvp, IC_KVP_POOL_GUEST, "k", "\xff", &handler, f), -EINVAL);
	assert_false(ic_guest_has_request(&f->channel));
	key[255] = value[1023] = '\0';
	assert_int_equal(ic_kvp_set(f->kvp, IC_KVP_POOL_GUEST, key, value, &handler, f), 0);
	assert_int_equal(f->dones, 0);
}

static void test_operations_queue(void **state)
{
	struct fixture *f = *state;
	struct ic_message message;

	open_without_messages(f);
	for (unsigned i = 0; i < IC_KVP_QUEUE_MAX; i++)
		assert_int_equal(ic_kvp_get(f->kvp, IC_KVP_POOL_GUEST, "k", &handler, f), 0);
	assert_int_equal(ic_kvp_get(f->kvp, IC_KVP_POOL_GUEST, "k", &handler, f), -EBUSY);
	for (unsigned i = 0; i < IC_KVP_QUEUE_MAX; i++) {
		receive(f, &message, IC_KVP_ENUMERATE, IC_KVP_POOL_GUEST);
		assert_false(ic_guest_has_request(&f->channel));
		ic_guest_answer(&f->channel, &message, IC_KVP_STATUS_NO_MORE_ITEMS);
		assert_int_equal(f->dones, i + 1);
		/* The same answer again is none. */
		ic_guest_answer(&f->channel, &message, IC_STATUS_OK);
		assert_int_equal(f->dones, i + 1);
	}
}

/* Sizes beyond the message, unknown types, text that is no UTF-16, bodies that are too short. */
static void test_lies(void **state)
{
	struct fixture *f = *state;
	struct ic_message message;

	open_without_messages(f);
	for (unsigned variant = 0; variant < 6; variant++) {
		static const int results[] = { IC_E_INVALID, IC_E_INVALID, IC_E_INVALID, 0, 0,
					       IC_E_INVALID };

		f->pairs = f->dones = 0;
		assert_int_equal(ic_kvp_enumerate(f->kvp, IC_KVP_POOL_GUEST, &handler, f), 0);
		receive(f, &message, IC_KVP_ENUMERATE, IC_KVP_POOL_GUEST);
		put_item(&message.kvp.enumerate.item, "k", "v");
		switch (variant) {
		case 0:
			message.kvp.enumerate.item.key_size = IC_KVP_KEY_SIZE + 1;
			break;
		case 1:
			message.kvp.enumerate.item.value_size = UINT32_MAX;
			break;
		case 2:
			message.kvp.enumerate.item.type = 77;
			break;
		case 3: /* no NUL, half a pair, odd sizes */
			memset(message.kvp.enumerate.item.key, 0xd8, IC_KVP_KEY_SIZE);
			memset(message.kvp.enumerate.item.value, 0xdf, IC_KVP_VALUE_SIZE);
			message.kvp.enumerate.item.key_size = IC_KVP_KEY_SIZE - 1;
			message.kvp.enumerate.item.value_size = IC_KVP_VALUE_SIZE;
			break;
		case 4: /* cut inside the value */
			message.pipe.size = sizeof(message.header) + 600;
			message.header.size = 600;
			break;
		case 5:
			message.pipe.size = sizeof(message.header);
			message.header.size = 0;
			break;
		}
		ic_guest_answer(&f->channel, &message, IC_STATUS_OK);
		if (results[variant] == 0) {
			assert_int_equal(f->pairs, 1);
			receive(f, &message, IC_KVP_ENUMERATE, IC_KVP_POOL_GUEST);
			ic_guest_answer(&f->channel, &message, IC_STATUS_FAIL);
			assert_int_equal(f->result, IC_E_REFUSED);
		} else {
			assert_int_equal(f->pairs, 0);
			assert_int_equal(f->result, results[variant]);
		}
		assert_int_equal(f->dones, 1);
	}
}

static bool is_done(void *data)
{
	const struct fixture *f = data;

	return f->dones > 0;
}

/*
 * The answer comes after the time-out has ended: the next operation does not take it for its own.
 */
static void test_late_answer(void **state)
{
	struct fixture *f = *state;
	struct ic_message late, message;

	open_service(f);
	assert_int_equal(ic_kvp_get(f->kvp, IC_KVP_POOL_GUEST, "k", &handler, f), 0);
	/* Both the refresh of the service and this. */
	assert_true(fake_run_until(f->fake, is_done, f));
	assert_int_equal(f->result, IC_E_TIMEOUT);
	receive(f, &message, IC_KVP_ENUMERATE, IC_KVP_POOL_AUTO);
	receive(f, &late, IC_KVP_ENUMERATE, IC_KVP_POOL_GUEST);
	put_item(&late.kvp.enumerate.item, "k", "late");
	ic_guest_answer(&f->channel, &late, IC_STATUS_OK);
	ic_guest_answer(&f->channel, &message, IC_STATUS_OK);
	assert_int_equal(f->pairs, 0);
	assert_int_equal(f->dones, 1);
	assert_true(ic_kvp_is_connected(f->kvp));
}

/* The guest reads nothing: its ring fills up, and every operation ends all the same. */
static void test_full_ring(void **state)
{
	struct fixture *f = *state;

	open_service(f);
	for (unsigned i = 0; i < 12; i++) {
		f->dones = 0;
		assert_int_equal(ic_kvp_get(f->kvp, IC_KVP_POOL_GUEST, "k", &handler, f), 0);
		assert_true(fake_run_until(f->fake, is_done, f));
		assert_int_equal(f->result, IC_E_TIMEOUT);
	}
}

static void test_closed_meanwhile(void **state)
{
	struct fixture *f = *state;

	for (unsigned i = 0; i < 3; i++) {
		f->dones = f->changes = 0;
		open_without_messages(f);
		assert_int_equal(ic_kvp_enumerate(f->kvp, IC_KVP_POOL_GUEST, &handler, f), 0);
		assert_int_equal(ic_kvp_get(f->kvp, IC_KVP_POOL_GUEST, "k", &handler, f), 0);
		if (i % 2) {
			assert_true(fake_close(&f->channel));
		} else {
			fake_stop(f->fake);
			assert_true(fake_connect(f->fake, VMBUS_VERSION_5_3));
			assert_true(fake_request_offers(f->fake));
		}
		assert_int_equal(f->dones, 2);
		assert_int_equal(f->result, IC_E_GONE);
		assert_int_equal(ic_kvp_get(f->kvp, IC_KVP_POOL_GUEST, "k", &handler, f),
				 -ENOTCONN);
	}
}

static void test_texts_of_the_guest_are_bounded(void **state)
{
	struct fixture *f = *state;
	struct ic_message message;

	open_service(f);
	receive(f, &message, IC_KVP_ENUMERATE, IC_KVP_POOL_AUTO);
	put_item(&message.kvp.enumerate.item, "OSName", "x");
	for (size_t i = 0; i < IC_KVP_VALUE_SIZE; i += 2) {
		message.kvp.enumerate.item.value[i] = 0xac;
		message.kvp.enumerate.item.value[i + 1] = 0x20;
	}
	message.kvp.enumerate.item.value_size = IC_KVP_VALUE_SIZE;
	ic_guest_answer(&f->channel, &message, IC_STATUS_OK);
	receive(f, &message, IC_KVP_ENUMERATE, IC_KVP_POOL_AUTO);
	ic_guest_answer(&f->channel, &message, IC_KVP_STATUS_NO_MORE_ITEMS);
	assert_int_equal(f->changes, 1);
	assert_int_equal(strlen(ic_kvp_guest(f->kvp)->os_name), 1023);
	assert_true(text_is_utf8(ic_kvp_guest(f->kvp)->os_name, 1023));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_guest_tells_of_itself),
		cmocka_unit_test_setup_teardown(test_refresh_tells_changes, setup_quick, teardown),
		cmocka_unit_test_setup_teardown(test_refresh_soon, setup_soon, teardown),
		TEST(test_refresh_later),
		TEST(test_set),
		TEST(test_get),
		TEST(test_numbers_become_text),
		TEST(test_delete),
		TEST(test_enumerate),
		TEST(test_enumeration_ends),
		TEST(test_addresses),
		TEST(test_arguments),
		TEST(test_operations_queue),
		TEST(test_lies),
		cmocka_unit_test_setup_teardown(test_late_answer, setup_impatient, teardown),
		cmocka_unit_test_setup_teardown(test_full_ring, setup_impatient, teardown),
		TEST(test_closed_meanwhile),
		TEST(test_texts_of_the_guest_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
