/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Disks that get another size, and files that give back what they do not need. */
#include "vmms/disk/disk_file.h"
#include "vmms/disk/qemu_img.h"

#include "common/base/cleanup.h"
#include "common/base/parse.h"
#include "common/base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PIECE (1u << 20)
#define GRAIN (64u << 10) /* zeros of which are given back */

/* ---- What a guest would lose ---- */

static int change_read(void *data, uint64_t offset, void *buffer, size_t size)
{
	return image_content_read(data, offset, buffer, size);
}

static int change_refuse_partitions(struct disk_work *work, const struct partitions *partitions)
{
	char least[PARSE_SIZE_TEXT];

	parse_size_format(partitions->end + partitions->room, least);
	return failure_set(work->failure, DBUS_ERROR_INVALID_STATE,
			   "'%s' has partitions that would be cut off: it cannot become smaller "
			   "than %s; make the last partition smaller in the guest first",
			   work->request->path, least);
}

/* A disk that becomes smaller. */
static int change_check_partitions(struct disk_work *work, const struct disk_file *file)
{
	CLEANUP(image_content_freep) struct image_content *content = NULL;
	struct partitions partitions;
	struct partitions_source source = { .read = change_read };
	const struct vhdx *vhdx;
	int r = image_content_open(file->fd, file->format, false, &content);

	if (r)
		return disk_file_refuse(work, file, r);
	source.data = content;
	source.size = image_content_size(content);
	vhdx = image_content_vhdx(content);
	if (work->request->size >= source.size)
		return 0;
	if (!work->request->shrink)
		return failure_set(
			work->failure, DBUS_ERROR_INVALID_STATE,
			"'%s' would become smaller, and lose what is behind its new end; "
			"if that is wanted, say --shrink",
			work->request->path);
	r = partitions_read(&source, vhdx ? vhdx->sector_size : 0, &partitions);
	if (r)
		return disk_file_refuse(work, file, r);
	return work->request->size < partitions.end + partitions.room
		       ? change_refuse_partitions(work, &partitions)
		       : 0;
}

/* ---- What is told ---- */

static void change_describe(struct disk_work *work, const struct disk_file *file)
{
	struct stat status;

	/* What has been compacted may be another file now. */
	if (stat(work->request->path, &status) < 0)
		return;
	work->found = json_make("path", json_object_new_string(work->request->path), "format",
				json_object_new_string(image_format_names[file->format]),
				"file_size", json_object_new_int64(status.st_size), "allocated",
				json_object_new_int64((int64_t)status.st_blocks * 512), NULL);
}

/* ---- resize ---- */

static int resize_raw(struct disk_work *work, const struct disk_file *file)
{
	if (!S_ISREG(file->status.st_mode))
		return failure_set(work->failure, DBUS_ERROR_INVALID_ARGUMENT,
				   "'%s' is a device of the host, whose size vmms cannot change",
				   work->request->path);
	if (work->request->size % 512 || work->request->size > IMAGE_RAW_MAX)
		return failure_set(work->failure, DBUS_ERROR_INVALID_ARGUMENT,
				   "the size has to be a multiple of 512 bytes");
	if (ftruncate(file->fd, (off_t)work->request->size) < 0 || fsync(file->fd) < 0)
		return disk_work_refuse(work, work->request->path, "cannot be resized", errno);
	return 0;
}

/* Of a fixed image, what has been added is there for certain. */
static int resize_allocate(const struct disk_file *file, const struct vhdx *vhdx, uint64_t before,
			   uint64_t after)
{
	int r = vhdx->fixed && after > before
			? posix_fallocate(file->fd, (off_t)before, (off_t)(after - before))
			: 0;

	return r == EOPNOTSUPP || r == EINVAL ? 0 : -r;
}

static int resize_vhdx(struct disk_work *work, const struct disk_file *file)
{
	off_t size = lseek(file->fd, 0, SEEK_END);
	struct vhdx_file below = vhdx_file_of(&file->fd, size > 0 ? (uint64_t)size : 0);
	struct vhdx_patches patches;
	struct vhdx vhdx;
	int r = vhdx_open(&below, true, &vhdx, &patches);

	if (r)
		return disk_file_refuse(work, file, r);
	vhdx_patches_deinit(&patches);
	r = vhdx_resize(&below, &vhdx, work->request->size);
	if (r == 0)
		r = resize_allocate(file, &vhdx, (uint64_t)size, below.size);
	if (r == -EINVAL)
		return failure_set(work->failure, DBUS_ERROR_INVALID_ARGUMENT,
				   "the size has to be a multiple of %u bytes, and at most 64 TiB",
				   vhdx.sector_size);
	return r ? disk_file_refuse(work, file, r) : 0;
}

/* ---- Of a VM that runs ---- */

static int grow_refuse(struct disk_work *work, const struct disk_user *user, int error)
{
	if (error == -EOPNOTSUPP)
		return failure_set(work->failure, DBUS_ERROR_HOST_NOT_CAPABLE,
				   "the file system of '%s' cannot make a file larger that is in "
				   "use; turn VM '%s' off first",
				   work->request->path, user->name);
	return disk_work_refuse(work, work->request->path, "cannot be made larger", error);
}

/*
 * Room for the last sector: by that a file never becomes smaller, and no byte changes that is there,
 * whoever else makes it larger.
 */
static int grow_file(int fd, uint64_t size)
{
	off_t before = lseek(fd, 0, SEEK_END);

	if (before < 0)
		return -errno;
	if ((uint64_t)before > size)
		return -ERANGE;
	if (fallocate(fd, 0, (off_t)(size - 512), 512) < 0 || fsync(fd) < 0)
		return -errno;
	return 0;
}

static int grow_raw(struct disk_work *work, const struct disk_user *user, int fd)
{
	struct disk_file file = { .fd = fd, .format = IMAGE_RAW };
	int r;

	if (work->request->size % 512 || work->request->size > IMAGE_RAW_MAX)
		return failure_set(work->failure, DBUS_ERROR_INVALID_ARGUMENT,
				   "the size has to be a multiple of 512 bytes");
	r = grow_file(fd, work->request->size);
	if (r == -ERANGE)
		return failure_set(work->failure, DBUS_ERROR_INVALID_STATE,
				   "'%s' is a disk of VM '%s', which runs: it can become larger, "
				   "and smaller when that is off",
				   work->request->path, user->name);
	if (r < 0)
		return grow_refuse(work, user, r);
	disk_work_tell_larger(work, user);
	change_describe(work, &file);
	json_add(&work->found, "size", json_object_new_int64((int64_t)work->request->size));
	return 0;
}

/* Whether it is a raw file that a VM has now. It is not locked: the VM has it so. */
static bool grow_is_wanted(struct disk_work *work, int path_fd, const struct stat *status,
			   struct disk_user *ret_user)
{
	return path_fd >= 0 && S_ISREG(status->st_mode) &&
	       work->config->find_vm(work->config->data, status, ret_user) && ret_user->may_grow;
}

static int disk_grow(struct disk_work *work, const struct disk_user *user, int path_fd)
{
	AUTO_CLOSE int fd = path_open(path_fd, O_RDWR | O_NONBLOCK);

	if (fd < 0)
		return disk_work_refuse(work, work->request->path, "cannot be opened", errno);
	return grow_raw(work, user, fd);
}

/* ---- Of one that nobody uses ---- */

static int resize_foreign(struct disk_work *work, const struct disk_file *file)
{
	const struct qemu_img_file image = { file->fd, file->format, true };
	uint64_t size;
	int r = qemu_img_measure(work, &image, &size);

	if (r < 0)
		return r;
	if (work->request->size < size)
		return failure_set(work->failure, DBUS_ERROR_INVALID_STATE,
				   "'%s', a %s image, cannot become smaller: convert it to vhdx or "
				   "raw first, which can",
				   work->request->path, image_format_names[file->format]);
	return qemu_img_grow(work, &image, work->request->size);
}

static int resize_file(struct disk_work *work, const struct disk_file *file)
{
	int r;

	if (file->format != IMAGE_RAW && file->format != IMAGE_VHDX)
		return resize_foreign(work, file);
	r = change_check_partitions(work, file);
	if (r < 0)
		return r;
	return file->format == IMAGE_RAW ? resize_raw(work, file) : resize_vhdx(work, file);
}

int disk_resize(struct disk_work *work)
{
	struct stat status;
	struct disk_user user = { 0 };
	struct disk_file file;
	AUTO_CLOSE int path_fd = path_look(work->request->path, &status);
	int r;

	if (grow_is_wanted(work, path_fd, &status, &user))
		return disk_grow(work, &user, path_fd);
	r = disk_file_open(work, true, false, &file);
	if (r < 0)
		return r;
	r = resize_file(work, &file);
	if (r == 0) {
		change_describe(work, &file);
		json_add(&work->found, "size", json_object_new_int64((int64_t)work->request->size));
	}
	close(file.fd);
	return r;
}

/* ---- compact ---- */

static bool compact_goes_on(void *data, uint64_t done, uint64_t total)
{
	return disk_work_goes_on(data, done, total);
}

static int compact_vhdx(struct disk_work *work, const struct disk_file *file)
{
	const struct vhdx_follower follower = { compact_goes_on, work };
	off_t size = lseek(file->fd, 0, SEEK_END);
	struct vhdx_file below = vhdx_file_of(&file->fd, size > 0 ? (uint64_t)size : 0);
	struct vhdx_patches patches;
	struct vhdx vhdx;
	int r = vhdx_open(&below, true, &vhdx, &patches);

	if (r)
		return disk_file_refuse(work, file, r);
	vhdx_patches_deinit(&patches);
	if (vhdx.fixed)
		return failure_set(work->failure, DBUS_ERROR_INVALID_STATE,
				   "'%s' is a fixed image, which has all of its space by design; "
				   "'vmctl disk convert' makes a dynamic one of it",
				   work->request->path);
	r = vhdx_compact(&below, &vhdx, &follower);
	return r ? disk_file_refuse(work, file, r) : 0;
}

/* Zeros of a piece of data become holes. */
static int compact_piece(const struct disk_file *file, uint64_t offset, const uint8_t *bytes,
			 size_t size)
{
	for (size_t at = 0; at < size; at += GRAIN) {
		size_t part = MIN(size - at, (size_t)GRAIN);

		if (bytes[at] || memcmp(bytes + at, bytes + at + 1, part - 1) != 0)
			continue;
		if (fallocate(file->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			      (off_t)(offset + at), (off_t)part) < 0)
			return -errno;
	}
	return 0;
}

static int compact_raw_content(struct disk_work *work, const struct disk_file *file,
			       struct image_content *content)
{
	AUTO_FREE uint8_t *buffer = malloc(PIECE);
	uint64_t offset = 0, size = image_content_size(content);
	int r = buffer ? 0 : -ENOMEM;

	while (r == 0 && offset < size) {
		struct content_run run;
		size_t part;

		r = image_content_find(content, offset, &run);
		if (r)
			break;
		part = MIN(run.length, (uint64_t)PIECE - offset % GRAIN);
		if (run.kind == CONTENT_DATA) {
			r = image_content_read_run(&run, 0, buffer, part);
			if (r == 0)
				r = compact_piece(file, offset, buffer, part);
		}
		offset += run.kind == CONTENT_DATA ? part : run.length;
		if (r == 0 && !disk_work_goes_on(work, offset, size))
			r = -ECANCELED;
	}
	return r;
}

static int compact_raw(struct disk_work *work, const struct disk_file *file)
{
	struct image_content *content;
	int r = image_content_open(file->fd, file->format, false, &content);

	if (r == 0) {
		r = compact_raw_content(work, file, content);
		image_content_free(content);
	}
	return r ? disk_file_refuse(work, file, r) : 0;
}

/* A copy takes its place. */
static int compact_qcow2(struct disk_work *work, const struct disk_file *file)
{
	const struct qemu_img_file source = { .fd = file->fd, .format = file->format };
	AUTO_FREE char *path = realpath(work->request->path, NULL);
	struct disk_new new;
	struct qemu_img_file target = { .format = IMAGE_QCOW2, .writable = true };
	uint64_t size;
	int r = path ? qemu_img_measure(work, &source, &size)
		     : disk_work_refuse(work, work->request->path, "cannot be found", errno);

	/* In the place of the file, not of a link that leads there. */
	if (r == 0)
		r = disk_new_begin_beside(work, path, &new);
	if (r < 0)
		return r;
	target.fd = new.fd;
	r = qcow2_make(new.fd, size);
	if (r == 0 && fchmod(new.fd, file->status.st_mode & 0777) < 0)
		r = -errno;
	if (r < 0)
		r = disk_work_refuse(work, work->request->path, "cannot be copied", r);
	else
		r = qemu_img_convert(work, &source, &target);
	if (r == 0)
		return disk_new_replace(work, &new);
	disk_new_abandon(&new);
	return r;
}

int disk_compact(struct disk_work *work)
{
	struct disk_file file;
	int r = disk_file_open(work, true, false, &file);

	if (r < 0)
		return r;
	if (file.format == IMAGE_VHDX)
		r = compact_vhdx(work, &file);
	else if (file.format == IMAGE_RAW)
		r = compact_raw(work, &file);
	else if (file.format == IMAGE_QCOW2)
		r = compact_qcow2(work, &file);
	else
		r = disk_file_refuse(work, &file, -ENOTSUP);
	if (r == 0)
		change_describe(work, &file);
	close(file.fd);
	return r;
}
