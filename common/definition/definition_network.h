/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The network adapters in the definition of a VM: "network_adapters", a list of objects.
 *
 * What an adapter is connected to is named by "switch": DEFINITION_SWITCH_DEFAULT, the user-mode
 * network that needs no set-up; DEFINITION_SWITCH_NONE, nothing; or a virtual switch. "tap", for a
 * worker that is run by hand, names an interface of the host in place of a switch.
 *
 * A struct definition_adapter owns its strings.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/guid.h"
#include "common/base/json.h"
#include "common/definition/definition_address.h"

#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DEFINITION_ADAPTERS_MAX       8
#define DEFINITION_ADAPTER_NAME_MAX   32 /* bytes */
#define DEFINITION_ADAPTER_QUEUES_MAX 16
#define DEFINITION_FORWARDS_MAX       64 /* of one adapter */
#define DEFINITION_VLAN_MAX           4094
#define DEFINITION_TRUNK_MAX          64 /* VLANs of one adapter */
#define DEFINITION_PINS_MAX           16 /* addresses of one adapter */
#define DEFINITION_MTU_MIN            576
#define DEFINITION_MTU_MAX            9216
#define DEFINITION_MTU_DEFAULT        1500
#define DEFINITION_BANDWIDTH_MIN      UINT64_C(8000)          /* bits/s */
#define DEFINITION_BANDWIDTH_MAX      UINT64_C(1000000000000) /* bits/s */
#define DEFINITION_MAC_SIZE           6
#define DEFINITION_MAC_TEXT_SIZE      18 /* with the NUL */
#define DEFINITION_SWITCH_NAME_MAX    32 /* bytes */

#define DEFINITION_SWITCH_DEFAULT "default"
#define DEFINITION_SWITCH_NONE    "none"
#define DEFINITION_TAP_NULL       "/dev/null"

/* Generated addresses begin so: locally administered, and the project's own choice. */
#define DEFINITION_MAC_PREFIX 0x02, 0x56, 0x4d

enum definition_protocol { DEFINITION_PROTOCOL_TCP, DEFINITION_PROTOCOL_UDP };

/* An address of the host, as inet_ntop(3) writes it; of all of them, of IPv4 and IPv6. */
#define DEFINITION_ADDRESS_SIZE    INET6_ADDRSTRLEN
#define DEFINITION_ADDRESS_ANY     "*"
#define DEFINITION_ADDRESS_FORWARD "127.0.0.1" /* where no address is named */

/* "2222:22", "udp:[::1]:5353:53", "*:80:80": a port of the host is the guest's. */
struct definition_forward {
	enum definition_protocol protocol;
	uint16_t host_port, guest_port;
	char address[DEFINITION_ADDRESS_SIZE]; /* that is listened on; zero-filled */
};

enum definition_vlan_mode {
	DEFINITION_VLAN_NONE,   /* frames go as they are, untagged ones to the switch's own VLAN */
	DEFINITION_VLAN_ACCESS, /* {"access": 10} */
	DEFINITION_VLAN_TRUNK,  /* {"trunk": [10, 20], "native": 1}; native may be left out */
};

struct definition_vlan {
	enum definition_vlan_mode mode;
	unsigned access;
	unsigned native; /* of untagged frames; 0: they are dropped */
	unsigned trunk[DEFINITION_TRUNK_MAX];
	unsigned trunk_count;
};

struct definition_adapter {
	char *name;                       /* letters, digits, '-', '_', '.'; default "nic0", … */
	uint8_t mac[DEFINITION_MAC_SIZE]; /* all zero if the text had none */
	struct guid instance;             /* what the guest sees; all zero: derived */
	char *switch_name;                /* "switch"; never NULL */
	char *tap;                        /* NULL: none; then switch_name counts */
	struct definition_forward forwards[DEFINITION_FORWARDS_MAX];
	unsigned forward_count; /* of the user-mode network alone, and so is the next */
	bool host_loopback;     /* the guest's router is the host, its loopback services included */
	struct definition_vlan vlan;
	bool mac_spoofing, dhcp_guard, router_guard;
	bool link_protocols; /* frames to bridges and switches pass, and PPPoE */
	bool isolated;       /* "port_isolation": not heard by other such ports of the switch */
	struct definition_address pins[DEFINITION_PINS_MAX]; /* "addresses": all that it may have */
	unsigned pin_count;                                  /* 0: whatever it likes */
	uint64_t egress, ingress; /* "bandwidth": bits/s out of and into the guest; 0: no limit */
	unsigned mtu;             /* that the guest begins with */
	unsigned queues;          /* 0: one per vp, at most DEFINITION_ADAPTER_QUEUES_MAX */
};

struct definition_network {
	struct definition_adapter adapters[DEFINITION_ADAPTERS_MAX];
	unsigned adapter_count;
};

/* A json_read_fn: "network_adapters" into the struct definition_network at `target`. */
int definition_network_read(struct json_reader *reader, const struct json_key *key,
			    struct json_object *value, void *target);
struct json_object *definition_network_to_json(const struct definition_network *network);
void definition_network_deinit(struct definition_network *network);

/*
 * One adapter, which the caller deinits, from {"name": …}, all of whose keys may be left out;
 * without a name it gets the first free "nicN" of the network, which may be NULL. Return: 0;
 * -EINVAL with *ret_error filled; -ENOMEM.
 */
int definition_adapter_from_json(struct json_object *object,
				 const struct definition_network *network,
				 struct definition_adapter *ret_adapter,
				 struct json_error *ret_error) MUST_CHECK;
struct json_object *definition_adapter_to_json(const struct definition_adapter *adapter);
void definition_adapter_deinit(struct definition_adapter *adapter);

/* The adapter of that name, or NULL. */
struct definition_adapter *definition_find_adapter(struct definition_network *network,
						   const char *name);

/*
 * Takes over the strings of *adapter on success. Return: 0; -EEXIST: there is one of its name, or
 * of its MAC address; -ENOSPC.
 */
int definition_add_adapter(struct definition_network *network,
			   struct definition_adapter *adapter) MUST_CHECK;

/* adapter: from definition_find_adapter(); other such pointers are void afterwards. */
void definition_remove_adapter(struct definition_network *network,
			       struct definition_adapter *adapter);

bool definition_adapter_name_is_valid(const char *name);

/* A name that a virtual switch may have: not one of the two reserved ones. */
bool definition_switch_name_is_valid(const char *name);

/* How many queues the adapter has in a VM of so many vps. */
unsigned definition_adapter_queues(const struct definition_adapter *adapter, unsigned processors);

/* "02:56:4d:00:00:01", with ':' or '-'. Return: 0; -EINVAL: not a unicast address. */
int definition_mac_parse(const char *text, uint8_t ret_mac[static DEFINITION_MAC_SIZE]) MUST_CHECK;
void definition_mac_format(const uint8_t mac[static DEFINITION_MAC_SIZE],
			   char text[static DEFINITION_MAC_TEXT_SIZE]);
bool definition_mac_is_null(const uint8_t mac[static DEFINITION_MAC_SIZE]);

/* "[tcp:|udp:][ADDRESS:]HOST:GUEST", an IPv6 address in brackets. Return: 0, -EINVAL. */
int definition_forward_parse(const char *text, struct definition_forward *ret_forward) MUST_CHECK;

/* With its address, named or not. */
#define DEFINITION_FORWARD_TEXT_SIZE (DEFINITION_ADDRESS_SIZE + 24)
void definition_forward_format(const struct definition_forward *forward,
			       char text[static DEFINITION_FORWARD_TEXT_SIZE]);

/* As passt(1) has it: its option, and "ADDRESS/HOST:GUEST". */
const char *definition_forward_option(const struct definition_forward *forward,
				      char text[static DEFINITION_FORWARD_TEXT_SIZE]);
