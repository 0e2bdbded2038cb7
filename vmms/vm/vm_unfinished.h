/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One VM: a change that a daemon had asked the worker for when it ended.
 *
 * Whether the worker has made it the worker knows: it tells the next daemon, as it is taken over,
 * the last change that it made for the one before. What has been made is kept, and what has not is
 * forgotten; whoever asked for it is gone.
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
