/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The real-time clock as a row of the chipset's table. Its alarm is an event of power management. */
#pragma once

#include "vmwp/chipset/chipset_device.h"

extern const struct chipset_device_ops rtc_device_ops;

/*
 * Time has passed. chipset_devices_settle() is to be called after it. Return: after how many
 * nanoseconds this is to be called again; 0: not, until the `alarm` callback.
 */
uint64_t rtc_device_tick(void *device);
