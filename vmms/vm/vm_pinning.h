/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One VM: the CPUs of the host that it and its vps run on.
 *
 * The VM's CPUs are its unit's (vmms/units/units.h). Vps are pinned by the worker, to its threads;
 * older kernels forget that when the control group gets other CPUs, so that it is asked again then.
 */
#pragma once

#include "common/definition/definition.h"
#include "vmms/base/failure.h"

struct cpu_groups;
struct vm;

/*
 * This host has all CPUs that the definition names, and they run (else an error of that name); and
 * it has the CPU group. Return: 0; negative with *failure filled.
 */
int vm_pinning_check(const struct cpu_groups *groups, const struct definition *definition,
		     const char *error, struct failure *failure) MUST_CHECK;

/* The worker of a VM that runs pins its vps as the definition says. vm->pinning_problem tells. */
void vm_pinning_apply(struct vm *vm);
