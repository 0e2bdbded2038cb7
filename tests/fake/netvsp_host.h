/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The host's end of a network adapter, for guest-vsc/'s client: client_host with what an honest
 * adapter answers, unless the test does.
 */
#pragma once

#include "common/base/cc.h"
#include "common/wire/nvsp.h"
#include "common/wire/ring.h"
#include "common/wire/rndis.h"
#include "guest-vsc/netvsc_client.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NETVSP_HOST_BUFFER  (64u << 10) /* bytes, each way */
#define NETVSP_HOST_SECTION 4096u

/* A control message, in either direction. */
struct netvsp_host_rndis {
	struct rndis_header header;
	union rndis_body body;
} PACKED;

struct netvsp_host {
	/* The test's, each optional. Return: true: it has answered, or will not. */
	bool (*asked)(uint64_t transaction_id, const struct nvsp_message *message);
	bool (*rndis_asked)(const struct netvsp_host_rndis *request);

	uint8_t *receive; /* the guest's buffer */
	uint32_t place;   /* in it, for the next message */

	/* What the guest has seen. */
	unsigned frames, sents, refusals, given_back;
	uint32_t frame_size;
	uint8_t sum; /* of all bytes of all frames */
};

extern struct netvsp_host netvsp_host;

/* A new host; what the test wants to do itself it sets after this. */
void netvsp_host_start(void);

/* Opens a client there. Return: as netvsc_client_open(). */
int netvsp_host_open(struct netvsc_client *net);

/* Answers what the guest has sent. */
void netvsp_host_run(void);

/* Puts a message into the receive buffer, and tells of it; size: what is said of it. */
void netvsp_host_tell(const void *message, uint32_t size);

/* Tells of ranges: `count` is said, `given` are there. */
void netvsp_host_transfer(uint16_t set_id, uint32_t count, const struct ring_transfer_range *ranges,
			  unsigned given);
