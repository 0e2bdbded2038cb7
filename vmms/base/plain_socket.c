/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A Unix socket of the daemon's whose other end somebody else has.
 *
 * A peek without room for descriptors tells that there are some, and lets go of none: the message
 * in the queue still has them. Of a stream, a peek ends with the first message that has files, and
 * nothing but the daemon takes from the queue: so what was seen is what is then taken.
 */
#include "vmms/base/plain_socket.h"

#include "common/base/log.h"
#include "common/base/socket.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define RETRY_INTERVAL (10 * UINT64_C(1000000)) /* microseconds */

void plain_socket_make(int socket)
{
	const int yes = 1;

	socket_refuse_files(socket);
	/* A byte out of band would be passed over by a peek, and thrown away by what is taken. */
	(void)setsockopt(socket, SOL_SOCKET, SO_OOBINLINE, &yes, sizeof(yes));
}

/* Return: as recvmsg(2). */
static ssize_t socket_peek(int socket, void *bytes, size_t size, bool *ret_files)
{
	struct iovec iov = { bytes, size };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t seen = recvmsg(socket, &message, MSG_PEEK | MSG_DONTWAIT);

	*ret_files = seen >= 0 && (message.msg_flags & MSG_CTRUNC);
	return seen;
}

bool plain_socket_brings_files(int socket)
{
	bool files;
	char byte;

	return socket_peek(socket, &byte, sizeof(byte), &files) >= 0 && files;
}

ssize_t plain_socket_receive(int socket, void *bytes, size_t size)
{
	bool files;
	ssize_t seen = socket_peek(socket, bytes, size, &files);

	if (seen > 0 && !files)
		seen = recv(socket, bytes, (size_t)seen, MSG_DONTWAIT);
	if (seen < 0)
		return -errno;
	return files ? 0 : seen;
}

/* ---- Closing ---- */

struct closing {
	struct helpers *helpers;
	char *whose;
	size_t count;
	int sockets[];
};

/* It may hold files that were sent before it was told to refuse them, or that it cannot refuse. */
static bool socket_may_hold_files(int fd)
{
	socklen_t size = sizeof(int);
	int domain = 0, passes = 1;

	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) < 0 || domain != AF_UNIX)
		return false;
	size = sizeof(passes);
	return getsockopt(fd, SOL_SOCKET, SO_PASSRIGHTS, &passes, &size) < 0 || passes;
}

/* In the process, until it is killed: the sockets go with it. */
static void socket_hold(int socket, void *data)
{
	while (true)
		pause();
}

static void socket_heard(void *owner, const void *bytes, size_t size, int fd)
{
	close_fdp(&fd); /* nothing comes */
}

static void socket_ended(void *owner, int result)
{
}

static const struct helper_callbacks callbacks = { .message = socket_heard, .ended = socket_ended };

/* The process has copies, so that the daemon's are not the last to be closed. */
static int sockets_close_by_process(struct helpers *helpers, const char *whose, const int *fds,
				    size_t count)
{
	const struct helper_config config = { .whose = whose,
					      .work = socket_hold,
					      .kept = fds,
					      .kept_count = count,
					      .callbacks = &callbacks };
	struct helper *helper;
	int r = helper_new(helpers, &config, &helper);

	if (r < 0)
		return r;
	for (size_t i = 0; i < count; i++)
		close(fds[i]);
	helper_free(helper);
	return 0;
}

static void sockets_closing_free(void *data)
{
	struct closing *closing = data;

	free(closing->whose);
	free(closing);
}

static int sockets_close_again(sd_event_source *source, uint64_t usec, void *data)
{
	struct closing *closing = data;

	if (sockets_close_by_process(closing->helpers, closing->whose, closing->sockets,
				     closing->count) == 0)
		return sd_event_source_set_floating(source, false);
	sd_event_source_set_time_relative(source, RETRY_INTERVAL);
	return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static int sockets_close_later(struct helpers *helpers, const char *whose, const int *fds,
			       size_t count)
{
	struct closing *closing = calloc(1, sizeof(*closing) + count * sizeof(*fds));
	sd_event_source *source;
	int r;

	if (!closing)
		return -ENOMEM;
	closing->helpers = helpers;
	closing->whose = strdup(whose);
	closing->count = count;
	memcpy(closing->sockets, fds, count * sizeof(*fds));
	r = closing->whose
		    ? sd_event_add_time_relative(helpers_loop(helpers), &source, CLOCK_MONOTONIC,
						 RETRY_INTERVAL, 0, sockets_close_again, closing)
		    : -ENOMEM;
	if (r < 0) {
		sockets_closing_free(closing);
		return r;
	}
	(void)sd_event_source_set_destroy_callback(source, sockets_closing_free);
	(void)sd_event_source_set_floating(source, true);
	sd_event_source_unref(source);
	return 0;
}

void plain_sockets_let_go(struct helpers *helpers, const char *whose, int *fds, size_t count)
{
	size_t left = 0;
	int r;

	for (size_t i = 0; i < count; i++) {
		int fd = TAKE_FD(fds[i]);

		if (fd >= 0 && helpers && socket_may_hold_files(fd))
			fds[left++] = fd;
		else
			close_fdp(&fd);
	}
	r = left == 0 ? 0 : sockets_close_by_process(helpers, whose, fds, left);
	if (r < 0)
		r = sockets_close_later(helpers, whose, fds, left);
	/* -ESTALE: the event loop has ended, and the daemon ends, which closes them. */
	if (r < 0 && r != -ESTALE)
		log_error("connections are never closed: %s", strerror(-r));
	for (size_t i = 0; i < left; i++)
		fds[i] = -1;
}

void plain_socket_close(struct helpers *helpers, const char *whose, int socket)
{
	/* Who has the other end is to see at once that it is closed. */
	if (helpers && socket >= 0 && socket_may_hold_files(socket))
		(void)shutdown(socket, SHUT_RDWR);
	plain_sockets_let_go(helpers, whose, &socket, 1);
}
