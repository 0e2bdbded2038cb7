/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Arithmetic and copying on I/O vectors.
 *
 * The memory they name may be the guest's, which changes under our hands: nothing here looks at
 * what it copies.
 */
#pragma once

#include <stddef.h>
#include <sys/uio.h>

size_t iov_size(const struct iovec *iov, unsigned count);

/* Drops the first `bytes` of a vector, at most all of it, changing the first element left. */
void iov_consume(struct iovec **iov, unsigned *count, size_t bytes);

/* Shortens a vector to its first `bytes`, at most all of it. Return: the new count. */
unsigned iov_truncate(struct iovec *iov, unsigned count, size_t bytes);

/* Copy the first `size` bytes, or as many as the vector has. Return: how many. */
size_t iov_copy_in(void *destination, size_t size, const struct iovec *iov, unsigned count);
size_t iov_copy_out(const struct iovec *iov, unsigned count, const void *source, size_t size);

/*
 * As iov_copy_in(), from `offset` on: for headers, which are short. They are read word by word,
 * each byte once, so that what is judged is what is used.
 */
size_t iov_read(void *destination, size_t size, const struct iovec *iov, unsigned count,
		size_t offset);

/*
 * Names `size` bytes from `offset` on, or as many as there are, by vectors of their own. slice has
 * room for `count`. Return: how many were filled.
 */
unsigned iov_slice(const struct iovec *iov, unsigned count, size_t offset, size_t size,
		   struct iovec *slice);
