/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The folder of a VM's Hyper-V sockets.
 *
 * The folder that it is in is ours alone, so that its name leads where we have put it. What is in
 * it the owner may have changed to anything at any moment: with our rights it is unlinked by name,
 * which follows nothing, and used in no other way.
 */
#include "vmms/socket_folder.h"

#include "common/base/cleanup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG     64
#define ENTRIES_MAX 4096 /* that are removed in one go: there is somebody else to serve */

/* ---- With the daemon's rights ---- */

static int make_parent(const char *path)
{
	char parent[PATH_MAX];
	char *slash;

	if (snprintf(parent, sizeof(parent), "%s", path) >= (int)sizeof(parent))
		return -ENAMETOOLONG;
	slash = strrchr(parent, '/');
	if (!slash || slash == parent)
		return -EINVAL;
	*slash = '\0';
	if (mkdir(parent, 0711) < 0 && errno != EEXIST)
		return -errno;
	/* Whatever the umask: owners are to find what is theirs, and not to list others'. */
	return chmod(parent, 0711) < 0 ? -errno : 0;
}

static int open_folder(const char *path)
{
	return open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static void empty(int folder)
{
	int copy = fcntl(folder, F_DUPFD_CLOEXEC, 0);
	DIR *entries = copy < 0 ? NULL : fdopendir(copy);
	const struct dirent *entry;

	if (!entries) {
		close_fdp(&copy);
		return;
	}
	for (unsigned i = 0; i < ENTRIES_MAX && (entry = readdir(entries)); i++) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (unlinkat(folder, entry->d_name, 0) < 0)
			(void)unlinkat(folder, entry->d_name, AT_REMOVEDIR);
	}
	closedir(entries);
}

int socket_folder_make(const char *path, uid_t uid, gid_t gid)
{
	AUTO_CLOSE int folder = -1;
	struct stat status;
	int r;

	r = make_parent(path);
	if (r < 0)
		return r;
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return -errno;
	folder = open_folder(path);
	if (folder < 0 || fstat(folder, &status) < 0)
		return -errno;
	if (status.st_uid == uid)
		return 0;
	empty(folder);
	return fchown(folder, uid, gid) < 0 ? -errno : 0;
}

void socket_folder_remove(const char *path, bool all)
{
	AUTO_CLOSE int folder = open_folder(path);

	if (folder < 0)
		return;
	if (all)
		empty(folder);
	else
		(void)unlinkat(folder, SOCKET_FOLDER_SOCKET, 0);
	(void)rmdir(path);
}

/* ---- With the owner's ---- */

/* By name alone, since a path may be longer than an address. */
static int make_socket(const char *path, const char *name, int flags, struct sockaddr_un *address,
		       int *ret_fd)
{
	int fd;

	if (chdir(path) < 0)
		return -errno;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
	if (fd < 0)
		return -errno;
	*address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	snprintf(address->sun_path, sizeof(address->sun_path), "%s", name);
	*ret_fd = fd;
	return 0;
}

int socket_folder_listen(const char *path, int *ret_fd)
{
	AUTO_CLOSE int fd = -1;
	struct sockaddr_un address;
	mode_t mask;
	int r;

	r = make_socket(path, SOCKET_FOLDER_SOCKET, 0, &address, &fd);
	if (r < 0)
		return r;
	/* Of a run that nobody has cleaned up after; else bind(2) says what is there. */
	(void)unlink(SOCKET_FOLDER_SOCKET);
	mask = umask(0177);
	r = bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
	umask(mask);
	if (r == 0 && listen(fd, BACKLOG) < 0)
		r = -errno;
	if (r == 0)
		*ret_fd = TAKE_FD(fd);
	return r;
}

int socket_folder_connect(const char *path, uint32_t port, int *ret_fd)
{
	AUTO_CLOSE int fd = -1;
	struct sockaddr_un address;
	char name[32];
	int r;

	snprintf(name, sizeof(name), SOCKET_FOLDER_SOCKET "_%" PRIu32, port);
	/* One that has no more room for connections is not waited for. */
	r = make_socket(path, name, SOCK_NONBLOCK, &address, &fd);
	if (r < 0)
		return r;
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	*ret_fd = TAKE_FD(fd);
	return 0;
}
