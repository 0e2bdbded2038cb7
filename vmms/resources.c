/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a worker needs and may not open itself. */
#include "vmms/resources.h"

#include "common/image.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

void resources_deinit(struct resources *resources)
{
	for (size_t i = 0; i < resources->count; i++)
		close_fdp(&resources->items[i].fd);
	resources->count = 0;
}

void resources_add(struct resources *resources, const char *name, int fd)
{
	size_t i = resources->count++;

	snprintf(resources->items[i].name, sizeof(resources->items[i].name), "%s", name);
	resources->items[i].fd = fd;
}

/* ---- The hypervisor ---- */

static int open_hypervisor(struct resources *resources, const char *path, struct failure *failure)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);

	if (fd >= 0) {
		resources_add(resources, "kvm", fd);
		return 0;
	}
	if (errno == ENOENT || errno == ENODEV || errno == ENXIO)
		return failure_set(
			failure, DBUS_ERROR_HOST_NOT_CAPABLE,
			"there is no KVM on this host (%s: %s); enable virtualisation in "
			"its firmware and load kvm_intel or kvm_amd, then see 'vmctl "
			"host'",
			path, strerror(errno));
	return failure_set(failure, DBUS_ERROR_HOST_NOT_CAPABLE,
			   "vmms cannot use %s: %s; give its user access to that device", path,
			   strerror(errno));
}

/* ---- Files to boot from ---- */

static int open_file(struct resources *resources, const char *name, const char *path,
		     struct failure *failure)
{
	AUTO_CLOSE int fd = -1;
	struct stat status;

	/* Non-blocking, so that a FIFO does not hold up the daemon. */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &status) < 0)
		return failure_set(failure, DBUS_ERROR_RESOURCE,
				   "cannot open the %s '%s': %s; correct boot.%s in the VM's "
				   "definition",
				   name, path, strerror(errno), name);
	if (!S_ISREG(status.st_mode))
		return failure_set(failure, DBUS_ERROR_RESOURCE,
				   "the %s '%s' is not a file; correct boot.%s in the VM's "
				   "definition",
				   name, path, name);
	resources_add(resources, name, TAKE_FD(fd));
	return 0;
}

/* ---- Disks ---- */

static int disk_failure(const struct definition_disk *disk, int error, resources_user_fn user,
			void *data, struct failure *failure)
{
	const char *vm;

	if (error != IMAGE_E_IN_USE)
		return failure_set(
			failure, DBUS_ERROR_RESOURCE,
			"cannot use disk image '%s' (controller %u, lun %u): %s; correct the "
			"path, or the image",
			disk->path, disk->controller, disk->lun, image_error_text(error));
	vm = user ? user(data, disk->path) : NULL;
	if (vm)
		return failure_set(failure, DBUS_ERROR_DISK_IN_USE,
				   "disk image '%s' is in use by VM '%s'; stop that VM first, or "
				   "make the disk read-only in both",
				   disk->path, vm);
	return failure_set(failure, DBUS_ERROR_DISK_IN_USE,
			   "disk image '%s' is in use by another process, mounted, or named twice "
			   "in the VM's definition; lsof(8) and lsblk(8) show by whom",
			   disk->path);
}

int resources_open_disk(const struct definition_disk *disk, resources_user_fn user, void *data,
			int *ret_fd, struct failure *failure)
{
	struct image_options options = { .read_only = disk->read_only,
					 .direct = disk->cache == DEFINITION_CACHE_DIRECT,
					 .sector_size = disk->sector_size };
	struct image image;
	int r;

	r = image_open(disk->path, &options, &image);
	if (r != 0)
		return disk_failure(disk, r, user, data, failure);
	*ret_fd = image.fd;
	return 0;
}

static int open_disks(struct resources *resources, const struct definition *definition,
		      resources_user_fn user, void *data, struct failure *failure)
{
	for (size_t i = 0; i < definition->disk_count; i++) {
		const struct definition_disk *disk = &definition->disks[i];
		char name[32];
		int fd, r;

		if (!disk->path)
			continue;
		r = resources_open_disk(disk, user, data, &fd, failure);
		if (r < 0)
			return r;
		snprintf(name, sizeof(name), "disk:%u:%u", disk->controller, disk->lun);
		resources_add(resources, name, fd);
	}
	return 0;
}

int resources_open(struct resources *resources, const struct definition *definition,
		   const char *hypervisor, resources_user_fn user, void *data,
		   struct failure *failure)
{
	int r;

	r = open_hypervisor(resources, hypervisor, failure);
	if (r < 0)
		return r;
	r = open_file(resources, "kernel", definition->boot.kernel, failure);
	if (r < 0)
		return r;
	if (definition->boot.initrd) {
		r = open_file(resources, "initrd", definition->boot.initrd, failure);
		if (r < 0)
			return r;
	}
	return open_disks(resources, definition, user, data, failure);
}
