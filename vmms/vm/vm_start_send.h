/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One VM: sending a worker that has just been spawned all that it needs, up to the order to run.
 * vm_start.c has what comes before. On the daemon's thread.
 */
#pragma once

#include "vmms/vm/vm.h"

struct opened_files;
struct resources;

/*
 * Sends what is in "resources" and, by the process that holds it, what is in "opened"; the rest
 * follows as the worker answers, and whoever asked for the start is told then. Negative errno: it
 * cannot be sent; a refusal comes later, and ends the worker.
 */
int vm_start_send(struct vm *vm, const struct resources *resources,
		  const struct opened_files *opened);
