/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a worker's machine and devices tell: the worker's log gets a line, the daemon an event where
 * there is one. What a guest can bring about as often as it likes is limited in the log, by the
 * worker's `notes`; events are bounded by control_outbox.h.
 *
 * Thread: the loop's, but for the machine's `console`, which is called on any.
 */
#pragma once

#include "vmwp/device/devices.h"
#include "vmwp/machine/machine.h"

struct worker;

/* Both take the worker as their data. */
extern const struct machine_callbacks worker_machine_callbacks;
extern const struct devices_callbacks worker_devices_callbacks;

/* Tells a daemon that has just come all that is true now, by the events that the one before got. */
void worker_tell_all(struct worker *worker);

/* "5.3"; "" for 0. */
void worker_version_text(uint32_t version, char text[16]);
