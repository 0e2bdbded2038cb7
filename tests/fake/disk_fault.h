/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A disk with faults: passes requests on to another disk, later or never, as the test says.
 */
#pragma once

#include "vsp/storage/disk.h"

/* Takes over `next`, which is retired along with it. */
struct disk *disk_fault_new(struct loop *loop, struct disk *next);

/* The next `count` requests of a kind end with `result`: DISK_E_ or -errno. */
void disk_fault_fail(struct disk *disk, enum disk_operation operation, int result, unsigned count);

/* From now on requests are kept, until disk_fault_release() passes on all of them. */
void disk_fault_hold(struct disk *disk);
void disk_fault_release(struct disk *disk);
unsigned disk_fault_held(const struct disk *disk);

/* The last request of a kind that was submitted, and how many there were. */
struct disk_fault_seen {
	unsigned count;
	bool durable, unmap;
	uint64_t offset, size;
};
const struct disk_fault_seen *disk_fault_seen(const struct disk *disk,
					      enum disk_operation operation);
