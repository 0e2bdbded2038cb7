/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The guest's end of a synthetic network adapter, with one channel or several: frames out of the
 * send buffer or out of the program's own pages, frames in by the receive buffer, RNDIS for the
 * rest.
 *
 * The memory of the receive buffer is the host's to write at any time: a message is copied before
 * it is looked at, and given back before netvsc_client_poll() returns.
 * Source: Linux drivers/net/hyperv/{netvsc.c,rndis_filter.c}.
 *
 * Errors: 0, or a NETVSC_CLIENT_E_ code.
 */
#pragma once

#include "common/base/cc.h"
#include "common/wire/nvsp.h"
#include "common/wire/rndis.h"
#include "guest-vsc/client_channel.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	_NETVSC_CLIENT_E_OK,
	NETVSC_CLIENT_E_ABSENT,   /* the host offers no adapter */
	NETVSC_CLIENT_E_BUS,      /* channel or memory: see the vmbus_client */
	NETVSC_CLIENT_E_PROTOCOL, /* the host sent something else than it may */
	NETVSC_CLIENT_E_REFUSED,  /* `status` of the client is the host's */
	NETVSC_CLIENT_E_FULL,     /* too many frames are under way: poll, and try again */
	NETVSC_CLIENT_E_TOO_BIG,  /* the frame never fits */
	NETVSC_CLIENT_E_TIMEOUT,
	NETVSC_CLIENT_E_RING, /* the ring is broken */
};

#define NETVSC_CLIENT_CHANNELS_MAX 4
#define NETVSC_CLIENT_SLOTS_MAX    64    /* frames under way to the host */
#define NETVSC_CLIENT_FRAME_MAX    9216u /* bytes */
#define NETVSC_CLIENT_VALUE_MAX    640u  /* bytes of an OID's value */

enum netvsc_client_way {
	NETVSC_CLIENT_BY_SECTION, /* copied to the send buffer */
	NETVSC_CLIENT_BY_PAGES,   /* the program's own pages, and a page with the header */
	NETVSC_CLIENT_BY_BOTH,    /* the header in the send buffer, the rest in the pages */
	NETVSC_CLIENT_WAYS,
};

struct netvsc_client_options {
	uint32_t newest; /* NVSP_VERSION_: none newer is tried */
	uint32_t mtu;    /* bytes; told from version 2 on */

	/* A frame of NDIS_ETHERNET_SIZE to NETVSC_CLIENT_FRAME_MAX bytes, in memory that is good
	 * until this returns. It must not poll. */
	void (*received)(void *data, const uint8_t *frame, uint32_t size);
	/* The host is done with a frame that was sent. It must not poll. */
	void (*sent)(void *data, const uint8_t *frame, bool accepted);
	void *data;
};

/* Page-aligned, whole pages; must live until the adapter is closed. */
struct netvsc_client_memory {
	struct client_channel_memory rings;
	uint8_t *receive, *send;
	uint32_t receive_size, send_size; /* bytes */
};

struct netvsc_client {
	struct client_channel channels[NETVSC_CLIENT_CHANNELS_MAX];
	unsigned channel_count;
	struct netvsc_client_options options;
	struct netvsc_client_memory memory;
	uint32_t version, status;
	uint32_t receive_gpadl, send_gpadl;
	uint32_t section_size, transfer_max; /* bytes, as the host has said */

	bool link_up;
	uint64_t links_up, links_down;         /* indications of either */
	uint64_t frames_received, frames_sent; /* done with */
	uint64_t frames_refused;               /* of those sent */
	uint64_t received_by[NETVSC_CLIENT_CHANNELS_MAX], sent_by[NETVSC_CLIENT_CHANNELS_MAX];
	uint64_t strays; /* what is no known message, or no good one */

	struct guid instance;  /* of the device */
	unsigned next_channel; /* to send by */
	uint16_t free_count;
	uint16_t free_slots[NETVSC_CLIENT_SLOTS_MAX];
	const uint8_t *frames[NETVSC_CLIENT_SLOTS_MAX]; /* under way, by slot; or NULL */

	uint32_t request_id; /* of the last RNDIS request */
	uint32_t reply_size; /* 0: it has none yet */
	uint64_t packet_id;  /* transaction id of the last packet that is no frame */
	bool completed;      /* it is not waited for, or no longer */
	struct nvsp_message answer;
	uint8_t reply[NETVSC_CLIENT_VALUE_MAX + 64];
};

/*
 * Opens the first adapter that is offered, agrees on a version, shares both buffers, initialises
 * RNDIS, and learns the state of the link. No frames come before a filter is set.
 * Return: E_ABSENT, E_BUS, E_PROTOCOL, E_REFUSED, E_TIMEOUT, E_RING.
 */
int netvsc_client_open(struct netvsc_client *net, struct vmbus_client *bus,
		       const struct netvsc_client_options *options,
		       const struct netvsc_client_memory *memory) MUST_CHECK;

/*
 * Opens up to `count` sub-channels, with rings of their own, as many as the host grants, and has it
 * spread frames over all channels. Once. Return: as above, and E_TOO_BIG: these are too many.
 */
int netvsc_client_add_channels(struct netvsc_client *net, unsigned count,
			       const struct client_channel_memory *rings) MUST_CHECK;

/* Halts RNDIS, takes the buffers back. Frames under way are forgotten. Return: as above. */
int netvsc_client_close(struct netvsc_client *net) MUST_CHECK;

/* Asks for an OID's value. *size: of the buffer; afterwards of the value, cut to that. */
int netvsc_client_query(struct netvsc_client *net, uint32_t oid, void *value,
			uint32_t *size) MUST_CHECK;
int netvsc_client_set(struct netvsc_client *net, uint32_t oid, const void *value,
		      uint32_t size) MUST_CHECK;

/*
 * Sends a frame, by all channels in turn, which stays the client's until `sent` is called; a poll
 * or flush may be needed for the host to hear of it. Return: E_FULL, E_TOO_BIG, E_RING.
 */
int netvsc_client_send(struct netvsc_client *net, const uint8_t *frame, uint32_t size,
		       enum netvsc_client_way way) MUST_CHECK;

void netvsc_client_flush(struct netvsc_client *net);

/* Takes in what there is, and flushes. Return: E_PROTOCOL, E_TIMEOUT, E_RING. */
int netvsc_client_poll(struct netvsc_client *net) MUST_CHECK;
