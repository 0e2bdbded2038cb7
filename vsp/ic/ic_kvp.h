/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The key-value pair service: reads and writes what a guest keeps in its pools, and knows from
 * them what runs in the guest.
 *
 * Operations wait for each other, as the guest takes one request at a time. All text is UTF-8;
 * what comes from the guest has been made so, and is bounded.
 *
 * Thread: the loop's. Callbacks may start operations, but not free the service.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/cleanup.h"
#include "common/wire/ic_kvp.h"
#include "vsp/vmbus/vmbus.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ic_kvp;

#define IC_KVP_KEY_MAX   (IC_KVP_KEY_SIZE / 2 * 3 + 1)   /* bytes of UTF-8 with the NUL */
#define IC_KVP_VALUE_MAX (IC_KVP_VALUE_SIZE / 2 * 3 + 1) /* likewise */
#define IC_KVP_PAIRS_MAX 1024 /* of a pool; a guest that has more is not asked for them */
#define IC_KVP_QUEUE_MAX 16   /* operations under way and waiting */

/*
 * How often the guest is asked about itself: soon after something may have changed, then ever more
 * rarely, so that an idle guest is left in peace.
 */
#define IC_KVP_SOON_NS    (2ull * 1000 * 1000 * 1000)
#define IC_KVP_REFRESH_NS (60ull * 1000 * 1000 * 1000)

/* For the answer to one request: Linux gives its daemon 30 seconds, and then answers itself. */
#define IC_KVP_TIMEOUT_NS (40ull * 1000 * 1000 * 1000)

/* What the guest tells of itself in IC_KVP_POOL_AUTO; "" where it does not. */
#define IC_KVP_GUEST_TEXT_MAX 1024
struct ic_kvp_guest {
	char host_name[IC_KVP_GUEST_TEXT_MAX];  /* fully qualified where the guest knows */
	char os_name[IC_KVP_GUEST_TEXT_MAX];    /* such as "Debian GNU/Linux" */
	char os_version[IC_KVP_GUEST_TEXT_MAX]; /* of Linux: its kernel's, without the suffix */
	char os_major[IC_KVP_GUEST_TEXT_MAX];   /* of Linux: the distribution's version, "12" */
	char os_build[IC_KVP_GUEST_TEXT_MAX];   /* of Linux: its kernel's release */
	char architecture[IC_KVP_GUEST_TEXT_MAX];
	char services_version[IC_KVP_GUEST_TEXT_MAX];
	char ipv4[IC_KVP_GUEST_TEXT_MAX]; /* addresses with semicolons between them */
	char ipv6[IC_KVP_GUEST_TEXT_MAX]; /* likewise */
};

struct ic_kvp_callbacks {
	/* The guest tells other things of itself than before; all empty: it has left. */
	void (*guest)(void *data, const struct ic_kvp_guest *guest);

	/* It has been asked, and has told all, changed or not. Optional. */
	void (*refreshed)(void *data);
};

struct ic_kvp_options {
	uint64_t refresh_ns; /* 0: IC_KVP_REFRESH_NS */
	uint64_t timeout_ns; /* 0: IC_KVP_TIMEOUT_NS */
	uint64_t soon_ns;    /* 0: IC_KVP_SOON_NS */
};

/* Borrows bus and callbacks; options may be NULL. Return: 0, -errno. */
int ic_kvp_new(struct vmbus *bus, const struct ic_kvp_options *options,
	       const struct ic_kvp_callbacks *callbacks, void *data,
	       struct ic_kvp **ret_kvp) MUST_CHECK;

/* After vmbus_reset() is done. */
void ic_kvp_free(struct ic_kvp *kvp);
DEFINE_CLEANUP(struct ic_kvp *, ic_kvp_free)

/* For what all services have, vsp/ic/ic.h. */
struct ic_service;
struct ic_service *ic_kvp_service(struct ic_kvp *kvp);

/* As ic_service_inspect(). */
struct json_object;
struct json_object *ic_kvp_inspect(const struct ic_kvp *kvp);

bool ic_kvp_is_connected(const struct ic_kvp *kvp);
const struct ic_kvp_guest *ic_kvp_guest(const struct ic_kvp *kvp);

/* What the guest tells of itself may be about to change: it is asked soon. */
void ic_kvp_refresh_soon(struct ic_kvp *kvp);

/* ---- Operations ---- */

#define IC_KVP_ADDRESSES_MAX (1024 * 3 + 1) /* bytes of UTF-8 with the NUL */

/* Addresses of one of the guest's adapters; lists with semicolons between them. */
struct ic_kvp_addresses {
	char addresses[IC_KVP_ADDRESSES_MAX], masks[IC_KVP_ADDRESSES_MAX];
	char gateways[512 * 3 + 1], name_servers[IC_KVP_ADDRESSES_MAX];
	bool dhcp;
};

/* What an operation calls; those that it has no use for may be NULL. */
struct ic_kvp_handler {
	/* A pair: once for get, and for each of enumerate. */
	void (*pair)(void *data, const char *key, const char *value);
	void (*addresses)(void *data, const struct ic_kvp_addresses *addresses);

	/*
	 * Once, the last call, perhaps before the operation's function returns: 0 or IC_E_.
	 * IC_E_ABSENT: no such key, or adapter.
	 */
	void (*done)(void *data, int result);
};

/*
 * Start an operation; the handler is borrowed until `done`. Return: 0; -ENOTCONN: the service is
 * not connected; -EBUSY: IC_KVP_QUEUE_MAX wait; -EINVAL: key or value is not UTF-8, or longer than
 * the wire allows (255 and 1023 units of UTF-16), or the key is empty; -EOPNOTSUPP: the guest's
 * version of the service has no such operation; -ENOMEM.
 */
int ic_kvp_get(struct ic_kvp *kvp, enum ic_kvp_pool pool, const char *key,
	       const struct ic_kvp_handler *handler, void *data) MUST_CHECK;
int ic_kvp_set(struct ic_kvp *kvp, enum ic_kvp_pool pool, const char *key, const char *value,
	       const struct ic_kvp_handler *handler, void *data) MUST_CHECK;
int ic_kvp_delete(struct ic_kvp *kvp, enum ic_kvp_pool pool, const char *key,
		  const struct ic_kvp_handler *handler, void *data) MUST_CHECK;
int ic_kvp_enumerate(struct ic_kvp *kvp, enum ic_kvp_pool pool,
		     const struct ic_kvp_handler *handler, void *data) MUST_CHECK;

/* Of the adapter with that MAC address. */
int ic_kvp_get_addresses(struct ic_kvp *kvp, const uint8_t mac[static 6],
			 const struct ic_kvp_handler *handler, void *data) MUST_CHECK;

/* ---- For vsp/ic/ic_kvp.c ---- */

/* Takes a pair of IC_KVP_POOL_AUTO into the struct, if it is one that belongs there. */
void ic_kvp_guest_take(struct ic_kvp_guest *guest, const char *key, const char *value);
