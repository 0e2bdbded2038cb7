/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One VM: the CPUs of the host that it and its vps run on.
 *
 * The VM's CPUs are its unit's (vmms/units/units.h). Vps are pinned by the worker, to its threads;
 * older kernels forget that when the control group gets other CPUs, so the worker is asked again then.
 */
#pragma once

#include "common/definition/definition.h"
#include "vmms/base/failure.h"

#include <stdbool.h>

struct cpu_groups;
struct vm;

#define VM_LIMITS_PROBLEM_MAX 512

/* Read by whoever knows the VM; changed by the functions below alone. */
struct vm_pinning {
	bool applied; /* its vps are pinned, as far as the worker was asked; or perhaps are */
	char problem[VM_LIMITS_PROBLEM_MAX]; /* "": none */
};

/*
 * This host has all CPUs that the definition names, and they run (else an error of that name); and
 * it has the CPU group. Return: 0; negative with *failure filled.
 */
int vm_pinning_check(const struct cpu_groups *groups, const struct definition *definition,
		     const char *error, struct failure *failure) MUST_CHECK;

/* A worker is about to be started: its vps are not pinned. */
void vm_pinning_forget(struct vm *vm);

/*
 * The worker of an earlier daemon: its vps may be pinned, if that daemon took the pins away and did
 * not come to say so.
 */
void vm_pinning_adopt(struct vm *vm);

/* The worker of a VM that runs pins its vps as the definition says. vm->pinning.problem tells. */
void vm_pinning_apply(struct vm *vm);
