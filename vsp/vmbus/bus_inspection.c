/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The VMBus host as it is now, for whoever looks for a fault. */
#include "common/base/json.h"
#include "vsp/vmbus/bus.h"

#include <stdio.h>

/* ---- The connection ---- */

static const char *const bus_states[] = {
	[BUS_DISCONNECTED] = "disconnected",
	[BUS_CONNECTED] = "connected",
	[BUS_LEAVING] = "leaving",
};

static unsigned count_channels(const struct vmbus *bus, bool open)
{
	unsigned count = 0;

	for (uint32_t relid = 1; relid <= VMBUS_CHANNEL_MAX; relid++) {
		const struct vmbus_channel *channel = bus->channels[relid];

		count += channel && (!open || channel->state == CHANNEL_OPEN);
	}
	return count;
}

static struct json_object *inspect_version(uint32_t version)
{
	char text[24] = "";

	if (version)
		snprintf(text, sizeof(text), "%u.%u", version >> 16, version & 0xffff);
	return json_object_new_string(text);
}

struct json_object *vmbus_inspect(const struct vmbus *bus)
{
	return json_make("state", json_object_new_string(bus_states[bus->state]), "version",
			 inspect_version(vmbus_version(bus)), "target_vp",
			 json_object_new_int64(bus->target_vp), "connection_id",
			 json_object_new_int64(bus->connection_id), "offers_requested",
			 json_object_new_boolean(bus->offers_requested), "channels",
			 json_object_new_int64(count_channels(bus, false)), "channels_open",
			 json_object_new_int64(count_channels(bus, true)), "channels_closing",
			 json_object_new_int64(bus->closing_count), "gpadls",
			 json_object_new_int64(bus->gpadls.count), "gpadl_words",
			 json_object_new_int64(bus->gpadls.word_count), "replies_waiting",
			 json_object_new_int64(bus->outbox.count), "offers_waiting",
			 json_object_new_boolean(!list_empty(&bus->outbox.channels)), "busy_poll",
			 json_object_new_boolean(bus->busy_polls), "moderation",
			 json_object_new_boolean(bus->moderation.on), NULL);
}

/* ---- Channels ---- */

static const char *const channel_states[] = {
	[CHANNEL_CLOSED] = "closed",
	[CHANNEL_OPEN] = "open",
	[CHANNEL_CLOSING] = "closing",
};

/* Each number is read once; the other end may be writing it. */
static struct json_object *inspect_shared(const uint32_t *number)
{
	return json_object_new_int64(__atomic_load_n(number, __ATOMIC_RELAXED));
}

/* position, published: this end's own; the rest as it lies in the guest's memory. */
static struct json_object *inspect_ring(const struct ring *ring)
{
	return json_make("size", json_object_new_int64(ring->size), "write",
			 inspect_shared(&ring->control->write_index), "read",
			 inspect_shared(&ring->control->read_index), "interrupt_mask",
			 inspect_shared(&ring->control->interrupt_mask), "pending_size",
			 inspect_shared(&ring->control->pending_send_size), "position",
			 json_object_new_int64(ring->position), "published",
			 json_object_new_int64(ring->published), NULL);
}

static struct json_object *inspect_counters(const struct vmbus_channel_counters *counters)
{
	return json_make("packets_in", json_object_new_uint64(counters->packets_in), "packets_out",
			 json_object_new_uint64(counters->packets_out), "signals_in",
			 json_object_new_uint64(counters->signals_in), "signals_out",
			 json_object_new_uint64(counters->signals_out), "signals_spared",
			 json_object_new_uint64(counters->signals_spared), "signals_awaited",
			 json_object_new_uint64(counters->signals_awaited), "ring_full",
			 json_object_new_uint64(counters->ring_full), "corrupt",
			 json_object_new_uint64(counters->corrupt), NULL);
}

static struct json_object *inspect_guid(const struct guid *guid)
{
	char text[GUID_TEXT_SIZE];

	guid_format(guid, text);
	return json_object_new_string(text);
}

static struct json_object *inspect_flags(const struct vmbus_channel *channel)
{
	const struct {
		const char *name;
		bool set;
	} flags[] = {
		{ "offered", channel->offered },
		{ "rescinded", channel->rescinded },
		{ "masked", channel->masked },
		{ "busy_polled", !list_empty(&channel->busy_poll) },
		{ "moderated", !list_empty(&channel->moderated) },
		{ "followed", channel->followed },
		{ "pending", channel->pending },
		{ "broken", channel->broken },
	};
	struct json_object *names = json_object_new_array();

	for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
		if (flags[i].set)
			json_append(&names, json_object_new_string(flags[i].name));
	return names;
}

static void add_open(const struct vmbus_channel *channel, struct json_object **tree)
{
	json_add(tree, "target_vp", json_object_new_int64(channel->target_vp));
	json_add(tree, "gpadl", json_object_new_int64(channel->gpadl->id));
	json_add(tree, "in", inspect_ring(&channel->in));
	json_add(tree, "out", inspect_ring(&channel->out));
	json_add(tree, "blocked_size", json_object_new_int64(channel->blocked));
	json_add(tree, "completions_pending", json_object_new_int64(channel->completions_pending));
	json_add(tree, "completions_quiet", json_object_new_int64(channel->quiet_count));
}

static struct json_object *inspect_channel(const struct vmbus_channel *channel)
{
	struct json_object *tree = json_make(
		"relid", json_object_new_int64(channel->relid), "name",
		json_object_new_string(channel->offer.name), "type",
		inspect_guid(&channel->offer.type), "instance",
		inspect_guid(&channel->offer.instance), "sub_channel",
		json_object_new_int64(channel->offer.sub_channel_index), "connection_id",
		json_object_new_int64(channel->connection_id), "state",
		json_object_new_string(channel_states[channel->state]), "flags",
		inspect_flags(channel), "counters", inspect_counters(&channel->counters), NULL);

	/* From packet_stop() on nobody touches the rings. */
	if (channel->state == CHANNEL_OPEN)
		add_open(channel, &tree);
	return tree;
}

struct json_object *vmbus_inspect_channels(const struct vmbus *bus, uint32_t first, unsigned count,
					   uint32_t *ret_next)
{
	struct json_object *channels = json_object_new_array();

	*ret_next = 0;
	for (uint32_t relid = MAX(first, 1u); relid <= VMBUS_CHANNEL_MAX; relid++) {
		if (!bus->channels[relid])
			continue;
		if (count-- == 0) {
			*ret_next = relid;
			break;
		}
		json_append(&channels, inspect_channel(bus->channels[relid]));
	}
	return channels;
}

/* ---- GPADLs ---- */

static struct json_object *inspect_gpadl(const struct gpadl *gpadl)
{
	return json_make("id", json_object_new_int64(gpadl->id), "relid",
			 json_object_new_int64(gpadl->relid), "ranges",
			 json_object_new_int64(gpadl->range_count), "words",
			 json_object_new_int64(gpadl->word_count), "words_received",
			 json_object_new_int64(gpadl->words_received), "users",
			 json_object_new_int64(gpadl->users), "torn_down",
			 json_object_new_boolean(gpadl->torn_down), "orphan",
			 json_object_new_boolean(gpadl->orphan), NULL);
}

struct json_object *vmbus_inspect_gpadls(const struct vmbus *bus, uint32_t first, unsigned count,
					 uint32_t *ret_next)
{
	struct json_object *gpadls = json_object_new_array();
	uint32_t number = 0;

	*ret_next = 0;
	for (size_t i = 0; i < GPADL_BUCKETS; i++)
		list_for_each (link, &bus->gpadls.buckets[i]) {
			if (number >= first && number - first == count) {
				*ret_next = number;
				return gpadls;
			}
			if (number++ >= first)
				json_append(&gpadls,
					    inspect_gpadl(container_of(link, struct gpadl, link)));
		}
	return gpadls;
}
