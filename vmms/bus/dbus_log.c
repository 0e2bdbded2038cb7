/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* org.vmms1.VM, the event log: GetLog() and Logged. */
#include "vmms/bus/dbus_internal.h"
#include "vmms/vm/manager.h"

static int dbus_log_append_entry(void *data, const struct vm_log_entry *entry)
{
	return sd_bus_message_append(data, "(ttyss)", entry->sequence, entry->time, entry->priority,
				     entry->event, entry->message);
}

int dbus_get_log(sd_bus_message *call, void *data, sd_bus_error *error)
{
	sd_bus_message *reply = NULL;
	uint32_t count;
	int r;

	r = sd_bus_message_read(call, "u", &count);
	if (r >= 0)
		r = sd_bus_message_new_method_return(call, &reply);
	if (r >= 0)
		r = sd_bus_message_open_container(reply, 'a', "(ttyss)");
	if (r >= 0)
		r = vm_log_each(data, count, dbus_log_append_entry, reply);
	if (r >= 0)
		r = sd_bus_message_close_container(reply);
	if (r >= 0)
		r = sd_bus_send(NULL, reply, NULL);
	sd_bus_message_unref(reply);
	return r;
}

static int dbus_log_fill(sd_bus_message *message, const void *data)
{
	const struct vm_log_entry *entry = data;

	return sd_bus_message_append(message, "ttyss", entry->sequence, entry->time,
				     entry->priority, entry->event, entry->message);
}

void dbus_vm_logged(struct dbus_service *service, struct vm *vm, const struct vm_log_entry *entry)
{
	char path[DBUS_VM_PATH_SIZE];
	const struct dbus_object object = { .path = path, .interface = DBUS_INTERFACE_VM };

	dbus_vm_path(vm, path);
	dbus_signal_send(service, (struct dbus_audience){ .vm = vm }, &object, "Logged",
			 dbus_log_fill, entry);
}
