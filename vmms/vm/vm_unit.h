/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One VM: the unit of its worker (vmms/units/units.h), from the worker's beginning to what is known
 * of its end. Where no units are used these do nothing.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

struct unit;
struct vm;

struct vm_scope {
	struct unit *unit; /* that its worker is in, or was; NULL: none is used */
	bool registered;   /* with systemd-machined, as far as that was asked */
};

/* There is a worker, spawned or adopted, and the back ends of its adapters. */
void vm_unit_open(struct vm *vm);

/* The definition has changed. */
void vm_unit_update(struct vm *vm);

/*
 * The worker has ended. Its unit is asked whether it knows more of that, which is added to the
 * reason of the VM's state when it comes.
 */
void vm_unit_close(struct vm *vm);

/* The same of a worker of an earlier daemon, which was never ours. */
void vm_unit_ask_of_stranger(struct vm *vm, pid_t worker);

/* Empty without a worker and where no units are used. */
const char *vm_unit_name(const struct vm *vm);

/* Why the definition's limits are not in force; "": they are, or there are none. */
const char *vm_limits_problem(const struct vm *vm);
