/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The mouse of a machine. */
#include "vmwp/device/guest_mouse.h"

#include "common/base/json.h"
#include "common/definition/definition.h"
#include "vsp/hid/hid.h"

static int guest_mouse_make(struct device_config *config, void **ret_device,
			    struct failure *failure)
{
	return config->definition->mouse ? mouse_new(config->bus, (struct mouse **)ret_device) : 0;
}

static void guest_mouse_free(void *device)
{
	mouse_free(device);
}

static void guest_mouse_quiesce(void *device, void (*done)(void *data), void *data)
{
	mouse_quiesce(device);
	done(data);
}

static void guest_mouse_resume(void *device)
{
	mouse_resume(device);
}

static int guest_mouse_save(void *device, struct state_writer *writer)
{
	mouse_save(device, guest_mouse_ops.name, writer);
	return 0;
}

static int guest_mouse_restore(void *device, struct state_reader *reader, struct failure *failure)
{
	const char *name = guest_mouse_ops.name;

	return device_restore_result(mouse_restore(device, name, reader), name, failure);
}

static void guest_mouse_inspect(void *device, struct json_object **tree)
{
	struct mouse_status status = mouse_status(device);

	json_add(tree, "mouse",
		 json_make("state", json_object_new_string(mouse_state_name(status.state)),
			   "waiting", json_object_new_uint64(status.waiting), "sent",
			   json_object_new_uint64(status.sent), NULL));
}

const struct device_ops guest_mouse_ops = {
	.name = "mouse",
	.kind = DEVICE_SYNTHETIC,
	.make = guest_mouse_make,
	.free = guest_mouse_free,
	.quiesce = guest_mouse_quiesce,
	.resume = guest_mouse_resume,
	.save = guest_mouse_save,
	.restore = guest_mouse_restore,
	.inspect = guest_mouse_inspect,
};
