/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What VMs do a second.
 *
 * A counter that is less than before has begun anew meanwhile: what it has now is what was added.
 */
#include "vmms/vmctl/rates.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS_MAX 64

static const struct {
	const char *group, *name;
} names[] = {
	[RATE_IO_PORT] = { "exits", "io-port" },
	[RATE_MMIO] = { "exits", "mmio" },
	[RATE_MSR_READ] = { "exits", "msr-read" },
	[RATE_MSR_WRITE] = { "exits", "msr-write" },
	[RATE_HYPERCALL] = { "exits", "hypercall" },
	[RATE_SYNIC] = { "exits", "synic" },
	[RATE_HALT] = { "exits", "halt" },
	[RATE_SHUTDOWN] = { "exits", "shutdown" },
	[RATE_KICK] = { "exits", "kick" },
	[RATE_ERROR] = { "exits", "error" },
	[RATE_KERNEL_EXITS] = { "kernel_exits", "all" },
	[RATE_KERNEL_HALT] = { "kernel_exits", "halt" },
	[RATE_KERNEL_INTERRUPT] = { "kernel_exits", "interrupt" },
	[RATE_INTERRUPTS] = { "vmbus", "interrupts" },
	[RATE_MESSAGES] = { "vmbus", "messages" },
	[RATE_TIMERS] = { "vmbus", "timers" },
	[RATE_READS] = { "disk", "reads" },
	[RATE_WRITES] = { "disk", "writes" },
	[RATE_FLUSHES] = { "disk", "flushes" },
	[RATE_BYTES_READ] = { "disk", "bytes_read" },
	[RATE_BYTES_WRITTEN] = { "disk", "bytes_written" },
	[RATE_RECEIVED_FRAMES] = { "network", "received_frames" },
	[RATE_SENT_FRAMES] = { "network", "sent_frames" },
	[RATE_RECEIVED_BYTES] = { "network", "received_bytes" },
	[RATE_SENT_BYTES] = { "network", "sent_bytes" },
};

_Static_assert(ARRAY_SIZE(names) == _RATE_COUNT, "every rate has a counter");

/* ---- Reading statistics ---- */

static struct json_object *rates_member(struct json_object *tree, const char *key)
{
	struct json_object *value;

	return json_object_object_get_ex(tree, key, &value) ? value : NULL;
}

static uint64_t rates_number(struct json_object *tree, const char *key)
{
	return json_object_get_uint64(rates_member(tree, key));
}

static const char *rates_text(struct json_object *tree, const char *key)
{
	const char *found = json_object_get_string(rates_member(tree, key));

	return found ? found : "";
}

static struct json_object *rates_list_of_vms(struct json_object *statistics)
{
	struct json_object *vms = rates_member(statistics, "vms");

	return json_object_is_type(vms, json_type_array) ? vms : NULL;
}

static size_t rates_length(struct json_object *array)
{
	return json_object_is_type(array, json_type_array) ? json_object_array_length(array) : 0;
}

static struct json_object *rates_find_vm(struct json_object *statistics, const char *uuid)
{
	struct json_object *vms = rates_list_of_vms(statistics);

	for (size_t i = 0; i < rates_length(vms); i++) {
		struct json_object *vm = json_object_array_get_idx(vms, i);

		if (strcmp(rates_text(vm, "uuid"), uuid) == 0)
			return vm;
	}
	return NULL;
}

/* ---- Differences ---- */

static uint64_t rates_difference(struct json_object *before, struct json_object *now,
				 const char *key)
{
	uint64_t old = rates_number(before, key), new = rates_number(now, key);

	return new >= old ? new - old : new;
}

/* Between the bounds of a bucket requests are taken to be spread evenly. */
static double rates_percentile(const uint64_t buckets[], size_t count, uint64_t total, double part)
{
	double wanted = part * (double)total, seen = 0;

	for (size_t i = 0; i < count; i++) {
		double here = (double)buckets[i], low = i == 0 ? 0 : (double)(1ull << (i - 1));
		double high = i == count - 1 ? low : (double)(1ull << i);

		if (here > 0 && seen + here >= wanted)
			return low + (high - low) * (wanted - seen) / here;
		seen += here;
	}
	return 0;
}

static struct rates_latency latency(struct json_object *before, struct json_object *now,
				    const char *key)
{
	struct json_object *old = rates_member(before, key), *new = rates_member(now, key);
	size_t count = MIN(rates_length(new), (size_t)BUCKETS_MAX);
	uint64_t buckets[BUCKETS_MAX], total = 0;

	for (size_t i = 0; i < count; i++) {
		uint64_t was = json_object_get_uint64(
			i < rates_length(old) ? json_object_array_get_idx(old, i) : NULL);
		uint64_t is = json_object_get_uint64(json_object_array_get_idx(new, i));

		buckets[i] = is >= was ? is - was : is;
		total += buckets[i];
	}
	return (struct rates_latency){ rates_percentile(buckets, count, total, 0.5),
				       rates_percentile(buckets, count, total, 0.99) };
}

static void rates_compare(struct vm_rates *vm, struct json_object *before, struct json_object *now)
{
	double us = (double)rates_difference(before, now, "time");
	struct json_object *cpu_before = rates_member(before, "cpu"),
			   *cpu = rates_member(now, "cpu");

	vm->known = us > 0;
	if (!vm->known)
		return;
	vm->guest = (double)rates_difference(cpu_before, cpu, "guest_us") / us * 100;
	vm->host = (double)rates_difference(cpu_before, cpu, "host_us") / us * 100;
	vm->steal = (double)rates_difference(cpu_before, cpu, "steal_us") / us * 100;
	for (size_t i = 0; i < _RATE_COUNT; i++)
		vm->rates[i] =
			(double)rates_difference(rates_member(before, names[i].group),
						 rates_member(now, names[i].group), names[i].name) *
			1e6 / us;
	for (size_t i = 0; i < RATE_EXIT_COUNT; i++)
		vm->exits += vm->rates[i];
	vm->read = latency(rates_member(before, "disk"), rates_member(now, "disk"), "read_latency");
	vm->write =
		latency(rates_member(before, "disk"), rates_member(now, "disk"), "write_latency");
}

static int rates_busier(const void *a, const void *b)
{
	const struct vm_rates *one = a, *other = b;
	double load = one->guest + one->host, other_load = other->guest + other->host;

	if (load != other_load)
		return load > other_load ? -1 : 1;
	return strverscmp(one->name, other->name);
}

int rates_new(struct json_object *before, struct json_object *now, struct rates *ret_rates)
{
	struct json_object *list = rates_list_of_vms(now);
	struct rates rates = { .count = rates_length(list) };

	rates.vms = calloc(rates.count + 1, sizeof(*rates.vms));
	if (!rates.vms)
		return -ENOMEM;
	for (size_t i = 0; i < rates.count; i++) {
		struct json_object *vm = json_object_array_get_idx(list, i);
		struct json_object *old = rates_find_vm(before, rates_text(vm, "uuid"));
		bool running = rates_number(vm, "time") > 0;

		rates.vms[i] =
			(struct vm_rates){ .name = rates_text(vm, "name"),
					   .state = rates_text(vm, "state"),
					   .cpu_group = rates_text(vm, "cpu_group"),
					   .processors = (unsigned)rates_number(vm, "processors"),
					   .memory = rates_number(vm, "memory"),
					   .resident = rates_number(vm, "resident"),
					   .assigned = rates_number(vm, "assigned"),
					   .demand = rates_number(vm, "demand"),
					   .running = running };
		rates.running += running;
		if (rates.vms[i].assigned == 0)
			rates.vms[i].assigned = rates.vms[i].memory;
		if (running && rates_number(old, "time") > 0)
			rates_compare(&rates.vms[i], old, vm);
	}
	qsort(rates.vms, rates.count, sizeof(*rates.vms), rates_busier);
	*ret_rates = rates;
	return 0;
}

void rates_deinit(struct rates *rates)
{
	free(rates->vms);
	rates->vms = NULL;
	rates->count = 0;
}

/* ---- For programs ---- */

/* The rates of one group, from *first on, which is moved behind them. */
static struct json_object *rates_group_to_json(const struct vm_rates *vm, size_t *first)
{
	struct json_object *group = json_object_new_object();
	const char *name = names[*first].group;

	for (; *first < _RATE_COUNT && strcmp(names[*first].group, name) == 0; ++*first)
		json_add(&group, names[*first].name, json_object_new_double(vm->rates[*first]));
	return group;
}

static struct json_object *rates_latency_to_json(const struct rates_latency *latency)
{
	return json_make("p50", json_object_new_double(latency->median), "p99",
			 json_object_new_double(latency->p99), NULL);
}

static void rates_add_rates(struct json_object **tree, const struct vm_rates *vm)
{
	json_add(tree, "cpu_percent",
		 json_make("guest", json_object_new_double(vm->guest), "host",
			   json_object_new_double(vm->host), "steal",
			   json_object_new_double(vm->steal), NULL));
	for (size_t i = 0; i < _RATE_COUNT;) {
		const char *group = names[i].group;

		json_add(tree, group, rates_group_to_json(vm, &i));
	}
	json_add(tree, "latency_us",
		 json_make("read", rates_latency_to_json(&vm->read), "write",
			   rates_latency_to_json(&vm->write), NULL));
}

struct json_object *rates_to_json(const struct rates *rates)
{
	struct json_object *vms = json_object_new_array();

	for (size_t i = 0; i < rates->count; i++) {
		const struct vm_rates *vm = &rates->vms[i];
		struct json_object *tree =
			json_make("name", json_object_new_string(vm->name), "state",
				  json_object_new_string(vm->state), "processors",
				  json_object_new_int64(vm->processors), "memory",
				  json_object_new_uint64(vm->memory), "resident",
				  json_object_new_uint64(vm->resident), "assigned",
				  json_object_new_uint64(vm->assigned), "demand",
				  json_object_new_uint64(vm->demand), NULL);

		if (vm->cpu_group[0] != '\0')
			json_add(&tree, "cpu_group", json_object_new_string(vm->cpu_group));
		if (vm->known)
			rates_add_rates(&tree, vm);
		json_append(&vms, tree);
	}
	return json_make("vms", vms, NULL);
}
