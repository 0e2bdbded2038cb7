/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Hyper-V sockets of a machine's guest, where the definition has them, and the socket by which the
 * host's programs reach ports of the guest.
 *
 * Thread: the loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "vmwp/base/device.h"

struct guest_sockets;
struct sockets;

extern const struct device_ops guest_sockets_ops;

/*
 * The host reaches ports of the guest through this listening socket, which is taken over, on
 * failure too; sockets may be NULL, and then it is closed. The loop has something to wait for from
 * here on. -1: there is none. Return: 0, -errno.
 */
int guest_sockets_listen(struct guest_sockets *sockets, struct loop *loop, int fd) MUST_CHECK;

/* The connections, vsp/socket/sockets.h. sockets may be NULL, and so is then what is returned. */
struct sockets *guest_sockets_all(struct guest_sockets *sockets);
