/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The key-value pair service: pools of pairs, which the program and the host read and write.
 *
 * IC_KVP_POOL_AUTO is what the guest says of itself, and the host only reads. The program's texts
 * are ASCII; a pair that the host writes may be any UTF-16.
 * Source: Linux drivers/hv/hv_kvp.c, tools/hv/hv_kvp_daemon.c.
 */
#pragma once

#include "common/base/cc.h"
#include "common/wire/ic_kvp.h"
#include "guest-vsc/ic_client.h"

#include <stdbool.h>
#include <stdint.h>

#define IC_KVP_CLIENT_PAIRS_MAX 64 /* of all pools */

extern const struct ic_client_kind ic_kvp_client_kind;

struct ic_kvp_pair {
	uint8_t pool; /* enum ic_kvp_pool */
	uint16_t key_size, value_size;
	uint8_t key[IC_KVP_KEY_SIZE], value[IC_KVP_VALUE_SIZE];
};

struct ic_kvp_client {
	struct ic_client ic;
	unsigned pair_count;
	struct ic_kvp_pair pairs[IC_KVP_CLIENT_PAIRS_MAX]; /* in the order they came */
};

/* After ic_client_open(). Return: false if a text is too long, or there is no room. */
bool ic_kvp_client_set(struct ic_kvp_client *kvp, enum ic_kvp_pool pool, const char *key,
		       const char *value) MUST_CHECK;

/* Whether the pool has the pair. */
bool ic_kvp_client_has(const struct ic_kvp_client *kvp, enum ic_kvp_pool pool, const char *key,
		       const char *value);
