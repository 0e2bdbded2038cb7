/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The channels of one device. */
#include "vsp/vmbus/device_channels.h"

#include "vsp/vmbus/vmbus.h"

static struct device_channel *device_channel_of(struct list *link)
{
	return container_of(link, struct device_channel, link);
}

void device_channels_init(struct device_channels *all, struct vmbus *bus,
			  const struct device_channels_ops *ops)
{
	*all = (struct device_channels){ .bus = bus, .ops = ops };
	list_init(&all->channels);
	list_init(&all->starved);
}

int device_channel_offer(struct device_channels *all, const struct vmbus_offer *offer,
			 const struct vmbus_channel_ops *ops, struct device_channel *channel)
{
	int r;

	*channel = (struct device_channel){ .all = all, .index = offer->sub_channel_index };
	list_init(&channel->starved);
	list_init(&channel->unsent);
	list_append(&all->channels, &channel->link);
	r = vmbus_channel_offer(all->bus, offer, ops, channel, &channel->channel);
	if (r < 0)
		list_unlink(&channel->link);
	return r;
}

void device_channel_released(struct device_channel *channel)
{
	list_unlink(&channel->link);
}

struct device_channel *device_channels_find(const struct device_channels *all, unsigned index)
{
	list_for_each (link, &all->channels) {
		struct device_channel *channel = device_channel_of(link);

		if (channel->index == index && !channel->leaving)
			return channel;
	}
	return NULL;
}

unsigned device_channels_count_subs(const struct device_channels *all)
{
	unsigned count = 0;

	list_for_each (link, &all->channels) {
		const struct device_channel *channel = device_channel_of(link);

		count += channel->index > 0 && !channel->leaving;
	}
	return count;
}

void device_channels_take_back(struct device_channels *all,
			       void (*take_back)(struct vmbus_channel *channel))
{
	list_for_each (link, &all->channels) {
		struct device_channel *channel = device_channel_of(link);

		if (channel->index == 0)
			continue;
		channel->leaving = true;
		take_back(channel->channel);
	}
}

void device_channel_starve(struct device_channel *channel)
{
	list_append(&channel->all->starved, &channel->starved);
}

void device_channel_feed(struct device_channel *channel)
{
	list_unlink(&channel->starved);
}

struct device_channel *device_channels_starved(const struct device_channels *all)
{
	return list_empty(&all->starved)
		       ? NULL
		       : container_of(all->starved.next, struct device_channel, starved);
}

void device_channel_send(struct device_channel *channel, struct list *answer, bool wait)
{
	const struct device_channels_ops *ops = channel->all->ops;

	if (list_empty(&channel->unsent) && !wait && ops->send(answer))
		ops->sent(answer);
	else
		list_append(&channel->unsent, answer);
}

void device_channel_send_unsent(struct device_channel *channel)
{
	const struct device_channels_ops *ops = channel->all->ops;

	while (!list_empty(&channel->unsent)) {
		struct list *answer = channel->unsent.next;

		if (!ops->send(answer))
			return;
		list_unlink(answer);
		ops->sent(answer);
	}
}

struct device_channel *device_channels_closed(const struct device_channels *all, bool held)
{
	list_for_each (link, &all->channels) {
		struct device_channel *channel = device_channel_of(link);

		if (!channel->closing || channel->in_flight > 0)
			continue;
		if (channel->index > 0 || (all->in_flight == 0 && !held))
			return channel;
	}
	return NULL;
}
