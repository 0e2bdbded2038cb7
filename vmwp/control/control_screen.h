/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The method of the control socket that gives what is on the screen. */
#pragma once

#include "common/control_contract.h"
#include "vmwp/control/control_call.h"

void control_screen_show(struct call *call, const struct control_arguments *arguments);
void control_screen_take_picture(struct call *call, const struct control_arguments *arguments);
