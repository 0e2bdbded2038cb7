/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Direct boot: puts a kernel, its initrd and its command line into guest memory, and says how the
 * first vp starts.
 *
 * Kernels are Linux bzImages, started by the 64-bit boot protocol or, where the kernel has no
 * 64-bit entry, the 32-bit one; and ELF images with a PVH note. Sources: Linux
 * Documentation/arch/x86/boot.rst, include/xen/interface/{elfnote,hvm/start_info}.h.
 *
 * The files are not trusted: everything in them is checked against the file's size and the
 * guest's memory before it is used.
 */
#pragma once

#include "common/base/cc.h"
#include "vid/vid.h"
#include "vmwp/base/failure.h"
#include "vmwp/base/memory_layout.h"
#include "vmwp/boot/acpi.h"
#include "vmwp/boot/bios.h"
#include "vmwp/boot/boot_file.h"
#include "vmwp/boot/boot_order.h"
#include "vmwp/boot/smbios.h"
#include "vmwp/boot/uefi.h"

#include <stdint.h>

struct boot_config {
	struct vid_memory *memory; /* borrowed; zero-filled */
	const struct memory_layout *layout;
	int kernel_fd, initrd_fd; /* borrowed; initrd_fd may be -1 */
	const char *command_line;
	gpa_t rsdp; /* of the ACPI tables */
};

/* A release of Linux, comparable. */
#define BOOT_LINUX(major, minor) ((uint32_t)(major) << 16 | (uint32_t)(minor))

/* How the first vp starts, and what. */
struct boot_entry {
	uint32_t linux_release; /* BOOT_LINUX(), or 0 where the kernel does not tell */
	bool long_mode;         /* 64-bit on identity page tables; else 32-bit without paging */
	uint64_t rip;
	uint64_t rsi, rbx; /* one of them is the address of the boot data */
};

/* Return: 0; -EINVAL and others with *failure saying what is wrong with which file. */
int boot_load(const struct boot_config *config, struct boot_entry *ret_entry,
	      struct failure *failure) MUST_CHECK;

/* Writes page tables and GDT to guest memory and sets the registers of a new vp. */
int boot_start_vp(const struct boot_entry *entry, struct vid_memory *memory,
		  struct vid_vp *vp) MUST_CHECK;
