/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is counted of a VM while it runs. */
#include "vmwp/control/statistics.h"

#include "common/base/json.h"
#include "common/control_contract.h"
#include "vmwp/control/worker.h"
#include "vmwp/device/devices.h"
#include "vmwp/machine/machine.h"
#include "vsp/network/network.h"
#include "vsp/storage/storage.h"

_Static_assert(DISK_LATENCY_BUCKETS == CONTROL_LATENCY_BUCKETS, "as the daemon reads them");

static const char *const exit_names[] = {
	[VID_EXIT_IO_PORT] = "io-port",     [VID_EXIT_MMIO] = "mmio",
	[VID_EXIT_MSR_READ] = "msr-read",   [VID_EXIT_MSR_WRITE] = "msr-write",
	[VID_EXIT_HYPERCALL] = "hypercall", [VID_EXIT_SYNIC] = "synic",
	[VID_EXIT_HALT] = "halt",           [VID_EXIT_SHUTDOWN] = "shutdown",
	[VID_EXIT_KICK] = "kick",           [VID_EXIT_ERROR] = "error",
};

_Static_assert(ARRAY_SIZE(exit_names) == VID_EXIT_KINDS, "every kind has a name");

static const char *const kernel_exit_names[] = {
	[VID_KERNEL_EXIT_ALL] = "all",
	[VID_KERNEL_EXIT_HALT] = "halt",
	[VID_KERNEL_EXIT_INTERRUPT] = "interrupt",
	[VID_KERNEL_EXIT_INTERRUPT_WINDOW] = "interrupt-window",
	[VID_KERNEL_EXIT_IO] = "io-port",
	[VID_KERNEL_EXIT_MMIO] = "mmio",
	[VID_KERNEL_EXIT_HYPERCALL] = "hypercall",
	[VID_KERNEL_EXIT_SIGNAL] = "signal",
};

_Static_assert(ARRAY_SIZE(kernel_exit_names) == VID_KERNEL_EXITS, "every kind has a name");

static struct json_object *report_counts(const uint64_t *counts, const char *const *names,
					 size_t count)
{
	struct json_object *report = json_object_new_object();

	for (size_t i = 0; i < count; i++)
		json_add(&report, names[i], json_object_new_uint64(counts[i]));
	return report;
}

void statistics_add_exits(const struct vid_vp *vp, struct json_object **object)
{
	uint64_t exits[VID_EXIT_KINDS], kernel_exits[VID_KERNEL_EXITS];

	for (unsigned kind = 0; kind < VID_EXIT_KINDS; kind++)
		exits[kind] = vid_vp_exits(vp, kind);
	vid_vp_kernel_exits(vp, kernel_exits);
	json_add(object, "exits", report_counts(exits, exit_names, VID_EXIT_KINDS));
	json_add(object, "kernel_exits",
		 report_counts(kernel_exits, kernel_exit_names, VID_KERNEL_EXITS));
}

static struct json_object *report_vmbus(const struct power_cycle_counters *counters)
{
	return json_make("interrupts", json_object_new_uint64(counters->interrupts), "messages",
			 json_object_new_uint64(counters->messages), "timers",
			 json_object_new_uint64(counters->timers), NULL);
}

static struct json_object *report_latency(const struct disk_latency *latency)
{
	struct json_object *buckets = json_object_new_array();

	for (size_t i = 0; i < DISK_LATENCY_BUCKETS; i++)
		json_append(&buckets, json_object_new_uint64(latency->buckets[i]));
	return buckets;
}

static struct json_object *report_disk(const struct devices *devices)
{
	struct storage_counters storage;
	const struct disk_counters *disks = &storage.disks;

	devices_storage_counters(devices, &storage);
	return json_make("reads", json_object_new_uint64(disks->reads), "writes",
			 json_object_new_uint64(disks->writes), "flushes",
			 json_object_new_uint64(disks->flushes), "unmaps",
			 json_object_new_uint64(disks->unmaps), "bytes_read",
			 json_object_new_uint64(disks->bytes_read), "bytes_written",
			 json_object_new_uint64(disks->bytes_written), "errors",
			 json_object_new_uint64(disks->errors), "read_latency",
			 report_latency(&disks->read_latency), "read_latency_ns",
			 json_object_new_uint64(disks->read_latency.sum), "write_latency",
			 report_latency(&disks->write_latency), "write_latency_ns",
			 json_object_new_uint64(disks->write_latency.sum), NULL);
}

static struct json_object *report_network(const struct adapters *adapters)
{
	struct network_counters counters;

	adapters_counters(adapters, &counters);
	return json_make("sent_frames", json_object_new_uint64(counters.sent_frames), "sent_bytes",
			 json_object_new_uint64(counters.sent_bytes), "sent_dropped",
			 json_object_new_uint64(counters.sent_dropped), "received_frames",
			 json_object_new_uint64(counters.received_frames), "received_bytes",
			 json_object_new_uint64(counters.received_bytes), "received_dropped",
			 json_object_new_uint64(counters.received_dropped), NULL);
}

struct json_object *statistics_report(const struct worker *worker)
{
	struct power_cycle_counters counters;

	machine_counters(worker->machine, &counters);
	return json_make("exits", report_counts(counters.exits, exit_names, VID_EXIT_KINDS),
			 "kernel_exits",
			 report_counts(counters.kernel_exits, kernel_exit_names, VID_KERNEL_EXITS),
			 "vmbus", report_vmbus(&counters), "disk", report_disk(worker->devices),
			 "network", report_network(devices_adapters(worker->devices)), NULL);
}
