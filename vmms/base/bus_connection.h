/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A connection to a message bus: the system's, a user's, or one at a given address. The service on
 * the bus, the process that serves calls with descriptors, and the requests to systemd each have
 * one of their own.
 *
 * Thread: the event loop's.
 */
#pragma once

#include "common/base/cc.h"

#include <stdbool.h>
#include <systemd/sd-bus.h>

enum dbus_scope { DBUS_SYSTEM, DBUS_USER, DBUS_ADDRESS };

struct dbus_settings {
	enum dbus_scope scope;
	const char *address;             /* of DBUS_ADDRESS */
	const char *group;               /* whose members may have VMs of their own */
	unsigned authentication_timeout; /* seconds that people get, whom polkit asks */
};

/*
 * A connection to that bus. descriptors: whether messages may bring any; else the bus refuses them.
 * Return: 0, or more; -errno.
 */
int dbus_open(const struct dbus_settings *settings, bool descriptors, sd_bus **ret_bus) MUST_CHECK;
