/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Small files, read as a whole; and what read(2) and write(2) do only in parts. */
#include "common/base/file.h"

#include "common/base/cleanup.h"
#include "common/base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

int file_read(const char *path, size_t limit, char **ret_text, size_t *ret_size)
{
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	AUTO_FREE char *text = NULL;
	size_t size = 0;
	ssize_t n;

	if (fd < 0)
		return -errno;
	text = malloc(limit + 2);
	if (!text)
		return -ENOMEM;
	do {
		n = read(fd, text + size, limit + 1 - size);
		if (n < 0 && errno != EINTR)
			return error_origin(-errno);
		size += n > 0 ? (size_t)n : 0;
	} while (n != 0 && size <= limit);
	text[size] = '\0';
	*ret_text = TAKE_PTR(text);
	*ret_size = size;
	return 0;
}

ssize_t file_read_at(int fd, uint64_t offset, void *buffer, size_t size)
{
	uint8_t *bytes = buffer;
	size_t done = 0;

	while (done < size) {
		ssize_t n = pread(fd, bytes + done, size - done, (off_t)(offset + done));

		if (n < 0 && errno != EINTR)
			return error_origin(-errno);
		if (n == 0)
			break;
		done += n > 0 ? (size_t)n : 0;
	}
	return (ssize_t)done;
}

int file_write_all(int fd, const void *buffer, size_t size)
{
	const uint8_t *bytes = buffer;

	while (size > 0) {
		ssize_t n = write(fd, bytes, size);

		if (n < 0 && errno != EINTR)
			return error_origin(-errno);
		bytes += MAX(n, 0);
		size -= (size_t)MAX(n, 0);
	}
	return 0;
}
