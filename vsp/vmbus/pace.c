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
 * together anyway, nor to a guest that has one packet only: see vsp/vmbus/patience.h.
 *
 * A guest that goes on by itself, as one does that sends datagrams, is followed: for completions
 * that can wait it is not interrupted, its ring stays masked, and is looked at again a longer
 * moment later. While looks find packets, neither doorbells nor interrupts are needed. A look that
 * finds none may mean that the guest is waiting for those completions, or that it had no processor,
 * which others have as well: a passt, say, that works at what it sent. It is told when several
 * looks in a row have found none; so it is when there are many completions, and when something
 * comes that is not to wait. What a sender may have under way is at the least some 200 KB, of which
 * each small datagram takes less than one: the bounds below stay well within that.
 */
#include "vsp/vmbus/bus.h"

#define PACE_TURNS        16
#define PACE_MIN_NS       10000
#define PACE_MAX_NS       4000000
#define PACE_FAILURES_MAX 8
#define FOLLOWING_TIMES   4           /* as long as the first wait, where that is short */
#define IDLE_LOOKS_MAX    4           /* until a guest that is followed is told */
#define QUIET_MAX         128         /* completions that wait */
#define QUIET_SIZE_MAX    (32u << 10) /* bytes of what they complete */

static void pace_look(struct vmbus_channel *channel)
{
	struct patience *patience =
		channel->followed ? &channel->following_patience : &channel->pace_patience;
	uint64_t before = channel->counters.packets_in, came;
	bool followed = channel->followed;

	list_unlink(&channel->paced);
	channel->followed = false;
	packet_look(channel);
	came = channel->counters.packets_in - before;
	/* What has come is told, or followed, when the turn ends. */
	if (came == 0 && followed && ++channel->idle_looks < IDLE_LOOKS_MAX)
		return;
	channel->idle_looks = 0;
	if (came > 1)
		patience_paid(patience);
	else
		patience_failed(patience, PACE_FAILURES_MAX);
	if (came == 0)
		channel->interrupt |= channel->untold;
}

static void pace_over(struct loop_operation *operation, int result, bool more)
{
	struct pace_wait *wait = container_of(operation, struct pace_wait, timer.operation);

	wait->runs = false;
	while (!list_empty(&wait->channels))
		pace_look(container_of(wait->channels.next, struct vmbus_channel, paced));
}

static void pace_wait(struct pace_wait *wait, struct vmbus_channel *channel, unsigned times)
{
	uint64_t time_ns = MAX(PACE_TURNS * channel->bus->pace.turn_ns, (uint64_t)PACE_MIN_NS);

	packet_mask(channel);
	list_append(&wait->channels, &channel->paced);
	if (wait->runs)
		return;
	wait->runs = true;
	loop_timer_start(channel->bus->loop, &wait->timer,
			 MIN(times * time_ns, (uint64_t)PACE_MAX_NS));
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
	pace_wait(&pace->first, channel, 1);
	return true;
}

bool pace_follow(struct vmbus_channel *channel)
{
	struct pace *pace = &channel->bus->pace;

	if (!pace->on || pace->turn_ns == 0 || channel->broken || channel->blocked ||
	    channel->quiet_count >= QUIET_MAX || channel->quiet_size >= QUIET_SIZE_MAX)
		return false;
	/* There will be a look anyway. */
	if (channel->kick || !list_empty(&channel->paced))
		return true;
	if (patience_passes(&channel->following_patience))
		return false;
	pace_wait(&pace->following, channel, FOLLOWING_TIMES);
	channel->followed = true;
	return true;
}

void pace_unfollow(struct vmbus_channel *channel)
{
	if (!channel->followed)
		return;
	list_unlink(&channel->paced);
	channel->followed = false;
	channel->kick |= packet_unmask(channel);
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
	list_init(&bus->pace.first.channels);
	list_init(&bus->pace.following.channels);
	bus->pace.first.timer.operation.complete = pace_over;
	bus->pace.following.timer.operation.complete = pace_over;
}

void vmbus_pace(struct vmbus *bus)
{
	bus->pace.on = true;
}
