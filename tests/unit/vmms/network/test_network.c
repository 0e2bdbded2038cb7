/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Links, addresses and routes, in a network namespace of the test's own. Skipped where none may be
 * made.
 */
#include "tests/unit/unit.h"
#include "vmms/network/network_link.h"
#include "vmms/network/network_sysctl.h"

#include <arpa/inet.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct network *network;

/* iproute2 is the judge, and makes what is not ours to make. */
static bool ip(const char *words)
{
	char command[256];

	snprintf(command, sizeof(command), "ip %s", words);
	return system(command) == 0;
}

static bool ip_says(const char *words, const char *text)
{
	char command[256], output[8192];
	FILE *pipe;
	size_t size;

	snprintf(command, sizeof(command), "ip %s", words);
	pipe = popen(command, "r");
	assert_non_null(pipe);
	size = fread(output, 1, sizeof(output) - 1, pipe);
	output[size] = '\0';
	pclose(pipe);
	return strstr(output, text);
}

static int index_of(const char *name)
{
	struct network_link link;

	return network_find_link(network, name, &link) == 0 ? link.index : 0;
}

static int set_up(void **state)
{
	if (unshare(CLONE_NEWNET) < 0)
		return 0;
	return network_open(&network);
}

static int tear_down(void **state)
{
	if (network)
		network_free(network);
	network = NULL;
	return 0;
}

static void need_network(void)
{
	if (!network)
		skip();
}

static int make_bridge(const char *name)
{
	const struct network_bridge_options options = { 0 };

	assert_int_equal(network_make_bridge(network, name, &options), 0);
	return index_of(name);
}

static void test_bridge(void **state)
{
	const struct network_bridge_options options = { .mac = (const uint8_t *)"\x56MS\0\0\1" };
	struct network_link link;

	need_network();
	assert_int_equal(network_make_bridge(network, "vmsw-1", &options), 0);
	assert_int_equal(network_make_bridge(network, "vmsw-1", &options), -EEXIST);
	assert_int_equal(network_find_link(network, "vmsw-1", &link), 0);
	assert_string_equal(link.kind, "bridge");
	assert_string_equal(link.alias, "");
	assert_memory_equal(link.mac, options.mac, 6);
	assert_true(link.ethernet);
	assert_int_equal(link.flags & IFF_UP, 0);
	assert_int_equal(network_set_alias(network, link.index, "vmms:switch:x"), 0);
	assert_int_equal(network_set_mtu(network, link.index, 9000), 0);
	assert_int_equal(network_set_up(network, link.index, true), 0);
	assert_int_equal(network_get_link(network, link.index, &link), 0);
	assert_string_equal(link.alias, "vmms:switch:x");
	assert_int_equal(link.mtu, 9000);
	assert_true(link.flags & IFF_UP);
	assert_int_equal(network_delete_link(network, link.index), 0);
	assert_int_equal(network_find_link(network, "vmsw-1", &link), -ENODEV);
	assert_int_equal(network_delete_link(network, link.index), -ENODEV);
}

static void test_names(void **state)
{
	struct network_link link;

	need_network();
	assert_int_equal(network_find_link(network, "", &link), -ENODEV);
	assert_int_equal(network_find_link(network, "a-name-that-is-too-long", &link), -ENODEV);
	assert_int_equal(network_find_link(network, "lo", &link), 0);
	assert_true(link.flags & IFF_LOOPBACK);
	assert_false(link.ethernet);
}

static int count_link(void *data, const struct network_link *link)
{
	unsigned *count = data;

	(*count)++;
	return strcmp(link->name, "vmsw-2") == 0 ? 7 : 0;
}

static void test_each_link(void **state)
{
	unsigned count = 0;

	need_network();
	make_bridge("vmsw-1");
	assert_int_equal(network_each_link(network, count_link, &count), 0);
	assert_int_equal(count, 2);
	make_bridge("vmsw-2");
	assert_int_equal(network_each_link(network, count_link, &count), 7);
	/* The next exchange does not get what was left of that one. */
	assert_true(index_of("lo") > 0);
}

static void test_ports(void **state)
{
	struct network_link link;
	int bridge;

	need_network();
	bridge = make_bridge("vmsw-1");
	assert_true(ip("link add v0 type veth peer name v1"));
	assert_int_equal(network_set_master(network, index_of("v0"), bridge), 0);
	assert_int_equal(network_find_link(network, "v0", &link), 0);
	assert_int_equal(link.master, bridge);
	assert_string_equal(link.kind, "veth");
	assert_int_equal(network_set_master(network, link.index, 0), 0);
	assert_int_equal(network_find_link(network, "v0", &link), 0);
	assert_int_equal(link.master, 0);
	assert_int_equal(network_set_master(network, index_of("lo"), bridge), -EINVAL);
}

static void test_no_link_local(void **state)
{
	int bridge;

	need_network();
	bridge = make_bridge("vmsw-1");
	if (network_set_no_link_local(network, bridge) == -EOPNOTSUPP)
		skip();
	assert_true(ip("link add v0 type veth peer name v1"));
	assert_true(ip("link set v0 master vmsw-1 up"));
	assert_true(ip("link set v1 up"));
	assert_int_equal(network_set_up(network, bridge, true), 0);
	assert_false(ip_says("-6 address show dev vmsw-1", "fe80"));
}

/* Of the VLANs of v0, without blanks. */
static bool bridge_says(const char *text)
{
	char command[256];

	snprintf(command, sizeof(command),
		 "bridge -json -compressvlans vlan show dev v0 | tr -d ' \n' | grep -qF '%s'",
		 text);
	return system(command) == 0;
}

static void test_vlans(void **state)
{
	const struct network_bridge_options options = { .vlan_filtering = true };
	struct network_link link;
	int port, r;

	need_network();
	r = network_make_bridge(network, "vmsw-1", &options);
	if (r == -EOPNOTSUPP) {
		assert_int_equal(network_find_link(network, "vmsw-1", &link), -ENODEV);
		skip();
	}
	assert_int_equal(r, 0);
	assert_int_equal(network_find_link(network, "vmsw-1", &link), 0);
	assert_true(link.vlan_filtering);
	assert_true(ip("link add v0 type veth peer name v1"));
	port = index_of("v0");
	assert_int_equal(network_set_master(network, port, link.index), 0);
	assert_int_equal(network_delete_vlans(network, port, 1, 1), 0);
	assert_int_equal(network_add_untagged_vlan(network, port, 7), 0);
	assert_int_equal(network_add_vlans(network, port, 20, 22), 0);
	assert_true(bridge_says("\"vlan\":7,\"flags\":[\"PVID\",\"EgressUntagged\"]"));
	assert_true(bridge_says("\"vlan\":20,\"vlanEnd\":22"));
	assert_false(bridge_says("\"vlan\":1,"));
}

static void test_address_text(void **state)
{
	static const char *const bad[] = {
		"",         "10.0.0.1",    "10.0.0.1/",     "10.0.0.1/33",
		"10.0.0/8", "10.0.0.1/0",  "10.0.0.1/8x",   "fe80::1/129",
		"/8",       "10.0.0.1/-1", "10.0.0.1/0008", "x::1/64"
	};
	struct network_address address;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(network_address_parse(bad[i], &address), -EINVAL);
	assert_int_equal(network_address_parse("192.0.2.1/24", &address), 0);
	assert_int_equal(address.family, AF_INET);
	assert_int_equal(address.prefix, 24);
	assert_int_equal(address.v4.s_addr, htonl(0xc0000201));
	assert_int_equal(network_address_parse("2001:db8::1/64", &address), 0);
	assert_int_equal(address.family, AF_INET6);
}

static void test_addresses(void **state)
{
	struct network_address v4, v6;
	int bridge;

	need_network();
	bridge = make_bridge("vmsw-1");
	assert_int_equal(network_address_parse("192.0.2.1/24", &v4), 0);
	assert_int_equal(network_address_parse("2001:db8::1/64", &v6), 0);
	assert_int_equal(network_add_address(network, bridge, &v4), 0);
	assert_int_equal(network_add_address(network, bridge, &v4), -EEXIST);
	assert_int_equal(network_add_address(network, bridge, &v6), 0);
	assert_true(ip_says("address show dev vmsw-1", "inet 192.0.2.1/24 scope global"));
	assert_true(ip_says("address show dev vmsw-1", "inet6 2001:db8::1/64 scope global"));
	assert_int_equal(network_delete_address(network, bridge, &v4), 0);
	assert_int_equal(network_delete_address(network, bridge, &v6), 0);
	assert_false(ip_says("address show dev vmsw-1", "inet"));
}

/* An interface with all that an administrator may have given it, its routes to be kept. */
static void furnish(void)
{
	assert_true(ip("link add eth type veth peer name far"));
	assert_true(ip("link set eth up") && ip("link set far up"));
	assert_true(ip("address add 192.0.2.5/24 dev eth"));
	assert_true(ip("address add 192.0.2.6/24 dev eth"));
	assert_true(ip("address add 198.51.100.1/30 dev eth label eth:x valid_lft 3600 "
		       "preferred_lft 1800"));
	assert_true(ip("-6 address add 2001:db8::5/64 dev eth nodad"));
	assert_true(ip("route add default via 192.0.2.1 dev eth metric 100"));
	assert_true(ip("route add 203.0.113.0/24 via 192.0.2.2 src 192.0.2.6 mtu 1400"));
	assert_true(ip("route add 203.0.114.0/24 dev eth table 77"));
	assert_true(ip("-6 route add default via 2001:db8::1 dev eth metric 77"));
}

static void furnish_other(void)
{
	assert_true(ip("link add other type veth peer name other-far"));
	assert_true(ip("link set other up && ip link set other-far up"));
	assert_true(ip("address add 198.51.100.129/25 dev other"));
}

/* An interface with addresses and routes, and a bridge that they may move to. */
static void furnish_beside_bridge(int *ret_eth, int *ret_bridge)
{
	need_network();
	furnish();
	*ret_bridge = make_bridge("vmsw-1");
	*ret_eth = index_of("eth");
}

static bool has_all(const char *link, const char *other)
{
	static const struct {
		const char *words, *text;
	} facts[] = {
		{ "address show dev", "inet 192.0.2.5/24" },
		{ "address show dev", "inet 192.0.2.6/24" },
		{ "address show dev", "inet 198.51.100.1/30" },
		{ "address show dev", "preferred_lft 1" },
		{ "address show dev", "inet6 2001:db8::5/64" },
		{ "route show dev", "default via 192.0.2.1 metric 100" },
		{ "route show dev", "203.0.113.0/24 via 192.0.2.2 src 192.0.2.6 mtu 1400" },
		{ "route show table 77 dev", "203.0.114.0/24" },
		{ "-6 route show dev", "default via 2001:db8::1 metric 77" },
	};
	char words[64];
	bool all = true;

	for (size_t i = 0; i < ARRAY_SIZE(facts); i++) {
		snprintf(words, sizeof(words), "%s %s", facts[i].words, link);
		if (!ip_says(words, facts[i].text)) {
			print_message("'%s' lacks '%s'\n", words, facts[i].text);
			all = false;
		}
	}
	snprintf(words, sizeof(words), "-4 address show dev %s", other);
	all &= !ip_says(words, "inet");
	snprintf(words, sizeof(words), "route show dev %s", other);
	return all && !ip_says(words, "/");
}

static void test_moving(void **state)
{
	unsigned count;
	int bridge, eth;

	furnish_beside_bridge(&eth, &bridge);
	assert_int_equal(network_set_up(network, bridge, true), 0);
	assert_int_equal(network_set_master(network, eth, bridge), 0);
	assert_int_equal(network_count_default_routes(network, eth, &count), 0);
	assert_int_equal(count, 2);
	assert_int_equal(network_move_addresses(network, eth, bridge), 0);
	assert_true(has_all("vmsw-1", "eth"));
	assert_int_equal(network_count_default_routes(network, eth, &count), 0);
	assert_int_equal(count, 0);
	/* Again is no error, and back is as it was. */
	assert_int_equal(network_move_addresses(network, eth, bridge), 0);
	assert_int_equal(network_set_master(network, eth, 0), 0);
	assert_int_equal(network_move_addresses(network, bridge, eth), 0);
	assert_true(has_all("eth", "vmsw-1"));
}

static void test_shared_routes(void **state)
{
	unsigned count;
	int bridge, eth;

	furnish_beside_bridge(&eth, &bridge);
	furnish_other();
	assert_true(ip("route add default metric 5 nexthop via 198.51.100.130 dev other "
		       "nexthop via 192.0.2.1 dev eth"));
	assert_int_equal(network_count_default_routes(network, eth, &count), 0);
	assert_int_equal(count, 3);
	assert_int_equal(network_move_addresses(network, eth, bridge), -EOPNOTSUPP);
	assert_true(has_all("eth", "vmsw-1"));
}

/* Routes of the same metric by other interfaces are not its own. */
static void test_equal_metrics(void **state)
{
	int bridge, eth;

	furnish_beside_bridge(&eth, &bridge);
	furnish_other();
	assert_true(ip("route prepend default via 198.51.100.130 dev other metric 100"));
	assert_true(ip("-6 route add 2001:db8:7::/48 dev other metric 5"));
	assert_true(ip("-6 route append 2001:db8:7::/48 dev eth metric 5"));
	assert_int_equal(network_set_up(network, bridge, true), 0);
	assert_int_equal(network_set_master(network, eth, bridge), 0);
	assert_int_equal(network_move_addresses(network, eth, bridge), 0);
	assert_true(has_all("vmsw-1", "eth"));
	assert_true(ip_says("route show dev other", "default via 198.51.100.130 metric 100"));
	assert_true(ip_says("-6 route show dev other", "2001:db8:7::/48 metric 5"));
	assert_true(ip_says("-6 route show dev vmsw-1", "2001:db8:7::/48 metric 5"));
}

/* On-link gateways, lifetimes, other tables and types, addresses of a kind of their own. */
static void test_particulars(void **state)
{
	static const struct {
		const char *words, *text;
	} facts[] = {
		{ "route show dev", "10.9.0.0/16 via 203.0.113.1 onlink" },
		{ "route show table 78 dev", "local 10.10.0.0/16" },
		{ "route show dev", "192.0.2.99 tos 0x10 scope link metric 9" },
		{ "address show dev", "inet 192.0.2.77 peer 192.0.2.78/32" },
		{ "address show dev", "inet6 fe80::77/64 scope link" },
		{ "address show dev", "inet6 2001:db8:9::1/64 scope global nodad noprefixroute" },
		{ "-6 route show dev", "2001:db8:8::/48 metric 5 expires" },
	};
	const char *links[] = { "vmsw-1", "eth" };
	char words[64];
	int bridge, eth;

	need_network();
	furnish();
	assert_true(ip("route add 10.9.0.0/16 via 203.0.113.1 dev eth onlink"));
	assert_true(ip("route add local 10.10.0.0/16 dev eth table 78"));
	assert_true(ip("route add 192.0.2.99/32 tos 0x10 dev eth metric 9"));
	assert_true(ip("address add 192.0.2.77 peer 192.0.2.78 dev eth"));
	assert_true(ip("-6 address add fe80::77/64 dev eth nodad"));
	assert_true(ip("-6 address add 2001:db8:9::1/64 dev eth nodad noprefixroute"));
	assert_true(ip("-6 route add 2001:db8:8::/48 dev eth metric 5 expires 1000"));
	bridge = make_bridge("vmsw-1");
	eth = index_of("eth");
	assert_int_equal(network_set_up(network, bridge, true), 0);
	for (int back = 0; back < 2; back++) {
		assert_int_equal(network_set_master(network, eth, back ? 0 : bridge), 0);
		assert_int_equal(
			network_move_addresses(network, back ? bridge : eth, back ? eth : bridge),
			0);
		for (size_t i = 0; i < ARRAY_SIZE(facts); i++) {
			snprintf(words, sizeof(words), "%s %s", facts[i].words, links[back]);
			if (!ip_says(words, facts[i].text))
				fail_msg("'%s' lacks '%s'", words, facts[i].text);
			snprintf(words, sizeof(words), "%s %s", facts[i].words, links[!back]);
			if (ip_says(words, facts[i].text))
				fail_msg("'%s' has '%s'", words, facts[i].text);
		}
	}
}

static void test_leases(void **state)
{
	unsigned count;

	need_network();
	make_bridge("vmsw-1");
	assert_int_equal(network_count_leases(network, index_of("vmsw-1"), &count), 0);
	assert_int_equal(count, 0);
	furnish();
	assert_int_equal(network_count_leases(network, index_of("eth"), &count), 0);
	assert_int_equal(count, 1);
}

static void test_rules(void **state)
{
	static const char *const rules[][2] = {
		{ "rule add iif eth table 77", "rule del iif eth table 77" },
		{ "rule add oif eth table 77", "rule del oif eth table 77" },
		{ "-6 rule add iif eth table 77", "-6 rule del iif eth table 77" },
	};
	bool found;

	need_network();
	for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
		assert_int_equal(network_find_rule(network, "eth", &found), 0);
		assert_false(found);
		assert_true(ip(rules[i][0]));
		assert_int_equal(network_find_rule(network, "eth", &found), 0);
		assert_true(found);
		assert_int_equal(network_find_rule(network, "eth0", &found), 0);
		assert_false(found);
		assert_true(ip(rules[i][1]));
	}
}

static void sysctl_write(const char *link, const char *name, const char *value)
{
	char command[128];

	snprintf(command, sizeof(command), "echo %s >/proc/sys/net/ipv6/conf/%s/%s", value, link,
		 name);
	assert_int_equal(system(command), 0);
}

static bool sysctl_is(const char *link, const char *name, const char *value)
{
	char command[128];

	snprintf(command, sizeof(command), "test $(cat /proc/sys/net/ipv6/conf/%s/%s) = %s", link,
		 name, value);
	return system(command) == 0;
}

static void test_sysctls(void **state)
{
	need_network();
	make_bridge("vmsw-1");
	make_bridge("other");
	if (access("/proc/sys/net/ipv6", F_OK) < 0)
		skip();
	sysctl_write("other", "accept_ra", "2");
	sysctl_write("other", "disable_ipv6", "1");
	assert_int_equal(network_copy_sysctls("other", "vmsw-1"), 0);
	assert_true(sysctl_is("vmsw-1", "accept_ra", "2"));
	assert_true(sysctl_is("vmsw-1", "disable_ipv6", "1"));
	assert_int_equal(network_refuse_routers("vmsw-1"), 0);
	assert_true(sysctl_is("vmsw-1", "accept_ra", "0"));
	assert_true(sysctl_is("other", "accept_ra", "2"));
	sysctl_write("vmsw-1", "disable_ipv6", "0");
	assert_int_equal(network_refuse_ipv6("vmsw-1"), 0);
	assert_true(sysctl_is("vmsw-1", "disable_ipv6", "1"));
	assert_int_equal(network_copy_sysctls("never-there", "vmsw-1"), 0);
}

/* What a crash in the middle leaves is finished by the next attempt. */
static void test_moving_again(void **state)
{
	int bridge, eth;

	furnish_beside_bridge(&eth, &bridge);
	assert_int_equal(network_set_up(network, bridge, true), 0);
	assert_int_equal(network_set_master(network, eth, bridge), 0);
	assert_true(ip("address add 192.0.2.5/24 dev vmsw-1"));
	assert_true(ip("route replace default via 192.0.2.1 dev vmsw-1 metric 100"));
	assert_int_equal(network_move_addresses(network, eth, bridge), 0);
	assert_true(has_all("vmsw-1", "eth"));
}

static void test_rate(void **state)
{
	int bridge;

	need_network();
	bridge = make_bridge("vmsw-1");
	assert_int_equal(network_set_rate(network, bridge, 0), 0);
	assert_int_equal(network_set_rate(network, bridge, 8000000), 0);
	assert_int_equal(
		system("tc qdisc show dev vmsw-1 | grep -q 'tbf .*rate 8Mbit burst 128Kb'"), 0);
	assert_int_equal(network_set_rate(network, bridge, UINT64_C(100000000000)), 0);
	assert_int_equal(system("tc qdisc show dev vmsw-1 | grep -q 'tbf .*rate 100Gbit'"), 0);
	assert_int_equal(network_set_rate(network, bridge, 0), 0);
	assert_int_not_equal(system("tc qdisc show dev vmsw-1 | grep -q tbf"), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_bridge),       TEST(test_names),        TEST(test_each_link),
		TEST(test_ports),        TEST(test_vlans),        TEST(test_no_link_local),
		TEST(test_address_text), TEST(test_rate),         TEST(test_addresses),
		TEST(test_moving),       TEST(test_moving_again), TEST(test_shared_routes),
		TEST(test_leases),       TEST(test_rules),        TEST(test_equal_metrics),
		TEST(test_particulars),  TEST(test_sysctls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
