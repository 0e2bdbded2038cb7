/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One VM: its disks and DVD drives, changed at rest or while it runs (vm_change.c).
 *
 * A guest may eject a medium itself, also while a change is under way. Then the change goes on
 * from what the guest has left, and the file is written at its end, however it ends.
 *
 * Where there is a pending definition, what is done to the disks of the running VM is done to those
 * of its next start as well.
 */
#include "common/base/log.h"
#include "vmms/vm/manager.h"
#include "vmms/vm/vm_internal.h"
#include "vmms/vm/vm_log.h"

#include <errno.h>
#include <string.h>

/* ---- A guest that ejects ---- */

static void disks_drop_medium(struct definition_disk *disk)
{
	if (disk && disk->drive == DEFINITION_DRIVE_DVD)
		free(TAKE_PTR(disk->path));
}

/* At the next start the drive may hold another one. */
static void disks_drop_medium_at(struct definition *definition, unsigned controller, unsigned lun,
				 const char *path)
{
	struct definition_disk *disk =
		definition ? definition_find_disk(definition, controller, lun) : NULL;

	if (disk && disk->path && strcmp(disk->path, path) == 0)
		disks_drop_medium(disk);
}

void vm_medium_ejected(struct vm *vm, unsigned controller, unsigned lun)
{
	struct definition_disk *disk = definition_find_disk(vm->definition, controller, lun);

	if (!disk || disk->drive != DEFINITION_DRIVE_DVD || !disk->path)
		return;
	vm_log(vm, VM_EVENT_GUEST, LOG_LEVEL_INFO,
	       "the guest ejected '%s' from the DVD drive at controller %u, lun %u", disk->path,
	       controller, lun);
	disks_drop_medium_at(vm->pending, controller, lun, disk->path);
	disks_drop_medium_at(vm->change.pending, controller, lun, disk->path);
	disks_drop_medium(disk);
	if (vm->change.definition) {
		disks_drop_medium(definition_find_disk(vm->change.definition, controller, lun));
		vm->change.unsaved = true;
	} else {
		vm_change_save(vm);
	}
	vm_notify(vm, "Definition", NULL);
}

/* ---- Finding ---- */

static int disks_find_disk(struct vm *vm, unsigned controller, unsigned lun,
			   struct definition_disk **ret_disk, struct failure *failure)
{
	struct definition_disk *disk;

	disk = definition_find_disk(vm->change.definition, controller, lun);
	if (!disk)
		return failure_set(failure, DBUS_ERROR_NO_SUCH_DISK,
				   "VM '%s' has no disk at controller %u, lun %u; 'vmctl show %s' "
				   "lists what it has",
				   vm->definition->name, controller, lun, vm->definition->name);
	*ret_disk = disk;
	return 0;
}

/* What is there from the next start on, or NULL. */
static struct definition_disk *disks_find_pending(struct vm *vm, unsigned controller, unsigned lun)
{
	return vm->change.pending ? definition_find_disk(vm->change.pending, controller, lun)
				  : NULL;
}

/* The drive holds that medium (NULL: none) from the next start on, too. */
static int disks_set_pending_medium(struct vm *vm, const struct definition_disk *drive,
				    const char *path)
{
	struct definition_disk *pending = disks_find_pending(vm, drive->controller, drive->lun);
	char *copy = path ? strdup(path) : NULL;

	if (path && !copy)
		return -ENOMEM;
	if (!pending || pending->drive != DEFINITION_DRIVE_DVD) {
		free(copy);
		return 0;
	}
	free(pending->path);
	pending->path = copy;
	return 0;
}

static int disks_find_drive(struct vm *vm, unsigned controller, unsigned lun,
			    struct definition_disk **ret_disk, struct failure *failure)
{
	int r;

	r = disks_find_disk(vm, controller, lun, ret_disk, failure);
	if (r < 0)
		return r;
	if ((*ret_disk)->drive != DEFINITION_DRIVE_DVD)
		return failure_set(failure, DBUS_ERROR_INVALID_ARGUMENT,
				   "the disk at controller %u, lun %u of VM '%s' is no DVD drive; "
				   "detach it instead",
				   controller, lun, vm->definition->name);
	return 0;
}

static struct json_object *disks_place(const struct definition_disk *disk)
{
	return json_make("controller", json_object_new_int64(disk->controller), "lun",
			 json_object_new_int64(disk->lun), NULL);
}

/* ---- The four verbs ---- */

static int disks_add_pending(struct vm *vm, struct json_object *arguments)
{
	struct definition_disk disk;
	struct json_error error;
	int r;

	if (!vm->change.pending)
		return 0;
	r = definition_disk_from_json(json_object_object_get(arguments, "disk"), &disk, &error);
	if (r < 0)
		return r;
	r = definition_add_disk(vm->change.pending, &disk);
	definition_disk_deinit(&disk);
	return r;
}

static int disks_attach(struct vm *vm, struct definition_disk *disk, int fd,
			struct failure *failure)
{
	AUTO_JSON struct json_object *arguments = NULL;
	unsigned controller = disk->controller, lun = disk->lun;
	int r;

	arguments = json_make("disk", definition_disk_to_json(disk), NULL);
	if (!arguments)
		return failure_no_memory(failure);
	r = disks_add_pending(vm, arguments);
	if (r == 0)
		r = definition_add_disk(vm->change.definition, disk);
	if (r == -EEXIST)
		return failure_set(
			failure, DBUS_ERROR_EXISTS,
			"VM '%s' has a disk at controller %u, lun %u already, or from its "
			"next start; detach that or choose another lun",
			vm->definition->name, controller, lun);
	if (r < 0)
		return failure_no_memory(failure);
	return vm_change_open(vm, "attach", arguments,
			      definition_find_disk(vm->change.definition, controller, lun), fd,
			      failure);
}

int vm_attach_disk(struct vm *vm, struct definition_disk *disk, int fd, vm_done_fn done, void *data,
		   struct failure *failure)
{
	int r;

	r = vm_change_begin(vm, VM_ATTACH, done, data, failure);
	if (r == 0) {
		r = disks_attach(vm, disk, fd, failure);
		if (r < 0)
			vm_change_undo(vm);
	}
	definition_disk_deinit(disk);
	return r;
}

static int disks_detach(struct vm *vm, unsigned controller, unsigned lun, struct failure *failure)
{
	struct definition_disk *pending = disks_find_pending(vm, controller, lun);
	AUTO_JSON struct json_object *arguments = NULL;
	struct definition_disk *disk;
	int r;

	if (pending)
		definition_remove_disk(vm->change.pending, pending);
	if (pending && !definition_find_disk(vm->change.definition, controller, lun))
		return vm_change_make(vm, NULL, NULL, NULL, 0, failure);
	r = disks_find_disk(vm, controller, lun, &disk, failure);
	if (r < 0)
		return r;
	arguments = disks_place(disk);
	if (!arguments)
		return failure_no_memory(failure);
	definition_remove_disk(vm->change.definition, disk);
	return vm_change_make(vm, "detach", arguments, NULL, 0, failure);
}

int vm_detach_disk(struct vm *vm, unsigned controller, unsigned lun, vm_done_fn done, void *data,
		   struct failure *failure)
{
	int r;

	r = vm_change_begin(vm, VM_DETACH, done, data, failure);
	if (r < 0)
		return r;
	r = disks_detach(vm, controller, lun, failure);
	if (r < 0)
		vm_change_undo(vm);
	return r;
}

static int disks_insert(struct vm *vm, unsigned controller, unsigned lun, const char *path, int fd,
			struct failure *failure)
{
	AUTO_JSON struct json_object *arguments = NULL;
	struct definition_disk *disk;
	int r;

	r = disks_find_drive(vm, controller, lun, &disk, failure);
	if (r < 0)
		return r;
	if (disk->path)
		return failure_set(failure, DBUS_ERROR_EXISTS,
				   "the DVD drive at controller %u, lun %u of VM '%s' holds '%s'; "
				   "eject that first",
				   controller, lun, vm->definition->name, disk->path);
	arguments = disks_place(disk);
	json_add(&arguments, "path", json_object_new_string(path));
	disk->path = strdup(path);
	if (!arguments || !disk->path || disks_set_pending_medium(vm, disk, path) < 0)
		return failure_no_memory(failure);
	return vm_change_open(vm, "insert", arguments, disk, fd, failure);
}

int vm_insert_medium(struct vm *vm, unsigned controller, unsigned lun, const char *path, int fd,
		     vm_done_fn done, void *data, struct failure *failure)
{
	int r;

	r = vm_change_begin(vm, VM_INSERT, done, data, failure);
	if (r < 0)
		return r;
	r = disks_insert(vm, controller, lun, path, fd, failure);
	if (r < 0)
		vm_change_undo(vm);
	return r;
}

static int disks_eject(struct vm *vm, unsigned controller, unsigned lun, bool force,
		       struct failure *failure)
{
	AUTO_JSON struct json_object *arguments = NULL;
	struct definition_disk *disk;
	int r;

	r = disks_find_drive(vm, controller, lun, &disk, failure);
	if (r < 0)
		return r;
	if (!disk->path)
		return failure_set(failure, DBUS_ERROR_INVALID_STATE,
				   "the DVD drive at controller %u, lun %u of VM '%s' is empty "
				   "already",
				   controller, lun, vm->definition->name);
	arguments = disks_place(disk);
	json_add(&arguments, "force", json_object_new_boolean(force));
	if (!arguments)
		return failure_no_memory(failure);
	(void)disks_set_pending_medium(vm, disk, NULL);
	free(TAKE_PTR(disk->path));
	return vm_change_make(vm, "eject", arguments, NULL, 0, failure);
}

int vm_eject_medium(struct vm *vm, unsigned controller, unsigned lun, bool force, vm_done_fn done,
		    void *data, struct failure *failure)
{
	int r;

	r = vm_change_begin(vm, VM_EJECT, done, data, failure);
	if (r < 0)
		return r;
	r = disks_eject(vm, controller, lun, force, failure);
	if (r < 0)
		vm_change_undo(vm);
	return r;
}
