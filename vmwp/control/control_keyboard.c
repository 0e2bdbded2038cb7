/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The method of the control socket that types. */
#include "vmwp/control/control_keyboard.h"

#include "common/wire/keyboard.h"
#include "vmwp/control/control_server.h"
#include "vmwp/control/worker.h"
#include "vmwp/device/devices.h"
#include "vsp/hid/hid.h"

_Static_assert(CONTROL_KEYS_MAX == KEYBOARD_KEYS_MAX, "all that may wait can come at once");

#define KEYS_ALL (((KEYBOARD_BREAK | KEYBOARD_E0 | KEYBOARD_E1) << CONTROL_KEY_FLAGS_SHIFT) | 0xffu)

/* Return: how many were read; 0: they are none, too many, or not what they have to be. */
static size_t read_keys(struct json_object *array, struct keyboard_key keys[KEYBOARD_KEYS_MAX])
{
	size_t count = json_object_array_length(array);

	if (count > KEYBOARD_KEYS_MAX)
		return 0;
	for (size_t i = 0; i < count; i++) {
		struct json_object *number = json_object_array_get_idx(array, i);
		int64_t key = json_object_get_int64(number);

		if (!json_object_is_type(number, json_type_int) || key & ~(int64_t)KEYS_ALL)
			return 0;
		keys[i] = (struct keyboard_key){
			.make_code = (uint16_t)key,
			.flags = (uint16_t)(key >> CONTROL_KEY_FLAGS_SHIFT),
		};
	}
	return count;
}

void control_keyboard_press(struct call *call, const struct control_arguments *arguments)
{
	struct keyboard *keyboard = devices_get(call->worker->devices, DEVICE_KEYBOARD);
	struct keyboard_key keys[KEYBOARD_KEYS_MAX];
	size_t count = read_keys(arguments->keys, keys);
	int r;

	if (count == 0) {
		reply_error(call->reply, CONTROL_ERROR_INVALID,
			    "keys: must be 1 to %d scan codes with their flags", KEYBOARD_KEYS_MAX);
		return;
	}
	if (!keyboard) {
		reply_error(call->reply, CONTROL_ERROR_NOT_CAPABLE,
			    "The VM has no keyboard: \"keyboard\" in its definition, from its next "
			    "start on.");
		return;
	}
	r = keyboard_press(keyboard, keys, count);
	if (r == KEYBOARD_E_ABSENT)
		reply_error(call->reply, CONTROL_ERROR_NOT_CONNECTED,
			    "The guest has no driver for its keyboard (in Linux the module "
			    "hyperv_keyboard).");
	else if (r == KEYBOARD_E_FULL)
		reply_error(call->reply, CONTROL_ERROR_BUSY,
			    "The guest has not read yet what was typed before.");
}
