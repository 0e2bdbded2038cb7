/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Small files, read as a whole; and what read(2) and write(2) do only in parts. */
#pragma once

#include "common/base/cc.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * Reads a file of at most `limit` bytes. Of a larger one there is one byte more, so that
 * *ret_size > limit says so. It does not wait for a writer of a FIFO. *ret_text ends with a
 * NUL that is not counted, and is freed by the caller. Return: 0, or -errno.
 */
int file_read(const char *path, size_t limit, char **ret_text, size_t *ret_size) MUST_CHECK;

/*
 * As many bytes at an offset as there are: fewer than `size` only where the file ends. Return: how
 * many; -errno.
 */
ssize_t file_read_at(int fd, uint64_t offset, void *buffer, size_t size) MUST_CHECK;

/* Writes all of it to what may be a pipe or a socket, and waits for that. Return: 0; -errno. */
int file_write_all(int fd, const void *buffer, size_t size) MUST_CHECK;
