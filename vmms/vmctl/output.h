/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a command makes, for standard output or the file that --output names. */
#pragma once

#include "common/base/cc.h"
#include "vmms/vmctl/command.h"

/*
 * Writes the text and a newline to the file, which has to be new, or to standard output without
 * --output or where it is "-". What fails has been said then, and leaves no file.
 */
enum status output_write(const struct invocation *invocation, const char *text);

/* A line that says what was done, escaped. With --json there is none: the exit status says it. */
void output_say(const struct invocation *invocation, const char *format, ...) PRINTF_LIKE(2, 3);
