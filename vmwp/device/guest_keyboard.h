/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The keyboard of a machine, where the definition has one: the device is a struct keyboard
 * (vsp/hid/keyboard.h).
 *
 * Thread: the loop's.
 */
#pragma once

#include "vmwp/base/device.h"

extern const struct device_ops guest_keyboard_ops;
