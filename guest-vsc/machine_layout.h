/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What entry.S and machine.c have to agree on: addresses, vectors, and the gate's operations.
 */
#pragma once

#define MACHINE_ENTRY_BASE 0x200000

/*
 * The first GiB is mapped as it is, but for its last 4 MiB: 2 MiB of another device's registers, if
 * any, and 2 MiB with the LAPIC's. So is another GiB that is asked for.
 */
#define MACHINE_DEVICE         0x3fc00000
#define MACHINE_LAPIC_PHYSICAL 0xfee00000
#define MACHINE_LAPIC          0x3fe00000
#define MACHINE_LAPIC_EOI      0xb0
#define MACHINE_LAPIC_SPURIOUS 0xf0

#define MACHINE_PAGE_SIZE  0x200000
#define MACHINE_PTE_TABLE  0x007 /* present, writable, user */
#define MACHINE_PTE_MEMORY 0x087 /* the same, 2 MiB */
#define MACHINE_PTE_DEVICE 0x09f /* present, writable, user, not cached, 2 MiB */

#define MACHINE_VECTOR_INTERRUPT 0x40
#define MACHINE_VECTOR_SPURIOUS  0x4f

#define MACHINE_GATE_READ_MSR  0
#define MACHINE_GATE_WRITE_MSR 1
#define MACHINE_GATE_CALL      2
#define MACHINE_GATE_HALT      3
#define MACHINE_GATE_CPUID     4
