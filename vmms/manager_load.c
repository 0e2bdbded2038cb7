/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * All VMs of the daemon: reading them from the store, at the start and again.
 *
 * Again, the store is compared with what is known: a file that is new becomes a VM, a VM at rest
 * whose file has changed takes that over, one whose file has gone is forgotten. VMs that are not
 * at rest stay as they are. Broken files are listed, and stop nothing.
 */
#include "common/base/log.h"
#include "common/base/text.h"
#include "vmms/manager_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct loading {
	struct manager *manager;
	struct list seen; /* VMs whose file was found; the others are left in manager->vms */
	struct failure failure;
};

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
static char *as_utf8(char *text)
{
	size_t size = text ? strlen(text) : 0;

	if (text)
		text_repair(text, size + 1, text, size);
	return text;
}

static int add_broken(struct loading *loading, const char *name, const struct json_error *error)
{
	struct broken_definition *broken = calloc(1, sizeof(*broken));

	if (!broken)
		return -ENOMEM;
	list_append(&loading->manager->broken, &broken->link);
	broken->file = strdup(name);
	broken->name = as_utf8(strdup(name));
	broken->path = as_utf8(store_file_path(loading->manager->store, name));
	broken->error = *error;
	if (!broken->file || !broken->name || !broken->path)
		return -ENOMEM;
	log_error("%s:%d: %s%s%s", broken->path, error->line, error->key,
		  error->key[0] != '\0' ? " " : "", error->message);
	return 0;
}

static struct vm *find_seen(struct loading *loading, const struct guid *uuid)
{
	list_for_each (link, &loading->seen) {
		struct vm *vm = container_of(link, struct vm, link);

		if (guid_equal(&vm->definition->uuid, uuid))
			return vm;
	}
	return NULL;
}

static bool is_same(const struct definition *a, const struct definition *b)
{
	AUTO_JSON struct json_object *tree_a = definition_to_json(a);
	AUTO_JSON struct json_object *tree_b = definition_to_json(b);

	return tree_a && tree_b && json_object_equal(tree_a, tree_b);
}

/* The VM has this definition now. Its object on the bus has its uuid in the path. */
static void replace(struct vm *vm, struct definition *definition)
{
	static const char *const properties[] = { "Definition", "Processors", "Memory",
						  "Engine",     "Notes",      NULL };

	definition_free(vm->definition);
	vm->definition = definition;
	log_info("VM %s: definition changed", definition->name);
	manager_vm_changed(vm->manager, vm, properties);
}

static int add_new(struct loading *loading, struct definition *definition)
{
	struct manager *manager = loading->manager;
	struct vm *vm;
	int r;

	r = vm_new(manager, definition, &vm);
	if (r < 0)
		return r;
	list_append(&loading->seen, &vm->link);
	manager->observer->vm_added(manager->observer_data, vm);
	return 0;
}

static int take_definition(struct loading *loading, struct definition *definition)
{
	struct vm *vm = manager_find_name(loading->manager, definition->name);

	if (vm && !guid_equal(&vm->definition->uuid, &definition->uuid) &&
	    !vm_state_is_active(vm->state)) {
		/* The same name, but another VM. */
		manager_forget(loading->manager, vm);
		vm = NULL;
	}
	if (!vm)
		return add_new(loading, definition);
	list_unlink(&vm->link);
	list_append(&loading->seen, &vm->link);
	if (vm_state_is_active(vm->state) || vm->operation.done ||
	    is_same(vm->definition, definition))
		definition_free(definition);
	else
		replace(vm, definition);
	return 0;
}

static int found(void *data, struct store_entry *entry)
{
	struct loading *loading = data;
	struct failure failure;
	struct vm *twin;

	if (!entry->definition)
		return add_broken(loading, entry->name, &entry->error);
	twin = find_seen(loading, &entry->definition->uuid);
	if (twin) {
		snprintf(entry->error.key, sizeof(entry->error.key), "uuid");
		snprintf(entry->error.message, sizeof(entry->error.message),
			 "is that of VM '%s'; give this one another", twin->definition->name);
	} else if (vm_check_definition(entry->definition, &failure) < 0) {
		snprintf(entry->error.message, sizeof(entry->error.message), "%.250s",
			 failure.message);
	} else {
		return take_definition(loading, entry->definition);
	}
	definition_free(entry->definition);
	return add_broken(loading, entry->name, &entry->error);
}

/* VMs whose file is gone or broken: those at rest are forgotten. */
static void settle_unseen(struct loading *loading)
{
	struct manager *manager = loading->manager;

	list_for_each (link, &manager->vms) {
		struct vm *vm = container_of(link, struct vm, link);

		if (!vm_state_is_active(vm->state) && !vm->operation.done)
			manager_forget(manager, vm);
	}
	list_for_each (link, &loading->seen) {
		list_unlink(link);
		manager_insert(manager, container_of(link, struct vm, link));
	}
}

int manager_load(struct manager *manager)
{
	struct loading loading = { .manager = manager };
	int r;

	list_init(&loading.seen);
	manager_forget_broken(manager);
	r = store_load(manager->store, found, &loading);
	if (r < 0)
		/* Half of the files are not known: forget nothing. */
		list_for_each (link, &loading.seen) {
			list_unlink(link);
			manager_insert(manager, container_of(link, struct vm, link));
		}
	else
		settle_unseen(&loading);
	manager->observer->broken_changed(manager->observer_data);
	return r;
}

int manager_reload(struct manager *manager, struct failure *failure)
{
	int r;

	r = manager_load(manager);
	if (r < 0)
		return failure_set(failure, DBUS_ERROR_STORE,
				   "cannot read the definitions in %s: %s",
				   store_path(manager->store), strerror(-r));
	return 0;
}
