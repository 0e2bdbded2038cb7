/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A port of a guest, for commands. */
#pragma once

#include "vmms/vmctl/command.h"

#include <stdint.h>

/* What fails has been said. *ret_fd: a connected stream socket, the caller's to close. */
enum status guest_socket_open(struct invocation *invocation, const char *vm, uint32_t port,
			      int *ret_fd);
