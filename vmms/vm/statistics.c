/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Statistics of VMs. */
#include "vmms/vm/statistics.h"

#include "common/base/json.h"
#include "common/base/list.h"
#include "vmms/vm/manager.h"
#include "vmms/vm/vm_internal.h"

#include <errno.h>
#include <string.h>

struct statistics_query {
	struct list link;
	struct manager *manager;
	statistics_fn done;
	void *data;
	sd_event_source *ready; /* on when nothing is awaited any more */
};

static const struct {
	const char *group, *name;
} names[] = {
	[STATISTIC_EXIT_IO_PORT] = { "exits", "io-port" },
	[STATISTIC_EXIT_MMIO] = { "exits", "mmio" },
	[STATISTIC_EXIT_MSR_READ] = { "exits", "msr-read" },
	[STATISTIC_EXIT_MSR_WRITE] = { "exits", "msr-write" },
	[STATISTIC_EXIT_HYPERCALL] = { "exits", "hypercall" },
	[STATISTIC_EXIT_SYNIC] = { "exits", "synic" },
	[STATISTIC_EXIT_HALT] = { "exits", "halt" },
	[STATISTIC_EXIT_SHUTDOWN] = { "exits", "shutdown" },
	[STATISTIC_EXIT_KICK] = { "exits", "kick" },
	[STATISTIC_EXIT_ERROR] = { "exits", "error" },
	[STATISTIC_KERNEL_EXIT_ALL] = { "kernel_exits", "all" },
	[STATISTIC_KERNEL_EXIT_HALT] = { "kernel_exits", "halt" },
	[STATISTIC_KERNEL_EXIT_INTERRUPT] = { "kernel_exits", "interrupt" },
	[STATISTIC_KERNEL_EXIT_INTERRUPT_WINDOW] = { "kernel_exits", "interrupt-window" },
	[STATISTIC_KERNEL_EXIT_IO_PORT] = { "kernel_exits", "io-port" },
	[STATISTIC_KERNEL_EXIT_MMIO] = { "kernel_exits", "mmio" },
	[STATISTIC_KERNEL_EXIT_HYPERCALL] = { "kernel_exits", "hypercall" },
	[STATISTIC_KERNEL_EXIT_SIGNAL] = { "kernel_exits", "signal" },
	[STATISTIC_INTERRUPTS] = { "vmbus", "interrupts" },
	[STATISTIC_MESSAGES] = { "vmbus", "messages" },
	[STATISTIC_TIMERS] = { "vmbus", "timers" },
	[STATISTIC_DISK_READS] = { "disk", "reads" },
	[STATISTIC_DISK_WRITES] = { "disk", "writes" },
	[STATISTIC_DISK_FLUSHES] = { "disk", "flushes" },
	[STATISTIC_DISK_UNMAPS] = { "disk", "unmaps" },
	[STATISTIC_DISK_BYTES_READ] = { "disk", "bytes_read" },
	[STATISTIC_DISK_BYTES_WRITTEN] = { "disk", "bytes_written" },
	[STATISTIC_DISK_ERRORS] = { "disk", "errors" },
	[STATISTIC_DISK_READ_NS] = { "disk", "read_latency_ns" },
	[STATISTIC_DISK_WRITE_NS] = { "disk", "write_latency_ns" },
	[STATISTIC_SENT_FRAMES] = { "network", "sent_frames" },
	[STATISTIC_RECEIVED_FRAMES] = { "network", "received_frames" },
	[STATISTIC_SENT_BYTES] = { "network", "sent_bytes" },
	[STATISTIC_RECEIVED_BYTES] = { "network", "received_bytes" },
	[STATISTIC_SENT_DROPPED] = { "network", "sent_dropped" },
	[STATISTIC_RECEIVED_DROPPED] = { "network", "received_dropped" },
};

_Static_assert(ARRAY_SIZE(names) == _STATISTIC_COUNT, "every counter has a name");

const char *statistic_name(enum statistic statistic)
{
	return names[statistic].name;
}

/* ---- What the worker answers ---- */

/* A member of a member, if it is of that type; else NULL. */
static struct json_object *statistics_member(struct json_object *tree, const char *group,
					     const char *name, enum json_type type)
{
	struct json_object *members, *value;

	if (!json_object_object_get_ex(tree, group, &members) ||
	    !json_object_is_type(members, json_type_object) ||
	    !json_object_object_get_ex(members, name, &value) || !json_object_is_type(value, type))
		return NULL;
	return value;
}

/* A counter, which no honest worker brings beyond what JSON's readers can hold. */
static uint64_t statistics_number(struct json_object *value)
{
	int64_t statistics_number =
		json_object_is_type(value, json_type_int) ? json_object_get_int64(value) : 0;

	return statistics_number > 0 ? (uint64_t)statistics_number : 0;
}

static void statistics_take_latency(struct json_object *answer, const char *name,
				    uint64_t buckets[CONTROL_LATENCY_BUCKETS])
{
	struct json_object *array = statistics_member(answer, "disk", name, json_type_array);
	size_t count = array ? json_object_array_length(array) : 0;

	for (size_t i = 0; i < CONTROL_LATENCY_BUCKETS; i++)
		buckets[i] = i < count ? statistics_number(json_object_array_get_idx(array, i)) : 0;
}

static void statistics_take_answer(struct vm_statistics *statistics, struct json_object *answer)
{
	for (size_t i = 0; i < _STATISTIC_COUNT; i++)
		statistics->values[i] = statistics_number(
			statistics_member(answer, names[i].group, names[i].name, json_type_int));
	statistics_take_latency(answer, "read_latency", statistics->read_latency);
	statistics_take_latency(answer, "write_latency", statistics->write_latency);
}

/* Threads of vps are other ones after a reset. */
static void statistics_take_usage(struct vm_statistics *statistics,
				  const struct process_usage *usage)
{
	if (usage->steal_us < statistics->steal_last)
		statistics->steal_before += statistics->steal_last;
	statistics->steal_last = usage->steal_us;
	statistics->usage = *usage;
	statistics->usage.steal_us += statistics->steal_before;
}

/* Nothing is awaited any more: every query is over. */
static void statistics_note_progress(struct manager *manager)
{
	if (manager->statistics_awaited > 0)
		return;
	list_for_each (link, &manager->queries)
		(void)sd_event_source_set_enabled(
			container_of(link, struct statistics_query, link)->ready, SD_EVENT_ONESHOT);
}

static void statistics_stop_awaiting(struct vm *vm)
{
	if (!vm->statistics.awaited)
		return;
	vm->statistics.awaited = false;
	vm->manager->statistics_awaited--;
	statistics_note_progress(vm->manager);
}

static void statistics_answered(void *data, struct json_object *result, const char *code,
				const char *text)
{
	struct vm *vm = data;
	struct process_usage usage;

	if (result && process_usage_read(worker_pid(vm->run.worker), &usage) == 0) {
		statistics_take_answer(&vm->statistics, result);
		statistics_take_usage(&vm->statistics, &usage);
		vm->statistics.time = vm_clock(CLOCK_MONOTONIC);
		vm_meter_read(vm);
	} else {
		vm->statistics.time = 0;
	}
	statistics_stop_awaiting(vm);
}

/* ---- Queries ---- */

static void statistics_ask_worker(struct vm *vm)
{
	if (!vm->run.worker || vm->run.started_at == 0 || vm->statistics.awaited)
		return;
	if (worker_request(vm->run.worker, "statistics", NULL, NULL, 0, STATISTICS_TIMEOUT,
			   statistics_answered, vm) < 0)
		return;
	vm->statistics.awaited = true;
	vm->manager->statistics_awaited++;
}

void statistics_refresh(struct vm *vm)
{
	statistics_ask_worker(vm);
}

void statistics_forget(struct statistics_query *query)
{
	if (!query)
		return;
	list_unlink(&query->link);
	sd_event_source_disable_unref(query->ready);
	free(query);
}

static void statistics_finish(struct statistics_query *query, struct manager *manager)
{
	statistics_fn done = query->done;
	void *data = query->data;

	statistics_forget(query);
	done(data, manager);
}

static int statistics_query_ready(sd_event_source *source, void *data)
{
	struct statistics_query *query = data;

	statistics_finish(query, query->manager);
	return 0;
}

int statistics_ask(struct manager *manager, struct vm *vm, statistics_fn done, void *data,
		   struct statistics_query **ret_query)
{
	struct statistics_query *query = calloc(1, sizeof(*query));
	int r;

	if (!query)
		return -ENOMEM;
	*query = (struct statistics_query){ .manager = manager, .done = done, .data = data };
	list_init(&query->link);
	r = sd_event_add_defer(manager->loop, &query->ready, statistics_query_ready, query);
	if (r >= 0)
		r = sd_event_source_set_enabled(query->ready, SD_EVENT_OFF);
	if (r < 0) {
		statistics_forget(query);
		return r;
	}
	list_append(&manager->queries, &query->link);
	if (vm)
		statistics_ask_worker(vm);
	list_for_each (link, &manager->vms) {
		if (!vm)
			statistics_ask_worker(container_of(link, struct vm, link));
	}
	statistics_note_progress(manager);
	*ret_query = query;
	return 0;
}

void statistics_reset(struct vm *vm)
{
	statistics_stop_awaiting(vm);
	vm->statistics = (struct vm_statistics){ 0 };
}

void statistics_end(struct manager *manager)
{
	while (!list_empty(&manager->queries))
		statistics_finish(
			container_of(manager->queries.next, struct statistics_query, link), NULL);
}

/* ---- For programs ---- */

static struct json_object *statistics_latency_to_json(
	const uint64_t buckets[CONTROL_LATENCY_BUCKETS])
{
	struct json_object *array = json_object_new_array();

	for (size_t i = 0; i < CONTROL_LATENCY_BUCKETS; i++)
		json_append(&array, json_object_new_uint64(buckets[i]));
	return array;
}

/* The counters of one group, from *first on, which is moved behind them. */
static struct json_object *statistics_group_to_json(const struct vm_statistics *statistics,
						    size_t *first)
{
	struct json_object *group = json_object_new_object();
	const char *name = names[*first].group;

	for (; *first < _STATISTIC_COUNT && strcmp(names[*first].group, name) == 0; ++*first)
		json_add(&group, names[*first].name,
			 json_object_new_uint64(statistics->values[*first]));
	if (strcmp(name, "disk") == 0) {
		json_add(&group, "read_latency",
			 statistics_latency_to_json(statistics->read_latency));
		json_add(&group, "write_latency",
			 statistics_latency_to_json(statistics->write_latency));
	}
	return group;
}

static void statistics_add_counters(struct json_object **tree,
				    const struct vm_statistics *statistics)
{
	const struct process_usage *usage = &statistics->usage;

	json_add(tree, "time", json_object_new_uint64(statistics->time));
	json_add(tree, "cpu",
		 json_make("guest_us", json_object_new_uint64(usage->guest_us), "host_us",
			   json_object_new_uint64(usage->host_us), "steal_us",
			   json_object_new_uint64(usage->steal_us), NULL));
	json_add(tree, "resident", json_object_new_uint64(usage->resident));
	for (size_t i = 0; i < _STATISTIC_COUNT;) {
		const char *group = names[i].group;

		json_add(tree, group, statistics_group_to_json(statistics, &i));
	}
}

struct json_object *statistics_to_json(const struct vm *vm)
{
	char uuid[GUID_TEXT_SIZE];
	struct json_object *tree;

	guid_format(&vm->definition->uuid, uuid);
	tree = json_make("name", json_object_new_string(vm->definition->name), "uuid",
			 json_object_new_string(uuid), "state",
			 json_object_new_string(vm_state_name(vm->state)), "processors",
			 json_object_new_int64(vm->definition->processors.count), "memory",
			 json_object_new_uint64(vm->definition->memory.size), NULL);
	if (vm->definition->resources.cpu_group[0] != '\0')
		json_add(&tree, "cpu_group",
			 json_object_new_string(vm->definition->resources.cpu_group));
	if (vm->statistics.time > 0) {
		json_add(&tree, "assigned", json_object_new_uint64(vm_memory_assigned(vm)));
		json_add(&tree, "demand", json_object_new_uint64(vm->memory.demand));
		statistics_add_counters(&tree, &vm->statistics);
	}
	return tree;
}
