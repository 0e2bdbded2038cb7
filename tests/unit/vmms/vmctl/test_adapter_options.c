/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Network adapters as they are written on the command line. */
#include "tests/unit/unit.h"
#include "vmms/vmctl/adapter_options.h"
#include "vmms/vmctl/adapter_text.h"

#include <errno.h>
#include <string.h>

static void test_rates(void **state)
{
	static const struct {
		const char *text;
		uint64_t bits;
	} good[] = { { "0", 0 },          { "1000", 1000 },     { "10k", 10000 },
		     { "10M", 10000000 }, { "2g", 2000000000 }, { "1000G", 1000000000000 } };
	static const char *const bad[] = { "",
					   "M",
					   "10T",
					   "10MM",
					   "-1",
					   "1.5M",
					   "1001G",
					   " 1",
					   "18446744073709551616",
					   "99999999999999999999999999" };
	uint64_t bits;

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		assert_int_equal(adapter_rate_parse(good[i].text, &bits), 0);
		assert_int_equal(bits, good[i].bits);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(adapter_rate_parse(bad[i], &bits), -EINVAL);
}

static void test_vlans(void **state)
{
	static const char *const good[][2] = {
		{ "1", "{\"access\":1}" },
		{ "4094", "{\"access\":4094}" },
		{ "trunk:10", "{\"trunk\":[10]}" },
		{ "trunk:10,20,native:5", "{\"trunk\":[10,20],\"native\":5}" },
	};
	static const char *const bad[] = { "",
					   "0",
					   "4095",
					   "x",
					   "10,20",
					   "trunk:",
					   "trunk:0",
					   "trunk:1,",
					   "native:5",
					   "trunk:1,native:",
					   "trunk:1,native:0" };
	struct json_object *vlan;

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		assert_int_equal(adapter_vlan_parse(good[i][0], &vlan), 0);
		assert_string_equal(json_object_to_json_string_ext(vlan, JSON_C_TO_STRING_PLAIN),
				    good[i][1]);
		json_object_put(vlan);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(adapter_vlan_parse(bad[i], &vlan), -EINVAL);
	assert_int_equal(adapter_vlan_parse("none", &vlan), 0);
	assert_null(vlan);
}

static void test_settings_as_text(void **state)
{
	static const struct {
		const char *adapter, *text;
	} cases[] = {
		{ "{}", "" },
		{ "{\"dhcp_guard\":true,\"router_guard\":false,\"vlan\":{\"access\":10}}",
		  "DHCP guard, VLAN 10" },
		{ "{\"vlan\":{\"trunk\":[1,20],\"native\":5}}", "VLANs 1 20 (native 5)" },
		{ "{\"bandwidth\":{\"egress\":10000000,\"ingress\":1500}}",
		  "egress 10M, ingress 1500" },
		{ "{\"forward\":[\"2222:22\",\"udp:53:53\"],\"mac_spoofing\":true}",
		  "MAC spoofing, forwards 2222:22 udp:53:53" },
		{ "{\"vlan\":7,\"forward\":{},\"bandwidth\":[]}", "" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct json_object *adapter = json_tokener_parse(cases[i].adapter);
		char text[ADAPTER_TEXT_SIZE];

		adapter_text_settings(adapter, text);
		assert_string_equal(text, cases[i].text);
		json_object_put(adapter);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rates),
		cmocka_unit_test(test_vlans),
		cmocka_unit_test(test_settings_as_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
