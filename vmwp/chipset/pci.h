/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The PCI bus of generation 1: its host bridge, and the functions of a PIIX4, with the ids that
 * Hyper-V's have; and that of generation 2, which its firmware alone looks for, with the ids of a
 * PIIX3 behind a 440FX, and a function that brings the firmware its driver (vmwp/chipset/option_rom.h).
 *
 * Here is their configuration space alone, by the ports of mechanism 1; what a function does is
 * another row's. In the middle of the address port is the reset port, which takes bytes. Ids:
 * Linux drivers/ata/ata_piix.c, include/linux/pci_ids.h; edk2 OvmfPkg/Include/OvmfPlatforms.h; registers: Intel 290562, "82371AB".
 */
#pragma once

#include "vmwp/chipset/chipset_device.h"

#define PCI_REGISTERS 64 /* of 4 bytes each */

enum pci_function {
	PCI_HOST_BRIDGE,
	PCI_ISA_BRIDGE,
	PCI_STORAGE, /* generation 1: IDE; 2: what brings a driver for synthetic disks */
	PCI_POWER_MANAGEMENT,
	_PCI_FUNCTIONS,
};

struct pci {
	const struct chipset_callbacks *callbacks;
	void *data;
	enum chipset_board board; /* whose ids it has */
	bool told;                /* that it was handed over */
	uint32_t address;         /* bit 31: the data port leads to what the rest names */
	uint32_t registers[_PCI_FUNCTIONS][PCI_REGISTERS];
};

extern const struct chipset_device_ops pci_ops;

/* Where the bus master registers of the IDE function are among the I/O ports. false: nowhere. */
bool pci_ide_bus_master(const struct pci *pci, uint16_t *ret_port);

/* Whether that function may read and write memory. */
bool pci_ide_may_transfer(const struct pci *pci);

/*
 * A register of generation 2's storage function: the driver sets bit 0 when the firmware has left the
 * machine to a system. From then on, until a reset, there is no PCI bus any more, nor what else the
 * firmware alone has use for.
 */
#define PCI_HAND_OVER 0x40
bool pci_is_handed_over(const struct pci *pci);

/* Where generation 2's firmware reads the option ROM. false: nowhere. */
bool pci_option_rom(const struct pci *pci, uint32_t *ret_address);

/* Its state, version 1. Stored format. */
struct pci_state {
	uint32_t address, zero;
	uint32_t registers[_PCI_FUNCTIONS][PCI_REGISTERS];
};
_Static_assert(sizeof(struct pci_state) == 8 + 4 * 256, "stored format");
