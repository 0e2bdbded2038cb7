/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Making a disk of descriptors.
 *
 * Thread: the loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "common/definition/definition.h"
#include "vmwp/base/failure.h"
#include "vsp/storage/storage.h"

/*
 * A disk of the definition's format and limits. fds: of its image, its parent, that one's, and so on,
 * or of a connection to the image's server, which the owner is told of; those that are needed are
 * taken over, and are -1 then. count: at least 1. Return: 0; DISKS_E_REFUSED, with *failure; -errno.
 */
int disk_open(struct loop *loop, const struct definition_disk *definition, int *fds, size_t count,
	      const struct disk_nbd_owner *owner, struct disk **ret_disk,
	      struct failure *failure) MUST_CHECK;
