/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The flash of generation 2, in which its firmware keeps variables, right below its own image.
 *
 * It is read as memory (struct vid_rom `flash`), and written by commands, a byte or a block at a
 * time; while it shows its status, which the firmware looks at once, it is no memory. It knows no more than
 * the firmware uses: none of what describes the chip. Its content is the host's to keep.
 * Sources: Intel 290667, "3 Volt StrataFlash", commands; edk2 OvmfPkg/QemuFlashFvbServicesRuntimeDxe.
 */
#pragma once

#include "vmwp/chipset/chipset_device.h"

#define FLASH_SIZE  0x84000u
#define FLASH_BLOCK 0x1000u

extern const struct chipset_device_ops flash_ops;

/* bytes: FLASH_SIZE of them, borrowed; NULL: there is no flash any more. */
void flash_set_bytes(void *device, uint8_t *bytes);
void flash_copy(const void *device, uint8_t ret_bytes[static FLASH_SIZE]);

/* Its state, version 1, and all bytes after it. Stored format. */
struct flash_state {
	uint8_t shows_status;
	uint8_t command; /* that waits for its second byte; 0: none */
	uint8_t zero[6];
};
_Static_assert(sizeof(struct flash_state) == 8, "stored format");
