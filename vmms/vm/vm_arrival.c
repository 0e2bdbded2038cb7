/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One VM: its coming from another host. */
#include "vmms/vm/vm_arrival.h"

#include "common/base/log.h"
#include "common/dbus_names.h"
#include "vmms/vm/job.h"
#include "vmms/vm/manager.h"
#include "vmms/vm/quota_check.h"
#include "vmms/vm/vm_internal.h"
#include "vmms/vm/vm_log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

/* Whoever asked for it has to ask the other side yet, where somebody may be asked for a password. */
#define EXPECT_TIMEOUT 120 /* seconds */

static void arrival_ignored(void *data, const struct failure *failure)
{
}

/* ---- The end ---- */

static void arrival_fail(struct vm *vm, const struct failure *failure)
{
	struct job *job = vm->arrival.job;

	vm->arrival = (struct vm_arrival){ 0 };
	vm_carrier_end(vm);
	vm_log(vm, VM_EVENT_STATE, LOG_LEVEL_WARNING, "it has not come: %s", failure->message);
	vm_remove_soon(vm, job, failure);
}

static void arrival_started(void *data, const struct failure *failure)
{
	struct vm *vm = data;
	struct job *job = vm->arrival.job;

	if (failure) {
		arrival_fail(vm, failure);
		return;
	}
	vm->arrival = (struct vm_arrival){ 0 };
	job_end(job, NULL);
}

/* The start, which ends then, ends the job. */
static int arrival_cancel(struct job *job, struct failure *failure)
{
	struct vm *vm = job->vm;
	struct failure why;

	if (vm->arrival.starts)
		return vm_turn_off(vm, arrival_ignored, NULL, failure);
	failure_set(&why, DBUS_ERROR_CANCELLED, "VM '%s' had not come", vm->definition->name);
	arrival_fail(vm, &why);
	return 0;
}

static const struct job_kind arrival_kind = { .name = "receive", .cancel = arrival_cancel };

/* ---- What its process tells ---- */

static void arrival_connected(void *owner)
{
	struct vm *vm = owner;

	vm_log(vm, VM_EVENT_STATE, LOG_LEVEL_INFO, "the host that it comes from has connected");
}

static void arrival_begun(void *owner)
{
	struct vm *vm = owner;
	struct failure failure;
	int r;

	if (!vm->arrival.job || vm->arrival.starts)
		return;
	vm->arrival.starts = true;
	r = vm->arrival.has_quota ? quota_check_start(vm, &failure) : 0;
	if (r == 0)
		r = vm_start_carried(vm, arrival_started, vm, &failure);
	if (r < 0)
		arrival_fail(vm, &failure);
}

static void arrival_ended(void *owner, const char *words)
{
	struct vm *vm = owner;
	struct failure failure;

	unit_free(TAKE_PTR(vm->carrier.unit));
	carrier_free(TAKE_PTR(vm->carrier.carrier));
	if (!vm->arrival.job || vm->arrival.starts)
		return; /* the worker knows more */
	failure_set(&failure, DBUS_ERROR_UNREACHABLE, "VM '%s' has not come: %s",
		    vm->definition->name, words[0] != '\0' ? words : "nobody sends it");
	arrival_fail(vm, &failure);
}

static const struct carrier_callbacks callbacks = { .connected = arrival_connected,
						    .begun = arrival_begun,
						    .ended = arrival_ended };

/* ---- The beginning ---- */

static int arrival_listen(const struct vm *vm, const char *address, struct vm_meeting *meeting,
			  int *ret_fd, struct failure *failure)
{
	const struct manager_settings *settings = &vm->manager->settings;
	const char *at = settings->migration_address ? settings->migration_address : address;
	int r;

	if (settings->migration_ports.first == 0)
		return failure_set(failure, DBUS_ERROR_UNREACHABLE,
				   "VMs come here by ssh alone ('migration-ports' of vmms.conf)");
	if (!at)
		return failure_set(failure, DBUS_ERROR_UNREACHABLE,
				   "it is not known at which address VMs can come "
				   "('migration-address' of vmms.conf)");
	r = carrier_listen(at, &settings->migration_ports, ret_fd, &meeting->port);
	if (r < 0)
		return failure_set(failure, DBUS_ERROR_UNREACHABLE,
				   "no VM can be waited for at %s, ports %u-%u: %s", at,
				   settings->migration_ports.first, settings->migration_ports.last,
				   strerror(-r));
	snprintf(meeting->address, sizeof(meeting->address), "%s", at);
	return 0;
}

static int arrival_start_carrier(struct vm *vm, int network, const struct vm_meeting *meeting,
				 struct failure *failure)
{
	struct vm_carrier_request request = { .network = network,
					      .listens = true,
					      .key = meeting->key,
					      .timeout = EXPECT_TIMEOUT,
					      .callbacks = &callbacks };

	if (manager_take_worker_user(vm->manager, &request.user) < 0)
		return failure_set(failure, DBUS_ERROR_RESOURCE,
				   "all users that workers may become are in use; give vmms more "
				   "with --worker-users");
	return vm_carrier_start(vm, &request, failure);
}

int vm_expect(struct vm *vm, const char *address, bool has_quota, struct vm_meeting *ret_meeting,
	      struct job **ret_job, struct failure *failure)
{
	AUTO_CLOSE int network = -1;
	struct job *job;
	int r = vm_check(vm, VM_START, failure);

	if (r == 0 && has_quota)
		r = quota_check_start(vm, failure);
	if (r == 0)
		r = arrival_listen(vm, address, ret_meeting, &network, failure);
	if (r < 0)
		return r;
	if (getrandom(ret_meeting->key, sizeof(ret_meeting->key), 0) != CARRIER_KEY_SIZE ||
	    job_new(vm->manager->jobs, &arrival_kind, vm, &job) < 0)
		return failure_no_memory(failure);
	r = arrival_start_carrier(vm, network, ret_meeting, failure);
	if (r < 0) {
		job_drop(job);
		return r;
	}
	vm->arrival = (struct vm_arrival){ .job = job, .has_quota = has_quota };
	vm_set_state(vm, VM_OFF, "it is waited for from another host");
	job_publish(job);
	*ret_job = job;
	return 0;
}

bool vm_is_expected(const struct vm *vm)
{
	return vm->arrival.job && !vm->arrival.starts;
}
