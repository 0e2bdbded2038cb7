/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is written down of a VM that has a worker, for the daemon that comes after this one: in the
 * runtime directory, which does not outlive the host.
 *
 *   workers/UUID.json     the worker's process, when the VM was started, the back ends of its
 *                         adapters
 *   workers/UUID.socket   where the worker listens (control_listen())
 *   workers/UUID.end      the name of a message queue (vmms/worker/end_queue.h), in which the
 * worker leaves, when the VM stops: {"reason", "message"}
 *
 * A record is there before the guest's first instruction, and goes when the worker has gone.
 *
 * Thread: the event loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/cleanup.h"
#include "common/base/json.h"
#include "common/definition/definition.h"
#include "vmms/apparmor/apparmor.h"
#include "vmms/base/process.h"

#include <limits.h>
#include <stdint.h>

struct vm;
struct manager;

struct vm_record {
	struct process worker;
	uid_t user;                        /* that the worker has become; 0: none */
	uint64_t started_at, started_boot; /* as of struct vm */
	struct definition *definition;     /* by which it runs; its file may have another one */
	char run_name[DEFINITION_NAME_MAX + 1]; /* as of struct vm */
	char profile[APPARMOR_NAME_SIZE];       /* of AppArmor; "": none */
	struct json_object *adapters;           /* adapter_to_json() of each; NULL: none */
	struct json_object *images;             /* vm_images_to_json(); NULL: none */
	struct json_object *change;             /* vm_unfinished_to_json(); NULL: none */
};

void vm_record_deinit(struct vm_record *record);

/* What is true of the VM now, if it has a worker; a failure is logged: only the next daemon would
 * miss it. */
void vm_record_save(struct vm *vm);

/* Return: 0; -ENOENT: there is none; -EINVAL: it makes no sense; -errno. */
int vm_record_load(const struct vm *vm, struct vm_record *ret_record) MUST_CHECK;

/* The record, the socket and the queue go. */
void vm_record_delete(struct vm *vm);

void vm_record_socket_path(const struct vm *vm, char path[PATH_MAX]);

/* Of a socket that is there for a moment, while an image server is started. */
void vm_record_image_path(const struct vm *vm, char path[PATH_MAX]);

/* Empty, and ready for the worker. Return: 0, -errno. */
int vm_record_open_end(const struct vm *vm, int *ret_fd) MUST_CHECK;

/* What the worker left of its end is taken over by the VM, which may not have heard it, and its meter. */
void vm_record_take_end(struct vm *vm);

/* Warns of records that belong to no VM: somebody's guests may be running there. */
void vm_record_warn_of_strays(struct manager *manager);
