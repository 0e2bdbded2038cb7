/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One VM: its going to another host. */
#include "vmms/vm/vm_departure.h"

#include "common/base/log.h"
#include "common/dbus_names.h"
#include "vmms/vm/job.h"
#include "vmms/vm/manager.h"
#include "vmms/vm/vm_internal.h"
#include "vmms/vm/vm_log.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define CONNECT_TIMEOUT 10 /* seconds */

/* Whoever asked is told first. */
static void departure_tell(struct vm *vm, const struct failure *failure)
{
	vm_departed_fn done = vm->moving.found;

	vm->moving.found = NULL;
	if (done)
		done(vm->moving.found_data, vm->moving.job, failure);
}

void vm_departure_ended(struct vm *vm, const struct failure *failure)
{
	if (vm->carrier.stream >= 0)
		vm_carrier_end(vm);
	departure_tell(vm, failure);
}

static void departure_fail(struct vm *vm, const struct failure *failure)
{
	vm_carrier_end(vm);
	vm_log(vm, VM_EVENT_STATE, LOG_LEVEL_WARNING, "%s", failure->message);
	departure_tell(vm, failure);
	vm_finish(&vm->operation, failure);
}

bool vm_departure_give_up(struct vm *vm, const char *why)
{
	struct failure failure;

	if (!vm->moving.found)
		return false;
	failure_set(&failure, DBUS_ERROR_CANCELLED, "the move of VM '%s' had not begun%s",
		    vm->definition->name, why);
	departure_fail(vm, &failure);
	return true;
}

static void departure_connected(void *owner)
{
	struct vm *vm = owner;
	struct failure failure;

	if (!vm->moving.found)
		return;
	departure_tell(vm, NULL);
	if (vm_move_go_on(vm, &failure) < 0)
		departure_fail(vm, &failure);
}

static void departure_begun(void *owner)
{
}

static void departure_process_ended(void *owner, const char *words)
{
	struct vm *vm = owner;
	struct failure failure;

	unit_free(TAKE_PTR(vm->carrier.unit));
	carrier_free(TAKE_PTR(vm->carrier.carrier));
	if (vm->moving.found || vm->carrier.stream >= 0) {
		failure_set(&failure, DBUS_ERROR_UNREACHABLE,
			    "VM '%s' was not moved: the other host cannot be reached: %s",
			    vm->definition->name, words);
		if (vm->moving.found)
			departure_fail(vm, &failure);
		else
			vm_move_lost(vm, &failure);
	} else if (words[0] != '\0') {
		vm_log(vm, VM_EVENT_STATE, LOG_LEVEL_WARNING,
		       "the process by which it moves has ended: %s", words);
	}
}

static const struct carrier_callbacks callbacks = { .connected = departure_connected,
						    .begun = departure_begun,
						    .ended = departure_process_ended };

static int departure_start_carrier(struct vm *vm, const struct vm_meeting *meeting,
				   struct failure *failure)
{
	AUTO_CLOSE int network = -1;
	const struct vm_carrier_request request = { .key = meeting->key,
						    .timeout = CONNECT_TIMEOUT,
						    .user = vm->run.user,
						    .callbacks = &callbacks };
	struct vm_carrier_request with = request;
	int r = carrier_connect(meeting->address, meeting->port, &network);

	if (r == -EINVAL)
		return failure_set(failure, DBUS_ERROR_INVALID_ARGUMENT, "'%s' is no IP address",
				   meeting->address);
	if (r < 0)
		return failure_set(failure, DBUS_ERROR_UNREACHABLE, "%s, port %u: %s",
				   meeting->address, meeting->port, strerror(-r));
	with.network = network;
	return vm_carrier_start(vm, &with, failure);
}

int vm_depart(struct vm *vm, const struct vm_meeting *meeting,
	      const struct vm_send_options *options, vm_departed_fn done, void *data,
	      struct failure *failure)
{
	struct job *job;
	int r = vm_move_begin(vm, options, &job, failure);

	if (r < 0)
		return r;
	r = departure_start_carrier(vm, meeting, failure);
	if (r < 0) {
		vm_move_drop(vm, job);
		return r;
	}
	vm->moving.departs = true;
	vm->moving.found = done;
	vm->moving.found_data = data;
	vm_move_publish(vm, job);
	return 0;
}
