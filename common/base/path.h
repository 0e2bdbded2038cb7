/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Paths that somebody else has named.
 *
 * What lies there is first opened as a path only, which has no effect on it, be it a FIFO, a
 * terminal or a watchdog; when it has been looked at, it is opened for I/O by that descriptor, so
 * that both see the same file whatever happens to the path meanwhile.
 *
 * Nothing in /proc can be named. Links there lead past directories to what a process has open,
 * which is not what a name says: /proc/self/fd/3 would be a descriptor of ours. And a process may
 * read more about itself, such as /proc/self/maps, than others may. Nor can anything in /sys, or in
 * another file system that the kernel makes up: it has no size that counts, and what is read and
 * written there acts upon the host.
 */
#pragma once

#include "common/base/cc.h"

#include <sys/stat.h>

/*
 * A descriptor that somebody has passed is none of /proc's or /sys's, and its status. Return: 0, or
 * -1 with errno set.
 */
int path_look_at(int fd, struct stat *ret_status) MUST_CHECK;

/* Return: an O_PATH descriptor, and the file's status; or -1 with errno set. */
int path_look(const char *path, struct stat *ret_status) MUST_CHECK;

/*
 * open(2) of what path_look() has found. With O_NONBLOCK it does not wait for whoever has a lease
 * on the file (EWOULDBLOCK; fcntl(2)); the descriptor does not keep that flag. Return: the
 * descriptor, or -1 with errno set.
 */
int path_open(int path_fd, int flags) MUST_CHECK;
