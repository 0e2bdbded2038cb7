/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Ports and interrupts of the chipset: what the ACPI tables promise and the devices answer. */
#pragma once

#define PLATFORM_SERIAL_PORT 0x3f8
#define PLATFORM_SERIAL_IRQ  4

#define PLATFORM_RTC_PORT 0x70
#define PLATFORM_RTC_IRQ  8

#define PLATFORM_PM1_EVENT_PORT   0x600 /* status and enable, 2 bytes each */
#define PLATFORM_PM1_CONTROL_PORT 0x604 /* 2 bytes */
#define PLATFORM_PM_TIMER_PORT    0x608 /* 4 bytes */
#define PLATFORM_GPE0_PORT        0x60c /* status and enable, 1 byte each */
#define PLATFORM_GPE_GENERATION   0     /* the VM's generation ID is another one */
#define PLATFORM_SCI_IRQ          9
#define PLATFORM_SLEEP_TYPE_S4    4
#define PLATFORM_SLEEP_TYPE_S5    5

/* Where an NMI came from: not from memory or a bus. Else as of a port that there is not. */
#define PLATFORM_NMI_STATUS_PORT 0x61
#define PLATFORM_NMI_STATUS      0x3f

#define PLATFORM_KEYBOARD_DATA  0x60 /* of an i8042, in generation 2 */
#define PLATFORM_KEYBOARD_PORT  0x64 /* its other one; elsewhere for its reset command only */
#define PLATFORM_KEYBOARD_RESET 0xfe
#define PLATFORM_RESET_PORT     0xcf9
#define PLATFORM_RESET_VALUE    0x06 /* what the ACPI tables say to write */
#define PLATFORM_RESET_CPU      0x04 /* the bit of it that resets */

/* With firmware: the PCI host bridge, whose ports have the reset port among them. */
#define PLATFORM_PCI_ADDRESS_PORT 0xcf8  /* 4 bytes */
#define PLATFORM_PCI_DATA_PORT    0xcfc  /* 4 bytes */
#define PLATFORM_PCI_IO_WINDOW    0xc000 /* ports that functions may be given, to the last one */
#define PLATFORM_PCI_IO_SIZE      0x4000

/* Where generation 2's firmware may place what has an address; RAM comes first. */
#define PLATFORM_PCI_MEMORY      0x80000000u
#define PLATFORM_PCI_MEMORY_SIZE 0x7c000000u

#define PLATFORM_FW_CFG_PORT       0x510 /* 2 bytes: the selector; the second has the data, too */
#define PLATFORM_FIRMWARE_LOG_PORT 0x402

/* Generation 2's flash, between what it may place and its firmware. */
#define PLATFORM_FLASH      0xffc00000u
#define PLATFORM_FLASH_SIZE 0x84000u

/* Generation 1's IDE channels. */
#define PLATFORM_IDE_PORT_0    0x1f0 /* 8 bytes */
#define PLATFORM_IDE_PORT_1    0x170
#define PLATFORM_IDE_CONTROL_0 0x3f6
#define PLATFORM_IDE_CONTROL_1 0x376
#define PLATFORM_IDE_IRQ_0     14
#define PLATFORM_IDE_IRQ_1     15
