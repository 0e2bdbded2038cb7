/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The rules for one port.
 *
 * Fragments of IPv6 could hide what they are. Discovery messages are of link-local source, and
 * DHCPv6 clients are answered at a link-local address (RFC 4861, RFC 8415): fragments of such are
 * dropped. In IPv4 the ports are always in the first fragment, without which none is used.
 *
 * Some systems, Windows among them, take IP out of an 802.2 header with a SNAP (RFC 1042), too,
 * where no rule for IP looks. Nobody sends it so on Ethernet but to get past a guard.
 *
 * An adapter that has addresses is pinned to them, and to the link-local one that its MAC address
 * makes (RFC 4291, appendix A): as the source of IPv4 and IPv6, as what ARP and neighbour discovery
 * say is its own, and with its own MAC address in their link-layer options. Rules see fields at
 * fixed places, so discovery messages have to be of the plain form that all systems send: right
 * behind the IPv6 header, with at most one option (RFC 4861; RFC 7527 has a nonce). What is neither
 * IPv4, IPv6 nor ARP could hold either, and is dropped.
 */
#include "vmms/network/network_guard_port.h"

#include "common/base/cc.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <string.h>

#define BURST_LEAST (256 * 1024) /* bytes: some of the largest packets, unsegmented */
#define BURST_PART  20           /* of a second's traffic */

struct chain {
	FILE *stream;
	const char *table, *port;
};

/* LLC with SNAP: Ethernet's types by RFC 1042, and by IEEE 802.1H. */
static const char *const snap_rules[] = {
	"meta protocol 0x0004 @nh,0,48 0xaaaa03000000",
	"meta protocol 0x0004 @nh,0,48 0xaaaa030000f8",
};

static const char *const dhcp_rules[] = {
	"meta protocol ip udp dport 68",
	"meta protocol ip6 udp dport 546",
	"meta protocol ip6 ip6 daddr fe80::/10 exthdr frag exists",
};

static const char *const router_rules[] = {
	"meta protocol ip6 icmpv6 type { nd-router-advert, nd-redirect }",
	"meta protocol ip icmp type { redirect, router-advertisement }",
	"meta protocol ip6 ip6 saddr fe80::/10 exthdr frag exists",
};

/* What no router is: it tells nobody of a better way, nor hides that in fragments. */
static const char *const pinned_rules[] = {
	"meta protocol != { ip, ip6, arp }",
	"meta protocol arp arp htype != 1",
	"meta protocol arp arp ptype != 0x0800",
	"meta protocol arp arp hlen != 6",
	"meta protocol arp arp plen != 4",
	/* Without an address there is DHCP. */
	"meta protocol ip ip saddr 0.0.0.0 meta l4proto != udp",
	"meta protocol ip ip saddr 0.0.0.0 udp dport != 67",
	/* And the search for a router, for others of that address, and of groups to join. */
	"meta protocol ip6 ip6 saddr :: meta l4proto != ipv6-icmp",
	"meta protocol ip6 ip6 saddr :: icmpv6 type != { 131, 132, 133, 135, 143 }",
	"meta protocol ip6 exthdr frag exists frag nexthdr != { tcp, udp }",
	"meta protocol ip6 icmpv6 type { 133, 135, 136 } ip6 nexthdr != ipv6-icmp",
	"meta protocol ip6 icmpv6 type 133 ip6 length != { 8, 16 }",
	"meta protocol ip6 icmpv6 type { 135, 136 } ip6 length != { 24, 32 }",
	"meta protocol ip6 ip6 saddr :: icmpv6 type 135 ip6 length 32 @th,192,16 != 0x0e01",
};

/* Nobody's business in a guest: Cisco's CDP, VTP, UDLD and PVST+, and PPPoE. */
static const char *const link_rules[] = {
	"ether daddr { 01:00:0c:cc:cc:cc, 01:00:0c:cc:cc:cd }",
	"meta protocol { 0x8863, 0x8864 }",
};

static void port_add_rules(const struct chain *chain, const char *const *rules, size_t count)
{
	for (size_t i = 0; i < count; i++)
		fprintf(chain->stream, "add rule %s port_%s %s counter drop\n", chain->table,
			chain->port, rules[i]);
}

static void port_add_limit(const struct chain *chain, uint64_t bits)
{
	uint64_t rate = bits / 8, burst = MAX(rate / BURST_PART, (uint64_t)BURST_LEAST);

	fprintf(chain->stream,
		"add rule %s port_%s limit rate over %" PRIu64 " bytes/second burst %" PRIu64
		" bytes counter drop\n",
		chain->table, chain->port, rate, MIN(burst, (uint64_t)UINT32_MAX));
}

/* ---- Addresses ---- */

/* Those of the definition, and the link-local one that the MAC address makes. */
struct pins {
	struct definition_address addresses[DEFINITION_PINS_MAX + 1];
	unsigned count;
};

static void port_find_pins(const struct definition_adapter *adapter, struct pins *pins)
{
	const uint8_t *mac = adapter->mac;
	const struct definition_address own = {
		.family = AF_INET6,
		.prefix = 128,
		.bytes = { 0xfe, 0x80, 0, 0, 0, 0, 0, 0, mac[0] ^ 2, mac[1], mac[2], 0xff, 0xfe,
			   mac[3], mac[4], mac[5] },
	};

	*pins = (struct pins){ .count = adapter->pin_count };
	memcpy(pins->addresses, adapter->pins, adapter->pin_count * sizeof(own));
	for (unsigned i = 0; i < pins->count; i++) {
		if (definition_address_overlaps(&pins->addresses[i], &own))
			return;
	}
	pins->addresses[pins->count++] = own;
}

/* In hexadecimal, with all that is not the prefix's clear, or set. */
static void port_write_number(FILE *stream, const struct definition_address *address, bool set)
{
	fputs("0x", stream);
	for (unsigned i = 0; i < sizeof(address->bytes); i++) {
		unsigned fixed = address->prefix > 8 * i ? address->prefix - 8 * i : 0;
		uint8_t host = (uint8_t)(0xff >> MIN(fixed, 8u));
		uint8_t byte = address->bytes[i];

		fprintf(stream, "%02x", set ? byte | host : byte & (uint8_t)~host);
	}
}

static void port_write_address(FILE *stream, const struct definition_address *address,
			       bool as_number)
{
	char text[DEFINITION_ADDRESS_TEXT_SIZE];

	definition_address_format(address, text);
	if (!as_number) {
		fputs(text, stream);
		return;
	}
	port_write_number(stream, address, false);
	if (address->prefix < 128) {
		fputc('-', stream);
		port_write_number(stream, address, true);
	}
}

/* "match != { the addresses of the family }". more: another, or NULL, and then they are numbers. */
static void port_add_address_rule(const struct chain *chain, const char *match,
				  const struct pins *pins, int family, const char *more)
{
	const char *comma = more ? ", " : "";

	fprintf(chain->stream, "add rule %s port_%s %s != { %s", chain->table, chain->port, match,
		more ? more : "");
	for (unsigned i = 0; i < pins->count; i++) {
		if (pins->addresses[i].family != family)
			continue;
		fputs(comma, chain->stream);
		port_write_address(chain->stream, &pins->addresses[i], !more);
		comma = ", ";
	}
	fputs(" } counter drop\n", chain->stream);
}

/* The option that follows a discovery message's fixed part is of that type, with our address. */
static void port_add_option_rule(const struct chain *chain, const char *match, unsigned bit,
				 unsigned type, const uint8_t *mac)
{
	fprintf(chain->stream,
		"add rule %s port_%s meta protocol ip6 %s @th,%u,64 != "
		"0x%02x01%02x%02x%02x%02x%02x%02x counter drop\n",
		chain->table, chain->port, match, bit, type, mac[0], mac[1], mac[2], mac[3], mac[4],
		mac[5]);
}

static void port_add_pins(const struct chain *chain, const struct definition_adapter *adapter)
{
	struct pins pins;

	port_find_pins(adapter, &pins);
	port_add_rules(chain, pinned_rules, ARRAY_SIZE(pinned_rules));
	port_add_address_rule(chain, "meta protocol ip ip saddr", &pins, AF_INET, "0.0.0.0");
	port_add_address_rule(chain, "meta protocol arp arp saddr ip", &pins, AF_INET, "0.0.0.0");
	port_add_address_rule(chain, "meta protocol ip6 ip6 saddr", &pins, AF_INET6, "::");
	/* Which address is advertised, and which one is asked for before it is taken. */
	port_add_address_rule(chain, "meta protocol ip6 icmpv6 type 136 @th,64,128", &pins,
			      AF_INET6, NULL);
	port_add_address_rule(chain, "meta protocol ip6 ip6 saddr :: icmpv6 type 135 @th,64,128",
			      &pins, AF_INET6, NULL);
	port_add_option_rule(chain, "icmpv6 type 133 ip6 length 16", 64, 1, adapter->mac);
	port_add_option_rule(chain, "ip6 saddr != :: icmpv6 type 135 ip6 length 32", 192, 1,
			     adapter->mac);
	port_add_option_rule(chain, "icmpv6 type 136 ip6 length 32", 192, 2, adapter->mac);
}

/* ---- The chain ---- */

static void port_add_own_mac(const struct chain *chain, const uint8_t *address)
{
	char mac[DEFINITION_MAC_TEXT_SIZE], frame[64], arp[64];
	const char *const rules[] = { frame, arp };

	definition_mac_format(address, mac);
	snprintf(frame, sizeof(frame), "ether saddr != %s", mac);
	/* What others are told of whose address it is, too. */
	snprintf(arp, sizeof(arp), "meta protocol arp arp saddr ether != %s", mac);
	port_add_rules(chain, rules, ARRAY_SIZE(rules));
}

void network_guard_write_chain(FILE *stream, const char *table, const char *port,
			       const struct definition_adapter *adapter)
{
	static const char *const tags[] = { "meta protocol { 0x8100, 0x88a8 }" };
	const struct chain chain = { stream, table, port };
	bool pinned = adapter->pin_count > 0;

	fprintf(stream, "add chain %1$s port_%2$s\nflush chain %1$s port_%2$s\n", table, port);
	port_add_rules(&chain, tags, ARRAY_SIZE(tags));
	if (!adapter->mac_spoofing)
		port_add_own_mac(&chain, adapter->mac);
	if (!adapter->link_protocols)
		port_add_rules(&chain, link_rules, ARRAY_SIZE(link_rules));
	if (adapter->dhcp_guard || adapter->router_guard)
		port_add_rules(&chain, snap_rules, ARRAY_SIZE(snap_rules));
	if (adapter->dhcp_guard)
		port_add_rules(&chain, dhcp_rules, ARRAY_SIZE(dhcp_rules));
	if (adapter->router_guard || pinned)
		port_add_rules(&chain, router_rules, ARRAY_SIZE(router_rules));
	if (pinned)
		port_add_pins(&chain, adapter);
	if (adapter->egress > 0)
		port_add_limit(&chain, adapter->egress);
}
