/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One VM: the files of what has changed since a backup, and of old bytes while one is read. */
#include "common/base/cleanup.h"
#include "common/base/guid.h"
#include "common/base/log.h"
#include "common/image/image.h"
#include "vmms/image/image.h"
#include "vmms/vm/manager.h"
#include "vmms/vm/vm_backup_internal.h"
#include "vmms/vm/vm_internal.h"
#include "vmms/vm/vm_log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define FOLDER          "backup"
#define SCRATCH_DEFAULT (UINT64_C(4) << 30)

static void backup_folder(const struct vm *vm, char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "%s/" FOLDER, vm->manager->settings.state_directory);
}

static void backup_changes_path(const struct vm *vm, unsigned controller, unsigned lun,
				char path[PATH_MAX])
{
	char uuid[GUID_TEXT_SIZE];

	guid_format(&vm->definition->uuid, uuid);
	snprintf(path, PATH_MAX, "%s/" FOLDER "/%s-%u-%u.changes",
		 vm->manager->settings.state_directory, uuid, controller, lun);
}

/* Its name is as durable as what will be in it. */
static int backup_sync_folder(const struct vm *vm)
{
	char folder[PATH_MAX];

	backup_folder(vm, folder);
	AUTO_CLOSE int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

/* A file that is new is all zeros, and knows nothing. */
static int backup_open_changes(const struct vm *vm, const struct definition_disk *disk, int *ret_fd)
{
	char path[PATH_MAX];
	AUTO_CLOSE int fd = -1;
	struct stat status;

	backup_changes_path(vm, disk->controller, disk->lun, path);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0 || fstat(fd, &status) < 0)
		return -errno;
	if (status.st_size < (off_t)VM_BACKUP_CHANGES_MAX &&
	    ftruncate(fd, (off_t)VM_BACKUP_CHANGES_MAX) < 0)
		return -errno;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static int backup_open_scratch(const struct vm *vm, int *ret_fd)
{
	char folder[PATH_MAX];

	backup_folder(vm, folder);
	*ret_fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	return *ret_fd < 0 ? -errno : 0;
}

int backup_open_files(const struct vm *vm, int *fds, size_t *count)
{
	const struct definition *definition = vm->definition;
	char folder[PATH_MAX];
	int r = 0;

	backup_folder(vm, folder);
	*count = 0;
	if (mkdir(folder, 0700) < 0 && errno != EEXIST)
		return -errno;
	for (size_t i = 0; r == 0 && i < definition->disk_count; i++) {
		if (!definition_disk_is_written(&definition->disks[i]))
			continue;
		r = backup_open_changes(vm, &definition->disks[i], &fds[*count]);
		if (r == 0)
			r = backup_open_scratch(vm, &fds[++*count]);
		if (r == 0)
			++*count;
	}
	return r < 0 ? r : backup_sync_folder(vm);
}

/* No more than half of what is free. */
uint64_t backup_scratch_size(const struct vm *vm, uint64_t wanted)
{
	char folder[PATH_MAX];
	struct statvfs status;
	uint64_t size = wanted ? wanted : SCRATCH_DEFAULT;

	backup_folder(vm, folder);
	if (statvfs(folder, &status) == 0)
		size = MIN(size, (uint64_t)status.f_bavail * status.f_frsize / 2);
	return size;
}

/* ---- At a start, and at the end ---- */

bool vm_backup_has_changes(const struct vm *vm)
{
	const struct definition *definition = vm->definition;
	bool found = false;

	for (size_t i = 0; i < definition->disk_count; i++) {
		char path[PATH_MAX];

		backup_changes_path(vm, definition->disks[i].controller, definition->disks[i].lun,
				    path);
		found |= access(path, F_OK) == 0;
	}
	return found;
}

void vm_backup_add_changes(const struct vm *vm, struct resources *resources)
{
	const struct definition *definition = vm->definition;

	for (size_t i = 0; i < definition->disk_count; i++) {
		const struct definition_disk *disk = &definition->disks[i];
		char path[PATH_MAX], name[32];
		int fd;

		if (!definition_disk_is_written(disk))
			continue;
		backup_changes_path(vm, disk->controller, disk->lun, path);
		fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
		if (fd < 0 && errno != ENOENT)
			log_warning("%s cannot be opened, and what changes of that disk is not "
				    "known: %s",
				    path, strerror(errno));
		if (fd < 0)
			continue;
		snprintf(name, sizeof(name), "changes:%u:%u", disk->controller, disk->lun);
		resources_add(resources, name, fd);
	}
}

/* A file that stays is in nobody's way: ids do not come again. */
void vm_backup_delete(const struct vm *vm)
{
	for (unsigned controller = 0; controller < DEFINITION_CONTROLLERS_MAX; controller++) {
		for (unsigned lun = 0; lun < DEFINITION_LUNS_MAX; lun++) {
			char path[PATH_MAX];

			backup_changes_path(vm, controller, lun, path);
			(void)unlink(path);
		}
	}
}
