/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Network adapters of a definition, written as JSON: what has its default is left out, mostly. */
#include "common/definition/definition_network.h"

static struct json_object *forwards_to_json(const struct definition_adapter *adapter)
{
	struct json_object *forwards = json_object_new_array();
	char text[DEFINITION_FORWARD_TEXT_SIZE];

	for (unsigned i = 0; i < adapter->forward_count; i++) {
		definition_forward_format(&adapter->forwards[i], text);
		json_append(&forwards, json_object_new_string(text));
	}
	return forwards;
}

static struct json_object *vlan_to_json(const struct definition_vlan *vlan)
{
	struct json_object *object, *trunk;

	if (vlan->mode == DEFINITION_VLAN_ACCESS)
		return json_make("access", json_object_new_int64(vlan->access), NULL);
	trunk = json_object_new_array();
	for (unsigned i = 0; i < vlan->trunk_count; i++)
		json_append(&trunk, json_object_new_int64(vlan->trunk[i]));
	object = json_make("trunk", trunk, NULL);
	if (vlan->native)
		json_add(&object, "native", json_object_new_int64(vlan->native));
	return object;
}

static struct json_object *pins_to_json(const struct definition_adapter *adapter)
{
	struct json_object *pins = json_object_new_array();
	char text[DEFINITION_ADDRESS_TEXT_SIZE];

	for (unsigned i = 0; i < adapter->pin_count; i++) {
		definition_address_format(&adapter->pins[i], text);
		json_append(&pins, json_object_new_string(text));
	}
	return pins;
}

static struct json_object *bandwidth_to_json(const struct definition_adapter *adapter)
{
	struct json_object *bandwidth = json_object_new_object();

	if (adapter->egress)
		json_add(&bandwidth, "egress", json_object_new_uint64(adapter->egress));
	if (adapter->ingress)
		json_add(&bandwidth, "ingress", json_object_new_uint64(adapter->ingress));
	return bandwidth;
}

static void add_identity(struct json_object **object, const struct definition_adapter *adapter)
{
	char mac[DEFINITION_MAC_TEXT_SIZE], instance[GUID_TEXT_SIZE];

	json_add(object, "name", json_object_new_string(adapter->name));
	definition_mac_format(adapter->mac, mac);
	if (!definition_mac_is_null(adapter->mac))
		json_add(object, "mac", json_object_new_string(mac));
	guid_format(&adapter->instance, instance);
	if (!guid_is_null(&adapter->instance))
		json_add(object, "instance", json_object_new_string(instance));
}

struct json_object *definition_adapter_to_json(const struct definition_adapter *adapter)
{
	struct json_object *object = json_object_new_object();

	add_identity(&object, adapter);
	if (adapter->tap)
		json_add(&object, "tap", json_object_new_string(adapter->tap));
	else
		json_add(&object, "switch", json_object_new_string(adapter->switch_name));
	if (adapter->forward_count)
		json_add(&object, "forward", forwards_to_json(adapter));
	if (adapter->host_loopback)
		json_add(&object, "host_loopback", json_object_new_boolean(true));
	if (adapter->vlan.mode != DEFINITION_VLAN_NONE)
		json_add(&object, "vlan", vlan_to_json(&adapter->vlan));
	json_add(&object, "mac_spoofing", json_object_new_boolean(adapter->mac_spoofing));
	json_add(&object, "dhcp_guard", json_object_new_boolean(adapter->dhcp_guard));
	json_add(&object, "router_guard", json_object_new_boolean(adapter->router_guard));
	if (adapter->link_protocols)
		json_add(&object, "link_protocols", json_object_new_boolean(true));
	if (adapter->isolated)
		json_add(&object, "port_isolation", json_object_new_boolean(true));
	if (adapter->pin_count)
		json_add(&object, "addresses", pins_to_json(adapter));
	if (adapter->egress || adapter->ingress)
		json_add(&object, "bandwidth", bandwidth_to_json(adapter));
	json_add(&object, "mtu", json_object_new_int64(adapter->mtu));
	json_add(&object, "queues", json_object_new_int64(adapter->queues));
	return object;
}

struct json_object *definition_network_to_json(const struct definition_network *network)
{
	struct json_object *adapters = json_object_new_array();

	for (unsigned i = 0; i < network->adapter_count; i++)
		json_append(&adapters, definition_adapter_to_json(&network->adapters[i]));
	return adapters;
}
