/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The order in which firmware tries disks and DVD drives, as it reads it: paths of Open Firmware's kind,
 * one a line. Sources: SeaBIOS src/boot.c; edk2 OvmfPkg/Library/QemuBootOrderLib.
 */
#pragma once

#include "common/definition/definition.h"

#include <stddef.h>

#define BOOT_ORDER_SIZE 2048u /* with the NUL */

/*
 * "": the firmware is to go by what it remembers. What there is no room for is left out: the last
 * ones.
 */
void boot_order_write(const struct definition *definition, char ret_text[static BOOT_ORDER_SIZE]);
