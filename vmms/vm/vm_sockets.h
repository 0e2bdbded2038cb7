/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One VM: its Hyper-V sockets, as far as they are the daemon's business.
 *
 * The folder of its sockets (vmms/base/socket_folder.h) is in the runtime directory, by the VM's
 * uuid: a VM of the same name, which may be another owner's, has another one. Data go between the
 * host's programs and the worker alone.
 *
 * Thread: the event loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/json.h"
#include "common/base/list.h"
#include "common/base/rate_limit.h"
#include "common/control_contract.h"
#include "vmms/base/failure.h"

#include <limits.h>
#include <stdint.h>

#define VM_SOCKETS_CALLS_MAX 16 /* of the guest, that are being connected */

struct vm;

struct vm_sockets {
	struct list calls; /* of the guest: struct socket_call */
	unsigned call_count;
	struct rate_limit rate_limit; /* of them */
};

void vm_sockets_init(struct vm_sockets *sockets);

/* The rate limit of those of all VMs. */
void vm_sockets_init_all(struct rate_limit *all);

/* The folder's path, whether there is one or not. */
void vm_sockets_path(const struct vm *vm, char path[PATH_MAX]);

/* The VM does not run, or is to be deleted: vmms/base/socket_folder.h. */
void vm_sockets_stopped(const struct vm *vm);
void vm_sockets_deleted(const struct vm *vm);

/* The worker is gone: so is what its guest asked for. */
void vm_sockets_forget(struct vm *vm);

/* The event "connect" of the worker; data: untrusted. */
void vm_sockets_on_connect(struct vm *vm, const struct control_event_data *data);

/* fd: of a connected stream socket, the callee's; -1 with *failure. */
typedef void (*vm_socket_fn)(void *data, int fd, const struct failure *failure);

/*
 * Connects to a port of the guest. Return: 0: `done` will be called once; a negative number with
 * *failure filled: it will not.
 */
int vm_open_socket(struct vm *vm, uint32_t port, vm_socket_fn done, void *data,
		   struct failure *failure) MUST_CHECK;
