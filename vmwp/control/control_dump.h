/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The methods "dump" and "cancel_dump" of the control socket: one core file at a time, while the VM
 * is paused.
 *
 * Thread: the loop's.
 */
#pragma once

#include "vmwp/control/control_methods.h"

struct control_dump;

/* Answers later, unless it cannot begin. */
void control_dump_start(struct control_server *server, struct worker *worker,
			struct control_message *request, struct reply *reply);
void control_dump_cancel(struct worker *worker);

/* After the loop has been freed. NULL is allowed. */
void control_dump_free(struct control_dump *dump);
