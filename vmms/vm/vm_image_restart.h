/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One VM: image servers that have died while it runs are started again, a few times, each after a
 * longer wait. Until then the worker keeps the disk's requests; when it is given up, they fail.
 *
 * Thread: the event loop's.
 */
#pragma once

#include <stdbool.h>

struct vm;

/* The server of that disk has ended, and should not have. */
void vm_image_restart(struct vm *vm, unsigned controller, unsigned lun);

/* Another server is on its way. */
bool vm_image_is_restarting(const struct vm *vm, unsigned controller, unsigned lun);

/* The worker has ended. */
void vm_image_restart_forget(struct vm *vm);
