/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Tells when interfaces of the host have come, gone or changed.
 *
 * Thread: the event loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/cleanup.h"

#include <systemd/sd-event.h>

struct network_monitor;

/*
 * changed: called a moment after the first of several changes, and once in the beginning. Return:
 * 0; -errno.
 */
int network_monitor_new(sd_event *loop, void (*changed)(void *data), void *data,
			struct network_monitor **ret_monitor) MUST_CHECK;

/* As if something had changed. */
void network_monitor_again(struct network_monitor *monitor);

void network_monitor_free(struct network_monitor *monitor);
DEFINE_CLEANUP(struct network_monitor *, network_monitor_free)
