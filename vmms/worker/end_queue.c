/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where a worker leaves how its VM ended. */
#include "vmms/worker/end_queue.h"

#include "common/base/cleanup.h"
#include "common/base/error.h"
#include "common/base/file.h"
#include "common/base/guid.h"
#include "common/control.h"

#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PREFIX    "/vmms-"
#define NAME_SIZE (sizeof(PREFIX) + GUID_TEXT_SIZE)
#define FILE_MODE 0600

/* ---- The file ---- */

static void queue_make_name(const struct guid *guid, char name[NAME_SIZE])
{
	char text[GUID_TEXT_SIZE];

	guid_format(guid, text);
	snprintf(name, NAME_SIZE, PREFIX "%s", text);
}

static int queue_save_name(const char *path, const char *name)
{
	AUTO_CLOSE int fd =
		open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, FILE_MODE);
	ssize_t written;

	if (fd < 0)
		return error_origin(-errno);
	written = write(fd, name, strlen(name));
	if (written < 0)
		return error_origin(-errno);
	return (size_t)written == strlen(name) ? 0 : -ENOSPC;
}

/* Return: 0; -ENOENT; -EINVAL: it keeps something else; -errno. */
static int queue_load_name(const char *path, char name[NAME_SIZE])
{
	AUTO_FREE char *text = NULL;
	struct guid guid;
	size_t size;
	int r;

	r = file_read(path, NAME_SIZE, &text, &size);
	if (r < 0)
		return r;
	if (strncmp(text, PREFIX, strlen(PREFIX)) != 0 ||
	    guid_parse(text + strlen(PREFIX), &guid) < 0)
		return -EINVAL;
	queue_make_name(&guid, name);
	return 0;
}

/* ---- The queue ---- */

int end_queue_make(const char *path, int *ret_fd)
{
	struct mq_attr attributes = { .mq_maxmsg = 1, .mq_msgsize = CONTROL_END_MAX };
	const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NONBLOCK | O_CLOEXEC;
	char name[NAME_SIZE];
	struct guid guid;
	int fd, r;

	end_queue_remove(path);
	r = guid_generate(&guid);
	if (r < 0)
		return r;
	queue_make_name(&guid, name);
	/* First the name, so that no queue is left that nobody knows of. */
	r = queue_save_name(path, name);
	if (r < 0)
		return r;
	fd = mq_open(name, flags, FILE_MODE, &attributes);
	if (fd < 0)
		return error_origin(-errno);
	*ret_fd = fd;
	return 0;
}

int end_queue_read(const char *path, char *buffer, size_t *ret_size)
{
	char name[NAME_SIZE];
	ssize_t size;
	int r;

	r = queue_load_name(path, name);
	if (r < 0)
		return r;
	AUTO_CLOSE int fd = mq_open(name, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	size = mq_receive(fd, buffer, CONTROL_END_MAX, NULL);
	if (size < 0)
		return -errno;
	/* Should we be killed, the next daemon reads it again. */
	(void)mq_send(fd, buffer, (size_t)size, 0);
	*ret_size = (size_t)size;
	return 0;
}

void end_queue_remove(const char *path)
{
	char name[NAME_SIZE];

	if (queue_load_name(path, name) == 0)
		(void)mq_unlink(name);
	(void)unlink(path);
}
