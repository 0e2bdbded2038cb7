/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Network adapters in VM definitions: every key, defaults, refusals, writing again. */
#include "common/base/cc.h"
#include "common/definition/definition.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INSTANCE "f8615163-df3e-46c5-913f-f2d2f965ed0e"

static struct json_error last;

/* adapters: the value of "network_adapters". */
static struct definition *parse(const char *adapters)
{
	struct definition *definition = NULL;
	char *text;

	assert_true(asprintf(&text,
			     "{\"name\": \"a\", \"boot\": {\"kernel\": \"/k\"},\n"
			     "\"network_adapters\": %s}",
			     adapters) > 0);
	last = (struct json_error){ 0 };
	if (definition_parse(text, strlen(text), &definition, &last) < 0)
		assert_null(definition);
	free(text);
	return definition;
}

static const char full_text[] =
	"[\n"
	" {\"name\": \"wan\", \"mac\": \"02:56:4d:00:00:0F\", \"instance\": \"" INSTANCE "\",\n"
	"  \"forward\": [\"2222:22\", \"udp:[0::1]:5353:53\", \"tcp:*:5353:53\"], "
	"\"mac_spoofing\": true,\n"
	"  \"host_loopback\": true,\n"
	"  \"dhcp_guard\": true, \"router_guard\": true, \"mtu\": 9000, \"queues\": 3,\n"
	"  \"bandwidth\": {\"egress\": 1000000, \"ingress\": 2000000}},\n"
	" {\"switch\": \"lan\", \"vlan\": {\"access\": 10}, \"port_isolation\": true,\n"
	"  \"link_protocols\": true, \"addresses\": [\"192.0.2.1\", \"2001:db8::7/64\"]},\n"
	" {\"switch\": \"lan\", \"vlan\": {\"trunk\": [10, 4094], \"native\": 1}},\n"
	" {\"switch\": \"none\"},\n"
	" {\"tap\": \"tap7\"}\n"
	"]";

static void assert_full(struct definition *definition)
{
	static const uint8_t mac[] = { 0x02, 0x56, 0x4d, 0x00, 0x00, 0x0f };
	struct definition_network *network = &definition->network;
	const struct definition_adapter *adapter = &network->adapters[0];
	char text[DEFINITION_FORWARD_TEXT_SIZE], instance[GUID_TEXT_SIZE];

	assert_int_equal(network->adapter_count, 5);
	assert_string_equal(adapter->name, "wan");
	assert_memory_equal(adapter->mac, mac, sizeof(mac));
	guid_format(&adapter->instance, instance);
	assert_string_equal(instance, INSTANCE);
	assert_string_equal(adapter->switch_name, DEFINITION_SWITCH_DEFAULT);
	assert_int_equal(adapter->forward_count, 3);
	definition_forward_format(&adapter->forwards[0], text);
	assert_string_equal(text, "tcp:127.0.0.1:2222:22");
	definition_forward_format(&adapter->forwards[1], text);
	assert_string_equal(text, "udp:[::1]:5353:53");
	definition_forward_format(&adapter->forwards[2], text);
	assert_string_equal(text, "tcp:*:5353:53");
	assert_true(adapter->host_loopback);
	assert_true(adapter->mac_spoofing && adapter->dhcp_guard && adapter->router_guard);
	assert_int_equal(adapter->egress, 1000000);
	assert_int_equal(adapter->ingress, 2000000);
	assert_int_equal(adapter->mtu, 9000);
	assert_int_equal(adapter->queues, 3);
	assert_int_equal(adapter->vlan.mode, DEFINITION_VLAN_NONE);

	adapter = &network->adapters[1];
	assert_true(adapter->isolated && adapter->link_protocols);
	assert_int_equal(adapter->pin_count, 2);
	definition_address_format(&adapter->pins[0], text);
	assert_string_equal(text, "192.0.2.1");
	definition_address_format(&adapter->pins[1], text);
	assert_string_equal(text, "2001:db8::7/64");
	assert_string_equal(adapter->name, "nic0");
	assert_string_equal(adapter->switch_name, "lan");
	assert_int_equal(adapter->vlan.mode, DEFINITION_VLAN_ACCESS);
	assert_int_equal(adapter->vlan.access, 10);

	adapter = definition_find_adapter(network, "nic1");
	assert_ptr_equal(adapter, &network->adapters[2]);
	assert_int_equal(adapter->vlan.mode, DEFINITION_VLAN_TRUNK);
	assert_int_equal(adapter->vlan.trunk_count, 2);
	assert_int_equal(adapter->vlan.trunk[1], 4094);
	assert_int_equal(adapter->vlan.native, 1);

	assert_string_equal(network->adapters[3].switch_name, DEFINITION_SWITCH_NONE);
	assert_null(network->adapters[3].tap);
	assert_string_equal(network->adapters[4].tap, "tap7");
}

static void test_every_key(void **state)
{
	CLEANUP(definition_freep) struct definition *definition = parse(full_text);

	if (!definition)
		fail_msg("%d: %s: %s", last.line, last.key, last.message);
	assert_full(definition);
}

static void test_written_is_read_back(void **state)
{
	CLEANUP(definition_freep) struct definition *definition = parse(full_text);
	CLEANUP(definition_freep) struct definition *again = NULL;

	assert_non_null(definition);
	assert_int_equal(definition_copy(definition, &again), 0);
	assert_full(again);
}

static void test_defaults(void **state)
{
	CLEANUP(definition_freep) struct definition *none = parse("[]");
	CLEANUP(definition_freep) struct definition *one = parse("[{}]");
	const struct definition_adapter *adapter;

	assert_non_null(none);
	assert_int_equal(none->network.adapter_count, 0);
	assert_non_null(one);
	adapter = &one->network.adapters[0];
	assert_string_equal(adapter->name, "nic0");
	assert_true(definition_mac_is_null(adapter->mac));
	assert_true(guid_is_null(&adapter->instance));
	assert_string_equal(adapter->switch_name, DEFINITION_SWITCH_DEFAULT);
	assert_null(adapter->tap);
	assert_int_equal(adapter->forward_count, 0);
	assert_false(adapter->mac_spoofing || adapter->dhcp_guard || adapter->router_guard);
	assert_int_equal(adapter->egress, 0);
	assert_int_equal(adapter->ingress, 0);
	assert_int_equal(adapter->mtu, DEFINITION_MTU_DEFAULT);
	assert_int_equal(adapter->queues, 0);
}

static void test_refuses(void **state)
{
	static const struct {
		const char *text, *key;
	} cases[] = {
		{ "{}", "network_adapters" },
		{ "[{},{},{},{},{},{},{},{},{}]", "network_adapters" },
		{ "[1]", "network_adapters[0]" },
		{ "[{\"colour\": 1}]", "network_adapters[0].colour" },
		{ "[{\"name\": \"\"}]", "network_adapters[0].name" },
		{ "[{\"name\": \"a/b\"}]", "network_adapters[0].name" },
		{ "[{\"name\": \"a\"}, {\"name\": \"a\"}]", "network_adapters[1]" },
		{ "[{\"mac\": \"02:00:00:00:00:01\"}, {\"mac\": \"02-00-00-00-00-01\"}]",
		  "network_adapters[1]" },
		{ "[{\"mac\": \"01:00:5e:00:00:01\"}]", "network_adapters[0].mac" },
		{ "[{\"mac\": \"00:00:00:00:00:00\"}]", "network_adapters[0].mac" },
		{ "[{\"mac\": \"02:00:00:00:00\"}]", "network_adapters[0].mac" },
		{ "[{\"mac\": \"02:00:00:00:00:0g\"}]", "network_adapters[0].mac" },
		{ "[{\"mac\": \"02:00-00:00:00:00\"}]", "network_adapters[0].mac" },
		{ "[{\"mac\": 2}]", "network_adapters[0].mac" },
		{ "[{\"instance\": \"x\"}]", "network_adapters[0].instance" },
		{ "[{\"switch\": \"\"}]", "network_adapters[0].switch" },
		{ "[{\"switch\": \"a b\"}]", "network_adapters[0].switch" },
		{ "[{\"tap\": \"a/b\"}]", "network_adapters[0].tap" },
		{ "[{\"tap\": \"/dev/zero\"}]", "network_adapters[0].tap" },
		{ "[{\"tap\": \"sixteen-letters-\"}]", "network_adapters[0].tap" },
		{ "[{\"tap\": \"t\", \"switch\": \"a\"}]", "network_adapters[0].tap" },
		{ "[{\"forward\": \"1:2\"}]", "network_adapters[0].forward" },
		{ "[{\"forward\": [\"1:2\", \"1\"]}]", "network_adapters[0].forward[1]" },
		{ "[{\"forward\": [\"0:2\"]}]", "network_adapters[0].forward[0]" },
		{ "[{\"forward\": [\"1:65536\"]}]", "network_adapters[0].forward[0]" },
		{ "[{\"forward\": [\"sctp:1:2\"]}]", "network_adapters[0].forward[0]" },
		{ "[{\"forward\": [\"1:2:3\"]}]", "network_adapters[0].forward[0]" },
		{ "[{\"forward\": [\"1:2\", \"tcp:1:3\"]}]", "network_adapters[0].forward[1]" },
		{ "[{\"forward\": [\"1:2\", \"*:1:3\"]}]", "network_adapters[0].forward[1]" },
		{ "[{\"forward\": [\"localhost:1:2\"]}]", "network_adapters[0].forward[0]" },
		{ "[{\"forward\": [\"::1:1:2\"]}]", "network_adapters[0].forward[0]" },
		{ "[{\"forward\": [\"[::1]1:2\"]}]", "network_adapters[0].forward[0]" },
		{ "[{\"forward\": [\"[::1:1:2\"]}]", "network_adapters[0].forward[0]" },
		{ "[{\"forward\": [\"[127.0.0.1]:1:2\"]}]", "network_adapters[0].forward[0]" },
		{ "[{\"forward\": [\"[*]:1:2\"]}]", "network_adapters[0].forward[0]" },
		{ "[{\"forward\": [\":1:2\"]}]", "network_adapters[0].forward[0]" },
		{ "[{\"forward\": [\"[fe80::1%eth0]:1:2\"]}]", "network_adapters[0].forward[0]" },
		{ "[{\"host_loopback\": 1}]", "network_adapters[0].host_loopback" },
		{ "[{\"host_loopback\": true, \"switch\": \"lan\"}]",
		  "network_adapters[0].host_loopback" },
		{ "[{\"forward\": [\"1:2\"], \"switch\": \"lan\"}]",
		  "network_adapters[0].forward" },
		{ "[{\"forward\": [\"1:2\"], \"tap\": \"t\"}]", "network_adapters[0].forward" },
		{ "[{\"vlan\": {\"access\": 1}}]", "network_adapters[0].vlan" },
		{ "[{\"switch\": \"s\", \"vlan\": {}}]", "network_adapters[0].vlan" },
		{ "[{\"switch\": \"s\", \"vlan\": {\"access\": 4095}}]",
		  "network_adapters[0].vlan.access" },
		{ "[{\"switch\": \"s\", \"vlan\": {\"access\": 1, \"native\": 2}}]",
		  "network_adapters[0].vlan" },
		{ "[{\"switch\": \"s\", \"vlan\": {\"native\": 2}}]", "network_adapters[0].vlan" },
		{ "[{\"switch\": \"s\", \"vlan\": {\"trunk\": [1, 0]}}]",
		  "network_adapters[0].vlan.trunk[1]" },
		{ "[{\"switch\": \"s\", \"vlan\": {\"trunk\": [1, 1]}}]",
		  "network_adapters[0].vlan.trunk[1]" },
		{ "[{\"switch\": \"s\", \"addresses\": [\"0.0.0.0\"]}]",
		  "network_adapters[0].addresses[0]" },
		{ "[{\"switch\": \"s\", \"addresses\": [\"127.0.0.1\"]}]",
		  "network_adapters[0].addresses[0]" },
		{ "[{\"switch\": \"s\", \"addresses\": [\"224.0.0.1\"]}]",
		  "network_adapters[0].addresses[0]" },
		{ "[{\"switch\": \"s\", \"addresses\": [\"::\"]}]",
		  "network_adapters[0].addresses[0]" },
		{ "[{\"switch\": \"s\", \"addresses\": [\"::/8\"]}]",
		  "network_adapters[0].addresses[0]" },
		{ "[{\"switch\": \"s\", \"addresses\": [\"::1\"]}]",
		  "network_adapters[0].addresses[0]" },
		{ "[{\"switch\": \"s\", \"addresses\": [\"ff02::1\"]}]",
		  "network_adapters[0].addresses[0]" },
		{ "[{\"switch\": \"s\", \"addresses\": [\"::ffff:192.0.2.1\"]}]",
		  "network_adapters[0].addresses[0]" },
		{ "[{\"switch\": \"s\", \"addresses\": [\"1.2.3.4/33\"]}]",
		  "network_adapters[0].addresses[0]" },
		{ "[{\"switch\": \"s\", \"addresses\": [\"1.2.3.4/0\"]}]",
		  "network_adapters[0].addresses[0]" },
		{ "[{\"switch\": \"s\", \"addresses\": [\"1.2.3.4/\"]}]",
		  "network_adapters[0].addresses[0]" },
		{ "[{\"switch\": \"s\", \"addresses\": [\"1.2.3.4/8x\"]}]",
		  "network_adapters[0].addresses[0]" },
		{ "[{\"switch\": \"s\", \"addresses\": [\"1.2.3\"]}]",
		  "network_adapters[0].addresses[0]" },
		{ "[{\"switch\": \"s\", \"addresses\": [\"fe80::1%eth0\"]}]",
		  "network_adapters[0].addresses[0]" },
		{ "[{\"switch\": \"s\", \"addresses\": [4]}]", "network_adapters[0].addresses[0]" },
		{ "[{\"switch\": \"s\", \"addresses\": [\"10.0.0.1\", \"10.0.0.0/8\"]}]",
		  "network_adapters[0].addresses[1]" },
		{ "[{\"addresses\": [\"10.0.0.1\"]}]", "network_adapters[0].addresses" },
		{ "[{\"port_isolation\": true}]", "network_adapters[0].port_isolation" },
		{ "[{\"switch\": \"s\", \"addresses\": [\"10.0.0.1\"], \"mac_spoofing\": true}]",
		  "network_adapters[0].addresses" },
		{ "[{\"mac_spoofing\": 1}]", "network_adapters[0].mac_spoofing" },
		{ "[{\"bandwidth\": {\"egress\": 7999}}]", "network_adapters[0].bandwidth.egress" },
		{ "[{\"bandwidth\": {\"up\": 9999}}]", "network_adapters[0].bandwidth.up" },
		{ "[{\"mtu\": 575}]", "network_adapters[0].mtu" },
		{ "[{\"mtu\": 9217}]", "network_adapters[0].mtu" },
		{ "[{\"queues\": 17}]", "network_adapters[0].queues" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		CLEANUP(definition_freep) struct definition *definition = parse(cases[i].text);

		if (definition)
			fail_msg("accepted: %s", cases[i].text);
		if (last.line != 2 || strcmp(last.key, cases[i].key) != 0 || !last.message[0])
			fail_msg("%s: line %d, key '%s': %s", cases[i].text, last.line, last.key,
				 last.message);
	}
}

static void test_bounds_of_lists(void **state)
{
	for (unsigned excess = 0; excess < 2; excess++) {
		CLEANUP(definition_freep) struct definition *definition = NULL;
		char text[8192];
		size_t used = (size_t)sprintf(text, "[{\"forward\": [\"1:1\"");

		for (unsigned i = 1; i < DEFINITION_FORWARDS_MAX + excess; i++)
			used += (size_t)sprintf(text + used, ", \"%u:1\"", i + 1);
		used += (size_t)sprintf(text + used, "]}, {\"switch\": \"s\", \"vlan\": "
						     "{\"trunk\": [1");
		for (unsigned i = 1; i < DEFINITION_TRUNK_MAX; i++)
			used += (size_t)sprintf(text + used, ", %u", i + 1);
		sprintf(text + used, "]}}]");
		definition = parse(text);
		assert_int_equal(definition != NULL, excess == 0);
	}
	assert_null(parse("[{\"switch\": \"s\", \"vlan\": {\"trunk\": \"1\"}}]"));
}

static void test_add_find_remove(void **state)
{
	CLEANUP(definition_freep)
	struct definition *definition = parse("[{}, {\"mac\": \"02:00:00:00:00:01\"}]");
	struct json_object *object = json_object_new_object();
	struct definition_network *network = &definition->network;
	struct definition_adapter adapter;

	assert_non_null(definition);
	assert_int_equal(definition_adapter_from_json(object, network, &adapter, &last), 0);
	assert_string_equal(adapter.name, "nic2");
	assert_int_equal(definition_mac_parse("02:00:00:00:00:01", adapter.mac), 0);
	assert_int_equal(definition_add_adapter(network, &adapter), -EEXIST);
	definition_remove_adapter(network, definition_find_adapter(network, "nic1"));
	assert_int_equal(definition_add_adapter(network, &adapter), 0);
	assert_null(adapter.name);
	assert_string_equal(network->adapters[1].name, "nic2");
	definition_remove_adapter(network, definition_find_adapter(network, "nic0"));
	assert_int_equal(network->adapter_count, 1);
	assert_null(definition_find_adapter(network, "nic0"));
	while (network->adapter_count < DEFINITION_ADAPTERS_MAX) {
		assert_int_equal(definition_adapter_from_json(object, network, &adapter, &last), 0);
		assert_int_equal(definition_add_adapter(network, &adapter), 0);
	}
	assert_int_equal(definition_adapter_from_json(object, network, &adapter, &last), 0);
	assert_int_equal(definition_add_adapter(network, &adapter), -ENOSPC);
	definition_adapter_deinit(&adapter);
	json_object_put(object);
}

static void test_queues(void **state)
{
	const struct definition_adapter automatic = { 0 }, two = { .queues = 2 };

	assert_int_equal(definition_adapter_queues(&automatic, 1), 1);
	assert_int_equal(definition_adapter_queues(&automatic, 4), 4);
	assert_int_equal(definition_adapter_queues(&automatic, 64), 16);
	assert_int_equal(definition_adapter_queues(&two, 4), 2);
	assert_int_equal(definition_adapter_queues(&two, 1), 1);
}

static void test_switch_names(void **state)
{
	assert_true(definition_switch_name_is_valid("lan-1"));
	assert_false(definition_switch_name_is_valid("default"));
	assert_false(definition_switch_name_is_valid("none"));
	assert_false(definition_switch_name_is_valid(""));
	assert_false(definition_switch_name_is_valid("-x"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_key),       cmocka_unit_test(test_written_is_read_back),
		cmocka_unit_test(test_defaults),        cmocka_unit_test(test_refuses),
		cmocka_unit_test(test_bounds_of_lists), cmocka_unit_test(test_add_find_remove),
		cmocka_unit_test(test_queues),          cmocka_unit_test(test_switch_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
