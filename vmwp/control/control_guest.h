/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The methods of the control socket that ask something of the guest, through its integration
 * services: values, freeze and thaw, file copy.
 *
 * Thread: the loop's.
 */
#pragma once

#include "vmwp/control/control_methods.h"

/* Return: false: the request is none of these. */
bool control_guest_call(struct control_server *server, struct worker *worker,
			struct control_message *request, struct reply *reply);
