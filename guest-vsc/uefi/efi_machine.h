/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the driver does to the machine beside what guest-vsc/machine.h has. */
#pragma once

/* A register of the PCI function that the driver came with. vmwp/chipset/pci.c has the function. */
#define EFI_MACHINE_PCI_ID       0xb0071414u
#define EFI_MACHINE_PCI_FUNCTION (2u << 3) /* device 2 of bus 0 */
#define EFI_MACHINE_HAND_OVER    0x40

/* Tells the host that a system has the machine now. */
void efi_machine_hand_over(void);
