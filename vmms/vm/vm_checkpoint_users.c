/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One VM: whether disks of others stand on an image of its checkpoints, which then may neither change nor
 * go. Asked by a process that has a copy of what the daemon knows, with the rights that it has: of an
 * image that it may not read it cannot tell.
 */
#include "common/base/path.h"
#include "common/image/image.h"
#include "vmms/image/image.h"
#include "vmms/vm/manager.h"
#include "vmms/vm/vm_checkpoint_internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

static bool users_name_parent(const char *path, char parent[static PATH_MAX])
{
	struct stat status;
	AUTO_CLOSE int path_fd = path_look(path, &status);
	AUTO_CLOSE int fd = path_fd < 0 || !S_ISREG(status.st_mode)
				    ? -1
				    : path_open(path_fd, O_RDONLY | O_NONBLOCK);
	struct image_parent_names names;
	struct vhdx vhdx;

	if (fd < 0 || vhdx_look_fd(fd, &vhdx) != 0 || !vhdx.has_parent)
		return false;
	names = (struct image_parent_names){ vhdx.parent.relative, vhdx.parent.volume,
					     vhdx.parent.absolute };
	return image_parent_find(path, &names, parent) == 0;
}

/* Whether the disk's image stands on that file. */
static bool users_stands_on(const struct definition_disk *disk, const struct stat *file)
{
	char path[PATH_MAX], parent[PATH_MAX];

	if (!disk->path || !disk->format || strcmp(disk->format, "vhdx") != 0)
		return false;
	snprintf(path, sizeof(path), "%s", disk->path);
	for (unsigned i = 0; i < IMAGE_CHAIN_MAX && users_name_parent(path, parent); i++) {
		struct stat status;

		if (stat(parent, &status) == 0 && status.st_dev == file->st_dev &&
		    status.st_ino == file->st_ino)
			return true;
		strcpy(path, parent);
	}
	return false;
}

static bool users_look(const struct definition *definition, const struct stat *file)
{
	for (size_t i = 0; definition && i < definition->disk_count; i++) {
		if (users_stands_on(&definition->disks[i], file))
			return true;
	}
	return false;
}

static bool users_look_at_vm(const struct vm *vm, const struct stat *file)
{
	const struct checkpoints *tree = vm->checkpoints.tree;

	if (users_look(vm->definition, file) || users_look(vm->pending, file))
		return true;
	for (size_t i = 0; tree && i < tree->count; i++) {
		if (users_look(tree->items[i].definition, file))
			return true;
	}
	return false;
}

const char *checkpoint_find_user(void *data, const struct stat *file)
{
	const struct vm *vm = data;

	list_for_each (link, &vm->manager->vms) {
		const struct vm *other = container_of(link, struct vm, link);

		if (other != vm && users_look_at_vm(other, file))
			return other->definition->name;
	}
	return NULL;
}
