/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The ACPI tables that say which processors there are, and how near which memory is to each. */
#include "vmwp/base/platform.h"
#include "vmwp/boot/acpi_internal.h"

#include <string.h>

struct acpi_madt {
	struct acpi_header header;
	uint32_t local_apic, flags;
} PACKED;
_Static_assert(sizeof(struct acpi_madt) == 44, "ACPI 6.4, 5.2.12");

#define MADT_PCAT_COMPATIBLE 1u /* there are 8259s as well */

struct acpi_madt_local_apic {
	uint8_t type, length, processor_uid, apic_id;
	uint32_t flags;
} PACKED;
_Static_assert(sizeof(struct acpi_madt_local_apic) == 8, "ACPI 6.4, 5.2.12.2");

struct acpi_madt_x2apic {
	uint8_t type, length;
	uint16_t reserved;
	uint32_t apic_id, flags, processor_uid;
} PACKED;
_Static_assert(sizeof(struct acpi_madt_x2apic) == 16, "ACPI 6.4, 5.2.12.12");

struct acpi_madt_io_apic {
	uint8_t type, length, id, reserved;
	uint32_t address, gsi_base;
} PACKED;
_Static_assert(sizeof(struct acpi_madt_io_apic) == 12, "ACPI 6.4, 5.2.12.3");

struct acpi_madt_override {
	uint8_t type, length, bus, source;
	uint32_t gsi;
	uint16_t flags;
} PACKED;
_Static_assert(sizeof(struct acpi_madt_override) == 10, "ACPI 6.4, 5.2.12.5");

enum { MADT_LOCAL_APIC = 0, MADT_IO_APIC = 1, MADT_OVERRIDE = 2, MADT_X2APIC = 9 };
#define APIC_ID_X2APIC         255u /* and all beyond are of x2APICs alone */
#define MADT_ENABLED           1u
#define MADT_LEVEL_ACTIVE_HIGH 0xd

struct acpi_srat {
	struct acpi_header header;
	uint32_t reserved1; /* must be 1 */
	uint64_t reserved2;
} PACKED;
_Static_assert(sizeof(struct acpi_srat) == 48, "ACPI 6.4, 5.2.16");

struct acpi_srat_local_apic {
	uint8_t type, length, node_low, apic_id;
	uint32_t flags;
	uint8_t sapic_eid, node_high[3];
	uint32_t clock;
} PACKED;
_Static_assert(sizeof(struct acpi_srat_local_apic) == 16, "ACPI 6.4, 5.2.16.1");

struct acpi_srat_memory {
	uint8_t type, length;
	uint32_t node;
	uint16_t reserved1;
	uint64_t base, size;
	uint32_t reserved2, flags;
	uint64_t reserved3;
} PACKED;
_Static_assert(sizeof(struct acpi_srat_memory) == 40, "ACPI 6.4, 5.2.16.2");

struct acpi_srat_x2apic {
	uint8_t type, length;
	uint16_t reserved1;
	uint32_t node, apic_id, flags, clock, reserved2;
} PACKED;
_Static_assert(sizeof(struct acpi_srat_x2apic) == 24, "ACPI 6.4, 5.2.16.3");

enum { SRAT_LOCAL_APIC = 0, SRAT_MEMORY = 1, SRAT_X2APIC = 2 };
#define SRAT_ENABLED 1u

struct acpi_slit {
	struct acpi_header header;
	uint64_t localities;
} PACKED;
_Static_assert(sizeof(struct acpi_slit) == 44, "ACPI 6.4, 5.2.17");

/* ---- MADT ---- */

static void acpi_append(struct acpi_writer *writer, const void *structure, size_t size)
{
	if (writer->at)
		memcpy(writer->at + writer->size, structure, size);
	writer->size += size;
}

static void madt_add_local_apic(struct acpi_writer *writer, uint32_t vp, uint32_t apic_id)
{
	const struct acpi_madt_local_apic local_apic = { .type = MADT_LOCAL_APIC,
							 .length = sizeof(local_apic),
							 .processor_uid = (uint8_t)vp,
							 .apic_id = (uint8_t)apic_id,
							 .flags = MADT_ENABLED };
	const struct acpi_madt_x2apic x2apic = { .type = MADT_X2APIC,
						 .length = sizeof(x2apic),
						 .apic_id = apic_id,
						 .flags = MADT_ENABLED,
						 .processor_uid = vp };

	if (apic_id < APIC_ID_X2APIC)
		acpi_append(writer, &local_apic, sizeof(local_apic));
	else
		acpi_append(writer, &x2apic, sizeof(x2apic));
}

void acpi_fill_madt(struct acpi_writer *writer, const struct acpi_config *config)
{
	const struct acpi_madt madt = { .local_apic = LAYOUT_LOCAL_APIC,
					.flags = MADT_PCAT_COMPATIBLE };
	const struct acpi_madt_io_apic io_apic = { .type = MADT_IO_APIC,
						   .length = sizeof(io_apic),
						   .address = LAYOUT_IOAPIC };
	const struct acpi_madt_override sci = { .type = MADT_OVERRIDE,
						.length = sizeof(sci),
						.source = PLATFORM_SCI_IRQ,
						.gsi = PLATFORM_SCI_IRQ,
						.flags = MADT_LEVEL_ACTIVE_HIGH };

	acpi_append(writer, &madt, sizeof(madt));
	for (uint32_t i = 0; i < config->vp_count; i++)
		madt_add_local_apic(writer, i, config->apic_ids[i]);
	acpi_append(writer, &io_apic, sizeof(io_apic));
	acpi_append(writer, &sci, sizeof(sci));
}

/* ---- SRAT, SLIT ---- */

static void srat_add_vp(struct acpi_writer *writer, uint8_t node, uint32_t apic_id)
{
	const struct acpi_srat_local_apic local_apic = { .type = SRAT_LOCAL_APIC,
							 .length = sizeof(local_apic),
							 .node_low = node,
							 .apic_id = (uint8_t)apic_id,
							 .flags = SRAT_ENABLED };
	const struct acpi_srat_x2apic x2apic = { .type = SRAT_X2APIC,
						 .length = sizeof(x2apic),
						 .node = node,
						 .apic_id = apic_id,
						 .flags = SRAT_ENABLED };

	if (apic_id < APIC_ID_X2APIC)
		acpi_append(writer, &local_apic, sizeof(local_apic));
	else
		acpi_append(writer, &x2apic, sizeof(x2apic));
}

void acpi_fill_srat(struct acpi_writer *writer, const struct acpi_config *config)
{
	const struct acpi_srat srat = { .reserved1 = 1 };

	acpi_append(writer, &srat, sizeof(srat));
	for (uint32_t i = 0; i < config->vp_count; i++)
		srat_add_vp(writer, config->numa->node_of_vp[i], config->apic_ids[i]);
	for (size_t i = 0; i < config->numa->range_count; i++) {
		const struct numa_range *range = &config->numa->ranges[i];
		const struct acpi_srat_memory memory = { .type = SRAT_MEMORY,
							 .length = sizeof(memory),
							 .node = range->node,
							 .base = range->region.gpa.value,
							 .size = range->region.size,
							 .flags = SRAT_ENABLED };

		acpi_append(writer, &memory, sizeof(memory));
	}
}

void acpi_fill_slit(struct acpi_writer *writer, const struct acpi_config *config)
{
	const struct acpi_slit slit = { .localities = config->numa->node_count };

	acpi_append(writer, &slit, sizeof(slit));
	for (unsigned i = 0; i < config->numa->node_count; i++)
		acpi_append(writer, config->numa->distances[i], config->numa->node_count);
}
