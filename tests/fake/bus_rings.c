/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which pages of guest memory are rings of open channels: a look inside the bus. */
#include "tests/fake/bus_rings.h"

#include "vsp/vmbus/bus.h"

static bool channel_has_page(const struct vmbus_channel *channel, const void *page)
{
	uint32_t count = channel->downstream_page + 1 + channel->out.size / RING_PAGE_SIZE;

	for (uint32_t i = 0; i < count; i++)
		if (channel->pages[i] == page)
			return true;
	return false;
}

bool bus_has_ring_page(const struct vmbus *bus, const void *page, uint32_t except)
{
	for (uint32_t i = 1; i <= VMBUS_CHANNEL_MAX; i++) {
		const struct vmbus_channel *channel = bus->channels[i];

		if (channel && channel->state == CHANNEL_OPEN && i != except &&
		    channel_has_page(channel, page))
			return true;
	}
	return false;
}
