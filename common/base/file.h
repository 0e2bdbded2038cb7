/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Small files, read as a whole. */
#pragma once

#include "common/base/cc.h"

#include <stddef.h>

/*
 * Reads a file of at most `limit` bytes. Of a larger one there is one byte more, so that
 * *ret_size > limit says so. It does not wait for a writer of a FIFO. *ret_text ends with a
 * NUL that is not counted, and is freed by the caller. Return: 0, or -errno.
 */
int file_read(const char *path, size_t limit, char **ret_text, size_t *ret_size) MUST_CHECK;
