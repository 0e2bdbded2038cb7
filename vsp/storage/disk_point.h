/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A view of a disk as it was at one instant, while its guest writes on.
 *
 * Before the first request that changes a granule is carried out, its old bytes are copied to the end of
 * a scratch file, and the request waits for that; so it does while the view is being read there. What will not be read any more can be let go, and is not copied then. If
 * the scratch file is full, or cannot be written, the view breaks, and whoever reads it gets an error:
 * the guest never does.
 *
 * Thread: the loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "common/image/image.h"
#include "vsp/storage/disk.h"

struct disk_point;

struct disk_point_options {
	struct disk *disk;
	struct loop *loop;
	struct disk_changes *changes;    /* which are told when something may go on */
	const struct changes_head *head; /* of which points changes are known; copied */
	const uint64_t *bits;     /* those changes, by granules; borrowed until the view ends */
	int scratch;              /* taken over, if it succeeds */
	uint64_t scratch_max;     /* bytes */
	void (*gone)(void *data); /* disk_point_free() is done with it */
	void *data;
};

/* Return: 0; -ENOMEM. */
int disk_point_new(const struct disk_point_options *options,
		   struct disk_point **ret_point) MUST_CHECK;

/* Nobody reads it. What is under way ends by itself, and then gone(data) is called; perhaps at once. */
void disk_point_free(struct disk_point *point);

/* The disk is gone: whoever reads the view gets errors until they end it. */
void disk_point_orphan(struct disk_point *point);

/* Another disk goes on in the place of the one that there was. */
void disk_point_move(struct disk_point *point, struct disk *disk);

/* Whether a request may change these granules now; else what it waits for is under way. */
bool disk_point_admits(struct disk_point *point, uint64_t first, uint64_t last);

/* There is no view any more: reads fail with this, and nothing is copied. The first error counts. */
void disk_point_break(struct disk_point *point, int error);

/* ---- For who has asked for it (disk_changes_begin_point()), and reads it ---- */

/* The view ends; nobody reads it. complete: as of disk_changes_end_point(). */
void disk_point_end(struct disk_point *point, bool complete);

uint64_t disk_point_size(const struct disk_point *point);
uint32_t disk_point_sector_size(const struct disk_point *point);

/* Of which points all changes until this one are known. */
const struct changes_head *disk_point_known(const struct disk_point *point);

/*
 * Whether what is at offset had changed since those, and for how many bytes that is so, within
 * `limit`.
 */
bool disk_point_has_changed(const struct disk_point *point, uint64_t offset, uint64_t limit,
			    uint64_t *ret_size);

struct disk_point_read {
	/* Whole sectors within the view, and page-aligned memory. */
	uint64_t offset;
	uint32_t size;
	void *buffer;

	/* result: 0; -errno, also for what is not there any more. Not before disk_point_read() returns. */
	void (*complete)(struct disk_point_read *read, int result);

	/* The point's, until `complete`. */
	struct disk_point *point;
	struct list link;
	struct disk_request request;
	struct loop_operation operation;
	struct loop_deferred deferred;
	struct iovec iov;
	uint32_t done, piece;
	bool live; /* the piece is read from the disk */
	int result;
};

void disk_point_read(struct disk_point *point, struct disk_point_read *read);

/* This will not be read any more: the granules that are in it as a whole are let go. */
void disk_point_release(struct disk_point *point, uint64_t offset, uint64_t size);

/* Bytes that were copied. */
uint64_t disk_point_copied(const struct disk_point *point);
