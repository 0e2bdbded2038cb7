/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reading vmctl's command line by the table of commands.
 */
#pragma once

#include "vmms/vmctl/command.h"

/* Return: STATUS_OK, or STATUS_USAGE with the reason on standard error. */
enum status invocation_read(int argc, char *argv[], struct invocation *ret_invocation);
