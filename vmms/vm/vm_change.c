/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One VM: changes of its definition, at rest or while it runs.
 *
 * A change is a copy of the definition with the change in it, and one of the pending definition if
 * there is one (vm_settings.c). They are checked, then what is to be kept is written beside
 * the old file (so that a full disk is noticed before anything has happened), then done by the
 * worker if there is one, then committed. What the worker is asked for stands in the VM's record
 * before, so that the next daemon can ask whether it was done (vm_unfinished.h).
 */
#include "common/base/log.h"
#include "common/control.h"
#include "vmms/base/fault.h"
#include "vmms/image/image.h"
#include "vmms/vm/manager.h"
#include "vmms/vm/vm_change_log.h"
#include "vmms/vm/vm_disk_health.h"
#include "vmms/vm/vm_file_limit.h"
#include "vmms/vm/vm_images.h"
#include "vmms/vm/vm_internal.h"
#include "vmms/vm/vm_log.h"
#include "vmms/vm/vm_record.h"
#include "vmms/vm/vm_unit.h"

#include <errno.h>
#include <string.h>

/*
 * A worker gives a disk away, and answers, when the disk's I/O is over, which is up to the host's
 * storage. Whoever gave up before would have a definition that is not what the guest has.
 */
#define NO_TIMEOUT 0

int vm_check_file(const struct vm *vm, struct failure *failure)
{
	const char *name = vm_stored_definition(vm)->name;

	if (store_is_same(vm->manager->store, name, &vm->stamp))
		return 0;
	return failure_set(failure, DBUS_ERROR_CONFLICT,
			   "somebody has changed the file of VM '%s' in %s, which would be lost; "
			   "'vmctl reload' takes that over, then try again",
			   name, store_path(vm->manager->store));
}

/* What the file is now, since we have written it. */
static int change_written(struct vm *vm, int r)
{
	if (r == 0)
		vm->stamp = store_stamp(vm->manager->store, vm_stored_definition(vm)->name);
	vm->change.unsaved = r < 0;
	return r;
}

int vm_save(struct vm *vm)
{
	return change_written(vm, store_save(vm->manager->store, vm_stored_definition(vm)));
}

void vm_change_save(struct vm *vm)
{
	struct failure failure;
	int r;

	if (vm_check_file(vm, &failure) < 0) {
		vm->change.unsaved = true;
		vm_log(vm, VM_EVENT_HOST, LOG_LEVEL_ERROR,
		       "what the guest changed is not saved: %s", failure.message);
		return;
	}
	r = vm_save(vm);
	if (r < 0)
		vm_log(vm, VM_EVENT_HOST, LOG_LEVEL_ERROR,
		       "what the guest changed cannot be saved in %s: %s",
		       store_path(vm->manager->store), strerror(-r));
}

static void change_abandon(struct vm *vm)
{
	bool written_down = vm->change.request > 0;

	file_holder_free(TAKE_PTR(vm->opening.files));
	store_discard(vm->manager->store, vm_stored_definition(vm)->name);
	definition_free(TAKE_PTR(vm->change.definition));
	definition_free(TAKE_PTR(vm->change.pending));
	vm->change.request = 0;
	vm_adapter_changed(vm, false);
	if (written_down)
		vm_record_save(vm);
	if (vm->change.unsaved)
		vm_change_save(vm);
}

/* A pending definition that is no other any more is none. */
static void change_take_next(struct vm *vm)
{
	definition_free(vm->definition);
	definition_free(vm->pending);
	vm->definition = TAKE_PTR(vm->change.definition);
	vm->pending = TAKE_PTR(vm->change.pending);
	vm->change.request = 0;
	if (vm->pending && vm_definitions_are_equal(vm->definition, vm->pending))
		definition_free(TAKE_PTR(vm->pending));
}

int vm_change_keep(struct vm *vm)
{
	int r;

	change_take_next(vm);
	r = vm_save(vm);
	vm_unit_update(vm);
	return r;
}

void vm_notify_definition(struct vm *vm)
{
	vm_notify(vm, "Definition", "RunningDefinition", "PendingChanges", "Owner", "Notes", "Tags",
		  "Cluster", "Processors", "Topology", "ProcessorModel", "Memory", "Engine",
		  "Adapters", "LimitsProblem", NULL);
}

/* The change has been made. Somebody may have changed the file while the worker was at it. */
static int vm_change_commit(struct vm *vm, struct failure *failure)
{
	struct store *store = vm->manager->store;
	const char *name = vm_stored_definition(vm)->name;
	int r;

	if (vm_check_file(vm, failure) < 0) {
		store_discard(store, name);
		vm->change.unsaved = true;
		return -ESTALE;
	}
	r = vm->change.unsaved ? vm_save(vm) : change_written(vm, store_commit(store, name));
	return r < 0 ? failure_set(
			       failure, DBUS_ERROR_STORE,
			       "VM '%s' has been changed, but its definition cannot be saved in "
			       "%s: %s; make room or repair that, and try the change again when "
			       "it is off",
			       name, store_path(store), strerror(-r))
		     : 0;
}

/* what: NULL, or what whoever asked is told although the change has been made. */
static void change_commit(struct vm *vm, const struct failure *what)
{
	bool resized = vm->definition->memory.size != vm->change.definition->memory.size;
	AUTO_JSON struct json_object *before = definition_to_json(vm_stored_definition(vm));
	AUTO_JSON struct json_object *after = NULL;
	struct failure failure;
	int r;

	file_holder_free(TAKE_PTR(vm->opening.files));
	change_take_next(vm);
	vm_disk_health_prune(vm);
	after = definition_to_json(vm_stored_definition(vm));
	vm_change_log(vm, before, after);
	r = vm_change_commit(vm, &failure);
	vm_adapter_changed(vm, true);
	vm_record_save(vm);
	vm_unit_update(vm);
	vm_notify_definition(vm);
	if (resized)
		vm_memory_apply_size(vm);
	vm_memory_balance_soon(vm->manager);
	vm_finish(&vm->operation, r < 0 ? &failure : what);
}

static void change_refuse_to_wait(const struct vm *vm, struct failure *failure)
{
	failure_set(
		failure, DBUS_ERROR_CANCELLED,
		"the guest of VM '%s' does not have it any more, but its image is in use until the "
		"host's storage has answered what the guest had asked before",
		vm->definition->name);
}

static void change_keep_fork(struct vm *vm)
{
	int r = vm_change_keep(vm);

	file_holder_free(TAKE_PTR(vm->opening.files));
	store_discard(vm->manager->store, vm_stored_definition(vm)->name);
	if (r < 0)
		vm_log(vm, VM_EVENT_HOST, LOG_LEVEL_ERROR,
		       "the images that its disks have now cannot be saved in %s: %s",
		       store_path(vm->manager->store), strerror(-r));
	vm_notify_definition(vm);
}

static void change_answered(void *data, struct json_object *result, const char *code,
			    const char *text)
{
	struct vm *vm = data;
	struct failure failure;

	fault_point(FAULT_CHANGE_ANSWERED);
	if (result) {
		bool in_use = json_object_get_boolean(json_object_object_get(result, "in_use"));

		if (in_use)
			change_refuse_to_wait(vm, &failure);
		change_commit(vm, in_use ? &failure : NULL);
		return;
	}
	/* Whether disks have been forked or not, what they would be then has all that there is. */
	if (strcmp(code, WORKER_ENDED) == 0 && vm_checkpoint_is_forking(vm))
		change_keep_fork(vm);
	else
		change_abandon(vm);
	if (strcmp(code, WORKER_ENDED) == 0)
		return; /* its end says more */
	vm_failure(vm, code, text, &failure);
	vm_finish(&vm->operation, &failure);
}

/* Return: 0; negative with *failure filled. */
static int change_stage(struct vm *vm, struct failure *failure)
{
	const struct definition *stored =
		vm->change.pending ? vm->change.pending : vm->change.definition;
	int r;

	r = vm_check_file(vm, failure);
	if (r == 0)
		r = vm_check_definition(vm->change.definition, failure);
	if (r == 0 && vm->change.pending)
		r = vm_check_definition(vm->change.pending, failure);
	if (r < 0)
		return r;
	r = store_stage(vm->manager->store, stored);
	return r < 0 ? failure_set(failure, DBUS_ERROR_STORE,
				   "cannot save the definition of VM '%s' in %s: %s; nothing has "
				   "been changed",
				   vm->definition->name, store_path(vm->manager->store),
				   strerror(-r))
		     : 0;
}

static void change_write_down_request(struct vm *vm)
{
	vm->change.request = worker_next_request(vm->run.worker);
	vm_record_save(vm);
}

static int change_check_sent(const struct vm *vm, int r, struct failure *failure)
{
	fault_point(FAULT_CHANGE_SENT);
	return r < 0 ? vm_failure(vm, CONTROL_ERROR_FAILED, strerror(-r), failure) : 0;
}

int vm_change_make(struct vm *vm, const char *method, struct json_object *arguments, const int *fds,
		   size_t fd_count, struct failure *failure)
{
	int r;

	r = change_stage(vm, failure);
	if (r < 0)
		return r;
	if (!vm->run.worker || !method) {
		change_commit(vm, NULL);
		return 0;
	}
	change_write_down_request(vm);
	r = worker_request(vm->run.worker, method, arguments, fds, fd_count, NO_TIMEOUT,
			   change_answered, vm);
	return change_check_sent(vm, r, failure);
}

int vm_change_make_with_files(struct vm *vm, const char *method, struct json_object *arguments,
			      const struct held_file *files, size_t count, struct failure *failure)
{
	const struct worker_files sent = { vm->opening.files, files, count };
	int r;

	r = change_stage(vm, failure);
	if (r < 0)
		return r;
	change_write_down_request(vm);
	r = worker_request_with_files(vm->run.worker, method, arguments, &sent, NO_TIMEOUT,
				      change_answered, vm);
	return change_check_sent(vm, r, failure);
}

/* ---- With a file ---- */

/* Has the worker use what was opened, or the server of that. */
static int change_use_medium(struct vm *vm, struct opened_files *opened,
			     struct json_object *arguments, struct failure *failure)
{
	CLEANUP(resources_deinit)
	struct resources served = { .helpers = vm->manager->helpers, .whose = vm_owner(vm) };
	int r;

	r = vm_images_serve(vm, vm->change.definition, opened, &served, failure);
	if (r < 0)
		return r;
	if (served.count > 0)
		return vm_change_make(vm, vm->opening.method, arguments, &served.items[0].fd, 1,
				      failure);
	/* A medium is only read. */
	if (strcmp(vm->opening.method, "attach") == 0)
		r = vm_file_limit_raise(vm, opened->items[0].size, failure);
	if (r < 0)
		return r;
	return vm_change_make_with_files(vm, vm->opening.method, arguments, opened->items,
					 opened->count, failure);
}

static void change_medium_opened(void *data, struct opened_files *opened,
				 const struct failure *failure)
{
	struct vm *vm = data;
	AUTO_JSON struct json_object *arguments = TAKE_PTR(vm->opening.arguments);
	struct failure why;
	int r;

	vm->opening.open_helper = NULL;
	if (opened->warning[0] != '\0')
		vm_log(vm, VM_EVENT_HOST, LOG_LEVEL_WARNING, "%s", opened->warning);
	if (failure) {
		why = *failure;
		r = -EINVAL;
	} else {
		vm->opening.files = TAKE_PTR(opened->holder);
		r = change_use_medium(vm, opened, arguments, &why);
	}
	if (r < 0) {
		change_abandon(vm);
		vm_finish(&vm->operation, &why);
	}
}

static int change_refuse_passed(const struct vm *vm, struct failure *failure)
{
	return failure_set(
		failure, DBUS_ERROR_INVALID_STATE,
		"VM '%s' is off: what is passed is for a VM that runs; leave it out, and "
		"pass it when the VM is started",
		vm->definition->name);
}

int vm_change_open(struct vm *vm, const char *method, struct json_object *arguments,
		   const struct definition_disk *disk, int passed, struct failure *failure)
{
	struct resources files = { .count = 0 };
	struct resources_request request = manager_files_request(vm);
	int r;

	request.disk = disk;
	request.passed = &files;
	if (!vm->run.worker && passed >= 0)
		return change_refuse_passed(vm, failure);
	/* At rest it is opened at the next start. */
	if (!vm->run.worker || !disk->path)
		return vm_change_make(vm, method, arguments, NULL, 0, failure);
	if (passed >= 0) {
		resources_disk_name(disk, files.items[0].name);
		files.items[files.count++].fd = passed;
	}
	r = open_helper_new(vm->manager->helpers, vm->manager->settings.open_timeout, &request,
			    change_medium_opened, vm, &vm->opening.open_helper, failure);
	if (r < 0)
		return r;
	fault_point(FAULT_FILES_ASKED_FOR);
	vm->opening.method = method;
	vm->opening.arguments = json_object_get(arguments);
	return 0;
}

void vm_change_interrupt(struct vm *vm)
{
	if (!vm->opening.open_helper)
		return;
	open_helper_free(TAKE_PTR(vm->opening.open_helper));
	json_object_put(TAKE_PTR(vm->opening.arguments));
	change_abandon(vm);
}

bool vm_change_waits(const struct vm *vm)
{
	enum vm_verb verb = vm->operation.verb;

	return vm->operation.done && vm->run.worker && vm->change.request > 0 &&
	       (verb == VM_DETACH || verb == VM_INSERT || verb == VM_EJECT);
}

void vm_change_undo(struct vm *vm)
{
	vm->operation = (struct vm_operation){ 0 };
	change_abandon(vm);
}

int vm_change_begin(struct vm *vm, enum vm_verb verb, vm_done_fn done, void *data,
		    struct failure *failure)
{
	int r;

	if (vm->change.unfinished)
		return failure_set(
			failure, DBUS_ERROR_BUSY,
			"what an earlier vmms has changed of VM '%s' is just being found "
			"out; try again",
			vm->definition->name);
	r = vm_begin(vm, verb, done, data, failure);
	if (r < 0)
		return r;
	r = definition_copy(vm->definition, &vm->change.definition);
	if (r == 0 && vm->pending)
		r = definition_copy(vm->pending, &vm->change.pending);
	if (r < 0) {
		definition_free(TAKE_PTR(vm->change.definition));
		vm->operation = (struct vm_operation){ 0 };
		return failure_no_memory(failure);
	}
	return 0;
}
