/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Key-value pairs: the host reads and writes what a guest keeps in its pools.
 *
 * The guest sends a request back with what was asked for written into it, and the outcome in the
 * header's status. Text is UTF-16, sizes count bytes and include the NUL.
 * Source: Linux include/uapi/linux/hyperv.h (struct hv_kvp_msg, struct hv_kvp_ip_msg),
 * drivers/hv/hv_kvp.c, tools/hv/hv_kvp_daemon.c.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/guid.h"

#include <stdint.h>

#define IC_KVP_TYPE GUID(0xa9a0f4e7, 0x5a45, 0x4d96, 0xb8, 0x27, 0x8a, 0x84, 0x1e, 0x8c, 0x03, 0xe6)
#define IC_KVP_INSTANCE \
	GUID(0x242ff919, 0x07db, 0x4180, 0x9c, 0x2e, 0xb8, 0x6c, 0xb6, 0x8c, 0x8c, 0x55)

enum ic_kvp_operation {
	IC_KVP_GET = 0,
	IC_KVP_SET = 1,
	IC_KVP_DELETE = 2,
	IC_KVP_ENUMERATE = 3,
	IC_KVP_GET_ADDRESSES = 4, /* from version 4.0 on */
	IC_KVP_SET_ADDRESSES = 5, /* likewise */
};

enum ic_kvp_pool {
	IC_KVP_POOL_EXTERNAL = 0,      /* the host writes, the guest reads */
	IC_KVP_POOL_GUEST = 1,         /* the guest writes, the host reads */
	IC_KVP_POOL_AUTO = 2,          /* what the guest's services know by themselves */
	IC_KVP_POOL_AUTO_EXTERNAL = 3, /* what the host's do */
	IC_KVP_POOL_AUTO_INTERNAL = 4,
};

enum ic_kvp_value_type {
	IC_KVP_TEXT = 1,
	IC_KVP_UINT32 = 4,
	IC_KVP_UINT64 = 8,
};

/* Statuses beside IC_STATUS_OK and IC_STATUS_FAIL. Linux uses the first for "no such key", too. */
#define IC_KVP_STATUS_NO_MORE_ITEMS 0x80070103u
#define IC_KVP_STATUS_NO_FILE       0x80070002u
#define IC_KVP_STATUS_NO_ELEMENT    0x80070490u
#define IC_KVP_STATUS_NO_GUID       0x80041002u

struct ic_kvp_header {
	uint8_t operation; /* enum ic_kvp_operation */
	uint8_t pool;      /* enum ic_kvp_pool */
	uint16_t reserved;
} PACKED;
_Static_assert(sizeof(struct ic_kvp_header) == 4, "wire format");

#define IC_KVP_KEY_SIZE   512  /* bytes */
#define IC_KVP_VALUE_SIZE 2048 /* bytes */

struct ic_kvp_item {
	uint32_t type; /* enum ic_kvp_value_type */
	uint32_t key_size;
	uint32_t value_size;
	uint8_t key[IC_KVP_KEY_SIZE];
	uint8_t value[IC_KVP_VALUE_SIZE];
} PACKED;
_Static_assert(sizeof(struct ic_kvp_item) == 2572, "wire format");

/* Body of IC_MESSAGE_KVP, but for addresses. */
struct ic_kvp_body {
	struct ic_kvp_header header;
	union {
		struct ic_kvp_item item; /* IC_KVP_GET, IC_KVP_SET */
		struct {
			uint32_t key_size;
			uint8_t key[IC_KVP_KEY_SIZE];
		} PACKED delete;
		struct {
			uint32_t index; /* from 0 on */
			struct ic_kvp_item item;
		} PACKED enumerate;
	};
} PACKED;
_Static_assert(sizeof(struct ic_kvp_body) == 2580, "wire format");

#define IC_KVP_ADDRESS_NONE 0u
#define IC_KVP_ADDRESS_IPV4 1u
#define IC_KVP_ADDRESS_IPV6 2u

/* Body of IC_MESSAGE_KVP for addresses. Lists are separated by semicolons. */
struct ic_kvp_address_body {
	uint8_t operation;
	uint8_t pool;
	uint16_t adapter[128]; /* to get: MAC address "00:15:5d:…"; to set: the adapter's GUID */
	uint8_t family;        /* IC_KVP_ADDRESS_ */
	uint8_t dhcp;
	uint16_t addresses[1024];
	uint16_t masks[1024];
	uint16_t gateways[512];
	uint16_t name_servers[1024];
} PACKED;
_Static_assert(sizeof(struct ic_kvp_address_body) == 7428, "wire format");
_Static_assert(offsetof(struct ic_kvp_address_body, addresses) == 260, "wire format");
