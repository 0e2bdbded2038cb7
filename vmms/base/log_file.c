/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A file that is appended to, and does not grow beyond a bound. */
#include "vmms/base/log_file.h"

#include "common/base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define OLD_SUFFIX  ".old"
#define FILE_MODE   0600
#define FOLDER_MODE 0700

struct log_file {
	char *directory, *path, *old_path;
	size_t half;
	int fd;      /* -1: not open */
	size_t size; /* of the file at fd */
	bool failed; /* it was told already */
};

int log_file_new(const char *directory, const char *name, size_t bound, struct log_file **ret_log)
{
	CLEANUP(log_file_freep) struct log_file *log = calloc(1, sizeof(*log));

	if (!log)
		return -ENOMEM;
	log->fd = -1;
	log->half = bound / 2;
	log->directory = strdup(directory);
	if (!log->directory)
		return -ENOMEM;
	if (asprintf(&log->path, "%s/%s", directory, name) < 0) {
		log->path = NULL;
		return -ENOMEM;
	}
	if (asprintf(&log->old_path, "%s" OLD_SUFFIX, log->path) < 0) {
		log->old_path = NULL;
		return -ENOMEM;
	}
	*ret_log = TAKE_PTR(log);
	return 0;
}

void log_file_free(struct log_file *log)
{
	if (!log)
		return;
	close_fdp(&log->fd);
	free(log->directory);
	free(log->path);
	free(log->old_path);
	free(log);
}

/* ---- Writing ---- */

static void log_file_close(struct log_file *log)
{
	close_fdp(&log->fd);
}

static int log_file_open(struct log_file *log)
{
	const int flags = O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC;
	struct stat status;

	if (log->fd >= 0)
		return 0;
	log->fd = open(log->path, flags, FILE_MODE);
	if (log->fd < 0 && errno == ENOENT && mkdir(log->directory, FOLDER_MODE) == 0)
		log->fd = open(log->path, flags, FILE_MODE);
	if (log->fd < 0 || fstat(log->fd, &status) < 0)
		return error_origin(-errno);
	log->size = (size_t)status.st_size;
	return 0;
}

static int log_file_rotate(struct log_file *log)
{
	log_file_close(log);
	if (rename(log->path, log->old_path) < 0)
		return error_origin(-errno);
	return log_file_open(log);
}

static int log_file_write(struct log_file *log, const void *bytes, size_t size)
{
	ssize_t written;
	int r;

	r = log_file_open(log);
	if (r == 0 && log->size > 0 && log->size + size > log->half)
		r = log_file_rotate(log);
	if (r < 0)
		return r;
	written = write(log->fd, bytes, size);
	if (written < 0)
		return error_origin(-errno);
	log->size += (size_t)written;
	return (size_t)written == size ? 0 : -ENOSPC;
}

int log_file_append(struct log_file *log, const void *bytes, size_t size)
{
	bool failed_before = log->failed;
	int r;

	r = log_file_write(log, bytes, MIN(size, log->half));
	log->failed = r < 0;
	if (r < 0)
		log_file_close(log);
	return failed_before ? 0 : r;
}

/* ---- Reading ---- */

/* The last bytes of a file, into the end of a buffer. Return: their number; -errno. */
static ssize_t file_read_end(const char *path, char *buffer, size_t size)
{
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	struct stat status;
	size_t there, done = 0;
	ssize_t n;

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	if (fstat(fd, &status) < 0)
		return error_origin(-errno);
	there = MIN((size_t)status.st_size, size);
	while (done < there) {
		n = pread(fd, buffer + size - there + done, there - done,
			  status.st_size - (off_t)(there - done));
		if (n < 0)
			return error_origin(-errno);
		if (n == 0)
			return -EIO; /* it was made shorter meanwhile, and not by us */
		done += (size_t)n;
	}
	return (ssize_t)there;
}

int log_file_read(const struct log_file *log, size_t size, char **ret_bytes, size_t *ret_size)
{
	AUTO_FREE char *buffer = NULL;
	ssize_t new_size, old_size;

	size = MIN(size, 2 * log->half);
	buffer = malloc(size + 1);
	if (!buffer)
		return -ENOMEM;
	new_size = file_read_end(log->path, buffer, size);
	if (new_size < 0)
		return (int)new_size;
	old_size = file_read_end(log->old_path, buffer, size - (size_t)new_size);
	if (old_size < 0)
		return (int)old_size;
	*ret_size = (size_t)new_size + (size_t)old_size;
	memmove(buffer, buffer + size - *ret_size, *ret_size);
	buffer[*ret_size] = '\0';
	*ret_bytes = TAKE_PTR(buffer);
	return 0;
}

void log_file_delete(struct log_file *log)
{
	log_file_close(log);
	(void)unlink(log->path);
	(void)unlink(log->old_path);
}
