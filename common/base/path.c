/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Paths that somebody else has named. */
#include "common/base/path.h"

#include "common/base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

/* File systems that the kernel makes up: what is there is no file, and reading it may do things. */
static bool is_made_up(__fsword_t type)
{
	static const __fsword_t types[] = {
		PROC_SUPER_MAGIC, SYSFS_MAGIC,        DEBUGFS_MAGIC,       TRACEFS_MAGIC,
		SECURITYFS_MAGIC, CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC, BPF_FS_MAGIC,
		PSTOREFS_MAGIC,   EFIVARFS_MAGIC,     SELINUX_MAGIC,       RDTGROUP_SUPER_MAGIC,
	};

	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (types[i] == type)
			return true;
	return false;
}

int path_look_at(int fd, struct stat *ret_status)
{
	struct statfs system;
	struct stat status;

	if (fstatfs(fd, &system) < 0 || fstat(fd, &status) < 0)
		return -1;
	if (is_made_up(system.f_type)) {
		errno = EACCES;
		return -1;
	}
	*ret_status = status;
	return 0;
}

int path_look(const char *path, struct stat *ret_status)
{
	const struct open_how how = { .flags = O_PATH | O_CLOEXEC,
				      .resolve = RESOLVE_NO_MAGICLINKS };
	AUTO_CLOSE int fd = (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how));

	if (fd < 0 || path_look_at(fd, ret_status) < 0)
		return -1;
	return TAKE_FD(fd);
}

int path_open(int path_fd, int flags)
{
	AUTO_CLOSE int fd = -1;
	char link[32];

	snprintf(link, sizeof(link), "/proc/self/fd/%d", path_fd);
	fd = open(link, flags | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return -1;
	if ((flags & O_NONBLOCK) && fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) < 0)
		return -1;
	return TAKE_FD(fd);
}
