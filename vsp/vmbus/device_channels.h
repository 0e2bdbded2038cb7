/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The channels of one device: the primary one, and sub-channels under the same instance.
 *
 * A device that has much to do keeps packets from the guest under way, in a bounded number; answers
 * some later than others; and finds no room for an answer where the guest does not read. What follows
 * from that is the same for all such devices:
 *
 *  - A channel whose packets could not be taken is starved, and goes on when there is room, the one
 *    that has waited longest first.
 *  - An answer that found no room waits as unsent, and those after it wait behind it.
 *  - A channel that the guest has closed is closing until nothing of it is under way. The primary one
 *    waits for all: without it the others are of no use.
 *  - Sub-channels are leaving once the device has taken back their offers.
 *
 * The device embeds both structs. Thread: the loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/list.h"

#include <stdbool.h>
#include <stdint.h>

struct device_channels;
struct vmbus;
struct vmbus_channel;
struct vmbus_channel_ops;
struct vmbus_offer;

struct device_channel {
	struct device_channels *all;
	struct list link; /* in all->channels */
	struct vmbus_channel *channel;
	unsigned index;      /* 0: the primary one */
	bool closing;        /* closed by the guest; vmbus_channel_closed() is pending */
	bool leaving;        /* a sub-channel whose offer was taken back */
	struct list starved; /* in all->starved: packets may be waiting in the ring */
	unsigned in_flight;  /* packets from it that are under way */
	struct list unsent;  /* answers that found no room, oldest first */
};

struct device_channels_ops {
	/* Sends an answer. Return: whether it is done with; else it waits for room. */
	bool (*send)(struct list *answer);

	/* It is done with. */
	void (*sent)(struct list *answer);
};

struct device_channels {
	struct vmbus *bus;
	const struct device_channels_ops *ops;
	struct list channels; /* the closing ones too */
	struct list starved;  /* the one that has waited longest first */
	unsigned in_flight;   /* packets, of all channels */
};

void device_channels_init(struct device_channels *all, struct vmbus *bus,
			  const struct device_channels_ops *ops);

/*
 * Offers a channel; its index is the offer's. It is the device of the channel's operations, whose
 * `released` calls device_channel_released(). Return: as vmbus_channel_offer().
 */
int device_channel_offer(struct device_channels *all, const struct vmbus_offer *offer,
			 const struct vmbus_channel_ops *ops,
			 struct device_channel *channel) MUST_CHECK;
void device_channel_released(struct device_channel *channel);

/* NULL: there is none. */
struct device_channel *device_channels_find(const struct device_channels *all, unsigned index);

/* Sub-channels, but for those that are leaving. */
unsigned device_channels_count_subs(const struct device_channels *all);

/* Takes back the offer of a sub-channel: by vmbus_channel_rescind(), or vmbus_channel_withdraw(). */
void device_channels_take_back(struct device_channels *all,
			       void (*take_back)(struct vmbus_channel *channel));

/* A packet is under way, and has ended. */
static inline void device_channel_begin(struct device_channel *channel)
{
	channel->in_flight++;
	channel->all->in_flight++;
}

static inline void device_channel_end(struct device_channel *channel)
{
	channel->in_flight--;
	channel->all->in_flight--;
}

/* There is no room for its packets; there may be now, or it is looked at anyway. */
void device_channel_starve(struct device_channel *channel);
void device_channel_feed(struct device_channel *channel);

/* The one that has waited longest; NULL: none waits. */
struct device_channel *device_channels_starved(const struct device_channels *all);

/* Sends an answer, after those that wait; wait: it is to wait in any case. */
void device_channel_send(struct device_channel *channel, struct list *answer, bool wait);

/* Sends those that wait, as far as there is room. */
void device_channel_send_unsent(struct device_channel *channel);

/*
 * A channel that can be reported closed, or NULL. held: something else keeps the primary one from
 * it. Tell the bus as the last thing: who hears of the last one may free the device.
 */
struct device_channel *device_channels_closed(const struct device_channels *all, bool held);
