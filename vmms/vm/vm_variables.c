/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The file of a VM's firmware. */
#include "vmms/vm/vm_variables.h"

#include "common/base/cleanup.h"
#include "common/base/guid.h"
#include "common/base/log.h"
#include "vmms/vm/manager.h"
#include "vmms/vm/vm_internal.h"
#include "vmms/vm/vm_log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define GENERATION 2
#define FOLDER     "firmware"

static void variables_path(const struct vm *vm, char path[PATH_MAX])
{
	char uuid[GUID_TEXT_SIZE];

	guid_format(&vm->definition->uuid, uuid);
	snprintf(path, PATH_MAX, "%s/" FOLDER "/%s.variables",
		 vm->manager->settings.state_directory, uuid);
}

/* Its name is as durable as what will be in it. */
static int variables_open(const struct vm *vm, const char *path, int *ret_fd)
{
	char folder[PATH_MAX];
	int directory, r = 0;

	snprintf(folder, sizeof(folder), "%s/" FOLDER, vm->manager->settings.state_directory);
	if (mkdir(folder, 0700) < 0 && errno != EEXIST)
		return -errno;
	*ret_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (*ret_fd < 0)
		return -errno;
	directory = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (directory < 0 || fsync(directory) < 0)
		r = -errno;
	if (directory >= 0)
		close(directory);
	if (r < 0)
		close(*ret_fd);
	return r;
}

bool vm_variables_are_kept(const struct vm *vm)
{
	return vm->definition->generation == GENERATION;
}

int vm_variables_open(const struct vm *vm, int *ret_fd, struct failure *failure)
{
	char path[PATH_MAX];
	int r;

	*ret_fd = -1;
	if (!vm_variables_are_kept(vm))
		return 0;
	variables_path(vm, path);
	r = variables_open(vm, path, ret_fd);
	if (r < 0)
		return failure_set(failure, DBUS_ERROR_STORE,
				   "cannot open %s, which keeps what the firmware of VM '%s' has "
				   "set: %s",
				   path, vm->definition->name, strerror(-r));
	return 0;
}

/* ---- Looking, and making them anew ---- */

static int variables_check_kept(const struct vm *vm, struct failure *failure)
{
	if (vm_variables_are_kept(vm))
		return 0;
	return failure_set(
		failure, DBUS_ERROR_HOST_NOT_CAPABLE,
		"VM '%s' keeps no variables of a firmware: only one of generation %d does",
		vm->definition->name, GENERATION);
}

static int variables_read_path(const char *path, uint8_t ret_bytes[static VARIABLES_SIZE])
{
	AUTO_FREE struct variables_copy *copy = malloc(sizeof(*copy));
	AUTO_CLOSE int fd = -1;
	struct stat status;
	uint64_t sequence;

	if (!copy)
		return -ENOMEM;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return errno == ENOENT ? VARIABLES_FILE_NEW : -errno;
	if (fstat(fd, &status) < 0)
		return -errno;
	return S_ISREG(status.st_mode) ? variables_file_read(fd, copy, ret_bytes, &sequence)
				       : -EINVAL;
}

int vm_variables_read(const struct vm *vm, uint8_t ret_bytes[static VARIABLES_SIZE],
		      struct failure *failure)
{
	char path[PATH_MAX];
	int r = variables_check_kept(vm, failure);

	if (r < 0)
		return r;
	variables_path(vm, path);
	r = variables_read_path(path, ret_bytes);
	if (r < 0)
		return failure_set(failure, DBUS_ERROR_STORE, "cannot read %s: %s", path,
				   strerror(-r));
	return r;
}

/* Whatever is there, and durably. */
static int variables_remove(const struct vm *vm)
{
	char path[PATH_MAX];
	AUTO_CLOSE int folder = -1;

	variables_path(vm, path);
	if (unlink(path) < 0)
		return errno == ENOENT ? 0 : -errno;
	*strrchr(path, '/') = '\0';
	folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return folder < 0 || fsync(folder) < 0 ? -errno : 0;
}

int vm_variables_reset(struct vm *vm, struct failure *failure)
{
	int r = variables_check_kept(vm, failure);

	if (r == 0)
		r = vm_check(vm, VM_RESET_VARIABLES, failure);
	if (r < 0)
		return r;
	r = variables_remove(vm);
	if (r < 0)
		return failure_set(failure, DBUS_ERROR_STORE,
				   "cannot remove what the firmware of VM '%s' has set: %s",
				   vm->definition->name, strerror(-r));
	vm_log(vm, VM_EVENT_CHANGED, LOG_LEVEL_INFO,
	       "what its firmware had set is gone: it is made anew at the next start");
	return 0;
}

void vm_variables_delete(const struct vm *vm)
{
	char path[PATH_MAX];

	variables_path(vm, path);
	(void)unlink(path);
}
