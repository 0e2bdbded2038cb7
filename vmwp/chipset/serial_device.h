/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The serial port as a row of the chipset's table, with the console's end of it: what chipset.h
 * says of chipset_console_take() and so on. `device` is the row's object.
 */
#pragma once

#include "vmwp/chipset/chipset_device.h"

extern const struct chipset_device_ops serial_device_ops;

/* chipset_devices_settle() is to be called after these. */
size_t serial_device_take(void *device, void *buffer, size_t size);
size_t serial_device_put(void *device, const void *data, size_t size);
void serial_device_set_stalled(void *device, bool stalled);

uint32_t serial_device_written(const void *device);
