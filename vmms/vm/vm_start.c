/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One VM: starting it.
 *
 * Everything the worker needs is opened before it is spawned, files by a process that may wait for
 * them (vmms/image/open_helper.h), and its profile loaded by another; until then the VM is starting,
 * without a worker. Then it is sent what it needs (vm_start_send.h). When the worker refuses, it is
 * killed, and the VM is off again when the process has gone: only then are its disks unlocked.
 */
#include "common/base/log.h"
#include "common/base/text.h"
#include "common/control.h"
#include "vmms/base/fault.h"
#include "vmms/base/socket_folder.h"
#include "vmms/image/image.h"
#include "vmms/vm/manager.h"
#include "vmms/vm/vm_file_limit.h"
#include "vmms/vm/vm_images.h"
#include "vmms/vm/vm_internal.h"
#include "vmms/vm/vm_log.h"
#include "vmms/vm/vm_pinning.h"
#include "vmms/vm/vm_record.h"
#include "vmms/vm/vm_start_send.h"
#include "vmms/vm/vm_unit.h"
#include "vmms/vm/vm_variables.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

static int start_spawn(struct vm *vm, struct opened_files *opened, struct resources *resources,
		       struct failure *failure)
{
	char socket[PATH_MAX], profile[APPARMOR_NAME_SIZE];
	struct worker_config config = { .program = vm->manager->settings.worker,
					.directory = vm->manager->settings.runtime_directory,
					.profile = vm_confinement_profile(vm, "", profile),
					.socket = socket,
					.name = vm->definition->name,
					.whose = vm_owner(vm),
					.helpers = vm->manager->helpers,
					.callbacks = &vm_worker_callbacks,
					.owner = vm };
	int serial, variables, end, r;

	vm_run_set_name(vm, vm->definition->name);
	config.user = vm->run.user;
	r = vm_images_serve(vm, vm->definition, opened, resources, failure);
	if (r < 0)
		return r;
	r = console_connect(vm->console, &serial);
	if (r < 0)
		return failure_set(failure, DBUS_ERROR_RESOURCE,
				   "cannot make a console for VM '%s': %s", vm->definition->name,
				   strerror(-r));
	resources_add(resources, "serial", serial);
	r = vm_variables_open(vm, &variables, failure);
	if (r < 0)
		return r;
	if (variables >= 0)
		resources_add(resources, "variables", variables);
	/* Of one that comes from elsewhere, somebody else may still write the disks. */
	if (!vm->opening.moved)
		vm_backup_add_changes(vm, resources);
	r = vm_record_open_end(vm, &end);
	if (r == 0)
		resources_add(resources, "end", end);
	else
		vm_log(vm, VM_EVENT_HOST, LOG_LEVEL_WARNING,
		       "should vmms not run when the VM ends, it will not be known how: no message "
		       "queue can be made: %s; see fs.mqueue in sysctl(8)",
		       strerror(-r));
	fault_point(FAULT_START_OPENED_END);
	vm_record_socket_path(vm, socket);
	r = worker_spawn(vm->manager->watches, &config, &vm->run.worker);
	if (r < 0)
		return failure_set(failure, DBUS_ERROR_RESOURCE,
				   "cannot start a worker for VM '%s': %s", vm->definition->name,
				   strerror(-r));
	vm_file_limit_begin(vm, opened);
	vm_record_save(vm);
	vm_unit_open(vm);
	r = vm_start_send(vm, resources, opened);
	/* A worker that has ended already says why by its end, which is on its way to us. */
	if (r < 0 && r != -EPIPE && r != -ECONNRESET)
		return failure_set(failure, DBUS_ERROR_WORKER_FAILED,
				   "cannot give the worker of VM '%s' what it needs: %s",
				   vm->definition->name, strerror(-r));
	return 0;
}

/* ---- The files are open ---- */

/* Its passt(1) and image servers become that user, too. */
static int start_take_user(struct vm *vm, struct failure *failure)
{
	int r = manager_take_worker_user(vm->manager, &vm->run.user);

	return r < 0 ? failure_set(failure, DBUS_ERROR_RESOURCE,
				   "cannot start a worker for VM '%s': all users that workers may "
				   "become are in use; give vmms more with --worker-users",
				   vm->definition->name)
		     : 0;
}

static int start_refuse_turned_off(const struct vm *vm, struct failure *failure)
{
	return failure_set(failure, DBUS_ERROR_INVALID_STATE,
			   "VM '%s' was turned off before it had started", vm->definition->name);
}

static bool start_has_file(const struct opened_files *opened, const char *name)
{
	for (size_t i = 0; i < opened->count; i++) {
		if (strcmp(opened->items[i].name, name) == 0)
			return true;
	}
	return false;
}

static int start_make_worker(struct vm *vm, struct opened_files *opened, struct failure *failure)
{
	CLEANUP(resources_deinit)
	struct resources resources = { .helpers = vm->manager->helpers, .whose = vm_owner(vm) };
	int r;

	r = start_take_user(vm, failure);
	if (r == 0)
		r = resources_open_hypervisor(&resources, vm->manager->settings.hypervisor,
					      failure);
	if (r == 0)
		r = vm_open_adapters(vm, &resources, failure);
	if (r < 0)
		return r;
	fault_point(FAULT_START_OPENED_RESOURCES);
	vm_run_begin(vm);
	vm_pinning_forget(vm);
	if (vm->definition->services.sockets && !start_has_file(opened, "sockets"))
		vm_log(vm, VM_EVENT_HOST, LOG_LEVEL_WARNING,
		       "it runs without sockets, since there is no room for their folder: owners "
		       "of VMs have filled all of %s",
		       SOCKET_FOLDERS);
	r = start_spawn(vm, opened, &resources, failure);
	if (r < 0)
		return r;
	vm_notify(vm, "WorkerPID", "Adapters", "Unit", "LimitsProblem", "Profile", NULL);
	return 0;
}

/* There was no worker to speak of: the VM is off, and whoever started it learns why. */
static void start_failed(struct vm *vm, const struct failure *failure)
{
	file_holder_free(TAKE_PTR(vm->opening.moved));
	worker_free(TAKE_PTR(vm->run.worker));
	vm_record_delete(vm);
	vm_forget_adapters(vm);
	vm_images_forget(vm);
	vm_confinement_end(vm);
	console_disconnect(vm->console);
	vm_sockets_stopped(vm);
	if (vm->saved.exists)
		vm_set_state(vm, VM_SAVED, "%s", failure->message);
	else if (vm->restart.count > 0 && !vm->turning_off.done)
		vm_set_state(vm, VM_CRASHED, "it cannot be started again: %s", failure->message);
	else
		vm_set_state(vm, VM_OFF, "%s", failure->message);
	vm_finish(&vm->operation, failure);
	vm_finish(&vm->turning_off, NULL);
	manager_vm_rests(vm->manager, vm);
}

/* The locks of its images are gone: it can be started again. */
static void start_files_closed(void *data)
{
	struct vm *vm = data;
	const struct failure failure = vm->run.start_failure;

	vm->opening.files = NULL;
	start_failed(vm, &failure);
}

/* What is open is closed, and then the VM is off. */
static void start_give_up(struct vm *vm, const struct failure *failure)
{
	free(TAKE_PTR(vm->opening.opened));
	file_holder_free(TAKE_PTR(vm->opening.state));
	vm_run_set_failure(vm, failure);
	file_holder_end(vm->opening.files, start_files_closed, vm);
}

/* All that may have to be waited for is there. */
static void start_profile_loaded(struct vm *vm, const struct failure *failure)
{
	AUTO_FREE struct opened_files *opened = TAKE_PTR(vm->opening.opened);
	struct failure why;
	int r = -1;

	if (vm->turning_off.done)
		start_refuse_turned_off(vm, &why);
	else if (failure)
		why = *failure;
	else
		r = start_make_worker(vm, opened, &why);
	if (r == 0)
		return;
	worker_free(TAKE_PTR(vm->run.worker));
	start_give_up(vm, &why);
}

static void start_state_opened(void *data, struct file_holder **holder,
			       const struct failure *failure)
{
	struct vm *vm = data;

	vm->opening.saved_file = NULL;
	if (failure) {
		start_give_up(vm, failure);
		return;
	}
	vm->opening.state = TAKE_PTR(*holder);
	vm_confinement_begin(vm, start_profile_loaded);
}

/* A VM that is saved goes on from there, if it still can. */
static void start_open_state(struct vm *vm)
{
	char path[PATH_MAX];
	const struct saved_file_request request = {
		.task = SAVED_FILE_OPEN,
		.path = path,
		.timeout = vm->manager->settings.open_timeout,
	};
	struct failure failure;
	int r = vm_saved_state_check_files(vm, vm->opening.opened, &failure);

	vm_saved_state_path(vm, path);
	if (r == 0)
		r = saved_file_new(vm->manager->helpers, &request, start_state_opened, vm,
				   &vm->opening.saved_file, &failure);
	if (r < 0)
		start_give_up(vm, &failure);
}

static void start_files_opened(void *data, struct opened_files *opened,
			       const struct failure *failure)
{
	struct vm *vm = data;
	struct failure why;

	vm->opening.open_helper = NULL;
	if (opened->warning[0] != '\0')
		vm_log(vm, VM_EVENT_HOST, LOG_LEVEL_WARNING, "%s", opened->warning);
	if (!failure) {
		vm->opening.opened = malloc(sizeof(*opened));
		if (!vm->opening.opened)
			failure_no_memory(&why);
	}
	if (!vm->opening.opened) {
		if (failure)
			why = *failure;
		if (vm->turning_off.done)
			start_refuse_turned_off(vm, &why);
		start_failed(vm, &why);
		return;
	}
	vm->opening.files = TAKE_PTR(opened->holder);
	*vm->opening.opened = *opened;
	if (vm->saved.exists)
		start_open_state(vm);
	else
		vm_confinement_begin(vm, start_profile_loaded);
}

/* ---- The beginning ---- */

static bool start_names_file(const struct definition *definition, const char *name)
{
	char disk[RESOURCES_NAME_MAX];

	if (strcmp(name, "kernel") == 0)
		return definition->boot.kernel;
	if (strcmp(name, "initrd") == 0)
		return definition->boot.initrd;
	for (size_t i = 0; i < definition->disk_count; i++) {
		resources_disk_name(&definition->disks[i], disk);
		if (strcmp(name, disk) == 0)
			return definition->disks[i].path;
	}
	return false;
}

/* One that nobody asks for would be lost without a word. */
static int start_check_passed(const struct vm *vm, const struct resources *passed,
			      struct failure *failure)
{
	for (size_t i = 0; passed && i < passed->count; i++) {
		if (!start_names_file(vm->definition, passed->items[i].name))
			return failure_set(failure, DBUS_ERROR_INVALID_ARGUMENT,
					   "VM '%s' has no file '%s' that something could be "
					   "passed for; there are kernel, initrd, and "
					   "disk:CONTROLLER:LUN, if the definition has them",
					   vm->definition->name, passed->items[i].name);
	}
	return 0;
}

/* received: another worker sends the guest. */
static int start_begin(struct vm *vm, const struct resources *passed, bool received,
		       vm_done_fn done, void *data, struct failure *failure)
{
	char sockets[PATH_MAX];
	const struct resources_request request = {
		.definition = vm->definition,
		.passed = passed,
		.unlocked = received,
		.sockets = vm->definition->services.sockets ? sockets : NULL,
		.user = manager_disk_user,
		.owner_uses = manager_owner_uses_disk,
		.is_written = manager_disk_is_written,
		.user_data = vm,
	};
	int r;

	r = manager_check_stopping(vm->manager, vm->definition, failure);
	if (r == 0)
		r = start_check_passed(vm, passed, failure);
	if (r == 0)
		r = vm_pinning_check(vm->manager->cpu_groups, vm->definition,
				     DBUS_ERROR_HOST_NOT_CAPABLE, failure);
	if (r == 0)
		r = vm_checkpoint_check_disks(vm, vm->definition, failure);
	if (r == 0)
		r = vm_begin(vm, VM_START, done, data, failure);
	if (r < 0)
		return r;
	vm_sockets_path(vm, sockets);
	r = open_helper_new(vm->manager->helpers, vm->manager->settings.open_timeout, &request,
			    start_files_opened, vm, &vm->opening.open_helper, failure);
	if (r < 0) {
		vm->operation = (struct vm_operation){ 0 };
		return r;
	}
	fault_point(FAULT_FILES_ASKED_FOR);
	vm->opening.boot = 0;
	vm->opening.carried = false;
	vm->opening.setup = false;
	vm_restart_forget(vm);
	vm_set_state(vm, VM_STARTING, "%s", "");
	return 0;
}

int vm_start_with_files(struct vm *vm, const struct resources *passed, vm_done_fn done, void *data,
			struct failure *failure)
{
	return start_begin(vm, passed, false, done, data, failure);
}

int vm_start_received(struct vm *vm, struct file_holder *socket, vm_done_fn done, void *data,
		      struct failure *failure)
{
	int r = start_begin(vm, NULL, true, done, data, failure);

	if (r == 0)
		vm->opening.moved = socket;
	return r;
}

int vm_start_carried(struct vm *vm, vm_done_fn done, void *data, struct failure *failure)
{
	int r = start_begin(vm, NULL, true, done, data, failure);

	if (r == 0)
		vm->opening.carried = true;
	return r;
}

static bool start_has_drive(const struct definition *definition, enum definition_drive drive)
{
	for (size_t i = 0; i < definition->disk_count; i++)
		if (definition->disks[i].drive == drive)
			return true;
	return false;
}

static int start_check_saved(const struct vm *vm, struct failure *failure)
{
	if (vm->saved.exists)
		return failure_set(failure, DBUS_ERROR_INVALID_STATE,
				   "VM '%s' is saved: it boots from nothing, but goes on; discard "
				   "its saved state first ('vmctl discard')",
				   vm->definition->name);
	return 0;
}

static int start_check_drive(const struct vm *vm, enum definition_drive drive,
			     struct failure *failure)
{
	if (vm->definition->generation == 0)
		return failure_set(failure, DBUS_ERROR_INVALID_ARGUMENT,
				   "VM '%s' loads a kernel, and boots from no drive",
				   vm->definition->name);
	if (!start_has_drive(vm->definition, drive))
		return failure_set(failure, DBUS_ERROR_INVALID_ARGUMENT,
				   "VM '%s' has no %s to boot from; attach one first",
				   vm->definition->name, definition_drive_names[drive]);
	return start_check_saved(vm, failure);
}

int vm_start_from(struct vm *vm, enum definition_drive drive, vm_done_fn done, void *data,
		  struct failure *failure)
{
	int r = start_check_drive(vm, drive, failure);

	if (r == 0)
		r = start_begin(vm, NULL, false, done, data, failure);
	if (r == 0)
		vm->opening.boot = 1 + (unsigned)drive;
	return r;
}

int vm_start_setup(struct vm *vm, vm_done_fn done, void *data, struct failure *failure)
{
	int r;

	if (!vm_variables_are_kept(vm))
		return failure_set(failure, DBUS_ERROR_INVALID_ARGUMENT,
				   "the firmware of VM '%s' has no menus: only generation 2 has",
				   vm->definition->name);
	r = start_check_saved(vm, failure);
	if (r == 0)
		r = start_begin(vm, NULL, false, done, data, failure);
	if (r == 0)
		vm->opening.setup = true;
	return r;
}

int vm_start(struct vm *vm, vm_done_fn done, void *data, struct failure *failure)
{
	return vm_start_with_files(vm, NULL, done, data, failure);
}
