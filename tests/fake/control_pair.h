/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Control sockets of which a test has both ends. */
#pragma once

#include "common/control.h"

#include <errno.h>
#include <sys/socket.h>

/* A connected pair, non-blocking, close-on-exec, with room for the largest message. */
static inline int control_pair(int ret_sockets[static 2])
{
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ret_sockets) < 0)
		return -errno;
	control_make_room(ret_sockets[0]);
	control_make_room(ret_sockets[1]);
	return 0;
}
