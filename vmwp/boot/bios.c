/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Generation 1's firmware. */
#include "vmwp/boot/bios.h"

#include "vmwp/base/platform.h"
#include "vmwp/boot/boot_file.h"
#include "vmwp/boot/boot_order.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define BIOS_SIZE    0x40000u
#define BIOS_RUNS_AT (LAYOUT_1MIB - BIOS_SIZE)

/* An entry of etc/e820. */
struct bios_range {
	uint64_t base, size;
	uint32_t type;
} PACKED;
_Static_assert(sizeof(struct bios_range) == 20, "fw_cfg.rst");

#define BIOS_RANGES_MAX 3

/* The loader's command that puts a file into memory. */
struct bios_allocate {
	uint32_t command;
	char file[56];
	uint32_t alignment;
	uint8_t zone;
	uint8_t zero[63];
} PACKED;
_Static_assert(sizeof(struct bios_allocate) == 128, "romfile_loader.h");

enum { COMMAND_ALLOCATE = 1 };
enum { ZONE_F_SEGMENT = 2 };

/* Firmware that has nothing to boot waits for somebody, and does not reset the machine. */
#define FAIL_WAIT UINT32_MAX

#define RSDP_FILE      "etc/acpi/rsdp"
#define RSDP_ALIGNMENT 16

struct bios {
	struct bios_range ranges[BIOS_RANGES_MAX];
	size_t range_count;
	uint8_t rsdp[ACPI_RSDP_SIZE];
	uint16_t serial_port;
	uint32_t fail_wait;
	char boot_order[BOOT_ORDER_SIZE];
	size_t smbios_size; /* of the tables */
	uint8_t smbios[LAYOUT_SMBIOS_SIZE];
	uint8_t image[BIOS_SIZE];
	gpa_t acpi;
};

gpa_t bios_acpi_place(const struct memory_layout *layout)
{
	return GPA(layout->ram[0].size - LAYOUT_ACPI_SIZE);
}

static void bios_add_range(struct bios *bios, uint64_t base, uint64_t size,
			   enum memory_map_type type)
{
	bios->ranges[bios->range_count++] =
		(struct bios_range){ .base = base, .size = size, .type = type };
}

/* It cuts out by itself what is no RAM below 1 MiB. */
static void bios_fill_ranges(struct bios *bios, const struct memory_layout *layout)
{
	bios_add_range(bios, 0, bios->acpi.value, MEMORY_MAP_RAM);
	bios_add_range(bios, bios->acpi.value, LAYOUT_ACPI_SIZE, MEMORY_MAP_RESERVED);
	if (layout->ram_count > 1)
		bios_add_range(bios, layout->ram[1].gpa.value, layout->ram[1].size, MEMORY_MAP_RAM);
}

static int bios_read(struct bios *bios, int fd, struct failure *failure)
{
	struct boot_file file;
	int r = boot_file_init(&file, fd, "The BIOS", failure);

	if (r < 0)
		return r;
	if (file.size != BIOS_SIZE)
		return failure_set(failure, -EINVAL,
				   "The BIOS has %" PRIu64 " bytes, and not %u: it is to be "
				   "bios-256k.bin of Debian's package seabios.",
				   file.size, BIOS_SIZE);
	return boot_file_read(&file, 0, bios->image, BIOS_SIZE, failure);
}

int bios_new(const struct bios_config *config, struct bios **ret_bios, struct failure *failure)
{
	CLEANUP(bios_freep) struct bios *bios = calloc(1, sizeof(*bios));
	int r;

	if (!bios)
		return -ENOMEM;
	r = bios_read(bios, config->fd, failure);
	if (r < 0)
		return r;
	r = smbios_fill(bios->smbios, config->smbios, &bios->smbios_size);
	if (r < 0)
		return r;
	if (strlen(config->boot_order) >= sizeof(bios->boot_order))
		return -ENOSPC;
	strcpy(bios->boot_order, config->boot_order);
	bios->serial_port = PLATFORM_SERIAL_PORT;
	bios->fail_wait = FAIL_WAIT;
	bios->acpi = bios_acpi_place(config->layout);
	bios_fill_ranges(bios, config->layout);
	*ret_bios = TAKE_PTR(bios);
	return 0;
}

void bios_free(struct bios *bios)
{
	free(bios);
}

struct vid_rom bios_rom(const struct bios *bios)
{
	return (struct vid_rom){ .gpa = GPA(LAYOUT_4GIB - BIOS_SIZE),
				 .bytes = bios->image,
				 .size = BIOS_SIZE };
}

int bios_load(const struct bios *bios, struct vid_memory *memory)
{
	void *target = vid_memory_map(memory, GPA(BIOS_RUNS_AT), BIOS_SIZE);

	if (!target)
		return -EINVAL;
	memcpy(target, bios->image, BIOS_SIZE);
	vid_memory_mark_written(memory, GPA(BIOS_RUNS_AT), BIOS_SIZE);
	return 0;
}

int bios_take_rsdp(struct bios *bios, const struct vid_memory *memory)
{
	const void *rsdp = vid_memory_map(memory, bios->acpi, sizeof(bios->rsdp));

	if (!rsdp)
		return -EINVAL;
	memcpy(bios->rsdp, rsdp, sizeof(bios->rsdp));
	return 0;
}

size_t bios_files(const struct bios *bios, struct bios_file ret_files[static BIOS_FILES_MAX])
{
	static const struct bios_allocate loader = { .command = COMMAND_ALLOCATE,
						     .file = RSDP_FILE,
						     .alignment = RSDP_ALIGNMENT,
						     .zone = ZONE_F_SEGMENT };
	const struct bios_file files[] = {
		{ "etc/e820", bios->ranges,
		  (uint32_t)(bios->range_count * sizeof(bios->ranges[0])) },
		{ "etc/table-loader", &loader, sizeof(loader) },
		{ RSDP_FILE, bios->rsdp, sizeof(bios->rsdp) },
		{ "etc/smbios/smbios-anchor", bios->smbios, SMBIOS_ANCHOR_SIZE },
		{ "etc/smbios/smbios-tables", bios->smbios + SMBIOS_TABLES_OFFSET,
		  (uint32_t)bios->smbios_size },
		{ "etc/sercon-port", &bios->serial_port, sizeof(bios->serial_port) },
		{ "etc/boot-fail-wait", &bios->fail_wait, sizeof(bios->fail_wait) },
		{ "bootorder", bios->boot_order, (uint32_t)strlen(bios->boot_order) + 1 },
	};

	_Static_assert(ARRAY_SIZE(files) <= BIOS_FILES_MAX, "there is room");
	memcpy(ret_files, files, sizeof(files));
	return ARRAY_SIZE(files);
}
