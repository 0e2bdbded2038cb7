/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files without a name. */
#include "vmms/vmctl/spool.h"

#include "common/base/cleanup.h"
#include "common/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>

#define FOLDER     "/var/tmp" /* on a disk, and not in memory */
#define PIECE_SIZE (64 * 1024)

int spool_new(void)
{
	const char *folder = getenv("TMPDIR");
	AUTO_FREE char *path = NULL;
	int fd;

	folder = folder ?: FOLDER;
	fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd >= 0 || errno != EOPNOTSUPP)
		return fd < 0 ? -errno : fd;
	if (asprintf(&path, "%s/vmctl-XXXXXX", folder) < 0)
		return -ENOMEM;
	fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	(void)unlink(path);
	return fd;
}

int spool_copy(int from, int to)
{
	static char bytes[PIECE_SIZE];
	ssize_t size;
	int r = 0;

	while (r == 0 && (size = read(from, bytes, sizeof(bytes))) != 0) {
		if (size > 0)
			r = file_write_all(to, bytes, (size_t)size);
		else if (errno != EINTR)
			r = -errno;
	}
	return r;
}

int spool_input(void)
{
	AUTO_CLOSE int fd = spool_new();
	int r = fd < 0 ? fd : spool_copy(STDIN_FILENO, fd);

	if (r == 0 && lseek(fd, 0, SEEK_SET) < 0)
		r = -errno;
	return r < 0 ? r : TAKE_FD(fd);
}
