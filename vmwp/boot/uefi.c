/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Generation 2's firmware. */
#include "vmwp/boot/uefi.h"

#include "vmwp/boot/boot_file.h"
#include "vmwp/boot/boot_order.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define IMAGE_SIZE 3653632u

/* An entry of etc/e820. */
struct uefi_range {
	uint64_t base, size;
	uint32_t type;
} PACKED;
_Static_assert(sizeof(struct uefi_range) == 20, "edk2 IndustryStandard/E820.h");

#define UEFI_RANGES_MAX 3

/* Commands of the loader's script. */
enum { COMMAND_ALLOCATE = 1, COMMAND_ADD_POINTER = 2, COMMAND_ADD_CHECKSUM = 3 };
enum { ZONE_HIGH = 1 };

#define FILE_NAME_SIZE 56

struct uefi_command {
	uint32_t command;
	union {
		struct {
			char file[FILE_NAME_SIZE];
			uint32_t alignment;
			uint8_t zone;
		} PACKED allocate;
		struct {
			char file[FILE_NAME_SIZE], to[FILE_NAME_SIZE];
			uint32_t offset;
			uint8_t size;
		} PACKED pointer;
		struct {
			char file[FILE_NAME_SIZE];
			uint32_t result, start, size;
		} PACKED checksum;
		uint8_t bytes[124];
	};
} PACKED;
_Static_assert(sizeof(struct uefi_command) == 128, "edk2 QemuLoader.h");

#define TABLES_FILE      "etc/acpi/tables"
#define TABLES_ALIGNMENT 64 /* a FACS' */

struct uefi {
	struct uefi_range ranges[UEFI_RANGES_MAX];
	size_t range_count;
	char boot_order[BOOT_ORDER_SIZE];
	size_t command_count;
	struct uefi_command script[2 + ACPI_POINTERS_MAX];
	size_t acpi_size, smbios_size; /* of the tables */
	uint8_t acpi[LAYOUT_ACPI_SIZE];
	uint8_t smbios[LAYOUT_SMBIOS_SIZE];
	uint8_t *image; /* NULL: forgotten */
};

static void uefi_add_range(struct uefi *uefi, gpa_t base, uint64_t size, enum memory_map_type type)
{
	uefi->ranges[uefi->range_count++] =
		(struct uefi_range){ .base = base.value, .size = size, .type = type };
}

/* What it runs in is the entry that begins at 0, as a whole: it knows of the hole below 1 MiB. */
static void uefi_fill_ranges(struct uefi *uefi, const struct memory_layout *layout)
{
	const gpa_t reserved = bios_acpi_place(layout);

	uefi_add_range(uefi, GPA(0), reserved.value, MEMORY_MAP_RAM);
	uefi_add_range(uefi, reserved, LAYOUT_ACPI_SIZE, MEMORY_MAP_RESERVED);
	if (layout->ram_count > 1)
		uefi_add_range(uefi, layout->ram[1].gpa, layout->ram[1].size, MEMORY_MAP_RAM);
}

/* The byte itself counts, too, so that it has to be 0 until then. */
static void uefi_add_checksum(struct uefi *uefi)
{
	struct acpi_sum sum = acpi_pointers_sum(uefi->acpi, GPA(0));

	uefi->acpi[sum.checksum] = 0;
	uefi->script[uefi->command_count++] =
		(struct uefi_command){ .command = COMMAND_ADD_CHECKSUM,
				       .checksum = { .file = TABLES_FILE,
						     .result = sum.checksum,
						     .start = sum.table,
						     .size = sum.size } };
}

/*
 * It installs each table that a pointer leads to and whose sum is right, and makes RSDP and XSDT by
 * itself.
 */
static void uefi_fill_script(struct uefi *uefi)
{
	struct acpi_pointer pointers[ACPI_POINTERS_MAX];
	size_t count = acpi_pointers(uefi->acpi, GPA(0), pointers);

	uefi->script[0] = (struct uefi_command){ .command = COMMAND_ALLOCATE,
						 .allocate = { .file = TABLES_FILE,
							       .alignment = TABLES_ALIGNMENT,
							       .zone = ZONE_HIGH } };
	for (size_t i = 0; i < count; i++)
		uefi->script[1 + i] = (struct uefi_command){
			.command = COMMAND_ADD_POINTER,
			.pointer = { .file = TABLES_FILE,
				     .to = TABLES_FILE,
				     .offset = pointers[i].offset,
				     .size = pointers[i].size },
		};
	uefi->command_count = 1 + count;
	uefi_add_checksum(uefi);
}

static int uefi_read(struct uefi *uefi, int fd, struct failure *failure)
{
	struct boot_file file;
	int r = boot_file_init(&file, fd, "The firmware", failure);

	if (r < 0)
		return r;
	if (file.size != IMAGE_SIZE)
		return failure_set(failure, -EINVAL,
				   "The firmware has %" PRIu64 " bytes, and not %u: it is to be "
				   "OVMF_CODE_4M.fd of Debian's package ovmf.",
				   file.size, IMAGE_SIZE);
	uefi->image = malloc(IMAGE_SIZE);
	if (!uefi->image)
		return -ENOMEM;
	return boot_file_read(&file, 0, uefi->image, IMAGE_SIZE, failure);
}

int uefi_new(const struct uefi_config *config, struct uefi **ret_uefi, struct failure *failure)
{
	CLEANUP(uefi_freep) struct uefi *uefi = calloc(1, sizeof(*uefi));
	int r;

	if (!uefi)
		return -ENOMEM;
	r = uefi_read(uefi, config->fd, failure);
	if (r == 0)
		r = acpi_fill(uefi->acpi, config->acpi, &uefi->acpi_size);
	if (r == 0)
		r = smbios_fill(uefi->smbios, config->smbios, &uefi->smbios_size);
	if (r < 0)
		return r;
	if (strlen(config->boot_order) >= sizeof(uefi->boot_order))
		return -ENOSPC;
	strcpy(uefi->boot_order, config->boot_order);
	uefi_fill_ranges(uefi, config->layout);
	uefi_fill_script(uefi);
	*ret_uefi = TAKE_PTR(uefi);
	return 0;
}

void uefi_free(struct uefi *uefi)
{
	if (!uefi)
		return;
	free(uefi->image);
	free(uefi);
}

struct vid_rom uefi_rom(const struct uefi *uefi)
{
	return (struct vid_rom){ .gpa = GPA(LAYOUT_4GIB - IMAGE_SIZE),
				 .bytes = uefi->image,
				 .size = IMAGE_SIZE };
}

void uefi_forget_image(struct uefi *uefi)
{
	free(uefi->image);
	uefi->image = NULL;
}

size_t uefi_files(const struct uefi *uefi, struct bios_file ret_files[static BIOS_FILES_MAX])
{
	const struct bios_file files[] = {
		{ "etc/e820", uefi->ranges,
		  (uint32_t)(uefi->range_count * sizeof(uefi->ranges[0])) },
		{ "etc/table-loader", uefi->script,
		  (uint32_t)(uefi->command_count * sizeof(uefi->script[0])) },
		{ TABLES_FILE, uefi->acpi, (uint32_t)uefi->acpi_size },
		{ "etc/smbios/smbios-anchor", uefi->smbios, SMBIOS_ANCHOR_SIZE },
		{ "etc/smbios/smbios-tables", uefi->smbios + SMBIOS_TABLES_OFFSET,
		  (uint32_t)uefi->smbios_size },
		{ "bootorder", uefi->boot_order, (uint32_t)strlen(uefi->boot_order) + 1 },
	};

	_Static_assert(ARRAY_SIZE(files) <= BIOS_FILES_MAX, "there is room");
	memcpy(ret_files, files, sizeof(files));
	return ARRAY_SIZE(files);
}
