/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The serial console of a VM: what its guest wrote, and who watches.
 *
 * A console outlives the runs of its VM. It keeps the last CONSOLE_SCROLLBACK bytes; a client that
 * opens it gets those first and then what comes, before, during and between runs. Any number of
 * clients up to CONSOLE_CLIENTS_MAX watch, one of them may type. A client that does not keep up
 * loses what has left the scroll-back, and is told so in the stream; it holds up nobody.
 *
 * What the guest writes is also kept in a log file, if there is one; so a console of a daemon that
 * comes later begins with what was said before. A guest that writes without end gets
 * CONSOLE_LOG_BOUND bytes there at once, and then CONSOLE_LOG_RATE; "[n bytes left out]" stands for
 * the rest.
 *
 * Bytes pass through as they are. Thread: the event loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/cleanup.h"
#include "vmms/base/helper.h"
#include "vmms/base/watch.h"

#include <stdbool.h>

#define CONSOLE_SCROLLBACK  (64 * 1024) /* bytes */
#define CONSOLE_CLIENTS_MAX 16
#define CONSOLE_LOG_BOUND   (1024 * 1024) /* bytes, of the log file */
#define CONSOLE_LOG_RATE    (64 * 1024)   /* bytes a second that are written there, for long */
#define CONSOLE_RATE        (8 << 20)     /* bytes a second that are taken of a guest */

struct console;
struct log_file;

/*
 * watches, helper processes (NULL: none): outlive the console. owner: of the VM; borrowed for the
 * call. Return: 0, -errno.
 */
int console_new(struct watches *watches, struct helpers *helpers, const char *owner,
		struct console **ret_console) MUST_CHECK;
void console_free(struct console *console);
DEFINE_CLEANUP(struct console *, console_free)

/*
 * Takes over the log, which is written from now on. What it holds is the scroll-back of a console
 * that has none yet.
 */
void console_keep(struct console *console, struct log_file *log);

/* What was said is forgotten by the log; clients see what they have. */
void console_delete_log(struct console *console);

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
 * type. Return: 0; -EUSERS: there are CONSOLE_CLIENTS_MAX; -EBUSY: as helper_new(); -errno.
 */
int console_open(struct console *console, const struct console_client_options *options, int *ret_fd,
		 bool *ret_typing) MUST_CHECK;
