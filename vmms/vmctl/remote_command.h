/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Commands that vmctl runs on another host, in its own place (vmms/vmctl/remote.h).
 */
#pragma once

#include "vmms/vmctl/command.h"

/*
 * It is one of those, as it was called: some are about that host's files, or use descriptors, with
 * certain options alone.
 */
bool remote_command_goes_there(const struct invocation *invocation);

/* Runs it there. Return: its exit status; STATUS_NO_SERVICE if that host lacks something. */
enum status remote_command_run(struct invocation *invocation);
