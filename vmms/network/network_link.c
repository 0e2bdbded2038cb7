/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Links over rtnetlink.
 *
 * Of libnl-3 its sockets, messages and attributes are used, not its objects: those translate the
 * kernel's errors into fewer of their own, and know only some attributes.
 */
#include "vmms/network/network_internal.h"

#include <errno.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if_arp.h>
#include <netlink/errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* ---- Exchanges ---- */

int network_open(struct network **ret_network)
{
	CLEANUP(network_freep) struct network *network = calloc(1, sizeof(*network));
	int r;

	if (!network)
		return -ENOMEM;
	network->socket = nl_socket_alloc();
	if (!network->socket)
		return -ENOMEM;
	r = nl_connect(network->socket, NETLINK_ROUTE);
	if (r < 0)
		return r == -NLE_NOMEM ? -ENOMEM : -EPROTONOSUPPORT;
	*ret_network = TAKE_PTR(network);
	return 0;
}

void network_free(struct network *network)
{
	if (!network)
		return;
	nl_socket_free(network->socket);
	free(network);
}

struct nl_msg *network_request(int type, int flags, const void *header, size_t size)
{
	struct nl_msg *message = nlmsg_alloc_simple(type, flags);

	if (message && nlmsg_append(message, (void *)header, size, NLMSG_ALIGNTO) < 0) {
		nlmsg_free(message);
		return NULL;
	}
	return message;
}

struct exchange {
	network_message_fn found;
	void *data;
	int result;
	bool over;
};

static int link_take_message(struct nl_msg *message, void *data)
{
	struct exchange *exchange = data;

	/* Even when enough is known the rest is read, or the next exchange would get it. */
	if (exchange->found && exchange->result == 0)
		exchange->result = exchange->found(exchange->data, nlmsg_hdr(message));
	return NL_OK;
}

static int link_take_end(struct nl_msg *message, void *data)
{
	((struct exchange *)data)->over = true;
	return NL_STOP;
}

static int link_take_error(struct sockaddr_nl *from, struct nlmsgerr *error, void *data)
{
	struct exchange *exchange = data;

	exchange->over = true;
	exchange->result = error->error;
	return NL_STOP;
}

/* A dump during which something changed is good enough: what is looked for is ours. */
static int link_take_interruption(struct nl_msg *message, void *data)
{
	return NL_OK;
}

static int link_receive(struct network *network, struct exchange *exchange)
{
	struct nl_cb *callbacks = nl_cb_alloc(NL_CB_DEFAULT);
	int r = 0;

	if (!callbacks)
		return -ENOMEM;
	nl_cb_set(callbacks, NL_CB_VALID, NL_CB_CUSTOM, link_take_message, exchange);
	nl_cb_set(callbacks, NL_CB_ACK, NL_CB_CUSTOM, link_take_end, exchange);
	nl_cb_set(callbacks, NL_CB_FINISH, NL_CB_CUSTOM, link_take_end, exchange);
	nl_cb_set(callbacks, NL_CB_DUMP_INTR, NL_CB_CUSTOM, link_take_interruption, exchange);
	nl_cb_err(callbacks, NL_CB_CUSTOM, link_take_error, exchange);
	while (r >= 0 && !exchange->over)
		r = nl_recvmsgs(network->socket, callbacks);
	nl_cb_put(callbacks);
	return exchange->over ? exchange->result : -EIO;
}

int network_exchange(struct network *network, struct nl_msg *message, network_message_fn found,
		     void *data)
{
	struct exchange exchange = { .found = found, .data = data };
	int r;

	if (!message)
		return -ENOMEM;
	r = nl_send_auto(network->socket, message);
	nlmsg_free(message);
	return r < 0 ? -EIO : link_receive(network, &exchange);
}

/* ---- Reading links ---- */

static void link_copy_text(char *buffer, size_t size, const struct nlattr *attribute)
{
	if (attribute)
		nla_strlcpy(buffer, attribute, size);
	else
		buffer[0] = '\0';
}

static void link_read_info(struct network_link *link, struct nlattr *info)
{
	struct nlattr *members[IFLA_INFO_MAX + 1], *bridge[IFLA_BR_MAX + 1];

	if (!info || nla_parse_nested(members, IFLA_INFO_MAX, info, NULL) < 0)
		return;
	link_copy_text(link->kind, sizeof(link->kind), members[IFLA_INFO_KIND]);
	if (strcmp(link->kind, "bridge") == 0 && members[IFLA_INFO_DATA] &&
	    nla_parse_nested(bridge, IFLA_BR_MAX, members[IFLA_INFO_DATA], NULL) >= 0 &&
	    bridge[IFLA_BR_VLAN_FILTERING])
		link->vlan_filtering = nla_get_u8(bridge[IFLA_BR_VLAN_FILTERING]) != 0;
}

static int link_read_link(struct nlmsghdr *header, struct network_link *ret_link)
{
	const struct ifinfomsg *info = nlmsg_data(header);
	struct nlattr *members[IFLA_MAX + 1];
	struct network_link link = { .index = info->ifi_index, .flags = info->ifi_flags };

	if (nlmsg_parse(header, sizeof(*info), members, IFLA_MAX, NULL) < 0)
		return -EBADMSG;
	link_copy_text(link.name, sizeof(link.name), members[IFLA_IFNAME]);
	link_copy_text(link.alias, sizeof(link.alias), members[IFLA_IFALIAS]);
	if (members[IFLA_MASTER])
		link.master = (int)nla_get_u32(members[IFLA_MASTER]);
	if (members[IFLA_MTU])
		link.mtu = nla_get_u32(members[IFLA_MTU]);
	link.ethernet = info->ifi_type == ARPHRD_ETHER && members[IFLA_ADDRESS] &&
			nla_len(members[IFLA_ADDRESS]) == (int)sizeof(link.mac);
	if (link.ethernet)
		memcpy(link.mac, nla_data(members[IFLA_ADDRESS]), sizeof(link.mac));
	link_read_info(&link, members[IFLA_LINKINFO]);
	*ret_link = link;
	return 0;
}

static int link_take_link(void *data, struct nlmsghdr *header)
{
	return header->nlmsg_type == RTM_NEWLINK ? link_read_link(header, data) : 0;
}

static struct nl_msg *link_request(int type, int flags, int index)
{
	struct ifinfomsg info = { .ifi_index = index };

	return network_request(type, flags, &info, sizeof(info));
}

int network_get_link(struct network *network, int index, struct network_link *ret_link)
{
	return network_exchange(network, link_request(RTM_GETLINK, 0, index), link_take_link,
				ret_link);
}

int network_find_link(struct network *network, const char *name, struct network_link *ret_link)
{
	struct nl_msg *message;

	if (name[0] == '\0' || strlen(name) >= IFNAMSIZ)
		return -ENODEV;
	message = link_request(RTM_GETLINK, 0, 0);
	if (message)
		NLA_PUT_STRING(message, IFLA_IFNAME, name);
	return network_exchange(network, message, link_take_link, ret_link);
nla_put_failure:
	nlmsg_free(message);
	return -ENOMEM;
}

struct each_link {
	int (*found)(void *data, const struct network_link *link);
	void *data;
};

static int link_take_each_link(void *data, struct nlmsghdr *header)
{
	struct each_link *each = data;
	struct network_link link;
	int r;

	if (header->nlmsg_type != RTM_NEWLINK)
		return 0;
	r = link_read_link(header, &link);
	return r < 0 ? r : each->found(each->data, &link);
}

int network_each_link(struct network *network,
		      int (*found)(void *data, const struct network_link *link), void *data)
{
	struct each_link each = { found, data };

	return network_exchange(network, link_request(RTM_GETLINK, NLM_F_DUMP, 0),
				link_take_each_link, &each);
}

/* ---- Making and changing links ---- */

static int link_put_bridge(struct nl_msg *message, const struct network_bridge_options *options)
{
	struct nlattr *info, *data;

	info = nla_nest_start(message, IFLA_LINKINFO);
	if (!info)
		return -ENOMEM;
	NLA_PUT_STRING(message, IFLA_INFO_KIND, "bridge");
	data = nla_nest_start(message, IFLA_INFO_DATA);
	if (!data)
		return -ENOMEM;
	if (options->vlan_filtering)
		NLA_PUT_U8(message, IFLA_BR_VLAN_FILTERING, 1);
	/* No spanning tree, so nothing to wait for before a port forwards. */
	NLA_PUT_U32(message, IFLA_BR_FORWARD_DELAY, 0);
	nla_nest_end(message, data);
	nla_nest_end(message, info);
	return 0;
nla_put_failure:
	return -ENOMEM;
}

int network_make_bridge(struct network *network, const char *name,
			const struct network_bridge_options *options)
{
	struct nl_msg *message = link_request(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, 0);
	int r;

	if (!message)
		return -ENOMEM;
	NLA_PUT_STRING(message, IFLA_IFNAME, name);
	if (options->mac)
		NLA_PUT(message, IFLA_ADDRESS, 6, options->mac);
	if (link_put_bridge(message, options) < 0)
		goto nla_put_failure;
	r = network_exchange(network, message, NULL, NULL);
	/* A kernel without the feature does not know the attribute's meaning. */
	return r == -EINVAL && options->vlan_filtering ? -EOPNOTSUPP : r;
nla_put_failure:
	nlmsg_free(message);
	return -ENOMEM;
}

int network_delete_link(struct network *network, int index)
{
	return network_exchange(network, link_request(RTM_DELLINK, 0, index), NULL, NULL);
}

/* Changes one attribute. */
static int link_set_attribute(struct network *network, int index, int type, const void *value,
			      size_t size)
{
	struct nl_msg *message = link_request(RTM_SETLINK, 0, index);

	if (message && nla_put(message, type, (int)size, value) < 0) {
		nlmsg_free(message);
		return -ENOMEM;
	}
	return network_exchange(network, message, NULL, NULL);
}

int network_set_alias(struct network *network, int index, const char *alias)
{
	return link_set_attribute(network, index, IFLA_IFALIAS, alias, strlen(alias));
}

int network_set_mtu(struct network *network, int index, unsigned mtu)
{
	return link_set_attribute(network, index, IFLA_MTU, &mtu, sizeof(uint32_t));
}

/* The kernel takes no notice of what is as it was. */
int network_fix_mtu(struct network *network, int index, unsigned mtu)
{
	int r = network_set_mtu(network, index, mtu + 1);

	return r < 0 ? r : network_set_mtu(network, index, mtu);
}

int network_set_mac(struct network *network, int index, const uint8_t mac[static 6])
{
	return link_set_attribute(network, index, IFLA_ADDRESS, mac, 6);
}

int network_set_master(struct network *network, int index, int master)
{
	return link_set_attribute(network, index, IFLA_MASTER, &master, sizeof(uint32_t));
}

int network_set_up(struct network *network, int index, bool up)
{
	struct ifinfomsg info = { .ifi_index = index,
				  .ifi_flags = up ? IFF_UP : 0,
				  .ifi_change = IFF_UP };

	return network_exchange(network, network_request(RTM_SETLINK, 0, &info, sizeof(info)), NULL,
				NULL);
}

int network_set_no_link_local(struct network *network, int index)
{
	struct nl_msg *message = link_request(RTM_SETLINK, 0, index);
	struct nlattr *families, *inet6;

	if (!message)
		return -ENOMEM;
	families = nla_nest_start(message, IFLA_AF_SPEC);
	inet6 = families ? nla_nest_start(message, AF_INET6) : NULL;
	if (!inet6)
		goto nla_put_failure;
	NLA_PUT_U8(message, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
	nla_nest_end(message, inet6);
	nla_nest_end(message, families);
	return network_exchange(network, message, NULL, NULL);
nla_put_failure:
	nlmsg_free(message);
	return -ENOMEM;
}

/* ---- VLANs ---- */

static int link_change_vlans(struct network *network, int type, int index, unsigned first,
			     unsigned last, uint16_t flags)
{
	struct ifinfomsg info = { .ifi_family = AF_BRIDGE, .ifi_index = index };
	struct bridge_vlan_info begin = { .flags = flags, .vid = (uint16_t)first };
	struct bridge_vlan_info end = { .flags = flags, .vid = (uint16_t)last };
	struct nl_msg *message = network_request(type, 0, &info, sizeof(info));
	struct nlattr *vlans;

	if (!message)
		return -ENOMEM;
	vlans = nla_nest_start(message, IFLA_AF_SPEC);
	if (!vlans)
		goto nla_put_failure;
	if (first < last) {
		begin.flags |= BRIDGE_VLAN_INFO_RANGE_BEGIN;
		end.flags |= BRIDGE_VLAN_INFO_RANGE_END;
		NLA_PUT(message, IFLA_BRIDGE_VLAN_INFO, sizeof(begin), &begin);
	}
	NLA_PUT(message, IFLA_BRIDGE_VLAN_INFO, sizeof(end), &end);
	nla_nest_end(message, vlans);
	return network_exchange(network, message, NULL, NULL);
nla_put_failure:
	nlmsg_free(message);
	return -ENOMEM;
}

int network_add_vlans(struct network *network, int index, unsigned first, unsigned last)
{
	return link_change_vlans(network, RTM_SETLINK, index, first, last, 0);
}

int network_add_untagged_vlan(struct network *network, int index, unsigned vlan)
{
	return link_change_vlans(network, RTM_SETLINK, index, vlan, vlan,
				 BRIDGE_VLAN_INFO_PVID | BRIDGE_VLAN_INFO_UNTAGGED);
}

int network_delete_vlans(struct network *network, int index, unsigned first, unsigned last)
{
	return link_change_vlans(network, RTM_DELLINK, index, first, last, 0);
}

/* ---- Other settings of a bridge's port ---- */

int network_set_isolated(struct network *network, int index, bool isolated)
{
	struct ifinfomsg info = { .ifi_family = AF_BRIDGE, .ifi_index = index };
	struct nl_msg *message = network_request(RTM_SETLINK, 0, &info, sizeof(info));
	struct nlattr *settings;

	if (!message)
		return -ENOMEM;
	settings = nla_nest_start(message, IFLA_PROTINFO | NLA_F_NESTED);
	if (!settings)
		goto nla_put_failure;
	NLA_PUT_U8(message, IFLA_BRPORT_ISOLATED, isolated);
	nla_nest_end(message, settings);
	return network_exchange(network, message, NULL, NULL);
nla_put_failure:
	nlmsg_free(message);
	return -ENOMEM;
}
