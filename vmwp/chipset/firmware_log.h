/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A port to which firmware writes what it does, in lines, which go to the worker's log where that
 * is verbose, and of which the host is told some. Source: SeaBIOS src/hw/serialio.c (qemu_debug_preinit).
 */
#pragma once

#include "vmwp/chipset/chipset_device.h"

#define FIRMWARE_LOG_LINE 120 /* bytes; longer ones are told in pieces */

extern const struct chipset_device_ops firmware_log_ops;

/* Its state, version 1. Stored format. */
struct firmware_log_state {
	uint8_t length;
	uint8_t zero[7];
	uint8_t line[FIRMWARE_LOG_LINE]; /* zeros behind its end */
};
_Static_assert(sizeof(struct firmware_log_state) == 128, "stored format");
