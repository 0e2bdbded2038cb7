/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The serial console of a VM: what its guest wrote, and who watches.
 *
 * A console outlives the runs of its VM. It keeps the last CONSOLE_SCROLLBACK bytes; a client that
 * opens it gets those first and then what comes, before, during and between runs. Any number of
 * clients up to CONSOLE_CLIENTS_MAX watch, one of them may type. A client that does not keep up
 * loses what has left the scroll-back, and is told so in the stream; it holds up nobody.
 *
 * Bytes pass through as they are. Thread: the event loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/cleanup.h"

#include <stdbool.h>
#include <systemd/sd-event.h>

#define CONSOLE_SCROLLBACK  (64 * 1024) /* bytes */
#define CONSOLE_CLIENTS_MAX 16

struct console;

int console_new(sd_event *loop, struct console **ret_console) MUST_CHECK;
void console_free(struct console *console);
DEFINE_CLEANUP(struct console *, console_free)

/*
 * The VM starts: makes a pair of sockets, keeps one and gives the worker's end to the caller.
 * Return: 0, -errno.
 */
int console_connect(struct console *console, int *ret_fd) MUST_CHECK;

/* The VM has stopped: what the worker's end still holds is taken, then it is closed. */
void console_disconnect(struct console *console);

struct console_client_options {
	bool watch;     /* never types; else it does, unless somebody else does already */
	bool take;      /* types; who did before now only watches */
	bool log;       /* gets what is in the scroll-back now, and is closed */
	bool until_off; /* is closed when it has all of this run; at once when there is none */
};

/*
 * A new client. *ret_fd: its end of a stream, the caller's to close; *ret_typing: whether it may
 * type. Return: 0; -EUSERS: there are CONSOLE_CLIENTS_MAX; -errno.
 */
int console_open(struct console *console, const struct console_client_options *options, int *ret_fd,
		 bool *ret_typing) MUST_CHECK;
