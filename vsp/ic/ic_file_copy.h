/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The guest file copy service: writes a file of the host into the guest's file system.
 *
 * One copy at a time. The guest has said of every piece that it wrote it before `done` is told 0;
 * the wire has no checksum. A copy that fails is cancelled: a guest that can removes what it has,
 * as the daemon of Linux until 6.9 does. That of later ones refuses to.
 *
 * Thread: the loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/cleanup.h"
#include "vsp/vmbus/vmbus.h"

#include <stdbool.h>
#include <stdint.h>

struct ic_file_copy;

/* For each answer: Linux gives its daemon 30 seconds, and then answers itself. */
#define IC_FILE_COPY_TIMEOUT_NS (40ull * 1000 * 1000 * 1000)

enum {
	_IC_FILE_COPY_E_OK,
	IC_FILE_COPY_E_EXISTS,    /* the guest has such a file */
	IC_FILE_COPY_E_DISK_FULL, /* the guest's file system is full */
	IC_FILE_COPY_E_REFUSED,   /* it would or could not: no such folder, read-only, … */
	IC_FILE_COPY_E_TIMEOUT,   /* it does not answer */
	IC_FILE_COPY_E_GONE,      /* it closed the service, or was reset */
	IC_FILE_COPY_E_SOURCE,    /* the file cannot be read, or is not as long as it was */
	IC_FILE_COPY_E_CANCELLED, /* by ic_file_copy_cancel() */
};

/* A clause for the code: "the guest has such a file already". */
const char *ic_file_copy_error_text(int code);

struct ic_file_copy_options {
	const char *path; /* in the guest: absolute, with the name of the file */
	bool overwrite;
	bool create_path;
};

struct ic_file_copy_callbacks {
	/* After each piece; optional. */
	void (*progress)(void *data, uint64_t copied, uint64_t size);

	/*
	 * Once, the last call. result: 0 or IC_FILE_COPY_E_. left: the guest has not said that it
	 * removed what it may have of the file. Another copy may be started from here.
	 */
	void (*done)(void *data, int result, bool left);
};

/* Borrows the bus. timeout_ns: 0: IC_FILE_COPY_TIMEOUT_NS. Return: 0, -errno. */
int ic_file_copy_new(struct vmbus *bus, uint64_t timeout_ns,
		     struct ic_file_copy **ret_copy) MUST_CHECK;

/* After vmbus_reset() is done. */
void ic_file_copy_free(struct ic_file_copy *copy);
DEFINE_CLEANUP(struct ic_file_copy *, ic_file_copy_free)

/* For what all services have, vsp/ic/ic.h. */
struct ic_service;
struct ic_service *ic_file_copy_service(struct ic_file_copy *copy);

/*
 * In place of ic_service_quiesce(): done(data) is called, perhaps at once, when no piece is being
 * read any more. A copy that was under way when the service was saved is cancelled where it is
 * restored.
 */
void ic_file_copy_quiesce(struct ic_file_copy *copy, void (*done)(void *data), void *data);

/* In place of ic_service_resume(). */
void ic_file_copy_resume(struct ic_file_copy *copy);

/* As ic_service_inspect(). */
struct json_object;
struct json_object *ic_file_copy_inspect(const struct ic_file_copy *copy);

bool ic_file_copy_is_connected(const struct ic_file_copy *copy);

/*
 * Copies a regular file. fd: taken over unless this fails; callbacks are borrowed until `done`.
 * Return: 0; -ENOTCONN: the service is not connected; -EALREADY: a copy is under way; -EINVAL: the
 * path will not do; -EISDIR: fd is no regular file; -EAGAIN: no room to ask; -errno of fstat(2).
 */
int ic_file_copy_start(struct ic_file_copy *copy, int fd,
		       const struct ic_file_copy_options *options,
		       const struct ic_file_copy_callbacks *callbacks, void *data) MUST_CHECK;

/* The copy under way, if there is one, ends after the piece that is being written. */
void ic_file_copy_cancel(struct ic_file_copy *copy);
