/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One VM: how its disks are while it runs, as its worker tells (the "disk" event of
 * common/control_contract.h). A disk that is well is not listed.
 *
 * Thread: the event loop's.
 */
#pragma once

#include "common/base/json.h"
#include "common/base/list.h"
#include "common/control_contract.h"
#include "common/definition/definition.h"

#include <stdint.h>

#define VM_DISK_TEXT_MAX 512 /* bytes */

struct vm;

struct vm_disk_health {
	struct list link; /* in its VM's list */
	unsigned controller, lun;
	const char *health;          /* static: one of the event's */
	char text[VM_DISK_TEXT_MAX]; /* a sentence; UTF-8, may quote the worker */
	uint64_t errors;
};

/* The worker's event; data: untrusted. */
void vm_disk_health_on_disk(struct vm *vm, const struct control_event_data *report);

/* The definition has changed: disks that have gone are forgotten. */
void vm_disk_health_prune(struct vm *vm);

/* The worker has ended. */
void vm_disk_health_forget_all(struct vm *vm);

/* The VM goes: nobody is told. */
void vm_disk_health_free(struct vm *vm);

/* NULL: well, as far as is known. */
const struct vm_disk_health *vm_disk_health_find(const struct vm *vm, unsigned controller,
						 unsigned lun);
