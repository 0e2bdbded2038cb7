/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which blocks of a disk have changed since a backup, whatever the disk is on.
 *
 * Each granule of the disk has a bit in memory, which is set before a request changes it. Before the
 * first change of a region (64 granules) that is written down in the map's file, durably, and the
 * request waits for it; so a loss of power costs no more than that whole regions count as changed.
 * When the disk is closed the file gets the bits of all granules (common/image/changes_file.h).
 *
 * Points: an instant of the disk, with a GUID. The file says of which points all changes since are
 * known. A disk has one view of a point at a time (vsp/storage/disk_point.h); when it is ended, and a
 * backup has been made of it, what is known begins with that point.
 *
 * Inside vsp/storage/disk.c: changes are their disk's, and each write of the file counts as a request
 * under way. Should the file not take what is written, nothing is known any more, and the guest goes
 * on.
 *
 * Thread: the loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "common/image/image.h"
#include "vsp/storage/disk.h"

struct disk_changes;
struct disk_point;

/*
 * From now on changes of the disk are known, and what the file knows. fd: the file, of
 * changes_file_size() bytes at least; taken over, also on failure. opened: what the image was when it
 * was opened, before anything of it was tried; NULL: the disk may have been written since, so that what
 * the file knows does not count. *ret_loss: why it knows nothing; 0: it does. Return: 0; -EEXIST: changes
 * are known already; -errno.
 */
int disk_changes_new(struct disk *disk, struct loop *loop, int fd,
		     const struct changes_identity *opened, enum changes_loss *ret_loss) MUST_CHECK;

/* Of the disk; NULL: changes are not known. */
struct disk_changes *disk_changes_of(const struct disk *disk);

/*
 * A view of the disk as it is now; nothing is under way that changes it. scratch: a file that takes
 * the old bytes of what is overwritten, at most scratch_max bytes; taken over, also on failure.
 * written(data) is called when the file has the point, and not before this returns. Return: 0; -EBUSY:
 * there is a view, or one that has not quite ended; -errno.
 */
int disk_changes_begin_point(struct disk_changes *changes, const struct guid *id, int scratch,
			     uint64_t scratch_max, void (*written)(void *data), void *data,
			     struct disk_point **ret_point) MUST_CHECK;

/* ---- In vsp/storage ---- */

/* Return: whether the request may go on now; else it waits, and is submitted to the disk later. */
bool disk_changes_admit(struct disk_changes *changes, struct disk_request *request);

/*
 * The view ends (disk_point_end()). complete: a backup has been made of it, that is durable; else what
 * was known before is known still.
 */
void disk_changes_end_point(struct disk_changes *changes, bool complete);

/* Some of what requests wait for has happened. */
void disk_changes_settle(struct disk_changes *changes);

/* The disk has become larger than it was. */
void disk_changes_grow(struct disk_changes *changes, uint64_t old_size);

/* The disk is being retired. Return: a request that waits, to be ended; NULL: none is left. */
struct disk_request *disk_changes_stop(struct disk_changes *changes);

/* No request is under way, and none will come. Return: whether there is something to wait for. */
bool disk_changes_close(struct disk_changes *changes);

/* Another disk goes on in the place of theirs. */
void disk_changes_move(struct disk_changes *changes, struct disk *disk);

/* Others may write the disk from now on: nothing is known. */
void disk_changes_abandon(struct disk_changes *changes);

/* Nothing is under way. Accepts NULL. */
void disk_changes_free(struct disk_changes *changes);
