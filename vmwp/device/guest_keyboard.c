/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The keyboard of a machine. */
#include "vmwp/device/guest_keyboard.h"

#include "common/base/json.h"
#include "common/definition/definition.h"
#include "vsp/hid/hid.h"

static int guest_keyboard_make(struct device_config *config, void **ret_device,
			       struct failure *failure)
{
	return config->definition->keyboard
		       ? keyboard_new(config->bus, (struct keyboard **)ret_device)
		       : 0;
}

static void guest_keyboard_free(void *device)
{
	keyboard_free(device);
}

static void guest_keyboard_quiesce(void *device, void (*done)(void *data), void *data)
{
	keyboard_quiesce(device);
	done(data);
}

static void guest_keyboard_resume(void *device)
{
	keyboard_resume(device);
}

static int guest_keyboard_save(void *device, struct state_writer *writer)
{
	keyboard_save(device, guest_keyboard_ops.name, writer);
	return 0;
}

static int guest_keyboard_restore(void *device, struct state_reader *reader,
				  struct failure *failure)
{
	const char *name = guest_keyboard_ops.name;

	return device_restore_result(keyboard_restore(device, name, reader), name, failure);
}

static void guest_keyboard_inspect(void *device, struct json_object **tree)
{
	struct keyboard_report report = keyboard_report(device);

	json_add(tree, "keyboard",
		 json_make("state", json_object_new_string(keyboard_state_name(report.state)),
			   "waiting", json_object_new_uint64(report.waiting), "sent",
			   json_object_new_uint64(report.sent), NULL));
}

const struct device_ops guest_keyboard_ops = {
	.name = "keyboard",
	.kind = DEVICE_SYNTHETIC,
	.make = guest_keyboard_make,
	.free = guest_keyboard_free,
	.quiesce = guest_keyboard_quiesce,
	.resume = guest_keyboard_resume,
	.save = guest_keyboard_save,
	.restore = guest_keyboard_restore,
	.inspect = guest_keyboard_inspect,
};
