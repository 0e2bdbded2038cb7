/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One VM: the process that carries it. */
#include "vmms/vm/vm_carrier.h"

#include "common/base/log.h"
#include "common/dbus_names.h"
#include "vmms/base/plain_socket.h"
#include "vmms/units/units.h"
#include "vmms/vm/manager.h"
#include "vmms/vm/vm_internal.h"
#include "vmms/vm/vm_log.h"

#include <errno.h>
#include <string.h>

static void carrier_unit_changed(void *owner)
{
	struct vm *vm = owner;
	const char *problem = unit_problem(vm->carrier.unit);

	if (problem[0] != '\0')
		vm_log(vm, VM_EVENT_HOST, LOG_LEVEL_WARNING,
		       "the process by which it moves is not limited: %s", problem);
}

static const struct unit_callbacks unit_callbacks = { .changed = carrier_unit_changed };

static void carrier_open_unit(struct vm *vm)
{
	struct units *units = vm->manager->settings.units;
	pid_t pid = carrier_pid(vm->carrier.carrier);

	if (units_are_used(units) &&
	    unit_new(units, vm->definition->name, pid, &unit_callbacks, vm, &vm->carrier.unit) == 0)
		unit_open(vm->carrier.unit, vm->definition, &pid, 1);
}

void vm_carrier_init(struct vm *vm)
{
	vm->carrier.stream = -1;
}

int vm_carrier_start(struct vm *vm, const struct vm_carrier_request *request,
		     struct failure *failure)
{
	const struct carrier_config config = { .program = vm->manager->settings.carrier,
					       .user = request->user,
					       .key = request->key,
					       .network = request->network,
					       .listens = request->listens,
					       .timeout = request->timeout,
					       .callbacks = request->callbacks,
					       .owner = vm };
	int r;

	carrier_release(TAKE_PTR(vm->carrier.carrier));
	vm_carrier_end(vm);
	r = carrier_start(vm->manager->loop, &config, &vm->carrier.carrier, &vm->carrier.stream);
	if (r < 0)
		return failure_set(failure, DBUS_ERROR_RESOURCE, "%s cannot be started: %s%s",
				   config.program, strerror(-r),
				   r == -ENOENT ? "; install the package vmms again" : "");
	carrier_open_unit(vm);
	return 0;
}

void vm_carrier_let_go(struct vm *vm)
{
	plain_sockets_let_go(vm->manager->helpers, vm_owner(vm), &vm->carrier.stream, 1);
}

void vm_carrier_end(struct vm *vm)
{
	unit_free(TAKE_PTR(vm->carrier.unit));
	carrier_free(TAKE_PTR(vm->carrier.carrier));
	vm_carrier_let_go(vm);
}
