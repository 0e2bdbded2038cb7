/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * All VMs of the daemon: another name for one, at rest or while it runs.
 *
 * The new file is written before the old one goes: a daemon that is killed between the two finds
 * both, takes the VM from one, and lists the other as broken, for its uuid is taken. Logs, record
 * and sockets of a VM are known by its uuid, and stay. The units of one that runs keep the name
 * that it had at its start.
 */
#include "vmms/vm/manager_internal.h"
#include "vmms/vm/vm_internal.h"
#include "vmms/vm/vm_log.h"
#include "vmms/vm/vm_record.h"

#include <errno.h>
#include <string.h>

struct renamed {
	struct definition *definition, *pending; /* as of struct vm */
};

static void rename_renamed_deinit(struct renamed *renamed)
{
	definition_free(renamed->definition);
	definition_free(renamed->pending);
}

static int rename_copy_with_name(const struct definition *definition, const char *name,
				 struct definition **ret_copy)
{
	CLEANUP(definition_freep) struct definition *copy = NULL;
	int r;

	if (!definition)
		return 0;
	r = definition_copy(definition, &copy);
	if (r == 0)
		r = definition_rename(copy, name);
	if (r == 0)
		*ret_copy = TAKE_PTR(copy);
	return r;
}

static int rename_check(struct vm *vm, const char *name, struct failure *failure)
{
	int r;

	if (!definition_name_is_valid(name))
		return failure_set(failure, DBUS_ERROR_INVALID_ARGUMENT,
				   "a name must begin with a letter or digit, and hold letters, "
				   "digits, '-', '_' and '.' alone, at most %d of them",
				   DEFINITION_NAME_MAX);
	r = manager_check_stopping(vm->manager, vm->definition, failure);
	if (r == 0)
		r = manager_check_name(vm->manager, name, failure);
	if (r == 0)
		r = vm_check(vm, VM_RENAME, failure);
	if (r == 0 && vm->change.unfinished)
		r = failure_set(failure, DBUS_ERROR_BUSY,
				"what an earlier vmms has changed of VM '%s' is just being found "
				"out; try again",
				vm->definition->name);
	return r == 0 ? vm_check_file(vm, failure) : r;
}

/* From the old file to the new one. */
static int rename_move_file(struct store *store, const struct definition *wanted, const char *old,
			    struct failure *failure)
{
	int r;

	r = store_save(store, wanted);
	if (r < 0)
		return failure_set(failure, DBUS_ERROR_STORE,
				   "cannot save the definition of VM '%s' in %s: %s; nothing has "
				   "been changed",
				   wanted->name, store_path(store), strerror(-r));
	r = store_delete(store, old);
	if (r == 0 || r == -ENOENT)
		return 0;
	(void)!store_delete(store, wanted->name);
	return failure_set(failure, DBUS_ERROR_STORE,
			   "cannot delete the definition of VM '%s' in %s: %s; nothing has been "
			   "changed",
			   old, store_path(store), strerror(-r));
}

/* All who know the VM by its name. */
static void rename_take_name(struct vm *vm, struct renamed *renamed)
{
	static const char *const properties[] = { "Name", "Definition", NULL };
	struct manager *manager = vm->manager;

	definition_free(vm->definition);
	definition_free(vm->pending);
	vm->definition = TAKE_PTR(renamed->definition);
	vm->pending = TAKE_PTR(renamed->pending);
	vm->stamp = store_stamp(manager->store, vm->definition->name);
	list_unlink(&vm->link);
	list_unlink(&vm->uuid_link);
	manager_insert(manager, vm);
	if (vm->run.worker)
		worker_rename(vm->run.worker, vm->definition->name);
	vm_record_save(vm);
	manager_vm_changed(manager, vm, properties);
}

int manager_rename_vm(struct manager *manager, struct vm *vm, const char *name,
		      struct failure *failure)
{
	CLEANUP(rename_renamed_deinit) struct renamed renamed = { 0 };
	char old[DEFINITION_NAME_MAX + 1];
	int r;

	strcpy(old, vm->definition->name);
	if (strcmp(old, name) == 0)
		return 0;
	r = rename_check(vm, name, failure);
	if (r < 0)
		return r;
	if (rename_copy_with_name(vm->definition, name, &renamed.definition) < 0 ||
	    rename_copy_with_name(vm->pending, name, &renamed.pending) < 0)
		return failure_no_memory(failure);
	r = rename_move_file(manager->store, renamed.pending ? renamed.pending : renamed.definition,
			     old, failure);
	if (r < 0)
		return r;
	rename_take_name(vm, &renamed);
	vm_log(vm, VM_EVENT_CHANGED, LOG_LEVEL_INFO, "renamed: it was '%s'", old);
	return 0;
}
