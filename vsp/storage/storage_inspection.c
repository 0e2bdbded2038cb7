/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A storage controller as it is now, for whoever looks for a fault. */
#include "common/base/json.h"
#include "vsp/storage/storvsp.h"

static const char *state_name(enum storvsp_state state)
{
	switch (state) {
	case STORVSP_CLOSED:
		return "closed";
	case STORVSP_OPENED:
		return "opened";
	case STORVSP_BEGUN:
		return "begun";
	case STORVSP_VERSIONED:
		return "versioned";
	default:
		return "ready";
	}
}

/* Commands in the SCSI target, by the unit that the guest has sent them to. */
static struct json_object *inspect_units(const struct storage_controller *controller)
{
	struct json_object *units = json_object_new_array();
	unsigned executing[STORAGE_LUN_MAX] = { 0 };

	for (unsigned i = 0; i < controller->fresh; i++) {
		const struct storvsp_request *request = &controller->requests[i];

		if (request->executing && request->command.lun < STORAGE_LUN_MAX)
			executing[request->command.lun]++;
	}
	for (unsigned lun = 0; lun < STORAGE_LUN_MAX; lun++) {
		bool has_disk = storage_disk(controller, lun) != NULL;

		if (has_disk || executing[lun])
			json_append(&units,
				    json_make("lun", json_object_new_int64(lun), "medium",
					      json_object_new_boolean(has_disk), "executing",
					      json_object_new_int64(executing[lun]), NULL));
	}
	return units;
}

static struct json_object *inspect_channels(const struct storage_controller *controller)
{
	struct json_object *channels = json_object_new_array();

	list_for_each (link, (struct list *)&controller->channels.channels) {
		struct device_channel *channel = container_of(link, struct device_channel, link);

		json_append(&channels,
			    json_make("relid",
				      json_object_new_int64(vmbus_channel_relid(channel->channel)),
				      "in_flight", json_object_new_int64(channel->in_flight),
				      "starved",
				      json_object_new_boolean(!list_empty(&channel->starved)),
				      "replies_unsent",
				      json_object_new_boolean(!list_empty(&channel->unsent)),
				      "closing", json_object_new_boolean(channel->closing), NULL));
	}
	return channels;
}

struct json_object *storage_inspect(const struct storage_controller *controller)
{
	return json_make("state", json_object_new_string(state_name(controller->state)),
			 "in_flight", json_object_new_int64(controller->channels.in_flight),
			 "resets_wait", json_object_new_boolean(storvsp_holds(controller)),
			 "commands", json_object_new_uint64(controller->commands), "refused",
			 json_object_new_uint64(controller->refused), "channels",
			 inspect_channels(controller), "units", inspect_units(controller), NULL);
}
