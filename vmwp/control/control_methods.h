/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The methods of the control socket (common/control.h), behind its server.
 *
 * Thread: the loop's.
 */
#pragma once

#include "common/base/json.h"
#include "common/control.h"
#include "vmwp/base/failure.h"

#include <stdbool.h>
#include <stdint.h>

struct control_server;
struct worker;

struct reply {
	bool later;        /* none now: control_server_reply() follows */
	const char *error; /* CONTROL_ERROR_; NULL: success */
	struct failure failure;
	struct json_object *result; /* owned; NULL: {} */
};

void reply_error(struct reply *reply, const char *error, const char *format, ...) PRINTF_LIKE(3, 4);

/* Does what a request asks for. */
void control_method_call(struct control_server *server, struct worker *worker,
			 struct control_message *request, struct reply *reply);
