/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One VM: its coming from another host, as a job.
 *
 * The VM is made by the definition that it has there, and waited for: a process listens (vm_carrier.h).
 * When the other side sends, which may be long after it has connected, a worker is started that gets
 * the guest. If it does not come, or cannot, the VM is deleted, which was made for that.
 *
 * Thread: the event loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "vmms/base/failure.h"
#include "vmms/carrier/carrier.h"

#include <stdbool.h>
#include <stdint.h>

struct definition;
struct job;
struct manager;
struct vm;

struct vm_arrival {
	struct job *job; /* NULL: it is not waited for */
	bool starts;     /* its worker is started, or was */
	bool has_quota;  /* its owner's counts */
};

/* What the other side has to know. */
struct vm_meeting {
	char address[CARRIER_ADDRESS_MAX];
	uint16_t port;
	uint8_t key[CARRIER_KEY_SIZE];
};

/*
 * vm: made for this, and deleted if this fails. address: where the other side has reached this host;
 * NULL: not known. Return: 0; negative with *failure filled.
 */
int vm_expect(struct vm *vm, const char *address, bool has_quota, struct vm_meeting *ret_meeting,
	      struct job **ret_job, struct failure *failure) MUST_CHECK;

/* It is waited for, and nothing else is to be done with it. */
bool vm_is_expected(const struct vm *vm);
