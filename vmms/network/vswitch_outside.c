/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One virtual switch: an interface of the host, taken and given back.
 *
 * Every step is one that may find its work done, as in vswitch_up.c.
 */
#include "common/base/log.h"
#include "vmms/base/fault.h"
#include "vmms/host/host.h"
#include "vmms/network/network_sysctl.h"
#include "vmms/network/vswitch_internal.h"
#include "vmms/network/vswitches.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* ---- Whether it may be taken ---- */

static int outside_check_owner(struct vswitch *vswitch, const struct network_link *link,
			       struct failure *failure)
{
	const struct interface_owner *owner = interface_owner_find("", link->name, link->index);
	char steps[512];

	if (!owner)
		return 0;
	interface_owner_steps(owner, link->name, steps, sizeof(steps));
	return failure_set(failure, DBUS_ERROR_INVALID_STATE,
			   "switch '%s' cannot take interface %s, which %s manages; make a bridge "
			   "by its own means: %s; then name that bridge instead of the interface",
			   vswitch->definition->name, link->name, owner->name, steps);
}

static int outside_check_default_route(struct vswitch *vswitch, const struct network_link *link,
				       struct failure *failure)
{
	unsigned count = 0;
	int r;

	r = network_count_default_routes(vswitch->switches->network, link->index, &count);
	if (r < 0)
		return vswitch_cannot(vswitch, "read the host's routes", r, failure);
	if (count == 0)
		return 0;
	return failure_set(failure, DBUS_ERROR_INVALID_STATE,
			   "switch '%s' cannot take interface %s: the host's default route leads "
			   "through it, and would be interrupted; force it if you can reach the "
			   "host otherwise",
			   vswitch->definition->name, link->name);
}

/* Rules go by the name of the link that packets come and go by, which is the bridge's then. */
static int outside_check_rules(struct vswitch *vswitch, const struct network_link *link,
			       struct failure *failure)
{
	bool found = false;
	int r;

	r = network_find_rule(vswitch->switches->network, link->name, &found);
	if (r < 0)
		return vswitch_cannot(vswitch, "read the host's routing rules", r, failure);
	if (!found)
		return 0;
	return failure_set(failure, DBUS_ERROR_INVALID_STATE,
			   "switch '%s' cannot take interface %s: a rule of the host's routing "
			   "('ip rule') names it, and would not hold for the switch; force it if "
			   "you then change the rule",
			   vswitch->definition->name, link->name);
}

static int outside_check_leases(struct vswitch *vswitch, const struct network_link *link,
				struct failure *failure)
{
	unsigned count = 0;
	int r;

	r = network_count_leases(vswitch->switches->network, link->index, &count);
	if (r < 0)
		return vswitch_cannot(vswitch, "read the host's addresses", r, failure);
	if (count == 0)
		return 0;
	return failure_set(failure, DBUS_ERROR_INVALID_STATE,
			   "switch '%s' cannot take interface %s: it has an address for a limited "
			   "time, which a DHCP client would not renew there; force it if you then "
			   "run that client on the switch's bridge",
			   vswitch->definition->name, link->name);
}

static int outside_check_traffic(struct vswitch *vswitch, const struct network_link *link,
				 struct failure *failure)
{
	int r;

	r = outside_check_default_route(vswitch, link, failure);
	if (r == 0)
		r = outside_check_rules(vswitch, link, failure);
	return r == 0 ? outside_check_leases(vswitch, link, failure) : r;
}

static int outside_check_interface(struct vswitch *vswitch, const struct network_link *link,
				   bool force, struct failure *failure)
{
	int r;

	if (!link->ethernet || link->flags & IFF_LOOPBACK || strcmp(link->kind, "bridge") == 0)
		return failure_set(failure, DBUS_ERROR_INVALID_ARGUMENT,
				   "switch '%s' cannot take %s, which is %s",
				   vswitch->definition->name, link->name,
				   strcmp(link->kind, "bridge") == 0
					   ? "a bridge; name it as the bridge of the switch"
					   : "not an Ethernet interface");
	if (link->master != 0)
		return failure_set(failure, DBUS_ERROR_INVALID_STATE,
				   "switch '%s' cannot take interface %s, which is part of another "
				   "bridge or bond already",
				   vswitch->definition->name, link->name);
	r = outside_check_owner(vswitch, link, failure);
	return r < 0 || force ? r : outside_check_traffic(vswitch, link, failure);
}

/* ---- Taking ---- */

/* Every VLAN of the network outside is one of the switch. */
static int outside_pass_all_vlans(struct network *network, int port)
{
	return network_add_vlans(network, port, 2, DEFINITION_VLAN_MAX);
}

static int outside_make_port(struct network *network, const struct network_link *link,
			     const struct network_link *bridge)
{
	int r;

	r = network_set_up(network, bridge->index, true);
	if (r == 0)
		r = network_set_master(network, link->index, bridge->index);
	if (r == 0)
		r = network_fix_mtu(network, bridge->index, link->mtu);
	if (r == 0 && bridge->vlan_filtering)
		r = outside_pass_all_vlans(network, link->index);
	if (r == 0)
		r = network_set_up(network, link->index, true);
	fault_point(FAULT_BRIDGE_TOOK_INTERFACE);
	return r;
}

static int outside_take_interface(struct vswitch *vswitch, const struct network_link *link,
				  const struct network_link *bridge, struct failure *failure)
{
	struct network *network = vswitch->switches->network;
	const char *what = "it cannot be part of a bridge";
	int r;

	r = outside_make_port(network, link, bridge);
	if (r == 0) {
		what = "its addresses and routes cannot be moved";
		r = network_move_addresses(network, link->index, bridge->index);
		if (r == -EOPNOTSUPP)
			what = "a route leads through it and through other interfaces";
	}
	fault_point(FAULT_BRIDGE_TOOK_ADDRESSES);
	if (r < 0)
		return failure_set(
			failure, DBUS_ERROR_RESOURCE,
			"switch '%s' cannot take interface %s: %s (%s); all is as it was",
			vswitch->definition->name, link->name, what, strerror(-r));
	return 0;
}

/* A daemon that was killed just then, or somebody by hand, let it leave without its addresses. */
static bool outside_has_left(struct network *network, const struct network_link *bridge,
			     const char *interface, struct network_link *ret_port)
{
	return network_find_link(network, interface, ret_port) == 0 && ret_port->master == 0 &&
	       memcmp(ret_port->mac, bridge->mac, sizeof(bridge->mac)) == 0;
}

/* Gives the interface back that the bridge has taken, if it is there. The bridge stays. */
static int outside_release(struct network *network, const struct network_link *bridge,
			   const char *interface)
{
	struct network_link port = { 0 };
	int r;

	if (interface[0] == '\0')
		return 0;
	r = vswitch_find_taken(network, bridge, interface, &port);
	if (r < 0 || (port.index == 0 && !outside_has_left(network, bridge, interface, &port)))
		return r;
	/* First the port leaves: routes by gateways are checked against what is reachable. */
	r = network_set_master(network, port.index, 0);
	fault_point(FAULT_BRIDGE_LEFT);
	return r == 0 ? network_move_addresses(network, bridge->index, port.index) : r;
}

/* A bridge that there was before stays, with what is connected to it. */
static void outside_give_back(struct vswitch *vswitch, const struct network_link *link,
			      const struct network_link *bridge)
{
	struct network *network = vswitch->switches->network;
	int r;

	r = vswitch_is_up(vswitch) ? outside_release(network, bridge, link->name)
				   : vswitch_dismantle(network, bridge, link->name);
	if (r == 0 && !(link->flags & IFF_UP))
		r = network_set_up(network, link->index, false);
	if (r < 0)
		log_error("switch %s: interface %s is not as it was: %s", vswitch->definition->name,
			  link->name, strerror(-r));
}

/* The bridge has the interface's settings before it is up. One that was taken before has them. */
static int outside_make_outside(struct vswitch *vswitch, const struct network_link *link,
				bool resumed, struct network_link *ret_bridge,
				struct failure *failure)
{
	struct network_link bridge;
	int r;

	r = vswitch_have_bridge(vswitch, link->mac, &bridge, failure);
	if (r < 0)
		return r;
	r = resumed ? 0 : network_copy_sysctls(link->name, bridge.name);
	if (r < 0) {
		outside_give_back(vswitch, link, &bridge);
		return vswitch_cannot(vswitch,
				      "give its bridge the settings (sysctl) of the interface", r,
				      failure);
	}
	*ret_bridge = bridge;
	return 0;
}

int vswitch_bring_up_outside(struct vswitch *vswitch, bool force, struct failure *failure)
{
	const char *name = vswitch->definition->interface;
	struct network_link link, bridge;
	bool resumed;
	int r;

	r = network_find_link(vswitch->switches->network, name, &link);
	if (r < 0)
		return failure_set(failure, DBUS_ERROR_RESOURCE,
				   "switch '%s': there is no interface %s on this host (%s); "
				   "'ip link' shows which there are",
				   vswitch->definition->name, name, strerror(-r));
	resumed = vswitch_find_bridge(vswitch, &bridge) == 0 && link.master == bridge.index;
	r = resumed ? 0 : outside_check_interface(vswitch, &link, force, failure);
	if (r == 0)
		r = outside_make_outside(vswitch, &link, resumed, &bridge, failure);
	if (r < 0)
		return r;
	r = outside_take_interface(vswitch, &link, &bridge, failure);
	if (r < 0) {
		outside_give_back(vswitch, &link, &bridge);
		return r;
	}
	bridge.mtu = link.mtu;
	vswitch->bridge = bridge;
	return 0;
}

/* ---- The way back ---- */

struct port_search {
	const struct network_link *bridge;
	struct network_link found;
};

/* A bridge has its address of the interface that it was made for, whatever that is called now. */
static int outside_match_port(void *data, const struct network_link *link)
{
	struct port_search *search = data;

	if (link->master == search->bridge->index &&
	    memcmp(link->mac, search->bridge->mac, sizeof(link->mac)) == 0)
		search->found = *link;
	return 0;
}

int vswitch_find_taken(struct network *network, const struct network_link *bridge,
		       const char *interface, struct network_link *ret_port)
{
	struct port_search search = { .bridge = bridge };
	int r;

	r = network_find_link(network, interface, &search.found);
	if (r < 0 || search.found.master != bridge->index) {
		search.found = (struct network_link){ 0 };
		r = network_each_link(network, outside_match_port, &search);
	}
	*ret_port = search.found;
	return r;
}

int vswitch_dismantle(struct network *network, const struct network_link *bridge,
		      const char *interface)
{
	int r;

	r = outside_release(network, bridge, interface);
	if (r < 0)
		return r;
	r = network_delete_link(network, bridge->index);
	fault_point(FAULT_BRIDGE_REMOVED);
	return r == -ENODEV ? 0 : r;
}
