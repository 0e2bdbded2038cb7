/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A host for guest-vsc/'s drivers, in one process with them, that a test can have lie.
 *
 * It stands in for the machine: hypercalls, the clock, MSRs. Memory is the process's own, a guest
 * physical address a pointer. What a driver posts is answered at once, as an honest host does,
 * unless the test's `posted` does it. Nothing interrupts: a driver that halts ends the test. The
 * clock goes on with every look, so that who waits in vain has soon waited long enough.
 *
 * One channel is open at a time. What a driver received is poisoned behind its end, for
 * AddressSanitizer to see who reads on.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/guid.h"
#include "common/wire/ring.h"
#include "common/wire/tlfs.h"
#include "guest-vsc/client_channel.h"
#include "guest-vsc/vmbus_client.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CLIENT_HOST_MESSAGES 128
#define CLIENT_HOST_GPADLS   4
#define CLIENT_HOST_PAGES    512         /* of a GPADL */
#define CLIENT_HOST_TICK     10000000ull /* nanoseconds that a look at the clock takes */
#define CLIENT_HOST_RELID    5           /* of the channel that client_host_start() offers */
#define CLIENT_HOST_STALE    0xa5        /* every byte of a message's slot behind its end */

struct client_host_gpadl {
	uint32_t id; /* 0: the place is free */
	unsigned wanted, count;
	uint8_t *pages[CLIENT_HOST_PAGES];
};

struct client_host {
	struct vmbus_client bus; /* the guest's */

	/* The test's, each optional. Return: true: it has answered, or will not. */
	bool (*posted)(const void *message, size_t size);
	/* The doorbell of the open channel. */
	void (*signalled)(void);

	struct guid offered;
	bool open;
	struct ring to_guest, from_guest;
	struct client_host_gpadl gpadls[CLIENT_HOST_GPADLS];
	uint32_t released; /* the last relid that the guest gave back */
	uint64_t now;

	struct hv_message messages[CLIENT_HOST_MESSAGES];
	unsigned message_count;
};

extern struct client_host client_host;

/* A new machine, and a guest that is connected and has been offered one device. */
void client_host_start(const struct guid *type);

/* A new machine, and a guest that has not connected. */
void client_host_reset(const struct guid *type);

/* Sends a message of the bus, or whatever lies in a slot; size: what the slot says of it. */
void client_host_post(const void *message, size_t size);
void client_host_deliver(const struct hv_message *message);
void client_host_offer(const struct guid *type, uint32_t relid);

/* Return: false: the ring has no room. */
bool client_host_send(const struct ring_packet *packet);
bool client_host_send_inband(const void *payload, size_t size);
bool client_host_complete(uint64_t transaction_id, const void *payload, size_t size);

/* The guest's next packet, into a buffer of its own. Return: NULL: there is none. */
const struct ring_packet *client_host_receive(void);

/* The memory that the guest has shared; NULL: it has not. */
struct client_host_gpadl *client_host_find_gpadl(uint32_t id);

/* Page-aligned memory for a driver's rings, that of the last caller no longer in use. */
struct client_channel_memory client_host_rings(unsigned pages);
