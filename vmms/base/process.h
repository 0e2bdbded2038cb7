/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A process that outlives the daemon, told from another of the same number by when it started.
 */
#pragma once

#include "common/base/cc.h"

#include <stdint.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

struct process {
	pid_t pid;           /* 0: none */
	uint64_t start_time; /* clock ticks after the host's boot: proc(5), /proc/PID/stat */
};

/* Return: 0; -ESRCH: there is no such process; -errno. */
int process_identify(pid_t pid, struct process *ret_process) MUST_CHECK;

/* A pidfd of exactly that process. Return: 0; -ESRCH: it has ended; -errno. */
int process_open(const struct process *process, int *ret_pidfd) MUST_CHECK;

/*
 * Has the loop take note of the end of a child that was killed, whenever that comes: a process that
 * waits for a file system may not die for as long as it likes. pidfd: taken over; -1: none.
 */
void process_reap(sd_event *loop, int pidfd);
