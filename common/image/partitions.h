/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How far partitions of a disk reach: as a table of GPT or of a master boot record says.
 *
 * The table is the guest's: what it says may be anything, and is bounded. Little-endian on the disk.
 * Sources: UEFI 2.10, 5.3; the master boot record as it is generally known.
 *
 * Thread: any.
 */
#pragma once

#include "common/base/cc.h"

#include <stddef.h>
#include <stdint.h>

/* Where the bytes come from: all of the size, below the end of the disk. Return: 0; an error. */
struct partitions_source {
	int (*read)(void *data, uint64_t offset, void *buffer, size_t size);
	void *data;
	uint64_t size; /* of the disk, bytes */
};

enum partitions_kind {
	PARTITIONS_NONE,
	PARTITIONS_MBR,
	PARTITIONS_GPT,
};

struct partitions {
	enum partitions_kind kind;
	unsigned count;
	uint64_t
		end; /* the byte behind the last of them; with GPT, its second table still follows */
	uint64_t room; /* bytes behind `end` that the table itself needs at the end of the disk */
};

/*
 * sector_size: 512 or 4096; 0: unknown, both are tried. A damaged table counts as far as it can be
 * read. Return: 0; what `read` returned.
 */
int partitions_read(const struct partitions_source *source, uint32_t sector_size,
		    struct partitions *ret_partitions) MUST_CHECK;
