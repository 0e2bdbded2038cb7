/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The host's way to ports of the guest: a listening stream socket (vsp/socket/sockets.h).
 *
 * Who connects to it writes "CONNECT PORT\n", PORT in decimal, and reads "OK N\n", N being the port
 * that the guest sees at the other end; from then on the socket is the connection. One that the
 * guest does not take is closed without an answer. Other VMMs with hybrid vsock do the same.
 *
 * At most SOCKET_LISTENER_MAX at a time may be between the two lines; the next ones wait. Who does
 * not write a line in time is hung up on.
 *
 * Thread: the loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/cleanup.h"
#include "common/base/loop.h"

#include <stdint.h>

struct sockets;

#define SOCKET_LISTENER_MAX 16

struct socket_listener;

/*
 * fd: a listening stream socket, taken over unless this fails. sockets: borrowed, and to be freed
 * after the listener. timeout_ns: 0: SOCKETS_TIMEOUT_NS. Return: 0; -EINVAL: fd is no such
 * socket; -ENOMEM.
 */
int socket_listener_new(struct loop *loop, struct sockets *sockets, int fd, uint64_t timeout_ns,
			struct socket_listener **ret_listener) MUST_CHECK;

/* The listening socket, which it keeps. */
int socket_listener_descriptor(const struct socket_listener *listener);

/* The loop does not run again. */
void socket_listener_free(struct socket_listener *listener);
DEFINE_CLEANUP(struct socket_listener *, socket_listener_free)
