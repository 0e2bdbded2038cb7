/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files of disks: those that are there, and new ones. */
#include "vmms/disk/disk_file.h"

#include "common/base/path.h"
#include "common/base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PATH_SHOWN  512
#define SECTOR_SIZE 512

static const char *file_show(const char *path, char shown[static PATH_SHOWN])
{
	text_repair(shown, PATH_SHOWN, path, strlen(path));
	return shown;
}

/* ---- One that is there ---- */

static int file_refuse_use(struct disk_work *work, const char *path)
{
	struct disk_user user = { 0 };
	char shown[PATH_SHOWN];
	struct stat status;

	if (stat(path, &status) == 0)
		(void)work->config->find_vm(work->config->data, &status, &user);
	if (user.name && !user.checkpoint)
		return failure_set(work->failure, DBUS_ERROR_DISK_IN_USE,
				   "'%s' is in use: it is a disk of VM '%s', which runs; turn that "
				   "off first",
				   file_show(path, shown), user.name);
	return failure_set(work->failure, DBUS_ERROR_DISK_IN_USE,
			   "'%s' is in use by a VM, or by another program that has locked it",
			   file_show(path, shown));
}

/* A guest that goes on from its saved state has much of its disks in memory. */
static int file_refuse_saved(struct disk_work *work, const struct disk_user *user)
{
	char shown[PATH_SHOWN];

	return failure_set(work->failure, DBUS_ERROR_DISK_IN_USE,
			   "'%s' is a disk of %s%s%s, which is saved, and could not go on if it "
			   "changed; start and shut down that VM, or drop its saved state",
			   file_show(work->request->path, shown), user->name ? "VM '" : "a VM",
			   user->name ? user->name : "", user->name ? "'" : "");
}

static int file_refuse_checkpoint(struct disk_work *work, const struct disk_user *user)
{
	char shown[PATH_SHOWN];

	return failure_set(
		work->failure, DBUS_ERROR_DISK_IN_USE,
		"'%s' is a disk of a checkpoint of %s%s%s, which would be worth nothing if "
		"it changed; delete those that stand on it first ('vmctl checkpoint list')",
		file_show(work->request->path, shown), user->name ? "VM '" : "a VM",
		user->name ? user->name : "", user->name ? "'" : "");
}

static int file_refuse_image(struct disk_work *work, const char *path, int error)
{
	char shown[PATH_SHOWN];

	if (error == IMAGE_E_IN_USE)
		return file_refuse_use(work, path);
	return failure_set(work->failure, DBUS_ERROR_RESOURCE, "'%s' cannot be used: %s",
			   file_show(path, shown), image_error_text(error));
}

/* Without a lock, to be looked at only. */
static int file_open_in_use(const char *path, int *ret_fd)
{
	struct stat status;
	AUTO_CLOSE int path_fd = path_look(path, &status);

	if (path_fd < 0)
		return -errno;
	*ret_fd = path_open(path_fd, O_RDONLY | O_NONBLOCK);
	return *ret_fd < 0 ? -errno : 0;
}

static int file_open(struct disk_work *work, bool writable, bool use, struct disk_file *file)
{
	const struct image_options options = { .read_only = !writable, .sector_size = SECTOR_SIZE };
	const char *path = work->request->path;
	struct image image = { .fd = -1 };
	struct disk_user user = { 0 };
	int r = image_open(path, &options, &image);

	if (r == IMAGE_E_IN_USE && use) {
		file->in_use = true;
		r = file_open_in_use(path, &image.fd);
	}
	if (r)
		return file_refuse_image(work, path, r);
	file->fd = image.fd;
	if (fstat(file->fd, &file->status) < 0)
		return disk_work_refuse(work, path, "cannot be looked at", errno);
	/* Else it is not worth looking at the files of all VMs. */
	if (!file->in_use && !writable)
		return 0;
	if (!work->config->find_vm(work->config->data, &file->status, &user))
		return 0;
	file->vm = user.name;
	if (writable && user.checkpoint)
		return file_refuse_checkpoint(work, &user);
	return writable && user.saved ? file_refuse_saved(work, &user) : 0;
}

static int file_refuse_format(struct disk_work *work, const struct image_names *names, int error)
{
	static const char *const texts[] = {
		[IMAGE_FORMAT_E_OTHER] = "it is not of that format",
		[IMAGE_FORMAT_E_NAMES] = "it names another file in a way that is not followed",
		[IMAGE_FORMAT_E_UNKNOWN] = "it stands on a file of an unknown format",
		[IMAGE_FORMAT_E_PROTOCOL] = "what it stands on is no file",
		[IMAGE_FORMAT_E_BROKEN] = "its head makes no sense",
	};
	char shown[PATH_SHOWN];

	if (error < 0)
		return disk_work_refuse(work, work->request->path, "cannot be read", error);
	if (error == 0)
		return failure_set(work->failure, DBUS_ERROR_RESOURCE,
				   "'%s' stands on another file, '%s', which this does not follow; "
				   "'qemu-img convert' makes one image of both",
				   file_show(work->request->path, shown), names->named);
	return failure_set(work->failure, DBUS_ERROR_RESOURCE, "'%s' cannot be used: %s",
			   file_show(work->request->path, shown), texts[error]);
}

/* What a VHDX stands on is not opened, or by the same rules as the file itself. */
static bool file_follows(enum disk_operation operation)
{
	return operation == DISK_CHECK || operation == DISK_CONVERT || operation == DISK_MERGE ||
	       operation == DISK_REBASE;
}

/*
 * A guest that had the file as its raw disk may have written the head of another format. It could
 * have nothing done but what is done with its own file: what names others is refused.
 */
static int file_find_format(struct disk_work *work, struct disk_file *file)
{
	off_t size = lseek(file->fd, 0, SEEK_END);
	struct image_bytes bytes = image_bytes_of_file(file->fd, size > 0 ? (uint64_t)size : 0);
	struct image_names names = { 0 };
	int r = 0;

	if (work->request->format)
		file->format = (enum image_format)image_format_find(work->request->format);
	else
		r = image_format_detect(&bytes, &file->format);
	/* Of a VHDX our own reader tells, and follows nothing. */
	if (r == 0 && file->format == IMAGE_VHDX && work->request->operation == DISK_INFO)
		return 0;
	if (r == 0 && file->format != IMAGE_RAW)
		r = image_format_check(&bytes, file->format, &names);
	if (r == IMAGE_FORMAT_E_NAMES && file->format == IMAGE_VHDX &&
	    file_follows(work->request->operation))
		return 0;
	return r || names.named[0] ? file_refuse_format(work, &names, r) : 0;
}

int disk_file_open(struct disk_work *work, bool writable, bool use, struct disk_file *ret_file)
{
	struct disk_file file = { .fd = -1 };
	int r = file_open(work, writable, use, &file);

	if (r == 0)
		r = file_find_format(work, &file);
	if (r < 0) {
		close_fdp(&file.fd);
		return r;
	}
	*ret_file = file;
	return 0;
}

int disk_file_refuse(struct disk_work *work, const struct disk_file *file, int error)
{
	char shown[PATH_SHOWN];

	file_show(work->request->path, shown);
	if (error == -ECANCELED)
		return disk_work_stop(work);
	if (error == -ENOTSUP)
		return failure_set(work->failure, DBUS_ERROR_RESOURCE,
				   "that cannot be done with '%s', a %s image", shown,
				   image_format_names[file->format]);
	return failure_set(work->failure, DBUS_ERROR_RESOURCE, "'%s' cannot be used: %s", shown,
			   vhdx_error_text(error));
}

/* ---- A new one ---- */

static int new_refuse(struct disk_work *work, const struct disk_new *new, int error)
{
	char shown[PATH_SHOWN];

	if (error == EEXIST)
		return failure_set(work->failure, DBUS_ERROR_EXISTS,
				   "there is '%s' already; it is left as it is",
				   file_show(new->path, shown));
	return disk_work_refuse(work, new->path, "cannot be made", error);
}

static int new_open_folder(struct disk_work *work, struct disk_new *new)
{
	const char *slash = strrchr(new->path, '/');
	AUTO_FREE char *folder = strndup(new->path, (size_t)(slash + 1 - new->path));
	struct stat status;

	if (!folder)
		return failure_no_memory(work->failure);
	if (slash[1] == '\0' || strcmp(slash, "/.") == 0 || strcmp(slash, "/..") == 0 ||
	    snprintf(new->name, sizeof(new->name), "%s", slash + 1) >= (int)sizeof(new->name))
		return new_refuse(work, new, slash[1] == '\0' ? EISDIR : EINVAL);
	/* Its own name as far as it fits. */
	snprintf(new->temporary, sizeof(new->temporary), ".%.220s.vmms-new", new->name);
	AUTO_CLOSE int path_fd = path_look(folder, &status);
	if (path_fd < 0)
		return new_refuse(work, new, errno);
	if (!S_ISDIR(status.st_mode))
		return new_refuse(work, new, ENOTDIR);
	new->folder = openat(path_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	/* Who may not list it may still make files there. */
	if (new->folder < 0)
		new->folder = openat(path_fd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	return new->folder < 0 ? new_refuse(work, new, errno) : 0;
}

static bool new_lock(int fd)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	return fcntl(fd, F_OFD_SETLK, &lock) == 0;
}

/* Nobody has it locked: whoever made it was killed. */
static int new_remove_stale(struct disk_work *work, struct disk_new *new)
{
	AUTO_CLOSE int fd =
		openat(new->folder, new->temporary, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	char shown[PATH_SHOWN];

	if (fd < 0)
		return errno == ENOENT ? 0 : new_refuse(work, new, errno);
	if (!new_lock(fd))
		return failure_set(work->failure, DBUS_ERROR_BUSY, "'%s' is being made already",
				   file_show(new->path, shown));
	return unlinkat(new->folder, new->temporary, 0) < 0 ? new_refuse(work, new, errno) : 0;
}

static int new_open(struct disk_work *work, struct disk_new *new)
{
	const int flags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
	int r;

	new->fd = openat(new->folder, new->temporary, flags, 0600);
	if (new->fd < 0 && errno == EEXIST) {
		r = new_remove_stale(work, new);
		if (r < 0)
			return r;
		new->fd = openat(new->folder, new->temporary, flags, 0600);
	}
	if (new->fd < 0)
		return new_refuse(work, new, errno);
	/* Where there are no locks, nobody can have taken it either. */
	(void)new_lock(new->fd);
	return 0;
}

static int new_begin(struct disk_work *work, const char *path, bool beside,
		     struct disk_new *ret_new)
{
	struct disk_new new = { .path = path, .folder = -1, .fd = -1 };
	int r = new_open_folder(work, &new);

	/* So that it is known before the work is done; the end looks again. */
	if (r == 0 && !beside && faccessat(new.folder, new.name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		r = new_refuse(work, &new, EEXIST);
	if (r == 0)
		r = new_open(work, &new);
	if (r < 0) {
		close_fdp(&new.folder);
		return r;
	}
	*ret_new = new;
	return 0;
}

int disk_new_begin(struct disk_work *work, const char *path, struct disk_new *ret_new)
{
	return new_begin(work, path, false, ret_new);
}

int disk_new_begin_beside(struct disk_work *work, const char *path, struct disk_new *ret_new)
{
	return new_begin(work, path, true, ret_new);
}

void disk_new_abandon(struct disk_new *new)
{
	(void)unlinkat(new->folder, new->temporary, 0);
	close_fdp(&new->fd);
	close_fdp(&new->folder);
}

/* Where the file system cannot rename so, a second name first. */
static int new_rename(const struct disk_new *new)
{
	if (renameat2(new->folder, new->temporary, new->folder, new->name, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -errno;
	if (linkat(new->folder, new->temporary, new->folder, new->name, 0) < 0)
		return -errno;
	(void)unlinkat(new->folder, new->temporary, 0);
	return 0;
}

static int new_conclude(struct disk_work *work, struct disk_new *new, bool replace)
{
	int r = fsync(new->fd) < 0 ? -errno : 0;

	if (r == 0 && work->stopped)
		r = -ECANCELED;
	if (r == 0 && replace)
		r = renameat(new->folder, new->temporary, new->folder, new->name) < 0 ? -errno : 0;
	else if (r == 0)
		r = new_rename(new);
	if (r < 0) {
		disk_new_abandon(new);
		return r == -ECANCELED ? disk_work_stop(work) : new_refuse(work, new, -r);
	}
	/* A folder that may not be read cannot be flushed either. */
	(void)fsync(new->folder);
	close_fdp(&new->fd);
	close_fdp(&new->folder);
	return 0;
}

int disk_new_commit(struct disk_work *work, struct disk_new *new)
{
	return new_conclude(work, new, false);
}

int disk_new_replace(struct disk_work *work, struct disk_new *new)
{
	return new_conclude(work, new, true);
}
