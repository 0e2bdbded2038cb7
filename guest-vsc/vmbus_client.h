/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The guest's end of VMBus: connects to the host, learns what it offers, shares memory with it.
 *
 * One connection, one vp. Messages are taken from the SynIC's slot by polling, whenever a function
 * here waits for an answer or vmbus_client_poll() is called; interrupts are not needed. Hypercalls
 * and SynIC must have been enabled. client_channel.h opens the channels.
 * Source: Linux include/linux/hyperv.h, drivers/hv/{connection,channel_mgmt,channel}.c.
 *
 * Errors: 0 or a VMBUS_CLIENT_E_ code.
 */
#pragma once

#include "common/base/cc.h"
#include "common/wire/tlfs.h"
#include "common/wire/vmbus.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	_VMBUS_CLIENT_E_OK,
	VMBUS_CLIENT_E_TIMEOUT, /* the host has not answered within VMBUS_CLIENT_TIMEOUT */
	VMBUS_CLIENT_E_REFUSED, /* the host said no: `status` of the client says how */
	VMBUS_CLIENT_E_POST,    /* HvCallPostMessage failed: `status` is the hv_status */
	VMBUS_CLIENT_E_LIMIT,   /* more than this client has room for */
};

#define VMBUS_CLIENT_TIMEOUT     (5 * 1000000000ull) /* nanoseconds */
#define VMBUS_CLIENT_OFFERS_MAX  64
#define VMBUS_CLIENT_ANSWERS_MAX 8

struct vmbus_client_offer {
	struct vmbus_message_offer_channel message; /* relid 0: the place is free */
	bool open;                                  /* a client_channel is */
	bool rescinded;                             /* taken back by the host while open */
};

struct vmbus_client {
	uint32_t version;       /* agreed with the host; 0: not connected */
	uint32_t connection_id; /* where messages are posted */
	uint32_t status;        /* of the last VMBUS_CLIENT_E_REFUSED or _POST */
	uint32_t next_gpadl;
	struct vmbus_client_offer offers[VMBUS_CLIENT_OFFERS_MAX];

	/* Messages other than offers and rescinds, until somebody waits for them. */
	struct hv_message answers[VMBUS_CLIENT_ANSWERS_MAX];
	unsigned answer_count;
	uint64_t messages_received, messages_lost;
	uint64_t strays; /* messages that make no sense, and were ignored */
};

void vmbus_client_init(struct vmbus_client *client);

/*
 * Agrees on the first of `versions` (newest first) that the host accepts.
 * Return: E_REFUSED if it accepts none; E_TIMEOUT; E_POST.
 */
int vmbus_client_connect(struct vmbus_client *client, const uint32_t *versions,
			 size_t count) MUST_CHECK;

/* All versions that this client speaks, newest first. */
extern const uint32_t vmbus_client_versions[];
extern const size_t vmbus_client_version_count;

/* Fills `offers`. */
int vmbus_client_request_offers(struct vmbus_client *client) MUST_CHECK;

/*
 * The offer of a type of device and of a sub-channel; `nth` counts those that fit, from 0.
 * NULL: not there, or rescinded. Valid until the offer is rescinded and its channel closed.
 */
const struct vmbus_message_offer_channel *vmbus_client_find(const struct vmbus_client *client,
							    const struct guid *type,
							    uint16_t sub_channel_index,
							    unsigned nth);

/* The same, of an instance of a device. Waits for the offer. Return: 0, or E_TIMEOUT. */
int vmbus_client_await_offer(struct vmbus_client *client, const struct guid *instance,
			     uint16_t sub_channel_index,
			     const struct vmbus_message_offer_channel **ret_offer) MUST_CHECK;

/* Leaves the host, which then closes and forgets everything. The client is as new after it. */
int vmbus_client_unload(struct vmbus_client *client) MUST_CHECK;

/*
 * Shares `size` bytes (whole pages) at a page-aligned address.
 * Return: E_REFUSED, E_TIMEOUT, E_POST.
 */
int vmbus_client_share(struct vmbus_client *client, uint32_t relid, void *memory, size_t size,
		       uint32_t *ret_gpadl) MUST_CHECK;
int vmbus_client_unshare(struct vmbus_client *client, uint32_t relid, uint32_t gpadl) MUST_CHECK;

/* ---- What the above is made of; also for tests that misbehave ---- */

/*
 * The channel of this relid has been opened or closed. A rescinded offer is given back to the host
 * when its channel is not or no longer open.
 */
void vmbus_client_set_open(struct vmbus_client *client, uint32_t relid, bool open);

/* Posts a message, again and again while the host has no buffer for it. Return: E_POST. */
int vmbus_client_post(struct vmbus_client *client, const void *message, size_t size) MUST_CHECK;

/* Takes what messages there are. */
void vmbus_client_poll(struct vmbus_client *client);

/*
 * Waits for a message of a type whose u32 at `key_offset` is `key`; key_offset 0: any of the type.
 * Others that come meanwhile are kept, or, when there are too many, lost. Return: 0, or E_TIMEOUT.
 */
int vmbus_client_await(struct vmbus_client *client, uint32_t type, size_t key_offset, uint32_t key,
		       void *ret_message, size_t size) MUST_CHECK;
