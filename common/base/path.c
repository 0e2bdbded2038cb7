/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Paths that somebody else has named. */
#include "common/base/path.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

int path_open(const char *path, int flags)
{
	const struct open_how how = { .flags = (unsigned)flags | O_CLOEXEC,
				      .resolve = RESOLVE_NO_MAGICLINKS };

	return (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how));
}
