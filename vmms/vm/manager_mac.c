/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* All VMs of the daemon: MAC addresses of their adapters, each of which one VM has. */
#include "common/base/error.h"
#include "vmms/vm/manager_internal.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

static bool manager_has_mac(const struct definition_network *network, const uint8_t *mac)
{
	for (unsigned i = 0; i < network->adapter_count; i++) {
		if (memcmp(network->adapters[i].mac, mac, DEFINITION_MAC_SIZE) == 0)
			return true;
	}
	return false;
}

/* The VM that has that address, or will have, or NULL. */
static struct vm *manager_find_mac(const struct manager *manager, const uint8_t *mac,
				   const struct vm *but)
{
	list_for_each (link, (struct list *)&manager->vms) {
		struct vm *vm = container_of(link, struct vm, link);

		if (vm != but && (manager_has_mac(&vm->definition->network, mac) ||
				  (vm->pending && manager_has_mac(&vm->pending->network, mac))))
			return vm;
	}
	return NULL;
}

static int manager_make_mac(const struct manager *manager, const struct definition_network *network,
			    uint8_t ret_mac[static DEFINITION_MAC_SIZE])
{
	uint8_t mac[DEFINITION_MAC_SIZE] = { DEFINITION_MAC_PREFIX };

	do {
		if (getrandom(mac + 3, sizeof(mac) - 3, 0) != (ssize_t)sizeof(mac) - 3)
			return error_origin(-errno);
	} while (manager_find_mac(manager, mac, NULL) || manager_has_mac(network, mac));
	memcpy(ret_mac, mac, sizeof(mac));
	return 0;
}

int manager_complete_adapters(struct manager *manager, struct definition *definition,
			      const struct vm *vm, struct failure *failure)
{
	struct definition_network *network = &definition->network;

	for (unsigned i = 0; i < network->adapter_count; i++) {
		struct definition_adapter *adapter = &network->adapters[i];
		char text[MANAGER_DESCRIPTION_SIZE];
		struct vm *other;

		if (definition_mac_is_null(adapter->mac) &&
		    manager_make_mac(manager, network, adapter->mac) < 0)
			return failure_set(failure, DBUS_ERROR_INTERNAL,
					   "cannot make a MAC address");
		other = manager_find_mac(manager, adapter->mac, vm);
		if (other)
			return failure_set(
				failure, DBUS_ERROR_EXISTS,
				"an adapter of %s has the MAC address of adapter '%s' already; "
				"give this one another, or none to get one",
				manager_describe(definition->owner, other, text), adapter->name);
	}
	return 0;
}

static struct vm *manager_find_running_twin(const struct vm *vm, const uint8_t *mac)
{
	list_for_each (link, &vm->manager->vms) {
		struct vm *other = container_of(link, struct vm, link);

		if (other != vm && other->run.worker &&
		    manager_has_mac(&other->definition->network, mac))
			return other;
	}
	return NULL;
}

int manager_check_macs(const struct vm *vm, struct failure *failure)
{
	const struct definition_network *network = &vm->definition->network;

	for (unsigned i = 0; i < network->adapter_count; i++) {
		const struct definition_adapter *adapter = &network->adapters[i];
		struct vm *other = manager_find_running_twin(vm, adapter->mac);
		char text[MANAGER_DESCRIPTION_SIZE];

		if (other)
			return failure_set(failure, DBUS_ERROR_EXISTS,
					   "an adapter of %s, which runs, has the MAC address of "
					   "adapter '%s' of "
					   "VM '%s'; 'vmctl net set --mac' gives this one another",
					   manager_describe(vm->definition->owner, other, text),
					   adapter->name, vm->definition->name);
	}
	return 0;
}
