/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a definition names, and is not there: files that it boots, disks, virtual switches.
 */
#pragma once

#include "common/base/json.h"
#include "vmms/vmctl/service.h"

/*
 * What is missing, a text each, without a full stop; put by the caller. What the caller may not look
 * at is not missing. NULL without memory.
 */
struct json_object *missing_find(struct invocation *invocation, struct json_object *definition);

/* Says that on standard error, a line each. Return: how many lines. */
unsigned missing_report(struct invocation *invocation, struct json_object *definition);
