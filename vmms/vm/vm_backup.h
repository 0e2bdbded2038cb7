/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One VM: backups of its disks while it runs.
 *
 * Whoever wants one passes a stream socket that listens, on which the worker serves the disks as they
 * were at one instant (vsp/storage/nbd_server.h). The daemon
 * has no part in the data. The guest is asked to freeze its file systems for that instant. A backup is
 * a job: it is done when who reads says so, and from then on it is known which blocks change. Its
 * beginning is an operation of the VM; while it is read, all may be done to the VM, which may end the
 * backup.
 *
 * STATE/backup/UUID-CONTROLLER-LUN.changes are the files by which that is known
 * (common/image/changes_file.h), which workers write.
 *
 * Thread: the event loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "vmms/base/failure.h"
#include "vmms/vm/vm_change.h"

#include <stdbool.h>
#include <stdint.h>

struct backup_work;
struct job;
struct resources;
struct vm;

/* Bytes of those files at most. */
#define VM_BACKUP_CHANGES_MAX (UINT64_C(20) << 20)

struct vm_backup {
	struct backup_work *work; /* what is under way; NULL: nothing */
};

struct vm_backup_options {
	bool crash_consistent; /* a guest that does not freeze is backed up as after a loss of power */
	bool releases;         /* who reads may let go of what was read */
	uint64_t scratch;      /* bytes that may be kept for each disk meanwhile; 0: some GiB */
};

/*
 * fd: a socket from which that comes (vmms/bus/call_forwarder.h); borrowed. *ret_job: as of
 * vm_copy_file(). Its result is, as soon as the disks are served, JSON: docs/dbus/org.vmms1.Files.md.
 */
int vm_backup_begin(struct vm *vm, int fd, const struct vm_backup_options *options,
		    struct job **ret_job, struct failure *failure) MUST_CHECK;

/* What was read is a backup, and is durable. Return and `done`: as of a verb (vmms/vm/vm.h). */
int vm_backup_end(struct vm *vm, vm_done_fn done, void *data, struct failure *failure) MUST_CHECK;

/* For the start of a worker: the files of disks that have one. */
void vm_backup_add_changes(const struct vm *vm, struct resources *resources);

/* Whether there are some. */
bool vm_backup_has_changes(const struct vm *vm);

void vm_backup_worker_ended(struct vm *vm);
void vm_backup_free(struct vm *vm);

/* The VM is deleted. */
void vm_backup_delete(const struct vm *vm);
