/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The io_uring of an event loop, which can do what common/base/loop.h offers, and nothing else.
 *
 * An io_uring is a second way into the kernel, past any filter of system calls: it opens files,
 * makes sockets and sends messages. So the ring is made disabled, limited to the operations of the
 * loop by IORING_REGISTER_RESTRICTIONS, and only then enabled; the kernel answers every other with
 * -EACCES, and so it does every later io_uring_register(2). All that the loop's operations take are
 * descriptors that the process has. Source: io_uring_register(2).
 */
#pragma once

#include "common/base/cc.h"

#include <liburing.h>

/*
 * The ring belongs to the thread that calls this. capacity: completions to have room for, halved.
 * Return: 0; -errno of io_uring_setup(2) or io_uring_register(2), and there is no ring.
 */
int loop_ring_init(struct io_uring *ring, unsigned capacity) MUST_CHECK;
