/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Room in sockets. */
#pragma once

#include <sys/socket.h>

/*
 * passt never waits for the guest's network: what finds no room in its socket it drops, and sends
 * again two seconds later. A whole TCP window of the guest's is to fit, which the kernel's default
 * of some 200 KiB is far from.
 */
#define SOCKET_PASST_ROOM (4 << 20) /* bytes; the kernel doubles it */

/*
 * Makes room for what was sent through a socket and has not been read at the other end; more than
 * net.core.wmem_max only with CAP_NET_ADMIN. Nothing depends on it but speed.
 */
static inline void socket_make_room(int fd, int bytes)
{
	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)) < 0)
		(void)!setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
}

#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83 /* Linux 6.16 */
#endif

/*
 * Whoever sends descriptors to it is refused (EPERM), where the kernel can. To be said of a Unix
 * socket before it is connected, or its other end given away; of a listening one, for all that
 * come.
 */
static inline void socket_refuse_files(int fd)
{
	const int no = 0;

	(void)setsockopt(fd, SOL_SOCKET, SO_PASSRIGHTS, &no, sizeof(no));
}
