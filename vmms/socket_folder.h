/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The folder of a VM's Hyper-V sockets: where programs of the host meet those of its guest.
 *
 * SOCKET_FOLDER_SOCKET in it listens while the VM runs, and leads to ports of the guest
 * (vsp/socket_listener.h). Who wants to be connected to by the guest listens there under the same
 * name with "_PORT" behind it. The folder is the owner's, and nobody else may look into it.
 *
 * Functions that say so change the working directory, or wait, and are for a process that is the
 * owner and does nothing else (vmms/errand.h).
 */
#pragma once

#include "common/base/cc.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define SOCKET_FOLDER_SOCKET "vsock"

/*
 * Makes the folder, and the one that it is in, or gives it to its owner. What somebody else has
 * left in it is removed. Return: 0, -errno.
 */
int socket_folder_make(const char *path, uid_t uid, gid_t gid) MUST_CHECK;

/* In a process of its own: a listening socket. Return: 0, -errno. */
int socket_folder_listen(const char *path, int *ret_fd) MUST_CHECK;

/* In a process of its own: a connection to whoever listens for that port. Return: 0, -errno. */
int socket_folder_connect(const char *path, uint32_t port, int *ret_fd) MUST_CHECK;

/*
 * Removes what socket_folder_listen() has made, and the folder if nothing else is in it. all: and
 * what else is in it.
 */
void socket_folder_remove(const char *path, bool all);
