/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An i8042 with a keyboard, of generation 2: its firmware waits for one, and for its answers.
 *
 * It has no interrupts, which the firmware does not want, and no mouse; nobody presses keys yet.
 * Sources: IBM PS/2 Hardware Interface Technical Reference, "Keyboard and Auxiliary Device
 * Controller"; edk2 MdeModulePkg/Bus/Isa/Ps2KeyboardDxe.
 */
#pragma once

#include "vmwp/chipset/chipset_device.h"

#define I8042_OUTPUT_MAX 16

extern const struct chipset_device_ops i8042_ops;

/* Its state, version 1. Stored format. */
struct i8042_state {
	uint8_t control; /* the command byte */
	uint8_t expects; /* whose parameter is the next byte to the data port; 0: a command */
	uint8_t count;   /* of bytes to be read */
	uint8_t last;    /* of them, as the data port has it once they are read */
	uint8_t output[I8042_OUTPUT_MAX];
	uint8_t zero[4];
};
_Static_assert(sizeof(struct i8042_state) == 24, "stored format");
