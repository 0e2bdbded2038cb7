/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reading of files that make a guest boot. Everything is bounded by the size the file had when it
 * was taken; a file that shrinks meanwhile is an error, never a short read.
 */
#pragma once

#include "common/base/cc.h"
#include "vid/vid.h"
#include "vmwp/base/failure.h"

#include <stddef.h>
#include <stdint.h>

struct boot_file {
	int fd; /* borrowed */
	uint64_t size;
	const char *name; /* that begins a sentence: "The kernel" */
};

/* Return: 0; -EINVAL unless fd is a regular file; -errno. */
int boot_file_init(struct boot_file *file, int fd, const char *name,
		   struct failure *failure) MUST_CHECK;

/* Reads exactly `size` bytes at `offset`. Return: 0; -EINVAL beyond the end; -errno. */
int boot_file_read(const struct boot_file *file, uint64_t offset, void *buffer, size_t size,
		   struct failure *failure) MUST_CHECK;

/* The same, straight into guest RAM. -EINVAL also if the range is not RAM above 1 MiB. */
int boot_file_load(const struct boot_file *file, uint64_t offset, uint64_t size,
		   struct vid_memory *memory, gpa_t gpa, struct failure *failure) MUST_CHECK;
