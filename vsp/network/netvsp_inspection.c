/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A network adapter as it is now, for whoever looks for a fault. */
#include "common/base/json.h"
#include "vsp/network/netvsp.h"

static const char *state_name(enum netvsp_state state)
{
	switch (state) {
	case NETVSP_CLOSED:
		return "closed";
	case NETVSP_OPENED:
		return "opened";
	default:
		return "versioned";
	}
}

static struct json_object *inspect_channels(const struct network_adapter *adapter)
{
	struct json_object *channels = json_object_new_array();

	list_for_each (link, &adapter->channels.channels) {
		struct netvsp_channel *channel =
			container_of(link, struct netvsp_channel, base.link);

		json_append(
			&channels,
			json_make("relid",
				  json_object_new_int64(vmbus_channel_relid(channel->base.channel)),
				  "index", json_object_new_int64(channel->base.index), "open",
				  json_object_new_boolean(channel->open), "in_flight",
				  json_object_new_int64(channel->base.in_flight), "starved",
				  json_object_new_boolean(!list_empty(&channel->base.starved)),
				  "completions_unsent",
				  json_object_new_boolean(!list_empty(&channel->base.unsent)),
				  "blocked", json_object_new_boolean(channel->blocked), NULL));
	}
	return channels;
}

static struct json_object *inspect_receiving(const struct network_adapter *adapter)
{
	struct json_object *queues = json_object_new_array();

	for (unsigned i = 0; adapter->backend && i < adapter->backend->queue_count; i++)
		json_append(&queues, json_object_new_int64(adapter->queue_out[i]));
	return json_make("buffer", json_object_new_boolean(adapter->receive_buffer != NULL),
			 "slot_size", json_object_new_int64(adapter->slot_size), "slots",
			 json_object_new_int64(adapter->slot_count), "slots_free",
			 json_object_new_int64(adapter->free_count), "slots_lent",
			 json_object_new_int64(adapter->lent_count), "buffers_out",
			 json_object_new_int64(adapter->buffers_out), "buffers_by_queue", queues,
			 NULL);
}

static struct json_object *inspect_sending(const struct network_adapter *adapter)
{
	return json_make("buffer", json_object_new_boolean(adapter->send_buffer != NULL), "packets",
			 json_object_new_int64(adapter->channels.in_flight), "frames",
			 json_object_new_int64(adapter->frame_count), NULL);
}

struct json_object *network_adapter_inspect(const struct network_adapter *adapter)
{
	return json_make("backend", json_object_new_string(network_adapter_backend(adapter)),
			 "state", json_object_new_string(state_name(adapter->state)), "version",
			 json_make_hex(adapter->version), "frame_size",
			 json_object_new_int64(adapter->frame_size), "receiving",
			 inspect_receiving(adapter), "sending", inspect_sending(adapter),
			 "channels", inspect_channels(adapter), "removing",
			 json_object_new_boolean(adapter->removing), NULL);
}
