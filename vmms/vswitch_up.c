/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One virtual switch: bringing it up and taking it down.
 *
 * Every step is one that may find its work done, since a daemon that was killed in the middle left
 * some of it. The bridge is ours from when it has its alias; one that was made, and not yet named,
 * has our name, no port, and is down.
 */
#include "common/base/log.h"
#include "vmms/fault.h"
#include "vmms/interface_owner.h"
#include "vmms/vswitch.h"
#include "vmms/vswitches.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define NAME_PREFIX  "vmsw-"
#define INTERNAL_MTU 1500

static int cannot(const struct vswitch *vswitch, const char *what, int error,
		  struct failure *failure)
{
	return failure_set(failure, DBUS_ERROR_RESOURCE, "switch '%s': cannot %s: %s",
			   vswitch->definition->name, what, strerror(-error));
}

/* ---- The bridge ---- */

static void bridge_name(const struct vswitch *vswitch, char name[static IFNAMSIZ])
{
	char uuid[GUID_TEXT_SIZE];

	guid_format(&vswitch->definition->uuid, uuid);
	snprintf(name, IFNAMSIZ, NAME_PREFIX "%.8s", uuid);
}

static int make_bridge(struct network *network, const char *name, const uint8_t *mac)
{
	struct network_bridge_options options = { .mac = mac, .vlan_filtering = true };
	int r;

	r = network_make_bridge(network, name, &options);
	if (r != -EOPNOTSUPP)
		return r;
	options.vlan_filtering = false;
	return network_make_bridge(network, name, &options);
}

/* A bridge of that name is this switch's, from before. */
static bool is_ours(const struct vswitch *vswitch, const struct network_link *link)
{
	struct vswitch_alias alias;

	if (strcmp(link->kind, "bridge") != 0)
		return false;
	if (link->alias[0] == '\0')
		return !(link->flags & IFF_UP);
	return vswitch_alias_parse(link->alias, vswitch->switches->directory, &alias) &&
	       guid_equal(&alias.uuid, &vswitch->definition->uuid);
}

static int have_bridge(struct vswitch *vswitch, const uint8_t *mac, struct network_link *ret_bridge,
		       struct failure *failure)
{
	struct network *network = vswitch->switches->network;
	struct vswitch_alias alias = { .uuid = vswitch->definition->uuid };
	char name[IFNAMSIZ], text[VSWITCH_ALIAS_SIZE];
	struct network_link bridge;
	int r;

	bridge_name(vswitch, name);
	r = make_bridge(network, name, mac);
	if (r < 0 && r != -EEXIST)
		return cannot(vswitch, "make a bridge", r, failure);
	fault_point(FAULT_BRIDGE_MADE);
	r = network_find_link(network, name, &bridge);
	if (r < 0)
		return cannot(vswitch, "find its bridge", r, failure);
	if (!is_ours(vswitch, &bridge))
		return failure_set(failure, DBUS_ERROR_EXISTS,
				   "switch '%s': there is an interface %s that is not vmms's; "
				   "rename it, or make the switch again",
				   vswitch->definition->name, name);
	if (vswitch->definition->interface)
		snprintf(alias.interface, sizeof(alias.interface), "%s",
			 vswitch->definition->interface);
	vswitch_alias_format(&alias, vswitch->switches->directory, text);
	r = network_set_alias(network, bridge.index, text);
	if (r < 0)
		return cannot(vswitch, "name its bridge", r, failure);
	fault_point(FAULT_BRIDGE_NAMED);
	*ret_bridge = bridge;
	return 0;
}

/* ---- Private and internal ---- */

static int add_addresses(struct vswitch *vswitch, const struct vswitch_definition *wanted,
			 struct failure *failure)
{
	int r;

	for (size_t i = 0; i < wanted->address_count; i++) {
		r = network_add_address(vswitch->switches->network, vswitch->bridge.index,
					&wanted->addresses[i].address);
		if (r < 0 && r != -EEXIST)
			return cannot(vswitch, wanted->addresses[i].text, r, failure);
	}
	return 0;
}

static bool has_address(const struct vswitch_definition *definition, const char *text)
{
	for (size_t i = 0; i < definition->address_count; i++) {
		if (strcmp(definition->addresses[i].text, text) == 0)
			return true;
	}
	return false;
}

int vswitch_set_addresses(struct vswitch *vswitch, const struct vswitch_definition *old,
			  struct failure *failure)
{
	const struct vswitch_definition *definition = vswitch->definition;
	struct network *network = vswitch->switches->network;
	int r;

	for (size_t i = 0; i < old->address_count; i++) {
		if (has_address(definition, old->addresses[i].text))
			continue;
		r = network_delete_address(network, vswitch->bridge.index,
					   &old->addresses[i].address);
		if (r < 0 && r != -EADDRNOTAVAIL)
			return cannot(vswitch, "remove an address", r, failure);
	}
	r = network_fix_mtu(network, vswitch->bridge.index,
			    definition->mtu > 0 ? definition->mtu : INTERNAL_MTU);
	return r < 0 ? cannot(vswitch, "set its MTU", r, failure)
		     : add_addresses(vswitch, definition, failure);
}

static int set_private(struct network *network, int bridge)
{
	int r = network_set_no_link_local(network, bridge);

	return r == -EOPNOTSUPP || r == -EAFNOSUPPORT ? 0 : r;
}

static int bring_up_inside(struct vswitch *vswitch, struct failure *failure)
{
	struct network *network = vswitch->switches->network;
	bool private = vswitch->definition->type == VSWITCH_PRIVATE;
	/* Of its own, or it would be that of one port or another. */
	const uint8_t *uuid = vswitch->definition->uuid.bytes;
	const uint8_t mac[] = { 0x06, 0x56, 0x4d, uuid[0], uuid[1], uuid[2] };
	struct network_guard *guard;
	int r;

	/* Without it the host would be heard: better to learn that now. */
	r = private ? vswitches_guard(vswitch->switches, &guard, failure) : 0;
	if (r == 0)
		r = have_bridge(vswitch, mac, &vswitch->bridge, failure);
	if (r < 0)
		return r;
	r = private ? set_private(network, vswitch->bridge.index) : 0;
	if (r < 0)
		return cannot(vswitch, "do without addresses", r, failure);
	r = network_set_up(network, vswitch->bridge.index, true);
	if (r < 0)
		return cannot(vswitch, "set its bridge up", r, failure);
	fault_point(FAULT_BRIDGE_UP);
	return private ? 0 : vswitch_set_addresses(vswitch, vswitch->definition, failure);
}

/* ---- External, by bridge ---- */

static int join_bridge(struct vswitch *vswitch, struct failure *failure)
{
	const char *name = vswitch->definition->bridge;
	struct network_link link;
	int r;

	r = network_find_link(vswitch->switches->network, name, &link);
	if (r == -ENODEV)
		return failure_set(failure, DBUS_ERROR_RESOURCE,
				   "switch '%s': there is no bridge %s on this host; make it, then "
				   "run 'vmctl reload'",
				   vswitch->definition->name, name);
	if (r < 0)
		return cannot(vswitch, "look for its bridge", r, failure);
	if (strcmp(link.kind, "bridge") != 0)
		return failure_set(failure, DBUS_ERROR_INVALID_ARGUMENT,
				   "switch '%s': %s is not a bridge; name one, or let the switch "
				   "take the interface",
				   vswitch->definition->name, name);
	if (!(link.flags & IFF_UP))
		log_warning("switch %s: bridge %s is down", vswitch->definition->name, name);
	vswitch->bridge = link;
	return 0;
}

/* ---- External, by interface ---- */

static int check_owner(struct vswitch *vswitch, const struct network_link *link,
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

static int check_default_route(struct vswitch *vswitch, const struct network_link *link,
			       struct failure *failure)
{
	unsigned count = 0;
	int r;

	r = network_count_default_routes(vswitch->switches->network, link->index, &count);
	if (r < 0)
		return cannot(vswitch, "read the host's routes", r, failure);
	if (count == 0)
		return 0;
	return failure_set(failure, DBUS_ERROR_INVALID_STATE,
			   "switch '%s' cannot take interface %s: the host's default route leads "
			   "through it, and would be interrupted; force it if you can reach the "
			   "host otherwise",
			   vswitch->definition->name, link->name);
}

static int check_interface(struct vswitch *vswitch, const struct network_link *link, bool force,
			   struct failure *failure)
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
	r = check_owner(vswitch, link, failure);
	return r < 0 || force ? r : check_default_route(vswitch, link, failure);
}

/* Every VLAN of the network outside is one of the switch. */
static int pass_all_vlans(struct network *network, int port)
{
	return network_add_vlans(network, port, 2, DEFINITION_VLAN_MAX);
}

static int take_interface(struct vswitch *vswitch, const struct network_link *link,
			  const struct network_link *bridge, struct failure *failure)
{
	struct network *network = vswitch->switches->network;
	int r;

	r = network_set_up(network, bridge->index, true);
	if (r == 0)
		r = network_set_master(network, link->index, bridge->index);
	if (r == 0)
		r = network_fix_mtu(network, bridge->index, link->mtu);
	if (r == 0 && bridge->vlan_filtering)
		r = pass_all_vlans(network, link->index);
	if (r == 0)
		r = network_set_up(network, link->index, true);
	fault_point(FAULT_BRIDGE_TOOK_INTERFACE);
	if (r == 0)
		r = network_move_addresses(network, link->index, bridge->index);
	fault_point(FAULT_BRIDGE_TOOK_ADDRESSES);
	if (r < 0)
		return failure_set(failure, DBUS_ERROR_RESOURCE,
				   "switch '%s' cannot take interface %s: %s; all is as it was",
				   vswitch->definition->name, link->name, strerror(-r));
	return 0;
}

static void give_back(struct vswitch *vswitch, const struct network_link *link,
		      const struct network_link *bridge)
{
	struct network *network = vswitch->switches->network;
	int r;

	r = vswitch_dismantle(network, bridge, link->name);
	if (r == 0 && !(link->flags & IFF_UP))
		r = network_set_up(network, link->index, false);
	if (r < 0)
		log_error("switch %s: interface %s is not as it was: %s", vswitch->definition->name,
			  link->name, strerror(-r));
}

static int bring_up_outside(struct vswitch *vswitch, bool force, struct failure *failure)
{
	const char *name = vswitch->definition->interface;
	struct network_link link, bridge;
	char own[IFNAMSIZ];
	bool resumed;
	int r;

	r = network_find_link(vswitch->switches->network, name, &link);
	if (r < 0)
		return failure_set(failure, DBUS_ERROR_RESOURCE,
				   "switch '%s': there is no interface %s on this host (%s); "
				   "'ip link' shows which there are",
				   vswitch->definition->name, name, strerror(-r));
	bridge_name(vswitch, own);
	resumed = network_find_link(vswitch->switches->network, own, &bridge) == 0 &&
		  link.master == bridge.index && is_ours(vswitch, &bridge);
	r = resumed ? 0 : check_interface(vswitch, &link, force, failure);
	if (r == 0)
		r = have_bridge(vswitch, link.mac, &bridge, failure);
	if (r < 0)
		return r;
	r = take_interface(vswitch, &link, &bridge, failure);
	if (r < 0) {
		give_back(vswitch, &link, &bridge);
		return r;
	}
	bridge.mtu = link.mtu;
	vswitch->bridge = bridge;
	return 0;
}

int vswitch_dismantle(struct network *network, const struct network_link *bridge,
		      const char *interface)
{
	struct network_link link;
	int r = 0;

	if (interface[0] != '\0' && network_find_link(network, interface, &link) == 0 &&
	    link.master == bridge->index) {
		/* First the port leaves: routes by gateways are checked against what is reachable.
		 */
		r = network_set_master(network, link.index, 0);
		fault_point(FAULT_BRIDGE_LEFT);
		if (r == 0)
			r = network_move_addresses(network, bridge->index, link.index);
	}
	if (r < 0)
		return r;
	r = network_delete_link(network, bridge->index);
	fault_point(FAULT_BRIDGE_REMOVED);
	return r == -ENODEV ? 0 : r;
}

/* ---- Both ways ---- */

static int bring_up(struct vswitch *vswitch, bool force, struct failure *failure)
{
	int r;

	r = vswitches_check_privilege(vswitch->switches, failure);
	if (r < 0)
		return r;
	if (vswitch->definition->type != VSWITCH_EXTERNAL)
		return bring_up_inside(vswitch, failure);
	return vswitch->definition->bridge ? join_bridge(vswitch, failure)
					   : bring_up_outside(vswitch, force, failure);
}

int vswitch_bring_up(struct vswitch *vswitch, bool force, struct failure *failure)
{
	int r;

	r = bring_up(vswitch, force, failure);
	if (r < 0) {
		vswitch_take_down(vswitch);
		snprintf(vswitch->reason, sizeof(vswitch->reason), "%s", failure->message);
		return r;
	}
	vswitch->reason[0] = '\0';
	log_info("switch %s: up, as %s", vswitch->definition->name, vswitch->bridge.name);
	return 0;
}

void vswitch_refresh(struct vswitch *vswitch)
{
	struct network_link link = { 0 };

	if (!vswitch_is_up(vswitch))
		return;
	if (network_get_link(vswitch->switches->network, vswitch->bridge.index, &link) < 0 ||
	    strcmp(link.name, vswitch->bridge.name) != 0 || strcmp(link.kind, "bridge") != 0) {
		snprintf(vswitch->reason, sizeof(vswitch->reason), "%s is gone",
			 vswitch->bridge.name);
		link = (struct network_link){ 0 };
	}
	vswitch->bridge = link;
}

void vswitch_take_down(struct vswitch *vswitch)
{
	const char *interface = vswitch->definition->interface;
	int r;

	if (!vswitch_is_up(vswitch))
		return;
	if (!vswitch->definition->bridge) {
		r = vswitch_dismantle(vswitch->switches->network, &vswitch->bridge,
				      interface ? interface : "");
		if (r < 0)
			log_error("switch %s: %s cannot be taken down: %s",
				  vswitch->definition->name, vswitch->bridge.name, strerror(-r));
	}
	vswitch->bridge = (struct network_link){ 0 };
}
