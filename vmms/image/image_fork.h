/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Images of a VM that stand on others: made, and removed, by a short-lived process that has the
 * rights of the VM's owner (vmms/base/helper.h).
 *
 * Children are all made, or none: what a process that was killed has left is for the caller to have
 * removed, who knows the names. Each parent is locked against everybody until all children are
 * there, so that all are made at one instant; its log is replayed before, for nobody will write it
 * again. A file that somebody uses is not removed.
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

/* One that is made. Borrowed while image_fork_new() runs. */
struct image_fork_child {
	const char *path, *parent; /* a VHDX */
};

struct image_fork_request {
	const char *owner; /* NULL: root, or whose daemon it is */
	uint64_t owner_uid;
	unsigned timeout; /* seconds; 0: for ever */

	const struct image_fork_child *children;
	size_t child_count;
	bool settled; /* the parents have children already: they are shared with who reads them */
	bool in_use; /* the VM's worker has the parents open, and is prepared: they are not locked */

	const char *const *removed; /* paths of files that are to go; only where nothing is made */
	size_t removed_count;
	bool waits; /* for who has them open, and is about to close them */

	/* Called in the process: the VM of a disk that stands on a file that is to go; NULL: none. */
	const char *(*find_user)(void *data, const struct stat *file);
	void *user_data;
};

struct image_fork;

/*
 * Called once, never before image_fork_new() has returned; the object is gone when it returns.
 * failure: NULL if all is well. Of files that could not be removed the rest has been.
 */
typedef void (*image_fork_done_fn)(void *data, const struct failure *failure);

/* Return: 0; negative with *failure filled. */
int image_fork_new(struct helpers *helpers, const struct image_fork_request *request,
		   image_fork_done_fn done, void *data, struct image_fork **ret_fork,
		   struct failure *failure) MUST_CHECK;

/* Nobody is told, and what is begun may still be done. NULL is allowed. */
void image_fork_free(struct image_fork *fork);
