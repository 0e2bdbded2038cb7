/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Metrics of all VMs, as OpenMetrics text.
 *
 * The format wants all samples of a family together, so the walk is by family, then by VM. A family
 * is a row of a table. VMs that do not run have a state, and no samples of what is counted.
 */
#include "vmms/metrics/metrics.h"

#include "common/base/text.h"
#include "vmms/vm/manager.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define LABEL_SIZE 1024

void metrics_escape(char *buffer, size_t buffer_size, const char *text)
{
	char visible[LABEL_SIZE];
	size_t used = 0;

	text_escape(visible, sizeof(visible), text, strlen(text));
	for (const char *at = visible; *at != '\0'; at++) {
		bool special = *at == '\\' || *at == '"';

		if (used + 1 + special >= buffer_size)
			break;
		if (special)
			buffer[used++] = '\\';
		buffer[used++] = *at;
	}
	buffer[text_utf8_prefix(buffer, used)] = '\0';
}

/* ---- Families ---- */

struct family;

/* Writes the samples of one VM, which runs and has been heard of unless the family is for others. */
typedef void (*family_fn)(FILE *stream, const struct family *family, const struct vm *vm);

struct family {
	const char *name, *type, *help;
	const char *unit; /* with which the name ends; NULL: none */
	family_fn write;
	bool for_all, for_meters; /* else for those that run */

	/* For metrics_write_counters(): samples that differ in a label. */
	const char *label;
	enum statistic first;
	size_t count;
	const char *const *values; /* of the label; NULL: names of the statistics */

	enum meter_counter counter; /* for metrics_write_meter(), instead of `first` */
};

static void metrics_write_state(FILE *stream, const struct family *family, const struct vm *vm)
{
	for (enum vm_state state = 0; state < _VM_STATE_COUNT; state++)
		fprintf(stream, "%s{vm=\"%s\",%s=\"%s\"} %d\n", family->name, vm->definition->name,
			family->name, vm_state_name(state), vm->state == state);
}

static void metrics_write_info(FILE *stream, const struct family *family, const struct vm *vm)
{
	char uuid[GUID_TEXT_SIZE], os[2 * LABEL_SIZE], host_name[2 * LABEL_SIZE];

	guid_format(&vm->definition->uuid, uuid);
	metrics_escape(os, sizeof(os), vm->guest.os);
	metrics_escape(host_name, sizeof(host_name), vm->guest.host_name);
	fprintf(stream,
		"%s_info{vm=\"%s\",uuid=\"%s\",engine=\"%s\",guest_os=\"%s\","
		"guest_host_name=\"%s\"} 1\n",
		family->name, vm->definition->name, uuid, vm_engine(vm), os, host_name);
}

static void metrics_write_processors(FILE *stream, const struct family *family, const struct vm *vm)
{
	fprintf(stream, "%s{vm=\"%s\"} %u\n", family->name, vm->definition->name,
		vm->definition->processors.count);
}

static void metrics_write_memory(FILE *stream, const struct family *family, const struct vm *vm)
{
	fprintf(stream, "%s{vm=\"%s\"} %" PRIu64 "\n", family->name, vm->definition->name,
		vm->definition->memory.size);
}

static void metrics_write_assigned(FILE *stream, const struct family *family, const struct vm *vm)
{
	fprintf(stream, "%s{vm=\"%s\"} %" PRIu64 "\n", family->name, vm->definition->name,
		vm_memory_assigned(vm));
}

/* Of those alone whose guest has told. */
static void metrics_write_demand(FILE *stream, const struct family *family, const struct vm *vm)
{
	if (vm->memory.reported)
		fprintf(stream, "%s{vm=\"%s\"} %" PRIu64 "\n", family->name, vm->definition->name,
			vm->memory.demand);
}

/* Of those alone whose guest has a heartbeat, or had one. */
static void metrics_write_heartbeat(FILE *stream, const struct family *family, const struct vm *vm)
{
	bool ok = strcmp(vm->run.heartbeat, "ok") == 0;

	if (ok || strcmp(vm->run.heartbeat, "lost") == 0)
		fprintf(stream, "%s{vm=\"%s\"} %d\n", family->name, vm->definition->name, ok);
}

static void metrics_write_resident(FILE *stream, const struct family *family, const struct vm *vm)
{
	fprintf(stream, "%s{vm=\"%s\"} %" PRIu64 "\n", family->name, vm->definition->name,
		vm->statistics.usage.resident);
}

static void metrics_write_cpu(FILE *stream, const struct family *family, const struct vm *vm)
{
	const struct process_usage *usage = &vm->statistics.usage;
	const struct {
		const char *mode;
		uint64_t us;
	} modes[] = { { "guest", usage->guest_us },
		      { "host", usage->host_us },
		      { "steal", usage->steal_us } };

	for (size_t i = 0; i < ARRAY_SIZE(modes); i++)
		fprintf(stream, "%s_total{vm=\"%s\",mode=\"%s\"} %" PRIu64 ".%06" PRIu64 "\n",
			family->name, vm->definition->name, modes[i].mode, modes[i].us / 1000000,
			modes[i].us % 1000000);
}

static void metrics_write_counters(FILE *stream, const struct family *family, const struct vm *vm)
{
	for (size_t i = 0; i < family->count; i++) {
		enum statistic statistic = family->first + i;

		fprintf(stream, "%s_total{vm=\"%s\"", family->name, vm->definition->name);
		if (family->label)
			fprintf(stream, ",%s=\"%s\"", family->label,
				family->values ? family->values[i] : statistic_name(statistic));
		fprintf(stream, "} %" PRIu64 "\n", vm->statistics.values[statistic]);
	}
}

/* The last bucket has what is in none of the others. */
static void metrics_write_latency_of(FILE *stream, const struct family *family, const struct vm *vm,
				     const char *operation, const uint64_t buckets[],
				     uint64_t sum_ns)
{
	const char *name = vm->definition->name;
	uint64_t count = 0;

	for (unsigned i = 0; i < CONTROL_LATENCY_BUCKETS; i++) {
		char bound[32] = "+Inf";

		count += buckets[i];
		if (i < CONTROL_LATENCY_BUCKETS - 1)
			snprintf(bound, sizeof(bound), "%.9g", (double)(1u << i) / 1e6);
		fprintf(stream, "%s_bucket{vm=\"%s\",operation=\"%s\",le=\"%s\"} %" PRIu64 "\n",
			family->name, name, operation, bound, count);
	}
	fprintf(stream, "%s_count{vm=\"%s\",operation=\"%s\"} %" PRIu64 "\n", family->name, name,
		operation, count);
	fprintf(stream, "%s_sum{vm=\"%s\",operation=\"%s\"} %" PRIu64 ".%09" PRIu64 "\n",
		family->name, name, operation, sum_ns / 1000000000, sum_ns % 1000000000);
}

static void metrics_write_latency(FILE *stream, const struct family *family, const struct vm *vm)
{
	const struct vm_statistics *statistics = &vm->statistics;

	metrics_write_latency_of(stream, family, vm, "read", statistics->read_latency,
				 statistics->values[STATISTIC_DISK_READ_NS]);
	metrics_write_latency_of(stream, family, vm, "write", statistics->write_latency,
				 statistics->values[STATISTIC_DISK_WRITE_NS]);
}

static void metrics_write_meter_run(FILE *stream, const struct family *family, const struct vm *vm)
{
	fprintf(stream, "%s_total{vm=\"%s\"} %" PRIu64 ".%06" PRIu64 "\n", family->name,
		vm->definition->name, vm->meter.run_us / 1000000, vm->meter.run_us % 1000000);
}

static void metrics_write_meter_cpu(FILE *stream, const struct family *family, const struct vm *vm)
{
	uint64_t us = vm->meter.sums[METER_CPU_US];

	fprintf(stream, "%s_total{vm=\"%s\"} %" PRIu64 ".%06" PRIu64 "\n", family->name,
		vm->definition->name, us / 1000000, us % 1000000);
}

static void metrics_write_meter_memory(FILE *stream, const struct family *family,
				       const struct vm *vm)
{
	const struct {
		const char *of;
		uint64_t bytes;
	} values[] = { { "average", vm_meter_memory_average(&vm->meter) },
		       { "minimum", vm->meter.memory_least },
		       { "maximum", vm->meter.memory_most } };

	for (size_t i = 0; i < ARRAY_SIZE(values); i++)
		fprintf(stream, "%s{vm=\"%s\",statistic=\"%s\"} %" PRIu64 "\n", family->name,
			vm->definition->name, values[i].of, values[i].bytes);
}

static void metrics_write_meter(FILE *stream, const struct family *family, const struct vm *vm)
{
	for (size_t i = 0; i < family->count; i++)
		fprintf(stream, "%s_total{vm=\"%s\",%s=\"%s\"} %" PRIu64 "\n", family->name,
			vm->definition->name, family->label, family->values[i],
			vm->meter.sums[family->counter + i]);
}

static const char *const operations[] = { "read", "write", "flush", "unmap" };
static const char *const directions[] = { "sent", "received" };
static const char *const meter_directions[] = { "received", "sent" };

#define GAUGE(function) .type = "gauge", .write = function
#define COUNTERS(first_, last_)                                                          \
	.type = "counter", .write = metrics_write_counters, .first = STATISTIC_##first_, \
	.count = STATISTIC_##last_ - STATISTIC_##first_ + 1

#define METER(function) .type = "counter", .write = function, .for_meters = true
#define METER_COUNTERS(first_, last_) \
	.counter = METER_##first_, .count = METER_##last_ - METER_##first_ + 1

static const struct family families[] = {
	{ .name = "vmms_vm_state",
	  .help = "Which state the VM is in.",
	  .type = "stateset",
	  .write = metrics_write_state,
	  .for_all = true },
	{ .name = "vmms_vm",
	  .help = "The VM, and what its guest says it is.",
	  .type = "info",
	  .write = metrics_write_info,
	  .for_all = true },
	{ .name = "vmms_vm_processors",
	  .help = "Virtual processors.",
	  GAUGE(metrics_write_processors),
	  .for_all = true },
	{ .name = "vmms_vm_memory_bytes",
	  .help = "Memory that the VM has been given.",
	  .unit = "bytes",
	  GAUGE(metrics_write_memory),
	  .for_all = true },
	{ .name = "vmms_vm_memory_assigned_bytes",
	  .help = "Memory that the guest has now, which dynamic memory changes.",
	  .unit = "bytes",
	  GAUGE(metrics_write_assigned) },
	{ .name = "vmms_vm_memory_demand_bytes",
	  .help = "Memory that the guest says it needs.",
	  .unit = "bytes",
	  GAUGE(metrics_write_demand) },
	{ .name = "vmms_vm_resident_bytes",
	  .help = "Memory that the worker takes, with what the guest has touched of its own.",
	  .unit = "bytes",
	  GAUGE(metrics_write_resident) },
	{ .name = "vmms_vm_heartbeat",
	  .help = "Whether the heartbeat of the guest, which has come, still comes.",
	  GAUGE(metrics_write_heartbeat) },
	{ .name = "vmms_vm_cpu_seconds",
	  .help = "CPU time in the guest, on the host for it, and that its processors waited for.",
	  .unit = "seconds",
	  .type = "counter",
	  .write = metrics_write_cpu },
	{ .name = "vmms_vm_exits",
	  .help = "Exits of virtual processors to the worker.",
	  COUNTERS(EXIT_IO_PORT, EXIT_ERROR),
	  .label = "reason" },
	{ .name = "vmms_vm_kernel_exits",
	  .help = "Exits of virtual processors, those that KVM deals with by itself included.",
	  COUNTERS(KERNEL_EXIT_ALL, KERNEL_EXIT_ALL) },
	{ .name = "vmms_vm_kernel_exit_reasons",
	  .help = "Exits of virtual processors by reason, where KVM counts it.",
	  COUNTERS(KERNEL_EXIT_HALT, KERNEL_EXIT_SIGNAL),
	  .label = "reason" },
	{ .name = "vmms_vm_vmbus_interrupts",
	  .help = "Interrupts of VMBus channels.",
	  COUNTERS(INTERRUPTS, INTERRUPTS) },
	{ .name = "vmms_vm_vmbus_messages",
	  .help = "Messages to the SynIC of the guest.",
	  COUNTERS(MESSAGES, MESSAGES) },
	{ .name = "vmms_vm_synthetic_timers",
	  .help = "Synthetic timers that have expired.",
	  COUNTERS(TIMERS, TIMERS) },
	{ .name = "vmms_vm_disk_operations",
	  .help = "Requests to disks that have ended.",
	  COUNTERS(DISK_READS, DISK_UNMAPS),
	  .label = "operation",
	  .values = operations },
	{ .name = "vmms_vm_disk_bytes",
	  .help = "Bytes read and written of disks.",
	  .unit = "bytes",
	  COUNTERS(DISK_BYTES_READ, DISK_BYTES_WRITTEN),
	  .label = "operation",
	  .values = operations },
	{ .name = "vmms_vm_disk_errors",
	  .help = "Requests to disks that have failed.",
	  COUNTERS(DISK_ERRORS, DISK_ERRORS) },
	{ .name = "vmms_vm_disk_latency_seconds",
	  .help = "How long requests to disks took, on the host.",
	  .unit = "seconds",
	  .type = "histogram",
	  .write = metrics_write_latency },
	{ .name = "vmms_vm_network_frames",
	  .help = "Frames of network adapters.",
	  COUNTERS(SENT_FRAMES, RECEIVED_FRAMES),
	  .label = "direction",
	  .values = directions },
	{ .name = "vmms_vm_network_bytes",
	  .help = "Bytes of frames of network adapters.",
	  .unit = "bytes",
	  COUNTERS(SENT_BYTES, RECEIVED_BYTES),
	  .label = "direction",
	  .values = directions },
	{ .name = "vmms_vm_network_dropped",
	  .help = "Frames of network adapters that were dropped.",
	  COUNTERS(SENT_DROPPED, RECEIVED_DROPPED),
	  .label = "direction",
	  .values = directions },
	{ .name = "vmms_vm_meter_run_seconds",
	  .help = "How long the VM has run since its meter was set to 0.",
	  .unit = "seconds",
	  METER(metrics_write_meter_run) },
	{ .name = "vmms_vm_meter_cpu_seconds",
	  .help = "CPU time of the VM since its meter was set to 0.",
	  .unit = "seconds",
	  METER(metrics_write_meter_cpu) },
	{ .name = "vmms_vm_meter_memory_bytes",
	  .help = "Memory of the guest while it ran, since the meter was set to 0.",
	  .unit = "bytes",
	  .type = "gauge",
	  .write = metrics_write_meter_memory,
	  .for_meters = true },
	{ .name = "vmms_vm_meter_disk_operations",
	  .help = "Requests to disks since the meter was set to 0.",
	  METER(metrics_write_meter),
	  METER_COUNTERS(DISK_READS, DISK_WRITES),
	  .label = "operation",
	  .values = operations },
	{ .name = "vmms_vm_meter_disk_bytes",
	  .help = "Bytes read and written of disks since the meter was set to 0.",
	  .unit = "bytes",
	  METER(metrics_write_meter),
	  METER_COUNTERS(DISK_BYTES_READ, DISK_BYTES_WRITTEN),
	  .label = "operation",
	  .values = operations },
	{ .name = "vmms_vm_meter_network_bytes",
	  .help = "Bytes of frames since the meter was set to 0, as the guest sees them.",
	  .unit = "bytes",
	  METER(metrics_write_meter),
	  METER_COUNTERS(RECEIVED_BYTES, SENT_BYTES),
	  .label = "direction",
	  .values = meter_directions },
};

/* ---- The text ---- */

static void metrics_write_family(FILE *stream, const struct family *family,
				 const struct manager *manager)
{
	fprintf(stream, "# TYPE %s %s\n", family->name, family->type);
	if (family->unit)
		fprintf(stream, "# UNIT %s %s\n", family->name, family->unit);
	fprintf(stream, "# HELP %s %s\n", family->name, family->help);
	list_for_each (link, (struct list *)&manager->vms) {
		const struct vm *vm = container_of(link, struct vm, link);

		if (family->for_meters ? vm->meter.on : family->for_all || vm->statistics.time > 0)
			family->write(stream, family, vm);
	}
}

int metrics_format(const struct manager *manager, char **ret_text, size_t *ret_size)
{
	FILE *stream = open_memstream(ret_text, ret_size);
	bool failed;

	if (!stream)
		return -ENOMEM;
	for (size_t i = 0; i < ARRAY_SIZE(families); i++)
		metrics_write_family(stream, &families[i], manager);
	fputs("# EOF\n", stream);
	failed = ferror(stream);
	if (fclose(stream) == 0 && !failed)
		return 0;
	free(*ret_text);
	return -ENOMEM;
}
