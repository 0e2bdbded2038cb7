/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a UEFI can boot, as its variables have it: Boot0000 and so on, in the order of BootOrder.
 * Source: UEFI specification 2.10: 3.1.3 (load options), 10 (device paths).
 */
#pragma once

#include "common/base/cc.h"
#include "common/firmware/variable_store.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BOOT_ENTRIES_MAX       64
#define BOOT_ENTRY_DESCRIPTION 96
#define BOOT_ENTRY_PATH        256

/* Texts are printable ASCII, cut off where they are longer; other characters are '?'. */
struct boot_option {
	uint16_t number;
	bool active;
	bool next; /* once, by BootNext */
	char description[BOOT_ENTRY_DESCRIPTION];
	char path[BOOT_ENTRY_PATH]; /* as the firmware writes it: PciRoot(0x0)/Pci(0x2,0x0)/... */
};

/* Return: how many. */
size_t boot_entries_read(const uint8_t bytes[static VARIABLES_SIZE],
			 struct boot_option ret_entries[static BOOT_ENTRIES_MAX]);
