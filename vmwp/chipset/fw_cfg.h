/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the host tells the firmware: the number of processors, and files by name.
 *
 * A port selects an item, and another has its bytes, one after the other; beyond its end there are
 * zeros. Nothing can be written, and there is no DMA. Source: QEMU docs/specs/fw_cfg.rst.
 */
#pragma once

#include "vmwp/chipset/chipset_device.h"

#define FW_CFG_FILES_MAX 16
#define FW_CFG_NAME_MAX  55 /* bytes */

struct fw_cfg_file {
	const char *name; /* at most FW_CFG_NAME_MAX bytes */
	const void *bytes;
	uint32_t size;
};

struct fw_cfg_items {
	uint16_t processors; /* firmware waits for so many, without end */
	unsigned file_count;
	struct fw_cfg_file files[FW_CFG_FILES_MAX];
};

extern const struct chipset_device_ops fw_cfg_ops;

/* items: borrowed; NULL: none any more. */
void fw_cfg_set_items(void *device, const struct fw_cfg_items *items);

/* Its state, version 1. Stored format. The items are the host's. */
struct fw_cfg_state {
	uint16_t selected, zero;
	uint32_t offset; /* of the next byte in what is selected */
};
_Static_assert(sizeof(struct fw_cfg_state) == 8, "stored format");
