/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One VM: starting it again after its worker has failed.
 *
 * Thread: the event loop's.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

struct vm;

struct vm_restart {
	sd_event_source *timer; /* NULL: it is not to be started again by itself */
	unsigned count;         /* of starts in a row, after failures of the worker */
};

/* The VM has crashed. ran: microseconds until then. */
void vm_restart_after_failure(struct vm *vm, uint64_t ran);

/*
 * The seconds until the next start after so many failed ones, which are counted, and forgotten if
 * the VM ran for long; 0: there is no next one.
 */
unsigned vm_restart_delay(unsigned *restarts, uint64_t ran);

/* It is not to be started again by itself, and has not failed yet. */
void vm_restart_forget(struct vm *vm);
