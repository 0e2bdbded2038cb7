/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Disks that stand on others (common/image/vhdx_merge.h): read, brought into their parents, and told that these
 * are somewhere else. All that is opened is locked, so that no VM uses it meanwhile.
 */
#include "vmms/disk/disk_file.h"

#include "common/base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool chain_goes_on(void *data, uint64_t done, uint64_t total)
{
	return disk_work_goes_on(data, done, total);
}

/* Another file than that of the request, opened by the same rules. */
static int chain_open(struct disk_work *work, const char *path, bool writable,
		      struct disk_file *ret_file)
{
	struct disk_request request = *work->request;
	struct disk_work other = *work;

	request.path = (char *)path;
	other.request = &request;
	return disk_file_open(&other, writable, false, ret_file);
}

/* What the image says of its parent. */
static int chain_look(struct disk_work *work, const struct disk_file *file, struct vhdx *vhdx)
{
	struct vhdx_patches patches;
	uint64_t size;
	int r = file->format == IMAGE_VHDX ? vhdx_open_fd(file->fd, false, vhdx, &patches, &size)
					   : -ENOTSUP;

	if (r)
		return disk_file_refuse(work, file, r);
	vhdx_patches_deinit(&patches);
	if (!vhdx->has_parent)
		return failure_set(work->failure, DBUS_ERROR_INVALID_STATE,
				   "'%s' stands on no other disk", work->request->path);
	return 0;
}

/* ---- What is seen through a chain ---- */

/* The parent of the image that the descriptor is of, which lies at `path`, takes its place there. */
static int chain_open_parent(struct disk_work *work, int fd, char path[static PATH_MAX],
			     struct disk_file *ret_parent)
{
	struct image_parent_names names;
	struct vhdx_patches patches;
	char parent[PATH_MAX];
	struct vhdx vhdx;
	uint64_t size;
	int r = vhdx_open_fd(fd, false, &vhdx, &patches, &size);

	if (r > 0)
		return failure_set(work->failure, DBUS_ERROR_RESOURCE, "'%s' cannot be used: %s",
				   path, vhdx_error_text(r));
	if (r < 0)
		return disk_work_refuse(work, path, "cannot be read", r);
	vhdx_patches_deinit(&patches);
	if (!vhdx.has_parent)
		return 0;
	names = (struct image_parent_names){ vhdx.parent.relative, vhdx.parent.volume,
					     vhdx.parent.absolute };
	r = image_parent_find(path, &names, parent);
	if (r < 0)
		return disk_work_refuse(work, path, "does not say where its parent is", r);
	strcpy(path, parent);
	r = chain_open(work, path, false, ret_parent);
	if (r < 0)
		return r;
	if (ret_parent->format == IMAGE_VHDX)
		return 1;
	close(ret_parent->fd);
	return failure_set(work->failure, DBUS_ERROR_RESOURCE, "'%s' is no VHDX", path);
}

static int chain_collect(struct disk_work *work, struct disk_chain *chain)
{
	char path[PATH_MAX];
	int r = 1;

	snprintf(path, sizeof(path), "%s", work->request->path);
	while (r == 1) {
		struct disk_file parent;

		r = chain_open_parent(work, chain->fds[chain->count - 1], path, &parent);
		if (r == 1 && chain->count == DISK_CHAIN_MAX) {
			close(parent.fd);
			return failure_set(work->failure, DBUS_ERROR_RESOURCE,
					   "'%s' stands on more than %d others",
					   work->request->path, DISK_CHAIN_MAX - 1);
		}
		if (r == 1)
			chain->fds[chain->count++] = parent.fd;
	}
	return r;
}

void disk_chain_close(struct disk_chain *chain)
{
	/* The first is the file's own. */
	while (chain->count > 1)
		close(chain->fds[--chain->count]);
	chain->count = 0;
}

int disk_chain_open(struct disk_work *work, const struct disk_file *file, struct disk_chain *chain,
		    struct image_content **ret_content)
{
	struct image_content *content = NULL;
	int r = 0;

	*chain = (struct disk_chain){ .fds = { file->fd }, .count = 1 };
	if (file->format == IMAGE_VHDX)
		r = chain_collect(work, chain);
	if (r < 0)
		goto failed;
	r = image_content_open(chain->fds[chain->count - 1], file->format, false, &content);
	for (unsigned i = chain->count - 1; r == 0 && i-- > 0;)
		r = image_content_open_child(chain->fds[i], false, TAKE_PTR(content), &content);
	if (r == 0) {
		*ret_content = content;
		return 0;
	}
	r = disk_file_refuse(work, file, r);
failed:
	disk_chain_close(chain);
	return r;
}

/* ---- merge ---- */

/* The image is not needed any more. */
static int merge_remove(struct disk_work *work)
{
	AUTO_FREE char *folder = strdup(work->request->path);
	AUTO_CLOSE int fd = -1;

	if (!folder)
		return failure_no_memory(work->failure);
	*(strrchr(folder, '/') + 1) = '\0';
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (unlink(work->request->path) < 0 || fd < 0 || fsync(fd) < 0)
		return disk_work_refuse(work, work->request->path,
					"has been merged, but cannot be removed", errno);
	return 0;
}

static int merge_into(struct disk_work *work, const struct disk_file *file, const char *path)
{
	const struct vhdx_follower follower = { chain_goes_on, work };
	struct disk_file parent;
	int r = chain_open(work, path, true, &parent);

	if (r < 0)
		return r;
	r = parent.format == IMAGE_VHDX ? vhdx_merge_fd(parent.fd, file->fd, &follower)
					: VHDX_E_PARENT;
	close(parent.fd);
	if (r == -ENOSPC)
		return disk_work_refuse(work, path, "cannot take what is merged", r);
	return r ? disk_file_refuse(work, file, r) : 0;
}

static int merge_file(struct disk_work *work, const struct disk_file *file)
{
	char path[PATH_MAX];
	struct vhdx vhdx;
	struct image_parent_names names;
	int r = chain_look(work, file, &vhdx);

	if (r < 0)
		return r;
	names = (struct image_parent_names){ vhdx.parent.relative, vhdx.parent.volume,
					     vhdx.parent.absolute };
	r = image_parent_find(work->request->path, &names, path);
	if (r < 0)
		return disk_work_refuse(work, work->request->path,
					"does not say where its parent is", r);
	r = merge_into(work, file, path);
	if (r == 0)
		r = merge_remove(work);
	if (r == 0)
		work->found = json_make("path", json_object_new_string(path), "format",
					json_object_new_string("vhdx"), "size",
					json_object_new_int64((int64_t)vhdx.size), NULL);
	return r;
}

int disk_merge(struct disk_work *work)
{
	struct disk_file file;
	int r = disk_file_open(work, true, false, &file);

	if (r < 0)
		return r;
	r = merge_file(work, &file);
	close(file.fd);
	return r;
}

/* ---- rebase ---- */

static int rebase_refuse(struct disk_work *work, int error)
{
	const char *parent = work->request->parent;

	if (error == VHDX_E_PARENT)
		return failure_set(work->failure, DBUS_ERROR_INVALID_ARGUMENT,
				   "'%s' is not what '%s' was made on, or has been written since",
				   parent, work->request->path);
	if (error == -EILSEQ || error == -ENAMETOOLONG)
		return failure_set(work->failure, DBUS_ERROR_INVALID_ARGUMENT,
				   "a VHDX cannot name '%s' as its parent", parent);
	return error > 0 ? failure_set(work->failure, DBUS_ERROR_RESOURCE, "'%s': %s", parent,
				       vhdx_error_text(error))
			 : disk_work_refuse(work, parent, "cannot be named", error);
}

static int rebase_onto(struct disk_work *work, const struct disk_file *file,
		       const struct vhdx *image)
{
	const char *path = work->request->parent;
	struct disk_file parent;
	struct vhdx_patches patches;
	struct vhdx vhdx;
	uint64_t size;
	int r = chain_open(work, path, false, &parent);

	if (r < 0)
		return r;
	r = parent.format == IMAGE_VHDX ? vhdx_open_fd(parent.fd, false, &vhdx, &patches, &size)
					: VHDX_E_PARENT;
	close(parent.fd);
	if (r == 0)
		vhdx_patches_deinit(&patches);
	if (r == 0 && !vhdx_is_parent(image, &vhdx))
		r = VHDX_E_PARENT;
	if (r == 0)
		r = vhdx_rename_parent_fd(file->fd, work->request->path, path);
	return r ? rebase_refuse(work, r) : 0;
}

int disk_rebase(struct disk_work *work)
{
	struct disk_file file;
	struct vhdx vhdx;
	int r = disk_file_open(work, true, false, &file);

	if (r < 0)
		return r;
	r = chain_look(work, &file, &vhdx);
	if (r == 0)
		r = rebase_onto(work, &file, &vhdx);
	if (r == 0)
		work->found = json_make("path", json_object_new_string(work->request->path),
					"format", json_object_new_string("vhdx"), "parent",
					json_object_new_string(work->request->parent), NULL);
	close(file.fd);
	return r;
}
