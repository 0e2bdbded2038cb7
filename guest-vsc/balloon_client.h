/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The guest's end of dynamic memory: hands pages over to the host, takes them back, takes memory
 * that is added, and tells what it needs.
 *
 * Which pages these are is the program's to say (struct balloon_client_memory). What is in the
 * balloon the client knows by itself: the host can only give back what it was given, once. Nothing
 * happens but in balloon_client_poll(), which is to be called at least as often as reports are due.
 * Source: Linux drivers/hv/hv_balloon.c.
 *
 * Errors: 0, or a BALLOON_CLIENT_E_ code; after one the client is to be closed.
 */
#pragma once

#include "common/base/cc.h"
#include "common/wire/dynamic_memory.h"
#include "guest-vsc/client_channel.h"

#include <stdbool.h>
#include <stdint.h>

enum {
	_BALLOON_CLIENT_E_OK,
	BALLOON_CLIENT_E_ABSENT,   /* the host does not offer dynamic memory */
	BALLOON_CLIENT_E_BUS,      /* the channel could not be opened: see the vmbus_client */
	BALLOON_CLIENT_E_PROTOCOL, /* the host sent something else than it may */
	BALLOON_CLIENT_E_REFUSED,  /* no version, or not these capabilities */
	BALLOON_CLIENT_E_TIMEOUT,  /* the host does not answer, or does not read */
	BALLOON_CLIENT_E_RING,     /* the ring is broken */
};

#define BALLOON_CLIENT_REPORT_NS  (1000ull * 1000 * 1000)
#define BALLOON_CLIENT_FRAMES_MAX (UINT64_C(1) << 21) /* 8 GiB; those above stay as they are */
#define BALLOON_CLIENT_RING_PAGES 16                  /* for both directions */

/* In pages, without what is in the balloon. */
struct balloon_client_needs {
	uint64_t available, committed, free;
};

struct balloon_client_memory {
	/*
	 * Finds at most `wanted` pages that follow each other and can be spared, and gives them
	 * up. Return: how many, from *ret_first on; 0: there are none.
	 */
	uint64_t (*take)(void *data, uint64_t wanted, uint64_t *ret_first);

	/* These are the guest's again. */
	void (*give)(void *data, uint64_t first, uint64_t count);

	/* So are these, which it did not have. Return: how many of them, from the first on. */
	uint64_t (*add)(void *data, uint64_t first, uint64_t count);

	struct balloon_client_needs (*needs)(void *data);
};

struct balloon_client_options {
	const struct balloon_client_memory *memory; /* borrowed */
	void *data;                                 /* of its functions */
	uint32_t newest;                            /* DM_VERSION(): none newer is tried */
	uint64_t capabilities;                      /* DM_CAPABILITY_ */
};

struct balloon_client {
	struct client_channel channel;
	struct balloon_client_options options;
	uint32_t version;       /* agreed on */
	uint64_t maximum_pages; /* as the host has said; 0: it has not */
	uint64_t ballooned;     /* pages */
	uint64_t reports, responses;
	uint64_t unknown; /* messages of a type that the client does not know */

	uint32_t transaction_id;
	uint64_t report_at;                                  /* by clock_now() */
	uint64_t in_balloon[BALLOON_CLIENT_FRAMES_MAX / 64]; /* a bit for each frame */
};

/*
 * Opens the channel, and agrees on version and capabilities.
 * Return: E_ABSENT, E_BUS, E_PROTOCOL, E_REFUSED, E_TIMEOUT, E_RING.
 */
int balloon_client_open(struct balloon_client *balloon, struct vmbus_client *bus,
			const struct balloon_client_options *options,
			struct client_channel_memory memory) MUST_CHECK;

/* Does what the host asks, and reports when it is time. Return: E_PROTOCOL, E_TIMEOUT, E_RING. */
int balloon_client_poll(struct balloon_client *balloon) MUST_CHECK;
