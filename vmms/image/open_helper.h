/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Opening what a definition names, by a process that is the VM's owner (vmms/base/helper.h): it has
 * the owner's rights and no others, and a file system that does not answer holds up nobody else.
 * What it has opened it gives to another process, which holds it (vmms/image/file_holder.h).
 *
 * Thread: the event loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "vmms/base/helper.h"
#include "vmms/image/file_holder.h"
#include "vmms/image/resources.h"

struct open_helper;

/* Files that were opened, and who holds them. */
struct opened_files {
	struct file_holder *holder;
	size_t count;
	struct held_file items[RESOURCES_MAX];
	char warning[FAILURE_MESSAGE_MAX]; /* for people; "": none */
};

/*
 * Called once, never before open_helper_new() has returned; the file-open helper is gone when it
 * returns. failure: NULL: the holder is the callee's if it takes the pointer, and leaves NULL.
 */
typedef void (*open_helper_done_fn)(void *data, struct opened_files *files,
				    const struct failure *failure);

/* timeout: seconds; 0: for ever. The request is borrowed while this runs. */
int open_helper_new(struct helpers *helpers, unsigned timeout,
		    const struct resources_request *request, open_helper_done_fn done, void *data,
		    struct open_helper **ret_open_helper, struct failure *failure) MUST_CHECK;

/* It ends soon, with a failure. */
void open_helper_cancel(struct open_helper *open_helper);

/* Nobody is told. */
void open_helper_free(struct open_helper *open_helper);
