/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Benchmark guest: the workloads of bench.h on a disk of the synthetic storage controller.
 */
#include "guest-vsc/clock.h"
#include "guest-vsc/hypercall.h"
#include "guest-vsc/machine.h"
#include "tests/guest/bench.h"
#include "tests/guest/report.h"
#include "tests/guest/rig.h"

static struct storvsc_request requests[BENCH_DEPTH_MAX];

static void complete(struct storvsc_request *request)
{
	bench_complete((unsigned)(request - requests), storvsc_request_succeeded(request));
}

static bool submit(const struct bench_request *bench)
{
	struct storvsc_request *request = &requests[bench->slot];
	uint64_t sector = bench->offset / rig.disk.sector_size;

	*request = bench->write ? disk_client_write(&rig.disk, sector, bench->buffer, bench->size)
				: disk_client_read(&rig.disk, sector, bench->buffer, bench->size);
	request->complete = complete;
	return storvsc_client_submit(&rig.storage, 0, request) == 0;
}

static void flush(void)
{
	storvsc_client_flush(&rig.storage);
}

static bool poll(void)
{
	return storvsc_client_poll(&rig.storage) >= 0;
}

void guest_main(void)
{
	if (rig_start()) {
		struct bench_disk disk = {
			.bytes = rig.disk.sectors * rig.disk.sector_size,
			.transfer_max = rig.storage.properties.transfer_max,
			.read_only = rig.disk.read_only,
			.submit = submit,
			.flush = flush,
			.poll = poll,
			.doorbells = hypercall_signal_count,
			.now = clock_now,
		};

		bench_run(&disk);
	}
	report_done();
}
