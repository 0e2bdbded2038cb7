/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * All VMs of the daemon: reading them from the store, at the start and again.
 *
 * Again, the store is compared with what is known: a file that is new becomes a VM, a VM whose file
 * has changed takes that over as any other change, one at rest whose file has gone is forgotten.
 * Broken files are listed, and stop nothing.
 */
#include "common/base/log.h"
#include "common/base/text.h"
#include "vmms/cpu_group/cpu_groups.h"
#include "vmms/vm/manager_internal.h"
#include "vmms/vm/vm_log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

void broken_definition_free(struct broken_definition *broken)
{
	list_unlink(&broken->link);
	free(broken->file);
	free(broken->name);
	free(broken->path);
	free(broken);
}

void manager_forget_broken(struct manager *manager)
{
	list_for_each (link, &manager->broken)
		broken_definition_free(container_of(link, struct broken_definition, link));
}

/* In place. */
static char *load_as_utf8(char *text)
{
	size_t size = text ? strlen(text) : 0;

	if (text)
		text_repair(text, size + 1, text, size);
	return text;
}

static int load_add_broken(struct manager *manager, const char *name,
			   const struct json_error *error)
{
	struct broken_definition *broken = calloc(1, sizeof(*broken));
	char text[JSON_ERROR_TEXT_MAX];

	if (!broken)
		return -ENOMEM;
	list_append(&manager->broken, &broken->link);
	broken->file = strdup(name);
	broken->name = load_as_utf8(strdup(name));
	broken->path = load_as_utf8(store_file_path(manager->store, name));
	broken->error = *error;
	if (!broken->file || !broken->name || !broken->path)
		return -ENOMEM;
	json_error_describe(broken->path, (unsigned)error->line, error->key, error->message, text,
			    sizeof(text));
	log_error("%s", text);
	return 0;
}

/* May be changed or forgotten by what is in the store. */
static bool load_is_at_rest(const struct vm *vm)
{
	return !vm_state_is_active(vm->state) && !vm->saved.exists && !vm->operation.done;
}

/*
 * Another VM that has the uuid by right: it runs, or there is a file of its name too. One that has
 * neither is the same VM under its old name, which is forgotten here.
 */
static struct vm *load_find_twin(struct manager *manager, const struct definition *definition)
{
	struct vm *vm = manager_find_uuid(manager, &definition->uuid);

	if (!vm || strcmp(vm->definition->name, definition->name) == 0)
		return NULL;
	if (!load_is_at_rest(vm) || store_has(manager->store, vm->definition->name))
		return vm;
	manager_forget(manager, vm);
	return NULL;
}

/* The VM has this definition now. Its object on the bus has its uuid in the path. */
static void load_replace(struct vm *vm, struct definition *definition)
{
	static const char *const properties[] = { "Definition",     "Processors", "Topology",
						  "ProcessorModel", "Memory",     "Engine",
						  "Notes",          "Tags",       "Cluster",
						  "Owner",          "Adapters",   NULL };

	definition_free(vm->definition);
	vm->definition = definition;
	vm_log(vm, VM_EVENT_CHANGED, LOG_LEVEL_INFO, "definition changed by its file");
	manager_vm_changed(vm->manager, vm, properties);
}

/* What it has not taken over is still somebody else's, which no other change is to replace. */
static void load_changed_by_file(void *data, const struct failure *failure)
{
	struct vm *vm = data;

	if (!failure)
		return;
	vm->stamp = (struct folder_stamp){ 0 };
	log_warning("%s", failure->message);
}

/* Of a VM that runs: as if somebody had asked for that change. Takes over the definition. */
static void load_change_by_file(struct vm *vm, struct definition *definition)
{
	struct failure failure;

	if (vm_change_definition(vm, definition, load_changed_by_file, vm, &failure) < 0)
		load_changed_by_file(vm, &failure);
}

static int load_add_new(struct manager *manager, struct definition *definition,
			const struct folder_stamp *stamp)
{
	struct vm *vm;
	int r;

	r = vm_new(manager, definition, &vm);
	if (r < 0)
		return r;
	r = vm_log_open(vm);
	if (r < 0) {
		vm_free(vm);
		return r;
	}
	vm->reading = manager->reading;
	vm->stamp = *stamp;
	manager_insert(manager, vm);
	vm_adopt(vm);
	manager->observer->vm_added(manager->observer_data, vm);
	return 0;
}

static int load_take_definition(struct manager *manager, struct definition *definition,
				const struct folder_stamp *stamp)
{
	struct vm *vm = manager_find_name(manager, definition->name);

	if (vm && !guid_equal(&vm->definition->uuid, &definition->uuid) && load_is_at_rest(vm)) {
		/* The same name, but another VM. */
		manager_forget(manager, vm);
		vm = NULL;
	}
	if (!vm)
		return load_add_new(manager, definition, stamp);
	vm->reading = manager->reading;
	vm->stamp = *stamp;
	if (vm_definitions_are_equal(vm_stored_definition(vm), definition))
		definition_free(definition);
	else if (load_is_at_rest(vm))
		load_replace(vm, definition);
	else
		load_change_by_file(vm, definition);
	return 0;
}

static int load_found(void *data, struct store_entry *entry)
{
	struct manager *manager = data;
	struct failure failure;
	struct vm *twin;

	if (!entry->definition)
		return load_add_broken(manager, entry->name, &entry->error);
	twin = load_find_twin(manager, entry->definition);
	if (twin) {
		snprintf(entry->error.key, sizeof(entry->error.key), "uuid");
		snprintf(entry->error.message, sizeof(entry->error.message),
			 "is that of VM '%s'; give this one another", twin->definition->name);
	} else if (vm_check_definition(entry->definition, &failure) < 0) {
		snprintf(entry->error.message, sizeof(entry->error.message), "%.250s",
			 failure.message);
	} else {
		return load_take_definition(manager, entry->definition, &entry->stamp);
	}
	definition_free(entry->definition);
	return load_add_broken(manager, entry->name, &entry->error);
}

/* VMs at rest whose file is gone or broken. */
static void load_forget_unread(struct manager *manager)
{
	list_for_each (link, &manager->vms) {
		struct vm *vm = container_of(link, struct vm, link);

		if (vm->reading != manager->reading && load_is_at_rest(vm))
			manager_forget(manager, vm);
	}
}

int manager_load(struct manager *manager)
{
	int r;

	manager->reading++;
	manager_forget_broken(manager);
	r = store_load(manager->store, load_found, manager);
	/* Else half of the files are not known. */
	if (r == 0)
		load_forget_unread(manager);
	manager->observer->broken_changed(manager->observer_data);
	return r;
}

int manager_reload(struct manager *manager, struct failure *failure)
{
	int r;

	/* First those that VMs name. */
	r = cpu_groups_reload(manager->cpu_groups, failure);
	if (r < 0)
		return r;
	r = manager_load(manager);
	if (r < 0)
		return failure_set(failure, DBUS_ERROR_STORE,
				   "cannot read the definitions in %s: %s",
				   store_path(manager->store), strerror(-r));
	return vswitches_reload(manager->switches, failure);
}
