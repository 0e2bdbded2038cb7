/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The folder of a VM's Hyper-V sockets: where programs of the host meet those of its guest.
 *
 * SOCKET_FOLDER_SOCKET in it listens while the VM runs, and leads to ports of the guest
 * (vsp/socket/socket_listener.h). Who wants to be connected to by the guest listens there under the
 * same name with "_PORT" behind it. The folder is the owner's, and nobody else may look into it.
 *
 * Functions that say so change the working directory, or wait, and are for a process that is the
 * owner and does nothing else (vmms/base/helper.h).
 */
#pragma once

#include "common/base/cc.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define SOCKET_FOLDER_SOCKET "vsock"
#define SOCKET_FOLDERS       "sockets" /* in the runtime directory */

/*
 * The folder that those of all VMs are in: made, with what was to be removed from it and was not.
 * Root's gets a file system of its own, so that no owner fills another one, unless it has one
 * already (packaging/systemd/run-vmms-sockets.mount). Return: 0; -errno: it has none.
 */
int socket_folder_prepare(const char *parent) MUST_CHECK;

/* Gives that file system up, if nobody uses it. */
void socket_folder_release(const char *parent);

/*
 * Makes the folder of a VM, for nobody but its owner, who finds in it what they have left there.
 * One that is another's is removed with all that is in it. Return: 0, -errno.
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
