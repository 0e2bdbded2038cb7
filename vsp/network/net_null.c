/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A network with nobody on it: frames are gone at once, none ever comes. */
#include "vsp/network/net_backend.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define NULL_DEVICE makedev(1, 3) /* Linux Documentation/admin-guide/devices.txt */

struct net_null {
	struct net_backend backend;
	int fd; /* that says what it is; nothing is written there */
	struct list buffers;
};

static void null_send(struct net_backend *backend, unsigned queue, struct net_frame *frame)
{
	frame->sent(frame, 0);
}

static void null_receive(struct net_backend *backend, unsigned queue, struct net_buffer *buffer)
{
	struct net_null *null = container_of(backend, struct net_null, backend);

	list_append(&null->buffers, &buffer->link);
}

static void null_withdraw(struct net_backend *backend)
{
	struct net_null *null = container_of(backend, struct net_null, backend);

	while (!list_empty(&null->buffers)) {
		struct net_buffer *buffer =
			container_of(null->buffers.next, struct net_buffer, link);

		list_unlink(&buffer->link);
		buffer->filled(buffer, -ECANCELED);
	}
}

static void null_free(struct net_backend *backend)
{
	struct net_null *null = container_of(backend, struct net_null, backend);

	close(null->fd);
	free(null);
}

static void null_close(struct net_backend *backend)
{
	void (*closed)(void *data) = backend->closed;
	void *data = backend->closed_data;

	null_withdraw(backend);
	null_free(backend);
	if (closed)
		closed(data);
}

static const struct net_backend_ops null_ops = {
	.name = "null",
	.send = null_send,
	.receive = null_receive,
	.withdraw = null_withdraw,
	.close = null_close,
	.free = null_free,
};

int net_null_new(int fd, struct net_backend **ret_backend)
{
	struct net_null *null;
	struct stat status;

	if (fstat(fd, &status) < 0 || !S_ISCHR(status.st_mode) || status.st_rdev != NULL_DEVICE)
		return -EINVAL;
	null = calloc(1, sizeof(*null));
	if (!null)
		return -ENOMEM;
	null->fd = fd;
	null->backend.ops = &null_ops;
	null->backend.queue_count = 1;
	list_init(&null->buffers);
	*ret_backend = &null->backend;
	return 0;
}
