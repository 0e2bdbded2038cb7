/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * All VMs of the daemon: which of them has a disk image open. The locks of images decide who may have
 * them; this says whose they are, for the messages, and knows of what has no lock.
 */
#include "vmms/vm/manager_internal.h"

#include <string.h>
#include <sys/stat.h>

static bool manager_is_same_file(const struct stat *a, const struct stat *b)
{
	if (S_ISBLK(a->st_mode) && S_ISBLK(b->st_mode))
		return a->st_rdev == b->st_rdev;
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

static bool manager_is_disk(const struct definition_disk *disk, const struct stat *image)
{
	struct stat status;

	return disk->path && stat(disk->path, &status) == 0 && manager_is_same_file(&status, image);
}

static bool manager_vm_uses(const struct vm *vm, const struct stat *image)
{
	for (size_t i = 0; i < vm->definition->disk_count; i++) {
		if (manager_is_disk(&vm->definition->disks[i], image))
			return true;
	}
	return false;
}

static bool manager_vm_writes(const struct vm *vm, const struct stat *image)
{
	for (size_t i = 0; i < vm->definition->disk_count; i++) {
		if (!vm->definition->disks[i].read_only &&
		    manager_is_disk(&vm->definition->disks[i], image))
			return true;
	}
	return false;
}

/* A VM that asks while it has no worker is only about to open them. */
static bool manager_has_images_open(const struct vm *vm, const struct vm *asking)
{
	return vm_is_up(vm) && (vm->run.worker || vm != asking);
}

const char *manager_disk_user(void *data, const char *path)
{
	const struct vm *asking = data;
	struct stat image;

	if (stat(path, &image) < 0)
		return NULL;
	list_for_each (link, &asking->manager->vms) {
		struct vm *vm = container_of(link, struct vm, link);

		if (manager_has_images_open(vm, asking) && manager_vm_uses(vm, &image))
			return manager_owner_knows(asking->definition->owner, vm)
				       ? vm->definition->name
				       : NULL;
	}
	return NULL;
}

/* Images that it has may name others, which are not known here. */
static bool manager_vm_may_use(const struct vm *vm, const struct stat *image)
{
	for (size_t i = 0; i < vm->definition->disk_count; i++) {
		if (strcmp(vm->definition->disks[i].format, "raw") != 0)
			return true;
	}
	return manager_vm_uses(vm, image);
}

static bool manager_owner_uses(const struct vm *asking, const char *path, bool itself)
{
	struct stat image;

	if (stat(path, &image) < 0)
		return false;
	list_for_each (link, &asking->manager->vms) {
		const struct vm *vm = container_of(link, struct vm, link);

		if (manager_has_images_open(vm, asking) && (itself || vm != asking) &&
		    strcmp(vm_owner(vm), vm_owner(asking)) == 0 && manager_vm_may_use(vm, &image))
			return true;
	}
	return false;
}

bool manager_owner_uses_disk(void *data, const char *path)
{
	return manager_owner_uses(data, path, true);
}

bool manager_owner_uses_disk_elsewhere(void *data, const char *path)
{
	return manager_owner_uses(data, path, false);
}

bool manager_disk_is_written(void *data, const char *path)
{
	const struct vm *asking = data;
	struct stat image;

	if (stat(path, &image) < 0)
		return false;
	list_for_each (link, &asking->manager->vms) {
		const struct vm *vm = container_of(link, struct vm, link);

		if (vm != asking && manager_has_images_open(vm, asking) &&
		    manager_vm_writes(vm, &image))
			return true;
	}
	return false;
}

struct resources_request manager_files_request(struct vm *vm)
{
	return (struct resources_request){
		.definition = vm->definition,
		.user = manager_disk_user,
		.owner_uses = manager_owner_uses_disk,
		.is_written = manager_disk_is_written,
		.user_data = vm,
	};
}
