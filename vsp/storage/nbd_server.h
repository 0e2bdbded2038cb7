/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A server of views of disks (vsp/storage/disk_point.h), to whom clients speak the network block device
 * protocol: nbdinfo, nbdcopy, backup programs, and the service's own.
 *
 * Nothing can be written. There is an export for each view, by its name; the first one goes by the
 * empty name, too. Contexts are "base:allocation", and "qemu:dirty-bitmap:POINT" for each point since
 * which all changes are known. With structured replies zeros are sent as holes.
 *
 * A client is not trusted: what it says is bounded, one request of a connection is worked on at a time,
 * and one that breaks the protocol is cut off.
 *
 * Source: the NBD project's doc/proto.md, and doc/interop/nbd.rst of QEMU for the name of the context.
 *
 * Thread: the loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/loop.h"
#include "vsp/storage/disk_point.h"

#define NBD_SERVER_NAME_MAX        32 /* bytes of the name of an export */
#define NBD_SERVER_CONNECTIONS_MAX 16

struct nbd_server;

struct nbd_served {
	char name[NBD_SERVER_NAME_MAX];
	struct disk_point *point; /* borrowed until the server has stopped */
};

struct nbd_server_options {
	const struct nbd_served *served; /* copied */
	size_t count;                    /* at least 1 */

	/* A client may let go of what it will not read again, by NBD_TRIM. */
	bool releases;
};

/* Return: 0; -ENOMEM. */
int nbd_server_new(struct loop *loop, const struct nbd_server_options *options,
		   struct nbd_server **ret_server) MUST_CHECK;

/* A client at the other end of a stream socket, taken over. Return: 0; -ENOMEM. */
int nbd_server_add(struct nbd_server *server, int socket) MUST_CHECK;

/* Takes over a listening socket, from which clients come; once. */
void nbd_server_listen(struct nbd_server *server, int socket);

/* Cuts all off, and frees it; then stopped(data) is called, perhaps at once. */
void nbd_server_stop(struct nbd_server *server, void (*stopped)(void *data), void *data);

/* Frees it after the loop has ended. Accepts NULL. */
void nbd_server_free(struct nbd_server *server);
