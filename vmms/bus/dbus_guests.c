/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The methods of org.vmms1.Manager that the host's start and shutdown call, by vmms-guests.service:
 * docs/dbus/org.vmms1.Manager.md.
 */
#include "vmms/bus/dbus_internal.h"

#include <errno.h>

/* A call that waits for all VMs to be at rest. */
struct stop_call {
	struct list link;
	sd_bus_message *call;
};

void dbus_guests_stopped(struct dbus_service *service)
{
	while (!list_empty(&service->stop_calls)) {
		struct stop_call *stop =
			container_of(service->stop_calls.next, struct stop_call, link);

		list_unlink(&stop->link);
		dbus_done(stop->call, NULL);
		free(stop);
	}
}

int dbus_stop_guests(sd_bus_message *call, void *data, sd_bus_error *error)
{
	struct dbus_service *service = data;
	struct manager *manager = service->manager;
	struct stop_call *stop = malloc(sizeof(*stop));
	bool begun = manager->stopping && !manager_is_stopped(manager);

	if (!stop)
		return -ENOMEM;
	stop->call = sd_bus_message_ref(call);
	list_append(&service->stop_calls, &stop->link);
	if (!begun)
		manager_stop_guests(manager);
	return 1;
}

int dbus_start_guests(sd_bus_message *call, void *data, sd_bus_error *error)
{
	struct dbus_service *service = data;
	struct failure failure;

	if (manager_start_again(service->manager, &failure) < 0)
		return dbus_reply_failure(call, &failure);
	return sd_bus_reply_method_return(call, "");
}
