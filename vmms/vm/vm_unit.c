/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One VM: the unit of its worker.
 *
 * The object is kept when the worker has ended, for as long as its unit may still say why; the next
 * worker gets another.
 */
#include "vmms/vm/vm_unit.h"

#include "vmms/cpu_group/cpu_groups.h"
#include "vmms/network/network.h"
#include "vmms/units/units.h"
#include "vmms/vm/adapter.h"
#include "vmms/vm/manager.h"
#include "vmms/vm/vm_images.h"
#include "vmms/vm/vm_internal.h"
#include "vmms/vm/vm_log.h"
#include "vmms/vm/vm_pinning.h"

#include <string.h>

#define PROCESSES_MAX (1 + DEFINITION_ADAPTERS_MAX + DEFINITION_DISKS_MAX)

/* ---- What the unit tells ---- */

static void vm_unit_register_machine(struct vm *vm)
{
	int netifs[DEFINITION_ADAPTERS_MAX];
	size_t count = 0;

	list_for_each (link, &vm->adapters) {
		const struct adapter *adapter = container_of(link, struct adapter, link);

		if (adapter->backend == ADAPTER_TAP && count < ARRAY_SIZE(netifs))
			netifs[count++] = adapter->tap.index;
	}
	unit_register_machine(vm->scope.unit, vm->definition, netifs, count);
}

static void unit_changed(void *owner)
{
	struct vm *vm = owner;

	if (vm->run.worker && unit_is_up(vm->scope.unit) && !vm->scope.registered) {
		vm->scope.registered = true;
		vm_unit_register_machine(vm);
	}
	if (unit_problem(vm->scope.unit)[0] != '\0')
		vm_log(vm, VM_EVENT_HOST, LOG_LEVEL_WARNING, "%s", unit_problem(vm->scope.unit));
	vm_pinning_apply(vm);
	vm_notify(vm, "LimitsProblem", NULL);
}

/* What systemd calls it, and what it means to people. */
static const struct {
	const char *result, *meaning;
} results[] = {
	{ "oom-kill", "its unit ran out of memory" },
	{ "timeout", "its unit was stopped, and did not end in time" },
};

static void unit_ended(void *owner, const char *result)
{
	struct vm *vm = owner;
	const char *meaning = "its unit has failed";
	char reason[VM_REASON_MAX];

	if (vm->run.worker)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(results); i++) {
		if (strcmp(results[i].result, result) == 0)
			meaning = results[i].meaning;
	}
	strcpy(reason, vm->reason);
	vm_set_state(vm, vm->state, "%s; %s (%s)", reason, meaning, result);
}

static const struct unit_callbacks callbacks = { .changed = unit_changed, .ended = unit_ended };

/* ---- Life ---- */

static bool unit_make_unit(struct vm *vm, pid_t worker)
{
	unit_free(TAKE_PTR(vm->scope.unit));
	vm->scope.registered = false;
	return units_are_used(vm->manager->settings.units) &&
	       unit_new(vm->manager->settings.units, vm->run.name, worker, &callbacks, vm,
			&vm->scope.unit) == 0;
}

void vm_unit_open(struct vm *vm)
{
	pid_t processes[PROCESSES_MAX] = { worker_pid(vm->run.worker) };
	size_t count = 1;

	if (!unit_make_unit(vm, processes[0])) {
		vm_pinning_apply(vm);
		return;
	}
	list_for_each (link, &vm->adapters) {
		const struct adapter *adapter = container_of(link, struct adapter, link);

		if (adapter->passt && count < ARRAY_SIZE(processes))
			processes[count++] = passt_process(adapter->passt)->pid;
	}
	count += vm_images_processes(vm, processes + count, ARRAY_SIZE(processes) - count);
	owner_slice_enter(vm->manager->settings.units, vm->definition,
			  &vm->manager->settings.quota);
	/* First, so that the unit finds the slice with its limits. */
	cpu_groups_enter(vm->manager->cpu_groups, vm->definition);
	unit_open(vm->scope.unit, vm->definition, processes, count);
}

void vm_unit_update(struct vm *vm)
{
	if (vm->run.worker && vm->scope.unit)
		unit_limit(vm->scope.unit, vm->definition);
	/* Else when the unit has the CPUs that vps are pinned to. */
	if (!vm->scope.unit || !unit_is_up(vm->scope.unit))
		vm_pinning_apply(vm);
	vm_images_update_units(vm);
}

void vm_unit_close(struct vm *vm)
{
	if (vm->scope.unit)
		unit_ask_result(vm->scope.unit);
}

void vm_unit_ask_of_stranger(struct vm *vm, pid_t worker)
{
	if (unit_make_unit(vm, worker))
		unit_ask_result(vm->scope.unit);
}

const char *vm_unit_name(const struct vm *vm)
{
	return vm->run.worker && vm->scope.unit ? unit_name(vm->scope.unit) : "";
}

const char *vm_limits_problem(const struct vm *vm)
{
	const char *problem = "";

	if (!vm->run.worker)
		return "";
	if (vm->scope.unit)
		problem = unit_problem(vm->scope.unit);
	else if (definition_resources_are_limited(&vm->definition->resources))
		problem = UNITS_NOBODY_ENFORCES;
	if (problem[0] == '\0')
		problem = cpu_groups_problem(vm->manager->cpu_groups, vm->definition);
	return problem[0] != '\0' ? problem : vm->pinning.problem;
}
