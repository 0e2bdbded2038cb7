/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ACPI and SMBIOS tables, read back the way a guest does; and the AML in them. */
#include "common/base/cc.h"
#include "tests/unit/unit.h"
#include "vmwp/base/platform.h"
#include "vmwp/boot/acpi.h"
#include "vmwp/boot/aml.h"
#include "vmwp/boot/smbios.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RAM_SIZE (64u << 20)

struct fixture {
	struct vid_memory *memory;
	struct memory_layout layout;
	uint32_t apic_ids[240];
	struct numa numa;
	struct acpi_config acpi;
	gpa_t rsdp;
};

static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	assert_non_null(fixture);
	memory_layout_init(&fixture->layout, RAM_SIZE, 0, 48);
	assert_int_equal(vid_memory_new(&fixture->memory), 0);
	assert_int_equal(
		vid_memory_add(fixture->memory, fixture->layout.ram[0], VID_MEMORY_SMALL, false),
		0);
	for (uint32_t i = 0; i < ARRAY_SIZE(fixture->apic_ids); i++)
		fixture->apic_ids[i] = i * 2;
	fixture->acpi = (struct acpi_config){ .place = GPA(LAYOUT_ACPI),
					      .area = GPA(LAYOUT_ACPI),
					      .layout = &fixture->layout,
					      .numa = &fixture->numa,
					      .vp_count = 3,
					      .apic_ids = fixture->apic_ids };
	assert_int_equal(acpi_write(fixture->memory, &fixture->acpi, &fixture->rsdp), 0);
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	vid_memory_free(fixture->memory);
	free(fixture);
	return 0;
}

static const uint8_t *at(const struct fixture *fixture, uint64_t gpa, size_t size)
{
	const uint8_t *bytes = vid_memory_map(fixture->memory, GPA(gpa), size);

	assert_non_null(bytes);
	return bytes;
}

static uint64_t get(const uint8_t *bytes, size_t size)
{
	uint64_t value = 0;

	memcpy(&value, bytes, size);
	return value;
}

static uint8_t sum(const uint8_t *bytes, size_t size)
{
	uint8_t total = 0;

	for (size_t i = 0; i < size; i++)
		total = (uint8_t)(total + bytes[i]);
	return total;
}

/* A table's bytes; its signature and checksum are right. */
static const uint8_t *table(const struct fixture *fixture, uint64_t gpa, const char *signature,
			    uint32_t *ret_length)
{
	const uint8_t *header = at(fixture, gpa, 36);
	uint32_t length = (uint32_t)get(header + 4, 4);

	assert_memory_equal(header, signature, 4);
	assert_int_equal(sum(at(fixture, gpa, length), length), 0);
	assert_true(gpa >= LAYOUT_ACPI &&
		    gpa + length <= acpi_generation_place(fixture->acpi.place).value);
	*ret_length = length;
	return header;
}

/* The tables that the XSDT lists, by signature. */
static const uint8_t *find(const struct fixture *fixture, const char *signature,
			   uint32_t *ret_length)
{
	const uint8_t *rsdp = at(fixture, fixture->rsdp.value, 36), *xsdt;
	uint32_t length;

	xsdt = table(fixture, get(rsdp + 24, 8), "XSDT", &length);
	for (uint32_t i = 36; i < length; i += 8) {
		uint64_t gpa = get(xsdt + i, 8);

		if (memcmp(at(fixture, gpa, 4), signature, 4) == 0)
			return table(fixture, gpa, signature, ret_length);
	}
	fail_msg("no %s", signature);
	return NULL;
}

static const uint8_t *find_dsdt(const struct fixture *fixture, uint32_t *ret_length)
{
	uint32_t length;
	const uint8_t *fadt = find(fixture, "FACP", &length);

	return table(fixture, get(fadt + 140, 8), "DSDT", ret_length);
}

static void rsdp_is_found_by_scanning(void **state)
{
	const struct fixture *fixture = *state;
	const uint8_t *rsdp = at(fixture, fixture->rsdp.value, 36);

	assert_int_equal(fixture->rsdp.value & 15, 0);
	assert_true(fixture->rsdp.value >= 0xe0000 && fixture->rsdp.value < 0x100000);
	assert_memory_equal(rsdp, "RSD PTR ", 8);
	assert_int_equal(sum(rsdp, 20), 0);
	assert_int_equal(sum(rsdp, 36), 0);
	assert_int_equal(rsdp[15], 2);
}

static void fadt_is_of_full_acpi(void **state)
{
	const struct fixture *fixture = *state;
	uint32_t length;
	const uint8_t *fadt = find(fixture, "FACP", &length);
	uint32_t flags = (uint32_t)get(fadt + 112, 4);

	assert_int_equal(length, 276);
	assert_int_equal(flags & 1u << 20, 0); /* not hardware-reduced */
	assert_int_equal(flags & 1u << 10, 1u << 10);
	assert_int_equal(fadt[116], 1);
	assert_int_equal(get(fadt + 120, 8), PLATFORM_RESET_PORT);
	assert_int_equal(fadt[128], PLATFORM_RESET_VALUE);
	assert_int_equal(get(fadt + 46, 2), PLATFORM_SCI_IRQ);
	assert_int_equal(get(fadt + 56, 4), PLATFORM_PM1_EVENT_PORT);
	assert_int_equal(get(fadt + 64, 4), PLATFORM_PM1_CONTROL_PORT);
	assert_int_equal(get(fadt + 152, 8), PLATFORM_PM1_EVENT_PORT);
	assert_int_equal(get(fadt + 176, 8), PLATFORM_PM1_CONTROL_PORT);
	assert_int_equal(get(fadt + 76, 4), PLATFORM_PM_TIMER_PORT);
	assert_int_equal(get(fadt + 91, 1), 4);
	assert_int_equal(get(fadt + 112, 4) & 1u << 8, 1u << 8); /* of 32 bits */
	assert_int_equal(get(fadt + 212, 8), PLATFORM_PM_TIMER_PORT);
	assert_int_equal(get(fadt + 40, 4), get(fadt + 140, 8));
	assert_memory_equal(at(fixture, get(fadt + 36, 4), 64), "FACS", 4);
	assert_int_equal(get(fadt + 36, 4) % 64, 0);
}

/* One processor of the MADT; what is none is checked here. Return: whether it is one. */
static bool madt_processor(const uint8_t *entry, uint32_t *ret_uid, uint32_t *ret_apic_id)
{
	switch (entry[0]) {
	case 0:
		assert_int_equal(entry[1], 8);
		assert_int_equal(get(entry + 4, 4), 1);
		*ret_uid = entry[2];
		*ret_apic_id = entry[3];
		assert_true(*ret_apic_id < 255);
		return true;
	case 9:
		assert_int_equal(entry[1], 16);
		assert_int_equal(get(entry + 2, 2), 0);
		assert_int_equal(get(entry + 8, 4), 1);
		*ret_apic_id = (uint32_t)get(entry + 4, 4);
		*ret_uid = (uint32_t)get(entry + 12, 4);
		assert_true(*ret_apic_id >= 255);
		return true;
	case 1:
		assert_int_equal(get(entry + 4, 4), 0xfec00000);
		return false;
	case 2:
		assert_int_equal(entry[3], PLATFORM_SCI_IRQ);
		assert_int_equal(get(entry + 8, 2), 0xd);
		return false;
	default:
		fail_msg("type %d", entry[0]);
		return false;
	}
}

static void check_madt(const struct fixture *fixture)
{
	uint32_t length, locals = 0, others = 0, uid, apic_id;
	const uint8_t *madt = find(fixture, "APIC", &length);

	assert_int_equal(get(madt + 36, 4), 0xfee00000);
	for (uint32_t i = 44; i < length; i += madt[i + 1]) {
		assert_true(madt[i + 1] >= 2 && i + madt[i + 1] <= length);
		if (!madt_processor(madt + i, &uid, &apic_id)) {
			others++;
			continue;
		}
		assert_int_equal(uid, locals);
		assert_int_equal(apic_id, fixture->apic_ids[locals]);
		locals++;
	}
	assert_int_equal(locals, fixture->acpi.vp_count);
	assert_int_equal(others, 2);
}

static void madt_lists_apics(void **state)
{
	check_madt(*state);
}

static void as_many_vps_as_can_be(void **state)
{
	struct fixture *fixture = *state;
	uint32_t length;

	for (uint32_t count = 1; count <= ARRAY_SIZE(fixture->apic_ids); count++) {
		fixture->acpi.vp_count = count;
		assert_int_equal(acpi_write(fixture->memory, &fixture->acpi, &fixture->rsdp), 0);
		check_madt(fixture);
		find_dsdt(fixture, &length);
	}
}

/* A VM of 7 GiB, which reach over the hole; nodes as given, vps in turn. */
static void fill_numa(struct fixture *fixture, const char *nodes)
{
	CLEANUP(definition_freep) struct definition *definition = NULL;
	struct memory_layout layout;
	struct json_error error;
	char text[512];

	snprintf(text, sizeof(text),
		 "{\"name\": \"a\", \"boot\": {\"kernel\": \"/k\"}, \"memory\": {\"size\": "
		 "\"7G\"}, \"processors\": {\"count\": %u}, \"numa\": %s}",
		 fixture->acpi.vp_count, nodes);
	if (definition_parse(text, strlen(text), &definition, &error) < 0)
		fail_msg("%s: %s", error.key, error.message);
	memory_layout_init(&layout, definition->memory.size, 0, 48);
	numa_init(&fixture->numa, definition, &layout);
	assert_int_equal(acpi_write(fixture->memory, &fixture->acpi, &fixture->rsdp), 0);
}

/* Return: the node; and how it is found: 0, or 2 for x2APICs. */
static uint32_t srat_vp(const uint8_t *entry, uint32_t *ret_apic_id)
{
	bool x2apic = entry[0] == 2;

	assert_int_equal(entry[1], x2apic ? 24 : 16);
	*ret_apic_id = x2apic ? (uint32_t)get(entry + 8, 4) : entry[3];
	assert_int_equal(x2apic, *ret_apic_id >= 255);
	assert_int_equal(get(entry + (x2apic ? 12 : 4), 4), 1);
	if (!x2apic)
		assert_int_equal(get(entry + 9, 3), 0);
	return x2apic ? (uint32_t)get(entry + 4, 4) : entry[2];
}

static void check_srat(const struct fixture *fixture)
{
	uint32_t length, vps = 0, apic_id;
	const uint8_t *srat = find(fixture, "SRAT", &length);
	size_t ranges = 0;

	assert_int_equal(get(srat + 36, 4), 1);
	for (uint32_t i = 48; i < length; i += srat[i + 1]) {
		const uint8_t *entry = srat + i;
		const struct numa_range *range = &fixture->numa.ranges[ranges];

		assert_true(entry[1] >= 2 && i + entry[1] <= length);
		if (entry[0] != 1) {
			assert_int_equal(srat_vp(entry, &apic_id), fixture->numa.node_of_vp[vps]);
			assert_int_equal(apic_id, fixture->apic_ids[vps]);
			vps++;
			continue;
		}
		assert_int_equal(entry[1], 40);
		assert_int_equal(get(entry + 2, 4), range->node);
		assert_int_equal(get(entry + 8, 8), range->region.gpa.value);
		assert_int_equal(get(entry + 16, 8), range->region.size);
		assert_int_equal(get(entry + 28, 4), 1);
		ranges++;
	}
	assert_int_equal(vps, fixture->acpi.vp_count);
	assert_int_equal(ranges, fixture->numa.range_count);
}

static void check_slit(const struct fixture *fixture)
{
	uint32_t length, count = fixture->numa.node_count;
	const uint8_t *slit = find(fixture, "SLIT", &length);

	assert_int_equal(get(slit + 36, 8), count);
	assert_int_equal(length, 44 + count * count);
	for (uint32_t i = 0; i < count; i++)
		for (uint32_t j = 0; j < count; j++)
			assert_int_equal(slit[44 + i * count + j], fixture->numa.distances[i][j]);
}

static void nodes_reach_over_the_hole(void **state)
{
	static const struct {
		unsigned node;
		uint64_t gpa, size; /* MiB */
	} ranges[] = { { 0, 0, 2048 }, { 1, 2048, 1024 }, { 1, 4096, 1024 }, { 2, 5120, 3072 } };
	struct fixture *fixture = *state;
	uint32_t length;
	const uint8_t *slit;

	fill_numa(fixture, "[{\"memory\": \"2G\", \"distances\": [10, 15, 25]}, {\"memory\": "
			   "\"2G\"}, {\"memory\": \"3G\"}]");
	assert_int_equal(fixture->numa.range_count, ARRAY_SIZE(ranges));
	for (size_t i = 0; i < ARRAY_SIZE(ranges); i++) {
		const struct numa_range *range = &fixture->numa.ranges[i];

		assert_int_equal(range->node, ranges[i].node);
		assert_int_equal(range->region.gpa.value, ranges[i].gpa << 20);
		assert_int_equal(range->region.size, ranges[i].size << 20);
	}
	check_srat(fixture);
	check_slit(fixture);
	slit = find(fixture, "SLIT", &length);
	assert_memory_equal(slit + 44, "\x0a\x0f\x19\x14\x0a\x14\x14\x14\x0a", 9);
}

static void nodes_of_as_many_vps_as_can_be(void **state)
{
	struct fixture *fixture = *state;

	for (uint32_t count = 16; count <= ARRAY_SIZE(fixture->apic_ids); count++) {
		fixture->acpi.vp_count = count;
		fill_numa(fixture, "[{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{}]");
		assert_int_equal(fixture->numa.range_count, 17);
		check_madt(fixture);
		check_srat(fixture);
		check_slit(fixture);
	}
}

static void no_nodes_no_tables(void **state)
{
	const struct fixture *fixture = *state;
	const uint8_t *rsdp = at(fixture, fixture->rsdp.value, 36);
	uint32_t length;

	table(fixture, get(rsdp + 24, 8), "XSDT", &length);
	assert_int_equal(length, 36 + 2 * 8);
}

/* As loaders without an interpreter do. */
static void assert_sleep_type(const struct fixture *fixture, const char *name, unsigned expected)
{
	uint32_t length;
	const uint8_t *dsdt = find_dsdt(fixture, &length), *state;

	state = memmem(dsdt + 36, length - 36, name, 4);
	assert_non_null(state);
	assert_true(state[-1] == 0x08 || (state[-1] == '\\' && state[-2] == 0x08));
	assert_int_equal(state[4], 0x12);
	state += ((state[5] & 0xc0) >> 6) + 7;
	assert_int_equal(state[0], 0x0a);
	assert_int_equal(state[1], expected);
}

static void s5_is_found_by_scanning(void **state)
{
	const struct fixture *fixture = *state;
	uint32_t length;
	const uint8_t *dsdt = find_dsdt(fixture, &length);

	assert_sleep_type(fixture, "_S5_", PLATFORM_SLEEP_TYPE_S5);
	assert_null(memmem(dsdt + 36, length - 36, "_S4_", 4));
}

static void s4_is_there_for_hibernation(void **state)
{
	struct fixture *fixture = *state;

	fixture->acpi.hibernation = true;
	assert_int_equal(acpi_write(fixture->memory, &fixture->acpi, &fixture->rsdp), 0);
	assert_sleep_type(fixture, "_S4_", PLATFORM_SLEEP_TYPE_S4);
	assert_sleep_type(fixture, "_S5_", PLATFORM_SLEEP_TYPE_S5);
}

static void dsdt_has_vmbus(void **state)
{
	const struct fixture *fixture = *state;
	uint32_t length;
	const uint8_t *dsdt = find_dsdt(fixture, &length);
	const uint8_t *window, *bus = memmem(dsdt, length, "VMBus", 6);

	assert_non_null(bus);
	assert_non_null(memmem(bus, length - (size_t)(bus - dsdt), "_CRS", 4));
	assert_non_null(memmem(dsdt, length, "ACPI0004", 9));
	window = memmem(dsdt, length, "\x8a\x2b\x00", 3);
	assert_non_null(window);
	assert_int_equal(get(window + 14, 8), fixture->layout.mmio_low.gpa.value);
	assert_int_equal(get(window + 22, 8), LAYOUT_IOAPIC - 1);
	assert_int_equal(get(window + 38, 8), fixture->layout.mmio_low.size);
}

/* Its name for Linux, and where the ID is: in a page that no table is in. */
static void dsdt_has_a_generation_counter(void **state)
{
	struct fixture *fixture = *state;
	const struct guid id = GUID(0x01020304, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14);
	uint64_t place = acpi_generation_place(fixture->acpi.place).value;
	uint32_t length;
	const uint8_t *fadt = find(fixture, "FACP", &length), *dsdt, *address;

	assert_int_equal(get(fadt + 80, 4), PLATFORM_GPE0_PORT);
	assert_int_equal(fadt[92], 2);
	assert_int_equal(get(fadt + 224, 8), PLATFORM_GPE0_PORT);
	dsdt = find_dsdt(fixture, &length);
	assert_non_null(memmem(dsdt, length, "VMGENCTR", 9));
	address = memmem(dsdt, length, "ADDR\x12", 5);
	assert_non_null(address);
	assert_int_equal(address[6], 2);
	assert_int_equal(address[7], 0x0c);
	assert_int_equal(get(address + 8, 4), place);
	assert_int_equal(address[12], 0);
	assert_non_null(memmem(dsdt, length, "_E00\x00\x86\\\x2f\x03_SB_VMODGENC\x0a\x80", 23));
	assert_int_equal(place % 4096, 0);
	assert_int_equal(acpi_generation_set(fixture->memory, fixture->acpi.place, &id), 1);
	assert_memory_equal(at(fixture, place, 16), &id, 16);
	assert_int_equal(acpi_generation_set(fixture->memory, fixture->acpi.place, &id), 0);
	assert_int_equal(acpi_generation_set(fixture->memory, GPA(RAM_SIZE), &id), -EINVAL);
}

/* Where ACPICA's compiler is at hand, it has to understand the tables, too. */
static void iasl_understands_the_dsdt(void **state)
{
	const struct fixture *fixture = *state;
	char directory[] = "/tmp/vmms-dsdt-XXXXXX", path[64], command[512];
	uint32_t length;
	const uint8_t *dsdt = find_dsdt(fixture, &length);
	FILE *file;
	int status;

	if (system("command -v iasl >/dev/null") != 0)
		skip();
	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/dsdt.dat", directory);
	file = fopen(path, "we");
	assert_non_null(file);
	assert_int_equal(fwrite(dsdt, 1, length, file), length);
	fclose(file);
	snprintf(command, sizeof(command),
		 "cd %s && iasl -d dsdt.dat >log 2>&1 && grep -q 'Device (VMBS)' dsdt.dsl && "
		 "grep -q 'EisaId (\"PNP0501\")' dsdt.dsl && grep -q 'IO (Decode16' dsdt.dsl && "
		 "grep -q 'Notify (\\\\_SB.VMOD.GENC, 0x80)' dsdt.dsl && "
		 "! grep -iE '\\b(error|warning)\\b' log",
		 directory);
	status = system(command);
	snprintf(command, sizeof(command), "rm -rf %s", directory);
	assert_int_equal(system(command), 0);
	assert_int_equal(status, 0);
}

/* ---- AML ---- */

static void aml_lengths(void **state)
{
	uint8_t bytes[256];
	struct aml aml = { .data = bytes, .capacity = sizeof(bytes) };
	aml_mark_t scope, device;

	/* A short body in a long one. */
	scope = aml_open_scope(&aml, "\\_SB_");
	device = aml_open_device(&aml, "TEST");
	aml_name(&aml, "_UID");
	aml_integer(&aml, 7);
	aml_close(&aml, device);
	for (int i = 0; i < 10; i++) {
		aml_name(&aml, "LONG");
		aml_integer(&aml, UINT64_MAX);
	}
	aml_close(&aml, scope);
	assert_false(aml.overflow);
	assert_int_equal(bytes[0], 0x10);
	assert_int_equal((bytes[1] & 0xf) | bytes[2] << 4, aml.size - 1);
	assert_int_equal(bytes[1] >> 6, 1);
	assert_memory_equal(bytes + 3, "\\_SB_\x5b\x82\x0cTEST\x08_UID\x0a\x07", 19);
}

static void aml_integers(void **state)
{
	static const struct {
		uint64_t value;
		size_t size;
		uint8_t op;
	} cases[] = {
		{ 0, 1, 0x00 },        { 1, 1, 0x01 },          { 2, 2, 0x0a },
		{ 255, 2, 0x0a },      { 256, 3, 0x0b },        { 65536, 5, 0x0c },
		{ 1u << 31, 5, 0x0c }, { 1ull << 32, 9, 0x0e },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint8_t bytes[16];
		struct aml aml = { .data = bytes, .capacity = sizeof(bytes) };

		aml_integer(&aml, cases[i].value);
		assert_int_equal(aml.size, cases[i].size);
		assert_int_equal(bytes[0], cases[i].op);
		if (aml.size > 1)
			assert_int_equal(get(bytes + 1, aml.size - 1), cases[i].value);
	}
}

static void aml_overflow_is_remembered(void **state)
{
	uint8_t bytes[8];

	for (size_t capacity = 0; capacity < sizeof(bytes); capacity++) {
		struct aml aml = { .data = bytes, .capacity = capacity };
		aml_mark_t mark = aml_open_scope(&aml, "\\_SB_");
		struct aml_resources resources = aml_open_resources(&aml);

		aml_resource_memory(&aml, 0, 4096);
		aml_close_resources(&aml, resources);
		aml_close(&aml, mark);
		assert_true(aml.overflow);
		assert_true(aml.size <= capacity);
	}
}

static void aml_eisa_ids(void **state)
{
	uint8_t bytes[8];
	struct aml aml = { .data = bytes, .capacity = sizeof(bytes) };

	aml_eisa_id(&aml, "PNP0501");
	assert_memory_equal(bytes, "\x0c\x41\xd0\x05\x01", 5);
}

/* ---- SMBIOS ---- */

/* A structure of a type, or NULL; walks them all, to the end that the anchor says. */
static const uint8_t *smbios_find(const struct fixture *fixture, uint8_t type, unsigned *ret_count)
{
	const uint8_t *anchor = at(fixture, LAYOUT_SMBIOS, 24), *found = NULL;
	uint32_t size = (uint32_t)get(anchor + 12, 4), i = 0;
	const uint8_t *tables = at(fixture, get(anchor + 16, 8), size);

	assert_memory_equal(anchor, "_SM3_", 5);
	assert_int_equal(sum(anchor, anchor[6]), 0);
	*ret_count = 0;
	while (i < size) {
		const uint8_t *structure = tables + i, *end;

		if (structure[0] == type && (*ret_count)++ == 0)
			found = structure;
		end = memmem(structure + structure[1], size - i - structure[1], "\0\0", 2);
		assert_non_null(end);
		i = (uint32_t)(end + 2 - tables);
		if (structure[0] == 127)
			break;
	}
	assert_int_equal(i, size);
	return found;
}

static const char *smbios_string(const uint8_t *structure, unsigned number)
{
	const char *text = (const char *)structure + structure[1];

	while (--number)
		text += strlen(text) + 1;
	return text;
}

static void smbios_tells_the_machine(void **state)
{
	struct fixture *fixture = *state;
	struct smbios_config config = { .sockets = 2,
					.cores = 3,
					.threads = 2,
					.ram_size = RAM_SIZE,
					.ram_count = 1,
					.ram = fixture->layout.ram };
	const uint8_t *structure;
	unsigned count;

	assert_int_equal(guid_parse("01234567-89ab-cdef-0123-456789abcdef", &config.uuid), 0);
	assert_int_equal(smbios_write(fixture->memory, &config), 0);
	structure = smbios_find(fixture, 1, &count);
	assert_int_equal(count, 1);
	assert_memory_equal(structure + 8, "\x67\x45\x23\x01\xab\x89\xef\xcd", 8);
	assert_string_equal(smbios_string(structure, structure[7]),
			    "01234567-89ab-cdef-0123-456789abcdef");
	assert_string_equal(smbios_string(structure, structure[4]), "Microsoft Corporation");
	structure = smbios_find(fixture, 4, &count);
	assert_int_equal(count, 2);
	assert_int_equal(structure[0x23], 3);
	assert_int_equal(structure[0x25], 6);
	structure = smbios_find(fixture, 17, &count);
	assert_int_equal(get(structure + 12, 2), 64);
	structure = smbios_find(fixture, 19, &count);
	assert_int_equal(count, 1);
	assert_int_equal(get(structure + 8, 4), RAM_SIZE / 1024 - 1);
	smbios_find(fixture, 127, &count);
	assert_int_equal(count, 1);
}

static void smbios_of_much_memory(void **state)
{
	struct fixture *fixture = *state;
	struct memory_layout layout;
	struct smbios_config config = { .sockets = 240, .cores = 1, .threads = 1 };
	const uint8_t *structure;
	unsigned count;

	memory_layout_init(&layout, 8ull << 40, 0, 48);
	config.ram_size = 8ull << 40;
	config.ram_count = layout.ram_count;
	config.ram = layout.ram;
	assert_int_equal(smbios_write(fixture->memory, &config), 0);
	structure = smbios_find(fixture, 16, &count);
	assert_int_equal(get(structure + 7, 4), 0x80000000);
	assert_int_equal(get(structure + 15, 8), 8ull << 40);
	structure = smbios_find(fixture, 17, &count);
	assert_int_equal(get(structure + 12, 2), 0x7fff);
	assert_int_equal(get(structure + 28, 4), 8u << 20);
	smbios_find(fixture, 19, &count);
	assert_int_equal(count, 2);
	smbios_find(fixture, 4, &count);
	assert_int_equal(count, 240);
}

static void firmware_needs_its_memory(void **state)
{
	struct fixture *fixture = *state;
	struct vid_memory *empty;
	struct smbios_config config = { .sockets = 1, .cores = 1, .threads = 1 };
	gpa_t rsdp;

	assert_int_equal(vid_memory_new(&empty), 0);
	assert_int_equal(acpi_write(empty, &fixture->acpi, &rsdp), -EINVAL);
	assert_int_equal(smbios_write(empty, &config), -EINVAL);
	vid_memory_free(empty);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(rsdp_is_found_by_scanning, setup, teardown),
		cmocka_unit_test_setup_teardown(fadt_is_of_full_acpi, setup, teardown),
		cmocka_unit_test_setup_teardown(madt_lists_apics, setup, teardown),
		cmocka_unit_test_setup_teardown(as_many_vps_as_can_be, setup, teardown),
		cmocka_unit_test_setup_teardown(nodes_reach_over_the_hole, setup, teardown),
		cmocka_unit_test_setup_teardown(nodes_of_as_many_vps_as_can_be, setup, teardown),
		cmocka_unit_test_setup_teardown(no_nodes_no_tables, setup, teardown),
		cmocka_unit_test_setup_teardown(s5_is_found_by_scanning, setup, teardown),
		cmocka_unit_test_setup_teardown(s4_is_there_for_hibernation, setup, teardown),
		cmocka_unit_test_setup_teardown(dsdt_has_vmbus, setup, teardown),
		cmocka_unit_test_setup_teardown(dsdt_has_a_generation_counter, setup, teardown),
		cmocka_unit_test_setup_teardown(iasl_understands_the_dsdt, setup, teardown),
		cmocka_unit_test(aml_lengths),
		cmocka_unit_test(aml_integers),
		cmocka_unit_test(aml_overflow_is_remembered),
		cmocka_unit_test(aml_eisa_ids),
		cmocka_unit_test_setup_teardown(smbios_tells_the_machine, setup, teardown),
		cmocka_unit_test_setup_teardown(smbios_of_much_memory, setup, teardown),
		cmocka_unit_test_setup_teardown(firmware_needs_its_memory, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
