/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One VM: its dynamic memory, while it runs.
 *
 * The worker brings the guest to its target, and tells how far that is and what the guest needs;
 * the target is the definition's size, until the guest has told of its needs and the definition
 * leaves it to us. Then it is balanced with those of other VMs, some seconds after each of these
 * reports (vmms/vm/memory_policy.h).
 *
 * Thread: the event loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "common/control_contract.h"

#include <stdbool.h>
#include <stdint.h>

struct json_object;
struct manager;
struct vm;

#define VM_MEMORY_STATE_MAX 32

/* Bytes; as the worker told. All 0 and "" while nothing is known. */
struct vm_memory {
	char state[VM_MEMORY_STATE_MAX]; /* of its balloon, as in common/control_contract.h */
	uint64_t target, assigned, demand, available;
	bool reported;  /* demand and available are the guest's */
	uint64_t asked; /* the target that the worker was last given; 0: none */
};

/* What the guest has: without dynamic memory all of its definition's; 0: the VM does not run. */
uint64_t vm_memory_assigned(const struct vm *vm);

/* The data of a worker's "memory" event. */
void vm_memory_on_memory(struct vm *vm, const struct control_event_data *data);

/* The VM has started, or was taken over; its definition has another size. */
void vm_memory_apply_size(struct vm *vm);

/* Its worker has ended. */
void vm_memory_forget(struct vm *vm);

/* Looks at all VMs soon, and only once for many calls. */
void vm_memory_balance_soon(struct manager *manager);

/* The manager goes. */
void vm_memory_end(struct manager *manager);
