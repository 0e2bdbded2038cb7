/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One VM: the process that carries it to another host, or from there (vmms/carrier/carrier.h), in a unit
 * of its own where units are used. It has a user of workers', as image servers have.
 *
 * Thread: the event loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "vmms/base/failure.h"
#include "vmms/carrier/carrier.h"

struct unit;
struct vm;

struct vm_carrier {
	struct carrier *carrier; /* NULL: none */
	struct unit *unit;
	int stream; /* the worker's end; -1: the worker has it, or there is none */
};

struct vm_carrier_request {
	int network; /* of carrier_listen() or carrier_connect(); borrowed */
	bool listens;
	const uint8_t *key;
	unsigned timeout;                          /* seconds */
	uid_t user;                                /* to become; 0: none */
	const struct carrier_callbacks *callbacks; /* their owner: the VM */
};

void vm_carrier_init(struct vm *vm);

/* One that has been before goes on by itself. */
int vm_carrier_start(struct vm *vm, const struct vm_carrier_request *request,
		     struct failure *failure) MUST_CHECK;

/* The worker has the stream. */
void vm_carrier_let_go(struct vm *vm);

/* Kills it, if it has not ended. */
void vm_carrier_end(struct vm *vm);
