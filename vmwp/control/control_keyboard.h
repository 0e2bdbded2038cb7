/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The method of the control socket that types. */
#pragma once

#include "common/control_contract.h"
#include "vmwp/control/control_call.h"

void control_keyboard_press(struct call *call, const struct control_arguments *arguments);
