/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of the ACPI tables share: the head of each, and tables that are lists of
 * structures. */
#pragma once

#include "common/base/cc.h"
#include "vmwp/boot/acpi.h"

#include <stddef.h>
#include <stdint.h>

struct acpi_header {
	char signature[4];
	uint32_t length;
	uint8_t revision, checksum;
	char oem_id[6], oem_table_id[8];
	uint32_t oem_revision;
	char creator_id[4];
	uint32_t creator_revision;
} PACKED;
_Static_assert(sizeof(struct acpi_header) == 36, "ACPI 6.4, 5.2.6");

#define ACPI_MADT_REVISION 5
#define ACPI_SRAT_REVISION 3
#define ACPI_SLIT_REVISION 1

struct acpi_writer {
	uint8_t *at; /* NULL: nothing is written, and sizes alone count */
	size_t size;
};

/* A table, whose head is left to be filled in. */
void acpi_fill_madt(struct acpi_writer *writer, const struct acpi_config *config);
void acpi_fill_srat(struct acpi_writer *writer, const struct acpi_config *config);
void acpi_fill_slit(struct acpi_writer *writer, const struct acpi_config *config);
