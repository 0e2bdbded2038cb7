/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The rules for what guests send, by libnftables.
 *
 * Why nftables, not tc: a change of several rules is one transaction; a table can be owned, so that
 * a reload of the administrator's firewall ("flush ruleset") leaves it alone; it finds the
 * transport header behind IPv6's extension headers; and "nft list table bridge vmms_PID" shows the
 * rules with their counters. And it is Debian's default.
 *
 * Whatever is done is done to both tables at once. The kept one may have been flushed meanwhile:
 * then it is made again, and holds what comes after that.
 *
 * Every port has a chain, which the map "ports" leads to from the hook. Frames are told by the
 * protocol inside an 802.1Q tag, since the kernel takes that off before. One with a second tag is
 * dropped: it would pass every rule, and change its VLAN on the way.
 *
 * Fragments of IPv6 could hide what they are. Discovery messages are of link-local source, and
 * DHCPv6 clients are answered at a link-local address (RFC 4861, RFC 8415): fragments of such are
 * dropped. In IPv4 the ports are always in the first fragment, without which none is used.
 *
 * Some systems, Windows among them, take IP out of an 802.2 header with a SNAP (RFC 1042), too,
 * where no rule for IP looks. Nobody sends it so on Ethernet but to get past a guard.
 */
#include "vmms/network_guard.h"

#include "common/base/log.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <net/if.h>
#include <nftables/libnftables.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BURST_LEAST (256 * 1024) /* bytes: some of the largest packets, unsegmented */
#define BURST_PART  20           /* of a second's traffic */

struct network_guard {
	struct nft_ctx *context;
	char owned[32], kept[32]; /* tables, with their family */
};

/* A script in the making. */
struct script {
	char *text;
	size_t size;
	FILE *stream;
};

static int script_begin(struct script *script)
{
	script->stream = open_memstream(&script->text, &script->size);
	return script->stream ? 0 : -ENOMEM;
}

/* Runs it as one transaction, and frees it. */
static int script_run(struct script *script, struct network_guard *guard)
{
	int r = fclose(script->stream) == 0 ? 0 : -ENOMEM;

	if (r == 0 && nft_run_cmd_from_buffer(guard->context, script->text) != 0) {
		log_debug("nftables: %s", nft_ctx_get_error_buffer(guard->context));
		r = -EOPNOTSUPP;
	}
	free(script->text);
	return r;
}

/* ---- Tables ---- */

static void name_kept(const char *directory, char name[static 32])
{
	uint32_t hash = 2166136261u; /* FNV-1a */

	for (; *directory != '\0'; directory++)
		hash = (hash ^ (uint8_t)*directory) * 16777619u;
	snprintf(name, 32, "bridge vmms_kept_%08" PRIx32, hash);
}

/* Ports that are in it already stay there. */
static void write_table(struct script *script, const char *table, const char *flags)
{
	fprintf(script->stream,
		"table %1$s {\n"
		"	%2$s\n"
		"	map ports {\n type ifname : verdict;\n }\n"
		"	set private {\n type ifname;\n }\n"
		"	chain from_guests {\n"
		"		type filter hook prerouting priority -300; policy accept;\n"
		"	}\n"
		"	chain to_host {\n"
		"		type filter hook input priority -300; policy accept;\n"
		"	}\n"
		"	chain from_host {\n"
		"		type filter hook output priority -300; policy accept;\n"
		"	}\n"
		"}\n"
		"flush chain %1$s from_guests\n"
		"flush chain %1$s to_host\n"
		"flush chain %1$s from_host\n"
		"add rule %1$s from_guests iifname vmap @ports\n"
		"add rule %1$s to_host iifname @private counter drop\n"
		"add rule %1$s from_host oifname @private counter drop\n",
		table, flags);
}

static int make_kept(struct network_guard *guard)
{
	struct script script;
	int r;

	r = script_begin(&script);
	if (r < 0)
		return r;
	write_table(&script, guard->kept, "");
	return script_run(&script, guard);
}

static int make_tables(struct network_guard *guard)
{
	struct script script;
	int r;

	r = script_begin(&script);
	if (r < 0)
		return r;
	write_table(&script, guard->owned, "flags owner;");
	write_table(&script, guard->kept, "");
	return script_run(&script, guard);
}

static int guard_open(const char *directory, struct network_guard **ret_guard)
{
	struct network_guard *guard = calloc(1, sizeof(*guard));

	if (!guard)
		return -ENOMEM;
	snprintf(guard->owned, sizeof(guard->owned), "bridge vmms_%d", getpid());
	name_kept(directory, guard->kept);
	guard->context = nft_ctx_new(NFT_CTX_DEFAULT);
	if (!guard->context) {
		free(guard);
		return -ENOMEM;
	}
	nft_ctx_buffer_error(guard->context);
	nft_ctx_buffer_output(guard->context);
	*ret_guard = guard;
	return 0;
}

/* The tables stay; but the socket owns one of them. */
static void guard_close(struct network_guard *guard)
{
	nft_ctx_free(guard->context);
	free(guard);
}

int network_guard_new(const char *directory, struct network_guard **ret_guard)
{
	struct network_guard *guard;
	int r;

	r = guard_open(directory, &guard);
	if (r < 0)
		return r;
	r = make_tables(guard);
	if (r < 0)
		guard_close(guard);
	else
		*ret_guard = guard;
	return r;
}

/* ---- What has been left ---- */

/* The ports of the kept table, as nftables writes them. Return: NULL: there is none. */
static const char *list_ports(struct network_guard *guard)
{
	char command[64];

	snprintf(command, sizeof(command), "list map %s ports", guard->kept);
	return nft_run_cmd_from_buffer(guard->context, command) == 0
		       ? nft_ctx_get_output_buffer(guard->context)
		       : NULL;
}

bool network_guard_is_left(const char *directory)
{
	struct network_guard *guard;
	bool left;

	if (guard_open(directory, &guard) < 0)
		return false;
	left = list_ports(guard) != NULL;
	guard_close(guard);
	return left;
}

#define JUMP "jump port_"

void network_guard_sweep(struct network_guard *guard)
{
	const char *ports = list_ports(guard);
	AUTO_FREE char *text = ports ? strdup(ports) : NULL;

	for (char *at = text; at && (at = strstr(at, JUMP)) != NULL;) {
		char port[IFNAMSIZ] = "";

		at += strlen(JUMP);
		if (sscanf(at, "%15[-_a-zA-Z0-9]", port) == 1 && if_nametoindex(port) == 0)
			network_guard_forget(guard, port);
	}
}

static bool has_ports(struct network_guard *guard)
{
	const char *ports = list_ports(guard);

	return ports && strstr(ports, JUMP);
}

static void remove_kept(struct network_guard *guard)
{
	struct script script;

	if (script_begin(&script) < 0)
		return;
	fprintf(script.stream, "add table %1$s\ndelete table %1$s\n", guard->kept);
	if (script_run(&script, guard) < 0)
		log_warning("the table %s of nftables cannot be removed: %s", guard->kept,
			    nft_ctx_get_error_buffer(guard->context));
}

void network_guard_free(struct network_guard *guard)
{
	if (!guard)
		return;
	network_guard_sweep(guard);
	if (!has_ports(guard))
		remove_kept(guard);
	guard_close(guard);
}

/* ---- The chain of a port ---- */

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

static void add_rules(struct script *script, const char *table, const char *port,
		      const char *const *rules, size_t count)
{
	for (size_t i = 0; i < count; i++)
		fprintf(script->stream, "add rule %s port_%s %s counter drop\n", table, port,
			rules[i]);
}

static void add_limit(struct script *script, const char *table, const char *port, uint64_t bits)
{
	uint64_t rate = bits / 8, burst = MAX(rate / BURST_PART, (uint64_t)BURST_LEAST);

	fprintf(script->stream,
		"add rule %s port_%s limit rate over %" PRIu64 " bytes/second burst %" PRIu64
		" bytes counter drop\n",
		table, port, rate, MIN(burst, (uint64_t)UINT32_MAX));
}

/* Names of ports are ours, but this is text of a language. */
static bool port_is_valid(const char *port)
{
	if (*port == '\0')
		return false;
	for (; *port != '\0'; port++) {
		if (!isalnum((unsigned char)*port) && !strchr("-_", *port))
			return false;
	}
	return true;
}

static void write_chain(struct script *script, const char *table, const char *port,
			const struct definition_adapter *adapter)
{
	static const char *const tags[] = { "meta protocol { 0x8100, 0x88a8 }" };
	char mac[DEFINITION_MAC_TEXT_SIZE], frame[64], arp[64];
	const char *const mac_rules[] = { frame, arp };

	definition_mac_format(adapter->mac, mac);
	snprintf(frame, sizeof(frame), "ether saddr != %s", mac);
	/* What others are told of whose address it is, too. */
	snprintf(arp, sizeof(arp), "meta protocol arp arp saddr ether != %s", mac);
	fprintf(script->stream, "add chain %1$s port_%2$s\nflush chain %1$s port_%2$s\n", table,
		port);
	add_rules(script, table, port, tags, ARRAY_SIZE(tags));
	if (!adapter->mac_spoofing)
		add_rules(script, table, port, mac_rules, ARRAY_SIZE(mac_rules));
	if (adapter->dhcp_guard || adapter->router_guard)
		add_rules(script, table, port, snap_rules, ARRAY_SIZE(snap_rules));
	if (adapter->dhcp_guard)
		add_rules(script, table, port, dhcp_rules, ARRAY_SIZE(dhcp_rules));
	if (adapter->router_guard)
		add_rules(script, table, port, router_rules, ARRAY_SIZE(router_rules));
	if (adapter->egress > 0)
		add_limit(script, table, port, adapter->egress);
}

static void write_port(struct script *script, const char *table, const char *port,
		       const struct definition_adapter *adapter, bool private)
{
	write_chain(script, table, port, adapter);
	fprintf(script->stream, "add element %1$s ports { \"%2$s\" : jump port_%2$s }\n", table,
		port);
	/* Adding first makes the deletion one of something that is there. */
	fprintf(script->stream, "add element %s private { \"%s\" }\n", table, port);
	if (!private)
		fprintf(script->stream, "delete element %s private { \"%s\" }\n", table, port);
}

static int set_port(struct network_guard *guard, const char *port,
		    const struct definition_adapter *adapter, bool private)
{
	struct script script;
	int r;

	r = script_begin(&script);
	if (r < 0)
		return r;
	write_port(&script, guard->owned, port, adapter, private);
	write_port(&script, guard->kept, port, adapter, private);
	return script_run(&script, guard);
}

int network_guard_set(struct network_guard *guard, const char *port,
		      const struct definition_adapter *adapter, bool private)
{
	int r;

	if (!port_is_valid(port))
		return -EINVAL;
	r = set_port(guard, port, adapter, private);
	if (r == -EOPNOTSUPP && make_kept(guard) == 0)
		r = set_port(guard, port, adapter, private);
	return r;
}

static void write_end(struct script *script, const char *table, const char *port)
{
	fprintf(script->stream,
		"add chain %1$s port_%2$s\n"
		"add element %1$s ports { \"%2$s\" : jump port_%2$s }\n"
		"delete element %1$s ports { \"%2$s\" }\n"
		"add element %1$s private { \"%2$s\" }\n"
		"delete element %1$s private { \"%2$s\" }\n"
		"flush chain %1$s port_%2$s\n"
		"delete chain %1$s port_%2$s\n",
		table, port);
}

static int end_port(struct network_guard *guard, const char *port)
{
	struct script script;
	int r;

	r = script_begin(&script);
	if (r < 0)
		return r;
	write_end(&script, guard->owned, port);
	write_end(&script, guard->kept, port);
	return script_run(&script, guard);
}

void network_guard_forget(struct network_guard *guard, const char *port)
{
	int r;

	if (!port_is_valid(port))
		return;
	r = end_port(guard, port);
	if (r == -EOPNOTSUPP && make_kept(guard) == 0)
		r = end_port(guard, port);
	if (r < 0)
		log_warning("the guards of %s cannot be removed: %s", port,
			    nft_ctx_get_error_buffer(guard->context));
}
