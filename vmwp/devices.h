/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The synthetic devices of a machine: SCSI controllers with their disks and drives, and the
 * integration services, as the definition has them, and as they come and go while the guest runs.
 *
 * Thread: the loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/cleanup.h"
#include "common/base/loop.h"
#include "common/definition.h"
#include "vmwp/failure.h"
#include "vmwp/resources.h"
#include "vsp/vmbus.h"

#include <stdbool.h>

struct devices;

enum {
	_DEVICES_E_OK,
	DEVICES_E_TAKEN,   /* there is a disk at that place */
	DEVICES_E_ABSENT,  /* there is none */
	DEVICES_E_KIND,    /* not a DVD drive */
	DEVICES_E_LOCKED,  /* the guest has locked the medium in, and was asked to let go */
	DEVICES_E_REFUSED, /* the image, or the definition of the disk, will not do */
};

/* Offers everything. definition is borrowed. Return: 0; -errno and *failure. */
int devices_new(struct vmbus *bus, const struct definition *definition, struct resources *resources,
		struct devices **ret_devices, struct failure *failure) MUST_CHECK;

/* The machine has stopped. */
void devices_free(struct devices *devices);
DEFINE_CLEANUP(struct devices *, devices_free)

/*
 * Disks that come and go. fd: of the image, taken over, -1 for an empty drive. Return: 0;
 * DEVICES_E_, with *failure; -errno.
 */
int devices_attach(struct devices *devices, const struct definition_disk *disk, int fd,
		   struct failure *failure) MUST_CHECK;
int devices_detach(struct devices *devices, unsigned controller, unsigned lun,
		   struct failure *failure) MUST_CHECK;
int devices_insert(struct devices *devices, unsigned controller, unsigned lun, int fd,
		   struct failure *failure) MUST_CHECK;
int devices_eject(struct devices *devices, unsigned controller, unsigned lun, bool force,
		  struct failure *failure) MUST_CHECK;
