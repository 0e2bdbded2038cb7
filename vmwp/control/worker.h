/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The worker: one VM with all that it runs on, from its definition to its end.
 *
 * By hand, main() gives it a definition and opens what that names; under the daemon, the control
 * server fills it message by message. From there on both are the same: build, start, run the loop.
 *
 * Thread: the loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/cleanup.h"
#include "common/base/loop.h"
#include "common/base/rate_limit.h"
#include "common/definition/definition.h"
#include "vmwp/base/failure.h"
#include "vmwp/chipset/chipset.h"
#include "vmwp/device/devices.h"
#include "vmwp/machine/machine.h"
#include "vmwp/resource/resources.h"

#include <stdbool.h>

struct control_backup;
struct control_dump;
struct control_fork;
struct control_server;
struct control_state;

struct worker {
	struct loop *loop;
	struct resources *resources;
	struct definition *definition;  /* NULL: not yet */
	struct machine *machine;        /* NULL: not yet */
	struct devices *devices;        /* likewise */
	struct console *console;        /* NULL: not yet */
	struct control_server *control; /* NULL: by hand */
	struct control_dump *dump;      /* NULL: none under way */
	struct control_fork *fork;      /* NULL: none under way */
	struct control_backup *backup;  /* NULL: none */
	struct control_state *state;    /* NULL: nothing of its methods */
	struct list leaving;            /* media that are being closed: control_devices.c */

	int serial_input_fd, serial_output_fd; /* owned; -1: none */
	bool serial_is_terminal;
	struct terminal terminal;
	int end_fd; /* a message queue, where the end is written down; owned; -1: nowhere */

	/* For a daemon that was not there. */
	uint32_t changed; /* the request of the last change that was made for the one before */
	unsigned resets;
	struct hvshim_crash crash; /* the last one */
	bool crashed;

	struct rate_limit notes; /* lines in the log about what the guest does */

	int signal_fd;
	struct loop_operation signal;

	enum machine_reason reason; /* of the end */
	bool failed;

	/* The end has begun: images are being closed, which has its time. */
	bool ending;
	struct loop_timer close_timer;
};

/* Blocks the signals that stop a worker, before there are threads. Return: 0, -errno. */
int worker_init(struct worker *worker) MUST_CHECK;

/* After the loop has ended; frees it too. */
void worker_deinit(struct worker *worker);

/*
 * Takes over the definition, and makes the machine from it and from what is in `resources`. Return:
 * 0; -errno and *failure, with the worker as it was but for the resources.
 */
int worker_build(struct worker *worker, struct definition *definition,
		 struct failure *failure) MUST_CHECK;

/* Runs until the machine has stopped and its console is written. Return: 0, -errno. */
int worker_run(struct worker *worker) MUST_CHECK;

/* What the control socket's "status" gives. New reference; NULL without memory. */
struct json_object *worker_status(struct worker *worker);

/*
 * A new daemon has come: its serial line and its standard error, both taken over, take the place
 * of the old one's, and it is told what is true by events. Return: 0, -errno.
 */
int worker_adopt(struct worker *worker, int serial, int error) MUST_CHECK;

/* Stops in order: the machine, then the console, then the loop. May be called again. */
void worker_stop(struct worker *worker);

/* The machine has stopped: writes down why, and ends the worker as worker_stop() does. */
void worker_stopped(struct worker *worker, enum machine_reason reason, const char *message);
