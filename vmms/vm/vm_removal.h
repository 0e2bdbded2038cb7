/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One VM: its deletion by the daemon itself, when its move has ended: at the source, where it has moved,
 * or at the target, where it has not.
 *
 * Thread: the event loop's.
 */
#pragma once

#include "vmms/base/failure.h"

#include <systemd/sd-event.h>

struct job;
struct vm;

struct vm_removal {
	sd_event_source *source; /* NULL: it stays */
	struct job *job;         /* that ends then; or NULL */
	struct failure failure;  /* by which it does */
};

/* From the loop, soon: the VM has to be at rest then. job: NULL: none ends by it. */
void vm_remove_soon(struct vm *vm, struct job *job, const struct failure *failure);

void vm_removal_free(struct vm *vm);
