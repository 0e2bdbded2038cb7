/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The ROM of generation 2's storage function: a driver for UEFI (guest-vsc/uefi), by which the
 * firmware has the disks of the synthetic SCSI controllers.
 *
 * It is read where the firmware has put it; nobody else looks for it. The image is part of this
 * program. Sources: PCI Firmware Specification 3.2, 5.1; UEFI specification 2.10, 14.4.2.
 */
#pragma once

#include "vmwp/chipset/chipset_device.h"

#define OPTION_ROM_SIZE 32768u /* a power of two */

/* Header, PCI data structure and driver. */
extern const uint8_t option_rom_image[OPTION_ROM_SIZE];

extern const struct chipset_device_ops option_rom_ops;
