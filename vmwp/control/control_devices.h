/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The methods of the control socket that change devices: disks, media, network adapters.
 *
 * A request that takes a disk, medium or adapter away is answered when that is closed. Descriptors
 * that came with a request are taken over if it succeeds.
 *
 * Thread: the loop's.
 */
#pragma once

#include "vmwp/control/control_call.h"

/* What a function of the disks (vmwp/device/disks.h) has refused. r: DISKS_E_; -errno. */
void control_disk_reply_error(struct reply *reply, int r, const struct failure *failure);

void control_disk_attach(struct call *call, const struct control_arguments *arguments);
void control_disk_reconnect(struct call *call, const struct control_arguments *arguments);
void control_disk_measure(struct call *call, const struct control_arguments *arguments);
void control_disk_cancel(struct call *call, const struct control_arguments *arguments);
void control_disk_detach(struct call *call, const struct control_arguments *arguments);
void control_disk_insert(struct call *call, const struct control_arguments *arguments);
void control_disk_eject(struct call *call, const struct control_arguments *arguments);

void control_adapter_attach(struct call *call, const struct control_arguments *arguments);
void control_adapter_detach(struct call *call, const struct control_arguments *arguments);

/* Without a back end: the adapter is disconnected. */
void control_adapter_connect(struct call *call, const struct control_arguments *arguments);
