/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What happened to a VM: its event log.
 *
 * Each event goes three ways. To the journal, if standard error leads there: one entry with
 * VMMS_VM=, VMMS_VM_UUID= and the MESSAGE_ID= of its kind (packaging/catalog has a text for each);
 * else to standard error, as a line. To a bounded file of the VM's own in the state directory,
 * which `vmctl log` shows: it is there without a journal, outlives the daemon and the host's boot,
 * and no VM can push another's events out of it. And to whoever observes the manager.
 *
 * What an event quotes may come from a guest or from a worker: it is cut, made valid UTF-8, and
 * escaped on its way to the journal and to standard error. Thread: the event loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/log.h"
#include "vmms/vm/vm.h"

#include <stddef.h>
#include <stdint.h>

/* Kinds of events. */
enum vm_event {
	VM_EVENT_CREATED,
	VM_EVENT_DELETED, /* to the journal alone: the file goes with the VM */
	VM_EVENT_CHANGED, /* its definition, by its file */
	VM_EVENT_STATE,
	VM_EVENT_RESET,   /* of the machine */
	VM_EVENT_CRASH,   /* of the guest */
	VM_EVENT_GUEST,   /* the guest did something to its devices or services */
	VM_EVENT_WORKER,  /* a line of the worker's standard error */
	VM_EVENT_FAULT,   /* the worker does what it should not */
	VM_EVENT_RESTART, /* or no restart, after a failure of the worker or an image server */
	VM_EVENT_NETWORK, /* trouble with an adapter */
	VM_EVENT_DISK,    /* the host cannot carry out requests to a disk, or can again */
	VM_EVENT_HOST,    /* the host does not let the daemon do something for the VM */
	VM_EVENT_SCREEN,  /* somebody looks at the screen, or types */
	_VM_EVENT_COUNT,
};

#define VM_LOG_BOUND       (512 * 1024) /* bytes of the file */
#define VM_LOG_MESSAGE_MAX 2048         /* bytes of a message */

/* One event, as it is kept. */
struct vm_log_entry {
	uint64_t sequence; /* from 1, without gaps but for what could not be written */
	uint64_t time;     /* CLOCK_REALTIME, microseconds */
	uint8_t priority;  /* as syslog(3) has it */
	const char *event; /* name of its kind */
	const char *message;
};

/*
 * The names of the log's file, and of the console's, for log_file_new(): a place that stays the
 * VM's whatever it is called.
 */
#define VM_LOG_FOLDER "logs"

struct vm_log;

/* The VM has its uuid. Its logs are where they were, if it is an old one. Return: 0, -ENOMEM. */
int vm_log_open(struct vm *vm) MUST_CHECK;
void vm_log_free(struct vm_log *log);

/* The VM is deleted, and so are its logs: events, and what its console has said. */
void vm_log_delete(struct vm *vm);

/*
 * Something has happened. Of what a guest or a caller can bring about as often as it likes
 * (RESET, CRASH, GUEST, DISK, SCREEN) only so much is told, and how much is left out.
 */
void vm_log(struct vm *vm, enum vm_event event, enum log_level level, const char *format, ...)
	PRINTF_LIKE(4, 5);

/*
 * Calls back with the last events, oldest first. count: at most so many; 0: all there are. Return:
 * 0; the first number of `found` that is negative; -errno.
 */
int vm_log_each(struct vm *vm, size_t count,
		int (*found)(void *data, const struct vm_log_entry *entry), void *data) MUST_CHECK;
