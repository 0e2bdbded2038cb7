/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The guards, with frames: a bridge in a network namespace of the test's own, an attacker and a
 * victim behind veths, and what arrives. Skipped where no namespace may be made.
 */
#include "tests/unit/unit.h"
#include "vmms/network_guard.h"
#include "vmms/network_link.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define DIRECTORY "/var/lib/test"

static struct network_guard *guard;
static int attacker = -1, victim = -1, host = -1;

static struct definition_adapter adapter;

static void run(const char *command)
{
	assert_int_equal(system(command), 0);
}

static int open_link(const char *name)
{
	struct sockaddr_ll address = { .sll_family = AF_PACKET,
				       .sll_protocol = htons(ETH_P_ALL),
				       .sll_ifindex = (int)if_nametoindex(name) };
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL));

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static int set_up(void **state)
{
	attacker = victim = host = -1;
	if (unshare(CLONE_NEWNET) < 0 || network_guard_new(DIRECTORY, &guard) < 0)
		return 0;
	adapter = (struct definition_adapter){ .mac = { 0x02, 0x56, 0x4d, 0, 0, 1 } };
	run("ip link add name sw0 up type bridge forward_delay 0 &&"
	    "ip link add p0 type veth peer name far0 && ip link add p1 type veth peer name far1 &&"
	    "for i in p0 p1; do ip link set $i master sw0; done;"
	    "for i in p0 p1 far0 far1; do"
	    " test ! -d /proc/sys/net/ipv6 || echo 1 > /proc/sys/net/ipv6/conf/$i/disable_ipv6; ip "
	    "link set $i up; done");
	attacker = open_link("far0");
	victim = open_link("far1");
	host = open_link("sw0");
	assert_int_equal(network_guard_set(guard, "p0", &adapter, false), 0);
	return 0;
}

static int tear_down(void **state)
{
	if (guard)
		network_guard_free(guard);
	guard = NULL;
	close(attacker);
	close(victim);
	close(host);
	return 0;
}

static void need_guard(void)
{
	if (!guard)
		skip();
}

/* ---- Frames ---- */

struct frame {
	size_t size;
	uint8_t bytes[256];
};

static void put(struct frame *frame, const void *bytes, size_t size)
{
	memcpy(frame->bytes + frame->size, bytes, size);
	frame->size += size;
}

/* To everybody, from the adapter's own address. */
static struct frame frame_begin(uint16_t type)
{
	static const uint8_t addresses[12] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
					       0x02, 0x56, 0x4d, 0,    0,    1 };
	struct frame frame = { 0 };

	put(&frame, addresses, sizeof(addresses));
	put(&frame, &(uint16_t){ htons(type) }, 2);
	return frame;
}

static void put_ipv4(struct frame *frame, uint8_t protocol, const void *payload, size_t size)
{
	uint8_t header[20] = { 0x45, 0, 0, (uint8_t)(20 + size), 0, 1, 0, 0, 64, protocol };
	uint32_t sum = 0;

	memcpy(header + 12, "\xc0\0\2\1\xff\xff\xff\xff", 8);
	for (int i = 0; i < 20; i += 2)
		sum += (uint32_t)(header[i] << 8 | header[i + 1]);
	sum = (sum & 0xffff) + (sum >> 16);
	header[10] = (uint8_t)(~sum >> 8);
	header[11] = (uint8_t)~sum;
	put(frame, header, sizeof(header));
	put(frame, payload, size);
}

/* From fe80::1 to ff02::1. */
static void put_ipv6(struct frame *frame, uint8_t next, const void *payload, size_t size)
{
	uint8_t header[40] = { 0x60, 0, 0, 0, 0, (uint8_t)size, next, 255, 0xfe, 0x80 };

	header[23] = 1;
	memcpy(header + 24, "\xff\2", 2);
	header[39] = 1;
	put(frame, header, sizeof(header));
	put(frame, payload, size);
}

static const uint8_t udp_to_68[] = { 0, 67, 0, 68, 0, 12, 0, 0, 1, 2, 3, 4 };
static const uint8_t udp_to_67[] = { 0, 68, 0, 67, 0, 12, 0, 0, 1, 2, 3, 4 };
static const uint8_t udp_to_546[] = { 2, 35, 2, 34, 0, 12, 0, 0, 1, 2, 3, 4 };
static const uint8_t router_advertisement[] = { 134, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0 };
static const uint8_t neighbour_advertisement[24] = { 136 };

/* Did a frame that holds these bytes arrive? All that is waiting is taken. */
static bool arrives(int fd, const struct frame *frame)
{
	struct pollfd ready = { .fd = fd, .events = POLLIN };
	uint8_t bytes[2048];
	bool found = false;
	ssize_t size;

	while (poll(&ready, 1, 100) > 0) {
		size = recv(fd, bytes, sizeof(bytes), 0);
		if (size > 14 && memmem(bytes, (size_t)size, frame->bytes + 14, frame->size - 14))
			return true;
	}
	return found;
}

static void send_frame(const struct frame *frame)
{
	assert_int_equal(send(attacker, frame->bytes, frame->size, 0), frame->size);
}

static bool passes(const struct frame *frame)
{
	send_frame(frame);
	return arrives(victim, frame);
}

static void set(bool private)
{
	assert_int_equal(network_guard_set(guard, "p0", &adapter, private), 0);
}

/* ---- Tests ---- */

static struct frame ordinary(void)
{
	struct frame frame = frame_begin(ETH_P_IP);

	put_ipv4(&frame, 17, udp_to_67, sizeof(udp_to_67));
	return frame;
}

/* Who says what of itself: the addresses of an ARP message, of Ethernet and IPv4. */
static struct frame arp_from(uint8_t last)
{
	static const uint8_t head[] = { 0, 1, 8, 0, 6, 4, 0, 2 };
	const uint8_t sender[] = { 0x02, 0x56, 0x4d, 0, 0, last, 192, 0, 2, 1 }, target[10] = { 0 };
	struct frame frame = frame_begin(ETH_P_ARP);

	put(&frame, head, sizeof(head));
	put(&frame, sender, sizeof(sender));
	put(&frame, target, sizeof(target));
	return frame;
}

static void test_arp(void **state)
{
	struct frame own = arp_from(1), foreign = arp_from(2);

	need_guard();
	assert_true(passes(&own));
	assert_false(passes(&foreign));
	adapter.mac_spoofing = true;
	set(false);
	assert_true(passes(&foreign));
}

/* In a header of IEEE 802.2 with a SNAP, the frame's length where its type would be. */
static struct frame wrap(const struct frame *inner, uint8_t organization)
{
	const uint8_t head[] = { 0xaa, 0xaa, 3, 0, 0, organization };
	struct frame frame = frame_begin((uint16_t)(inner->size - 12 + sizeof(head)));

	put(&frame, head, sizeof(head));
	put(&frame, inner->bytes + 12, inner->size - 12);
	return frame;
}

static void test_snap(void **state)
{
	struct frame v4 = frame_begin(ETH_P_IP), v6 = frame_begin(ETH_P_IPV6), other, frames[3];

	need_guard();
	put_ipv4(&v4, 17, udp_to_68, sizeof(udp_to_68));
	put_ipv6(&v6, 58, router_advertisement, sizeof(router_advertisement));
	frames[0] = wrap(&v4, 0);
	frames[1] = wrap(&v6, 0);
	frames[2] = wrap(&v6, 0xf8);
	other = wrap(&v4, 0x0c); /* what is of a maker's own stays its own */
	for (int i = 0; i < 3; i++)
		assert_true(passes(&frames[i]));
	for (int guards = 1; guards <= 2; guards++) {
		adapter.dhcp_guard = guards == 1;
		adapter.router_guard = guards == 2;
		set(false);
		for (int i = 0; i < 3; i++)
			assert_false(passes(&frames[i]));
		assert_true(passes(&other));
	}
}

static void test_own_address(void **state)
{
	struct frame frame = ordinary();

	need_guard();
	assert_true(passes(&frame));
	frame.bytes[11] = 2;
	assert_false(passes(&frame));
	adapter.mac_spoofing = true;
	set(false);
	assert_true(passes(&frame));
	adapter.mac_spoofing = false;
	set(false);
	assert_false(passes(&frame));
}

static void test_dhcp(void **state)
{
	struct frame v4 = frame_begin(ETH_P_IP), v6 = frame_begin(ETH_P_IPV6), client = ordinary();

	need_guard();
	put_ipv4(&v4, 17, udp_to_68, sizeof(udp_to_68));
	put_ipv6(&v6, 17, udp_to_546, sizeof(udp_to_546));
	assert_true(passes(&v4));
	assert_true(passes(&v6));
	adapter.dhcp_guard = true;
	set(false);
	assert_false(passes(&v4));
	assert_false(passes(&v6));
	assert_true(passes(&client));
}

static void test_router(void **state)
{
	struct frame frame = frame_begin(ETH_P_IPV6), neighbour = frame_begin(ETH_P_IPV6);
	struct frame hidden = frame_begin(ETH_P_IPV6), fragment = frame_begin(ETH_P_IPV6);
	uint8_t options[8 + sizeof(router_advertisement)] = { 58, 0, 1, 4 };

	need_guard();
	put_ipv6(&frame, 58, router_advertisement, sizeof(router_advertisement));
	put_ipv6(&neighbour, 58, neighbour_advertisement, sizeof(neighbour_advertisement));
	memcpy(options + 8, router_advertisement, sizeof(router_advertisement));
	put_ipv6(&hidden, 60, options, sizeof(options)); /* behind destination options */
	options[2] = 0;
	options[3] = 1;
	options[7] = 9;
	put_ipv6(&fragment, 44, options, sizeof(options)); /* in fragments */
	assert_true(passes(&frame));
	assert_true(passes(&fragment));
	adapter.router_guard = true;
	set(false);
	assert_false(passes(&frame));
	assert_false(passes(&hidden));
	assert_false(passes(&fragment));
	assert_true(passes(&neighbour));
}

/* What is behind one tag is seen; a second tag is not let through. */
static void test_tags(void **state)
{
	struct frame one = frame_begin(ETH_P_8021Q), two = frame_begin(ETH_P_8021Q);
	static const uint8_t to_ip[] = { 0, 10, 8, 0 }, to_tag[] = { 0, 0, 0x81, 0 };

	need_guard();
	put(&one, to_ip, 4);
	put_ipv4(&one, 17, udp_to_68, sizeof(udp_to_68));
	put(&two, to_tag, 4);
	put(&two, to_ip, 4);
	put_ipv4(&two, 17, udp_to_67, sizeof(udp_to_67));
	/* The kernel takes the outer tag out of what is received. */
	one.bytes[14] = 0;
	send_frame(&one);
	memmove(one.bytes + 14, one.bytes + 18, one.size -= 4);
	assert_true(arrives(victim, &one));
	adapter.dhcp_guard = true;
	set(false);
	one = frame_begin(ETH_P_8021Q);
	put(&one, to_ip, 4);
	put_ipv4(&one, 17, udp_to_68, sizeof(udp_to_68));
	send_frame(&one);
	memmove(one.bytes + 14, one.bytes + 18, one.size -= 4);
	assert_false(arrives(victim, &one));
	send_frame(&two);
	memmove(two.bytes + 14, two.bytes + 22, two.size -= 8);
	assert_false(arrives(victim, &two));
}

static void test_private(void **state)
{
	struct frame frame = ordinary();

	need_guard();
	send_frame(&frame);
	assert_true(arrives(host, &frame));
	set(true);
	send_frame(&frame);
	assert_false(arrives(host, &frame));
	assert_true(arrives(victim, &frame));
	set(false);
	send_frame(&frame);
	assert_true(arrives(host, &frame));
}

static bool host_is_heard(const struct frame *frame)
{
	assert_int_equal(send(host, frame->bytes, frame->size, 0), frame->size);
	return arrives(victim, frame);
}

static void test_private_is_not_spoken_to(void **state)
{
	struct definition_adapter other = { .mac = { 0x02, 0x56, 0x4d, 0, 0, 9 } };
	struct frame frame = ordinary();

	need_guard();
	assert_true(host_is_heard(&frame));
	assert_int_equal(network_guard_set(guard, "p1", &other, true), 0);
	assert_false(host_is_heard(&frame));
	assert_true(passes(&frame));
	assert_int_equal(network_guard_set(guard, "p1", &other, false), 0);
	assert_true(host_is_heard(&frame));
}

static void test_limit(void **state)
{
	struct frame frame = ordinary();
	unsigned passed = 0;
	uint8_t bytes[2048];

	need_guard();
	adapter.egress = 8000;
	set(false);
	frame.size = sizeof(frame.bytes);
	for (int i = 0; i < 3000; i++) {
		send_frame(&frame);
		passed += recv(victim, bytes, sizeof(bytes), MSG_DONTWAIT) > 0;
	}
	while (recv(victim, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		passed++;
	/* The burst, 256 KiB, and what a second or two of sending add. */
	assert_in_range(passed, 500, 1200);
}

static void test_forgetting(void **state)
{
	struct frame frame = ordinary();

	need_guard();
	frame.bytes[11] = 2;
	assert_false(passes(&frame));
	network_guard_forget(guard, "p0");
	assert_true(passes(&frame));
	network_guard_forget(guard, "p0");
	network_guard_forget(guard, "never-there");
	set(false);
	assert_false(passes(&frame));
	assert_int_equal(network_guard_set(guard, "a b", &adapter, false), -EINVAL);
	assert_int_equal(network_guard_set(guard, "", &adapter, false), -EINVAL);
}

/* A reload of the administrator's firewall does not take the guards along; our end does without
 * ports. */
static void test_ownership(void **state)
{
	struct frame frame = ordinary();

	need_guard();
	frame.bytes[11] = 2;
	run("nft flush ruleset");
	assert_false(passes(&frame));
	run("nft list tables | grep -q 'bridge vmms_'");
	set(false);
	network_guard_free(TAKE_PTR(guard));
	assert_false(passes(&frame));
	assert_int_equal(network_guard_new(DIRECTORY, &guard), 0);
	network_guard_forget(guard, "p0");
	network_guard_free(TAKE_PTR(guard));
	run("! nft list tables | grep -q vmms_");
	assert_true(passes(&frame));
}

/* A daemon comes, has that port, and is killed. */
static void come_and_die(bool private)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		struct network_guard *other;

		_exit(network_guard_new(DIRECTORY, &other) < 0 ||
		      network_guard_set(other, "p0", &adapter, private) < 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void test_without_a_daemon(void **state)
{
	struct frame forged = ordinary(), own = ordinary();

	need_guard();
	forged.bytes[11] = 2;
	network_guard_forget(guard, "p0");
	network_guard_free(TAKE_PTR(guard));
	assert_false(network_guard_is_left(DIRECTORY));
	come_and_die(true);
	assert_false(passes(&forged));
	assert_true(passes(&own));
	assert_false(arrives(host, &own));
	assert_true(network_guard_is_left(DIRECTORY));
	assert_false(network_guard_is_left(DIRECTORY "/another"));
	/* The next one has not found the VM yet; then, that it may more. */
	assert_int_equal(network_guard_new(DIRECTORY, &guard), 0);
	assert_false(passes(&forged));
	adapter.mac_spoofing = true;
	set(false);
	assert_true(passes(&forged));
	assert_true(arrives(host, &forged));
}

static void test_sweep(void **state)
{
	struct frame forged = ordinary();

	need_guard();
	forged.bytes[11] = 2;
	network_guard_forget(guard, "p0");
	network_guard_free(TAKE_PTR(guard));
	come_and_die(false);
	assert_int_equal(network_guard_new(DIRECTORY, &guard), 0);
	network_guard_sweep(guard);
	assert_false(passes(&forged));
	run("ip link del p0");
	network_guard_sweep(guard);
	run("! nft list ruleset | grep -q p0");
}

static void test_kept_table_is_flushed(void **state)
{
	struct frame forged = ordinary();

	need_guard();
	forged.bytes[11] = 2;
	run("nft flush ruleset");
	set(false);
	run("nft list ruleset | grep -q vmms_kept");
	network_guard_forget(guard, "p0");
	assert_true(passes(&forged));
	run("nft flush ruleset");
	network_guard_forget(guard, "p0");
	run("nft flush ruleset");
	network_guard_sweep(guard);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_own_address),
		TEST(test_dhcp),
		TEST(test_router),
		TEST(test_tags),
		TEST(test_limit),
		TEST(test_private),
		TEST(test_forgetting),
		TEST(test_ownership),
		TEST(test_without_a_daemon),
		TEST(test_sweep),
		TEST(test_kept_table_is_flushed),
		TEST(test_arp),
		TEST(test_snap),
		TEST(test_private_is_not_spoken_to),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
