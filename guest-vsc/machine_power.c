/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Power-off and restart through ACPI: ports are the FADT's, the value for S5 is the first
 * element of the DSDT's \_S5 package, found by its name as loaders commonly do, without an AML
 * interpreter. Source: ACPI specification 6.4, sections 4.8.3.2, 5.2.5 to 5.2.9, 4.8.3.6 and 7.4.2.
 */
#include "guest-vsc/machine.h"
#include "guest-vsc/memory.h"
#include "guest-vsc/serial.h"
#include "guest-vsc/start_info.h"

#define PM1_SLEEP_ENABLE     (1u << 13)
#define PM1_SLEEP_TYPE_SHIFT 10

#define AML_PACKAGE     0x12
#define AML_BYTE_PREFIX 0x0a
#define AML_ONE         0x01

#define AML_LENGTH_MORE_SHIFT 6
#define S5_SIZE_MAX           12 /* from the name to the first element */

#define S5_UNKNOWN 0xff

#define ADDRESS_SPACE_PORTS 1

struct rsdp {
	char signature[8];
	uint8_t checksum;
	char oem[6];
	uint8_t revision;
	uint32_t rsdt;
	uint32_t length;
	uint64_t xsdt;
} PACKED;
_Static_assert(offsetof(struct rsdp, xsdt) == 24, "ACPI 5.2.5.3");

struct table_header {
	char signature[4];
	uint32_t length;
	uint8_t rest[28];
};
_Static_assert(sizeof(struct table_header) == 36, "ACPI 5.2.6");

struct fadt {
	struct table_header header;
	uint32_t firmware_control, dsdt;
	uint8_t before[20];
	uint32_t pm1a_control; /* a port */
	uint8_t between[48];
	uint8_t reset_space, reset_details[3]; /* the register's address */
	uint64_t reset_address;
	uint8_t reset_value;
	uint8_t between2[11];
	uint64_t x_dsdt;
} PACKED;
_Static_assert(offsetof(struct fadt, pm1a_control) == 64, "ACPI 5.2.9");
_Static_assert(offsetof(struct fadt, reset_space) == 116, "ACPI 5.2.9");
_Static_assert(offsetof(struct fadt, x_dsdt) == 140, "ACPI 5.2.9");

static const struct fadt *find_fadt(void)
{
	const struct rsdp *rsdp = machine_address(machine_boot_information()->rsdp);
	const struct table_header *xsdt, *table;
	uint64_t entry;

	if (!rsdp || rsdp->revision < 2)
		return NULL;
	xsdt = machine_address(rsdp->xsdt);
	for (size_t at = sizeof(*xsdt); at + sizeof(entry) <= xsdt->length; at += sizeof(entry)) {
		memcpy(&entry, (const uint8_t *)xsdt + at, sizeof(entry));
		table = machine_address(entry);
		if (memcmp(table->signature, "FACP", 4) == 0)
			return (const struct fadt *)table;
	}
	return NULL;
}

/* SLP_TYPa of S5, or S5_UNKNOWN. */
static uint8_t find_s5(const struct fadt *fadt)
{
	const struct table_header *dsdt = machine_address(fadt->x_dsdt ?: fadt->dsdt);
	const uint8_t *aml = (const uint8_t *)dsdt, *value;

	if (!dsdt)
		return S5_UNKNOWN;
	for (size_t at = sizeof(*dsdt); at + S5_SIZE_MAX <= dsdt->length; at++) {
		if (memcmp(aml + at, "_S5_", 4) != 0 || aml[at + 4] != AML_PACKAGE)
			continue;
		/* After name and opcode: the length, whose first byte says how many more it has,
		 * and the count of elements. */
		value = aml + at + 5;
		value += 1 + (*value >> AML_LENGTH_MORE_SHIFT) + 1;
		if (*value == AML_BYTE_PREFIX)
			return value[1];
		return *value <= AML_ONE ? *value : S5_UNKNOWN;
	}
	return S5_UNKNOWN;
}

static void halt_for_good(void) __attribute__((noreturn));
static void halt_for_good(void)
{
	for (;;)
		machine_wait_interrupt(machine_interrupts());
}

void machine_power_off(void)
{
	const struct fadt *fadt = find_fadt();
	uint8_t type = fadt ? find_s5(fadt) : S5_UNKNOWN;

	if (type != S5_UNKNOWN)
		port_write16((uint16_t)fadt->pm1a_control,
			     (uint16_t)(PM1_SLEEP_ENABLE | type << PM1_SLEEP_TYPE_SHIFT));
	else
		serial_print("There is no ACPI S5 to power off by; halting.");
	halt_for_good();
}

void machine_restart(void)
{
	const struct fadt *fadt = find_fadt();

	if (fadt && fadt->reset_space == ADDRESS_SPACE_PORTS)
		port_write8((uint16_t)fadt->reset_address, fadt->reset_value);
	else
		serial_print("There is no ACPI reset register; halting.");
	halt_for_good();
}
