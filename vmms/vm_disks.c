/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One VM: its disks and DVD drives, changed at rest or while it runs.
 *
 * A change is a copy of the definition with the change in it. It is checked, then written beside
 * the old file (so that a full disk is noticed before anything has happened), then done by the
 * worker if there is one, then committed.
 *
 * A guest may eject a medium itself, also while a change is under way. Then the change goes on
 * from what the guest has left, and the file is written at its end, however it ends.
 */
#include "common/base/log.h"
#include "common/control.h"
#include "vmms/manager.h"
#include "vmms/resources.h"
#include "vmms/vm_internal.h"

#include <errno.h>
#include <string.h>

/* ---- A guest that ejects ---- */

static void save_ejection(struct vm *vm)
{
	int r = store_save(vm->manager->store, vm->definition);

	vm->unsaved = r < 0;
	if (r < 0)
		log_error("VM %s: that the guest ejected a medium cannot be saved in %s: %s",
			  vm->definition->name, store_path(vm->manager->store), strerror(-r));
}

static void drop_medium(struct definition_disk *disk)
{
	if (disk && disk->drive == DEFINITION_DRIVE_DVD)
		free(TAKE_PTR(disk->path));
}

void vm_medium_ejected(struct vm *vm, unsigned controller, unsigned lun)
{
	struct definition_disk *disk = definition_find_disk(vm->definition, controller, lun);

	if (!disk || disk->drive != DEFINITION_DRIVE_DVD || !disk->path)
		return;
	log_info("VM %s: the guest ejected '%s' from the DVD drive at controller %u, lun %u",
		 vm->definition->name, disk->path, controller, lun);
	drop_medium(disk);
	if (vm->next_definition) {
		drop_medium(definition_find_disk(vm->next_definition, controller, lun));
		vm->unsaved = true;
	} else {
		save_ejection(vm);
	}
	vm_notify(vm, "Definition", NULL);
}

/* ---- A change under way ---- */

static void change_abandon(struct vm *vm)
{
	store_discard(vm->manager->store, vm->definition->name);
	definition_free(TAKE_PTR(vm->next_definition));
	if (vm->unsaved)
		save_ejection(vm);
}

static void change_commit(struct vm *vm)
{
	struct failure failure;
	int r;

	definition_free(vm->definition);
	vm->definition = TAKE_PTR(vm->next_definition);
	r = vm->unsaved ? store_save(vm->manager->store, vm->definition)
			: store_commit(vm->manager->store, vm->definition->name);
	vm->unsaved = r < 0;
	vm_notify(vm, "Definition", NULL);
	if (r < 0)
		failure_set(&failure, DBUS_ERROR_STORE,
			    "VM '%s' has been changed, but its definition cannot be saved in %s: "
			    "%s; make room or repair that, and try the change again when it is off",
			    vm->definition->name, store_path(vm->manager->store), strerror(-r));
	vm_finish(&vm->operation, r < 0 ? &failure : NULL);
}

static void change_answered(void *data, struct json_object *result, const char *code,
			    const char *text)
{
	struct vm *vm = data;
	struct failure failure;

	if (result) {
		change_commit(vm);
		return;
	}
	change_abandon(vm);
	if (strcmp(code, WORKER_ENDED) == 0)
		return; /* its end says more */
	vm_failure(vm, code, text, &failure);
	vm_finish(&vm->operation, &failure);
}

/* Does what vm->next_definition says. fd: of the medium; -1: none; borrowed. */
static int change(struct vm *vm, const char *method, struct json_object *arguments, int fd,
		  struct failure *failure)
{
	int r;

	r = vm_check_definition(vm->next_definition, failure);
	if (r < 0)
		return r;
	r = store_stage(vm->manager->store, vm->next_definition);
	if (r < 0)
		return failure_set(failure, DBUS_ERROR_STORE,
				   "cannot save the definition of VM '%s' in %s: %s; nothing has "
				   "been changed",
				   vm->definition->name, store_path(vm->manager->store),
				   strerror(-r));
	if (!vm->worker) {
		change_commit(vm);
		return 0;
	}
	r = worker_request(vm->worker, method, arguments, &fd, fd >= 0, VM_REQUEST_TIMEOUT,
			   change_answered, vm);
	return r < 0 ? vm_failure(vm, CONTROL_ERROR_FAILED, strerror(-r), failure) : 0;
}

/* Takes back what vm_begin() and the copy did. */
static void change_undo(struct vm *vm)
{
	vm->operation = (struct vm_operation){ 0 };
	change_abandon(vm);
}

static int change_begin(struct vm *vm, enum vm_verb verb, vm_done_fn done, void *data,
			struct failure *failure)
{
	int r;

	r = vm_begin(vm, verb, done, data, failure);
	if (r < 0)
		return r;
	if (definition_copy(vm->definition, &vm->next_definition) < 0) {
		vm->operation = (struct vm_operation){ 0 };
		return failure_no_memory(failure);
	}
	return 0;
}

static int find_disk(struct vm *vm, unsigned controller, unsigned lun,
		     struct definition_disk **ret_disk, struct failure *failure)
{
	struct definition_disk *disk;

	disk = definition_find_disk(vm->next_definition, controller, lun);
	if (!disk)
		return failure_set(failure, DBUS_ERROR_NO_SUCH_DISK,
				   "VM '%s' has no disk at controller %u, lun %u; 'vmctl show %s' "
				   "lists what it has",
				   vm->definition->name, controller, lun, vm->definition->name);
	*ret_disk = disk;
	return 0;
}

static int find_drive(struct vm *vm, unsigned controller, unsigned lun,
		      struct definition_disk **ret_disk, struct failure *failure)
{
	int r;

	r = find_disk(vm, controller, lun, ret_disk, failure);
	if (r < 0)
		return r;
	if ((*ret_disk)->drive != DEFINITION_DRIVE_DVD)
		return failure_set(failure, DBUS_ERROR_INVALID_ARGUMENT,
				   "the disk at controller %u, lun %u of VM '%s' is no DVD drive; "
				   "detach it instead",
				   controller, lun, vm->definition->name);
	return 0;
}

/* Opens the medium for the worker; at rest the disk is opened at the next start. */
static int open_medium(struct vm *vm, const struct definition_disk *disk, int *ret_fd,
		       struct failure *failure)
{
	if (!vm->worker || !disk->path)
		return 0;
	return resources_open_disk(disk, manager_disk_user, vm->manager, ret_fd, failure);
}

static struct json_object *place(const struct definition_disk *disk)
{
	return json_make("controller", json_object_new_int64(disk->controller), "lun",
			 json_object_new_int64(disk->lun), NULL);
}

/* ---- The four verbs ---- */

static int attach(struct vm *vm, struct definition_disk *disk, struct failure *failure)
{
	AUTO_JSON struct json_object *arguments = NULL;
	AUTO_CLOSE int fd = -1;
	int r;

	arguments = json_make("disk", definition_disk_to_json(disk), NULL);
	if (!arguments)
		return failure_no_memory(failure);
	r = open_medium(vm, disk, &fd, failure);
	if (r < 0)
		return r;
	r = definition_add_disk(vm->next_definition, disk);
	if (r == -EEXIST)
		return failure_set(failure, DBUS_ERROR_EXISTS,
				   "VM '%s' has a disk at controller %u, lun %u already; detach "
				   "that or choose another lun",
				   vm->definition->name, disk->controller, disk->lun);
	if (r < 0)
		return failure_no_memory(failure);
	return change(vm, "attach", arguments, fd, failure);
}

int vm_attach_disk(struct vm *vm, struct definition_disk *disk, vm_done_fn done, void *data,
		   struct failure *failure)
{
	int r;

	r = change_begin(vm, VM_ATTACH, done, data, failure);
	if (r == 0) {
		r = attach(vm, disk, failure);
		if (r < 0)
			change_undo(vm);
	}
	definition_disk_deinit(disk);
	return r;
}

static int detach(struct vm *vm, unsigned controller, unsigned lun, struct failure *failure)
{
	AUTO_JSON struct json_object *arguments = NULL;
	struct definition_disk *disk;
	int r;

	r = find_disk(vm, controller, lun, &disk, failure);
	if (r < 0)
		return r;
	arguments = place(disk);
	if (!arguments)
		return failure_no_memory(failure);
	definition_remove_disk(vm->next_definition, disk);
	return change(vm, "detach", arguments, -1, failure);
}

int vm_detach_disk(struct vm *vm, unsigned controller, unsigned lun, vm_done_fn done, void *data,
		   struct failure *failure)
{
	int r;

	r = change_begin(vm, VM_DETACH, done, data, failure);
	if (r < 0)
		return r;
	r = detach(vm, controller, lun, failure);
	if (r < 0)
		change_undo(vm);
	return r;
}

static int insert(struct vm *vm, unsigned controller, unsigned lun, const char *path,
		  struct failure *failure)
{
	AUTO_JSON struct json_object *arguments = NULL;
	AUTO_CLOSE int fd = -1;
	struct definition_disk *disk;
	int r;

	r = find_drive(vm, controller, lun, &disk, failure);
	if (r < 0)
		return r;
	if (disk->path)
		return failure_set(failure, DBUS_ERROR_EXISTS,
				   "the DVD drive at controller %u, lun %u of VM '%s' holds '%s'; "
				   "eject that first",
				   controller, lun, vm->definition->name, disk->path);
	arguments = place(disk);
	json_add(&arguments, "path", json_object_new_string(path));
	disk->path = strdup(path);
	if (!arguments || !disk->path)
		return failure_no_memory(failure);
	r = open_medium(vm, disk, &fd, failure);
	if (r < 0)
		return r;
	return change(vm, "insert", arguments, fd, failure);
}

int vm_insert_medium(struct vm *vm, unsigned controller, unsigned lun, const char *path,
		     vm_done_fn done, void *data, struct failure *failure)
{
	int r;

	r = change_begin(vm, VM_INSERT, done, data, failure);
	if (r < 0)
		return r;
	r = insert(vm, controller, lun, path, failure);
	if (r < 0)
		change_undo(vm);
	return r;
}

static int eject(struct vm *vm, unsigned controller, unsigned lun, bool force,
		 struct failure *failure)
{
	AUTO_JSON struct json_object *arguments = NULL;
	struct definition_disk *disk;
	int r;

	r = find_drive(vm, controller, lun, &disk, failure);
	if (r < 0)
		return r;
	if (!disk->path)
		return failure_set(failure, DBUS_ERROR_INVALID_STATE,
				   "the DVD drive at controller %u, lun %u of VM '%s' is empty "
				   "already",
				   controller, lun, vm->definition->name);
	arguments = place(disk);
	json_add(&arguments, "force", json_object_new_boolean(force));
	if (!arguments)
		return failure_no_memory(failure);
	free(TAKE_PTR(disk->path));
	return change(vm, "eject", arguments, -1, failure);
}

int vm_eject_medium(struct vm *vm, unsigned controller, unsigned lun, bool force, vm_done_fn done,
		    void *data, struct failure *failure)
{
	int r;

	r = change_begin(vm, VM_EJECT, done, data, failure);
	if (r < 0)
		return r;
	r = eject(vm, controller, lun, force, failure);
	if (r < 0)
		change_undo(vm);
	return r;
}
