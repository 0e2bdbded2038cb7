/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* All VMs of the daemon, as virtual switches see them: who is connected, and to be so again. */
#include "vmms/network/network.h"
#include "vmms/vm/adapter.h"
#include "vmms/vm/manager.h"
#include "vmms/vm/vm.h"

#include <string.h>

static bool network_names(const struct definition *definition, const char *name)
{
	const struct definition_network *network = &definition->network;

	for (unsigned i = 0; i < network->adapter_count; i++) {
		if (!network->adapters[i].tap &&
		    strcmp(network->adapters[i].switch_name, name) == 0)
			return true;
	}
	return false;
}

static const char *network_find_user(void *data, const char *name)
{
	struct manager *manager = data;

	list_for_each (link, &manager->vms) {
		struct vm *vm = container_of(link, struct vm, link);

		if (vm_is_up(vm) && network_names(vm->definition, name))
			return vm->definition->name;
	}
	return NULL;
}

/* Also by what it has from its next start on. */
static const char *find_defined(void *data, const char *name)
{
	struct manager *manager = data;

	list_for_each (link, &manager->vms) {
		struct vm *vm = container_of(link, struct vm, link);

		if (network_names(vm->definition, name) ||
		    network_names(vm_stored_definition(vm), name))
			return vm->definition->name;
	}
	return NULL;
}

static void network_reconnect_vm(struct vm *vm, const char *name)
{
	list_for_each (link, &vm->adapters) {
		struct adapter *adapter = container_of(link, struct adapter, link);
		const struct definition_adapter *definition =
			definition_find_adapter(&vm->definition->network, adapter->name);

		if (definition && strcmp(definition->switch_name, name) == 0)
			adapter_reconnect(adapter, definition);
	}
}

static void reconnect(void *data, struct vswitch *vswitch)
{
	struct manager *manager = data;

	list_for_each (link, &manager->vms)
		network_reconnect_vm(container_of(link, struct vm, link),
				     vswitch->definition->name);
}

/* While it starts and ends, and adapters are changed, they come and go anyway. */
static bool network_is_settled(const struct vm *vm)
{
	return vm->run.worker && !vm->operation.done && !vm->change.unfinished &&
	       (vm->state == VM_RUNNING || vm->state == VM_PAUSED || vm->state == VM_KEPT);
}

static bool network_check(void *data)
{
	struct manager *manager = data;
	bool all = true;

	list_for_each (vm_link, &manager->vms) {
		struct vm *vm = container_of(vm_link, struct vm, link);

		list_for_each (link, &vm->adapters) {
			struct adapter *adapter = container_of(link, struct adapter, link);

			if (adapter_is_whole(adapter))
				continue;
			if (network_is_settled(vm))
				adapter_restore(adapter);
			else
				all = false;
		}
	}
	return all;
}

const struct vswitches_vms manager_switch_vms = { network_find_user, find_defined, reconnect,
						  network_check };
