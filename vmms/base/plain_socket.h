/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A Unix socket of the daemon's whose other end somebody else has: bytes come from it, and no
 * descriptors.
 *
 * Whoever has the other end may attach files to what they send. A message with files that is
 * received or thrown away, or is still there when the socket is closed, takes them along, and the
 * last to let go of a file waits for as long as its file system likes, or a TCP socket that
 * lingers. So the kernel is told to refuse such messages, which it knows since Linux 6.16. On an
 * older one the daemon looks before it takes anything, and a process of its own closes the socket.
 *
 * Thread: the event loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "vmms/base/helper.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* To be called before anybody may send: on both ends of a pair that may come back to the daemon. */
void plain_socket_make(int socket);

/* What comes next has files attached: nothing more is to be taken from the socket. */
bool plain_socket_brings_files(int socket) MUST_CHECK;

/*
 * As recv(2) without waiting, of a stream. Return: bytes; 0: it has ended, or brings files, and
 * what came just before them is lost; -errno.
 */
ssize_t plain_socket_receive(int socket, void *bytes, size_t size) MUST_CHECK;

/*
 * Closes it, soon. whose: the user who has the other end, as of helper processes; that one's
 * processes may be too many at the time, then it stays open for a while. helpers: NULL: it is
 * closed at once.
 */
void plain_socket_close(struct helpers *helpers, const char *whose, int socket);

/*
 * The same of copies of sockets, which others may have too: those connections go on. They need not
 * have been made plain, nor be sockets at all. fds: taken over, -1 afterwards, as some may be
 * before.
 */
void plain_sockets_let_go(struct helpers *helpers, const char *whose, int *fds, size_t count);
