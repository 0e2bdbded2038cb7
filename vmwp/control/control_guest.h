/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The methods of the control socket that ask something of the guest, through its integration
 * services: values, freeze and thaw, file copy.
 *
 * Thread: the loop's.
 */
#pragma once

#include "vmwp/control/control_call.h"

void control_guest_call(struct call *request, const struct control_arguments *arguments);
