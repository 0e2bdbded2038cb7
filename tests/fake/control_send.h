/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a worker sends over its control socket, at once: for stand-ins of a worker, which may lose a
 * message. The worker itself has vmwp/control/control_outbox.h. Return: as control_send_request().
 */
#pragma once

#include "common/control.h"

#include <errno.h>

static inline int control_send_reply(int socket, uint32_t id, struct json_object *result)
{
	AUTO_JSON struct json_object *message = control_reply(id, result);

	return message ? control_send(socket, message) : -ENOMEM;
}

static inline int control_send_error(int socket, uint32_t id, const char *code, const char *text)
{
	AUTO_JSON struct json_object *message = control_error(id, code, text);

	return message ? control_send(socket, message) : -ENOMEM;
}

static inline int control_send_event(int socket, const char *event, struct json_object *data)
{
	AUTO_JSON struct json_object *message = control_event(event, data);

	return message ? control_send(socket, message) : -ENOMEM;
}
