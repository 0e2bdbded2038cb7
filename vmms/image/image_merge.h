/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Images of a VM that are brought into those that they stand on (common/image/vhdx_merge.h), by a
 * process that has the rights of the VM's owner, and ends with the daemon.
 *
 * It may be killed at any moment: the chain is whole then, and can be merged again. What stands on an
 * image stands on its parent after that; the image itself is still there.
 *
 * Thread: the event loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/cleanup.h"
#include "vmms/base/failure.h"
#include "vmms/base/helper.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

/* Borrowed while image_merge_new() runs. */
struct image_merge_disk {
	const char *image, *parent;
	const char *const *above; /* paths of those that stand on the image */
	size_t above_count;
};

struct image_merge_request {
	const char *owner; /* NULL: root, or whose daemon it is */
	uint64_t owner_uid;
	const struct image_merge_disk *disks;
	size_t disk_count;

	/* Called in the process: the VM of another disk that stands on the file; NULL: none. */
	const char *(*find_user)(void *data, const struct stat *file);
	void *user_data;
};

struct image_merge;

struct image_merge_callbacks {
	/* Bytes, of all disks. */
	void (*progress)(void *data, uint64_t done, uint64_t total);

	/* The last one; the object is gone when it returns. failure: NULL if all is well. */
	void (*done)(void *data, const struct failure *failure);
};

/* Nobody is called back before this has returned. Return: 0; negative with *failure filled. */
int image_merge_new(struct helpers *helpers, const struct image_merge_request *request,
		    const struct image_merge_callbacks *callbacks, void *data,
		    struct image_merge **ret_merge, struct failure *failure) MUST_CHECK;

/* It ends soon, with a failure. */
void image_merge_cancel(struct image_merge *merge);

/* Nobody is told. NULL is allowed. */
void image_merge_free(struct image_merge *merge);
