/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Creating a VM of a definition that vmctl has made. */
#pragma once

#include "common/base/json.h"
#include "vmms/vmctl/command.h"

/* What one VM alone may have goes: uuid, MAC addresses, instances of adapters. */
void create_forget_identity(struct json_object *definition);

/* Asks the service for it, and says what came of it. */
enum status create_vm(struct invocation *invocation, const char *definition);
