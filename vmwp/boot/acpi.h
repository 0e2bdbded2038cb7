/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ACPI tables: RSDP, XSDT, FADT, FACS, DSDT, MADT, and SRAT and SLIT of a guest with NUMA nodes.
 *
 * Full ACPI, not the hardware-reduced kind: a Linux that was not booted by EFI resets a reduced
 * machine by jumping into a BIOS that is not there. Source: ACPI 6.4, chapter 5.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/guid.h"
#include "vid/vid.h"
#include "vmwp/base/memory_layout.h"
#include "vmwp/cpu/cpu.h"

#include <stdbool.h>
#include <stdint.h>

struct acpi_config {
	gpa_t place; /* of the tables; the RSDP is the first of them */
	gpa_t area;  /* LAYOUT_ACPI_SIZE bytes that are reserved: as above, but where firmware puts
			the tables elsewhere; the generation ID is in the last page */
	const struct memory_layout *layout;
	const struct numa *numa;
	uint32_t vp_count;
	const uint32_t *apic_ids; /* of each vp */
	bool hibernation;         /* there is S4 */
	bool pci;                 /* there is generation 1's PCI bus */
};

#define ACPI_RSDP_SIZE 36 /* bytes */

/* Return: 0; -EINVAL or -ENOSPC if the tables do not fit their area. */
int acpi_fill(uint8_t area[static LAYOUT_ACPI_SIZE], const struct acpi_config *config,
	      size_t *ret_size) MUST_CHECK;

/* Where tables that acpi_fill() has made have addresses of each other, but for the RSDP's. */
struct acpi_pointer {
	uint32_t offset;
	uint8_t size; /* bytes */
};
#define ACPI_POINTERS_MAX 8
size_t acpi_pointers(const uint8_t area[static LAYOUT_ACPI_SIZE], gpa_t place,
		     struct acpi_pointer ret_pointers[static ACPI_POINTERS_MAX]);

/* Whose sum has to be made anew after that: the FADT's. */
struct acpi_sum {
	uint32_t table, size; /* offset, bytes */
	uint32_t checksum;    /* offset of the byte */
};
struct acpi_sum acpi_pointers_sum(const uint8_t area[static LAYOUT_ACPI_SIZE], gpa_t place);

/* Fills the area of guest memory. Return: as above. */
int acpi_write(struct vid_memory *memory, const struct acpi_config *config,
	       gpa_t *ret_rsdp) MUST_CHECK;

/* place: of the area. Where the generation ID is, of 16 bytes. */
gpa_t acpi_generation_place(gpa_t place);

/* Return: 0: it was that already; 1: it is another one now; -EINVAL: no RAM is there. */
int acpi_generation_set(struct vid_memory *memory, gpa_t place, const struct guid *id) MUST_CHECK;
