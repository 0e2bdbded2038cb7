/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Busy polling: watching rings for a moment instead of going to sleep.
 *
 * A guest that was just told of a completion is likely to have its next request within
 * microseconds. Its doorbell costs it an exit, and us a wake-up; so, before the loop waits, the
 * rings of channels that were just written to are watched for a little while, during which the
 * guest finds the interrupt mask set and does not ring.
 *
 * A busy-polled channel is masked, so whoever busy-polls has to look at it: busy_poll_look() comes at
 * each iteration of the loop, and the loop does not wait before it has either found packets or
 * unmasked the ring, which includes a last look.
 *
 * Where nobody is to be watched, the loop itself busy-polls: a fast disk answers in less time than
 * it takes to fall asleep and to be woken.
 *
 * Either way, a wait in vain passes over the next chances: see vsp/vmbus/backoff.h.
 */
#include "vsp/vmbus/bus.h"

#define BUSY_POLL_NS           20000
#define BUSY_POLL_DISK_NS      80000
#define BUSY_POLL_FAILURES_MAX 5

void busy_poll_begin(struct vmbus_channel *channel)
{
	struct vmbus *bus = channel->bus;

	if (!bus->busy_polls || channel->broken || !list_empty(&channel->busy_poll) ||
	    backoff_skips(&channel->busy_poll_backoff))
		return;
	packet_mask(channel);
	list_append(&bus->busy_polled, &channel->busy_poll);
}

/* Return: whether packets were found; they have been handed to the device. */
static bool busy_poll_check(struct vmbus *bus)
{
	list_for_each (link, &bus->busy_polled) {
		struct vmbus_channel *channel = container_of(link, struct vmbus_channel, busy_poll);

		if (!ring_has_packets(&channel->in))
			continue;
		list_unlink(&channel->busy_poll);
		backoff_succeeded(&channel->busy_poll_backoff);
		channel->counters.signals_awaited++;
		packet_look(channel);
		return true; /* the device may have changed the list */
	}
	return false;
}

/* Nobody came. Return as above: somebody may have come at the last moment. */
static bool busy_poll_end(struct vmbus *bus)
{
	bool found = false;

	while (!list_empty(&bus->busy_polled)) {
		struct vmbus_channel *channel =
			container_of(bus->busy_polled.next, struct vmbus_channel, busy_poll);

		list_unlink(&channel->busy_poll);
		backoff_failed(&channel->busy_poll_backoff, BUSY_POLL_FAILURES_MAX);
		if (packet_unmask(channel)) {
			packet_look(channel);
			found = true;
		}
	}
	return found;
}

/* Return: whether packets were found, or something has completed. */
static bool busy_poll_watch(struct vmbus *bus, uint64_t time_ns)
{
	uint64_t end;

	/* What was prepared is not to wait for the guest. */
	loop_flush(bus->loop);
	end = loop_now() + time_ns;
	do {
		if (busy_poll_check(bus) || loop_has_completions(bus->loop))
			return true;
		__builtin_ia32_pause();
	} while (loop_now() < end);
	return false;
}

static bool busy_poll_for_completions(struct vmbus *bus)
{
	if (backoff_skips(&bus->busy_poll_backoff))
		return false;
	if (!busy_poll_watch(bus, BUSY_POLL_DISK_NS)) {
		backoff_failed(&bus->busy_poll_backoff, BUSY_POLL_FAILURES_MAX);
		return false;
	}
	backoff_succeeded(&bus->busy_poll_backoff);
	return true;
}

static bool busy_poll_look(struct loop_idle *idle, bool busy)
{
	struct vmbus *bus = container_of(idle, struct vmbus, idle);

	if (busy)
		return busy_poll_check(bus);
	if (list_empty(&bus->busy_polled))
		return busy_poll_for_completions(bus);
	return busy_poll_watch(bus, BUSY_POLL_NS) || busy_poll_end(bus);
}

void busy_poll_init(struct vmbus *bus)
{
	list_init(&bus->busy_polled);
	bus->idle.look = busy_poll_look;
}

void vmbus_busy_poll(struct vmbus *bus)
{
	bus->busy_polls = true;
	loop_set_idle(bus->loop, &bus->idle);
}
