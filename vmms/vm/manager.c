/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * All VMs of the daemon: finding, creating and deleting them. manager_load.c reads them from the store,
 * manager_stop.c ends them; manager_disks.c knows who has which image open, manager_mac.c who has which
 * address.
 */
#include "vmms/vm/manager.h"

#include "common/base/log.h"
#include "vmms/base/fault.h"
#include "vmms/base/folder.h"
#include "vmms/cpu_group/cpu_groups.h"
#include "vmms/vm/automatic_start.h"
#include "vmms/vm/manager_internal.h"
#include "vmms/vm/run_record.h"
#include "vmms/vm/vm_log.h"
#include "vmms/vm/vm_pinning.h"
#include "vmms/vm/vm_record.h"
#include "vmms/vm/vm_variables.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* ---- Life ---- */

int manager_new(sd_event *loop, const struct manager_settings *settings,
		struct manager **ret_manager)
{
	CLEANUP(manager_freep) struct manager *manager = calloc(1, sizeof(*manager));
	int r;

	if (!manager)
		return -ENOMEM;
	manager->loop = sd_event_ref(loop);
	manager->settings = *settings;
	list_init(&manager->vms);
	for (size_t i = 0; i < MANAGER_UUID_LISTS; i++)
		list_init(&manager->by_uuid[i]);
	list_init(&manager->broken);
	list_init(&manager->queries);
	list_init(&manager->moves_waiting);
	vm_sockets_init_all(&manager->socket_calls);
	manager_observe(manager, NULL, NULL);
	r = watches_new(loop, &manager->watches);
	if (r < 0)
		return r;
	r = jobs_new(loop, &manager->jobs);
	if (r < 0)
		return r;
	r = helpers_new(loop, &manager->helpers);
	if (r < 0)
		return r;
	r = store_open(settings->state_directory, &manager->store);
	if (r < 0)
		return r;
	r = folder_open(settings->state_directory, "saved", &manager->saved);
	if (r < 0)
		return r;
	r = folder_open(settings->state_directory, "checkpoints", &manager->checkpoints);
	if (r < 0)
		return r;
	r = folder_open(settings->state_directory, "meters", &manager->meters);
	if (r < 0)
		return r;
	r = folder_open(settings->runtime_directory, "workers", &manager->records);
	if (r < 0)
		return r;
	r = vswitches_new(settings->state_directory, &manager_switch_vms, manager,
			  &manager->switches);
	if (r < 0)
		return r;
	r = cpu_groups_new(settings->state_directory, settings->units, &manager_cpu_group_vms,
			   manager, &manager->cpu_groups);
	if (r < 0)
		return r;
	r = run_record_open(settings->runtime_directory, &manager->record);
	if (r < 0)
		return r;
	r = manager_load(manager);
	if (r < 0)
		return r;
	vm_record_warn_of_strays(manager);
	vm_confinement_remove_stale(manager);
	vswitches_settle(manager->switches);
	r = vswitches_watch(manager->switches, loop);
	if (r < 0)
		return r;
	*ret_manager = TAKE_PTR(manager);
	return 0;
}

void manager_free(struct manager *manager)
{
	if (!manager)
		return;
	automatic_start_free(manager->start);
	vm_memory_end(manager);
	statistics_end(manager);
	list_for_each (link, &manager->vms)
		vm_free(container_of(link, struct vm, link));
	helpers_free(manager->helpers);
	jobs_free(manager->jobs);
	manager_forget_broken(manager);
	sd_event_source_disable_unref(manager->stop_timer);
	vswitches_free(manager->switches);
	cpu_groups_free(manager->cpu_groups);
	store_free(manager->store);
	run_record_free(manager->record);
	folder_free(manager->records);
	folder_free(manager->saved);
	folder_free(manager->checkpoints);
	folder_free(manager->meters);
	watches_free(manager->watches);
	sd_event_unref(manager->loop);
	free(manager);
}

/* ---- Observers ---- */

static void manager_ignore_vm(void *data, struct vm *vm)
{
}

static void manager_ignore_change(void *data, struct vm *vm, const char *const *properties)
{
}

static void manager_ignore_entry(void *data, struct vm *vm, const struct vm_log_entry *entry)
{
}

static void manager_ignore(void *data)
{
}

static const struct manager_observer nobody = {
	.vm_added = manager_ignore_vm,
	.vm_removed = manager_ignore_vm,
	.vm_changed = manager_ignore_change,
	.vm_logged = manager_ignore_entry,
	.broken_changed = manager_ignore,
	.stopped = manager_ignore,
};

void manager_observe(struct manager *manager, const struct manager_observer *observer, void *data)
{
	manager->observer = observer ? observer : &nobody;
	manager->observer_data = data;
}

void manager_vm_changed(struct manager *manager, struct vm *vm, const char *const *properties)
{
	manager->observer->vm_changed(manager->observer_data, vm, properties);
}

void manager_vm_logged(struct manager *manager, struct vm *vm, const struct vm_log_entry *entry)
{
	manager->observer->vm_logged(manager->observer_data, vm, entry);
}

/* ---- Finding ---- */

/* Files are read in the order of their names: then this is so for each of a thousand. */
static bool manager_is_behind_all(const struct manager *manager, const char *name)
{
	const struct list *last = manager->vms.previous;

	return last == &manager->vms ||
	       strcmp(container_of(last, struct vm, link)->definition->name, name) < 0;
}

struct vm *manager_find_name(const struct manager *manager, const char *name)
{
	if (manager_is_behind_all(manager, name))
		return NULL;
	list_for_each (link, (struct list *)&manager->vms) {
		struct vm *vm = container_of(link, struct vm, link);

		if (strcmp(vm->definition->name, name) == 0)
			return vm;
	}
	return NULL;
}

/* Whoever has chosen uuids is at worst as slow as without. */
static struct list *manager_uuid_list(const struct manager *manager, const struct guid *uuid)
{
	unsigned hash = 0;

	for (size_t i = 0; i < sizeof(uuid->bytes); i++)
		hash = hash * 31 + uuid->bytes[i];
	return (struct list *)&manager->by_uuid[hash % MANAGER_UUID_LISTS];
}

struct vm *manager_find_uuid(const struct manager *manager, const struct guid *uuid)
{
	list_for_each (link, manager_uuid_list(manager, uuid)) {
		struct vm *vm = container_of(link, struct vm, uuid_link);

		if (guid_equal(&vm->definition->uuid, uuid))
			return vm;
	}
	return NULL;
}

struct vm *manager_find(const struct manager *manager, const char *text)
{
	struct vm *named = manager_find_name(manager, text), *numbered = NULL;
	struct guid uuid;

	if (guid_parse(text, &uuid) == 0)
		numbered = manager_find_uuid(manager, &uuid);
	if (named && numbered && named != numbered)
		return NULL;
	return named ? named : numbered;
}

struct broken_definition *manager_find_broken(const struct manager *manager, const char *name)
{
	list_for_each (link, (struct list *)&manager->broken) {
		struct broken_definition *broken =
			container_of(link, struct broken_definition, link);

		if (strcmp(broken->name, name) == 0)
			return broken;
	}
	return NULL;
}

/* Also by a worker that we have given up, one of a VM without a definition, another daemon's. */
static bool manager_worker_user_is_used(void *data, uid_t user)
{
	struct manager *manager = data;

	list_for_each (link, &manager->vms) {
		struct vm *vm = container_of(link, struct vm, link);

		if (vm->run.worker && vm->run.user == user)
			return true;
	}
	return worker_users_has_processes(user);
}

int manager_take_worker_user(struct manager *manager, uid_t *ret_user)
{
	return worker_users_take(&manager->settings.users, manager_worker_user_is_used, manager,
				 ret_user);
}

bool manager_owner_knows(const char *owner, const struct vm *vm)
{
	return !owner || (vm->definition->owner && strcmp(vm->definition->owner, owner) == 0);
}

const char *manager_describe(const char *owner, const struct vm *vm,
			     char text[static MANAGER_DESCRIPTION_SIZE])
{
	if (!manager_owner_knows(owner, vm))
		return "a VM of another user";
	snprintf(text, MANAGER_DESCRIPTION_SIZE, "VM '%s'", vm->definition->name);
	return text;
}

/* ---- Creating and deleting ---- */

void manager_insert(struct manager *manager, struct vm *vm)
{
	struct list *next = &manager->vms;

	list_append(manager_uuid_list(manager, &vm->definition->uuid), &vm->uuid_link);
	if (manager_is_behind_all(manager, vm->definition->name)) {
		list_append(&manager->vms, &vm->link);
		return;
	}
	list_for_each (link, &manager->vms) {
		struct vm *other = container_of(link, struct vm, link);

		if (strcmp(other->definition->name, vm->definition->name) > 0) {
			next = link;
			break;
		}
	}
	list_append(next, &vm->link);
}

int manager_check_name(struct manager *manager, const char *name, struct failure *failure)
{
	if (manager_find_name(manager, name))
		return failure_set(failure, DBUS_ERROR_EXISTS,
				   "there is a VM '%s' already; delete it first or choose another "
				   "name",
				   name);
	if (manager_find_broken(manager, name))
		return failure_set(failure, DBUS_ERROR_EXISTS,
				   "there is a broken definition of a VM '%s'; repair or delete "
				   "that first ('vmctl list' shows what is wrong)",
				   name);
	if (store_has(manager->store, name))
		return failure_set(
			failure, DBUS_ERROR_EXISTS,
			"there is a definition of a VM '%s' in %s that has not been read; "
			"'vmctl reload' reads it",
			name, store_path(manager->store));
	return 0;
}

static int manager_check_new(struct manager *manager, const struct definition *definition,
			     struct failure *failure)
{
	char text[MANAGER_DESCRIPTION_SIZE];
	struct vm *twin;

	if (manager_check_stopping(manager, definition, failure) < 0)
		return -EBUSY;
	if (manager_check_name(manager, definition->name, failure) < 0)
		return -EEXIST;
	twin = manager_find_uuid(manager, &definition->uuid);
	if (twin)
		return failure_set(failure, DBUS_ERROR_EXISTS,
				   "%s has that uuid already; leave the uuid out to get a new one",
				   manager_describe(definition->owner, twin, text));
	if (vm_pinning_check(manager->cpu_groups, definition, DBUS_ERROR_INVALID_DEFINITION,
			     failure) < 0)
		return -EINVAL;
	return vm_check_definition(definition, failure);
}

static int manager_create(struct manager *manager, struct vm *vm, struct failure *failure)
{
	struct definition *definition = vm->definition;
	int r;

	if (guid_is_null(&definition->uuid)) {
		r = guid_generate(&definition->uuid);
		if (r < 0)
			return failure_set(failure, DBUS_ERROR_INTERNAL, "cannot make a uuid: %s",
					   strerror(-r));
	}
	r = manager_check_new(manager, definition, failure);
	if (r == 0)
		r = manager_complete_adapters(manager, definition, vm, failure);
	if (r < 0)
		return r;
	if (vm_log_open(vm) < 0)
		return failure_no_memory(failure);
	r = store_save(manager->store, definition);
	if (r < 0)
		return failure_set(failure, DBUS_ERROR_STORE,
				   "cannot save the definition of VM '%s' in %s: %s; make room or "
				   "repair that, then try again",
				   definition->name, store_path(manager->store), strerror(-r));
	vm->stamp = store_stamp(manager->store, definition->name);
	return 0;
}

int manager_create_vm(struct manager *manager, struct definition *definition, struct vm **ret_vm,
		      struct failure *failure)
{
	CLEANUP(vm_freep) struct vm *vm = NULL;
	int r;

	r = vm_new(manager, definition, &vm);
	if (r < 0)
		return failure_no_memory(failure);
	r = manager_create(manager, vm, failure);
	if (r < 0)
		return r;
	manager_insert(manager, vm);
	manager->observer->vm_added(manager->observer_data, vm);
	vm_log(vm, VM_EVENT_CREATED, LOG_LEVEL_INFO, "created");
	*ret_vm = TAKE_PTR(vm);
	return 0;
}

static int manager_delete_file(struct manager *manager, const char *name, struct failure *failure)
{
	int r;

	r = store_delete(manager->store, name);
	if (r < 0 && r != -ENOENT)
		return failure_set(failure, DBUS_ERROR_STORE,
				   "cannot delete the definition of VM '%s' in %s: %s", name,
				   store_path(manager->store), strerror(-r));
	return 0;
}

void manager_forget(struct manager *manager, struct vm *vm)
{
	manager->observer->vm_removed(manager->observer_data, vm);
	vm_free(vm);
}

int manager_delete_vm(struct manager *manager, struct vm *vm, struct failure *failure)
{
	int r;

	r = vm_check(vm, VM_DELETE, failure);
	if (r == 0)
		r = vm_checkpoint_forget(vm, failure);
	if (r < 0)
		return r;
	/* Before its definition: should we be killed, nobody would know whose it was. */
	vm_log_delete(vm);
	fault_point(FAULT_LOG_DELETED);
	r = manager_delete_file(manager, vm->definition->name, failure);
	if (r < 0)
		return r;
	vm_sockets_deleted(vm);
	vm_variables_delete(vm);
	vm_backup_delete(vm);
	vm_meter_delete(vm);
	vm_log(vm, VM_EVENT_DELETED, LOG_LEVEL_INFO, "deleted");
	manager_forget(manager, vm);
	return 0;
}

int manager_delete_broken(struct manager *manager, struct broken_definition *broken,
			  struct failure *failure)
{
	int r;

	r = manager_delete_file(manager, broken->file, failure);
	if (r < 0)
		return r;
	log_info("VM %s: broken definition deleted", broken->name);
	broken_definition_free(broken);
	manager->observer->broken_changed(manager->observer_data);
	return 0;
}
