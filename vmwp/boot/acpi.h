/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ACPI tables: RSDP, XSDT, FADT, FACS, DSDT, MADT, and SRAT and SLIT of a guest with NUMA nodes.
 *
 * Full ACPI, not the hardware-reduced kind: a Linux that was not booted by EFI resets a reduced
 * machine by jumping into a BIOS that is not there. Source: ACPI 6.4, chapter 5.
 */
#pragma once

#include "common/base/cc.h"
#include "vid/vid.h"
#include "vmwp/base/memory_layout.h"
#include "vmwp/cpu/cpu.h"

#include <stdbool.h>
#include <stdint.h>

struct acpi_config {
	gpa_t place; /* of LAYOUT_ACPI_SIZE bytes; the RSDP is the first of it */
	const struct memory_layout *layout;
	const struct numa *numa;
	uint32_t vp_count;
	const uint32_t *apic_ids; /* of each vp */
	bool hibernation;         /* there is S4 */
	bool pci;                 /* there is generation 1's PCI bus */
};

#define ACPI_RSDP_SIZE 36 /* bytes */

/* Return: 0; -EINVAL or -ENOSPC if the tables do not fit their area. */
int acpi_write(struct vid_memory *memory, const struct acpi_config *config,
	       gpa_t *ret_rsdp) MUST_CHECK;
