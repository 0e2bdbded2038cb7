/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A console session goes on where vmms is started again: VMs run on meanwhile, and what their guests
 * say waits in their workers.
 */
#include "common/base/cleanup.h"
#include "vmms/vmctl/clock.h"
#include "vmms/vmctl/console.h"
#include "vmms/vmctl/service.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define RECONNECT_TIMEOUT  60     /* seconds */
#define RECONNECT_INTERVAL 200000 /* microseconds */

static const char bus_name[] = "org.freedesktop.DBus", bus_path[] = "/org/freedesktop/DBus";

void console_service_owner(struct invocation *invocation, char owner[CONSOLE_OWNER_MAX])
{
	CLEANUP(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
	AUTO_MESSAGE sd_bus_message *reply = NULL;
	const char *name;

	owner[0] = '\0';
	if (sd_bus_call_method(invocation->bus, bus_name, bus_path, bus_name, "GetNameOwner",
			       &error, &reply, "s", DBUS_NAME) >= 0 &&
	    sd_bus_message_read(reply, "s", &name) >= 0)
		snprintf(owner, CONSOLE_OWNER_MAX, "%s", name);
}

bool console_service_lives(struct invocation *invocation, const char *owner)
{
	CLEANUP(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
	AUTO_MESSAGE sd_bus_message *call = NULL;
	int r;

	if (owner[0] == '\0')
		return false;
	r = sd_bus_message_new_method_call(invocation->bus, &call, owner, DBUS_PATH,
					   "org.freedesktop.DBus.Peer", "Ping");
	if (r >= 0)
		r = sd_bus_call(invocation->bus, call, SERVICE_PING_TIMEOUT * UINT64_C(1000000),
				&error, NULL);
	return r >= 0;
}

static int reconnect_process(struct invocation *invocation)
{
	int r;

	do
		r = sd_bus_process(invocation->bus, NULL);
	while (r > 0);
	return r < 0 ? r : sd_bus_wait(invocation->bus, RECONNECT_INTERVAL);
}

/* Until its names are on the bus and the VM is there, the call fails in many ways. */
static bool reconnect_try(struct invocation *invocation, const char *path,
			  const struct console_options *options, const char *before,
			  int *ret_stream, bool *ret_typing)
{
	CLEANUP(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
	char owner[CONSOLE_OWNER_MAX];

	console_service_owner(invocation, owner);
	return owner[0] != '\0' && strcmp(owner, before) != 0 &&
	       console_try_stream(invocation, path, options, &error, ret_stream, ret_typing) >= 0;
}

enum console_end console_reconnect(struct invocation *invocation, const char *path,
				   const struct console_options *options, const char *before,
				   bool (*left)(void *data), void *data, int *ret_stream,
				   bool *ret_typing)
{
	time_t until = clock_boot() + RECONNECT_TIMEOUT;

	while (clock_boot() < until) {
		if (reconnect_try(invocation, path, options, before, ret_stream, ret_typing))
			return CONSOLE_RECONNECTED;
		if (left(data))
			return CONSOLE_LEFT;
		if (reconnect_process(invocation) < 0)
			break;
	}
	return CONSOLE_LOST;
}
