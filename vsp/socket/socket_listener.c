/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The host's way to ports of the guest.
 *
 * The line is read byte by byte: what follows it is not ours. While all sessions are in use no
 * connection is accepted; so, too, for a while after one could not be.
 */
#include "vsp/socket/socket_listener.h"

#include "vsp/socket/sockets.h"

#include "common/base/loop.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LINE_MAX_SIZE 32 /* bytes, more than "CONNECT 4294967295\n" */
#define TICKS         4  /* of the timer, in the time that a session has */

static const char command[] = "CONNECT ";

struct session {
	struct socket_listener *listener;
	struct loop_operation read;
	bool used, connecting;
	int fd; /* until it is connecting */
	char line[LINE_MAX_SIZE];
	size_t length;
	unsigned ticks; /* that have passed */
};

struct socket_listener {
	struct loop *loop;
	struct sockets *sockets;
	int fd;
	uint64_t tick_ns;
	struct loop_operation accept;
	bool accepting, resting;
	struct loop_timer timer;
	bool timer_runs;
	struct session sessions[SOCKET_LISTENER_MAX];
};

static void listener_accept(struct socket_listener *listener);

static void listener_start_timer(struct socket_listener *listener)
{
	if (listener->timer_runs)
		return;
	listener->timer_runs = true;
	loop_timer_start(listener->loop, &listener->timer, listener->tick_ns);
}

/* ---- Sessions ---- */

static void session_end(struct session *session)
{
	if (session->fd >= 0)
		close(session->fd);
	session->fd = -1;
	session->used = session->connecting = false;
	listener_accept(session->listener);
}

static void session_read(struct session *session)
{
	loop_read(session->listener->loop, &session->read, session->fd,
		  session->line + session->length, 1);
}

/* Of "CONNECT PORT\n"; the line is complete. Return: whether it is one. */
static bool session_parse(const struct session *session, uint32_t *ret_port)
{
	size_t at = sizeof(command) - 1;
	uint64_t port = 0;

	if (session->length < at + 2 || memcmp(session->line, command, at) != 0)
		return false;
	for (; at < session->length - 1; at++) {
		if (session->line[at] < '0' || session->line[at] > '9')
			return false;
		port = port * 10 + (uint64_t)(session->line[at] - '0');
		if (port > UINT32_MAX)
			return false;
	}
	*ret_port = (uint32_t)port;
	return true;
}

/* The socket is empty: the answer fits, and if the peer is gone, the stream will see. */
static void say_ok(int fd, uint32_t port)
{
	char text[LINE_MAX_SIZE];
	struct iovec iov = { .iov_base = text };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };

	iov.iov_len = (size_t)snprintf(text, sizeof(text), "OK %u\n", port);
	(void)!sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void session_connected(void *data, int result, int fd, uint32_t port)
{
	struct session *session = data;

	if (result == 0)
		say_ok(fd, port);
	session_end(session);
}

static void session_has_read(struct loop_operation *operation, int result, bool more)
{
	struct session *session = container_of(operation, struct session, read);
	uint32_t port;

	if (result == 1)
		session->length++;
	if (result != 1) {
		session_end(session);
	} else if (session->line[session->length - 1] == '\n') {
		if (!session_parse(session, &port)) {
			session_end(session);
			return;
		}
		session->connecting = true;
		sockets_connect(session->listener->sockets, port, TAKE_FD(session->fd),
				session_connected, session);
	} else if (session->length == sizeof(session->line)) {
		session_end(session);
	} else {
		session_read(session);
	}
}

static struct session *listener_free_session(struct socket_listener *listener)
{
	for (size_t i = 0; i < ARRAY_SIZE(listener->sessions); i++)
		if (!listener->sessions[i].used)
			return &listener->sessions[i];
	return NULL;
}

/* ---- Accepting ---- */

static void listener_accepted(struct loop_operation *operation, int result, bool more)
{
	struct socket_listener *listener = container_of(operation, struct socket_listener, accept);
	struct session *session = listener_free_session(listener);

	listener->accepting = false;
	if (result < 0) {
		listener->resting = true;
		listener_start_timer(listener);
		return;
	}
	session->used = true;
	session->fd = result;
	session->length = 0;
	session->ticks = 0;
	listener_start_timer(listener);
	session_read(session);
	listener_accept(listener);
}

static void listener_accept(struct socket_listener *listener)
{
	if (listener->accepting || listener->resting || !listener_free_session(listener))
		return;
	listener->accepting = true;
	loop_accept(listener->loop, &listener->accept, listener->fd);
}

static void listener_tick(struct loop_operation *operation, int result, bool more)
{
	struct loop_timer *timer = container_of(operation, struct loop_timer, operation);
	struct socket_listener *listener = container_of(timer, struct socket_listener, timer);

	listener->timer_runs = listener->resting = false;
	for (size_t i = 0; i < ARRAY_SIZE(listener->sessions); i++) {
		struct session *session = &listener->sessions[i];

		if (!session->used || session->connecting)
			continue;
		/* Its end comes with the read's. */
		if (++session->ticks > TICKS)
			loop_cancel(listener->loop, &session->read);
		listener_start_timer(listener);
	}
	listener_accept(listener);
}

/* ---- Life ---- */

int socket_listener_new(struct loop *loop, struct sockets *sockets, int fd, uint64_t timeout_ns,
			struct socket_listener **ret_listener)
{
	struct socket_listener *listener;
	int listens = 0;
	socklen_t size = sizeof(listens);

	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) < 0 || !listens)
		return -EINVAL;
	listener = calloc(1, sizeof(*listener));
	if (!listener)
		return -ENOMEM;
	listener->loop = loop;
	listener->sockets = sockets;
	listener->fd = fd;
	listener->tick_ns = (timeout_ns ? timeout_ns : SOCKETS_TIMEOUT_NS) / TICKS;
	listener->accept.complete = listener_accepted;
	listener->timer.operation.complete = listener_tick;
	for (size_t i = 0; i < ARRAY_SIZE(listener->sessions); i++) {
		listener->sessions[i].listener = listener;
		listener->sessions[i].fd = -1;
		listener->sessions[i].read.complete = session_has_read;
	}
	listener_accept(listener);
	*ret_listener = listener;
	return 0;
}

int socket_listener_descriptor(const struct socket_listener *listener)
{
	return listener->fd;
}

void socket_listener_free(struct socket_listener *listener)
{
	if (!listener)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(listener->sessions); i++)
		if (listener->sessions[i].fd >= 0)
			close(listener->sessions[i].fd);
	close(listener->fd);
	free(listener);
}
