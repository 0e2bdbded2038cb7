/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The host's network as virtual switches need it: links, bridges, addresses and routes, over
 * rtnetlink(7) by libnl-3.
 *
 * Links are named by their index. Every call is one exchange with the kernel, which does not wait
 * for anything outside of it. Return: 0 or the kernel's -errno: -EPERM without CAP_NET_ADMIN,
 * -ENODEV where there is no such link, -EOPNOTSUPP where the kernel lacks the feature.
 *
 * Sources: Linux include/uapi/linux/{rtnetlink,if_link,if_bridge,if_addr,pkt_sched}.h.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/cleanup.h"

#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#define NETWORK_ALIAS_MAX 255 /* bytes, IFALIASZ without its NUL */
#define NETWORK_KIND_MAX  15

struct network;

int network_open(struct network **ret_network) MUST_CHECK;
void network_free(struct network *network);
DEFINE_CLEANUP(struct network *, network_free)

/* ---- Links ---- */

struct network_link {
	int index, master; /* master: 0: none */
	unsigned flags;    /* IFF_UP, IFF_LOOPBACK, … */
	unsigned mtu;
	char name[IFNAMSIZ];
	char kind[NETWORK_KIND_MAX + 1]; /* "bridge", "tun", …; "" of hardware */
	char alias[NETWORK_ALIAS_MAX + 1];
	uint8_t mac[6];
	bool ethernet;       /* has a MAC address of six bytes */
	bool vlan_filtering; /* of a bridge */
};

int network_find_link(struct network *network, const char *name,
		      struct network_link *ret_link) MUST_CHECK;
int network_get_link(struct network *network, int index, struct network_link *ret_link) MUST_CHECK;

/* Every link, until `found` returns another number than 0, which is returned. */
int network_each_link(struct network *network,
		      int (*found)(void *data, const struct network_link *link),
		      void *data) MUST_CHECK;

struct network_bridge_options {
	const uint8_t *mac;  /* NULL: the kernel makes one up */
	bool vlan_filtering; /* -EOPNOTSUPP where the kernel cannot; nothing is made then */
};

/* Made without an alias, down. Return: also -EEXIST. */
int network_make_bridge(struct network *network, const char *name,
			const struct network_bridge_options *options) MUST_CHECK;
int network_delete_link(struct network *network, int index) MUST_CHECK;

int network_set_alias(struct network *network, int index, const char *alias) MUST_CHECK;
int network_set_up(struct network *network, int index, bool up) MUST_CHECK;
int network_set_mtu(struct network *network, int index, unsigned mtu) MUST_CHECK;
/* Of a bridge, which has the least of its ports' from its making until it is told otherwise. */
int network_fix_mtu(struct network *network, int index, unsigned mtu) MUST_CHECK;
int network_set_mac(struct network *network, int index, const uint8_t mac[static 6]) MUST_CHECK;

/* master: index of a bridge; 0: none. */
int network_set_master(struct network *network, int index, int master) MUST_CHECK;

/* No IPv6 address will be made up when the link comes up. -EOPNOTSUPP without IPv6. */
int network_set_no_link_local(struct network *network, int index) MUST_CHECK;

/* ---- VLANs of a bridge's port ---- */

/* Lets the VLANs first to last pass, tagged. */
int network_add_vlans(struct network *network, int index, unsigned first, unsigned last) MUST_CHECK;

/* Untagged frames belong to this VLAN, and leave untagged again. */
int network_add_untagged_vlan(struct network *network, int index, unsigned vlan) MUST_CHECK;
int network_delete_vlans(struct network *network, int index, unsigned first,
			 unsigned last) MUST_CHECK;

/*
 * Whether frames of a bridge's port are kept from other such ports. -EOPNOTSUPP before Linux 4.18.
 */
int network_set_isolated(struct network *network, int index, bool isolated) MUST_CHECK;

/* ---- Addresses and routes ---- */

struct network_address {
	int family; /* AF_INET, AF_INET6 */
	union {
		struct in_addr v4;
		struct in6_addr v6;
	};
	unsigned prefix;
};

/* "192.0.2.1/24", "2001:db8::1/64". Return: 0; -EINVAL. */
int network_address_parse(const char *text, struct network_address *ret_address) MUST_CHECK;

/* Return: also -EEXIST. */
int network_add_address(struct network *network, int index,
			const struct network_address *address) MUST_CHECK;
int network_delete_address(struct network *network, int index,
			   const struct network_address *address) MUST_CHECK;

/* How many default routes lead through the link, of either family, in the main table. */
int network_count_default_routes(struct network *network, int index,
				 unsigned *ret_count) MUST_CHECK;

/* How many addresses of the link somebody renews before their time is over, as DHCP clients do. */
int network_count_leases(struct network *network, int index, unsigned *ret_count) MUST_CHECK;

/* Is there a rule of policy (ip-rule(8)) that names the link? */
int network_find_rule(struct network *network, const char *link, bool *ret_found) MUST_CHECK;

/*
 * Moves what leads to one link to the other: addresses (not those that the kernel makes up: the
 * link-local one that each link has, and temporary ones), then the routes that are not the kernel's
 * own, and what IPv6's routers have told. There is no time without a route. What has been moved
 * before, or in part, is no error. On failure what has been moved stays; move it back. Return: also
 * -EOPNOTSUPP, and nothing has been moved: a route leads through several links.
 */
int network_move_addresses(struct network *network, int from, int to) MUST_CHECK;

/* ---- Bandwidth ---- */

/* What leaves through the link: at most so many bits a second, more waits; 0: no limit. */
int network_set_rate(struct network *network, int index, uint64_t bits) MUST_CHECK;
