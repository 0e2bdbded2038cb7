/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A file that is appended to, and does not grow beyond a bound.
 *
 * It is two files, NAME and NAME.old: when the first is full, it takes the place of the second, and
 * a new one is begun. So what is kept is between half and all of the bound. Both are readable by
 * their owner alone.
 *
 * Nothing is made durable: after a power cut, the last seconds may be missing. What cannot be
 * written is lost, for a log holds up nobody. Thread: one.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/cleanup.h"

#include <stddef.h>

struct log_file;

/*
 * In the folder `directory`, which is made when it is first written to. bound: bytes, of both
 * files. Return: 0, -ENOMEM.
 */
int log_file_new(const char *directory, const char *name, size_t bound,
		 struct log_file **ret_log) MUST_CHECK;
void log_file_free(struct log_file *log);
DEFINE_CLEANUP(struct log_file *, log_file_free)

/*
 * Appends bytes, at most half the bound of them. Return: 0; -errno the first time that it fails,
 * and again after it has succeeded: once for each trouble that there is to report.
 */
int log_file_append(struct log_file *log, const void *bytes, size_t size) MUST_CHECK;

/*
 * The last bytes that were written, at most `size`; less than that only if there is no more.
 * *ret_bytes: freed by the caller, with a NUL behind; of a log that was never written, none.
 * Return: 0, -errno.
 */
int log_file_read(const struct log_file *log, size_t size, char **ret_bytes,
		  size_t *ret_size) MUST_CHECK;

/* Removes both files. */
void log_file_delete(struct log_file *log);
