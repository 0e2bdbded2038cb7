/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * SMBIOS tables.
 *
 * A structure is a fixed part, its strings, each ended by a NUL, and a NUL more; the fixed part
 * names strings by their number, from 1. The strings that guests know Hyper-V by are Hyper-V's.
 */
#include "vmwp/boot/smbios.h"

#include "vmwp/base/memory_layout.h"

#include <errno.h>
#include <string.h>

struct smbios_anchor {
	char signature[5];
	uint8_t checksum, length, major, minor, revision, entry_revision, reserved;
	uint32_t maximum_size;
	uint64_t tables;
} PACKED;
_Static_assert(sizeof(struct smbios_anchor) == SMBIOS_ANCHOR_SIZE, "DSP0134 5.2.2");

struct smbios_header {
	uint8_t type, length;
	uint16_t handle;
} PACKED;

struct smbios_bios {
	struct smbios_header header;
	uint8_t vendor, version;
	uint16_t segment;
	uint8_t date, rom_size;
	uint64_t characteristics;
	uint8_t extended[2], major, minor, controller_major, controller_minor;
	uint16_t extended_rom_size;
} PACKED;
_Static_assert(sizeof(struct smbios_bios) == 26, "DSP0134 7.1");

struct smbios_system {
	struct smbios_header header;
	uint8_t manufacturer, product, version, serial;
	struct guid uuid;
	uint8_t wake_up, sku, family;
} PACKED;
_Static_assert(sizeof(struct smbios_system) == 27, "DSP0134 7.2");

struct smbios_chassis {
	struct smbios_header header;
	uint8_t manufacturer, type, version, serial, asset_tag;
	uint8_t boot_state, power_state, thermal_state, security;
	uint32_t oem;
	uint8_t height, power_cords, contained_count, contained_size, sku;
} PACKED;
_Static_assert(sizeof(struct smbios_chassis) == 22, "DSP0134 7.4");

struct smbios_processor {
	struct smbios_header header;
	uint8_t socket, type, family, manufacturer;
	uint64_t id;
	uint8_t version, voltage;
	uint16_t external_clock, max_speed, current_speed;
	uint8_t status, upgrade;
	uint16_t l1_cache, l2_cache, l3_cache;
	uint8_t serial, asset_tag, part;
	uint8_t core_count, cores_enabled, thread_count;
	uint16_t characteristics, family2, core_count2, cores_enabled2, thread_count2;
} PACKED;
_Static_assert(sizeof(struct smbios_processor) == 48, "DSP0134 7.5");

struct smbios_memory_array {
	struct smbios_header header;
	uint8_t location, use, error_correction;
	uint32_t maximum_kib;
	uint16_t error_handle, device_count;
	uint64_t extended_maximum;
} PACKED;
_Static_assert(sizeof(struct smbios_memory_array) == 23, "DSP0134 7.17");

struct smbios_memory_device {
	struct smbios_header header;
	uint16_t array, error_handle, total_width, data_width, size_mib;
	uint8_t form_factor, set, locator, bank, type;
	uint16_t detail, speed;
	uint8_t manufacturer, serial, asset_tag, part, attributes;
	uint32_t extended_size_mib;
	uint16_t configured_speed, voltage[3];
} PACKED;
_Static_assert(sizeof(struct smbios_memory_device) == 40, "DSP0134 7.18");

struct smbios_mapped_range {
	struct smbios_header header;
	uint32_t start_kib, end_kib;
	uint16_t array;
	uint8_t width;
	uint64_t extended_start, extended_end;
} PACKED;
_Static_assert(sizeof(struct smbios_mapped_range) == 31, "DSP0134 7.20");

struct smbios_boot {
	struct smbios_header header;
	uint8_t reserved[6], status;
} PACKED;
_Static_assert(sizeof(struct smbios_boot) == 11, "DSP0134 7.33");

enum {
	TYPE_BIOS = 0,
	TYPE_SYSTEM = 1,
	TYPE_CHASSIS = 3,
	TYPE_PROCESSOR = 4,
	TYPE_MEMORY_ARRAY = 16,
	TYPE_MEMORY_DEVICE = 17,
	TYPE_MAPPED_RANGE = 19,
	TYPE_BOOT = 32,
	TYPE_END = 127,
};

enum { BIOS_NO_CHARACTERISTICS = 1 << 3, BIOS_EXTENDED_VIRTUAL_MACHINE = 1 << 4 };
enum { UNKNOWN = 2, OTHER = 1, WAKE_POWER_SWITCH = 6, STATE_SAFE = 3, SECURITY_NONE = 3 };
enum { CHASSIS_DESKTOP = 3 };
enum { PROCESSOR_CENTRAL = 3, PROCESSOR_ENABLED = 0x41, PROCESSOR_FAMILY_IN_2 = 0xfe };
enum { PROCESSOR_64_BIT = 1 << 2, PROCESSOR_MULTI_CORE = 1 << 3, PROCESSOR_THREADS = 1 << 4 };
enum { ARRAY_ON_BOARD = 3, ARRAY_SYSTEM = 3, ARRAY_NO_CORRECTION = 3 };
enum { DEVICE_DIMM = 9, DEVICE_RAM = 7, DEVICE_DETAIL_UNKNOWN = 1 << 2 };

#define NO_HANDLE            0xffff
#define NOT_PROVIDED         0xfffe
#define IN_EXTENDED_SIZE     0x7fff
#define IN_EXTENDED_MAXIMUM  0x80000000u
#define IN_EXTENDED_ADDRESS  UINT32_MAX
#define HANDLE_CHASSIS       0x0300
#define HANDLE_PROCESSOR     0x0400 /* and up: one for each socket */
#define HANDLE_MEMORY_ARRAY  0x1000
#define HANDLE_MEMORY_DEVICE 0x1100
#define HANDLE_MAPPED_RANGE  0x1300 /* and up: one for each range */

/* The tables begin at the next 16-byte boundary after the anchor. */
struct smbios_area {
	uint8_t *data;
	size_t size;
	bool overflow;
};

static void smbios_append(struct smbios_area *area, const void *data, size_t size)
{
	if (size > LAYOUT_SMBIOS_SIZE - area->size) {
		area->overflow = true;
		return;
	}
	memcpy(area->data + area->size, data, size);
	area->size += size;
}

/* Fills in the header and appends the structure. strings: closed by NULL. */
static void smbios_add(struct smbios_area *area, void *structure, size_t size, uint8_t type,
		       uint16_t handle, const char *const *strings)
{
	const struct smbios_header header = { .type = type,
					      .length = (uint8_t)size,
					      .handle = handle };

	memcpy(structure, &header, sizeof(header));
	smbios_append(area, structure, size);
	if (!strings[0])
		smbios_append(area, "", 1);
	for (size_t i = 0; strings[i]; i++)
		smbios_append(area, strings[i], strlen(strings[i]) + 1);
	smbios_append(area, "", 1);
}

#define STRINGS(...) ((const char *const[]){ __VA_ARGS__ __VA_OPT__(, ) NULL })

static void smbios_add_machine(struct smbios_area *area, const struct smbios_config *config)
{
	struct smbios_bios bios = { .vendor = 1,
				    .version = 2,
				    .date = 3,
				    .characteristics = BIOS_NO_CHARACTERISTICS,
				    .extended = { 0, BIOS_EXTENDED_VIRTUAL_MACHINE },
				    .major = 0xff,
				    .minor = 0xff,
				    .controller_major = 0xff,
				    .controller_minor = 0xff };
	struct smbios_system system = { .manufacturer = 1,
					.product = 2,
					.version = 3,
					.serial = 4,
					.uuid = config->uuid,
					.wake_up = WAKE_POWER_SWITCH,
					.family = 5 };
	struct smbios_chassis chassis = { .manufacturer = 1,
					  .type = CHASSIS_DESKTOP,
					  .version = 2,
					  .boot_state = STATE_SAFE,
					  .power_state = STATE_SAFE,
					  .thermal_state = STATE_SAFE,
					  .security = SECURITY_NONE };
	char uuid[GUID_TEXT_SIZE];

	guid_format(&config->uuid, uuid);
	smbios_add(area, &bios, sizeof(bios), TYPE_BIOS, 0,
		   STRINGS("VMMS", VMMS_VERSION, "01/01/2024"));
	smbios_add(area, &system, sizeof(system), TYPE_SYSTEM, 0x100,
		   STRINGS("Microsoft Corporation", "Virtual Machine", "VMMS " VMMS_VERSION, uuid,
			   "Virtual Machine"));
	smbios_add(area, &chassis, sizeof(chassis), TYPE_CHASSIS, HANDLE_CHASSIS,
		   STRINGS("Microsoft Corporation", "VMMS " VMMS_VERSION));
}

static void smbios_add_processors(struct smbios_area *area, const struct smbios_config *config)
{
	unsigned threads = config->cores * config->threads;

	for (unsigned i = 0; i < config->sockets; i++) {
		struct smbios_processor processor = {
			.socket = 1,
			.type = PROCESSOR_CENTRAL,
			.family = PROCESSOR_FAMILY_IN_2,
			.manufacturer = 2,
			.status = PROCESSOR_ENABLED,
			.upgrade = OTHER,
			.l1_cache = NO_HANDLE,
			.l2_cache = NO_HANDLE,
			.l3_cache = NO_HANDLE,
			.core_count = (uint8_t)config->cores,
			.cores_enabled = (uint8_t)config->cores,
			.thread_count = (uint8_t)threads,
			.characteristics = PROCESSOR_64_BIT |
					   (config->cores > 1 ? PROCESSOR_MULTI_CORE : 0) |
					   (config->threads > 1 ? PROCESSOR_THREADS : 0),
			.family2 = UNKNOWN,
			.core_count2 = (uint16_t)config->cores,
			.cores_enabled2 = (uint16_t)config->cores,
			.thread_count2 = (uint16_t)threads,
		};

		smbios_add(area, &processor, sizeof(processor), TYPE_PROCESSOR,
			   (uint16_t)(HANDLE_PROCESSOR + i), STRINGS("CPU", "VMMS"));
	}
}

static void smbios_add_memory_device(struct smbios_area *area, uint64_t size)
{
	uint64_t mib = size >> 20;
	bool extended = mib >= IN_EXTENDED_SIZE;
	struct smbios_memory_device device = {
		.array = HANDLE_MEMORY_ARRAY,
		.error_handle = NOT_PROVIDED,
		.total_width = 64,
		.data_width = 64,
		.size_mib = extended ? IN_EXTENDED_SIZE : (uint16_t)mib,
		.form_factor = DEVICE_DIMM,
		.locator = 1,
		.type = DEVICE_RAM,
		.detail = DEVICE_DETAIL_UNKNOWN,
		.manufacturer = 2,
		.extended_size_mib = extended ? (uint32_t)mib : 0,
	};

	smbios_add(area, &device, sizeof(device), TYPE_MEMORY_DEVICE, HANDLE_MEMORY_DEVICE,
		   STRINGS("DIMM 0", "VMMS"));
}

static void smbios_add_mapped_range(struct smbios_area *area, struct vid_memory_region region,
				    uint16_t handle)
{
	uint64_t first = region.gpa.value, last = first + region.size - 1;
	bool extended = last >> 10 >= IN_EXTENDED_ADDRESS;
	struct smbios_mapped_range range = {
		.start_kib = extended ? IN_EXTENDED_ADDRESS : (uint32_t)(first >> 10),
		.end_kib = extended ? IN_EXTENDED_ADDRESS : (uint32_t)(last >> 10),
		.array = HANDLE_MEMORY_ARRAY,
		.width = 1,
		.extended_start = extended ? first : 0,
		.extended_end = extended ? last : 0,
	};

	smbios_add(area, &range, sizeof(range), TYPE_MAPPED_RANGE, handle, STRINGS());
}

static void smbios_add_memory(struct smbios_area *area, const struct smbios_config *config)
{
	uint64_t kib = config->ram_size >> 10;
	bool extended = kib >= IN_EXTENDED_MAXIMUM;
	struct smbios_memory_array array = {
		.location = ARRAY_ON_BOARD,
		.use = ARRAY_SYSTEM,
		.error_correction = ARRAY_NO_CORRECTION,
		.maximum_kib = extended ? IN_EXTENDED_MAXIMUM : (uint32_t)kib,
		.error_handle = NOT_PROVIDED,
		.device_count = 1,
		.extended_maximum = extended ? config->ram_size : 0,
	};

	smbios_add(area, &array, sizeof(array), TYPE_MEMORY_ARRAY, HANDLE_MEMORY_ARRAY, STRINGS());
	smbios_add_memory_device(area, config->ram_size);
	for (unsigned i = 0; i < config->ram_count; i++)
		smbios_add_mapped_range(area, config->ram[i], (uint16_t)(HANDLE_MAPPED_RANGE + i));
}

static void smbios_write_anchor(uint8_t *data, size_t tables_size)
{
	struct smbios_anchor anchor = {
		.length = sizeof(anchor),
		.major = 3,
		.minor = 4,
		.entry_revision = 1,
		.maximum_size = (uint32_t)tables_size,
		.tables = LAYOUT_SMBIOS + SMBIOS_TABLES_OFFSET,
	};
	uint8_t sum = 0;

	memcpy(anchor.signature, "_SM3_", sizeof(anchor.signature));
	for (size_t i = 0; i < sizeof(anchor); i++)
		sum = (uint8_t)(sum + ((const uint8_t *)&anchor)[i]);
	anchor.checksum = (uint8_t)-sum;
	memcpy(data, &anchor, sizeof(anchor));
}

int smbios_fill(uint8_t *bytes, const struct smbios_config *config, size_t *ret_size)
{
	struct smbios_area area = { .data = bytes, .size = SMBIOS_TABLES_OFFSET };
	struct smbios_boot boot = { 0 };
	struct smbios_header end = { 0 };

	smbios_add_machine(&area, config);
	smbios_add_processors(&area, config);
	smbios_add_memory(&area, config);
	smbios_add(&area, &boot, sizeof(boot), TYPE_BOOT, 0x2000, STRINGS());
	smbios_add(&area, &end, sizeof(end), TYPE_END, 0x7f00, STRINGS());
	if (area.overflow)
		return -ENOSPC;
	*ret_size = area.size - SMBIOS_TABLES_OFFSET;
	smbios_write_anchor(area.data, *ret_size);
	return 0;
}

int smbios_write(struct vid_memory *memory, const struct smbios_config *config)
{
	uint8_t *bytes = vid_memory_map(memory, GPA(LAYOUT_SMBIOS), LAYOUT_SMBIOS_SIZE);
	size_t size;
	int r;

	if (!bytes)
		return -EINVAL;
	r = smbios_fill(bytes, config, &size);
	if (r == 0)
		vid_memory_mark_written(memory, GPA(LAYOUT_SMBIOS), SMBIOS_TABLES_OFFSET + size);
	return r;
}
