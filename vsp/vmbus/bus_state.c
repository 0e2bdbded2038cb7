/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The bus as a record, and made anew from it.
 *
 * The record "vmbus": struct vmbus_state; the replies that wait for the guest's message slot, oldest
 * first; the channels by relid; the GPADLs, each followed by as many of its words as have come.
 *
 * What is not in it: pages, buffers and doorbells of rings, which are found and made anew; users of
 * GPADLs, who come by themselves; backoffs and counters, which begin anew. Offers and rescissions
 * that wait are flags of their channels.
 *
 * All is read and checked before the bus is touched, but for GPADLs and rings, whose checks are those
 * of the guest's messages.
 */
#include "common/base/state.h"

#include "vsp/vmbus/bus.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define VMBUS_STATE_RECORD  "vmbus"
#define VMBUS_STATE_VERSION 1

#define VMBUS_STATE_OFFERS_REQUESTED 0x1u
#define VMBUS_STATE_ALL_OFFERS       0x2u /* ALL_OFFERS_DELIVERED waits to be sent */
#define VMBUS_STATE_FLAGS            0x3u

struct vmbus_state {
	uint32_t version; /* that was negotiated; 0: no guest is connected */
	uint32_t target_vp;
	uint32_t flags; /* VMBUS_STATE_ */
	uint32_t reply_count, channel_count, gpadl_count;
};
_Static_assert(sizeof(struct vmbus_state) == 24, "stored format");

struct reply_state {
	uint32_t size;
	uint8_t bytes[60];
};
_Static_assert(sizeof(struct reply_state) == 64, "stored format");
_Static_assert(sizeof(((struct outbox_reply *)0)->bytes) <=
		       sizeof(((struct reply_state *)0)->bytes),
	       "room for any reply");

#define CHANNEL_STATE_OFFERED   0x01u /* the guest knows it */
#define CHANNEL_STATE_RESCINDED 0x02u
#define CHANNEL_STATE_ANNOUNCED 0x04u /* its offer or rescission waits to be sent */
#define CHANNEL_STATE_DEVICE    0x08u /* it has one; else the relid alone is left */
#define CHANNEL_STATE_OPEN      0x10u
#define CHANNEL_STATE_MASKED    0x20u
#define CHANNEL_STATE_BROKEN    0x40u
#define CHANNEL_STATE_FLAGS     0x7fu

struct channel_state_record {
	struct guid type, instance;
	uint16_t sub_channel_index;
	uint16_t offer_flags; /* VMBUS_OFFER_ */
	uint32_t relid;
	uint32_t flags; /* CHANNEL_STATE_ */
	/* Of an open one; else 0. */
	uint32_t target_vp, gpadl, downstream_page;
	uint32_t in_position, out_position; /* bytes */
	uint32_t blocked;                   /* bytes that its device waits for */
	uint32_t completions_pending;
};
_Static_assert(sizeof(struct channel_state_record) == 72, "stored format");

#define GPADL_STATE_TORN_DOWN 0x1u
#define GPADL_STATE_ORPHAN    0x2u
#define GPADL_STATE_FLAGS     0x3u

struct gpadl_state {
	uint32_t id, relid;
	uint32_t range_count, word_count, words_received;
	uint32_t flags; /* GPADL_STATE_ */
};
_Static_assert(sizeof(struct gpadl_state) == 24, "stored format");

/* ---- Saving ---- */

static unsigned bus_count_channels(const struct vmbus *bus)
{
	unsigned count = 0;

	for (uint32_t relid = 1; relid <= VMBUS_CHANNEL_MAX; relid++)
		count += bus->channels[relid] != NULL;
	return count;
}

static void bus_save_replies(const struct outbox *outbox, struct state_writer *writer)
{
	for (unsigned i = 0; i < outbox->count; i++) {
		const struct outbox_reply *reply =
			&outbox->replies[(outbox->first + i) % outbox->capacity];
		struct reply_state state = { .size = reply->size };

		memcpy(state.bytes, reply->bytes, reply->size);
		state_put(writer, &state, sizeof(state));
	}
}

static void channel_save(const struct vmbus_channel *channel, struct state_writer *writer)
{
	bool open = channel->state == CHANNEL_OPEN;
	struct channel_state_record state = {
		.type = channel->offer.type,
		.instance = channel->offer.instance,
		.sub_channel_index = channel->offer.sub_channel_index,
		.offer_flags = channel->offer.flags,
		.relid = channel->relid,
		.flags = state_flag(channel->offered, CHANNEL_STATE_OFFERED) |
			 state_flag(channel->rescinded, CHANNEL_STATE_RESCINDED) |
			 state_flag(!list_empty(&channel->announced), CHANNEL_STATE_ANNOUNCED) |
			 state_flag(channel->ops || channel->unclaimed, CHANNEL_STATE_DEVICE) |
			 state_flag(open, CHANNEL_STATE_OPEN) |
			 state_flag(open && channel->masked, CHANNEL_STATE_MASKED) |
			 state_flag(open && channel->broken, CHANNEL_STATE_BROKEN),
	};

	if (open) {
		state.target_vp = channel->target_vp;
		state.gpadl = channel->gpadl->id;
		state.downstream_page = channel->downstream_page;
		state.in_position = channel->in.position;
		state.out_position = channel->out.position;
		state.blocked = channel->blocked;
		state.completions_pending = channel->completions_pending;
	}
	state_put(writer, &state, sizeof(state));
}

static void bus_save_gpadls(const struct gpadl_table *table, struct state_writer *writer)
{
	for (size_t i = 0; i < ARRAY_SIZE(table->buckets); i++) {
		list_for_each (link, &table->buckets[i]) {
			const struct gpadl *gpadl = container_of(link, struct gpadl, link);
			struct gpadl_state state = {
				.id = gpadl->id,
				.relid = gpadl->relid,
				.range_count = gpadl->range_count,
				.word_count = gpadl->word_count,
				.words_received = gpadl->words_received,
				.flags = state_flag(gpadl->torn_down, GPADL_STATE_TORN_DOWN) |
					 state_flag(gpadl->orphan, GPADL_STATE_ORPHAN),
			};

			state_put(writer, &state, sizeof(state));
			state_put(writer, gpadl->ranges, gpadl->words_received * sizeof(uint64_t));
		}
	}
}

/* Whether a device that was withdrawn waits for the guest to let go of it. */
static bool bus_waits_for_guest(const struct vmbus *bus)
{
	for (uint32_t relid = 1; relid <= VMBUS_CHANNEL_MAX; relid++) {
		const struct vmbus_channel *channel = bus->channels[relid];

		if (channel && channel->rescinded && channel->ops)
			return true;
	}
	return false;
}

int vmbus_save(const struct vmbus *bus, struct state_writer *writer)
{
	struct vmbus_state state = {
		.version = vmbus_version(bus),
		.target_vp = bus->target_vp,
		.flags = state_flag(bus->offers_requested, VMBUS_STATE_OFFERS_REQUESTED) |
			 state_flag(bus->outbox.all_offers, VMBUS_STATE_ALL_OFFERS),
		.reply_count = bus->outbox.count,
		.channel_count = bus_count_channels(bus),
		.gpadl_count = bus->gpadls.count,
	};

	if (bus->closing_count > 0 || bus_waits_for_guest(bus))
		return -EBUSY;
	state_begin(writer, VMBUS_STATE_RECORD, VMBUS_STATE_VERSION);
	state_put(writer, &state, sizeof(state));
	bus_save_replies(&bus->outbox, writer);
	for (uint32_t relid = 1; relid <= VMBUS_CHANNEL_MAX; relid++)
		if (bus->channels[relid])
			channel_save(bus->channels[relid], writer);
	bus_save_gpadls(&bus->gpadls, writer);
	state_end(writer);
	return 0;
}

/* ---- Restoring: the connection ---- */

static bool bus_state_is_valid(const struct vmbus *bus, const struct vmbus_state *state)
{
	return (state->version == 0 || bus_knows_version(state->version)) &&
	       state->target_vp < bus->host->vp_count && !(state->flags & ~VMBUS_STATE_FLAGS) &&
	       (state->version != 0 || state->flags == 0) &&
	       state->reply_count <= OUTBOX_REPLY_MAX &&
	       state->channel_count <= VMBUS_CHANNEL_MAX && state->gpadl_count <= GPADL_MAX;
}

static int bus_restore_replies(struct vmbus *bus, struct state_record *record, uint32_t count)
{
	struct reply_state state;

	for (uint32_t i = 0; i < count; i++) {
		if (state_get(record, &state, sizeof(state)) ||
		    state.size < sizeof(struct vmbus_message_header) ||
		    state.size > sizeof(((struct outbox_reply *)0)->bytes))
			return STATE_E_INVALID;
		if (!outbox_reserve(&bus->outbox))
			return -ENOMEM;
		outbox_put(&bus->outbox, state.bytes, state.size);
	}
	return 0;
}

static void bus_restore_connection(struct vmbus *bus, const struct vmbus_state *state)
{
	bus->quiet = true;
	bus->target_vp = state->target_vp;
	bus->offers_requested = state->flags & VMBUS_STATE_OFFERS_REQUESTED;
	bus->outbox.all_offers = state->flags & VMBUS_STATE_ALL_OFFERS;
	if (state->version == 0)
		return;
	bus->state = BUS_CONNECTED;
	bus->version = state->version;
	bus->connection_id = state->version >= VMBUS_VERSION_5_0 ? VMBUS_CONNECTION_ID_MESSAGE_4
								 : VMBUS_CONNECTION_ID_MESSAGE;
}

/* ---- Restoring: channels ---- */

static bool channel_state_is_valid(const struct channel_state_record *state)
{
	uint32_t flags = state->flags;

	if (state->relid == 0 || state->relid > VMBUS_CHANNEL_MAX || flags & ~CHANNEL_STATE_FLAGS)
		return false;
	if (flags & CHANNEL_STATE_DEVICE)
		return !(flags & CHANNEL_STATE_RESCINDED) &&
		       (!(flags & CHANNEL_STATE_OPEN) || flags & CHANNEL_STATE_OFFERED);
	/* The relid alone is left, until the guest gives it back. */
	return !(flags & CHANNEL_STATE_OPEN) && flags & CHANNEL_STATE_OFFERED &&
	       flags & CHANNEL_STATE_RESCINDED;
}

/* Reads them to states[relid]. */
static int bus_read_channels(struct state_record *record, uint32_t count,
			     struct channel_state_record states[VMBUS_CHANNEL_MAX + 1])
{
	struct channel_state_record state;

	for (uint32_t i = 0; i < count; i++) {
		if (state_get(record, &state, sizeof(state)) || !channel_state_is_valid(&state) ||
		    states[state.relid].relid != 0)
			return STATE_E_INVALID;
		states[state.relid] = state;
	}
	return 0;
}

/* The channel that a device has offered on this bus, and that the state has as well. */
static struct vmbus_channel *bus_channel_of(const struct vmbus *bus,
					    const struct channel_state_record *state)
{
	struct vmbus_offer offer = {
		.type = state->type,
		.instance = state->instance,
		.sub_channel_index = state->sub_channel_index,
	};

	if (!(state->flags & CHANNEL_STATE_DEVICE))
		return NULL;
	for (uint32_t relid = 1; relid <= VMBUS_CHANNEL_MAX; relid++)
		if (bus->channels[relid] &&
		    vmbus_offer_is_same(&bus->channels[relid]->offer, &offer))
			return bus->channels[relid];
	return NULL;
}

static struct vmbus_channel *channel_new_unclaimed(struct vmbus *bus,
						   const struct channel_state_record *state)
{
	struct vmbus_channel *channel = calloc(1, sizeof(*channel));

	if (!channel)
		return NULL;
	channel->bus = bus;
	channel->offer.type = state->type;
	channel->offer.instance = state->instance;
	channel->offer.flags = state->offer_flags;
	channel->offer.sub_channel_index = state->sub_channel_index;
	channel->unclaimed = state->flags & CHANNEL_STATE_DEVICE;
	list_init(&channel->announced);
	packet_init(channel);
	return channel;
}

/* The table of relids while channels are given those that they had. */
struct relids {
	struct vmbus_channel *channels[VMBUS_CHANNEL_MAX + 1];
};

static bool relids_have(const struct relids *relids, const struct vmbus_channel *channel)
{
	for (uint32_t relid = 1; relid <= VMBUS_CHANNEL_MAX; relid++)
		if (relids->channels[relid] == channel)
			return true;
	return false;
}

/* Those that the state has. */
static int relids_place_known(struct relids *relids, struct vmbus *bus,
			      const struct channel_state_record *states)
{
	for (uint32_t relid = 1; relid <= VMBUS_CHANNEL_MAX; relid++) {
		const struct channel_state_record *state = &states[relid];
		struct vmbus_channel *channel;

		if (state->relid == 0)
			continue;
		channel = bus_channel_of(bus, state);
		if (channel && relids_have(relids, channel))
			return STATE_E_INVALID;
		relids->channels[relid] = channel ?: channel_new_unclaimed(bus, state);
		if (!relids->channels[relid])
			return -ENOMEM;
	}
	return 0;
}

/* Those that are offered here, and that the state does not have. */
static int relids_place_new(struct relids *relids, const struct vmbus *bus)
{
	uint32_t free = 1;

	for (uint32_t relid = 1; relid <= VMBUS_CHANNEL_MAX; relid++) {
		struct vmbus_channel *channel = bus->channels[relid];

		if (!channel || relids_have(relids, channel))
			continue;
		while (free <= VMBUS_CHANNEL_MAX && relids->channels[free])
			free++;
		if (free > VMBUS_CHANNEL_MAX)
			return STATE_E_INVALID;
		relids->channels[free] = channel;
	}
	return 0;
}

static void relids_free_unclaimed(struct relids *relids, const struct vmbus *bus)
{
	for (uint32_t relid = 1; relid <= VMBUS_CHANNEL_MAX; relid++)
		if (relids->channels[relid] && !relids->channels[relid]->ops)
			free(relids->channels[relid]);
}

static void bus_take_relids(struct vmbus *bus, const struct relids *relids)
{
	memcpy(bus->channels, relids->channels, sizeof(bus->channels));
	for (uint32_t relid = 1; relid <= VMBUS_CHANNEL_MAX; relid++) {
		struct vmbus_channel *channel = bus->channels[relid];

		if (channel)
			channel_set_relid(channel, relid);
	}
}

static int bus_place_channels(struct vmbus *bus, const struct channel_state_record *states)
{
	struct relids *relids = calloc(1, sizeof(*relids));
	int r;

	if (!relids)
		return -ENOMEM;
	r = relids_place_known(relids, bus, states);
	if (r == 0)
		r = relids_place_new(relids, bus);
	if (r == 0)
		bus_take_relids(bus, relids);
	else
		relids_free_unclaimed(relids, bus);
	free(relids);
	return r;
}

static int channel_restore_open(struct vmbus_channel *channel,
				const struct channel_state_record *state)
{
	struct channel_rings rings = {
		.gpadl = state->gpadl,
		.downstream_page = state->downstream_page,
		.target_vp = state->target_vp,
		.in_position = state->in_position,
		.out_position = state->out_position,
	};
	int r = channel_restore(channel, &rings);

	if (r)
		return r < 0 ? r : STATE_E_INVALID;
	channel->masked = state->flags & CHANNEL_STATE_MASKED;
	channel->broken = state->flags & CHANNEL_STATE_BROKEN;
	channel->blocked = MIN(state->blocked, channel->out.size);
	channel->completions_pending = state->completions_pending;
	/* An interrupt that was under way may be lost; one too many does no harm. */
	channel->interrupt = true;
	return 0;
}

static int bus_restore_channels(struct vmbus *bus, const struct channel_state_record *states)
{
	int r = 0;

	for (uint32_t relid = 1; r == 0 && relid <= VMBUS_CHANNEL_MAX; relid++) {
		struct vmbus_channel *channel = bus->channels[relid];
		uint32_t flags = states[relid].flags;

		if (!channel)
			continue;
		if (states[relid].relid == 0)
			flags = state_flag(bus->offers_requested, CHANNEL_STATE_ANNOUNCED);
		channel->offered = flags & CHANNEL_STATE_OFFERED;
		channel->rescinded = flags & CHANNEL_STATE_RESCINDED;
		if (flags & CHANNEL_STATE_ANNOUNCED)
			list_append(&bus->outbox.channels, &channel->announced);
		if (flags & CHANNEL_STATE_OPEN)
			r = channel_restore_open(channel, &states[relid]);
	}
	return r;
}

/* ---- Restoring: GPADLs ---- */

static int bus_restore_gpadl(struct vmbus *bus, struct state_record *record)
{
	struct gpadl_state state;
	struct gpadl *gpadl;
	const void *words;
	bool whole;
	int r;

	if (state_get(record, &state, sizeof(state)) || state.flags & ~GPADL_STATE_FLAGS ||
	    state.word_count > GPADL_PAGE_MAX || state.words_received > state.word_count ||
	    gpadl_find(&bus->gpadls, state.id))
		return STATE_E_INVALID;
	whole = state.words_received == state.word_count;
	words = state_take(record, state.words_received * sizeof(uint64_t));
	if (!words)
		return STATE_E_INVALID;
	r = gpadl_begin(&bus->gpadls, state.id, state.relid,
			state.word_count * (uint32_t)sizeof(uint64_t), state.range_count, words,
			state.words_received * sizeof(uint64_t), &gpadl);
	if (r != (whole ? 0 : GPADL_E_INCOMPLETE))
		return r == GPADL_E_LIMIT ? -ENOMEM : STATE_E_INVALID;
	gpadl->torn_down = state.flags & GPADL_STATE_TORN_DOWN;
	gpadl->orphan = state.flags & GPADL_STATE_ORPHAN;
	/* Of the answer to the teardown. */
	if (gpadl->torn_down && !outbox_reserve(&bus->outbox))
		return -ENOMEM;
	return 0;
}

static int bus_restore_gpadls(struct vmbus *bus, struct state_record *record, uint32_t count)
{
	int r = 0;

	for (uint32_t i = 0; r == 0 && i < count; i++)
		r = bus_restore_gpadl(bus, record);
	return r == 0 && record->left > 0 ? STATE_E_INVALID : r;
}

/* ---- Restoring ---- */

static int bus_restore_with(struct vmbus *bus, struct state_record *record,
			    struct channel_state_record *states)
{
	struct vmbus_state state;
	int r;

	if (state_get(record, &state, sizeof(state)) || !bus_state_is_valid(bus, &state))
		return STATE_E_INVALID;
	bus_restore_connection(bus, &state);
	r = bus_restore_replies(bus, record, state.reply_count);
	if (r == 0)
		r = bus_read_channels(record, state.channel_count, states);
	if (r == 0)
		r = bus_restore_gpadls(bus, record, state.gpadl_count);
	if (r == 0)
		r = bus_place_channels(bus, states);
	return r ?: bus_restore_channels(bus, states);
}

int vmbus_restore(struct vmbus *bus, const struct state_reader *reader)
{
	struct channel_state_record *states;
	struct state_record record;
	int r;

	r = state_find(reader, VMBUS_STATE_RECORD, VMBUS_STATE_VERSION, &record);
	if (r)
		return r;
	states = calloc(VMBUS_CHANNEL_MAX + 1, sizeof(*states));
	if (!states)
		return -ENOMEM;
	r = bus_restore_with(bus, &record, states);
	free(states);
	return r;
}

int vmbus_restored(struct vmbus *bus, struct guid *ret_type, struct guid *ret_instance)
{
	for (uint32_t relid = 1; relid <= VMBUS_CHANNEL_MAX; relid++) {
		struct vmbus_channel *channel = bus->channels[relid];

		if (!channel || !channel->unclaimed)
			continue;
		if (!(channel->offer.flags & VMBUS_OFFER_SOCKET)) {
			*ret_type = channel->offer.type;
			*ret_instance = channel->offer.instance;
			return STATE_E_INVALID;
		}
		channel_abandon(channel);
	}
	/* Those that a device would have used, and does not. */
	for (size_t i = 0; i < ARRAY_SIZE(bus->gpadls.buckets); i++)
		list_for_each (link, &bus->gpadls.buckets[i])
			channel_settle_gpadl(bus, container_of(link, struct gpadl, link));
	return 0;
}
