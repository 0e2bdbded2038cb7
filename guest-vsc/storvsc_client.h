/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The guest's end of a synthetic SCSI controller: many requests in flight over one or more
 * channels. disk_client.h makes disks of it. Source: Linux drivers/scsi/storvsc_drv.c.
 *
 * Errors: 0, or a STORVSC_CLIENT_E_ code. What a request came to is in the request.
 */
#pragma once

#include "common/base/cc.h"
#include "common/wire/scsi.h"
#include "common/wire/storvsp.h"
#include "guest-vsc/client_channel.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	_STORVSC_CLIENT_E_OK,
	STORVSC_CLIENT_E_BUS,      /* the channel could not be opened: see the vmbus_client */
	STORVSC_CLIENT_E_PROTOCOL, /* the host answered something else than it may */
	STORVSC_CLIENT_E_REFUSED,  /* `status` of the client is the host's */
	STORVSC_CLIENT_E_FULL,     /* no room in the ring or the table: poll, and try again */
	STORVSC_CLIENT_E_TOO_BIG,  /* the request never fits */
	STORVSC_CLIENT_E_TIMEOUT,
	STORVSC_CLIENT_E_RING, /* the ring is broken */
};

#define STORVSC_CLIENT_REQUESTS_MAX 512 /* in flight */
#define STORVSC_CLIENT_CHANNELS_MAX 4
#define STORVSC_CLIENT_PAGES_MAX    514 /* of one request: 2 MiB and a bit */

extern const struct guid storvsc_device_type;

struct storvsc_request {
	/* What to do. */
	uint8_t path, target, lun;
	uint8_t cdb_length;
	uint8_t cdb[STORVSP_CDB_SIZE];
	enum storvsp_direction direction;
	void *buffer;          /* stays the request's until it is done */
	uint32_t size;         /* bytes; 0: no data */
	const uint64_t *pages; /* frame numbers in place of those that follow buffer's; or NULL */
	void (*complete)(struct storvsc_request *request); /* called when done; or NULL */

	/* What came of it. */
	bool done;
	uint32_t status; /* of the packet: STORVSP_STATUS_ */
	uint8_t srb_status, scsi_status, sense_length;
	uint32_t transferred;
	uint8_t sense[STORVSP_SENSE_SIZE];
};

struct storvsc_client {
	struct vmbus_client *bus;
	const struct vmbus_message_offer_channel *offer;
	uint16_t version; /* STORVSP_VERSION() */
	struct storvsp_properties properties;
	uint32_t status;
	struct client_channel channels[STORVSC_CLIENT_CHANNELS_MAX];
	unsigned channel_count;
	unsigned in_flight;
	uint64_t completions, strays; /* strays: completions of what was not under way */
	bool bus_changed;             /* the host said ENUMERATE_BUS */
	uint16_t free_count;
	uint16_t free_slots[STORVSC_CLIENT_REQUESTS_MAX];
	struct storvsc_request *requests[STORVSC_CLIENT_REQUESTS_MAX];
};

/*
 * Opens a controller's first channel and goes through the handshake, trying versions from
 * `newest` down. Return: E_BUS, E_PROTOCOL, E_REFUSED, E_TIMEOUT.
 */
int storvsc_client_open(struct storvsc_client *storage, struct vmbus_client *bus,
			const struct vmbus_message_offer_channel *offer, uint16_t newest,
			struct client_channel_memory memory) MUST_CHECK;

/*
 * Asks for `count` sub-channels and opens them; memory: count of them.
 * Return: as above; E_REFUSED also if the host has fewer.
 */
int storvsc_client_add_channels(struct storvsc_client *storage, unsigned count,
				const struct client_channel_memory *memory) MUST_CHECK;

/* Closes all channels. Requests in flight are forgotten. Return: E_BUS. */
int storvsc_client_close(struct storvsc_client *storage) MUST_CHECK;

/*
 * Stages a request on a channel; storvsc_client_flush() sends what is staged.
 * Return: E_FULL, E_TOO_BIG, E_RING.
 */
int storvsc_client_submit(struct storvsc_client *storage, unsigned channel,
			  struct storvsc_request *request) MUST_CHECK;
void storvsc_client_flush(struct storvsc_client *storage);

/* Takes in what completions there are. Return: how many, or -E_RING or -E_PROTOCOL. */
int storvsc_client_poll(struct storvsc_client *storage) MUST_CHECK;

/* Waits until a request is done, by polling, or if `halt` by interrupts on channel 0 alone. */
int storvsc_client_wait(struct storvsc_client *storage, const struct storvsc_request *request,
			bool halt) MUST_CHECK;

/* Submits on channel 0, flushes, and waits by polling. */
int storvsc_client_execute(struct storvsc_client *storage,
			   struct storvsc_request *request) MUST_CHECK;

/* Whether a request that is done succeeded. */
bool storvsc_request_succeeded(const struct storvsc_request *request);

/* Sense key, ASC and ASCQ as SCSI_SENSE() makes them, or SCSI_SENSE_NONE. */
uint32_t storvsc_request_sense(const struct storvsc_request *request);
