/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Holds a disk to its limits: requests that come too soon wait, in order.
 *
 * Inside vsp/storage/disk.c: a throttle is its disk's, and each of its timers counts as a request
 * under way, so that the disk is not freed before it.
 *
 * Thread: the loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "vsp/storage/disk.h"

struct disk_throttle;

/* Return: 0; -ENOMEM. */
int disk_throttle_new(struct disk *disk, struct loop *loop, const struct disk_limits *limits,
		      struct disk_throttle **ret_throttle) MUST_CHECK;

/* No timer may run. Accepts NULL. */
void disk_throttle_free(struct disk_throttle *throttle);

/* Return: whether the request may go on now; else it waits, and is submitted to the disk later. */
bool disk_throttle_admit(struct disk_throttle *throttle, struct disk_request *request);

/* The disk is being retired. Return: a request that waits, to be ended; NULL: none is left. */
struct disk_request *disk_throttle_stop(struct disk_throttle *throttle);

/* ---- In vsp/storage/disk.c ---- */

/* What counted as a request under way does so no more. The disk may be gone afterwards. */
void disk_put(struct disk *disk);

/* The limits let the request go on. */
void disk_pass(struct disk *disk, struct disk_request *request);
