/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The workloads of the benchmark guests, and their measuring.
 */
#include "tests/guest/bench.h"
#include "guest-vsc/machine.h"
#include "guest-vsc/memory.h"
#include "guest-vsc/serial.h"
#include "tests/guest/pattern.h"
#include "tests/guest/report.h"

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
	{ "randread-4k-qd32", BENCH_DEPTH_MAX, SMALL, false, true },
	{ "randwrite-4k-qd1", 1, SMALL, true, true },
	{ "randwrite-4k-qd32", BENCH_DEPTH_MAX, SMALL, true, true },
	{ "read-1m-qd4", 4, BLOCK_MAX, false, false },
	{ "write-1m-qd4", 4, BLOCK_MAX, true, false },
};

static uint8_t buffers[BENCH_DEPTH_MAX][BLOCK_MAX] __attribute__((aligned(4096)));

/* The slots that may be submitted, and how the workload goes. */
static struct {
	const struct bench_disk *disk;
	const struct workload *workload;
	uint32_t block; /* the workload's, or what the disk takes at most */
	uint64_t blocks, next;
	unsigned batch, idle_count;
	unsigned idle[BENCH_DEPTH_MAX];
	uint64_t submitted, completed, failed;
} state;

void bench_complete(unsigned slot, bool succeeded)
{
	state.completed++;
	if (!succeeded)
		state.failed++;
	state.idle[state.idle_count++] = slot;
}

static bool submit(unsigned slot)
{
	uint64_t block =
		state.workload->random ? pattern_random(state.blocks) : state.next++ % state.blocks;

	state.submitted++;
	return state.disk->submit(&(struct bench_request){
		.slot = slot,
		.write = state.workload->write,
		.offset = block * state.block,
		.buffer = buffers[slot],
		.size = state.block,
	});
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
			state.disk->flush();
		}
		if (!state.disk->poll())
			return false;
		machine_pause();
	}
	return state.failed == 0;
}

static void prepare(const struct bench_disk *disk, const struct workload *workload,
		    uint64_t disk_bytes)
{
	memset(&state, 0, sizeof(state));
	state.disk = disk;
	state.workload = workload;
	state.batch = (unsigned)machine_parameter("batch", BATCH);
	state.block = MIN(workload->block, disk->transfer_max);
	state.blocks = disk_bytes / state.block;
	for (unsigned i = 0; i < workload->depth; i++)
		state.idle[state.idle_count++] = i;
}

/* `bytes`: how many the workload moves. */
static void measure(const struct workload *workload, uint64_t bytes)
{
	const struct bench_disk *disk = state.disk;
	uint64_t count = bytes / state.block;
	uint64_t doorbells = disk->doorbells(), interrupts = machine_interrupts();
	uint64_t start = disk->now(), end;

	if (!run(count)) {
		report(false, workload->name, "%lu requests failed", state.failed);
		return;
	}
	end = disk->now();
	serial_print("BENCH %s requests=%lu bytes=%lu ns=%lu doorbells=%lu interrupts=%lu",
		     workload->name, count, count * state.block, end - start,
		     disk->doorbells() - doorbells, machine_interrupts() - interrupts);
	report(true, workload->name, "%s", "");
}

void bench_run(const struct bench_disk *disk)
{
	uint64_t count = machine_parameter("requests", 10000);
	uint64_t disk_bytes = MIN(machine_parameter("disk_bytes", UINT64_MAX), disk->bytes);
	bool write = machine_parameter("write", 1) && !disk->read_only;

	for (size_t i = 0; i < ARRAY_SIZE(workloads); i++) {
		if (workloads[i].write && !write)
			continue;
		prepare(disk, &workloads[i], disk_bytes);
		/* Sequential ones move sixteen times the data in the same breath. */
		measure(&workloads[i], count * SMALL * (workloads[i].random ? 1 : 16));
	}
}
