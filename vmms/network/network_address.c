/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Addresses and routes over rtnetlink.
 *
 * What is moved from link to link is the kernel's own message, sent back with the other index in
 * it: no attribute is lost, whether it is known here or not. First everything is collected, since
 * a dump and the changes to what it lists do not mix; then addresses are added to the new link,
 * routes are added beside the old ones and those deleted, and only then addresses are taken from
 * the old one, which would take routes along.
 *
 * A port of a bridge hears no IP: what routers have told it by IPv6 (addresses, their networks, a
 * default route) would stay until its lifetime ends, and lead nowhere. So that moves too, with what
 * is left of its lifetime; on the new link the next advertisement renews it.
 */
#include "vmms/network/network_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define MESSAGES_MAX 4096 /* addresses, or routes, of one link */

/* ---- Text ---- */

int network_address_parse(const char *text, struct network_address *ret_address)
{
	struct network_address address = { .family = strchr(text, ':') ? AF_INET6 : AF_INET };
	const char *slash = strchr(text, '/');
	unsigned most = address.family == AF_INET ? 32 : 128;
	char host[INET6_ADDRSTRLEN];
	size_t digits;

	if (!slash || (size_t)(slash - text) >= sizeof(host))
		return -EINVAL;
	memcpy(host, text, (size_t)(slash - text));
	host[slash - text] = '\0';
	digits = strspn(slash + 1, "0123456789");
	if (digits < 1 || digits > 3 || slash[1 + digits] != '\0')
		return -EINVAL;
	address.prefix = (unsigned)atoi(slash + 1);
	if (address.prefix < 1 || address.prefix > most ||
	    inet_pton(address.family, host, &address.v6) != 1)
		return -EINVAL;
	*ret_address = address;
	return 0;
}

/* ---- One address ---- */

static struct nl_msg *address_request(int type, int flags, int index,
				      const struct network_address *address)
{
	struct ifaddrmsg header = { .ifa_family = (uint8_t)address->family,
				    .ifa_prefixlen = (uint8_t)address->prefix,
				    .ifa_index = (unsigned)index,
				    .ifa_scope = RT_SCOPE_UNIVERSE };
	int size = address->family == AF_INET ? 4 : 16;
	struct nl_msg *message;

	/* An address that the administrator gives is used at once, without asking for doubles. */
	header.ifa_flags = address->family == AF_INET6 ? IFA_F_NODAD : 0;
	message = network_request(type, flags, &header, sizeof(header));
	if (message && (nla_put(message, IFA_LOCAL, size, &address->v6) < 0 ||
			nla_put(message, IFA_ADDRESS, size, &address->v6) < 0)) {
		nlmsg_free(message);
		return NULL;
	}
	return message;
}

int network_add_address(struct network *network, int index, const struct network_address *address)
{
	return network_exchange(
		network, address_request(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, index, address),
		NULL, NULL);
}

int network_delete_address(struct network *network, int index,
			   const struct network_address *address)
{
	return network_exchange(network, address_request(RTM_DELADDR, 0, index, address), NULL,
				NULL);
}

/* ---- Collecting messages of the kernel ---- */

struct messages {
	struct nlmsghdr **items;
	size_t count;
	int index;         /* of the link that they are about */
	unsigned defaults; /* default routes among them */
	unsigned leases;   /* addresses among them that somebody renews */
	bool kernels;      /* of routes those that the kernel makes are wanted, else the others */
	bool shared;       /* there is a route that leads through other links too */
};

static void address_messages_deinit(struct messages *messages)
{
	for (size_t i = 0; i < messages->count; i++)
		free(messages->items[i]);
	free(messages->items);
}

static int address_keep(struct messages *messages, const struct nlmsghdr *header)
{
	struct nlmsghdr **items, *copy;

	if (messages->count == MESSAGES_MAX)
		return -E2BIG;
	items = reallocarray(messages->items, messages->count + 1, sizeof(*items));
	if (!items)
		return -ENOMEM;
	messages->items = items;
	copy = malloc(header->nlmsg_len);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, header, header->nlmsg_len);
	items[messages->count++] = copy;
	return 0;
}

/* The link-local address that each link has by itself. */
static bool address_is_the_kernels(struct nlmsghdr *header)
{
	const struct ifaddrmsg *address = nlmsg_data(header);
	struct nlattr *protocol = nlmsg_find_attr(header, sizeof(*address), IFA_PROTO);

	return address->ifa_family == AF_INET6 && address->ifa_scope == RT_SCOPE_LINK && protocol &&
	       nla_get_u8(protocol) == IFAPROT_KERNEL_LL;
}

static int address_take_address(void *data, struct nlmsghdr *header)
{
	const struct ifaddrmsg *address = nlmsg_data(header);
	struct messages *messages = data;
	struct nlattr *flags_attribute = nlmsg_find_attr(header, sizeof(*address), IFA_FLAGS);
	unsigned flags = flags_attribute ? nla_get_u32(flags_attribute) : address->ifa_flags;

	if (header->nlmsg_type != RTM_NEWADDR || (int)address->ifa_index != messages->index)
		return 0;
	/* Temporary ones go with those that they were made for, and come with them. (In IPv4 that
	 * bit means something else.) */
	if ((address->ifa_family == AF_INET6 && flags & IFA_F_TEMPORARY) ||
	    address_is_the_kernels(header))
		return 0;
	messages->leases += !(flags & (IFA_F_PERMANENT | IFA_F_MANAGETEMPADDR));
	return address_keep(messages, header);
}

/* The link that a route leads to; 0: several, or none. */
static int address_route_link(struct nlmsghdr *header)
{
	struct nlattr *output = nlmsg_find_attr(header, sizeof(struct rtmsg), RTA_OIF);

	return output ? (int)nla_get_u32(output) : 0;
}

/* It is one of several that a route leads to. */
static bool address_route_shares(struct nlmsghdr *header, int index)
{
	struct nlattr *hops = nlmsg_find_attr(header, sizeof(struct rtmsg), RTA_MULTIPATH);
	struct rtnexthop *hop = hops ? nla_data(hops) : NULL;
	int rest = hops ? nla_len(hops) : 0;

	for (; rest >= (int)sizeof(*hop) && RTNH_OK(hop, rest); hop = RTNH_NEXT(hop)) {
		if (hop->rtnh_ifindex == index)
			return true;
		rest -= (int)RTNH_ALIGN(hop->rtnh_len);
	}
	return false;
}

static int address_take_route(void *data, struct nlmsghdr *header)
{
	const struct rtmsg *route = nlmsg_data(header);
	struct messages *messages = data;
	bool shared = address_route_shares(header, messages->index);

	if (header->nlmsg_type != RTM_NEWROUTE || route->rtm_flags & RTM_F_CLONED ||
	    (!shared && address_route_link(header) != messages->index))
		return 0;
	messages->defaults += route->rtm_dst_len == 0 && route->rtm_type == RTN_UNICAST &&
			      route->rtm_table == RT_TABLE_MAIN;
	messages->shared |= shared;
	/* The kernel makes its own with each address. */
	if (shared || (route->rtm_protocol == RTPROT_KERNEL) != messages->kernels)
		return 0;
	return address_keep(messages, header);
}

static int address_collect_addresses(struct network *network, struct messages *messages)
{
	struct ifaddrmsg header = { .ifa_family = AF_UNSPEC };

	return network_exchange(network,
				network_request(RTM_GETADDR, NLM_F_DUMP, &header, sizeof(header)),
				address_take_address, messages);
}

static int address_collect_routes(struct network *network, int family, struct messages *messages)
{
	struct rtmsg header = { .rtm_family = (unsigned char)family };

	return network_exchange(network,
				network_request(RTM_GETROUTE, NLM_F_DUMP, &header, sizeof(header)),
				address_take_route, messages);
}

static int address_collect_all_routes(struct network *network, struct messages *messages)
{
	int r;

	r = address_collect_routes(network, AF_INET, messages);
	return r < 0 ? r : address_collect_routes(network, AF_INET6, messages);
}

int network_count_default_routes(struct network *network, int index, unsigned *ret_count)
{
	CLEANUP(address_messages_deinit) struct messages routes = { .index = index };
	int r;

	r = address_collect_all_routes(network, &routes);
	if (r < 0)
		return r;
	*ret_count = routes.defaults;
	return 0;
}

int network_count_leases(struct network *network, int index, unsigned *ret_count)
{
	CLEANUP(address_messages_deinit) struct messages addresses = { .index = index };
	int r;

	r = address_collect_addresses(network, &addresses);
	if (r < 0)
		return r;
	*ret_count = addresses.leases;
	return 0;
}

/* ---- Rules of policy ---- */

struct rule_search {
	const char *link;
	bool found;
};

static int address_take_rule(void *data, struct nlmsghdr *header)
{
	static const int names[] = { FRA_IIFNAME, FRA_OIFNAME };
	struct rule_search *search = data;

	for (size_t i = 0; header->nlmsg_type == RTM_NEWRULE && i < ARRAY_SIZE(names); i++) {
		struct nlattr *name =
			nlmsg_find_attr(header, sizeof(struct fib_rule_hdr), names[i]);

		search->found |= name && nla_strcmp(name, search->link) == 0;
	}
	return 0;
}

int network_find_rule(struct network *network, const char *link, bool *ret_found)
{
	static const uint8_t families[] = { AF_INET, AF_INET6 };
	struct rule_search search = { .link = link };
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(families); i++) {
		const struct fib_rule_hdr header = { .family = families[i] };

		r = network_exchange(
			network, network_request(RTM_GETRULE, NLM_F_DUMP, &header, sizeof(header)),
			address_take_rule, &search);
		/* A kernel without rules for that family. */
		if (r == -EOPNOTSUPP || r == -EAFNOSUPPORT)
			r = 0;
	}
	if (r < 0)
		return r;
	*ret_found = search.found;
	return 0;
}

/* ---- Moving ---- */

/* The message again, as a request of that type. */
static struct nl_msg *address_again(const struct nlmsghdr *header, int type, int flags)
{
	return network_request(type, flags, NLMSG_DATA(header), NLMSG_PAYLOAD(header, 0));
}

static int address_add_address_to(struct network *network, const struct nlmsghdr *header, int to)
{
	struct nl_msg *message = address_again(header, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE);
	struct ifaddrmsg *address;
	struct nlattr *attribute;

	if (!message)
		return -ENOMEM;
	address = nlmsg_data(nlmsg_hdr(message));
	address->ifa_index = (unsigned)to;
	/* It was in use on this host until now: doubles need not be looked for again. */
	if (address->ifa_family == AF_INET6) {
		attribute = nlmsg_find_attr(nlmsg_hdr(message), sizeof(*address), IFA_FLAGS);
		address->ifa_flags |= IFA_F_NODAD;
		if (attribute)
			*(uint32_t *)nla_data(attribute) |= IFA_F_NODAD;
	}
	/* The label names the old link. */
	attribute = nlmsg_find_attr(nlmsg_hdr(message), sizeof(*address), IFA_LABEL);
	if (attribute)
		attribute->nla_type = IFA_UNSPEC;
	return network_exchange(network, message, NULL, NULL);
}

static int address_delete_route(struct network *network, const struct nlmsghdr *header)
{
	int r = network_exchange(network, address_again(header, RTM_DELROUTE, 0), NULL, NULL);

	return r == -ESRCH ? 0 : r;
}

/* The kernel tells how long a route lives in another attribute than it takes that in. */
static int address_keep_lifetime(struct nl_msg *message)
{
	struct nlattr *attribute =
		nlmsg_find_attr(nlmsg_hdr(message), sizeof(struct rtmsg), RTA_CACHEINFO);
	const struct rta_cacheinfo *info = attribute ? nla_data(attribute) : NULL;
	int ticks;

	if (!info || nla_len(attribute) < (int)sizeof(*info))
		return 0;
	ticks = (int)info->rta_expires;
	attribute->nla_type = RTA_UNSPEC;
	return ticks > 0 ? nla_put_u32(message, RTA_EXPIRES,
				       (uint32_t)(ticks / sysconf(_SC_CLK_TCK)) + 1)
			 : 0;
}

/*
 * The new one is added behind all of its metric, not put in the place of the first, which may be
 * another link's; then the old one goes.
 */
static int address_move_route(struct network *network, const struct nlmsghdr *header, int to)
{
	struct nl_msg *message = address_again(header, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_APPEND);
	const struct rtmsg *route = NLMSG_DATA(header);
	struct nlattr *attribute;
	int r;

	if (!message)
		return -ENOMEM;
	attribute = nlmsg_find_attr(nlmsg_hdr(message), sizeof(struct rtmsg), RTA_OIF);
	if (attribute)
		*(uint32_t *)nla_data(attribute) = (uint32_t)to;
	((struct rtmsg *)nlmsg_data(nlmsg_hdr(message)))->rtm_flags =
		route->rtm_flags & RTNH_F_ONLINK;
	if (address_keep_lifetime(message) < 0) {
		nlmsg_free(message);
		return -ENOMEM;
	}
	r = network_exchange(network, message, NULL, NULL);
	return r < 0 && r != -EEXIST ? r : address_delete_route(network, header);
}

/* Networks that a router has told of outlive the addresses in them. */
static int address_delete_told_routes(struct network *network, int index)
{
	CLEANUP(address_messages_deinit)
	struct messages routes = { .index = index, .kernels = true };
	int r;

	r = address_collect_routes(network, AF_INET6, &routes);
	for (size_t i = 0; r == 0 && i < routes.count; i++) {
		const struct rtmsg *route = NLMSG_DATA(routes.items[i]);
		struct nlattr *network_address =
			nlmsg_find_attr(routes.items[i], sizeof(*route), RTA_DST);

		if (route->rtm_type == RTN_UNICAST && route->rtm_table == RT_TABLE_MAIN &&
		    network_address &&
		    !IN6_IS_ADDR_LINKLOCAL((const struct in6_addr *)nla_data(network_address)))
			r = address_delete_route(network, routes.items[i]);
	}
	return r;
}

static int address_delete_address_of(struct network *network, const struct nlmsghdr *header)
{
	int r = network_exchange(network, address_again(header, RTM_DELADDR, 0), NULL, NULL);

	return r == -EADDRNOTAVAIL ? 0 : r;
}

int network_move_addresses(struct network *network, int from, int to)
{
	CLEANUP(address_messages_deinit) struct messages addresses = { .index = from };
	CLEANUP(address_messages_deinit) struct messages routes = { .index = from };
	int r;

	r = address_collect_addresses(network, &addresses);
	if (r == 0)
		r = address_collect_all_routes(network, &routes);
	if (r == 0 && routes.shared)
		return -EOPNOTSUPP;
	for (size_t i = 0; r == 0 && i < addresses.count; i++)
		r = address_add_address_to(network, addresses.items[i], to);
	/* Routes to gateways' networks before those through the gateways: as they were listed, the
	 * longest prefix is not always first. */
	for (int gateways = 0; gateways < 2; gateways++) {
		for (size_t i = 0; r == 0 && i < routes.count; i++) {
			bool has =
				nlmsg_find_attr(routes.items[i], sizeof(struct rtmsg), RTA_GATEWAY);

			if (has == (gateways == 1))
				r = address_move_route(network, routes.items[i], to);
		}
	}
	for (size_t i = 0; r == 0 && i < addresses.count; i++)
		r = address_delete_address_of(network, addresses.items[i]);
	return r == 0 ? address_delete_told_routes(network, from) : r;
}
