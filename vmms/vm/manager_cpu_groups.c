/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* All VMs of the daemon, as CPU groups see them. */
#include "vmms/cpu_group/cpu_groups.h"
#include "vmms/vm/manager.h"
#include "vmms/vm/vm.h"
#include "vmms/vm/vm_internal.h"
#include "vmms/vm/vm_pinning.h"

#include <string.h>

static int groups_each(void *data,
		       int (*found)(void *found_data, const struct cpu_group_user *user),
		       void *found_data)
{
	struct manager *manager = data;
	int r = 0;

	list_for_each (link, &manager->vms) {
		struct vm *vm = container_of(link, struct vm, link);
		const struct cpu_group_user user = { vm->definition, vm->pending, vm_is_up(vm) };

		if (r == 0)
			r = found(found_data, &user);
	}
	return r;
}

static void groups_changed(void *data, const char *group)
{
	struct manager *manager = data;

	list_for_each (link, &manager->vms) {
		struct vm *vm = container_of(link, struct vm, link);

		if (strcmp(vm->definition->resources.cpu_group, group) != 0)
			continue;
		vm_notify(vm, "LimitsProblem", NULL);
		vm_pinning_apply(vm);
	}
}

const struct cpu_groups_vms manager_cpu_group_vms = { groups_each, groups_changed };
