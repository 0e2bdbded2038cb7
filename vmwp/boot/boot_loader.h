/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Shared by the kernel loaders behind boot.h. */
#pragma once

#include "vmwp/boot/boot.h"
#include "vmwp/boot/boot_file.h"

/* First bytes of the kernel, zero-padded: enough to tell the formats and for their headers. */
#define BOOT_HEAD_SIZE 4096

struct boot_image {
	struct boot_file file;
	uint8_t head[BOOT_HEAD_SIZE];
};

struct boot_initrd {
	gpa_t gpa;
	uint64_t size; /* 0: none */
};

/*
 * Loads the initrd as high as it may be: below `limit` and the end of low RAM, not below
 * `kernel_end`.
 */
int boot_load_initrd(const struct boot_config *config, uint64_t kernel_end, uint64_t limit,
		     struct boot_initrd *ret_initrd, struct failure *failure) MUST_CHECK;

/* Copies the command line, which the kernel wants at most `max` bytes long, to its place. */
int boot_load_command_line(const struct boot_config *config, size_t max,
			   struct failure *failure) MUST_CHECK;

bool boot_bzimage_recognise(const struct boot_image *image);
int boot_bzimage_load(const struct boot_config *config, const struct boot_image *image,
		      struct boot_entry *ret_entry, struct failure *failure) MUST_CHECK;

bool boot_elf_recognise(const struct boot_image *image);
int boot_elf_load(const struct boot_config *config, const struct boot_image *image,
		  struct boot_entry *ret_entry, struct failure *failure) MUST_CHECK;
