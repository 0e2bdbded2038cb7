/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The file of a VM's firmware. */
#include "vmms/vm/vm_variables.h"

#include "common/base/guid.h"
#include "vmms/vm/manager.h"
#include "vmms/vm/vm_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
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

void vm_variables_delete(const struct vm *vm)
{
	char path[PATH_MAX];

	variables_path(vm, path);
	(void)unlink(path);
}
