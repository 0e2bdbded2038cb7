/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The file of a saved VM (docs/state.md), which is the daemon's own: made, opened and removed by a
 * short-lived process, since the folder may be on a file system that does not answer. As those of
 * images its descriptor goes to a holder (vmms/image/file_holder.h), never to the daemon.
 *
 * Thread: the event loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/cleanup.h"
#include "vmms/base/failure.h"
#include "vmms/base/helper.h"
#include "vmms/image/file_holder.h"

enum saved_file_task {
	SAVED_FILE_CREATE, /* empty, for writing, instead of one that is there */
	SAVED_FILE_OPEN,   /* for reading */
	SAVED_FILE_REMOVE,
};

struct saved_file_request {
	enum saved_file_task task;
	const char *path; /* borrowed while saved_file_new() runs */
	uint64_t size;    /* of what is to be created: bytes that the file system needs to have */
	unsigned timeout; /* seconds; 0: for ever */
};

struct saved_file;

/*
 * Called once, never before saved_file_new() has returned; the saved file is gone when it returns.
 * failure: NULL if all is well; then *holder has the file, as the only one, under the number 0,
 * and is the callee's if it takes the pointer and leaves NULL. A file that is removed has none.
 */
typedef void (*saved_file_done_fn)(void *data, struct file_holder **holder,
				   const struct failure *failure);

/* Return: 0; negative with *failure filled. */
int saved_file_new(struct helpers *helpers, const struct saved_file_request *request,
		   saved_file_done_fn done, void *data, struct saved_file **ret_saved_file,
		   struct failure *failure) MUST_CHECK;

/* Nobody is told, and what is begun may still be done. NULL is allowed. */
void saved_file_free(struct saved_file *saved_file);

/* Removes it, sooner or later, and tells nobody but the log. */
void saved_file_remove(struct helpers *helpers, const char *path);
