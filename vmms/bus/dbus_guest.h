/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The members of org.vmms1.VM that ask something of the guest, show what it told, or move it:
 * handlers for the table in vmms/bus/dbus_vm.c. data: the struct vm.
 */
#pragma once

#include <systemd/sd-bus.h>

int dbus_list_guest_values(sd_bus_message *call, void *data, sd_bus_error *error);
int dbus_get_guest_value(sd_bus_message *call, void *data, sd_bus_error *error);
int dbus_press_keys(sd_bus_message *call, void *data, sd_bus_error *error);
int dbus_set_guest_value(sd_bus_message *call, void *data, sd_bus_error *error);
int dbus_delete_guest_value(sd_bus_message *call, void *data, sd_bus_error *error);
int dbus_freeze(sd_bus_message *call, void *data, sd_bus_error *error);
int dbus_thaw(sd_bus_message *call, void *data, sd_bus_error *error);
int dbus_copy_file(sd_bus_message *call, void *data, sd_bus_error *error);
int dbus_dump_memory(sd_bus_message *call, void *data, sd_bus_error *error);
int dbus_send(sd_bus_message *call, void *data, sd_bus_error *error);
int dbus_receive(sd_bus_message *call, void *data, sd_bus_error *error);
int dbus_open_screen(sd_bus_message *call, void *data, sd_bus_error *error);
int dbus_watch_screen(sd_bus_message *call, void *data, sd_bus_error *error);
int dbus_take_picture(sd_bus_message *call, void *data, sd_bus_error *error);
int dbus_open_socket(sd_bus_message *call, void *data, sd_bus_error *error);

int dbus_get_guest_addresses(sd_bus *bus, const char *path, const char *interface,
			     const char *property, sd_bus_message *reply, void *data,
			     sd_bus_error *error);
