/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The guards, with frames: a bridge in a network namespace of the test's own, an attacker and a
 * victim behind veths, and what arrives. Skipped where no namespace may be made.
 */
#include "tests/unit/unit.h"
#include "vmms/network/network_guard.h"
#include "vmms/network/network_link.h"

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

static int open_protocol(const char *name, uint16_t protocol)
{
	struct sockaddr_ll address = { .sll_family = AF_PACKET,
				       .sll_protocol = htons(protocol),
				       .sll_ifindex = (int)if_nametoindex(name) };
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(protocol));

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static int open_link(const char *name)
{
	return open_protocol(name, ETH_P_ALL);
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
	/* The kernel sets links up and ports forwarding in its own time; before, frames are lost. */
	run("for i in 'p0 UP' 'p1 UP' 'far0 UP' 'far1 UP' 'p0 forwarding' 'p1 forwarding'; do"
	    " timeout 30 sh -c 'until ip -d link show $0 | grep -q \"state $1\"; do sleep 0.01; "
	    "done'"
	    " $i || exit 1; done");
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

/* A bridge drops what is not summed right. */
static void sum_ipv4(uint8_t *header)
{
	uint32_t sum = 0;

	memset(header + 10, 0, 2);
	for (int i = 0; i < 20; i += 2)
		sum += (uint32_t)(header[i] << 8 | header[i + 1]);
	sum = (sum & 0xffff) + (sum >> 16);
	header[10] = (uint8_t)(~sum >> 8);
	header[11] = (uint8_t)~sum;
}

static void put_ipv4(struct frame *frame, uint8_t protocol, const void *payload, size_t size)
{
	uint8_t header[20] = { 0x45, 0, 0, (uint8_t)(20 + size), 0, 1, 0, 0, 64, protocol };

	memcpy(header + 12, "\xc0\0\2\1\xff\xff\xff\xff", 8);
	sum_ipv4(header);
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
static const uint8_t router_solicitation[8] = { 133 };
static const uint8_t neighbour_advertisement[24] = { 136 };

/* A frame that should arrive has as long as a busy machine takes, one that should not a moment. */
#define LONG_MS   30000
#define MOMENT_MS 100

/* Does a frame that holds these bytes arrive? All that is waiting is taken. */
static bool arrives(int fd, const struct frame *frame, int timeout_ms)
{
	struct pollfd ready = { .fd = fd, .events = POLLIN };
	uint8_t bytes[2048];
	ssize_t size;

	while (poll(&ready, 1, timeout_ms) > 0) {
		size = recv(fd, bytes, sizeof(bytes), 0);
		if (size > 14 && memmem(bytes, (size_t)size, frame->bytes + 14, frame->size - 14))
			return true;
	}
	return false;
}

static void send_frame(const struct frame *frame)
{
	assert_int_equal(send(attacker, frame->bytes, frame->size, 0), frame->size);
}

static bool passes(const struct frame *frame)
{
	send_frame(frame);
	return arrives(victim, frame, LONG_MS);
}

static bool is_blocked(const struct frame *frame)
{
	send_frame(frame);
	return !arrives(victim, frame, MOMENT_MS);
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
	assert_true(is_blocked(&foreign));
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
			assert_true(is_blocked(&frames[i]));
		assert_true(passes(&other));
	}
}

static void test_own_address(void **state)
{
	struct frame frame = ordinary();

	need_guard();
	assert_true(passes(&frame));
	frame.bytes[11] = 2;
	assert_true(is_blocked(&frame));
	adapter.mac_spoofing = true;
	set(false);
	assert_true(passes(&frame));
	adapter.mac_spoofing = false;
	set(false);
	assert_true(is_blocked(&frame));
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
	assert_true(is_blocked(&v4));
	assert_true(is_blocked(&v6));
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
	assert_true(is_blocked(&frame));
	assert_true(is_blocked(&hidden));
	assert_true(is_blocked(&fragment));
	assert_true(passes(&neighbour));
}

/* A frame with a tag of that VLAN, and another behind it unless that is 0. */
static struct frame tagged(uint16_t outer, uint16_t vlan, uint16_t second)
{
	struct frame frame = frame_begin(outer);

	put(&frame, &(uint16_t){ htons(vlan) }, 2);
	if (second)
		put(&frame, (uint8_t[]){ 0x81, 0, 0, (uint8_t)second }, 4);
	put(&frame, (uint8_t[]){ 8, 0 }, 2);
	put_ipv4(&frame, 17, udp_to_67, sizeof(udp_to_67));
	return frame;
}

/* As the victim would see it: the kernel takes the outer tag out of what is received. */
static bool tagged_arrives(struct frame frame, int timeout_ms)
{
	send_frame(&frame);
	memmove(frame.bytes + 14, frame.bytes + 18, frame.size -= 4);
	return arrives(victim, &frame, timeout_ms);
}

static bool tagged_passes(struct frame frame)
{
	return tagged_arrives(frame, LONG_MS);
}

static bool tagged_is_blocked(struct frame frame)
{
	return !tagged_arrives(frame, MOMENT_MS);
}

/*
 * Trunks alone have tags; of VLAN 0, which is a priority alone, all. A second tag passes nowhere.
 */
static void test_tags(void **state)
{
	need_guard();
	assert_true(tagged_passes(tagged(ETH_P_8021Q, 0, 0)));
	assert_true(tagged_is_blocked(tagged(ETH_P_8021Q, 10, 0)));
	assert_true(tagged_is_blocked(tagged(ETH_P_8021AD, 10, 0)));
	assert_true(tagged_is_blocked(tagged(ETH_P_8021Q, 0, 10)));
	adapter.vlan.mode = DEFINITION_VLAN_ACCESS;
	set(false);
	assert_true(tagged_is_blocked(tagged(ETH_P_8021Q, 10, 0)));
	adapter.vlan.mode = DEFINITION_VLAN_TRUNK;
	set(false);
	assert_true(tagged_passes(tagged(ETH_P_8021Q, 10, 0)));
	assert_true(tagged_is_blocked(tagged(ETH_P_8021Q, 10, 20)));
}

/* The rules see what is behind the tag. */
static void test_behind_a_tag(void **state)
{
	struct frame frame = frame_begin(ETH_P_8021Q);

	need_guard();
	adapter.vlan.mode = DEFINITION_VLAN_TRUNK;
	adapter.dhcp_guard = true;
	set(false);
	put(&frame, (uint8_t[]){ 0, 10, 8, 0 }, 4);
	put_ipv4(&frame, 17, udp_to_68, sizeof(udp_to_68));
	assert_true(tagged_is_blocked(frame));
	assert_true(tagged_passes(tagged(ETH_P_8021Q, 10, 0)));
}

/* Nor do tagged frames of others come to it, who may be on a network behind the switch. */
static void test_tags_of_others(void **state)
{
	struct definition_adapter other = { .mac = { 0x02, 0x56, 0x4d, 0, 0, 9 } };
	struct frame frame = tagged(ETH_P_8021Q, 10, 0);

	need_guard();
	network_guard_forget(guard, "p0");
	assert_true(tagged_passes(frame));
	assert_int_equal(network_guard_set(guard, "p1", &other, false), 0);
	assert_true(tagged_is_blocked(frame));
	other.vlan.mode = DEFINITION_VLAN_TRUNK;
	assert_int_equal(network_guard_set(guard, "p1", &other, false), 0);
	assert_true(tagged_passes(frame));
}

/* ---- Protocols of the link ---- */

/* To that multicast, with an LLC header, or with that type. */
static struct frame to_multicast(const char *address, uint16_t type)
{
	struct frame frame = frame_begin(type ? type : 38);

	memcpy(frame.bytes, address, 6);
	put(&frame, "\x42\x42\3\0\0\2\2\x7c spanning tree or the like.", 34);
	return frame;
}

static void test_link_protocols(void **state)
{
	const struct frame frames[] = {
		to_multicast("\x01\x80\xc2\0\0\0", 0),            /* spanning tree */
		to_multicast("\x01\0\x0c\xcc\xcc\xcc", 0),        /* CDP, VTP, UDLD */
		to_multicast("\x01\0\x0c\xcc\xcc\xcd", 0),        /* PVST+ */
		to_multicast("\xff\xff\xff\xff\xff\xff", 0x8863), /* PPPoE discovery */
		to_multicast("\2\2\2\2\2\2", 0x8864),             /* and a session */
	};
	struct frame other = to_multicast("\x01\x80\xc2\0\0\x20", 0);

	need_guard();
	for (size_t i = 0; i < ARRAY_SIZE(frames); i++)
		assert_true(is_blocked(&frames[i]));
	assert_true(passes(&other));
	adapter.link_protocols = true;
	set(false);
	for (size_t i = 0; i < ARRAY_SIZE(frames); i++)
		assert_true(passes(&frames[i]));
	adapter.link_protocols = false;
	set(false);
	assert_true(is_blocked(&frames[0]));
}

/* What the bridge keeps for the host, be it 802.1X, LLDP, or BPDUs where it has a spanning tree. */
static void test_link_protocols_for_the_host(void **state)
{
	struct frame lldp = to_multicast("\x01\x80\xc2\0\0\x0e", ETH_P_LLDP);
	int port;

	need_guard();
	/* By its protocol: all protocols would be shown to it before any rule is asked. */
	port = open_protocol("p0", ETH_P_LLDP);
	send_frame(&lldp);
	assert_false(arrives(port, &lldp, MOMENT_MS));
	adapter.link_protocols = true;
	set(false);
	send_frame(&lldp);
	assert_true(arrives(port, &lldp, LONG_MS));
	network_guard_forget(guard, "p0");
	set(false);
	adapter.link_protocols = false;
	set(false);
	send_frame(&lldp);
	assert_false(arrives(port, &lldp, MOMENT_MS));
	close(port);
}

/* ---- Addresses ---- */

static void pin(const char *text)
{
	assert_int_equal(definition_address_parse(text, &adapter.pins[adapter.pin_count++]), 0);
}

static struct frame ipv4_from(uint8_t last)
{
	struct frame frame = frame_begin(ETH_P_IP);

	put_ipv4(&frame, 17, udp_to_67, sizeof(udp_to_67));
	frame.bytes[14 + 15] = last;
	sum_ipv4(frame.bytes + 14);
	return frame;
}

static struct frame arp_of(uint8_t last)
{
	struct frame frame = arp_from(1);

	frame.bytes[14 + 8 + 9] = last;
	return frame;
}

static void test_pinned_ipv4(void **state)
{
	static const uint8_t to_udp_53[] = { 0, 68, 0, 53, 0, 12, 0, 0, 1, 2, 3, 4 };
	struct frame own = ipv4_from(1), range = ipv4_from(0x4f), other = ipv4_from(2);
	struct frame arp = arp_of(1), stolen = arp_of(2), probe = arp_of(0), odd = arp_of(1);
	struct frame dhcp = frame_begin(ETH_P_IP), nobody = frame_begin(ETH_P_IP);
	struct frame v6 = frame_begin(ETH_P_IPV6), rest = frame_begin(0x88b5);

	need_guard();
	put_ipv4(&dhcp, 17, udp_to_67, sizeof(udp_to_67));
	memset(dhcp.bytes + 14 + 12, 0, 4);
	sum_ipv4(dhcp.bytes + 14);
	put_ipv4(&nobody, 17, to_udp_53, sizeof(to_udp_53));
	memset(nobody.bytes + 14 + 12, 0, 4);
	sum_ipv4(nobody.bytes + 14);
	memset(probe.bytes + 14 + 14, 0, 4);
	odd.bytes[14 + 5] = 16;                          /* a protocol address as long as IPv6's */
	put_ipv6(&v6, 59, udp_to_67, sizeof(udp_to_67)); /* from fe80::1 */
	put(&rest, "anything", 8);
	assert_true(passes(&stolen));
	assert_true(passes(&rest));
	assert_true(passes(&other));
	pin("192.0.2.1");
	pin("192.0.2.64/28");
	set(false);
	assert_true(passes(&own));
	assert_true(passes(&range));
	assert_true(is_blocked(&other));
	assert_true(passes(&arp));
	assert_true(passes(&probe));
	assert_true(is_blocked(&stolen));
	assert_true(is_blocked(&odd));
	assert_true(passes(&dhcp));
	assert_true(is_blocked(&nobody));
	assert_true(is_blocked(&v6));
	assert_true(is_blocked(&rest));
}

/* A discovery message of that type about 2001:db8::TARGET, from 2001:db8::SOURCE or, if 0, "::". */
static struct frame discovery(uint8_t type, uint8_t source, uint8_t target, const void *option,
			      size_t option_size)
{
	struct frame frame = frame_begin(ETH_P_IPV6);
	uint8_t message[64] = { type }, *addresses = frame.bytes + 14 + 8;
	static const uint8_t prefix[16] = { 0x20, 1, 0x0d, 0xb8 };

	memcpy(message + 8, prefix, 16);
	message[23] = target;
	if (option_size > 0)
		memcpy(message + 24, option, option_size);
	put_ipv6(&frame, 58, message, 24 + option_size);
	memcpy(addresses, prefix, 16);
	addresses[15] = source;
	if (source == 0)
		memset(addresses, 0, 16);
	return frame;
}

#define SOLICITATION  135
#define ADVERTISEMENT 136

static void test_pinned_ipv6(void **state)
{
	static const uint8_t own_source[] = { 1, 1, 2, 0x56, 0x4d, 0, 0, 1 };
	static const uint8_t own_target[] = { 2, 1, 2, 0x56, 0x4d, 0, 0, 1 };
	static const uint8_t foreign_source[] = { 1, 1, 2, 0x56, 0x4d, 0, 0, 2 };
	static const uint8_t foreign_target[] = { 2, 1, 2, 0x56, 0x4d, 0, 0, 2 };
	static const uint8_t nonce[] = { 14, 1, 1, 2, 3, 4, 5, 6 };
	static const uint8_t two[] = { 14, 1, 1, 2, 3, 4, 5, 6, 2, 1, 2, 0x56, 0x4d, 0, 0, 2 };
	struct frame good[] = {
		discovery(SOLICITATION, 5, 9, own_source, 8),
		discovery(SOLICITATION, 5, 9, NULL, 0),
		discovery(SOLICITATION, 0, 5, nonce, 8),
		discovery(SOLICITATION, 0, 5, NULL, 0),
		discovery(ADVERTISEMENT, 5, 5, own_target, 8),
		discovery(ADVERTISEMENT, 5, 5, NULL, 0),
	};
	struct frame bad[] = {
		discovery(SOLICITATION, 5, 9, foreign_source, 8),
		discovery(SOLICITATION, 6, 9, own_source, 8),
		discovery(SOLICITATION, 0, 9, nonce, 8), /* as if it were to be its own */
		discovery(SOLICITATION, 0, 5, foreign_source, 8),
		discovery(ADVERTISEMENT, 5, 9, own_target, 8),
		discovery(ADVERTISEMENT, 5, 5, foreign_target, 8),
		discovery(ADVERTISEMENT, 5, 5, two, sizeof(two)),
		discovery(ADVERTISEMENT, 9, 9, own_target, 8),
	};
	struct frame own = frame_begin(ETH_P_IPV6), forged = frame_begin(ETH_P_IPV6);
	struct frame hidden = frame_begin(ETH_P_IPV6), v4 = ipv4_from(1);
	uint8_t options[8 + 32] = { 58, 0, 1, 4 };

	need_guard();
	/* Its link-local address, of its MAC address, and the router's. */
	put_ipv6(&own, 59, udp_to_67, sizeof(udp_to_67));
	memcpy(own.bytes + 14 + 8, "\xfe\x80\0\0\0\0\0\0\0\x56\x4d\xff\xfe\0\0\1", 16);
	put_ipv6(&forged, 59, udp_to_67, sizeof(udp_to_67));
	/* An advertisement behind destination options. */
	memcpy(options + 8, bad[5].bytes + 14 + 40, 32);
	put_ipv6(&hidden, 60, options, sizeof(options));
	memcpy(hidden.bytes + 14 + 8, good[0].bytes + 14 + 8, 16);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_true(passes(&bad[i]));
	assert_true(passes(&hidden));
	pin("2001:db8::4/127");
	set(false);
	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		assert_true(passes(&good[i]));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_true(is_blocked(&bad[i]));
	assert_true(passes(&own));
	assert_true(is_blocked(&forged));
	assert_true(is_blocked(&hidden));
	assert_true(is_blocked(&v4));
	/* One that is named takes the place of nothing. */
	pin("fe80::1");
	set(false);
	assert_true(passes(&forged));
	assert_true(passes(&own));
}

/* No router, be its own address whose it may. */
static void test_pinned_is_no_router(void **state)
{
	struct frame frame = frame_begin(ETH_P_IPV6);

	need_guard();
	put_ipv6(&frame, 58, router_advertisement, sizeof(router_advertisement));
	assert_true(passes(&frame));
	pin("fe80::1");
	set(false);
	assert_true(is_blocked(&frame));
	/* But it may look for one. */
	frame = frame_begin(ETH_P_IPV6);
	put_ipv6(&frame, 58, router_solicitation, sizeof(router_solicitation));
	assert_true(passes(&frame));
}

static void test_private(void **state)
{
	struct frame frame = ordinary();

	need_guard();
	send_frame(&frame);
	assert_true(arrives(host, &frame, LONG_MS));
	set(true);
	send_frame(&frame);
	assert_false(arrives(host, &frame, MOMENT_MS));
	assert_true(arrives(victim, &frame, LONG_MS));
	set(false);
	send_frame(&frame);
	assert_true(arrives(host, &frame, LONG_MS));
}

static bool host_is_heard(const struct frame *frame, int timeout_ms)
{
	assert_int_equal(send(host, frame->bytes, frame->size, 0), frame->size);
	return arrives(victim, frame, timeout_ms);
}

static void test_private_is_not_spoken_to(void **state)
{
	struct definition_adapter other = { .mac = { 0x02, 0x56, 0x4d, 0, 0, 9 } };
	struct frame frame = ordinary();

	need_guard();
	assert_true(host_is_heard(&frame, LONG_MS));
	assert_int_equal(network_guard_set(guard, "p1", &other, true), 0);
	assert_false(host_is_heard(&frame, MOMENT_MS));
	assert_true(passes(&frame));
	assert_int_equal(network_guard_set(guard, "p1", &other, false), 0);
	assert_true(host_is_heard(&frame, LONG_MS));
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
	assert_true(is_blocked(&frame));
	network_guard_forget(guard, "p0");
	assert_true(passes(&frame));
	network_guard_forget(guard, "p0");
	network_guard_forget(guard, "never-there");
	set(false);
	assert_true(is_blocked(&frame));
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
	assert_true(is_blocked(&frame));
	run("nft list tables | grep -q 'bridge vmms_'");
	set(false);
	network_guard_free(TAKE_PTR(guard));
	assert_true(is_blocked(&frame));
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
	assert_true(is_blocked(&forged));
	assert_true(passes(&own));
	assert_false(arrives(host, &own, MOMENT_MS));
	assert_true(network_guard_is_left(DIRECTORY));
	assert_false(network_guard_is_left(DIRECTORY "/another"));
	/* The next one has not found the VM yet; then, that it may more. */
	assert_int_equal(network_guard_new(DIRECTORY, &guard), 0);
	assert_true(is_blocked(&forged));
	adapter.mac_spoofing = true;
	set(false);
	assert_true(passes(&forged));
	assert_true(arrives(host, &forged, LONG_MS));
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
	assert_true(is_blocked(&forged));
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
		TEST(test_behind_a_tag),
		TEST(test_tags_of_others),
		TEST(test_link_protocols),
		TEST(test_link_protocols_for_the_host),
		TEST(test_pinned_ipv4),
		TEST(test_pinned_ipv6),
		TEST(test_pinned_is_no_router),
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
