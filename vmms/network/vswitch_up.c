/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One virtual switch: bringing it up and taking it down.
 *
 * Every step is one that may find its work done, since a daemon that was killed in the middle left
 * some of it. The bridge is ours from when it has its alias, whatever its name is by then; one that
 * was made, and not yet named, has our name, the MAC address that we gave it, and is down.
 * vswitch_outside.c takes interfaces.
 */
#include "common/base/log.h"
#include "vmms/base/fault.h"
#include "vmms/network/network_sysctl.h"
#include "vmms/network/vswitch_internal.h"
#include "vmms/network/vswitches.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define NAME_PREFIX  "vmsw-"
#define INTERNAL_MTU 1500

int vswitch_cannot(const struct vswitch *vswitch, const char *what, int error,
		   struct failure *failure)
{
	return failure_set(failure, DBUS_ERROR_RESOURCE, "switch '%s': cannot %s: %s",
			   vswitch->definition->name, what, strerror(-error));
}

/* ---- The bridge ---- */

static void up_bridge_name(const struct vswitch *vswitch, char name[static IFNAMSIZ])
{
	char uuid[GUID_TEXT_SIZE];

	guid_format(&vswitch->definition->uuid, uuid);
	snprintf(name, IFNAMSIZ, NAME_PREFIX "%.8s", uuid);
}

static int up_make_bridge(struct network *network, const char *name, const uint8_t *mac)
{
	struct network_bridge_options options = { .mac = mac, .vlan_filtering = true };
	int r;

	r = network_make_bridge(network, name, &options);
	if (r != -EOPNOTSUPP)
		return r;
	options.vlan_filtering = false;
	return network_make_bridge(network, name, &options);
}

/* The link is the bridge that this switch has made. */
static bool up_owns(const struct vswitch *vswitch, const struct network_link *link)
{
	struct vswitch_alias alias;

	return strcmp(link->kind, "bridge") == 0 &&
	       vswitch_alias_parse(link->alias, vswitch->switches->directory, &alias) &&
	       guid_equal(&alias.uuid, &vswitch->definition->uuid);
}

struct own_search {
	const struct vswitch *vswitch;
	struct network_link found;
};

static int up_match_own(void *data, const struct network_link *link)
{
	struct own_search *search = data;

	if (up_owns(search->vswitch, link))
		search->found = *link;
	return 0;
}

int vswitch_find_bridge(const struct vswitch *vswitch, struct network_link *ret_bridge)
{
	struct own_search search = { .vswitch = vswitch };
	int r;

	r = network_each_link(vswitch->switches->network, up_match_own, &search);
	if (r < 0)
		return r;
	if (search.found.index == 0)
		return -ENODEV;
	*ret_bridge = search.found;
	return 0;
}

/* Made just now, or by a daemon that was killed before it had named it. */
static bool up_is_unnamed(const struct network_link *link, const uint8_t *mac)
{
	return strcmp(link->kind, "bridge") == 0 && link->alias[0] == '\0' &&
	       !(link->flags & IFF_UP) && memcmp(link->mac, mac, sizeof(link->mac)) == 0;
}

static int up_make_own_bridge(struct vswitch *vswitch, const uint8_t *mac,
			      struct network_link *ret_bridge, struct failure *failure)
{
	struct network *network = vswitch->switches->network;
	struct network_link bridge;
	char name[IFNAMSIZ];
	int r;

	up_bridge_name(vswitch, name);
	r = up_make_bridge(network, name, mac);
	if (r < 0 && r != -EEXIST)
		return vswitch_cannot(vswitch, "make a bridge", r, failure);
	fault_point(FAULT_BRIDGE_MADE);
	r = network_find_link(network, name, &bridge);
	if (r < 0)
		return vswitch_cannot(vswitch, "find its bridge", r, failure);
	if (!up_is_unnamed(&bridge, mac))
		return failure_set(failure, DBUS_ERROR_EXISTS,
				   "switch '%s': there is an interface %s that is not vmms's; "
				   "rename it, or make the switch again",
				   vswitch->definition->name, name);
	*ret_bridge = bridge;
	return 0;
}

int vswitch_have_bridge(struct vswitch *vswitch, const uint8_t *mac,
			struct network_link *ret_bridge, struct failure *failure)
{
	struct network *network = vswitch->switches->network;
	struct vswitch_alias alias = { .uuid = vswitch->definition->uuid };
	char text[VSWITCH_ALIAS_SIZE];
	struct network_link bridge;
	int r;

	if (vswitch_find_bridge(vswitch, &bridge) < 0) {
		r = up_make_own_bridge(vswitch, mac, &bridge, failure);
		if (r < 0)
			return r;
	}
	if (vswitch->definition->interface)
		snprintf(alias.interface, sizeof(alias.interface), "%s",
			 vswitch->definition->interface);
	vswitch_alias_format(&alias, vswitch->switches->directory, text);
	r = network_set_alias(network, bridge.index, text);
	if (r < 0)
		return vswitch_cannot(vswitch, "name its bridge", r, failure);
	fault_point(FAULT_BRIDGE_NAMED);
	*ret_bridge = bridge;
	return 0;
}

/* ---- Private and internal ---- */

static int up_add_addresses(struct vswitch *vswitch, const struct vswitch_definition *wanted,
			    struct failure *failure)
{
	int r;

	for (size_t i = 0; i < wanted->address_count; i++) {
		r = network_add_address(vswitch->switches->network, vswitch->bridge.index,
					&wanted->addresses[i].address);
		if (r < 0 && r != -EEXIST)
			return vswitch_cannot(vswitch, wanted->addresses[i].text, r, failure);
	}
	return 0;
}

static bool up_has_address(const struct vswitch_definition *definition, const char *text)
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
		if (up_has_address(definition, old->addresses[i].text))
			continue;
		r = network_delete_address(network, vswitch->bridge.index,
					   &old->addresses[i].address);
		if (r < 0 && r != -EADDRNOTAVAIL)
			return vswitch_cannot(vswitch, "remove an address", r, failure);
	}
	r = network_fix_mtu(network, vswitch->bridge.index,
			    definition->mtu > 0 ? definition->mtu : INTERNAL_MTU);
	return r < 0 ? vswitch_cannot(vswitch, "set its MTU", r, failure)
		     : up_add_addresses(vswitch, definition, failure);
}

/* Before the bridge is up, or it might have heard of a router by then. */
static int up_set_ip(struct network *network, const struct network_link *bridge, bool private)
{
	int r;

	if (!private)
		return network_refuse_routers(bridge->name);
	r = network_set_no_link_local(network, bridge->index);
	if (r == -EOPNOTSUPP || r == -EAFNOSUPPORT)
		r = 0;
	return r == 0 ? network_refuse_ipv6(bridge->name) : r;
}

static int up_bring_up_inside(struct vswitch *vswitch, struct failure *failure)
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
		r = vswitch_have_bridge(vswitch, mac, &vswitch->bridge, failure);
	if (r < 0)
		return r;
	r = up_set_ip(network, &vswitch->bridge, private);
	if (r < 0)
		return vswitch_cannot(vswitch,
				      private ? "do without addresses"
					      : "keep the host from taking guests for routers",
				      r, failure);
	r = network_set_up(network, vswitch->bridge.index, true);
	if (r < 0)
		return vswitch_cannot(vswitch, "set its bridge up", r, failure);
	fault_point(FAULT_BRIDGE_UP);
	return private ? 0 : vswitch_set_addresses(vswitch, vswitch->definition, failure);
}

/* ---- External, by bridge ---- */

static int up_join_bridge(struct vswitch *vswitch, struct failure *failure)
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
		return vswitch_cannot(vswitch, "look for its bridge", r, failure);
	if (strcmp(link.kind, "bridge") != 0)
		return failure_set(failure, DBUS_ERROR_INVALID_ARGUMENT,
				   "switch '%s': %s is not a bridge; name one, or let the switch "
				   "take the interface",
				   vswitch->definition->name, name);
	if (vswitch_alias_is_of_a_switch(link.alias))
		return failure_set(
			failure, DBUS_ERROR_INVALID_ARGUMENT,
			"switch '%s': %s is a virtual switch itself; connect adapters to "
			"that",
			vswitch->definition->name, name);
	if (!(link.flags & IFF_UP))
		log_warning("switch %s: bridge %s is down", vswitch->definition->name, name);
	vswitch->bridge = link;
	return 0;
}

/* ---- Both ways ---- */

static int up_bring_up(struct vswitch *vswitch, bool force, struct failure *failure)
{
	int r;

	r = vswitches_check_privilege(vswitch->switches, failure);
	if (r < 0)
		return r;
	if (vswitch->definition->type != VSWITCH_EXTERNAL)
		return up_bring_up_inside(vswitch, failure);
	return vswitch->definition->bridge ? up_join_bridge(vswitch, failure)
					   : vswitch_bring_up_outside(vswitch, force, failure);
}

int vswitch_bring_up(struct vswitch *vswitch, bool force, struct failure *failure)
{
	bool was_up = vswitch_is_up(vswitch);
	int r;

	r = up_bring_up(vswitch, force, failure);
	vswitch_find_uplink(vswitch);
	if (r < 0) {
		if (!was_up)
			vswitch_take_down(vswitch);
		snprintf(vswitch->reason, sizeof(vswitch->reason), "%s", failure->message);
		return r;
	}
	vswitch->reason[0] = '\0';
	if (!vswitch->bridge.vlan_filtering)
		log_warning(
			"switch %s: bridge %s does not tell VLANs apart; adapters with VLANs are "
			"refused, and no other gets tagged frames",
			vswitch->definition->name, vswitch->bridge.name);
	log_info("switch %s: up, as %s", vswitch->definition->name, vswitch->bridge.name);
	return 0;
}

/* Ours may have another name by now; the administrator's has that of the definition. */
static bool up_is_same_bridge(const struct vswitch *vswitch, const struct network_link *link)
{
	return vswitch->definition->bridge ? strcmp(link->kind, "bridge") == 0 &&
						     strcmp(link->name, vswitch->bridge.name) == 0
					   : up_owns(vswitch, link);
}

void vswitch_refresh(struct vswitch *vswitch)
{
	struct network_link link = { 0 };

	if (!vswitch_is_up(vswitch))
		return;
	if (network_get_link(vswitch->switches->network, vswitch->bridge.index, &link) < 0 ||
	    !up_is_same_bridge(vswitch, &link)) {
		snprintf(vswitch->reason, sizeof(vswitch->reason), "%s is gone",
			 vswitch->bridge.name);
		link = (struct network_link){ 0 };
	}
	vswitch->bridge = link;
}

void vswitch_find_uplink(struct vswitch *vswitch)
{
	const struct vswitch_definition *definition = vswitch->definition;
	const char *name = definition->bridge ? definition->bridge : definition->interface;
	struct network *network = vswitch->switches->network;
	struct network_link link = { 0 }, port = { 0 };

	vswitch->named = vswitch->uplink = 0;
	if (!name || !network)
		return;
	if (network_find_link(network, name, &link) == 0)
		vswitch->named = link.index;
	if (!definition->interface)
		vswitch->uplink = link.index;
	else if (vswitch_is_up(vswitch) &&
		 vswitch_find_taken(network, &vswitch->bridge, name, &port) == 0)
		vswitch->uplink = port.index;
}

void vswitch_take_down(struct vswitch *vswitch)
{
	const char *interface = vswitch->definition->interface;
	int r;

	vswitch_refresh(vswitch);
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
