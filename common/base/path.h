/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Paths that somebody else has named.
 *
 * Links below /proc lead past directories to what a process has open, which is not what a name
 * says: /proc/self/fd/3 would be a descriptor of ours.
 */
#pragma once

#include "common/base/cc.h"

/*
 * open(2) with O_CLOEXEC, without following such links, and without creating anything. Return: the
 * descriptor, or -1 with errno set: ELOOP for such a link.
 */
int path_open(const char *path, int flags) MUST_CHECK;
