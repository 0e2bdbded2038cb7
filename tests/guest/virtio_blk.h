/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A polled virtio-blk client, for comparing this project's disks with those of other VMMs.
 *
 * One disk behind a virtio-mmio transport, one split virtqueue, no interrupts. A request in flight
 * is known by its slot, which the caller picks. Sources: OASIS Virtual I/O Device (VIRTIO) 1.2,
 * sections 2.7 (split virtqueues), 3.1 (initialisation), 4.2 (MMIO), 5.2 (block device).
 */
#pragma once

#include "common/base/cc.h"

#include <stdbool.h>
#include <stdint.h>

#define VIRTIO_BLK_SLOTS  32
#define VIRTIO_BLK_SECTOR 512

struct virtio_blk {
	volatile uint32_t *registers;
	uint64_t sectors; /* of VIRTIO_BLK_SECTOR bytes, whatever the disk's own are */
	bool read_only;
	bool event_index;
	uint16_t queue_size;
	uint16_t staged, notified; /* avail->index: now, and when the device was last told of it */
	uint16_t used;             /* used->index up to which completions were taken */
	uint64_t notifications;
};

/*
 * Resets and starts the first block device of `count` transports that lie `stride` bytes apart from
 * `gpa` on, all in the same 2 MiB. event_index: notifications are suppressed by index, else by
 * flag. Return: NULL, or what is wrong.
 */
const char *virtio_blk_open(struct virtio_blk *disk, uint64_t gpa, unsigned count, uint32_t stride,
			    bool event_index) MUST_CHECK;

/* Puts a read or write into the queue; the slot must not be in flight. */
void virtio_blk_stage(struct virtio_blk *disk, unsigned slot, bool write, uint64_t sector,
		      void *buffer, uint32_t size);

/* Tells the device of what was staged, unless it looks by itself. */
void virtio_blk_notify(struct virtio_blk *disk);

/* Calls complete() for each request that the device has finished. */
void virtio_blk_poll(struct virtio_blk *disk, void (*complete)(unsigned slot, bool succeeded));
