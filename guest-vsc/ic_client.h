/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The guest's end of an integration service: agrees on versions, and answers what the host asks.
 *
 * What one service does with a request is its kind's (ic_services.h, ic_kvp_client.h,
 * ic_file_copy_client.h), whose struct begins with a struct ic_client. Nothing happens but in
 * ic_client_poll(): a guest calls that for all its services whenever one has something, and halts
 * in client_channel_wait_any() meanwhile. Source: Linux drivers/hv/hv_util.c,
 * drivers/hv/channel_mgmt.c (vmbus_prep_negotiate_resp()).
 *
 * Errors: 0, or an IC_CLIENT_E_ code.
 */
#pragma once

#include "common/base/cc.h"
#include "common/wire/ic.h"
#include "guest-vsc/client_channel.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	_IC_CLIENT_E_OK,
	IC_CLIENT_E_ABSENT, /* the host does not offer the service */
	IC_CLIENT_E_BUS,    /* the channel could not be opened: see the vmbus_client */
	IC_CLIENT_E_RING,   /* the ring is broken */
};

#define IC_CLIENT_RING_PAGES 8    /* for both directions, as Linux has them */
#define IC_CLIENT_PACKET_MAX 8192 /* bytes; the longest request has some 7,500 */

/* As `newest`: every version that the client knows. */
#define IC_CLIENT_NEWEST ((struct ic_version){ UINT16_MAX, UINT16_MAX })

struct ic_client;

struct ic_client_kind {
	struct guid type;
	uint16_t message_type; /* enum ic_message_type */
	const struct ic_version *versions;
	size_t version_count; /* newest first */
	/*
	 * Writes the answer to a request over its body, of `size` bytes, which may be any number.
	 * Return: the answer's status.
	 */
	uint32_t (*serve)(struct ic_client *client, void *body, size_t size);
};

struct ic_client {
	const struct ic_client_kind *kind;
	struct client_channel channel;
	struct ic_version newest;                     /* none newer is agreed on */
	struct ic_version framework_version, version; /* agreed on; 0.0: none yet */
	uint64_t requests, failures; /* answered; of these with a status that is no success */
	uint64_t strays;             /* packets that are no requests, and were left unanswered */
	uint64_t lost;               /* answers that the host has left no room for */
};

/* Opens the service's channel. Return: E_ABSENT, E_BUS. */
int ic_client_open(struct ic_client *client, const struct ic_client_kind *kind,
		   struct vmbus_client *bus, struct ic_version newest,
		   struct client_channel_memory memory) MUST_CHECK;

/* Answers what requests there are. Return: E_RING. */
int ic_client_poll(struct ic_client *client) MUST_CHECK;

/* Whether versions have been agreed on, and on that one or a newer one. */
bool ic_client_is_connected(const struct ic_client *client);
bool ic_client_has_version(const struct ic_client *client, uint16_t major, uint16_t minor);
