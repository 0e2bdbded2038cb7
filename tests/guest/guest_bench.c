/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Benchmark guest: how many requests a disk serves, at native speed, by polling.
 *
 * Each workload is one line:
 *	BENCH name requests=N bytes=N ns=N doorbells=N interrupts=N
 * Parameters: requests=N, how many of the small ones; write=0: no writing; disk_bytes=N: use no
 * more than the first N bytes; batch=N: submit anew when so many of a full queue have completed.
 * Unless write=0 the disk's contents are lost.
 */
#include "guest-vsc/clock.h"
#include "guest-vsc/hypercall.h"
#include "guest-vsc/machine.h"
#include "guest-vsc/memory.h"
#include "guest-vsc/serial.h"
#include "tests/guest/pattern.h"
#include "tests/guest/report.h"
#include "tests/guest/rig.h"

#define DEPTH_MAX 32
#define BATCH     8
#define BLOCK_MAX (1024u * 1024)
#define SMALL     4096u

struct workload {
	const char *name;
	unsigned depth;
	uint32_t block; /* bytes */
	bool write, random;
};

static const struct workload workloads[] = {
	{ "randread-4k-qd1", 1, SMALL, false, true },
	{ "randread-4k-qd32", 32, SMALL, false, true },
	{ "randwrite-4k-qd1", 1, SMALL, true, true },
	{ "randwrite-4k-qd32", 32, SMALL, true, true },
	{ "read-1m-qd4", 4, BLOCK_MAX, false, false },
	{ "write-1m-qd4", 4, BLOCK_MAX, true, false },
};

static uint8_t buffers[DEPTH_MAX][BLOCK_MAX] __attribute__((aligned(4096)));
static struct storvsc_request requests[DEPTH_MAX];

/* The requests that may be submitted, and how the workload goes. */
static struct {
	const struct workload *workload;
	uint32_t block; /* the workload's, or what the controller takes at most */
	uint64_t blocks, next;
	unsigned batch, idle_count;
	struct storvsc_request *idle[DEPTH_MAX];
	uint64_t submitted, completed, failed;
} state;

static void complete(struct storvsc_request *request)
{
	state.completed++;
	if (!storvsc_request_succeeded(request))
		state.failed++;
	state.idle[state.idle_count++] = request;
}

static bool submit(struct storvsc_request *request)
{
	uint64_t block =
		state.workload->random ? pattern_random(state.blocks) : state.next++ % state.blocks;
	uint64_t sector = block * (state.block / rig.disk.sector_size);
	uint8_t *buffer = buffers[request - requests];

	*request = state.workload->write ? disk_client_write(&rig.disk, sector, buffer, state.block)
					 : disk_client_read(&rig.disk, sector, buffer, state.block);
	request->complete = complete;
	state.submitted++;
	return storvsc_client_submit(&rig.storage, 0, request) == 0;
}

/* Refills the queue in batches: a doorbell is dear, and rung once for all that is staged. */
static bool run(uint64_t count)
{
	unsigned batch = MIN(state.batch, state.workload->depth);

	while (state.completed < count) {
		if (state.submitted < count &&
		    (state.idle_count >= batch || state.submitted == 0)) {
			while (state.idle_count && state.submitted < count)
				if (!submit(state.idle[--state.idle_count]))
					return false;
			storvsc_client_flush(&rig.storage);
		}
		if (storvsc_client_poll(&rig.storage) < 0)
			return false;
		machine_pause();
	}
	return state.failed == 0;
}

static void prepare(const struct workload *workload, uint64_t disk_bytes)
{
	memset(&state, 0, sizeof(state));
	state.workload = workload;
	state.batch = (unsigned)machine_parameter("batch", BATCH);
	state.block = MIN(workload->block, rig.storage.properties.transfer_max);
	state.blocks = disk_bytes / state.block;
	for (unsigned i = 0; i < workload->depth; i++)
		state.idle[state.idle_count++] = &requests[i];
}

static void measure(const struct workload *workload, uint64_t bytes, uint64_t disk_bytes)
{
	uint64_t start, end, doorbells, interrupts, count;

	prepare(workload, disk_bytes);
	count = bytes / state.block;
	doorbells = hypercall_signal_count();
	interrupts = machine_interrupts();
	start = clock_now();
	if (!run(count)) {
		report(false, workload->name, "%lu requests failed", state.failed);
		return;
	}
	end = clock_now();
	serial_print("BENCH %s requests=%lu bytes=%lu ns=%lu doorbells=%lu interrupts=%lu",
		     workload->name, count, count * state.block, end - start,
		     hypercall_signal_count() - doorbells, machine_interrupts() - interrupts);
	report(true, workload->name, "%s", "");
}

void guest_main(void)
{
	uint64_t count = machine_parameter("requests", 10000);
	uint64_t limit = machine_parameter("disk_bytes", UINT64_MAX);
	bool write = machine_parameter("write", 1);

	if (rig_start()) {
		uint64_t disk_bytes = MIN(limit, rig.disk.sectors * rig.disk.sector_size);

		for (size_t i = 0; i < ARRAY_SIZE(workloads); i++) {
			if (workloads[i].write && (!write || rig.disk.read_only))
				continue;
			/* Sequential ones move sixteen times the data in the same breath. */
			measure(&workloads[i], count * SMALL * (workloads[i].random ? 1 : 16),
				disk_bytes);
		}
	}
	report_done();
}
