/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The methods of the control socket by which disks go on with children of their images
 * (vmwp/device/disk_fork.h), at one instant: the vps are paused for it, unless they are.
 *
 * Thread: the loop's.
 */
#pragma once

#include "vmwp/control/control_call.h"

struct control_fork;

void control_fork_prepare(struct call *call, const struct control_arguments *arguments);
void control_fork_start(struct call *call, const struct control_arguments *arguments);

/* After the loop has ended. Accepts NULL. */
void control_fork_free(struct control_fork *fork);
