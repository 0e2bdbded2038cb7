/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Creating a VM of a definition that vmctl has made. */
#pragma once

#include "vmms/vmctl/command.h"

/* Asks the service for it, and says what came of it. */
enum status create_vm(struct invocation *invocation, const char *definition);
