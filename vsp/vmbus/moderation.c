/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Moderation: letting the guest go on for a moment when it rings a doorbell.
 *
 * Where guest and loop have one CPU between them, the doorbell of a first packet stops the guest
 * before it has written the second one: the scheduler prefers whoever has just woken up. Each
 * packet then has a doorbell, an iteration of the loop and an interrupt of its own, however many
 * the guest would have had to send. So the ring is masked and looked at a little later; what the
 * guest has written by then shares one iteration and one interrupt.
 *
 * The wait is a few times what an iteration costs, which is what each further packet saves. It is
 * worth nothing while a device has requests of the guest's under way, whose completions bring
 * packets together anyway, nor to a guest that has one packet only: see vsp/vmbus/backoff.h.
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

#define MODERATION_ITERATIONS   16
#define MODERATION_MIN_NS       10000
#define MODERATION_MAX_NS       4000000
#define MODERATION_FAILURES_MAX 8
#define FOLLOWING_TIMES         4           /* as long as the first wait, where that is short */
#define IDLE_LOOKS_MAX          4           /* until a guest that is followed is told */
#define QUIET_MAX               128         /* completions that wait */
#define QUIET_SIZE_MAX          (32u << 10) /* bytes of what they complete */

static void moderation_look(struct vmbus_channel *channel)
{
	struct backoff *timeout =
		channel->followed ? &channel->following_backoff : &channel->moderation_backoff;
	uint64_t before = channel->counters.packets_in, came;
	bool followed = channel->followed;

	list_unlink(&channel->moderated);
	channel->followed = false;
	packet_look(channel);
	came = channel->counters.packets_in - before;
	/* What has come is told, or followed, when the iteration ends. */
	if (came == 0 && followed && ++channel->idle_looks < IDLE_LOOKS_MAX)
		return;
	channel->idle_looks = 0;
	if (came > 1)
		backoff_succeeded(timeout);
	else
		backoff_failed(timeout, MODERATION_FAILURES_MAX);
	if (came == 0)
		channel->interrupt |= channel->pending;
}

static void moderation_over(struct loop_operation *operation, int result, bool more)
{
	struct moderation_wait *wait =
		container_of(operation, struct moderation_wait, timer.operation);

	wait->runs = false;
	while (!list_empty(&wait->channels))
		moderation_look(container_of(wait->channels.next, struct vmbus_channel, moderated));
}

static void moderation_wait(struct moderation_wait *wait, struct vmbus_channel *channel,
			    unsigned times)
{
	uint64_t time_ns = MAX(MODERATION_ITERATIONS * channel->bus->moderation.iteration_ns,
			       (uint64_t)MODERATION_MIN_NS);

	packet_mask(channel);
	list_append(&wait->channels, &channel->moderated);
	if (wait->runs)
		return;
	wait->runs = true;
	loop_timer_start(channel->bus->loop, &wait->timer,
			 MIN(times * time_ns, (uint64_t)MODERATION_MAX_NS));
}

bool moderation_begin(struct vmbus_channel *channel)
{
	struct moderation *moderation = &channel->bus->moderation;

	if (!list_empty(&channel->moderated))
		return true;
	/* A masked ring is in the middle of an iteration, and known to have more. */
	if (!moderation->on || channel->broken || channel->masked ||
	    channel->completions_pending > 0)
		return false;
	if (moderation->iteration_ns == 0 || backoff_skips(&channel->moderation_backoff)) {
		channel->iteration_begun = loop_now();
		channel->iteration_first_packet = channel->counters.packets_in;
		return false;
	}
	moderation_wait(&moderation->first, channel, 1);
	return true;
}

bool moderation_follow(struct vmbus_channel *channel)
{
	struct moderation *moderation = &channel->bus->moderation;

	if (!moderation->on || moderation->iteration_ns == 0 || channel->broken ||
	    channel->blocked || channel->quiet_count >= QUIET_MAX ||
	    channel->quiet_size >= QUIET_SIZE_MAX)
		return false;
	/* There will be a look anyway. */
	if (channel->kick || !list_empty(&channel->moderated))
		return true;
	if (backoff_skips(&channel->following_backoff))
		return false;
	moderation_wait(&moderation->following, channel, FOLLOWING_TIMES);
	channel->followed = true;
	return true;
}

void moderation_unfollow(struct vmbus_channel *channel)
{
	if (!channel->followed)
		return;
	list_unlink(&channel->moderated);
	channel->followed = false;
	channel->kick |= packet_unmask(channel);
}

void moderation_end(struct vmbus_channel *channel)
{
	struct moderation *moderation = &channel->bus->moderation;

	if (channel->iteration_begun == 0)
		return;
	if (channel->counters.packets_in - channel->iteration_first_packet == 1)
		moderation->iteration_ns =
			(7 * moderation->iteration_ns + loop_now() - channel->iteration_begun + 7) /
			8;
	channel->iteration_begun = 0;
}

void moderation_init(struct vmbus *bus)
{
	list_init(&bus->moderation.first.channels);
	list_init(&bus->moderation.following.channels);
	bus->moderation.first.timer.operation.complete = moderation_over;
	bus->moderation.following.timer.operation.complete = moderation_over;
}

void vmbus_moderate(struct vmbus *bus)
{
	bus->moderation.on = true;
}
