/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Network adapters in a definition, read by tables of keys.
 *
 * What contradicts itself is refused here; whether a switch exists is the daemon's to know.
 */
#include "common/definition/definition_network.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* ---- What texts may look like ---- */

static bool is_word(const char *text, size_t size_max)
{
	size_t size = strlen(text);

	if (size < 1 || size > size_max || !isalnum((unsigned char)text[0]))
		return false;
	for (size_t i = 0; i < size; i++)
		if (!isalnum((unsigned char)text[i]) && !strchr("-_.", text[i]))
			return false;
	return true;
}

bool definition_adapter_name_is_valid(const char *name)
{
	return is_word(name, DEFINITION_ADAPTER_NAME_MAX);
}

static bool switch_is_valid(const char *name)
{
	return is_word(name, DEFINITION_SWITCH_NAME_MAX);
}

bool definition_switch_name_is_valid(const char *name)
{
	return switch_is_valid(name) && strcmp(name, DEFINITION_SWITCH_DEFAULT) != 0 &&
	       strcmp(name, DEFINITION_SWITCH_NONE) != 0;
}

static bool interface_is_valid(const char *name)
{
	if (strcmp(name, DEFINITION_TAP_NULL) == 0)
		return true;
	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return false;
	for (; *name != '\0'; name++)
		if (!isgraph((unsigned char)*name) || strchr("/:%", *name))
			return false;
	return true;
}

static const struct json_text_rule name_rule = {
	definition_adapter_name_is_valid,
	"must begin with a letter or digit and hold letters, digits, '-', '_' and '.' alone",
};
static const struct json_text_rule switch_rule = {
	switch_is_valid,
	"must be the name of a virtual switch, \"default\" or \"none\"",
};
static const struct json_text_rule interface_rule = {
	interface_is_valid,
	"must be the name of a tap interface, or /dev/null",
};

/* ---- Addresses ---- */

bool definition_mac_is_null(const uint8_t mac[static DEFINITION_MAC_SIZE])
{
	static const uint8_t null[DEFINITION_MAC_SIZE];

	return memcmp(mac, null, sizeof(null)) == 0;
}

int definition_mac_parse(const char *text, uint8_t ret_mac[static DEFINITION_MAC_SIZE])
{
	uint8_t mac[DEFINITION_MAC_SIZE];

	if (strlen(text) != DEFINITION_MAC_TEXT_SIZE - 1)
		return -EINVAL;
	for (size_t i = 0; i < sizeof(mac); i++) {
		const char *at = text + 3 * i;

		if (!isxdigit((unsigned char)at[0]) || !isxdigit((unsigned char)at[1]))
			return -EINVAL;
		if (i + 1 < sizeof(mac) && (at[2] != text[2] || !strchr(":-", at[2])))
			return -EINVAL;
		mac[i] = (uint8_t)strtoul(at, NULL, 16);
	}
	if ((mac[0] & 1) || definition_mac_is_null(mac))
		return -EINVAL;
	memcpy(ret_mac, mac, sizeof(mac));
	return 0;
}

void definition_mac_format(const uint8_t mac[static DEFINITION_MAC_SIZE],
			   char text[static DEFINITION_MAC_TEXT_SIZE])
{
	snprintf(text, DEFINITION_MAC_TEXT_SIZE, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1],
		 mac[2], mac[3], mac[4], mac[5]);
}

static int read_mac(struct json_reader *reader, const struct json_key *key,
		    struct json_object *value, void *target)
{
	if (!json_object_is_type(value, json_type_string) ||
	    definition_mac_parse(json_object_get_string(value), target) < 0)
		return json_refuse(reader, value,
				   "must be the MAC address of one adapter, such as "
				   "\"02:56:4d:00:00:01\"");
	return 0;
}

/* ---- Forwarded ports ---- */

/* A port from 1 to 65535 up to `end`. Return: NULL if it is none; else what follows `end`. */
static const char *port_parse(const char *text, char end, uint16_t *ret_port)
{
	unsigned port = 0;

	if (!isdigit((unsigned char)*text))
		return NULL;
	for (; isdigit((unsigned char)*text); text++) {
		port = port * 10 + (unsigned)(*text - '0');
		if (port > UINT16_MAX)
			return NULL;
	}
	if (port == 0 || *text != end)
		return NULL;
	*ret_port = (uint16_t)port;
	return text + 1;
}

/* The address in front of the ports, if there is one. Return: what follows it; NULL: it is none. */
static const char *address_parse(const char *text, char address[static DEFINITION_ADDRESS_SIZE])
{
	bool brackets = *text == '[';
	const char *end = brackets ? strchr(text, ']') : strchr(text, ':');
	char plain[DEFINITION_ADDRESS_SIZE] = "";
	struct in6_addr bytes;
	size_t size;

	if (!brackets && (!end || !strchr(end + 1, ':'))) {
		strcpy(address, DEFINITION_ADDRESS_FORWARD);
		return text;
	}
	if (!end || end[brackets] != ':')
		return NULL;
	text += brackets;
	size = (size_t)(end - text);
	if (size >= sizeof(plain))
		return NULL;
	memcpy(plain, text, size);
	if (strcmp(plain, DEFINITION_ADDRESS_ANY) == 0 && !brackets)
		strcpy(address, plain);
	else if (inet_pton(brackets ? AF_INET6 : AF_INET, plain, &bytes) != 1 ||
		 !inet_ntop(brackets ? AF_INET6 : AF_INET, &bytes, address,
			    DEFINITION_ADDRESS_SIZE))
		return NULL;
	return end + brackets + 1;
}

int definition_forward_parse(const char *text, struct definition_forward *ret_forward)
{
	struct definition_forward forward = { .protocol = DEFINITION_PROTOCOL_TCP };

	if (strncmp(text, "udp:", 4) == 0)
		forward.protocol = DEFINITION_PROTOCOL_UDP;
	if (strncmp(text, "udp:", 4) == 0 || strncmp(text, "tcp:", 4) == 0)
		text += 4;
	text = address_parse(text, forward.address);
	if (text)
		text = port_parse(text, ':', &forward.host_port);
	if (!text || !port_parse(text, '\0', &forward.guest_port))
		return -EINVAL;
	*ret_forward = forward;
	return 0;
}

void definition_forward_format(const struct definition_forward *forward,
			       char text[static DEFINITION_FORWARD_TEXT_SIZE])
{
	bool brackets = strchr(forward->address, ':');

	snprintf(text, DEFINITION_FORWARD_TEXT_SIZE, "%s:%s%s%s:%u:%u",
		 forward->protocol == DEFINITION_PROTOCOL_UDP ? "udp" : "tcp", brackets ? "[" : "",
		 forward->address, brackets ? "]" : "", forward->host_port, forward->guest_port);
}

const char *definition_forward_option(const struct definition_forward *forward,
				      char text[static DEFINITION_FORWARD_TEXT_SIZE])
{
	bool any = strcmp(forward->address, DEFINITION_ADDRESS_ANY) == 0;

	snprintf(text, DEFINITION_FORWARD_TEXT_SIZE, "%s%s%u:%u", any ? "" : forward->address,
		 any ? "" : "/", forward->host_port, forward->guest_port);
	return forward->protocol == DEFINITION_PROTOCOL_UDP ? "--udp-ports" : "--tcp-ports";
}

/* Enters each element of an array of at most `most`. Return: 0; what `read` returns; -EINVAL. */
static int read_array(struct json_reader *reader, struct json_object *value, size_t most,
		      const char *what,
		      int (*read)(struct json_reader *reader, struct json_object *element,
				  void *target),
		      void *target)
{
	int r;

	if (!json_object_is_type(value, json_type_array))
		return json_refuse(reader, value, "must be an array of %s, not %s", what,
				   json_type_text(value));
	if (json_object_array_length(value) > most)
		return json_refuse(reader, value, "are %zu %s; at most %zu are possible",
				   json_object_array_length(value), what, most);
	for (size_t i = 0; i < json_object_array_length(value); i++) {
		size_t mark = json_enter_index(reader, i);

		r = read(reader, json_object_array_get_idx(value, i), target);
		if (r < 0)
			return r;
		json_leave(reader, mark);
	}
	return 0;
}

static int read_forward(struct json_reader *reader, struct json_object *element, void *target)
{
	struct definition_adapter *adapter = target;
	struct definition_forward forward;

	if (!json_object_is_type(element, json_type_string) ||
	    definition_forward_parse(json_object_get_string(element), &forward) < 0)
		return json_refuse(reader, element,
				   "must be ports of the host and the guest, such as \"2222:22\", "
				   "\"udp:5353:53\" or, with the host's address, "
				   "\"192.0.2.1:80:80\", \"[2001:db8::1]:80:80\" or \"*:80:80\"");
	for (unsigned i = 0; i < adapter->forward_count; i++)
		if (adapter->forwards[i].protocol == forward.protocol &&
		    adapter->forwards[i].host_port == forward.host_port)
			return json_refuse(reader, element, "forwards port %u of the host again",
					   forward.host_port);
	adapter->forwards[adapter->forward_count++] = forward;
	return 0;
}

static int read_forwards(struct json_reader *reader, const struct json_key *key,
			 struct json_object *value, void *target)
{
	return read_array(reader, value, DEFINITION_FORWARDS_MAX, "forwarded ports", read_forward,
			  target);
}

/* ---- Addresses of the guest ---- */

static int read_pin(struct json_reader *reader, struct json_object *element, void *target)
{
	struct definition_adapter *adapter = target;
	struct definition_address address;

	if (!json_object_is_type(element, json_type_string) ||
	    definition_address_parse(json_object_get_string(element), &address) < 0)
		return json_refuse(
			reader, element,
			"must be an address that a guest can have, or a prefix of such, as "
			"\"192.0.2.5\" or \"2001:db8::/64\"");
	for (unsigned i = 0; i < adapter->pin_count; i++)
		if (definition_address_overlaps(&adapter->pins[i], &address))
			return json_refuse(reader, element, "overlaps with one before it");
	adapter->pins[adapter->pin_count++] = address;
	return 0;
}

static int read_pins(struct json_reader *reader, const struct json_key *key,
		     struct json_object *value, void *target)
{
	return read_array(reader, value, DEFINITION_PINS_MAX, "addresses", read_pin, target);
}

/* ---- VLANs ---- */

#define VLAN(member) offsetof(struct definition_vlan, member)

static int read_trunk_element(struct json_reader *reader, struct json_object *element, void *target)
{
	static const struct json_key key = { .minimum = 1, .maximum = DEFINITION_VLAN_MAX };
	struct definition_vlan *vlan = target;
	unsigned id;
	int r;

	r = json_read_unsigned(reader, &key, element, &id);
	if (r < 0)
		return r;
	for (unsigned i = 0; i < vlan->trunk_count; i++)
		if (vlan->trunk[i] == id)
			return json_refuse(reader, element, "is there already");
	vlan->trunk[vlan->trunk_count++] = id;
	return 0;
}

static int read_trunk(struct json_reader *reader, const struct json_key *key,
		      struct json_object *value, void *target)
{
	return read_array(reader, value, DEFINITION_TRUNK_MAX, "VLANs", read_trunk_element, target);
}

static const struct json_key vlan_keys[] = {
	{ .name = "access",
	  .read = json_read_unsigned,
	  .offset = VLAN(access),
	  .minimum = 1,
	  .maximum = DEFINITION_VLAN_MAX },
	{ .name = "trunk", .read = read_trunk },
	{ .name = "native",
	  .read = json_read_unsigned,
	  .offset = VLAN(native),
	  .minimum = 1,
	  .maximum = DEFINITION_VLAN_MAX },
};

static int read_vlan(struct json_reader *reader, const struct json_key *key,
		     struct json_object *value, void *target)
{
	struct definition_vlan *vlan = target;
	int r;

	r = json_read(reader, value, vlan_keys, ARRAY_SIZE(vlan_keys), vlan);
	if (r < 0)
		return r;
	if (vlan->access && !vlan->native && !vlan->trunk_count)
		vlan->mode = DEFINITION_VLAN_ACCESS;
	else if (!vlan->access && vlan->trunk_count)
		vlan->mode = DEFINITION_VLAN_TRUNK;
	else
		return json_refuse(reader, value,
				   "must be {\"access\": VLAN} or {\"trunk\": [VLAN, …], "
				   "\"native\": VLAN}");
	return 0;
}

/* ---- Adapters ---- */

#define ADAPTER(member) offsetof(struct definition_adapter, member)

static const struct json_key bandwidth_keys[] = {
	{ .name = "egress",
	  .read = json_read_uint64,
	  .offset = ADAPTER(egress),
	  .minimum = DEFINITION_BANDWIDTH_MIN,
	  .maximum = DEFINITION_BANDWIDTH_MAX },
	{ .name = "ingress",
	  .read = json_read_uint64,
	  .offset = ADAPTER(ingress),
	  .minimum = DEFINITION_BANDWIDTH_MIN,
	  .maximum = DEFINITION_BANDWIDTH_MAX },
};
static const struct json_key_table bandwidth_table = { bandwidth_keys, ARRAY_SIZE(bandwidth_keys) };

static const struct json_key adapter_keys[] = {
	{ .name = "name",
	  .read = json_read_string,
	  .offset = ADAPTER(name),
	  .minimum = 1,
	  .maximum = DEFINITION_ADAPTER_NAME_MAX,
	  .detail = &name_rule },
	{ .name = "mac", .read = read_mac, .offset = ADAPTER(mac) },
	{ .name = "instance", .read = json_read_guid, .offset = ADAPTER(instance) },
	{ .name = "switch",
	  .read = json_read_string,
	  .offset = ADAPTER(switch_name),
	  .minimum = 1,
	  .maximum = DEFINITION_SWITCH_NAME_MAX,
	  .detail = &switch_rule },
	{ .name = "tap",
	  .read = json_read_string,
	  .offset = ADAPTER(tap),
	  .minimum = 1,
	  .maximum = IFNAMSIZ - 1,
	  .detail = &interface_rule },
	{ .name = "forward", .read = read_forwards },
	{ .name = "host_loopback", .read = json_read_bool, .offset = ADAPTER(host_loopback) },
	{ .name = "vlan", .read = read_vlan, .offset = ADAPTER(vlan) },
	{ .name = "mac_spoofing", .read = json_read_bool, .offset = ADAPTER(mac_spoofing) },
	{ .name = "dhcp_guard", .read = json_read_bool, .offset = ADAPTER(dhcp_guard) },
	{ .name = "router_guard", .read = json_read_bool, .offset = ADAPTER(router_guard) },
	{ .name = "link_protocols", .read = json_read_bool, .offset = ADAPTER(link_protocols) },
	{ .name = "port_isolation", .read = json_read_bool, .offset = ADAPTER(isolated) },
	{ .name = "addresses", .read = read_pins },
	{ .name = "bandwidth", .read = json_read_members, .detail = &bandwidth_table },
	{ .name = "mtu",
	  .read = json_read_unsigned,
	  .offset = ADAPTER(mtu),
	  .minimum = DEFINITION_MTU_MIN,
	  .maximum = DEFINITION_MTU_MAX },
	{ .name = "queues",
	  .read = json_read_unsigned,
	  .offset = ADAPTER(queues),
	  .maximum = DEFINITION_ADAPTER_QUEUES_MAX },
};

void definition_adapter_deinit(struct definition_adapter *adapter)
{
	free(adapter->name);
	free(adapter->switch_name);
	free(adapter->tap);
	*adapter = (struct definition_adapter){ 0 };
}

/* The first "nicN" that is not taken. */
static int adapter_name(struct definition_adapter *adapter,
			const struct definition_network *network)
{
	char name[DEFINITION_ADAPTER_NAME_MAX];
	unsigned number = 0;

	do
		snprintf(name, sizeof(name), "nic%u", number++);
	while (network && definition_find_adapter((struct definition_network *)network, name));
	adapter->name = strdup(name);
	return adapter->name ? 0 : -ENOMEM;
}

/* Refuses the member `name` of the adapter. */
static int refuse_member(struct json_reader *reader, struct json_object *object, const char *name,
			 const char *message)
{
	struct json_object *value = object;

	json_object_object_get_ex(object, name, &value);
	json_enter_key(reader, name);
	return json_refuse(reader, value, "%s", message);
}

static int adapter_check(struct json_reader *reader, struct json_object *object,
			 const struct definition_adapter *adapter)
{
	bool user_mode =
		!adapter->tap && strcmp(adapter->switch_name, DEFINITION_SWITCH_DEFAULT) == 0;

	if (adapter->tap && json_object_object_get_ex(object, "switch", NULL))
		return refuse_member(reader, object, "tap",
				     "stands in place of a switch; leave one of the two out");
	if (adapter->forward_count && !user_mode)
		return refuse_member(reader, object, "forward",
				     "goes with the switch \"default\" alone");
	if (adapter->host_loopback && !user_mode)
		return refuse_member(reader, object, "host_loopback",
				     "goes with the switch \"default\" alone");
	if (adapter->vlan.mode != DEFINITION_VLAN_NONE && user_mode)
		return refuse_member(reader, object, "vlan",
				     "goes with a virtual switch; \"default\" has no VLANs");
	if (adapter->pin_count && user_mode)
		return refuse_member(reader, object, "addresses",
				     "goes with a virtual switch; \"default\" gives the guest its "
				     "address");
	if (adapter->isolated && user_mode)
		return refuse_member(reader, object, "port_isolation",
				     "goes with a virtual switch; nobody else is on \"default\"");
	if (adapter->pin_count && adapter->mac_spoofing)
		return refuse_member(reader, object, "addresses",
				     "goes with one MAC address; leave mac_spoofing out");
	return 0;
}

static int adapter_read(struct json_reader *reader, struct json_object *object,
			const struct definition_network *network,
			struct definition_adapter *ret_adapter)
{
	struct definition_adapter adapter = { .mtu = DEFINITION_MTU_DEFAULT };
	int r = -ENOMEM;

	adapter.switch_name = strdup(DEFINITION_SWITCH_DEFAULT);
	if (adapter.switch_name)
		r = json_read(reader, object, adapter_keys, ARRAY_SIZE(adapter_keys), &adapter);
	if (r == 0)
		r = adapter_check(reader, object, &adapter);
	if (r == 0 && !adapter.name)
		r = adapter_name(&adapter, network);
	if (r < 0) {
		definition_adapter_deinit(&adapter);
		return r;
	}
	*ret_adapter = adapter;
	return 0;
}

int definition_adapter_from_json(struct json_object *object,
				 const struct definition_network *network,
				 struct definition_adapter *ret_adapter,
				 struct json_error *ret_error)
{
	struct json_reader reader = JSON_READER(ret_error);

	return adapter_read(&reader, object, network, ret_adapter);
}

unsigned definition_adapter_queues(const struct definition_adapter *adapter, unsigned processors)
{
	unsigned queues = adapter->queues ? adapter->queues : DEFINITION_ADAPTER_QUEUES_MAX;

	return MAX(1u, MIN(queues, processors));
}

/* ---- Networks ---- */

struct definition_adapter *definition_find_adapter(struct definition_network *network,
						   const char *name)
{
	for (unsigned i = 0; i < network->adapter_count; i++)
		if (strcmp(network->adapters[i].name, name) == 0)
			return &network->adapters[i];
	return NULL;
}

static bool mac_is_taken(const struct definition_network *network, const uint8_t *mac)
{
	if (definition_mac_is_null(mac))
		return false;
	for (unsigned i = 0; i < network->adapter_count; i++)
		if (memcmp(network->adapters[i].mac, mac, DEFINITION_MAC_SIZE) == 0)
			return true;
	return false;
}

int definition_add_adapter(struct definition_network *network, struct definition_adapter *adapter)
{
	if (definition_find_adapter(network, adapter->name) || mac_is_taken(network, adapter->mac))
		return -EEXIST;
	if (network->adapter_count == DEFINITION_ADAPTERS_MAX)
		return -ENOSPC;
	network->adapters[network->adapter_count++] = *adapter;
	*adapter = (struct definition_adapter){ 0 };
	return 0;
}

void definition_remove_adapter(struct definition_network *network,
			       struct definition_adapter *adapter)
{
	size_t index = (size_t)(adapter - network->adapters);

	definition_adapter_deinit(adapter);
	network->adapter_count--;
	memmove(adapter, adapter + 1, (network->adapter_count - index) * sizeof(*adapter));
}

void definition_network_deinit(struct definition_network *network)
{
	while (network->adapter_count > 0)
		definition_adapter_deinit(&network->adapters[--network->adapter_count]);
}

static int read_adapter(struct json_reader *reader, struct json_object *element, void *target)
{
	struct definition_network *network = target;
	struct definition_adapter adapter;
	int r;

	r = adapter_read(reader, element, network, &adapter);
	if (r < 0)
		return r;
	r = definition_add_adapter(network, &adapter);
	if (r < 0)
		r = json_refuse(reader, element,
				"has the name \"%s\" or the MAC address of an adapter before it",
				adapter.name);
	definition_adapter_deinit(&adapter);
	return r;
}

int definition_network_read(struct json_reader *reader, const struct json_key *key,
			    struct json_object *value, void *target)
{
	return read_array(reader, value, DEFINITION_ADAPTERS_MAX, "network adapters", read_adapter,
			  target);
}
