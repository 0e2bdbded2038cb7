/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The fake guest's storage driver: opens a controller as Linux does, and sends SRBs.
 *
 * Data lies in the client's own pages, STORVSC_DATA_SIZE bytes from `data` on; the guest's memory
 * is one piece here even where it is scattered in guest physical addresses.
 */
#pragma once

#include "common/wire/storvsp.h"
#include "tests/fake/fake.h"

#define STORVSC_PAGES     257
#define STORVSC_DATA_SIZE ((STORVSC_PAGES - 1) * HV_PAGE_SIZE)
#define STORVSC_INIT_ID   UINT64_C(0xfffffffffffffffd)

struct storvsc {
	struct fake *fake;
	struct vmbus_message_offer_channel offer;
	struct fake_channel channel;
	uint64_t pfns[STORVSC_PAGES];
	struct storvsp_packet reply; /* the last */
	uint64_t reply_id;
	uint32_t reply_size;
	unsigned enumerates; /* STORVSP_ENUMERATE_BUS received */
};

extern const struct guid storvsc_type;

/*
 * Opens a channel of the controller: the primary one (index 0), or a sub-channel; where no SCSI
 * controller is, that of an IDE disk.
 */
bool storvsc_open(struct storvsc *storvsc, struct fake *fake, uint16_t sub_channel_index,
		  uint32_t ring_pages);

/* Opens the primary channel and negotiates up to END. */
bool storvsc_start(struct storvsc *storvsc, struct fake *fake);

/* Sends an in-band packet. Return: false: the ring is full. */
bool storvsc_send(struct storvsc *storvsc, uint64_t id, const struct storvsp_packet *packet);

/* Sends an operation and waits for its reply. Return: its status; UINT32_MAX: there was none. */
uint32_t storvsc_operate(struct storvsc *storvsc, uint32_t operation);
uint32_t storvsc_query_version(struct storvsc *storvsc, uint16_t version);

/* An SRB for unit 0 of path 0. */
struct storvsp_packet storvsc_srb(enum storvsp_direction direction, uint32_t size, const void *cdb,
				  uint8_t cdb_length);

/* Sends an SRB on the client's pages, from `offset` on. Return: false: the ring is full. */
bool storvsc_submit(struct storvsc *storvsc, uint64_t id, const struct storvsp_packet *packet,
		    uint32_t offset);

/* Waits for the next reply, counting what comes unasked. Return: false: none came. */
bool storvsc_receive(struct storvsc *storvsc);

/* The same without running the host. */
bool storvsc_receive_now(struct storvsc *storvsc);

/* Submits, and waits for the reply. Return: its SRB status; 0: there was none. */
uint8_t storvsc_execute(struct storvsc *storvsc, enum storvsp_direction direction, uint32_t size,
			const void *cdb, uint8_t cdb_length);

/* Copies to and from the client's pages. */
void storvsc_put(struct storvsc *storvsc, uint32_t offset, const void *data, uint32_t size);
void storvsc_get(const struct storvsc *storvsc, uint32_t offset, void *data, uint32_t size);
