/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Disks of a machine, as they are at one instant, for a backup: a view of each, and a server of them
 * (vsp/storage/nbd_server.h), whose exports are named as places, "0:0".
 *
 * Thread: the loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/guid.h"
#include "common/definition/definition.h"
#include "vmwp/device/disks.h"

#include <stddef.h>

struct disk_backup;

struct disk_backup_options {
	struct disks *disks;
	struct loop *loop;
	struct json_object *places; /* an array of objects with "controller" and "lun" */
	struct guid point;
	uint64_t scratch_max; /* bytes, for each disk */
};

/*
 * fds: for each disk the file of its map of changed blocks, which counts if the disk has
 * none yet, and one for old bytes; taken over, also on failure. Return: 0; DISKS_E_ with *failure;
 * -errno.
 */
int disk_backup_new(const struct disk_backup_options *options, int *fds, size_t count,
		    struct disk_backup **ret_backup, struct failure *failure) MUST_CHECK;

/*
 * Now is the instant: the machine stands still, and its devices are quiet. done(data, result) is
 * called once, and not before this returns; result: 0; -errno.
 */
void disk_backup_begin(struct disk_backup *backup, void (*done)(void *data, int result),
		       void *data);

/*
 * It has begun: clients come to the socket, which listens; taken over. releases: they may let go of what
 * they have read. Return: 0; -EALREADY: it is served; -ENOMEM.
 */
int disk_backup_serve(struct disk_backup *backup, int socket, bool releases) MUST_CHECK;

/* What disks were backed up for the first time, or anew: an array, with "why". NULL without memory. */
struct json_object *disk_backup_report(const struct disk_backup *backup);

/*
 * Its clients are cut off, and it ends; complete: what they have read is a backup. done(data), unless it
 * is NULL: perhaps before this returns.
 */
void disk_backup_end(struct disk_backup *backup, bool complete, void (*done)(void *data),
		     void *data);

/* After the loop has ended. Accepts NULL. */
void disk_backup_free(struct disk_backup *backup);
