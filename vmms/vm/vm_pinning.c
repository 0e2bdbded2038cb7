/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One VM: the CPUs of the host that it and its vps run on. */
#include "vmms/vm/vm_pinning.h"

#include "common/base/log.h"
#include "common/base/text.h"
#include "vmms/cpu_group/cpu_groups.h"
#include "vmms/host/host.h"
#include "vmms/vm/manager.h"
#include "vmms/vm/vm_internal.h"
#include "vmms/vm/vm_log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* ---- What the host has ---- */

static int pinning_check_list(const struct definition *definition, const struct cpu_list *cpus,
			      const char *key, const char *error, struct failure *failure)
{
	char what[DEFINITION_NAME_MAX + 64];

	snprintf(what, sizeof(what), "%s of VM '%s'", key, definition->name);
	return host_cpus_check(cpus, what, error, failure);
}

int vm_pinning_check(const struct cpu_groups *groups, const struct definition *definition,
		     const char *error, struct failure *failure)
{
	const struct definition_pinning *pinning = &definition->resources.pinning;
	int r = pinning_check_list(definition, &definition->resources.cpus, "resources.cpus", error,
				   failure);

	for (unsigned i = 0; r == 0 && i < pinning->count; i++)
		r = pinning_check_list(definition, &pinning->pins[i].cpus, "resources.pinning",
				       error, failure);
	return r < 0 ? r : cpu_groups_check(groups, definition, failure);
}

/* ---- What the worker is told ---- */

/* problem: NULL: there is none. */
static void pinning_set_problem(struct vm *vm, const char *problem)
{
	char text[VM_LIMITS_PROBLEM_MAX] = "";

	if (problem)
		snprintf(text, sizeof(text), "its virtual processors are not pinned: %s", problem);
	text_repair(vm->pinning.problem, sizeof(vm->pinning.problem), text, strlen(text));
	if (problem)
		vm_log(vm, VM_EVENT_HOST, LOG_LEVEL_WARNING, "%s", vm->pinning.problem);
	vm_notify(vm, "LimitsProblem", NULL);
}

static void pinning_answered(void *data, struct json_object *result, const char *code,
			     const char *text)
{
	struct vm *vm = data;

	if (!result && strcmp(code, WORKER_ENDED) == 0)
		return;
	/* A worker of an older vmms does not know of pins, and has none. */
	pinning_set_problem(vm, result || !vm->pinning.applied ? NULL : text);
}

void vm_pinning_forget(struct vm *vm)
{
	vm->pinning = (struct vm_pinning){ 0 };
}

void vm_pinning_adopt(struct vm *vm)
{
	vm->pinning.applied = true;
}

void vm_pinning_apply(struct vm *vm)
{
	const struct definition_pinning *pinning = &vm->definition->resources.pinning;
	AUTO_JSON struct json_object *arguments = NULL;
	int r;

	if (!vm->run.worker || vm->run.started_at == 0 ||
	    (pinning->count == 0 && !vm->pinning.applied))
		return;
	vm->pinning.applied = pinning->count > 0;
	arguments = json_make("pinning",
			      definition_pinning_to_json(pinning, DEFINITION_PROCESSORS_MAX), NULL);
	r = arguments ? worker_request(vm->run.worker, "pin", arguments, NULL, 0,
				       vm->manager->settings.answer_timeout, pinning_answered, vm)
		      : -ENOMEM;
	if (r < 0)
		pinning_set_problem(vm, strerror(-r));
}
