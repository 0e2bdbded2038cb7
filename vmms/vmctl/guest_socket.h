/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A port of a guest, for commands. */
#pragma once

#include "vmms/vmctl/command.h"

#include <stdint.h>

/*
 * Bytes between a port's socket, which does not block, and somebody: until no more comes from the
 * port. input and output may be the same.
 */
enum status guest_socket_relay(int fd, int input, int output);

/* What fails has been said. *ret_fd: a connected stream socket, the caller's to close. */
enum status guest_socket_open(struct invocation *invocation, const char *vm, uint32_t port,
			      int *ret_fd);
