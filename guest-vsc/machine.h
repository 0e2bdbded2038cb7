/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The bare machine under a freestanding guest: one vp, all memory mapped as it is.
 *
 * A guest's code runs in ring 3 (entry.S says why); what only ring 0 may do goes through here.
 * Virtual addresses are guest physical addresses. Interrupts are always enabled, and their handler
 * counts them and nothing more. A guest is a program that defines guest_main() and is linked with
 * guest.ld; when that returns, the machine is powered off.
 */
#pragma once

#include "common/base/cc.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The program. */
void guest_main(void);

/* Called when something goes wrong that nobody expected; `text` is one line. The program's. */
void guest_panic(const char *text) __attribute__((noreturn));

/* ---- Model-specific registers. Return: false if the access faulted. ---- */

bool machine_read_msr(uint32_t index, uint64_t *ret_value) MUST_CHECK;
bool machine_write_msr(uint32_t index, uint64_t value) MUST_CHECK;

/* EAX, EBX, ECX and EDX of a CPUID leaf, sub-leaf 0. */
struct machine_cpuid {
	uint32_t eax, ebx, ecx, edx;
};
struct machine_cpuid machine_cpuid(uint32_t leaf);

/* ---- Hypercall page ---- */

/* The page that hypercall_enable() gives to the hypervisor. */
extern uint8_t hypercall_page[];

/* Calls it in ring 0 with RCX, RDX and R8. Return: false if it faulted. */
bool machine_hypercall(uint64_t control, uint64_t first, uint64_t second,
		       uint64_t *ret_status) MUST_CHECK;

/* The same in ring 3; a fault there is for machine_try() to catch. Return: RAX. */
uint64_t machine_call_hypercall_page(uint64_t control, uint64_t first, uint64_t second);

/* ---- Faults ---- */

/* Calls a function that may fault. Return: false if it did. Does not nest. */
bool machine_try(void (*function)(void *argument), void *argument) MUST_CHECK;

/* ---- Interrupts ---- */

/* The vector that is counted. Every interrupt source should be given this one. */
#define MACHINE_INTERRUPT_VECTOR 0x40

/* How many interrupts have come since the machine started. */
uint64_t machine_interrupts(void);

/* Halts the vp until machine_interrupts() is no longer `seen`. */
void machine_wait_interrupt(uint64_t seen);

/* A spin loop's breath. */
static inline void machine_pause(void)
{
	__builtin_ia32_pause();
}

/* ---- Memory ---- */

static inline uint64_t machine_gpa(const volatile void *address)
{
	return (uint64_t)(uintptr_t)address;
}

static inline void *machine_address(uint64_t gpa)
{
	return (void *)(uintptr_t)gpa;
}

/*
 * Maps the registers of a device, of which there can be one: the 2 MiB around `gpa`, which are not
 * mapped otherwise. Return: where `gpa` is.
 */
volatile void *machine_map_device(uint64_t gpa);

/* One past the last byte of the image, page-aligned: RAM that nobody uses begins here. */
extern uint8_t machine_image_end[];

/* And ends here, as far as it is mapped from the start. */
uint64_t machine_ram_end(void);

/* Maps the GiB that `gpa` lies in, which is not the first, as it is; there can be one. */
void machine_map_memory(uint64_t gpa);

/* ---- Boot parameters ---- */

/*
 * The value of NAME=VALUE in the command line, a number in decimal or 0x-hexadecimal, or
 * `otherwise` if it is not there.
 */
uint64_t machine_parameter(const char *name, uint64_t otherwise);

/* ---- Time stamp counter ---- */

static inline uint64_t machine_tsc(void)
{
	return __builtin_ia32_rdtsc();
}

/* ---- I/O ports ---- */

static inline void port_write8(uint16_t port, uint8_t value)
{
	__asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

static inline void port_write16(uint16_t port, uint16_t value)
{
	__asm__ volatile("outw %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

static inline void port_write32(uint16_t port, uint32_t value)
{
	__asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

static inline uint8_t port_read8(uint16_t port)
{
	uint8_t value;

	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port) : "memory");
	return value;
}

/* Writes `size` bytes one after the other to one port. */
static inline void port_write_string(uint16_t port, const void *bytes, size_t size)
{
	__asm__ volatile("rep outsb" : "+S"(bytes), "+c"(size) : "d"(port) : "memory");
}

/* Ends the machine by ACPI S5; starts it anew by ACPI's reset register. */
void machine_power_off(void) __attribute__((noreturn));
void machine_restart(void) __attribute__((noreturn));
