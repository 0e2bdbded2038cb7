/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One VM: a change that was under way when a daemon ended: it had been asked of the worker, and the
 * answer had not come.
 *
 * Only the worker knows whether it made the change. When the next daemon adopts it, it tells the
 * number of the last change that it made for the daemon before. A change that was made is kept, one
 * that was not is forgotten; its caller has lost the connection in either case.
 *
 * Thread: the event loop's.
 */
#pragma once

#include "common/base/json.h"

struct vm;

/* The change that the worker is being asked for, for the VM's record, or NULL if there is none. */
struct json_object *vm_unfinished_to_json(const struct vm *vm);

/*
 * The worker has been taken over, and tells its status (common/control.h): what has to be made of
 * vm->change.unfinished, which its record had, is. status: NULL: it has told nothing.
 */
void vm_unfinished_settle(struct vm *vm, struct json_object *status);
