/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The mouse of a machine, where the definition has one: the device is a struct mouse
 * (vsp/hid/mouse.h).
 *
 * Thread: the loop's.
 */
#pragma once

#include "vmwp/base/device.h"

extern const struct device_ops guest_mouse_ops;
