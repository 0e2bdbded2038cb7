/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Any datagram on the control socket: it is dropped, or it is a message with all its members. */
#include "common/control.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct control_message message;

	if (control_decode((const char *)data, size, &message) != 0)
		return 0;
	if (!message.name || !message.text || !json_object_is_type(message.body, json_type_object))
		abort();
	control_message_deinit(&message);
	return 0;
}
