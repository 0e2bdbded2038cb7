/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Ports of a PC that guests expect to answer, and that remember nothing: two that reset the machine,
 * and the one that says where an NMI came from.
 */
#pragma once

#include "vmwp/chipset/chipset_device.h"

extern const struct chipset_device_ops legacy_ports_ops;
extern const struct chipset_device_ops keyboard_reset_ops;
extern const struct chipset_device_ops reset_port_ops;

/* What is written to the reset port. Return: what is asked for by it. */
enum power_request reset_port_write(uint8_t value);
