/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Benchmark guest for another VMM: the workloads of bench.h on a virtio-blk disk.
 *
 * For QEMU's microvm, on any KVM: virtio-mmio transports in its places, and time from KVM's
 * paravirtual clock, for there is no Hyper-V. More parameters: event_index=0 or 1 (virtio_blk.h).
 *
 * Sources: QEMU's hw/i386/microvm.h; Linux's Documentation/virt/kvm/x86/msr.rst.
 */
#include "guest-vsc/machine.h"
#include "tests/guest/bench.h"
#include "tests/guest/report.h"
#include "tests/guest/virtio_blk.h"

#define TRANSPORTS        0xfeb00000
#define TRANSPORT_STRIDE  512
#define TRANSPORT_COUNT   8
#define TRANSFER_MAX      (1024u * 1024)
#define MSR_SYSTEM_TIME   0x4b564d01
#define SYSTEM_TIME_VALID 1

/* Written by KVM when the MSR is, and whenever the rate changes: an odd version is a write. */
struct system_time {
	uint32_t version, padding;
	uint64_t tsc, nanoseconds; /* what the counter was at that time */
	uint32_t multiplier;       /* 2^-32 ns per tick, after the shift */
	int8_t shift;              /* left; negative: right */
	uint8_t flags;
	uint8_t rest[2];
};
_Static_assert(sizeof(struct system_time) == 32, "msr.rst, MSR_KVM_SYSTEM_TIME_NEW");

static struct system_time system_time __attribute__((aligned(64)));
static struct virtio_blk disk;

/*
 * Only the rate is taken from KVM: where the TSC is not scaled and never stops, that is all there
 * is to know of it, and differences are all that are asked for.
 */
static uint64_t now(void)
{
	uint64_t ticks = machine_tsc();

	if (system_time.shift >= 0)
		ticks <<= system_time.shift;
	else
		ticks >>= -system_time.shift;
	return (uint64_t)((unsigned __int128)ticks * system_time.multiplier >> 32);
}

static bool submit(const struct bench_request *request)
{
	virtio_blk_stage(&disk, request->slot, request->write, request->offset / VIRTIO_BLK_SECTOR,
			 request->buffer, request->size);
	return true;
}

static void flush(void)
{
	virtio_blk_notify(&disk);
}

static bool poll(void)
{
	virtio_blk_poll(&disk, bench_complete);
	return true;
}

static uint64_t doorbells(void)
{
	return disk.notifications;
}

static bool start(void)
{
	const char *problem;

	if (!machine_write_msr(MSR_SYSTEM_TIME, machine_gpa(&system_time) | SYSTEM_TIME_VALID) ||
	    !system_time.multiplier)
		return report(false, "clock", "KVM has no paravirtual clock");
	problem = virtio_blk_open(&disk, TRANSPORTS, TRANSPORT_COUNT, TRANSPORT_STRIDE,
				  machine_parameter("event_index", 0));
	return !problem || report(false, "disk", "%s", problem);
}

void guest_main(void)
{
	if (start()) {
		struct bench_disk bench = {
			.bytes = disk.sectors * VIRTIO_BLK_SECTOR,
			.transfer_max = TRANSFER_MAX,
			.read_only = disk.read_only,
			.submit = submit,
			.flush = flush,
			.poll = poll,
			.doorbells = doorbells,
			.now = now,
		};

		bench_run(&bench);
	}
	report_done();
}
