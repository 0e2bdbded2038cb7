/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a definition names, and is not there: files that it boots, disks, virtual switches.
 */
#pragma once

#include "common/base/json.h"
#include "vmms/vmctl/service.h"

/*
 * Says on standard error what is missing, a line each. What the caller may not look at is not
 * missing. Return: how many lines.
 */
unsigned missing_report(struct invocation *invocation, struct json_object *definition);
