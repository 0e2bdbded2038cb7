/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The ROM of the storage function. */
#include "vmwp/chipset/option_rom.h"

#include "common/base/state.h"
#include "vmwp/base/platform.h"
#include "vmwp/chipset/chipset_devices.h"
#include "vmwp/chipset/pci.h"

#include <string.h>

struct option_rom {
	const struct pci *pci; /* which has its address */
};

static uint64_t option_rom_read(void *device, uint64_t offset, unsigned size)
{
	const struct option_rom *rom = device;
	uint64_t value = UINT64_MAX;
	uint32_t place;

	if (!pci_option_rom(rom->pci, &place) || PLATFORM_PCI_MEMORY + offset < place ||
	    PLATFORM_PCI_MEMORY + offset - place >= OPTION_ROM_SIZE)
		return value;
	memcpy(&value, &option_rom_image[PLATFORM_PCI_MEMORY + offset - place], size);
	return value;
}

static void option_rom_init(void *device, const struct chipset_config *config)
{
	((struct option_rom *)device)->pci = chipset_devices_get(config->devices, &pci_ops);
}

/* What changes is the other row's. */
static void option_rom_save(const void *device, struct state_writer *writer)
{
}

static int option_rom_restore(void *device, struct state_record *record)
{
	return 0;
}

const struct chipset_device_ops option_rom_ops = {
	.name = "option rom",
	.size = sizeof(struct option_rom),
	.mmio = { { PLATFORM_PCI_MEMORY, PLATFORM_PCI_MEMORY_SIZE, 8, option_rom_read, NULL } },
	.init = option_rom_init,
	.state_version = 1,
	.save = option_rom_save,
	.restore = option_rom_restore,
};
