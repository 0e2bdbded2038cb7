/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The SCSI controllers of a machine with their disks and DVD drives, as the definition has them,
 * and as they come and go while the guest runs.
 *
 * Thread: the loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "common/definition/definition.h"
#include "common/image/image.h"
#include "vmwp/base/device.h"
#include "vmwp/base/failure.h"
#include "vmwp/device/disk_health.h"

#include <stdbool.h>

struct disks;

extern const struct device_ops disks_ops;

enum {
	_DISKS_E_OK,
	DISKS_E_TAKEN,   /* there is a disk at that place */
	DISKS_E_ABSENT,  /* there is none */
	DISKS_E_KIND,    /* not a DVD drive, or not a disk on a raw file */
	DISKS_E_LOCKED,  /* the guest has locked the medium in, and was asked to let go */
	DISKS_E_REFUSED, /* the image, or the definition of the disk, will not do */
};

/*
 * Where a disk is: its controller on VMBus, or that of an IDE device, and its unit there. NULL:
 * there is none. Of units only the commands are the caller's.
 */
struct storage_controller *disks_storage(struct disks *disks, unsigned controller, unsigned lun,
					 unsigned *ret_unit);

/* How the disks are. */
struct disk_healths *disks_healths(struct disks *disks);

/*
 * Disks that come and go. fd: of the image, taken over, -1 for an empty drive; fds: the same, `count`
 * of them: the image, its parent, that one's, and so on; none for an empty drive. done, where there is
 * one, is called once the medium that leaves is closed, perhaps before returning; but only if 0 is
 * returned. Return: 0; DISKS_E_, with *failure; -errno.
 */
int disks_attach(struct disks *disks, const struct definition_disk *disk, int *fds, size_t count,
		 struct failure *failure) MUST_CHECK;
int disks_detach(struct disks *disks, unsigned controller, unsigned lun, void (*done)(void *data),
		 void *data, struct failure *failure) MUST_CHECK;
int disks_insert(struct disks *disks, unsigned controller, unsigned lun, int fd,
		 void (*done)(void *data), void *data, struct failure *failure) MUST_CHECK;
int disks_eject(struct disks *disks, unsigned controller, unsigned lun, bool force,
		void (*done)(void *data), void *data, struct failure *failure) MUST_CHECK;

/*
 * From now on it is known which blocks of the disk change; map: of vsp/storage/disk_changes.h, taken
 * over; opened: as there. Says in the log why nothing is known of before. Return: 0; -errno.
 */
int disk_know_changes(struct disk *disk, struct loop *loop, unsigned controller, unsigned lun,
		      int map, const struct changes_identity *opened,
		      enum changes_loss *ret_loss) MUST_CHECK;

/* The file of a disk may have become larger: the guest is told. Return: as above. */
int disks_measure(struct disks *disks, unsigned controller, unsigned lun, uint64_t *ret_size,
		  struct failure *failure) MUST_CHECK;

/*
 * What is done to the locks of all images, for another worker with the same disks: they are given
 * up, taken, or found to be another's. What cannot be taken leaves none taken. Return: 0; -errno and
 * *failure, also if a disk is of a kind with which that cannot be.
 */
int disks_lock(struct disks *disks, enum disk_lock what, struct failure *failure) MUST_CHECK;

/*
 * At the end of the machine, while the loop still runs: takes all disks away. closed(data), which is
 * called once, perhaps before returning: their images are closed.
 */
void disks_close(struct disks *disks, void (*closed)(void *data), void *data);

/*
 * Another connection to the server of a disk's image, taken over; or there will be none. Return: as
 * above.
 */
int disks_reconnect(struct disks *disks, unsigned controller, unsigned lun, int fd,
		    struct failure *failure) MUST_CHECK;
int disks_give_up(struct disks *disks, unsigned controller, unsigned lun,
		  struct failure *failure) MUST_CHECK;
