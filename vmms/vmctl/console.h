/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A session with the serial console of a VM, on this terminal or in a script.
 *
 * What the guest says passes to standard output as it is.
 */
#pragma once

#include "vmms/vmctl/command.h"

#define CONSOLE_ESCAPE_DEFAULT 0x1d /* ^] */
#define CONSOLE_ESCAPE_NONE    -1

struct console_options {
	bool watch, take;
	bool log;     /* print what there is, and end */
	bool no_wait; /* end when the VM is off */
	bool start;   /* start the VM, once the console is open */
	int escape;   /* the byte that ends the session on a terminal; or CONSOLE_ESCAPE_NONE */
};

/*
 * The stream of the console of the VM at that path. *ret_stream: closed by the caller; *ret_typing:
 * what is written to it is typed.
 */
enum status console_open_stream(struct invocation *invocation, const char *path,
				const struct console_options *options, int *ret_stream,
				bool *ret_typing);

enum status console_run(struct invocation *invocation, const char *name, const char *path,
			const struct console_options *options);
