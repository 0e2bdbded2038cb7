/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One VM: viewers of its guest's screen, as far as they are the daemon's business.
 *
 * They are served by a process of their own (vmms/screen/), which is started for the first of them,
 * and ends with the VM's worker, or with the daemon. It gets each viewer's socket, and a way to the
 * worker; nothing of what goes through these is the daemon's.
 *
 * Thread: the event loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "vmms/base/failure.h"

#include <stdbool.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

struct vm;

/* The process, while there is one: pid above 0. */
struct vm_viewers {
	pid_t pid;
	int pidfd, control, output;
	sd_event_source *source;
};

/*
 * A viewer comes: *ret_fd: its end of a stream socket that speaks RFB; the caller's. read_only: it
 * looks, and neither types nor points. who: for the log. Return: 0; a negative number with
 * *failure filled.
 */
int vm_open_screen(struct vm *vm, const char *who, bool read_only, int *ret_fd,
		   struct failure *failure) MUST_CHECK;

/* The worker is gone: so are they. */
void vm_viewers_forget(struct vm *vm);
