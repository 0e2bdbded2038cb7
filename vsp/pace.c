/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Pacing: letting the guest go on for a moment when it rings a doorbell.
 *
 * Where guest and loop have one CPU between them, the doorbell of a first packet stops the guest
 * before it has written the second one: the scheduler prefers whoever has just woken up. Each
 * packet then has a doorbell, a turn of the loop and an interrupt of its own, however many the
 * guest would have had to send. So the ring is masked and looked at a little later; what the guest
 * has written by then shares one turn and one interrupt.
 *
 * The wait is a few times what a turn costs, which is what each further packet saves. It is worth
 * nothing while a device has requests of the guest's under way, whose completions bring packets
 * together anyway, nor to a guest that has one packet only: see vsp/patience.h.
 */
#include "vsp/bus.h"

#define PACE_TURNS        16
#define PACE_MIN_NS       10000
#define PACE_MAX_NS       500000
#define PACE_FAILURES_MAX 8

static void pace_look(struct vmbus_channel *channel)
{
	uint64_t before = channel->counters.packets_in;

	list_unlink(&channel->paced);
	packet_look(channel);
	if (channel->counters.packets_in - before > 1)
		patience_paid(&channel->pace_patience);
	else
		patience_failed(&channel->pace_patience, PACE_FAILURES_MAX);
}

static void pace_over(struct loop_operation *operation, int result, bool more)
{
	struct vmbus *bus = container_of(operation, struct vmbus, pace.timer.operation);

	bus->pace.waits = false;
	while (!list_empty(&bus->pace.channels))
		pace_look(container_of(bus->pace.channels.next, struct vmbus_channel, paced));
}

bool pace_begin(struct vmbus_channel *channel)
{
	struct pace *pace = &channel->bus->pace;

	if (!list_empty(&channel->paced))
		return true;
	/* A masked ring is in the middle of a turn, and known to have more. */
	if (!pace->on || channel->broken || channel->masked || channel->owed > 0)
		return false;
	if (pace->turn_ns == 0 || patience_passes(&channel->pace_patience)) {
		channel->turn_begun = loop_now();
		channel->turn_first_packet = channel->counters.packets_in;
		return false;
	}
	ring_mask(&channel->in);
	channel->masked = true;
	list_append(&pace->channels, &channel->paced);
	if (!pace->waits) {
		uint64_t time_ns = MAX(PACE_TURNS * pace->turn_ns, (uint64_t)PACE_MIN_NS);

		loop_timer_start(channel->bus->loop, &pace->timer,
				 MIN(time_ns, (uint64_t)PACE_MAX_NS));
		pace->waits = true;
	}
	return true;
}

void pace_end(struct vmbus_channel *channel)
{
	struct pace *pace = &channel->bus->pace;

	if (channel->turn_begun == 0)
		return;
	if (channel->counters.packets_in - channel->turn_first_packet == 1)
		pace->turn_ns = (7 * pace->turn_ns + loop_now() - channel->turn_begun + 7) / 8;
	channel->turn_begun = 0;
}

void pace_init(struct vmbus *bus)
{
	list_init(&bus->pace.channels);
	bus->pace.timer.operation.complete = pace_over;
}

void vmbus_pace(struct vmbus *bus)
{
	bus->pace.on = true;
}
