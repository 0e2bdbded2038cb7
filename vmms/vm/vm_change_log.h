/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a change of a VM's definition has changed, for its event log: a line for each disk and
 * adapter, and one for all settings.
 */
#pragma once

#include "common/base/json.h"

struct vm;

/*
 * before, after: the definition that its file had and has, definition_to_json(); NULL: no memory.
 */
void vm_change_log(struct vm *vm, struct json_object *before, struct json_object *after);
