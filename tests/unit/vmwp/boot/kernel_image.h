/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Kernel images made for tests: bytes in memory that a test may spoil, and files of them.
 *
 * The guest code of an ELF image runs in 32-bit protected mode, as PVH starts it, at
 * KERNEL_IMAGE_ADDRESS.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define KERNEL_IMAGE_MAX     65536
#define KERNEL_IMAGE_ADDRESS 0x100000u

struct kernel_image {
	size_t size;
	uint8_t bytes[KERNEL_IMAGE_MAX];
};

/* A bzImage of protocol 2.15 with a 64-bit entry, preferring 16 MiB, whose code is one HLT. */
void kernel_image_bzimage(struct kernel_image *image);

/*
 * An ELF image of that class (ELFCLASS32, ELFCLASS64) with a PVH note, and this code at its entry.
 */
void kernel_image_elf(struct kernel_image *image, int elf_class, const void *code, size_t size);

/* Little-endian, at an offset. */
void kernel_image_set(struct kernel_image *image, size_t offset, uint64_t value, size_t size);

/* A file of it; the caller closes. */
int kernel_image_file(const struct kernel_image *image);
