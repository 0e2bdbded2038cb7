/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Generation 2's firmware: Debian's OVMF as it is, and the files that it asks the host for.
 *
 * The image is read-only memory up to 4 GiB, where a processor begins; it unpacks itself into RAM.
 * It says where its variables are by its build, right below the image: where nothing is, it keeps
 * them in RAM. ACPI tables are a file of the host's, which it loads by a script of commands.
 * Sources: edk2 OvmfPkg/AcpiPlatformDxe/QemuFwCfgAcpi.c, OvmfPkg/Include/IndustryStandard/
 * QemuLoader.h, OvmfPkg/Library/PlatformInitLib/MemDetect.c; QEMU docs/specs/fw_cfg.rst.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/cleanup.h"
#include "vid/vid.h"
#include "vmwp/base/failure.h"
#include "vmwp/boot/acpi.h"
#include "vmwp/boot/bios.h"
#include "vmwp/boot/smbios.h"

#include <stddef.h>

struct uefi;

struct uefi_config {
	int fd; /* of the image; borrowed */
	const struct memory_layout *layout;
	const struct smbios_config *smbios;
	const struct acpi_config *acpi; /* its place is 0, so that addresses are offsets; its
	area is bios_acpi_place() */
	const char *boot_order;         /* paths of Open Firmware's kind, one a line */
};

/* Return: 0; -EINVAL and others with *failure saying what is wrong with the image. */
int uefi_new(const struct uefi_config *config, struct uefi **ret_uefi,
	     struct failure *failure) MUST_CHECK;
void uefi_free(struct uefi *uefi);
DEFINE_CLEANUP(struct uefi *, uefi_free)

/* Up to 4 GiB, until the image is forgotten: when the partition has it, there is no need for it. */
struct vid_rom uefi_rom(const struct uefi *uefi);
void uefi_forget_image(struct uefi *uefi);

/* The files, as long as the firmware. Return: how many. */
size_t uefi_files(const struct uefi *uefi, struct bios_file ret_files[static BIOS_FILES_MAX]);
