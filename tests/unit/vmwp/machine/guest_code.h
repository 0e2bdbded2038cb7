/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Guests of a few instructions, for kernel_image_elf(): 32-bit protected mode, no stack, no IDT.
 */
#pragma once

#include <stdint.h>

#define GUEST_PRINT(c) 0x66, 0xba, 0xf8, 0x03, 0xb0, (c), 0xee  /* out 0x3f8, c */
#define GUEST_RESET    0x66, 0xba, 0xf9, 0x0c, 0xb0, 0x06, 0xee /* out 0xcf9, 6 */
#define GUEST_HALT     0xf4, 0xeb, 0xfd                         /* hlt, for ever */
#define GUEST_FAULT    0x0f, 0x0b                               /* ud2: there is no IDT */
#define GUEST_LOOP(n)  0xeb, (uint8_t)(-(n)-2)                  /* jmp n bytes back */
/* out 0x604, S5, 16 bits wide */
#define GUEST_OFF 0x66, 0xba, 0x04, 0x06, 0x66, 0xb8, 0x00, 0x34, 0x66, 0xef

/* wrmsr: the crash parameter n (0 to 4), and the crash control MSR's "crashed" bit. */
#define GUEST_WRMSR(index, high, low)                                                            \
	0xb9, (index)&0xff, (index) >> 8 & 0xff, 0x00, 0x40, 0xba, 0, 0, 0, (high), 0xb8, (low), \
		0, 0, 0, 0x0f, 0x30
#define GUEST_CRASH GUEST_WRMSR(0x100, 0, 0x42), GUEST_WRMSR(0x105, 0x80, 0)
