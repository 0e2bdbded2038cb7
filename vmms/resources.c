/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a worker needs and may not open itself. */
#include "vmms/resources.h"

#include "common/base/path.h"
#include "common/image.h"
#include "vmms/user.h"

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

/* ---- The owner ---- */

/* A daemon that is not root's opens all files as itself, and has one owner. */
static bool is_as_we_are(const char *owner)
{
	return !owner || geteuid() != 0;
}

static int find_owner(const char *owner, struct user **ret_user, struct failure *failure)
{
	int r;

	r = user_find_name(owner, ret_user);
	if (r == -ESRCH)
		return failure_set(
			failure, DBUS_ERROR_RESOURCE,
			"the VM's owner '%s' is no user of this host; root can give it to "
			"another, with 'vmctl set VM owner=USER'",
			owner);
	if (r < 0)
		return failure_set(failure, DBUS_ERROR_RESOURCE,
				   "the VM's owner '%s' cannot be looked up: %s", owner,
				   strerror(-r));
	return 0;
}

int resources_check_owner(const char *owner, struct failure *failure)
{
	CLEANUP(user_freep) struct user *user = NULL;

	return is_as_we_are(owner) ? 0 : find_owner(owner, &user, failure);
}

/* Until user_leave(), files are opened with the owner's rights. */
static int enter_owner(const char *owner, struct failure *failure)
{
	CLEANUP(user_freep) struct user *user = NULL;
	int r;

	if (is_as_we_are(owner))
		return 0;
	r = find_owner(owner, &user, failure);
	if (r < 0)
		return r;
	r = user_enter(user);
	if (r < 0)
		return failure_set(failure, DBUS_ERROR_RESOURCE,
				   "cannot open files as the VM's owner '%s': %s", owner,
				   strerror(-r));
	return 0;
}

/* What a refusal to the owner needs to be understood: " (with the rights of ...)". */
static const char *rights_of(const char *owner, int error, char text[static 64])
{
	text[0] = '\0';
	if (!is_as_we_are(owner) && (error == EACCES || error == EPERM))
		snprintf(text, 64, " to its owner '%s'", owner);
	return text;
}

/* ---- Files to boot from ---- */

static int open_file(struct resources *resources, const char *name, const char *path,
		     const char *owner, struct failure *failure)
{
	AUTO_CLOSE int path_fd = -1, fd = -1;
	struct stat status;
	char rights[64];

	path_fd = path_look(path, &status);
	if (path_fd >= 0 && !S_ISREG(status.st_mode))
		return failure_set(failure, DBUS_ERROR_RESOURCE,
				   "the %s '%s' is not a file; correct boot.%s in the VM's "
				   "definition",
				   name, path, name);
	if (path_fd >= 0)
		fd = path_open(path_fd, O_RDONLY | O_NONBLOCK);
	if (fd < 0)
		return failure_set(failure, DBUS_ERROR_RESOURCE,
				   "cannot open the %s '%s': %s%s; correct boot.%s in the VM's "
				   "definition",
				   name, path, strerror(errno), rights_of(owner, errno, rights),
				   name);
	resources_add(resources, name, TAKE_FD(fd));
	return 0;
}

/* ---- Disks ---- */

static int disk_failure(const struct definition_disk *disk, const char *owner, int error,
			resources_user_fn user, void *data, struct failure *failure)
{
	char rights[64];
	const char *vm;

	if (error != IMAGE_E_IN_USE)
		return failure_set(
			failure, DBUS_ERROR_RESOURCE,
			"cannot use disk image '%s' (controller %u, lun %u): %s%s; correct the "
			"path, or the image",
			disk->path, disk->controller, disk->lun, image_error_text(error),
			rights_of(owner, -error, rights));
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

static int open_disk(const struct definition_disk *disk, const char *owner, resources_user_fn user,
		     void *data, int *ret_fd, struct failure *failure)
{
	struct image_options options = { .read_only = disk->read_only,
					 .direct = disk->cache == DEFINITION_CACHE_DIRECT,
					 .sector_size = disk->sector_size };
	struct image image;
	int r;

	r = image_open(disk->path, &options, &image);
	if (r != 0)
		return disk_failure(disk, owner, r, user, data, failure);
	*ret_fd = image.fd;
	return 0;
}

int resources_open_disk(const struct definition_disk *disk, const char *owner,
			resources_user_fn user, void *data, int *ret_fd, struct failure *failure)
{
	int r;

	r = enter_owner(owner, failure);
	if (r < 0)
		return r;
	r = open_disk(disk, owner, user, data, ret_fd, failure);
	user_leave();
	return r;
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
		r = open_disk(disk, definition->owner, user, data, &fd, failure);
		if (r < 0)
			return r;
		snprintf(name, sizeof(name), "disk:%u:%u", disk->controller, disk->lun);
		resources_add(resources, name, fd);
	}
	return 0;
}

/* With the rights of the owner, who has named them. */
static int open_named(struct resources *resources, const struct definition *definition,
		      resources_user_fn user, void *data, struct failure *failure)
{
	int r;

	r = open_file(resources, "kernel", definition->boot.kernel, definition->owner, failure);
	if (r == 0 && definition->boot.initrd)
		r = open_file(resources, "initrd", definition->boot.initrd, definition->owner,
			      failure);
	return r == 0 ? open_disks(resources, definition, user, data, failure) : r;
}

int resources_open(struct resources *resources, const struct definition *definition,
		   const char *hypervisor, resources_user_fn user, void *data,
		   struct failure *failure)
{
	int r;

	r = open_hypervisor(resources, hypervisor, failure);
	if (r < 0)
		return r;
	r = enter_owner(definition->owner, failure);
	if (r < 0)
		return r;
	r = open_named(resources, definition, user, data, failure);
	user_leave();
	return r;
}
