/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The two IDE channels as a row of the chipset's table: at the ports that they have had since the
 * PC/AT, with the bus master's registers where the PCI function has them.
 */
#pragma once

#include "vmwp/chipset/chipset_device.h"
#include "vmwp/chipset/ide.h"

#define IDE_CHANNELS 2

extern const struct chipset_device_ops ide_device_ops;

/* What chipset.h says of chipset_ide_…(). */
void ide_device_set_disk(void *device, unsigned channel, unsigned unit,
			 const struct ide_disk *disk);
bool ide_device_take(void *device, unsigned channel, struct ide_request *ret_request, void *data);
bool ide_device_is_current(const void *device, unsigned channel, uint32_t serial);
void ide_device_complete(void *device, unsigned channel, uint32_t serial, bool failed,
			 const void *data);
void ide_device_complete_packet(void *device, unsigned channel, uint32_t serial,
				const struct ide_outcome *outcome, const void *data);
void ide_device_give_back(void *device, unsigned channel, uint32_t serial);

/*
 * A channel's state; the record, version 2, has both. In version 1 there were no drives. Stored format.
 * The disks are the host's.
 */
struct ide_state {
	struct ide_registers registers;
	struct ide_sense sense[IDE_DEVICES];
	uint8_t zero[2];
	struct ide_transfer transfer;
	uint8_t buffer[IDE_BUFFER_SECTORS * IDE_SECTOR];
};
_Static_assert(sizeof(struct ide_registers) == 24, "stored format");
_Static_assert(sizeof(struct ide_transfer) == 32, "stored format");
_Static_assert(sizeof(struct ide_sense) == 3, "stored format");
_Static_assert(sizeof(struct ide_state) == 64 + 8192, "stored format");
