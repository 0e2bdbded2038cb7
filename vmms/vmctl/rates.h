/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What VMs do a second: made of two statistics, as Manager.GetStatistics gives them.
 */
#pragma once

#include "common/base/json.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Counters that become rates, a second; exits first. */
enum rate {
	RATE_IO_PORT,
	RATE_MMIO,
	RATE_MSR_READ,
	RATE_MSR_WRITE,
	RATE_HYPERCALL,
	RATE_SYNIC,
	RATE_HALT,
	RATE_SHUTDOWN,
	RATE_KICK,
	RATE_ERROR,
	RATE_EXIT_COUNT,
	RATE_KERNEL_EXITS = RATE_EXIT_COUNT,
	RATE_KERNEL_HALT,
	RATE_KERNEL_INTERRUPT,
	RATE_INTERRUPTS,
	RATE_MESSAGES,
	RATE_TIMERS,
	RATE_READS,
	RATE_WRITES,
	RATE_FLUSHES,
	RATE_BYTES_READ,
	RATE_BYTES_WRITTEN,
	RATE_RECEIVED_FRAMES,
	RATE_SENT_FRAMES,
	RATE_RECEIVED_BYTES,
	RATE_SENT_BYTES,
	_RATE_COUNT,
};

/* Microseconds; 0: there was no request. */
struct rates_latency {
	double median, p99;
};

struct vm_rates {
	const char *name, *state; /* of the later statistics */
	const char *cpu_group;    /* "": none */
	unsigned processors;
	uint64_t memory, resident; /* bytes */
	uint64_t assigned, demand; /* bytes that the guest has, and says it needs; 0: it does not */
	bool running;              /* it has a worker that answered; else what follows is 0 */
	bool known;                /* it did both times; else the rates are 0 */
	double guest, host, steal; /* percent of one CPU */
	double rates[_RATE_COUNT], exits; /* exits: to the worker, by whatever reason */
	struct rates_latency read, write;
};

struct rates {
	struct vm_rates *vms; /* the busiest first */
	size_t count, running;
};

/* The trees are borrowed for as long as the rates. before: NULL: nothing is known. Return: 0,
 * -ENOMEM. */
int rates_new(struct json_object *before, struct json_object *now,
	      struct rates *ret_rates) MUST_CHECK;
void rates_deinit(struct rates *rates);

/* New reference; NULL without memory. */
struct json_object *rates_to_json(const struct rates *rates);
