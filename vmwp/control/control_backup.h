/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The methods of the control socket by which disks are read as they are at one instant
 * (vmwp/device/disk_backup.h): the vps are paused for it, unless they are.
 *
 * Thread: the loop's.
 */
#pragma once

#include "vmwp/control/control_call.h"

struct control_backup;

void control_backup_begin(struct call *call, const struct control_arguments *arguments);
void control_backup_serve(struct call *call, const struct control_arguments *arguments);
void control_backup_end(struct call *call, const struct control_arguments *arguments);

/* The daemon that has asked for one is gone, and with it whoever reads it. */
void control_backup_abandon(struct worker *worker);

/* After the loop has ended. Accepts NULL. */
void control_backup_free(struct control_backup *backup);
