/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Generation 1's firmware: Debian's SeaBIOS as it is, and the files that it asks the host for.
 *
 * The image is read-only memory up to 4 GiB, where a processor begins, and once more in RAM up to
 * 1 MiB, where it runs: the bridge is none whose memory it would know how to unlock, so that it is
 * writable from the beginning. Sources: SeaBIOS src/fw/shadow.c (what it does then),
 * src/fw/romfile_loader.h, src/fw/biostables.c, src/bootsplash.c; QEMU docs/specs/fw_cfg.rst.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/cleanup.h"
#include "vid/vid.h"
#include "vmwp/base/failure.h"
#include "vmwp/boot/acpi.h"
#include "vmwp/boot/smbios.h"

#include <stddef.h>
#include <stdint.h>

#define BIOS_FILES_MAX 8

struct bios;

struct bios_config {
	int fd; /* of the image; borrowed */
	const struct memory_layout *layout;
	const struct smbios_config *smbios;
	const char *boot_order; /* paths of SeaBIOS', one a line */
};

/* Where a machine with firmware has the area of its ACPI tables: at the end of low RAM. */
gpa_t bios_acpi_place(const struct memory_layout *layout);

/* Return: 0; -EINVAL and others with *failure saying what is wrong with the image. */
int bios_new(const struct bios_config *config, struct bios **ret_bios,
	     struct failure *failure) MUST_CHECK;
void bios_free(struct bios *bios);
DEFINE_CLEANUP(struct bios *, bios_free)

/* Up to 4 GiB; as long as the BIOS. */
struct vid_rom bios_rom(const struct bios *bios);

/* Puts it where it runs. The ACPI tables are written already. Return: 0; -EINVAL: too little RAM. */
int bios_load(const struct bios *bios, struct vid_memory *memory) MUST_CHECK;

/* Has it find the RSDP of the ACPI tables that are in guest memory. Return: as above. */
int bios_take_rsdp(struct bios *bios, const struct vid_memory *memory) MUST_CHECK;

/* The files, as long as the BIOS. Return: how many. */
struct bios_file {
	const char *name;
	const void *bytes;
	uint32_t size;
};
size_t bios_files(const struct bios *bios, struct bios_file ret_files[static BIOS_FILES_MAX]);
