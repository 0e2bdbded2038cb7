/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Connecting to a message bus. */
#include "vmms/base/bus_connection.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

static int connection_set_address(const struct dbus_settings *settings, sd_bus *bus)
{
	const char *address = settings->address, *folder = getenv("XDG_RUNTIME_DIR");
	char path[PATH_MAX];

	if (settings->scope == DBUS_SYSTEM)
		address = getenv("DBUS_SYSTEM_BUS_ADDRESS");
	else if (settings->scope == DBUS_USER)
		address = getenv("DBUS_SESSION_BUS_ADDRESS");
	if (address)
		return sd_bus_set_address(bus, address);
	if (settings->scope == DBUS_SYSTEM)
		return sd_bus_set_address(bus, "unix:path=/run/dbus/system_bus_socket");
	if (!folder)
		return -ENOMEDIUM;
	snprintf(path, sizeof(path), "unix:path=%s/bus", folder);
	return sd_bus_set_address(bus, path);
}

int dbus_open(const struct dbus_settings *settings, bool descriptors, sd_bus **ret_bus)
{
	sd_bus *bus = NULL;
	int r;

	r = sd_bus_new(&bus);
	if (r >= 0)
		r = sd_bus_set_description(bus, "vmms");
	if (r >= 0)
		r = connection_set_address(settings, bus);
	if (r >= 0)
		r = sd_bus_set_bus_client(bus, true);
	if (r >= 0)
		r = sd_bus_negotiate_fds(bus, descriptors);
	if (r >= 0)
		r = sd_bus_start(bus);
	if (r < 0) {
		sd_bus_unref(bus);
		return r;
	}
	*ret_bus = bus;
	return 0;
}
