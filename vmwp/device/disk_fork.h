/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Disks of a machine that go on, while it is there, with other images, which stand on those that they
 * have been: of VHDX alone.
 *
 * First that is prepared: the image that is going to be a parent says in its headers that it is in
 * use, and so does not become another image to its children until it is sealed. Then children are
 * made, by somebody else, and opened here. When the machine stands still and its devices are quiet,
 * what has been written is brought to stable storage, the images are sealed, and all disks are
 * exchanged in one step, which cannot fail.
 *
 * Thread: the loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "common/definition/definition.h"
#include "vmwp/device/disks.h"

#include <stddef.h>

struct disk_fork;

/*
 * Disks, as in the definition: an array of JSON. Return: 0; DISKS_E_ with *failure: a disk is not
 * there, or is of a kind with which that cannot be; -ENOMEM.
 */
int disk_fork_new(struct disks *disks, struct loop *loop, struct json_object *array,
		  struct disk_fork **ret_fork, struct failure *failure) MUST_CHECK;

/* Of one that has been done, or of which nothing is under way. Accepts NULL. */
void disk_fork_free(struct disk_fork *fork);

/*
 * Opens the children; fds: one for each disk, in their order; taken over. Return: 0; DISKS_E_ with
 * *failure; -errno.
 */
int disk_fork_open(struct disk_fork *fork, int *fds, size_t count,
		   struct failure *failure) MUST_CHECK;

/* Each calls done(data, result) once, and never before it returns; result: 0; -errno. */
void disk_fork_prepare(struct disk_fork *fork, void (*done)(void *data, int result), void *data);

/* -EBUSY: requests are under way that the host does not answer. Until done, nobody uses the disks. */
void disk_fork_seal(struct disk_fork *fork, void (*done)(void *data, int result), void *data);

/* After disk_fork_seal(), at once. */
void disk_fork_exchange(struct disk_fork *fork);
