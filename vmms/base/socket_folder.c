/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The folder of a VM's Hyper-V sockets.
 *
 * The folder that it is in is ours alone, so that its name leads where we have put it. What is in
 * it the owner may have changed to anything at any moment, and may have mounted file systems there
 * that never answer: with our rights nothing is looked up beyond a mount, and entries are removed
 * by name, which follows nothing.
 *
 * A folder that is to go is first renamed into one that only we may enter. It is emptied there, and
 * each folder in it is moved up beside it, so that no depth matters. The service lacks CAP_FOWNER,
 * so it takes over what is another's before it changes the mode.
 */
#include "vmms/base/socket_folder.h"

#include "common/base/cleanup.h"
#include "common/base/error.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG      64
#define REMOVED      ".removed"
#define NAME_SIZE    32   /* bytes of a name in there, with the NUL */
#define ENTRIES_MAX  4096 /* removed in one go by the daemon: there is somebody else to serve */
#define FOLDER_MODE  0700
#define PARENT_MODE  0711 /* owners are to find what is theirs, and not to list others' */
#define MOUNT_LIMITS "mode=0711,size=16m,nr_inodes=16k"

/* ---- With the daemon's rights: folders ---- */

static int folder_open_folder(int parent, const char *name, int flags)
{
	const struct open_how how = {
		.flags = (uint64_t)flags | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
		.resolve = RESOLVE_NO_XDEV | RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS,
	};
	int fd = (int)syscall(SYS_openat2, parent, name, &how, sizeof(how));

	return fd < 0 ? -errno : fd;
}

/* The folder that the VMs' are in, and the name of this one. Return: a descriptor, -errno. */
static int folder_open_parent(const char *path, const char **ret_name)
{
	const char *slash = strrchr(path, '/');
	char parent[PATH_MAX];
	int fd;

	if (!slash || slash == path || slash - path >= PATH_MAX)
		return -EINVAL;
	memcpy(parent, path, (size_t)(slash - path));
	parent[slash - path] = '\0';
	fd = open(parent, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	*ret_name = slash + 1;
	return fd < 0 ? -errno : fd;
}

/* Ours, and for nobody else to enter. */
static int folder_seize(int folder)
{
	if (fchown(folder, geteuid(), getegid()) < 0)
		return error_origin(-errno);
	return fchmod(folder, FOLDER_MODE) < 0 ? -errno : 0;
}

/* ---- With the daemon's rights: removing ---- */

static void folder_make_name(char name[static NAME_SIZE])
{
	static unsigned count;

	snprintf(name, NAME_SIZE, "%d-%u", getpid(), count++);
}

/* Into the folder of what is removed, under a name that nothing there has. */
static int folder_move(int folder, const char *name, int removed)
{
	char other[NAME_SIZE];

	do {
		folder_make_name(other);
		if (renameat2(folder, name, removed, other, RENAME_NOREPLACE) == 0)
			return 0;
	} while (errno == EEXIST);
	return error_origin(-errno);
}

struct sweep {
	int removed;
	unsigned left; /* entries that may still be removed */
	bool progress;
};

typedef void (*sweep_fn)(struct sweep *sweep, int folder, const char *name);

static void folder_each_entry(struct sweep *sweep, int folder, sweep_fn found)
{
	int copy = folder_open_folder(folder, ".", O_RDONLY);
	DIR *entries = copy < 0 ? NULL : fdopendir(copy);
	const struct dirent *entry;

	if (!entries) {
		close_fdp(&copy);
		return;
	}
	while (sweep->left > 0 && (entry = readdir(entries))) {
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			found(sweep, folder, entry->d_name);
	}
	closedir(entries);
}

static void folder_remove_entry(struct sweep *sweep, int folder, const char *name)
{
	sweep->left--;
	if (unlinkat(folder, name, 0) == 0 || folder_move(folder, name, sweep->removed) == 0)
		sweep->progress = true;
}

static void folder_remove_removed(struct sweep *sweep, int removed, const char *name)
{
	AUTO_CLOSE int folder = folder_open_folder(removed, name, O_RDONLY);

	sweep->left--;
	if (folder >= 0 && folder_seize(folder) == 0)
		folder_each_entry(sweep, folder, folder_remove_entry);
	if (unlinkat(removed, name, folder >= 0 ? AT_REMOVEDIR : 0) == 0)
		sweep->progress = true;
}

/* What cannot be removed, since something is mounted there, waits for another time. */
static void sweep(int parent, unsigned most)
{
	AUTO_CLOSE int removed = folder_open_folder(parent, REMOVED, O_RDONLY);
	struct sweep sweep = { .removed = removed, .left = most, .progress = true };

	while (removed >= 0 && sweep.progress && sweep.left > 0) {
		sweep.progress = false;
		folder_each_entry(&sweep, removed, folder_remove_removed);
	}
	(void)unlinkat(parent, REMOVED, AT_REMOVEDIR);
}

/* Out of its owner's reach. Return: 0, -errno. */
static int folder_set_aside(int parent, const char *name)
{
	AUTO_CLOSE int removed = -1;

	if (mkdirat(parent, REMOVED, FOLDER_MODE) < 0 && errno != EEXIST)
		return error_origin(-errno);
	removed = folder_open_folder(parent, REMOVED, O_RDONLY);
	return removed < 0 ? removed : folder_move(parent, name, removed);
}

void socket_folder_remove(const char *path, bool all)
{
	AUTO_CLOSE int folder = -1;
	const char *name;
	AUTO_CLOSE int parent = folder_open_parent(path, &name);

	if (parent < 0)
		return;
	if (all) {
		if (faccessat(parent, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
			(void)!folder_set_aside(parent, name);
		sweep(parent, ENTRIES_MAX);
		return;
	}
	folder = folder_open_folder(parent, name, O_PATH);
	if (folder < 0)
		return;
	(void)unlinkat(folder, SOCKET_FOLDER_SOCKET, 0);
	(void)unlinkat(parent, name, AT_REMOVEDIR);
}

/* ---- With the daemon's rights: making ---- */

static int folder_make(int parent, const char *name, uid_t uid, gid_t gid)
{
	AUTO_CLOSE int folder = -1;

	if (mkdirat(parent, name, FOLDER_MODE) < 0)
		return error_origin(-errno);
	folder = folder_open_folder(parent, name, O_RDONLY);
	if (folder < 0)
		return folder;
	return fchown(folder, uid, gid) < 0 ? -errno : 0;
}

/* Also an access control list lets nobody else in then: the mode bounds what it gives. */
static int folder_close_to_others(int folder, uid_t uid, gid_t gid)
{
	int r = folder_seize(folder);

	if (r < 0)
		return r;
	return fchown(folder, uid, gid) < 0 ? -errno : 0;
}

int socket_folder_make(const char *path, uid_t uid, gid_t gid)
{
	AUTO_CLOSE int folder = -1;
	const char *name;
	AUTO_CLOSE int parent = folder_open_parent(path, &name);
	struct stat status;
	int r;

	if (parent < 0)
		return parent;
	folder = folder_open_folder(parent, name, O_RDONLY);
	if (folder == -ENOENT)
		return folder_make(parent, name, uid, gid);
	if (folder >= 0 && fstat(folder, &status) < 0)
		return error_origin(-errno);
	if (folder >= 0 && status.st_uid == uid)
		return folder_close_to_others(folder, uid, gid);
	r = folder_set_aside(parent, name);
	if (r < 0)
		return r;
	sweep(parent, UINT_MAX);
	return folder_make(parent, name, uid, gid);
}

/* ---- With the daemon's rights: the folder of all ---- */

static bool folder_is_mount(int folder)
{
	struct statx status;

	return statx(folder, "", AT_EMPTY_PATH, 0, &status) == 0 &&
	       (status.stx_attributes & STATX_ATTR_MOUNT_ROOT);
}

static void folder_find_entry(struct sweep *sweep, int folder, const char *name)
{
	sweep->progress = true;
	sweep->left--;
}

int socket_folder_prepare(const char *parent)
{
	AUTO_CLOSE int folder = -1;
	struct sweep look = { .left = 1 };

	if (mkdir(parent, PARENT_MODE) < 0 && errno != EEXIST)
		return error_origin(-errno);
	folder = open(parent, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	/* Whatever the umask. */
	if (folder < 0 || fchmod(folder, PARENT_MODE) < 0)
		return error_origin(-errno);
	sweep(folder, UINT_MAX);
	if (folder_is_mount(folder) || geteuid() != 0)
		return 0;
	folder_each_entry(&look, folder, folder_find_entry);
	if (look.progress)
		return -ENOTEMPTY;
	return mount("vmms", parent, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, MOUNT_LIMITS) < 0
		       ? -errno
		       : 0;
}

void socket_folder_release(const char *parent)
{
	(void)umount2(parent, UMOUNT_NOFOLLOW);
}

/* ---- With the owner's ---- */

/* By name alone, since a path may be longer than an address. */
static int folder_make_socket(const char *path, const char *name, int flags,
			      struct sockaddr_un *address, int *ret_fd)
{
	int fd;

	if (chdir(path) < 0)
		return error_origin(-errno);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
	if (fd < 0)
		return error_origin(-errno);
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

	r = folder_make_socket(path, SOCKET_FOLDER_SOCKET, 0, &address, &fd);
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
	r = folder_make_socket(path, name, SOCK_NONBLOCK, &address, &fd);
	if (r < 0)
		return r;
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	*ret_fd = TAKE_FD(fd);
	return 0;
}
