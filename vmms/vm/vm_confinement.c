/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One VM: the AppArmor profile that its processes run under. */
#include "vmms/vm/vm_confinement.h"

#include "vmms/vm/manager.h"
#include "vmms/vm/vm_internal.h"
#include "vmms/vm/vm_log.h"

#include <stdio.h>
#include <string.h>

static struct apparmor_config confinement_config_of(const struct manager *manager)
{
	const struct manager_settings *settings = &manager->settings;

	return (struct apparmor_config){ .parser = settings->apparmor_parser,
					 .runtime_directory = settings->runtime_directory,
					 .programs = { .worker = settings->worker,
						       .image_server = settings->image_server,
						       .image_guard = settings->image_guard,
						       .passt = settings->passt,
						       .screen = settings->screen },
					 .timeout = settings->open_timeout };
}

/* ---- Beginning ---- */

static void confinement_conclude(struct vm *vm, const char *problem)
{
	bool required = vm->manager->settings.apparmor == APPARMOR_REQUIRE;
	struct failure failure;

	if (problem)
		vm->confinement.profile[0] = '\0';
	if (problem && required)
		failure_set(&failure, DBUS_ERROR_RESOURCE,
			    "VM '%s' cannot be confined by AppArmor, as the setting 'apparmor' "
			    "requires: %s",
			    vm->definition->name, problem);
	else if (problem)
		vm_log(vm, VM_EVENT_HOST, LOG_LEVEL_WARNING, "it is not confined by AppArmor: %s",
		       problem);
	vm->confinement.done(vm, problem && required ? &failure : NULL);
}

static void confinement_loaded(void *data, const char *problem)
{
	struct vm *vm = data;
	const struct apparmor_config config = confinement_config_of(vm->manager);

	vm->confinement.load = NULL;
	/* A parser that was killed may have come to it. */
	if (problem)
		apparmor_remove(vm->manager->helpers, &config, vm->confinement.profile);
	confinement_conclude(vm, problem);
}

void vm_confinement_begin(struct vm *vm, void (*done)(struct vm *vm, const struct failure *failure))
{
	const struct manager_settings *settings = &vm->manager->settings;
	const struct apparmor_config config = confinement_config_of(vm->manager);
	const char *obstacle = apparmor_obstacle(settings->apparmor_parser);
	int r;

	vm->confinement.done = done;
	vm->confinement.profile[0] = '\0';
	if (settings->apparmor == APPARMOR_OFF ||
	    (obstacle && settings->apparmor == APPARMOR_AUTO)) {
		done(vm, NULL);
		return;
	}
	if (obstacle) {
		confinement_conclude(vm, obstacle);
		return;
	}
	apparmor_profile_name(&vm->definition->uuid, apparmor_next_number(),
			      vm->confinement.profile);
	r = apparmor_load(vm->manager->helpers, &config, vm->confinement.profile,
			  confinement_loaded, vm, &vm->confinement.load);
	if (r < 0)
		confinement_conclude(vm, strerror(-r));
}

void vm_confinement_cancel(struct vm *vm)
{
	if (vm->confinement.load)
		apparmor_load_cancel(vm->confinement.load);
}

/* ---- The end ---- */

void vm_confinement_end(struct vm *vm)
{
	const struct apparmor_config config = confinement_config_of(vm->manager);

	if (vm->confinement.profile[0] != '\0')
		apparmor_remove(vm->manager->helpers, &config, vm->confinement.profile);
	vm->confinement.profile[0] = '\0';
	vm_notify(vm, "Profile", NULL);
}

void vm_confinement_free(struct vm *vm)
{
	apparmor_load_free(vm->confinement.load);
	vm->confinement.load = NULL;
}

/* ---- Others ---- */

void vm_confinement_adopt(struct vm *vm, const char *profile)
{
	snprintf(vm->confinement.profile, sizeof(vm->confinement.profile), "%s", profile);
}

const char *vm_confinement_profile(const struct vm *vm, const char *kind,
				   char room[APPARMOR_NAME_SIZE])
{
	if (vm->confinement.profile[0] == '\0')
		return NULL;
	snprintf(room, APPARMOR_NAME_SIZE, "%s%s", vm->confinement.profile, kind);
	return room;
}

static bool confinement_is_used(void *data, const char *name)
{
	const struct manager *manager = data;

	list_for_each (link, (struct list *)&manager->vms) {
		if (strcmp(container_of(link, struct vm, link)->confinement.profile, name) == 0)
			return true;
	}
	return false;
}

void vm_confinement_remove_stale(struct manager *manager)
{
	const struct apparmor_config config = confinement_config_of(manager);

	if (!apparmor_obstacle(config.parser))
		apparmor_remove_stale(manager->helpers, &config, confinement_is_used, manager);
}
