/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One VM: what its guest tells of itself, and what is asked of the guest through its integration
 * services.
 *
 * Questions do not wait for the VM's operations, nor these for them: a file may be copied while a
 * disk is attached. All texts that the guest tells are valid UTF-8, and untrusted otherwise.
 *
 * Thread: the event loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/json.h"
#include "common/control_contract.h"
#include "vmms/base/failure.h"

#include <stdbool.h>
#include <stdint.h>

struct file_holder;
struct job;
struct vm;

#define VM_GUEST_TEXT_MAX 1024

struct vm_guest {
	char os[2 * VM_GUEST_TEXT_MAX]; /* name, version and build */
	char host_name[VM_GUEST_TEXT_MAX];
	char ipv4[VM_GUEST_TEXT_MAX], ipv6[VM_GUEST_TEXT_MAX]; /* semicolons between them */
	bool frozen;                                           /* its file systems */
	struct job *copy;                                      /* the copy under way, or NULL */
	struct file_holder *copied;                            /* its file is on the way */
};

/* result: the worker's, borrowed; NULL with *failure. */
typedef void (*vm_guest_fn)(void *data, struct json_object *result, const struct failure *failure);

/*
 * Has the worker ask the guest: a method of common/control.h. arguments (NULL: {}) and fd (-1:
 * none) are borrowed. timeout: seconds; 0: none. Return: 0: `done` will be called once; a negative
 * number with *failure filled: it will not.
 */
int vm_guest_ask(struct vm *vm, const char *method, struct json_object *arguments, int fd,
		 unsigned timeout, vm_guest_fn done, void *data,
		 struct failure *failure) MUST_CHECK;

/*
 * The same of what the guest takes its time for, as a job, which *ret_job is while this returns 0:
 * published, and perhaps over already.
 */
int vm_freeze(struct vm *vm, unsigned limit, struct job **ret_job,
	      struct failure *failure) MUST_CHECK;
int vm_thaw(struct vm *vm, struct job **ret_job, struct failure *failure) MUST_CHECK;

struct vm_copy_options {
	const char *path;
	bool overwrite, create_path;
};

/*
 * Has a process take the file that comes from there (vmms/bus/call_forwarder.h), for the worker.
 */
int vm_guest_take_file(struct vm *vm, int source, struct file_holder **ret_holder,
		       struct failure *failure) MUST_CHECK;

/* fd: a socket from which the file comes (vmms/bus/call_forwarder.h); borrowed. */
int vm_copy_file(struct vm *vm, int fd, const struct vm_copy_options *options, struct job **ret_job,
		 struct failure *failure) MUST_CHECK;

/* The events "guest", "thawed" and "copy" of the worker; data: untrusted. */
void vm_guest_on_guest(struct vm *vm, const struct control_event_data *data);
void vm_guest_on_thawed(struct vm *vm, const struct control_event_data *data);
void vm_guest_on_copy(struct vm *vm, const struct control_event_data *data);

/* There is no guest any more. */
void vm_guest_forget(struct vm *vm);
