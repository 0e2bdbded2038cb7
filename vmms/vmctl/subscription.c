/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Being told of what happens. */
#include "vmms/vmctl/subscription.h"

#include "vmms/vmctl/service.h"

#define BUS_NAME "org.freedesktop.DBus"

static int subscription_ask(sd_bus *bus)
{
	AUTO_MESSAGE sd_bus_message *call = NULL;
	int r;

	r = sd_bus_message_new_method_call(bus, &call, DBUS_NAME, DBUS_PATH, DBUS_INTERFACE_MANAGER,
					   "Subscribe");
	if (r >= 0)
		r = sd_bus_message_set_expect_reply(call, false);
	if (r >= 0)
		r = sd_bus_message_set_allow_interactive_authorization(call, false);
	/* The calls that are to be told of come after it. */
	return r < 0 ? r : sd_bus_send(bus, call, NULL);
}

static int subscription_on_owner(sd_bus_message *message, void *data, sd_bus_error *error)
{
	const char *name, *before, *now;
	int r;

	r = sd_bus_message_read(message, "sss", &name, &before, &now);
	return r > 0 && now[0] != '\0' ? subscription_ask(data) : 0;
}

int subscription_begin(struct invocation *invocation)
{
	int r;

	r = sd_bus_add_match(invocation->bus, NULL,
			     "type='signal',sender='" BUS_NAME "',interface='" BUS_NAME
			     "',member='NameOwnerChanged',arg0='" DBUS_NAME "'",
			     subscription_on_owner, invocation->bus);
	return r < 0 ? r : subscription_ask(invocation->bus);
}
