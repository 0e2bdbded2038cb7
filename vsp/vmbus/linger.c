/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Lingering: watching rings for a moment instead of going to sleep.
 *
 * A guest that was just told of a completion is likely to have its next request within
 * microseconds. Its doorbell costs it an exit, and us a wake-up; so, before the loop waits, the
 * rings of channels that were just written to are watched for a little while, during which the
 * guest finds the interrupt mask set and does not ring.
 *
 * A lingering channel is masked, so whoever lingers owes it a look: linger_look() comes at each
 * turn of the loop, and the loop does not wait before it has either found packets or unmasked the
 * ring, which includes a last look.
 *
 * Where nobody is to be watched, the loop itself lingers: a fast disk answers in less time than it
 * takes to fall asleep and to be woken.
 *
 * Either way, a wait in vain passes over the next chances: see vsp/vmbus/patience.h.
 */
#include "vsp/vmbus/bus.h"

#define LINGER_NS           20000
#define LINGER_DISK_NS      80000
#define LINGER_FAILURES_MAX 5

void linger_begin(struct vmbus_channel *channel)
{
	struct vmbus *bus = channel->bus;

	if (!bus->lingers || channel->broken || !list_empty(&channel->linger) ||
	    patience_passes(&channel->linger_patience))
		return;
	packet_mask(channel);
	list_append(&bus->lingering, &channel->linger);
}

/* Return: whether packets were found; they have been handed to the device. */
static bool linger_check(struct vmbus *bus)
{
	list_for_each (link, &bus->lingering) {
		struct vmbus_channel *channel = container_of(link, struct vmbus_channel, linger);

		if (!ring_has_packets(&channel->in))
			continue;
		list_unlink(&channel->linger);
		patience_paid(&channel->linger_patience);
		channel->counters.signals_awaited++;
		packet_look(channel);
		return true; /* the device may have changed the list */
	}
	return false;
}

/* Nobody came. Return as above: somebody may have come at the last moment. */
static bool linger_end(struct vmbus *bus)
{
	bool found = false;

	while (!list_empty(&bus->lingering)) {
		struct vmbus_channel *channel =
			container_of(bus->lingering.next, struct vmbus_channel, linger);

		list_unlink(&channel->linger);
		patience_failed(&channel->linger_patience, LINGER_FAILURES_MAX);
		if (packet_unmask(channel)) {
			packet_look(channel);
			found = true;
		}
	}
	return found;
}

/* Return: whether packets were found, or something has completed. */
static bool linger_watch(struct vmbus *bus, uint64_t time_ns)
{
	uint64_t end;

	/* What was prepared is not to wait for the guest. */
	loop_flush(bus->loop);
	end = loop_now() + time_ns;
	do {
		if (linger_check(bus) || loop_has_completions(bus->loop))
			return true;
		__builtin_ia32_pause();
	} while (loop_now() < end);
	return false;
}

static bool linger_for_completions(struct vmbus *bus)
{
	if (patience_passes(&bus->linger_patience))
		return false;
	if (!linger_watch(bus, LINGER_DISK_NS)) {
		patience_failed(&bus->linger_patience, LINGER_FAILURES_MAX);
		return false;
	}
	patience_paid(&bus->linger_patience);
	return true;
}

static bool linger_look(struct loop_idle *idle, bool busy)
{
	struct vmbus *bus = container_of(idle, struct vmbus, idle);

	if (busy)
		return linger_check(bus);
	if (list_empty(&bus->lingering))
		return linger_for_completions(bus);
	return linger_watch(bus, LINGER_NS) || linger_end(bus);
}

void linger_init(struct vmbus *bus)
{
	list_init(&bus->lingering);
	bus->idle.look = linger_look;
}

void vmbus_linger(struct vmbus *bus)
{
	bus->lingers = true;
	loop_set_idle(bus->loop, &bus->idle);
}
