/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Arithmetic and copying on I/O vectors. */
#include "vsp/iov.h"

#include "common/base/cc.h"

#include <string.h>

size_t iov_size(const struct iovec *iov, unsigned count)
{
	size_t size = 0;

	for (unsigned i = 0; i < count; i++)
		size += iov[i].iov_len;
	return size;
}

void iov_consume(struct iovec **iov, unsigned *count, size_t bytes)
{
	while (*count && bytes >= (*iov)->iov_len) {
		bytes -= (*iov)->iov_len;
		(*iov)++;
		(*count)--;
	}
	if (*count) {
		(*iov)->iov_base = (char *)(*iov)->iov_base + bytes;
		(*iov)->iov_len -= bytes;
	}
}

unsigned iov_truncate(struct iovec *iov, unsigned count, size_t bytes)
{
	unsigned i;

	for (i = 0; i < count && bytes; i++) {
		iov[i].iov_len = MIN(iov[i].iov_len, bytes);
		bytes -= iov[i].iov_len;
	}
	return i;
}

size_t iov_copy_in(void *destination, size_t size, const struct iovec *iov, unsigned count)
{
	size_t done = 0;

	for (unsigned i = 0; i < count && done < size; i++) {
		size_t length = MIN(iov[i].iov_len, size - done);

		memcpy((char *)destination + done, iov[i].iov_base, length);
		done += length;
	}
	return done;
}

size_t iov_copy_out(const struct iovec *iov, unsigned count, const void *source, size_t size)
{
	size_t done = 0;

	for (unsigned i = 0; i < count && done < size; i++) {
		size_t length = MIN(iov[i].iov_len, size - done);

		memcpy(iov[i].iov_base, (const char *)source + done, length);
		done += length;
	}
	return done;
}

/* Any alignment; one load each. */
typedef struct {
	uint64_t value;
} PACKED __attribute__((may_alias)) word_t;

typedef struct {
	uint16_t value;
} PACKED __attribute__((may_alias)) half_t;

static void read_once(uint8_t *to, const uint8_t *from, size_t size)
{
	size_t at = 0;

	for (; size - at >= sizeof(word_t); at += sizeof(word_t))
		((word_t *)(to + at))->value = ((const volatile word_t *)(from + at))->value;
	for (; size - at >= sizeof(half_t); at += sizeof(half_t))
		((half_t *)(to + at))->value = ((const volatile half_t *)(from + at))->value;
	if (at < size)
		to[at] = *(const volatile uint8_t *)(from + at);
}

size_t iov_read(void *destination, size_t size, const struct iovec *iov, unsigned count,
		size_t offset)
{
	size_t done = 0;

	for (unsigned i = 0; i < count && done < size; i++) {
		size_t length = iov[i].iov_len;

		if (offset >= length) {
			offset -= length;
			continue;
		}
		length = MIN(length - offset, size - done);
		read_once((uint8_t *)destination + done, (const uint8_t *)iov[i].iov_base + offset,
			  length);
		done += length;
		offset = 0;
	}
	return done;
}

unsigned iov_slice(const struct iovec *iov, unsigned count, size_t offset, size_t size,
		   struct iovec *slice)
{
	unsigned filled = 0;

	for (unsigned i = 0; i < count && size > 0; i++) {
		size_t length = iov[i].iov_len;

		if (offset >= length) {
			offset -= length;
			continue;
		}
		length = MIN(length - offset, size);
		slice[filled++] = (struct iovec){ (char *)iov[i].iov_base + offset, length };
		size -= length;
		offset = 0;
	}
	return filled;
}
