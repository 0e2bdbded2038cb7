/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Statistics of VMs: what their workers count (common/control.h), and what the host counts of the
 * workers.
 *
 * Nothing is asked for unless somebody wants to know. Who does makes a query, which is over when
 * the workers have answered or had STATISTICS_TIMEOUT seconds for it; queries at the same time
 * share the answers. A worker may tell whatever it likes: what is no number counts as 0, and what
 * is too much is ignored.
 *
 * Thread: the event loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "common/control_contract.h"
#include "vmms/host/host.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STATISTICS_TIMEOUT 2 /* seconds */

struct json_object;
struct manager;
struct vm;

/* Counters of a worker, in the order of their groups. */
enum statistic {
	STATISTIC_EXIT_IO_PORT,
	STATISTIC_EXIT_MMIO,
	STATISTIC_EXIT_MSR_READ,
	STATISTIC_EXIT_MSR_WRITE,
	STATISTIC_EXIT_HYPERCALL,
	STATISTIC_EXIT_SYNIC,
	STATISTIC_EXIT_HALT,
	STATISTIC_EXIT_SHUTDOWN,
	STATISTIC_EXIT_KICK,
	STATISTIC_EXIT_ERROR,
	STATISTIC_KERNEL_EXIT_ALL,
	STATISTIC_KERNEL_EXIT_HALT,
	STATISTIC_KERNEL_EXIT_INTERRUPT,
	STATISTIC_KERNEL_EXIT_INTERRUPT_WINDOW,
	STATISTIC_KERNEL_EXIT_IO_PORT,
	STATISTIC_KERNEL_EXIT_MMIO,
	STATISTIC_KERNEL_EXIT_HYPERCALL,
	STATISTIC_KERNEL_EXIT_SIGNAL,
	STATISTIC_INTERRUPTS,
	STATISTIC_MESSAGES,
	STATISTIC_TIMERS,
	STATISTIC_DISK_READS,
	STATISTIC_DISK_WRITES,
	STATISTIC_DISK_FLUSHES,
	STATISTIC_DISK_UNMAPS,
	STATISTIC_DISK_BYTES_READ,
	STATISTIC_DISK_BYTES_WRITTEN,
	STATISTIC_DISK_ERRORS,
	STATISTIC_DISK_READ_NS,
	STATISTIC_DISK_WRITE_NS,
	STATISTIC_SENT_FRAMES,
	STATISTIC_RECEIVED_FRAMES,
	STATISTIC_SENT_BYTES,
	STATISTIC_RECEIVED_BYTES,
	STATISTIC_SENT_DROPPED,
	STATISTIC_RECEIVED_DROPPED,
	_STATISTIC_COUNT,
};

/* Its name in JSON: "io-port". */
const char *statistic_name(enum statistic statistic);

struct vm_statistics {
	bool awaited;  /* the worker has been asked */
	uint64_t time; /* of the answer: CLOCK_MONOTONIC, microseconds; 0: none in this run */
	uint64_t values[_STATISTIC_COUNT];
	uint64_t read_latency[CONTROL_LATENCY_BUCKETS], write_latency[CONTROL_LATENCY_BUCKETS];
	struct process_usage usage;        /* its steal time goes on over resets */
	uint64_t steal_before, steal_last; /* of threads that are gone; as read last */
};

struct statistics_query;

/* All that could be known is in vm->statistics. manager: NULL: the service ends, and nothing is. */
typedef void (*statistics_fn)(void *data, struct manager *manager);

/*
 * Asks the worker of one VM, or of all (NULL). `done` is called once, from the loop, unless the
 * query is forgotten before. Return: 0, -ENOMEM, -errno.
 */
int statistics_ask(struct manager *manager, struct vm *vm, statistics_fn done, void *data,
		   struct statistics_query **ret_query) MUST_CHECK;
void statistics_forget(struct statistics_query *query);

/* Asks the worker of one VM, for which nobody waits; if that cannot be, nothing happens. */
void statistics_refresh(struct vm *vm);

/* The VM's worker has ended, or the VM goes. */
void statistics_reset(struct vm *vm);

/* The service ends: who waits is told. */
void statistics_end(struct manager *manager);

/*
 * As in docs/dbus/org.vmms1.VM.md; of a VM that does not run, without its counters. New reference;
 * NULL without memory.
 */
struct json_object *statistics_to_json(const struct vm *vm);
