/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Files that vmctl opens, as whoever calls it, and passes to vmms (--pass).
 *
 * What fails has been said on standard error when a function returns.
 */
#pragma once

#include "vmms/vmctl/command.h"

/* *ret_fd: closed by the caller. */
enum status passed_file_open(const char *path, bool read_only, int *ret_fd);

/*
 * Appends to the call an a{sh} with all that the definition of the VM names. path: on the bus. Of a
 * VM of another user's each file has to be named by an option --file.
 */
enum status passed_files_append(struct invocation *invocation, const char *path,
				sd_bus_message *call);
