/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One virtual switch: the object, its alias, and its ports. vswitch_up.c makes its bridge. */
#include "vmms/network/vswitch.h"

#include "common/base/log.h"
#include "vmms/network/vswitches.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define ALIAS_PREFIX "vmms:switch:"
#define UNTAGGED     1 /* the VLAN that bridges put untagged frames in */

int vswitch_new(struct vswitches *switches, struct vswitch_definition *definition,
		struct vswitch **ret_vswitch)
{
	struct vswitch *vswitch = calloc(1, sizeof(*vswitch));

	if (!vswitch) {
		vswitch_definition_free(definition);
		return -ENOMEM;
	}
	list_init(&vswitch->link);
	vswitch->switches = switches;
	vswitch->definition = definition;
	*ret_vswitch = vswitch;
	return 0;
}

void vswitch_free(struct vswitch *vswitch)
{
	if (!vswitch)
		return;
	list_unlink(&vswitch->link);
	vswitch_definition_free(vswitch->definition);
	free(vswitch);
}

/* ---- Whose a bridge is ---- */

void vswitch_alias_format(const struct vswitch_alias *alias, const char *directory,
			  char text[static VSWITCH_ALIAS_SIZE])
{
	char uuid[GUID_TEXT_SIZE];
	size_t size = strlen(directory), used;

	guid_format(&alias->uuid, uuid);
	used = (size_t)snprintf(text, VSWITCH_ALIAS_SIZE, ALIAS_PREFIX "%s:%s:", uuid,
				alias->interface);
	if (size > NETWORK_ALIAS_MAX - used)
		directory += size - (NETWORK_ALIAS_MAX - used);
	snprintf(text + used, VSWITCH_ALIAS_SIZE - used, "%s", directory);
}

bool vswitch_alias_parse(const char *text, const char *directory, struct vswitch_alias *ret_alias)
{
	char uuid[GUID_TEXT_SIZE], again[VSWITCH_ALIAS_SIZE];
	struct vswitch_alias alias = { 0 };
	const char *interface, *colon;

	if (strncmp(text, ALIAS_PREFIX, strlen(ALIAS_PREFIX)) != 0 ||
	    strlen(text) < strlen(ALIAS_PREFIX) + sizeof(uuid))
		return false;
	snprintf(uuid, sizeof(uuid), "%s", text + strlen(ALIAS_PREFIX));
	interface = text + strlen(ALIAS_PREFIX) + sizeof(uuid);
	colon = strchr(interface, ':');
	if (guid_parse(uuid, &alias.uuid) < 0 || !colon ||
	    (size_t)(colon - interface) >= sizeof(alias.interface))
		return false;
	memcpy(alias.interface, interface, (size_t)(colon - interface));
	vswitch_alias_format(&alias, directory, again);
	if (strcmp(text, again) != 0)
		return false;
	*ret_alias = alias;
	return true;
}

bool vswitch_alias_is_of_a_switch(const char *text)
{
	return strncmp(text, ALIAS_PREFIX, strlen(ALIAS_PREFIX)) == 0;
}

/* ---- Ports ---- */

/* Frames for its own address a bridge gives to the host. */
static int vswitch_check_mac(const struct vswitch *vswitch,
			     const struct definition_adapter *adapter, struct failure *failure)
{
	if (memcmp(adapter->mac, vswitch->bridge.mac, sizeof(adapter->mac)) != 0)
		return 0;
	return failure_set(failure, DBUS_ERROR_EXISTS,
			   "adapter '%s' has the MAC address that the host itself has on switch "
			   "'%s'; give it another",
			   adapter->name, vswitch->definition->name);
}

int vswitch_check_adapter(const struct vswitch *vswitch, const struct definition_adapter *adapter,
			  struct failure *failure)
{
	int r;

	r = vswitch_check_mac(vswitch, adapter, failure);
	if (r < 0 || adapter->vlan.mode == DEFINITION_VLAN_NONE || vswitch->bridge.vlan_filtering)
		return r;
	if (vswitch->definition->bridge)
		return failure_set(failure, DBUS_ERROR_HOST_NOT_CAPABLE,
				   "adapter '%s' has a VLAN, but bridge %s does not tell VLANs "
				   "apart; 'ip link set %s type bridge vlan_filtering 1' makes it, "
				   "or leave the VLAN out",
				   adapter->name, vswitch->definition->bridge,
				   vswitch->definition->bridge);
	return failure_set(
		failure, DBUS_ERROR_HOST_NOT_CAPABLE,
		"adapter '%s' has a VLAN, but bridges of this host's kernel do not tell "
		"VLANs apart (CONFIG_BRIDGE_VLAN_FILTERING); leave the VLAN out, or take "
		"another kernel",
		adapter->name);
}

static int vswitch_set_trunk(struct network *network, int port, const struct definition_vlan *vlan)
{
	int r = 0;

	for (unsigned i = 0; r == 0 && i < vlan->trunk_count; i++)
		r = network_add_vlans(network, port, vlan->trunk[i], vlan->trunk[i]);
	if (r == 0 && vlan->native)
		r = network_add_untagged_vlan(network, port, vlan->native);
	return r;
}

static int vswitch_set_vlan(struct network *network, int port, const struct definition_vlan *vlan)
{
	int r;

	r = network_delete_vlans(network, port, 1, DEFINITION_VLAN_MAX);
	if (r < 0 && r != -ENOENT)
		return r;
	if (vlan->mode == DEFINITION_VLAN_TRUNK)
		return vswitch_set_trunk(network, port, vlan);
	return network_add_untagged_vlan(
		network, port, vlan->mode == DEFINITION_VLAN_ACCESS ? vlan->access : UNTAGGED);
}

static int vswitch_set_guard(struct vswitch *vswitch, const struct network_link *port,
			     const struct definition_adapter *adapter, struct failure *failure)
{
	struct network_guard *guard;
	int r;

	r = vswitches_guard(vswitch->switches, &guard, failure);
	if (r < 0)
		return r;
	r = network_guard_set(guard, port->name, adapter,
			      vswitch->definition->type == VSWITCH_PRIVATE);
	return r < 0 ? failure_set(
			       failure, DBUS_ERROR_HOST_NOT_CAPABLE,
			       "the guards of adapter '%s' cannot be set: the kernel's nftables "
			       "refuse (%s)",
			       adapter->name, strerror(-r))
		     : 0;
}

/* Taps may pass the largest frames that a guest can be set to, unless there is a network behind. */
static unsigned vswitch_port_mtu(const struct vswitch *vswitch)
{
	return vswitch->definition->type == VSWITCH_EXTERNAL ? vswitch->bridge.mtu
							     : DEFINITION_MTU_MAX;
}

static int vswitch_join(struct vswitch *vswitch, const struct network_link *port,
			const struct definition_adapter *adapter)
{
	struct network *network = vswitch->switches->network;
	int bridge = vswitch->bridge.index, r;

	r = network_set_mtu(network, port->index, vswitch_port_mtu(vswitch));
	if (r == 0)
		r = network_set_no_link_local(network, port->index);
	if (r == -EOPNOTSUPP || r == -EAFNOSUPPORT)
		r = 0;
	if (r == 0)
		r = network_set_master(network, port->index, bridge);
	/* Without a VLAN of its own it has what the administrator's bridge gives its ports. */
	if (r == 0 && vswitch->bridge.vlan_filtering &&
	    (!vswitch->definition->bridge || adapter->vlan.mode != DEFINITION_VLAN_NONE))
		r = vswitch_set_vlan(network, port->index, &adapter->vlan);
	if (r == 0)
		r = network_set_isolated(network, port->index, adapter->isolated);
	if (r == -EOPNOTSUPP && !adapter->isolated)
		r = 0;
	if (r == 0)
		r = network_set_rate(network, port->index, adapter->ingress);
	return r == 0 ? network_set_up(network, port->index, true) : r;
}

int vswitch_connect(struct vswitch *vswitch, const struct network_link *port,
		    const struct definition_adapter *adapter, struct failure *failure)
{
	int r;

	r = vswitch_check_adapter(vswitch, adapter, failure);
	/* The guards are there before the first frame is. */
	if (r == 0)
		r = vswitch_set_guard(vswitch, port, adapter, failure);
	if (r < 0)
		return r;
	r = vswitch_join(vswitch, port, adapter);
	return r < 0 ? failure_set(failure, DBUS_ERROR_RESOURCE,
				   "adapter '%s' cannot be connected to switch '%s': %s",
				   adapter->name, vswitch->definition->name, strerror(-r))
		     : 0;
}
