/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Devices of another table than the worker's, whose walks are the same.
 *
 * Thread: the loop's.
 */
#pragma once

#include "vmwp/device/devices.h"

/* As devices_new(). table: borrowed; a row of each id, none of them NULL. */
int devices_new_of(const struct device_ops *const table[_DEVICE_COUNT],
		   const struct device_config *config, struct devices **ret_devices,
		   struct failure *failure) MUST_CHECK;
