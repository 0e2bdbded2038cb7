/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One VM: its meter, which adds up what it uses of the host over all its runs, for whoever is to pay.
 *
 * A meter that is on is read every METER_INTERVAL, from the counters of the worker and of the kernel
 * (vmms/vm/statistics.h), and a last time from what the worker leaves at its end; of a worker that
 * was killed, what it used since the last reading is not counted. STATE/meters/UUID.json has the
 * sums and the counters of the run as they were read last, so that the next daemon goes on from
 * there: a file that is older than the sums were makes no difference, as counters only grow.
 *
 * Thread: the event loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "vmms/base/failure.h"

#include <stdbool.h>
#include <stdint.h>

#define METER_INTERVAL 5  /* seconds */
#define METER_WRITES   12 /* readings after which the sums are written down */

struct json_object;
struct sd_event_source;
struct vm;

enum meter_counter {
	METER_CPU_US, /* of the worker, in the guest and out of it */
	METER_DISK_READS,
	METER_DISK_WRITES,
	METER_DISK_BYTES_READ,
	METER_DISK_BYTES_WRITTEN,
	METER_RECEIVED_BYTES, /* by the guest */
	METER_SENT_BYTES,
	_METER_COUNT,
};

struct vm_meter {
	bool on;
	uint64_t since; /* CLOCK_REALTIME, microseconds: when it was switched on, or reset */
	uint64_t sums[_METER_COUNT];
	uint64_t run_us;                    /* that the VM has run for */
	uint64_t memory_mib_ms;             /* of what the guest had: MiB times milliseconds, */
	uint64_t memory_ms;                 /* in so many of them */
	uint64_t memory_least, memory_most; /* bytes; 0: it has not run */

	/* The run that was read last. */
	uint64_t run; /* its started_at; 0: none */
	uint64_t counters[_METER_COUNT];
	uint64_t read_at; /* CLOCK_BOOTTIME, microseconds */
	bool anew;        /* the next reading is where counting begins */

	struct sd_event_source *timer;
	unsigned unwritten; /* readings */
};

/* Of a VM that is new here. What cannot be read is logged, and the meter is off. */
void vm_meter_load(struct vm *vm);
void vm_meter_free(struct vm *vm);

/* The VM has been deleted. */
void vm_meter_delete(const struct vm *vm);

/*
 * Switches it on, from 0, or off, where the sums stay; sets the sums to 0. Return: 0; negative with
 * *failure filled: nothing has changed.
 */
int vm_meter_switch(struct vm *vm, bool on, struct failure *failure) MUST_CHECK;
int vm_meter_reset(struct vm *vm, struct failure *failure) MUST_CHECK;

/* The guest has begun to run, or was found running. */
void vm_meter_begin(struct vm *vm);

/* vm->statistics is new. */
void vm_meter_read(struct vm *vm);

/* The worker has ended. end: what it left, untrusted, or NULL. */
void vm_meter_end(struct vm *vm, struct json_object *end);

/* As docs/dbus/org.vmms1.VM.md has it. New reference; NULL without memory. */
struct json_object *vm_meter_to_json(const struct vm *vm);

/* Bytes, over the time that it has run; 0: it has not. */
uint64_t vm_meter_memory_average(const struct vm_meter *meter);
