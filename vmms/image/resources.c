/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a worker needs and may not open itself. */
#include "vmms/image/resources.h"

#include "common/base/path.h"
#include "common/image/image.h"
#include "vmms/base/plain_socket.h"
#include "vmms/base/user.h"
#include "vmms/image/image_chain.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define WAIT_INTERVAL 20000000 /* nanoseconds, for another process's end */
#define WAITS_MAX     100

void resources_deinit(struct resources *resources)
{
	int fds[RESOURCES_MAX];

	for (size_t i = 0; i < resources->count; i++)
		fds[i] = TAKE_FD(resources->items[i].fd);
	plain_sockets_let_go(resources->helpers, resources->whose, fds, resources->count);
	resources->count = 0;
}

void resources_add(struct resources *resources, const char *name, int fd)
{
	size_t i = resources->count++;

	snprintf(resources->items[i].name, sizeof(resources->items[i].name), "%s", name);
	resources->items[i].fd = fd;
	resources->items[i].most = 0;
}

int resources_find(const struct resources *resources, const char *name)
{
	for (size_t i = 0; resources && i < resources->count; i++) {
		if (strcmp(resources->items[i].name, name) == 0)
			return resources->items[i].fd;
	}
	return -1;
}

void resources_disk_name(const struct definition_disk *disk, char name[RESOURCES_NAME_MAX])
{
	snprintf(name, RESOURCES_NAME_MAX, "disk:%u:%u", disk->controller, disk->lun);
}

/* ---- The hypervisor ---- */

int resources_open_hypervisor(struct resources *resources, const char *path,
			      struct failure *failure)
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
static bool resources_is_as_we_are(const char *owner)
{
	return !owner || geteuid() != 0;
}

int resources_refuse_owner(const char *owner, int r, struct failure *failure)
{
	if (r == -ESRCH)
		return failure_set(failure, DBUS_ERROR_RESOURCE,
				   "the VM's owner '%s' is no user of this host; root can give it "
				   "to another, with 'vmctl set VM owner=USER'",
				   owner);
	if (r < 0)
		return failure_set(failure, DBUS_ERROR_RESOURCE,
				   "the VM's owner '%s' cannot be looked up: %s", owner,
				   strerror(-r));
	return 0;
}

int resources_find_owner(const char *owner, uint64_t owner_uid, struct user **ret_user,
			 struct failure *failure)
{
	CLEANUP(user_freep) struct user *user = NULL;
	int r;

	*ret_user = NULL;
	if (resources_is_as_we_are(owner))
		return 0;
	r = resources_refuse_owner(owner, user_find_name(owner, &user), failure);
	if (r < 0)
		return r;
	if (owner_uid > 0 && owner_uid != user->uid)
		return failure_set(
			failure, DBUS_ERROR_RESOURCE,
			"the VM is of a user '%s' who had the number %" PRIu64
			", and the one of that name now has %u; if it is to be theirs, root "
			"can give it to them, with 'vmctl set VM owner_uid='",
			owner, owner_uid, user->uid);
	*ret_user = TAKE_PTR(user);
	return 0;
}

int resources_become_owner(const struct user *user, struct failure *failure)
{
	int r;

	r = user ? user_become(user) : 0;
	if (r < 0)
		return failure_set(failure, DBUS_ERROR_RESOURCE,
				   "cannot open files as the VM's owner '%s': %s", user->name,
				   strerror(-r));
	return 0;
}

const char *resources_rights_text(const struct resources_request *request, int error,
				  char text[static 64])
{
	const char *owner = request->definition->owner;

	text[0] = '\0';
	if (owner && (error == EACCES || error == EPERM))
		snprintf(text, 64, " to its owner '%s'", owner);
	return text;
}

void resources_look(const struct resources_request *request, const char *path)
{
	if (request->looks)
		request->looks(request->looks_data, path);
}

/* ---- Files to boot from ---- */

static int resources_refuse_kind(const char *name, const char *what, struct failure *failure)
{
	return failure_set(failure, DBUS_ERROR_RESOURCE,
			   "the %s '%s' is not a file; correct boot.%s in the VM's definition",
			   name, what, name);
}

static int resources_open_path(const struct resources_request *request, const char *name,
			       const char *path, int *ret_fd, struct failure *failure)
{
	AUTO_CLOSE int path_fd = -1;
	struct stat status;
	char rights[64];
	int fd = -1;

	path_fd = path_look(path, &status);
	if (path_fd >= 0 && !S_ISREG(status.st_mode))
		return resources_refuse_kind(name, path, failure);
	if (path_fd >= 0)
		fd = path_open(path_fd, O_RDONLY | O_NONBLOCK);
	if (fd < 0)
		return failure_set(failure, DBUS_ERROR_RESOURCE,
				   "cannot open the %s '%s': %s%s; correct boot.%s in the VM's "
				   "definition",
				   name, path, strerror(errno),
				   resources_rights_text(request, errno, rights), name);
	*ret_fd = fd;
	return 0;
}

/* Of a file that somebody has opened. */
static int resources_take_passed(const char *name, int passed, int *ret_fd, struct failure *failure)
{
	int flags = fcntl(passed, F_GETFL), fd;
	struct stat status;

	if (flags < 0 || path_look_at(passed, &status) < 0)
		return failure_set(failure, DBUS_ERROR_RESOURCE, "the %s that was passed: %s", name,
				   strerror(errno));
	if (!S_ISREG(status.st_mode) || (flags & O_PATH) || (flags & O_ACCMODE) == O_WRONLY)
		return failure_set(failure, DBUS_ERROR_RESOURCE,
				   "the %s that was passed is not a file that can be read", name);
	fd = fcntl(passed, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return failure_set(failure, DBUS_ERROR_RESOURCE, "the %s that was passed: %s", name,
				   strerror(errno));
	*ret_fd = fd;
	return 0;
}

static int resources_open_file(struct resources *resources, const struct resources_request *request,
			       const char *name, const char *path, struct failure *failure)
{
	int passed = resources_find(request->passed, name), fd, r;

	resources_look(request, path);
	r = passed >= 0 ? resources_take_passed(name, passed, &fd, failure)
			: resources_open_path(request, name, path, &fd, failure);
	if (r == 0)
		resources_add(resources, name, fd);
	return r;
}

static int resources_open_package(struct resources *resources,
				  const struct resources_request *request, const char *name,
				  const char *path, struct failure *failure)
{
	const struct definition_firmware *firmware = definition_firmware(request->definition);

	if (access(path, F_OK) < 0 && errno == ENOENT)
		return failure_set(failure, DBUS_ERROR_RESOURCE,
				   "a VM of generation %u needs the firmware %s, which is not "
				   "there; apt install %s",
				   request->definition->generation, path, firmware->package);
	return resources_open_file(resources, request, name, path, failure);
}

static int resources_open_firmware(struct resources *resources,
				   const struct resources_request *request, struct failure *failure)
{
	const struct definition_firmware *firmware = definition_firmware(request->definition);
	int r = resources_open_package(resources, request, firmware->name, firmware->path, failure);

	if (r == 0 && firmware->variables)
		r = resources_open_package(resources, request, "uefi-variables",
					   firmware->variables, failure);
	return r;
}

/* ---- Disks ---- */

static int resources_disk_failure(const struct resources_request *request,
				  const struct definition_disk *disk, int error,
				  struct failure *failure)
{
	char rights[64];
	const char *vm;

	if (error != IMAGE_E_IN_USE)
		return failure_set(
			failure, DBUS_ERROR_RESOURCE,
			"cannot use disk image '%s' (controller %u, lun %u): %s%s; correct the "
			"path, or the image",
			disk->path, disk->controller, disk->lun, image_error_text(error),
			resources_rights_text(request, -error, rights));
	vm = request->user ? request->user(request->user_data, disk->path) : NULL;
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

static bool resources_is_open(const struct resources *resources, const char *path)
{
	struct stat image, status;

	if (stat(path, &image) < 0)
		return false;
	for (size_t i = 0; i < resources->count; i++) {
		if (fstat(resources->items[i].fd, &status) == 0 && status.st_dev == image.st_dev &&
		    status.st_ino == image.st_ino)
			return true;
	}
	return false;
}

/* A process that was killed ends when it gets the processor. */
static int resources_open_waiting(const struct resources *resources,
				  const struct resources_request *request, const char *path,
				  const struct image_options *options, struct image *ret_image)
{
	const struct timespec interval = { .tv_nsec = WAIT_INTERVAL };
	int r = image_open(path, options, ret_image);

	if (!request->waits || resources_is_open(resources, path))
		return r;
	for (unsigned i = 0; r == IMAGE_E_IN_USE && i < WAITS_MAX; i++) {
		nanosleep(&interval, NULL);
		r = image_open(path, options, ret_image);
	}
	return r;
}

/*
 * Others may have locked what they may read. VMs of the same owner are not disturbed, nor this one,
 * which may name an image twice.
 */
int resources_open_image(struct resources *resources, const struct resources_request *request,
			 const char *path, const struct image_options *options,
			 struct image *ret_image)
{
	int r = resources_open_waiting(resources, request, path, options, ret_image);

	if (r == 0 && options->read_only && request->is_written &&
	    request->is_written(request->user_data, path)) {
		close_fdp(&ret_image->fd);
		return IMAGE_E_IN_USE;
	}
	if (r != IMAGE_E_IN_USE || resources_is_open(resources, path) || !request->owner_uses ||
	    request->owner_uses(request->user_data, path))
		return r;
	r = image_open_beside_readers(path, options, ret_image);
	if (r == 0)
		snprintf(resources->warning, sizeof(resources->warning),
			 "disk image '%s' is used though a process that reads it has locked it: "
			 "whoever may read a file can lock it; 'chmod go-r' keeps others from it",
			 path);
	return r;
}

static int resources_open_disk(struct resources *resources, const struct resources_request *request,
			       const struct definition_disk *disk, struct failure *failure)
{
	struct image_options options = { .read_only = disk->read_only,
					 .direct = disk->cache == DEFINITION_CACHE_DIRECT,
					 .unlocked = request->unlocked,
					 .sector_size = disk->sector_size };
	char name[RESOURCES_NAME_MAX];
	struct image image;
	int passed, fd, r;

	if (request->unlocked && disk->format && image_format_find(disk->format) != IMAGE_RAW)
		return failure_set(failure, DBUS_ERROR_HOST_NOT_CAPABLE,
				   "a VM whose disk %u:%u is %s cannot be moved while it runs: "
				   "images have to be raw for that; it can be saved, or turned off",
				   disk->controller, disk->lun, disk->format);
	resources_disk_name(disk, name);
	passed = resources_find(request->passed, name);
	resources_look(request, disk->path);
	r = passed >= 0 ? image_adopt(passed, &options, &image)
			: resources_open_image(resources, request, disk->path, &options, &image);
	if (r != 0)
		return resources_disk_failure(request, disk, r, failure);
	fd = passed >= 0 ? fcntl(passed, F_DUPFD_CLOEXEC, 0) : image.fd;
	if (fd < 0)
		return resources_disk_failure(request, disk, -errno, failure);
	resources_add(resources, name, fd);
	return image_chain_open(resources, request, disk, fd, failure);
}

static int resources_open_all(struct resources *resources, const struct resources_request *request,
			      struct failure *failure)
{
	const struct definition *definition = request->definition;
	int r;

	if (definition->generation != 0)
		r = resources_open_firmware(resources, request, failure);
	else
		r = resources_open_file(resources, request, "kernel", definition->boot.kernel,
					failure);
	if (r == 0 && definition->boot.initrd)
		r = resources_open_file(resources, request, "initrd", definition->boot.initrd,
					failure);
	for (size_t i = 0; r == 0 && i < definition->disk_count; i++) {
		if (definition->disks[i].path)
			r = resources_open_disk(resources, request, &definition->disks[i], failure);
	}
	return r;
}

static int resources_open_written(struct resources *resources,
				  const struct resources_request *request, struct failure *failure)
{
	const struct definition *definition = request->definition;
	int r = 0;

	for (size_t i = 0; r == 0 && i < definition->disk_count; i++) {
		if (definition_disk_is_written(&definition->disks[i]))
			r = resources_open_disk(resources, request, &definition->disks[i], failure);
	}
	return r;
}

int resources_open(struct resources *resources, const struct resources_request *request,
		   struct failure *failure)
{
	if (request->alone)
		return resources_open_written(resources, request, failure);
	return request->disk ? resources_open_disk(resources, request, request->disk, failure)
			     : resources_open_all(resources, request, failure);
}
