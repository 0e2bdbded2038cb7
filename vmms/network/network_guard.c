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
 * Every port has a chain, which the map "ports" leads to from the hook (network_guard_port.c).
 *
 * The kernel takes an 802.1Q tag off before any rule sees the frame, and "vlan id" looks at what it
 * has taken. Tagged frames go neither out of nor into ports that are no trunks, also where the
 * bridge does not tell VLANs apart. A tag of VLAN 0 has a priority alone, and is no VLAN's.
 *
 * Frames to the link-local multicasts of 802.1D pass no hook of a bridge, which has them for the
 * host, whose spanning tree would hear of a better root. They are dropped as they come in, in a
 * table of the family "netdev", where each such port has a chain of its own.
 */
#include "vmms/network/network_guard.h"

#include "common/base/log.h"
#include "vmms/network/network_guard_port.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <net/if.h>
#include <nftables/libnftables.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct network_guard {
	struct nft_ctx *context;
	char owned[32], kept[32];       /* tables, with their family */
	char owned_ip[32], kept_ip[32]; /* those of user-mode networks */
	char owned_link[32], kept_link[32];
};

/* A script in the making. */
struct script {
	char *text;
	size_t size;
	FILE *stream;
};

static int guard_script_begin(struct script *script)
{
	script->stream = open_memstream(&script->text, &script->size);
	return script->stream ? 0 : -ENOMEM;
}

/* Runs it as one transaction, and frees it. */
static int guard_script_run(struct script *script, struct network_guard *guard)
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

static void guard_name_kept(const char *directory, const char *family, char name[static 32])
{
	uint32_t hash = 2166136261u; /* FNV-1a */

	for (; *directory != '\0'; directory++)
		hash = (hash ^ (uint8_t)*directory) * 16777619u;
	snprintf(name, 32, "%s vmms_kept_%08" PRIx32, family, hash);
}

/* Ports that are in it already stay there. */
static void guard_write_table(struct script *script, const char *table, const char *flags)
{
	fprintf(script->stream,
		"table %1$s {\n"
		"	%2$s\n"
		"	map ports {\n type ifname : verdict;\n }\n"
		"	set private {\n type ifname;\n }\n"
		"	set untagged {\n type ifname;\n }\n"
		"	chain tags {\n }\n"
		"	chain to_ports {\n"
		"		type filter hook postrouting priority -300; policy accept;\n"
		"	}\n"
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
		"flush chain %1$s tags\n"
		"flush chain %1$s to_ports\n"
		"flush chain %1$s from_guests\n"
		"flush chain %1$s to_host\n"
		"flush chain %1$s from_host\n"
		"add rule %1$s tags ether type 8021ad counter drop\n"
		"add rule %1$s tags vlan id 1-4095 counter drop\n"
		"add rule %1$s to_ports oifname @untagged jump tags\n"
		"add rule %1$s from_guests iifname @untagged jump tags\n"
		"add rule %1$s from_guests iifname vmap @ports\n"
		"add rule %1$s to_host iifname @private counter drop\n"
		"add rule %1$s from_host oifname @private counter drop\n",
		table, flags);
}

/*
 * passt(1) connects to whatever address a guest sends to, be it 127.0.0.1. Its answers to what has
 * been forwarded pass: they open no connection. Of datagrams it is not known which are answers.
 */
static void guard_write_user_table(struct script *script, const char *table, const char *flags)
{
	fprintf(script->stream,
		"table %1$s {\n"
		"	%2$s\n"
		"	set closed {\n type uid;\n }\n"
		"	chain to_loopback {\n }\n"
		"	chain from_users {\n"
		"		type filter hook output priority -300; policy accept;\n"
		"	}\n"
		"}\n"
		"flush chain %1$s from_users\n"
		"flush chain %1$s to_loopback\n"
		"add rule %1$s from_users meta skuid @closed ip daddr 127.0.0.0/8 jump "
		"to_loopback\n"
		"add rule %1$s from_users meta skuid @closed ip6 daddr ::1 jump to_loopback\n"
		"add rule %1$s to_loopback meta l4proto tcp tcp flags & (syn | ack) != syn accept\n"
		"add rule %1$s to_loopback counter reject\n",
		table, flags);
}

static int guard_make_kept(struct network_guard *guard)
{
	struct script script;
	int r;

	r = guard_script_begin(&script);
	if (r < 0)
		return r;
	guard_write_table(&script, guard->kept, "");
	guard_write_user_table(&script, guard->kept_ip, "");
	fprintf(script.stream, "add table %s\n", guard->kept_link);
	return guard_script_run(&script, guard);
}

static int guard_make_tables(struct network_guard *guard)
{
	struct script script;
	int r;

	r = guard_script_begin(&script);
	if (r < 0)
		return r;
	guard_write_table(&script, guard->owned, "flags owner;");
	guard_write_table(&script, guard->kept, "");
	fprintf(script.stream, "table %s {\n flags owner;\n }\nadd table %s\n", guard->owned_link,
		guard->kept_link);
	guard_write_user_table(&script, guard->owned_ip, "flags owner;");
	guard_write_user_table(&script, guard->kept_ip, "");
	return guard_script_run(&script, guard);
}

static int guard_open(const char *directory, struct network_guard **ret_guard)
{
	struct network_guard *guard = calloc(1, sizeof(*guard));

	if (!guard)
		return -ENOMEM;
	snprintf(guard->owned, sizeof(guard->owned), "bridge vmms_%d", getpid());
	snprintf(guard->owned_ip, sizeof(guard->owned_ip), "inet vmms_%d", getpid());
	snprintf(guard->owned_link, sizeof(guard->owned_link), "netdev vmms_%d", getpid());
	guard_name_kept(directory, "bridge", guard->kept);
	guard_name_kept(directory, "inet", guard->kept_ip);
	guard_name_kept(directory, "netdev", guard->kept_link);
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
	r = guard_make_tables(guard);
	if (r < 0)
		guard_close(guard);
	else
		*ret_guard = guard;
	return r;
}

/* ---- What has been left ---- */

/* The ports of the kept table, as nftables writes them. Return: NULL: there is none. */
static const char *guard_list_ports(struct network_guard *guard)
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
	left = guard_list_ports(guard) != NULL;
	guard_close(guard);
	return left;
}

#define JUMP "jump port_"

void network_guard_sweep(struct network_guard *guard)
{
	const char *ports = guard_list_ports(guard);
	AUTO_FREE char *text = ports ? strdup(ports) : NULL;

	for (char *at = text; at && (at = strstr(at, JUMP)) != NULL;) {
		char port[IFNAMSIZ] = "";

		at += strlen(JUMP);
		if (sscanf(at, "%15[-_a-zA-Z0-9]", port) == 1 && if_nametoindex(port) == 0)
			network_guard_forget(guard, port);
	}
}

static bool guard_has_ports(struct network_guard *guard)
{
	const char *ports = guard_list_ports(guard);

	return ports && strstr(ports, JUMP);
}

/* Users whose loopback is closed: those of workers that run on. */
static bool guard_has_users(struct network_guard *guard)
{
	char command[64];

	snprintf(command, sizeof(command), "list set %s closed", guard->kept_ip);
	return nft_run_cmd_from_buffer(guard->context, command) == 0 &&
	       strstr(nft_ctx_get_output_buffer(guard->context), "elements");
}

static void guard_remove_kept(struct network_guard *guard)
{
	const char *const tables[] = { guard->kept, guard->kept_ip, guard->kept_link };
	struct script script;

	if (guard_script_begin(&script) < 0)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(tables); i++)
		fprintf(script.stream, "add table %1$s\ndelete table %1$s\n", tables[i]);
	if (guard_script_run(&script, guard) < 0)
		log_warning("the table %s of nftables cannot be removed: %s", guard->kept,
			    nft_ctx_get_error_buffer(guard->context));
}

void network_guard_free(struct network_guard *guard)
{
	if (!guard)
		return;
	network_guard_sweep(guard);
	if (!guard_has_ports(guard) && !guard_has_users(guard))
		guard_remove_kept(guard);
	guard_close(guard);
}

/* ---- Ports ---- */

/* Names of ports are ours, but this is text of a language. */
static bool guard_port_is_valid(const char *port)
{
	if (*port == '\0')
		return false;
	for (; *port != '\0'; port++) {
		if (!isalnum((unsigned char)*port) && !strchr("-_", *port))
			return false;
	}
	return true;
}

/* Sets of ports, by what the rules of all of them ask. */
enum { SET_PRIVATE, SET_UNTAGGED, SET_COUNT };

static const char *const set_names[SET_COUNT] = { "private", "untagged" };

static void guard_write_port(struct script *script, const char *table, const char *port,
			     const struct definition_adapter *adapter, bool private)
{
	const bool in[SET_COUNT] = {
		[SET_PRIVATE] = private,
		[SET_UNTAGGED] = adapter->vlan.mode != DEFINITION_VLAN_TRUNK,
	};

	network_guard_write_chain(script->stream, table, port, adapter);
	fprintf(script->stream, "add element %1$s ports { \"%2$s\" : jump port_%2$s }\n", table,
		port);
	for (size_t i = 0; i < SET_COUNT; i++) {
		/* Adding first makes the deletion one of something that is there. */
		fprintf(script->stream, "add element %s %s { \"%s\" }\n", table, set_names[i],
			port);
		if (!in[i])
			fprintf(script->stream, "delete element %s %s { \"%s\" }\n", table,
				set_names[i], port);
	}
}

/* At once when the frame comes in. */
static void guard_write_entry(struct script *script, const char *table, const char *port,
			      const struct definition_adapter *adapter)
{
	fprintf(script->stream,
		"add chain %1$s in_%2$s { type filter hook ingress device \"%2$s\" priority -300; "
		"}\n"
		"flush chain %1$s in_%2$s\n",
		table, port);
	if (!adapter->link_protocols)
		fprintf(script->stream,
			"add rule %s in_%s ether daddr & ff:ff:ff:ff:ff:f0 == 01:80:c2:00:00:00"
			" counter drop\n",
			table, port);
}

static int guard_set_port(struct network_guard *guard, const char *port,
			  const struct definition_adapter *adapter, bool private)
{
	struct script script;
	int r;

	r = guard_script_begin(&script);
	if (r < 0)
		return r;
	guard_write_port(&script, guard->owned, port, adapter, private);
	guard_write_port(&script, guard->kept, port, adapter, private);
	guard_write_entry(&script, guard->owned_link, port, adapter);
	guard_write_entry(&script, guard->kept_link, port, adapter);
	return guard_script_run(&script, guard);
}

int network_guard_set(struct network_guard *guard, const char *port,
		      const struct definition_adapter *adapter, bool private)
{
	int r;

	if (!guard_port_is_valid(port))
		return -EINVAL;
	r = guard_set_port(guard, port, adapter, private);
	if (r == -EOPNOTSUPP && guard_make_kept(guard) == 0)
		r = guard_set_port(guard, port, adapter, private);
	return r;
}

static void guard_write_end(struct script *script, const char *table, const char *port)
{
	fprintf(script->stream,
		"add chain %1$s port_%2$s\n"
		"add element %1$s ports { \"%2$s\" : jump port_%2$s }\n"
		"delete element %1$s ports { \"%2$s\" }\n"
		"flush chain %1$s port_%2$s\n"
		"delete chain %1$s port_%2$s\n",
		table, port);
	for (size_t i = 0; i < SET_COUNT; i++)
		fprintf(script->stream,
			"add element %1$s %2$s { \"%3$s\" }\ndelete element %1$s %2$s { \"%3$s\" "
			"}\n",
			table, set_names[i], port);
}

static int guard_end_port(struct network_guard *guard, const char *port)
{
	struct script script;
	int r;

	r = guard_script_begin(&script);
	if (r < 0)
		return r;
	guard_write_end(&script, guard->owned, port);
	guard_write_end(&script, guard->kept, port);
	return guard_script_run(&script, guard);
}

/* These go with the port, too, so that there may be none. */
static void guard_end_entry(struct network_guard *guard, const char *port)
{
	const char *const tables[] = { guard->owned_link, guard->kept_link };
	char command[128];

	for (size_t i = 0; i < ARRAY_SIZE(tables); i++) {
		snprintf(command, sizeof(command), "delete chain %s in_%s", tables[i], port);
		if (nft_run_cmd_from_buffer(guard->context, command) != 0)
			log_debug("nftables: %s", nft_ctx_get_error_buffer(guard->context));
	}
}

void network_guard_forget(struct network_guard *guard, const char *port)
{
	int r;

	if (!guard_port_is_valid(port))
		return;
	guard_end_entry(guard, port);
	r = guard_end_port(guard, port);
	if (r == -EOPNOTSUPP && guard_make_kept(guard) == 0)
		r = guard_end_port(guard, port);
	if (r < 0)
		log_warning("the guards of %s cannot be removed: %s", port,
			    nft_ctx_get_error_buffer(guard->context));
}

/* ---- Users ---- */

static int guard_set_user(struct network_guard *guard, uid_t user, bool closed)
{
	const char *const tables[] = { guard->owned_ip, guard->kept_ip };
	struct script script;
	int r;

	r = guard_script_begin(&script);
	if (r < 0)
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(tables); i++) {
		/* Adding first makes the deletion one of something that is there. */
		fprintf(script.stream, "add element %s closed { %u }\n", tables[i], user);
		if (!closed)
			fprintf(script.stream, "delete element %s closed { %u }\n", tables[i],
				user);
	}
	return guard_script_run(&script, guard);
}

int network_guard_close_loopback(struct network_guard *guard, uid_t user, bool closed)
{
	int r;

	r = guard_set_user(guard, user, closed);
	if (r == -EOPNOTSUPP && guard_make_kept(guard) == 0)
		r = guard_set_user(guard, user, closed);
	return r;
}
