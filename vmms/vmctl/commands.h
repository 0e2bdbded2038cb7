/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The tables that the commands of vmctl are kept in, each closed by a NULL name.
 *
 * The commands of a group, such as "switch", stand together. Whoever looks at commands goes through
 * command_for_each().
 */
#pragma once

#include "vmms/vmctl/command.h"

#define MANY SIZE_MAX

extern const struct command commands_vm[];
extern const struct command commands_device[];
extern const struct command commands_disk[];
extern const struct command commands_checkpoint[];
extern const struct command commands_shared[];
extern const struct command commands_guest[];
extern const struct command commands_service[];
extern const struct command commands_cluster[];
