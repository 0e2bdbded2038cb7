/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The smallest VSP: completes every packet with its own payload.
 *
 * A packet with ranges of guest memory has its payload written over the ranges, again and again to
 * their end. Knobs make it refuse, stall and hold on, as devices do.
 */
#pragma once

#include "vsp/vmbus/vmbus.h"

#include <stdbool.h>
#include <stdint.h>

struct echo {
	struct vmbus *bus;
	struct vmbus_channel *channel; /* NULL: not offered, or released */

	/* Knobs. */
	int open_result;             /* what `open` returns */
	bool hold_close;             /* do not call vmbus_channel_closed(): the test does */
	bool busy;                   /* `readable` receives nothing */
	bool silent;                 /* receive, but do not answer */
	bool forgets;                /* does not mark what it writes to ranges */
	size_t quiet;                /* answers without interrupt; bytes held for each */
	struct echo *sub;            /* rescinded when this one is closed */
	void (*drained)(void *data); /* called when the ring was found empty */
	void *data;

	/* What happened. */
	bool held;       /* `close` was called, and the test is to call vmbus_channel_closed() */
	bool rescinding; /* the test's own mark */
	unsigned opens, closes, readables, writables, releases, packets;
	unsigned ranges_invalid; /* packets whose ranges could not be mapped */
	int receive_result;      /* last result that was not 0 */
	uint8_t user_data[VMBUS_USER_DATA_SIZE];
	unsigned iov_count; /* of the last packet with ranges */

	/* An answer that did not fit the ring. */
	bool pending;
	uint64_t pending_transaction;
	uint32_t pending_size;
	uint8_t pending_payload[VMBUS_PACKET_MAX];
};

extern const struct guid echo_type;
extern const struct vmbus_channel_ops echo_channel_ops;

/* Offers it with the instance GUID made of `instance`. */
void echo_offer(struct echo *echo, struct vmbus *bus, uint8_t instance, uint16_t sub_channel_index);
struct guid echo_instance(uint8_t instance);

/* Receives as `readable` would: for a device that was busy. */
void echo_receive(struct echo *echo);
