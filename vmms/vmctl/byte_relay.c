/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Bytes between standard input and output and a socket. */
#include "vmms/vmctl/byte_relay.h"

#include "common/base/file.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

#define PIECE_SIZE 65536 /* bytes; what a pipe holds */

static void relay_copy(int from, int to)
{
	char bytes[PIECE_SIZE];
	ssize_t size;

	do
		size = read(from, bytes, sizeof(bytes));
	while ((size < 0 && errno == EINTR) ||
	       (size > 0 && file_write_all(to, bytes, (size_t)size) == 0));
}

static void *relay_inwards(void *data)
{
	struct byte_relay *relay = data;

	relay_copy(STDIN_FILENO, relay->near);
	(void)shutdown(relay->near, SHUT_WR);
	return NULL;
}

/* Where nobody takes it any more, nobody is to wait until somebody does. */
static void *relay_outwards(void *data)
{
	struct byte_relay *relay = data;

	relay_copy(relay->near, STDOUT_FILENO);
	(void)shutdown(relay->near, SHUT_RDWR);
	return NULL;
}

static int relay_start(struct byte_relay *relay)
{
	pthread_t inwards;
	int r = -pthread_create(&relay->outwards, NULL, relay_outwards, relay);

	if (r == 0)
		r = -pthread_create(&inwards, NULL, relay_inwards, relay);
	if (r == 0)
		(void)pthread_detach(inwards);
	return r;
}

int byte_relay_begin(struct byte_relay *relay, int *ret_far)
{
	sigset_t all, before;
	int sockets[2], r;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) < 0)
		return -errno;
	relay->near = sockets[0];
	/* Signals are for the thread that waits for something. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = relay_start(relay);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (r < 0)
		close(sockets[1]);
	else
		*ret_far = sockets[1];
	return r;
}

void byte_relay_end(struct byte_relay *relay)
{
	/* What is in the socket is read all the same. */
	(void)shutdown(relay->near, SHUT_RD);
	(void)pthread_join(relay->outwards, NULL);
}
