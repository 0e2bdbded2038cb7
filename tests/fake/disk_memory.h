/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Disks without a file: one in memory, all zeros at first, and one that keeps nothing: it swallows
 * writes and leaves the reader's memory as it is.
 */
#pragma once

#include "vsp/storage/disk.h"

/* size: bytes, a multiple of sector_size. Return: 0, -ENOMEM. */
int disk_memory_new(struct loop *loop, uint64_t size, uint32_t sector_size,
		    struct disk **ret_disk) MUST_CHECK;
int disk_null_new(struct loop *loop, uint64_t size, uint32_t sector_size,
		  struct disk **ret_disk) MUST_CHECK;

/* The bytes of a disk in memory. */
uint8_t *disk_memory_bytes(struct disk *disk);
