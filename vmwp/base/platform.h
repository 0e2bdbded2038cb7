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
#define PLATFORM_SCI_IRQ          9
#define PLATFORM_SLEEP_TYPE_S4    4
#define PLATFORM_SLEEP_TYPE_S5    5

/* Where an NMI came from: not from memory or a bus. Else as of a port that there is not. */
#define PLATFORM_NMI_STATUS_PORT 0x61
#define PLATFORM_NMI_STATUS      0x3f

#define PLATFORM_KEYBOARD_PORT  0x64 /* of an i8042, for its reset command only */
#define PLATFORM_KEYBOARD_RESET 0xfe
#define PLATFORM_RESET_PORT     0xcf9
#define PLATFORM_RESET_VALUE    0x06 /* what the ACPI tables say to write */
#define PLATFORM_RESET_CPU      0x04 /* the bit of it that resets */
