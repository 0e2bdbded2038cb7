/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ACPI tables, written one after the other into their area of guest memory: the RSDP first, since
 * it is searched for at 16-byte boundaries there, and then the rest.
 *
 * There is no PIT or HPET: the Hyper-V frequency MSRs spare a guest all calibration, and the PM
 * timer is enough for those that do not know them.
 */
#include "vmwp/boot/acpi.h"

#include "vmwp/base/platform.h"
#include "vmwp/boot/acpi_internal.h"
#include "vmwp/boot/aml.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#define OEM_ID       "VMMS  "
#define OEM_TABLE_ID "VMMS    "
#define CREATOR_ID   "VMMS"

struct acpi_rsdp {
	char signature[8];
	uint8_t checksum; /* of the first 20 bytes */
	char oem_id[6];
	uint8_t revision;
	uint32_t rsdt;
	uint32_t length;
	uint64_t xsdt;
	uint8_t extended_checksum;
	uint8_t reserved[3];
} PACKED;
_Static_assert(sizeof(struct acpi_rsdp) == ACPI_RSDP_SIZE, "ACPI 6.4, 5.2.5.3");

struct acpi_address {
	uint8_t space, bit_width, bit_offset, access_size;
	uint64_t address;
} PACKED;
_Static_assert(sizeof(struct acpi_address) == 12, "ACPI 6.4, 5.2.3.2");

/* The generation ID has the last page of the area to itself. */
#define TABLES_SIZE (LAYOUT_ACPI_SIZE - HV_PAGE_SIZE)

#define GENERATION_NOTIFICATION 0x80

enum { ADDRESS_SPACE_IO = 1 };
enum { ACCESS_BYTE = 1, ACCESS_WORD = 2, ACCESS_DWORD = 3 };

struct acpi_fadt {
	struct acpi_header header;
	uint32_t facs, dsdt;
	uint8_t reserved1, pm_profile;
	uint16_t sci_irq;
	uint32_t smi_port;
	uint8_t acpi_enable, acpi_disable, s4bios, pstate_control;
	uint32_t pm1a_event, pm1b_event, pm1a_control, pm1b_control, pm2_control, pm_timer;
	uint32_t gpe0, gpe1;
	uint8_t pm1_event_length, pm1_control_length, pm2_control_length, pm_timer_length;
	uint8_t gpe0_length, gpe1_length, gpe1_base, cst_control;
	uint16_t c2_latency, c3_latency, flush_size, flush_stride;
	uint8_t duty_offset, duty_width, day_alarm, month_alarm, century;
	uint16_t boot_architecture;
	uint8_t reserved2;
	uint32_t flags;
	struct acpi_address reset_register;
	uint8_t reset_value;
	uint16_t arm_boot_architecture;
	uint8_t minor_version;
	uint64_t x_facs, x_dsdt;
	struct acpi_address x_pm1a_event, x_pm1b_event, x_pm1a_control, x_pm1b_control,
		x_pm2_control, x_pm_timer, x_gpe0, x_gpe1, sleep_control, sleep_status;
	uint64_t hypervisor_id;
} PACKED;
_Static_assert(sizeof(struct acpi_fadt) == 276, "ACPI 6.4, 5.2.9");
_Static_assert(offsetof(struct acpi_fadt, reset_register) == 116, "ACPI 6.4, 5.2.9");
_Static_assert(offsetof(struct acpi_fadt, x_dsdt) == 140, "ACPI 6.4, 5.2.9");

#define FADT_REVISION        6
#define FADT_MINOR           4
#define FADT_WBINVD          (1u << 0)
#define FADT_SLEEP_BUTTON    (1u << 5) /* there is no fixed sleep button */
#define FADT_POWER_BUTTON    (1u << 4) /* there is no fixed power button */
#define FADT_TIMER_32_BITS   (1u << 8)
#define FADT_RESET_SUPPORTED (1u << 10)
#define FADT_BOOT_NO_VGA     (1u << 2)
#define FADT_LATENCY_NONE    0xfff
#define RTC_CENTURY_REGISTER 0x32

struct acpi_facs {
	char signature[4];
	uint32_t length, hardware_signature, waking_vector, global_lock, flags;
	uint64_t x_waking_vector;
	uint8_t version, reserved1[3];
	uint32_t ospm_flags;
	uint8_t reserved2[24];
} PACKED;
_Static_assert(sizeof(struct acpi_facs) == 64, "ACPI 6.4, 5.2.10");

#define XSDT_TABLES_MAX 4

/* The area of guest memory, filled from the start. */
struct acpi_area {
	uint8_t *data;
	size_t size;
	gpa_t place;
};

static uint8_t acpi_checksum(const void *data, size_t size)
{
	const uint8_t *bytes = data;
	uint8_t sum = 0;

	for (size_t i = 0; i < size; i++)
		sum = (uint8_t)(sum + bytes[i]);
	return (uint8_t)-sum;
}

static uint64_t acpi_address_of(const struct acpi_area *area, const void *table)
{
	return area->place.value + (uint64_t)((const uint8_t *)table - area->data);
}

/* Room for a table, 64-byte aligned as the FACS wants it. NULL: the area is full. */
static void *acpi_allocate(struct acpi_area *area, size_t size)
{
	size_t start = ALIGN_UP(area->size, 64);

	if (start > TABLES_SIZE || size > TABLES_SIZE - start)
		return NULL;
	area->size = start + size;
	return memset(area->data + start, 0, size);
}

/* Fills in a table's header, and with it the checksum: call it last. */
static void acpi_finish(void *table, const char *signature, uint8_t revision, size_t length)
{
	struct acpi_header *header = table;

	memcpy(header->signature, signature, sizeof(header->signature));
	header->length = (uint32_t)length;
	header->revision = revision;
	memcpy(header->oem_id, OEM_ID, sizeof(header->oem_id));
	memcpy(header->oem_table_id, OEM_TABLE_ID, sizeof(header->oem_table_id));
	header->oem_revision = 1;
	memcpy(header->creator_id, CREATOR_ID, sizeof(header->creator_id));
	header->creator_revision = 1;
	header->checksum = 0;
	header->checksum = acpi_checksum(table, length);
}

/* ---- DSDT ---- */

static void dsdt_add_serial(struct aml *aml)
{
	aml_mark_t device = aml_open_device(aml, "COM1");
	struct aml_resources resources;

	aml_name(aml, "_HID");
	aml_eisa_id(aml, "PNP0501");
	aml_name(aml, "_UID");
	aml_integer(aml, 1);
	aml_name(aml, "_CRS");
	resources = aml_open_resources(aml);
	aml_resource_io(aml, PLATFORM_SERIAL_PORT, 8);
	aml_resource_irq(aml, PLATFORM_SERIAL_IRQ);
	aml_close_resources(aml, resources);
	aml_close(aml, device);
}

static void dsdt_add_rtc(struct aml *aml)
{
	aml_mark_t device = aml_open_device(aml, "RTC_");
	struct aml_resources resources;

	aml_name(aml, "_HID");
	aml_eisa_id(aml, "PNP0B00");
	aml_name(aml, "_CRS");
	resources = aml_open_resources(aml);
	aml_resource_io(aml, PLATFORM_RTC_PORT, 2);
	aml_resource_irq(aml, PLATFORM_RTC_IRQ);
	aml_close_resources(aml, resources);
	aml_close(aml, device);
}

/*
 * Where the generation ID is, as two halves. The names are those that Windows' and Linux's drivers
 * look for. Source: Microsoft, Virtual Machine Generation ID.
 */
static void dsdt_add_generation(struct aml *aml, gpa_t id)
{
	static const char *const names[] = { "VM_Gen_Counter", "VMGENCTR",
					     "Hyper_V_Gen_Counter_V1" };
	aml_mark_t device = aml_open_device(aml, "GENC"), package;

	aml_name(aml, "_HID");
	aml_string(aml, "MSFT1002");
	aml_name(aml, "_CID");
	package = aml_open_package(aml, ARRAY_SIZE(names));
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		aml_string(aml, names[i]);
	aml_close(aml, package);
	aml_name(aml, "_UID");
	aml_integer(aml, 0);
	aml_name(aml, "ADDR");
	package = aml_open_package(aml, 2);
	aml_integer(aml, (uint32_t)id.value);
	aml_integer(aml, id.value >> 32);
	aml_close(aml, package);
	aml_close(aml, device);
}

static void dsdt_add_events(struct aml *aml)
{
	aml_mark_t scope = aml_open_scope(aml, "\\_GPE"), method;

	_Static_assert(PLATFORM_GPE_GENERATION == 0, "_E00");
	method = aml_open_method(aml, "_E00");
	aml_notify(aml, "_SB_", "VMOD", "GENC", GENERATION_NOTIFICATION);
	aml_close(aml, method);
	aml_close(aml, scope);
}

/* VMBus is the child of a module device, whose windows are what it hands out to its channels. */
static void dsdt_add_vmbus(struct aml *aml, const struct acpi_config *config)
{
	const struct memory_layout *layout = config->layout;
	aml_mark_t module = aml_open_device(aml, "VMOD"), bus;
	struct aml_resources resources;

	aml_name(aml, "_HID");
	aml_string(aml, "ACPI0004");
	aml_name(aml, "_UID");
	aml_integer(aml, 0);
	aml_name(aml, "_CRS");
	resources = aml_open_resources(aml);
	aml_resource_memory(aml, layout->mmio_low.gpa.value, layout->mmio_low.size);
	if (layout->mmio_high.size)
		aml_resource_memory(aml, layout->mmio_high.gpa.value, layout->mmio_high.size);
	aml_close_resources(aml, resources);

	bus = aml_open_device(aml, "VMBS");
	aml_name(aml, "_HID");
	aml_string(aml, "VMBus");
	aml_name(aml, "_DDN");
	aml_string(aml, "VMBUS");
	aml_name(aml, "_UID");
	aml_integer(aml, 0);
	aml_name(aml, "_STA");
	aml_integer(aml, 0xf);
	/* It has none; but Linux's driver does not bind to a device that cannot tell, and without
	 * a driver the bus is not put to sleep before vps are taken away, in hibernation. */
	aml_name(aml, "_CRS");
	resources = aml_open_resources(aml);
	aml_close_resources(aml, resources);
	aml_close(aml, bus);
	dsdt_add_generation(aml, acpi_generation_place(config->area));
	aml_close(aml, module);
}

/*
 * The bus of generation 1, with the ports that it hands out. VMBus' windows are not its: no function
 * has memory.
 */
static void dsdt_add_pci(struct aml *aml)
{
	aml_mark_t bus = aml_open_device(aml, "PCI0");
	struct aml_resources resources;

	aml_name(aml, "_HID");
	aml_eisa_id(aml, "PNP0A03");
	aml_name(aml, "_UID");
	aml_integer(aml, 0);
	aml_name(aml, "_CRS");
	resources = aml_open_resources(aml);
	aml_resource_buses(aml, 0, 0);
	aml_resource_io(aml, PLATFORM_PCI_ADDRESS_PORT, 8);
	aml_resource_ports(aml, 0, PLATFORM_PCI_ADDRESS_PORT);
	aml_resource_ports(aml, PLATFORM_PCI_ADDRESS_PORT + 8,
			   0x10000 - (PLATFORM_PCI_ADDRESS_PORT + 8));
	aml_close_resources(aml, resources);
	aml_close(aml, bus);
}

static void dsdt_add_sleep(struct aml *aml, const char *name, unsigned type)
{
	aml_mark_t package;

	aml_name(aml, name);
	package = aml_open_package(aml, 4);
	aml_integer(aml, type);
	aml_integer(aml, type);
	aml_integer(aml, 0);
	aml_integer(aml, 0);
	aml_close(aml, package);
}

static const struct acpi_header *acpi_add_dsdt(struct acpi_area *area,
					       const struct acpi_config *config)
{
	uint8_t *table = acpi_allocate(area, sizeof(struct acpi_header));
	struct aml aml;
	aml_mark_t scope;

	if (!table)
		return NULL;
	aml = (struct aml){ .data = table,
			    .size = sizeof(struct acpi_header),
			    .capacity = TABLES_SIZE - (size_t)(table - area->data) };
	if (config->hibernation)
		dsdt_add_sleep(&aml, "\\_S4_", PLATFORM_SLEEP_TYPE_S4);
	dsdt_add_sleep(&aml, "\\_S5_", PLATFORM_SLEEP_TYPE_S5);
	scope = aml_open_scope(&aml, "\\_SB_");
	dsdt_add_serial(&aml);
	dsdt_add_rtc(&aml);
	if (config->pci)
		dsdt_add_pci(&aml);
	dsdt_add_vmbus(&aml, config);
	aml_close(&aml, scope);
	dsdt_add_events(&aml);
	if (aml.overflow)
		return NULL;
	area->size = (size_t)(table - area->data) + aml.size;
	acpi_finish(table, "DSDT", 2, aml.size);
	return (struct acpi_header *)table;
}

/* ---- FADT, FACS ---- */

static const struct acpi_facs *acpi_add_facs(struct acpi_area *area)
{
	struct acpi_facs *facs = acpi_allocate(area, sizeof(*facs));

	if (!facs)
		return NULL;
	memcpy(facs->signature, "FACS", sizeof(facs->signature));
	facs->length = sizeof(*facs);
	facs->version = 2;
	return facs;
}

static struct acpi_address acpi_port(uint16_t port, uint8_t bits, uint8_t access)
{
	return (struct acpi_address){
		.space = ADDRESS_SPACE_IO, .bit_width = bits, .access_size = access, .address = port
	};
}

static const struct acpi_header *acpi_add_fadt(struct acpi_area *area, uint64_t facs, uint64_t dsdt)
{
	struct acpi_fadt *fadt = acpi_allocate(area, sizeof(*fadt));

	if (!fadt)
		return NULL;
	*fadt = (struct acpi_fadt){
		.facs = (uint32_t)facs,
		.dsdt = (uint32_t)dsdt,
		.sci_irq = PLATFORM_SCI_IRQ,
		.pm1a_event = PLATFORM_PM1_EVENT_PORT,
		.pm1a_control = PLATFORM_PM1_CONTROL_PORT,
		.pm_timer = PLATFORM_PM_TIMER_PORT,
		.pm1_event_length = 4,
		.pm1_control_length = 2,
		.pm_timer_length = 4,
		.gpe0 = PLATFORM_GPE0_PORT,
		.gpe0_length = 2,
		.c2_latency = FADT_LATENCY_NONE,
		.c3_latency = FADT_LATENCY_NONE,
		.century = RTC_CENTURY_REGISTER,
		.boot_architecture = FADT_BOOT_NO_VGA,
		.flags = FADT_WBINVD | FADT_POWER_BUTTON | FADT_SLEEP_BUTTON | FADT_TIMER_32_BITS |
			 FADT_RESET_SUPPORTED,
		.reset_register = acpi_port(PLATFORM_RESET_PORT, 8, ACCESS_BYTE),
		.reset_value = PLATFORM_RESET_VALUE,
		.minor_version = FADT_MINOR,
		.x_facs = facs,
		.x_dsdt = dsdt,
		.x_pm1a_event = acpi_port(PLATFORM_PM1_EVENT_PORT, 32, ACCESS_WORD),
		.x_pm1a_control = acpi_port(PLATFORM_PM1_CONTROL_PORT, 16, ACCESS_WORD),
		.x_pm_timer = acpi_port(PLATFORM_PM_TIMER_PORT, 32, ACCESS_DWORD),
		.x_gpe0 = acpi_port(PLATFORM_GPE0_PORT, 16, ACCESS_BYTE),
	};
	acpi_finish(fadt, "FACP", FADT_REVISION, sizeof(*fadt));
	return &fadt->header;
}

/* ---- MADT, SRAT, SLIT ---- */

/* A table of structures, whose size is known when they have been gone through once. */
static const struct acpi_header *acpi_add_filled(
	struct acpi_area *area, const struct acpi_config *config, const char *signature,
	uint8_t revision, void (*fill)(struct acpi_writer *, const struct acpi_config *))
{
	struct acpi_writer writer = { 0 };

	fill(&writer, config);
	writer.at = acpi_allocate(area, writer.size);
	if (!writer.at)
		return NULL;
	writer.size = 0;
	fill(&writer, config);
	acpi_finish(writer.at, signature, revision, writer.size);
	return (const struct acpi_header *)writer.at;
}

/* ---- XSDT, RSDP ---- */

struct acpi_tables {
	uint64_t gpas[XSDT_TABLES_MAX];
	size_t count;
};

/* table: NULL if there was no room for it. Return: 0, -ENOSPC. */
static int acpi_list(struct acpi_tables *tables, const struct acpi_area *area,
		     const struct acpi_header *table)
{
	if (!table)
		return -ENOSPC;
	tables->gpas[tables->count++] = acpi_address_of(area, table);
	return 0;
}

static const struct acpi_header *acpi_add_xsdt(struct acpi_area *area,
					       const struct acpi_tables *tables)
{
	size_t addresses = tables->count * sizeof(tables->gpas[0]);
	size_t size = sizeof(struct acpi_header) + addresses;
	uint8_t *table = acpi_allocate(area, size);

	if (!table)
		return NULL;
	memcpy(table + sizeof(struct acpi_header), tables->gpas, addresses);
	acpi_finish(table, "XSDT", 1, size);
	return (struct acpi_header *)table;
}

static void acpi_fill_rsdp(struct acpi_rsdp *rsdp, uint64_t xsdt)
{
	*rsdp = (struct acpi_rsdp){ .revision = 2, .length = sizeof(*rsdp), .xsdt = xsdt };
	memcpy(rsdp->signature, "RSD PTR ", sizeof(rsdp->signature));
	memcpy(rsdp->oem_id, OEM_ID, sizeof(rsdp->oem_id));
	rsdp->checksum = acpi_checksum(rsdp, offsetof(struct acpi_rsdp, length));
	rsdp->extended_checksum = acpi_checksum(rsdp, sizeof(*rsdp));
}

static int acpi_add_numa(struct acpi_area *area, const struct acpi_config *config,
			 struct acpi_tables *tables)
{
	int r;

	if (config->numa->node_count == 0)
		return 0;
	r = acpi_list(tables, area,
		      acpi_add_filled(area, config, "SRAT", ACPI_SRAT_REVISION, acpi_fill_srat));
	if (r < 0)
		return r;
	return acpi_list(tables, area,
			 acpi_add_filled(area, config, "SLIT", ACPI_SLIT_REVISION, acpi_fill_slit));
}

/* All that the XSDT lists. */
static int acpi_add_tables(struct acpi_area *area, const struct acpi_config *config,
			   struct acpi_tables *tables)
{
	const struct acpi_facs *facs = acpi_add_facs(area);
	const struct acpi_header *dsdt = acpi_add_dsdt(area, config);
	int r;

	if (!facs || !dsdt)
		return -ENOSPC;
	r = acpi_list(
		tables, area,
		acpi_add_fadt(area, acpi_address_of(area, facs), acpi_address_of(area, dsdt)));
	if (r < 0)
		return r;
	r = acpi_list(tables, area,
		      acpi_add_filled(area, config, "APIC", ACPI_MADT_REVISION, acpi_fill_madt));
	return r < 0 ? r : acpi_add_numa(area, config, tables);
}

gpa_t acpi_generation_place(gpa_t place)
{
	return GPA(place.value + TABLES_SIZE);
}

int acpi_generation_set(struct vid_memory *memory, gpa_t place, const struct guid *id)
{
	const gpa_t gpa = acpi_generation_place(place);
	uint8_t *target = vid_memory_map(memory, gpa, sizeof(id->bytes));

	if (!target)
		return -EINVAL;
	if (memcmp(target, id->bytes, sizeof(id->bytes)) == 0)
		return 0;
	memcpy(target, id->bytes, sizeof(id->bytes));
	vid_memory_mark_written(memory, gpa, sizeof(id->bytes));
	return 1;
}

int acpi_fill(uint8_t data[static LAYOUT_ACPI_SIZE], const struct acpi_config *config,
	      size_t *ret_size)
{
	struct acpi_area area = { .data = data, .place = config->place };
	struct acpi_tables tables = { 0 };
	const struct acpi_header *xsdt;
	struct acpi_rsdp *rsdp = acpi_allocate(&area, sizeof(*rsdp));
	int r;

	r = acpi_add_tables(&area, config, &tables);
	if (r < 0)
		return r;
	xsdt = acpi_add_xsdt(&area, &tables);
	if (!xsdt)
		return -ENOSPC;
	acpi_fill_rsdp(rsdp, acpi_address_of(&area, xsdt));
	*ret_size = area.size;
	return 0;
}

/* The first table that acpi_add_tables() lists. */
static uint32_t acpi_find_fadt(const uint8_t *data, gpa_t place)
{
	const struct acpi_rsdp *rsdp = (const void *)data;
	uint64_t fadt;

	memcpy(&fadt, data + (rsdp->xsdt - place.value) + sizeof(struct acpi_header), sizeof(fadt));
	return (uint32_t)(fadt - place.value);
}

struct acpi_sum acpi_pointers_sum(const uint8_t data[static LAYOUT_ACPI_SIZE], gpa_t place)
{
	uint32_t fadt = acpi_find_fadt(data, place);
	const struct acpi_header *header = (const void *)(data + fadt);

	return (struct acpi_sum){
		.table = fadt,
		.size = header->length,
		.checksum = fadt + (uint32_t)offsetof(struct acpi_header, checksum),
	};
}

size_t acpi_pointers(const uint8_t data[static LAYOUT_ACPI_SIZE], gpa_t place,
		     struct acpi_pointer ret_pointers[static ACPI_POINTERS_MAX])
{
	static const struct acpi_pointer of_fadt[] = {
		{ offsetof(struct acpi_fadt, facs), sizeof(uint32_t) },
		{ offsetof(struct acpi_fadt, dsdt), sizeof(uint32_t) },
		{ offsetof(struct acpi_fadt, x_facs), sizeof(uint64_t) },
		{ offsetof(struct acpi_fadt, x_dsdt), sizeof(uint64_t) },
	};
	const struct acpi_rsdp *rsdp = (const void *)data;
	uint32_t xsdt = (uint32_t)(rsdp->xsdt - place.value);
	const struct acpi_header *header = (const void *)(data + xsdt);
	uint32_t fadt = acpi_find_fadt(data, place);
	size_t n = 0;

	_Static_assert(XSDT_TABLES_MAX + ARRAY_SIZE(of_fadt) <= ACPI_POINTERS_MAX, "there is room");
	for (uint32_t at = sizeof(*header); at < header->length; at += sizeof(uint64_t))
		ret_pointers[n++] = (struct acpi_pointer){ xsdt + at, sizeof(uint64_t) };
	for (size_t i = 0; i < ARRAY_SIZE(of_fadt); i++)
		ret_pointers[n++] =
			(struct acpi_pointer){ fadt + of_fadt[i].offset, of_fadt[i].size };
	return n;
}

int acpi_write(struct vid_memory *memory, const struct acpi_config *config, gpa_t *ret_rsdp)
{
	uint8_t *area = vid_memory_map(memory, config->place, LAYOUT_ACPI_SIZE);
	size_t size;
	int r;

	if (!area)
		return -EINVAL;
	r = acpi_fill(area, config, &size);
	if (r < 0)
		return r;
	vid_memory_mark_written(memory, config->place, size);
	*ret_rsdp = config->place;
	return 0;
}
