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

/* The same, silently. Return: 0, or more; -errno with *error filled. */
int console_try_stream(struct invocation *invocation, const char *path,
		       const struct console_options *options, sd_bus_error *error, int *ret_stream,
		       bool *ret_typing);

#define CONSOLE_OWNER_MAX 256

/* Who has vmms' name on the bus; "": nobody. */
void console_service_owner(struct invocation *invocation, char owner[CONSOLE_OWNER_MAX]);

/* That is who still serves there: the bus tells of an end later than a stream does. */
bool console_service_lives(struct invocation *invocation, const char *owner);

enum console_end {
	CONSOLE_RECONNECTED,
	CONSOLE_LEFT, /* by the person */
	CONSOLE_LOST, /* vmms has not come back in a minute */
};

/*
 * Waits until another than `before` has vmms' name, and opens the console's stream there. left:
 * asked all the while whether the person has left.
 */
enum console_end console_reconnect(struct invocation *invocation, const char *path,
				   const struct console_options *options, const char *before,
				   bool (*left)(void *data), void *data, int *ret_stream,
				   bool *ret_typing);

enum status console_run(struct invocation *invocation, const char *name, const char *path,
			const struct console_options *options);
