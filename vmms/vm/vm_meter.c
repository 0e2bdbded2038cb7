/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One VM: its meter. */
#include "vmms/vm/vm_meter.h"

#include "common/base/log.h"
#include "common/dbus_names.h"
#include "vmms/base/folder.h"
#include "vmms/vm/manager.h"
#include "vmms/vm/vm_internal.h"
#include "vmms/vm/vm_log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FILE_SIZE_MAX 4096 /* bytes */
#define MIB           (UINT64_C(1) << 20)

/* In the order of enum meter_counter. */
static const struct {
	const char *name; /* in files and answers */
	const char *group,
		*counter; /* in what a worker leaves at its end; NULL: none, and `name` */
	enum statistic statistic;
} counters[] = {
	[METER_CPU_US] = { .name = "cpu_us" },
	[METER_DISK_READS] = { "disk_reads", "disk", "reads", STATISTIC_DISK_READS },
	[METER_DISK_WRITES] = { "disk_writes", "disk", "writes", STATISTIC_DISK_WRITES },
	[METER_DISK_BYTES_READ] = { "disk_bytes_read", "disk", "bytes_read",
				    STATISTIC_DISK_BYTES_READ },
	[METER_DISK_BYTES_WRITTEN] = { "disk_bytes_written", "disk", "bytes_written",
				       STATISTIC_DISK_BYTES_WRITTEN },
	[METER_RECEIVED_BYTES] = { "received_bytes", "network", "received_bytes",
				   STATISTIC_RECEIVED_BYTES },
	[METER_SENT_BYTES] = { "sent_bytes", "network", "sent_bytes", STATISTIC_SENT_BYTES },
};

_Static_assert(ARRAY_SIZE(counters) == _METER_COUNT, "every counter has a name");

/* ---- The file ---- */

#define NUMBER(name_, member)                                                  \
	{                                                                      \
		.name = name_, .read = json_read_uint64, .maximum = INT64_MAX, \
		.offset = offsetof(struct vm_meter, member)                    \
	}
#define COUNTERS(member)                                                                \
	{                                                                               \
		NUMBER("cpu_us", member[METER_CPU_US]),                                 \
			NUMBER("disk_reads", member[METER_DISK_READS]),                 \
			NUMBER("disk_writes", member[METER_DISK_WRITES]),               \
			NUMBER("disk_bytes_read", member[METER_DISK_BYTES_READ]),       \
			NUMBER("disk_bytes_written", member[METER_DISK_BYTES_WRITTEN]), \
			NUMBER("received_bytes", member[METER_RECEIVED_BYTES]),         \
			NUMBER("sent_bytes", member[METER_SENT_BYTES]),                 \
	}

static const struct json_key sum_keys[] = COUNTERS(sums);
static const struct json_key counter_keys[] = COUNTERS(counters);
static const struct json_key_table sum_table = { sum_keys, ARRAY_SIZE(sum_keys) };
static const struct json_key_table counter_table = { counter_keys, ARRAY_SIZE(counter_keys) };

_Static_assert(ARRAY_SIZE(sum_keys) == _METER_COUNT, "every counter is kept");

static const struct json_key meter_keys[] = {
	{ .name = "version", .read = json_read_version, .minimum = 1, .required = true },
	{ .name = "on",
	  .read = json_read_bool,
	  .offset = offsetof(struct vm_meter, on),
	  .required = true },
	NUMBER("since", since),
	NUMBER("run_us", run_us),
	NUMBER("memory_mib_ms", memory_mib_ms),
	NUMBER("memory_ms", memory_ms),
	NUMBER("memory_least", memory_least),
	NUMBER("memory_most", memory_most),
	NUMBER("run", run),
	NUMBER("read_at", read_at),
	{ .name = "anew", .read = json_read_bool, .offset = offsetof(struct vm_meter, anew) },
	{ .name = "sums", .read = json_read_members, .detail = &sum_table },
	{ .name = "counters", .read = json_read_members, .detail = &counter_table },
};

static struct json_object *meter_counters_to_json(const uint64_t values[static _METER_COUNT])
{
	struct json_object *tree = json_object_new_object();

	for (size_t i = 0; i < _METER_COUNT; i++)
		json_add(&tree, counters[i].name, json_object_new_uint64(values[i]));
	return tree;
}

/* What is in the file, or will be. */
static struct json_object *meter_file(const struct vm_meter *meter)
{
	return json_make(
		"version", json_object_new_int64(1), "on", json_object_new_boolean(meter->on),
		"since", json_object_new_uint64(meter->since), "run_us",
		json_object_new_uint64(meter->run_us), "memory_mib_ms",
		json_object_new_uint64(meter->memory_mib_ms), "memory_ms",
		json_object_new_uint64(meter->memory_ms), "memory_least",
		json_object_new_uint64(meter->memory_least), "memory_most",
		json_object_new_uint64(meter->memory_most), "run",
		json_object_new_uint64(meter->run), "read_at",
		json_object_new_uint64(meter->read_at), "anew",
		json_object_new_boolean(meter->anew), "sums", meter_counters_to_json(meter->sums),
		"counters", meter_counters_to_json(meter->counters), NULL);
}

static int meter_write(const struct vm *vm, const struct vm_meter *meter)
{
	AUTO_JSON struct json_object *tree = meter_file(meter);
	char uuid[GUID_TEXT_SIZE];

	guid_format(&vm->definition->uuid, uuid);
	return tree ? folder_save(vm->manager->meters, uuid, tree) : -ENOMEM;
}

static void meter_keep(struct vm *vm)
{
	int r = meter_write(vm, &vm->meter);

	vm->meter.unwritten = 0;
	if (r < 0)
		vm_log(vm, VM_EVENT_HOST, LOG_LEVEL_WARNING,
		       "what its meter has counted cannot be written to %s: %s",
		       folder_path(vm->manager->meters), strerror(-r));
}

static int meter_load(struct vm *vm, struct json_error *error)
{
	AUTO_JSON struct json_object *tree = NULL;
	struct json_reader reader = JSON_READER(error);
	struct vm_meter meter = { 0 };
	char uuid[GUID_TEXT_SIZE];
	int r;

	*error = (struct json_error){ 0 };
	guid_format(&vm->definition->uuid, uuid);
	r = folder_load(vm->manager->meters, uuid, FILE_SIZE_MAX, &tree);
	if (r == 0)
		r = json_read(&reader, tree, meter_keys, ARRAY_SIZE(meter_keys), &meter);
	if (r == 0)
		vm->meter = meter;
	return r;
}

void vm_meter_load(struct vm *vm)
{
	struct json_error error;
	int r = meter_load(vm, &error);

	if (r < 0 && r != -ENOENT)
		vm_log(vm, VM_EVENT_HOST, LOG_LEVEL_ERROR,
		       "its meter is off, since what it has counted cannot be read: %s",
		       error.message[0] != '\0' ? error.message : strerror(-r));
}

void vm_meter_free(struct vm *vm)
{
	if (vm->meter.unwritten > 0)
		meter_keep(vm);
	sd_event_source_disable_unref(vm->meter.timer);
	vm->meter = (struct vm_meter){ 0 };
}

void vm_meter_delete(const struct vm *vm)
{
	char uuid[GUID_TEXT_SIZE];
	int r;

	guid_format(&vm->definition->uuid, uuid);
	r = folder_delete(vm->manager->meters, uuid);
	if (r < 0 && r != -ENOENT)
		log_warning("what the meter of VM %s has counted cannot be removed from %s: %s",
			    vm->definition->name, folder_path(vm->manager->meters), strerror(-r));
}

/* ---- Counting ---- */

static void meter_sum(uint64_t *sum, uint64_t more)
{
	if (__builtin_add_overflow(*sum, more, sum) || *sum > INT64_MAX)
		*sum = INT64_MAX;
}

/* Another run than the one that was read last: its counters have begun at 0. */
static void meter_enter_run(struct vm *vm)
{
	struct vm_meter *meter = &vm->meter;

	if (meter->run == vm->run.started_at)
		return;
	meter->run = vm->run.started_at;
	memset(meter->counters, 0, sizeof(meter->counters));
	meter->read_at = vm->run.started_boot;
}

static void meter_note_memory(struct vm_meter *meter, uint64_t bytes, uint64_t us)
{
	uint64_t mib_ms;

	meter_sum(&meter->run_us, us);
	if (__builtin_mul_overflow(bytes / MIB, us / 1000, &mib_ms))
		mib_ms = INT64_MAX;
	meter_sum(&meter->memory_mib_ms, mib_ms);
	meter_sum(&meter->memory_ms, us / 1000);
	meter->memory_most = MAX(meter->memory_most, bytes);
	if (meter->memory_least == 0 || bytes < meter->memory_least)
		meter->memory_least = bytes;
}

/* A counter that is smaller than before is another process's, or was restored: it began at 0. */
static void meter_note(struct vm *vm, const uint64_t values[static _METER_COUNT], uint64_t now)
{
	struct vm_meter *meter = &vm->meter;
	uint64_t memory = vm_memory_assigned(vm);

	meter_enter_run(vm);
	for (size_t i = 0; i < _METER_COUNT; i++) {
		uint64_t before = values[i] >= meter->counters[i] ? meter->counters[i] : 0;

		if (!meter->anew)
			meter_sum(&meter->sums[i], values[i] - before);
		meter->counters[i] = values[i];
	}
	if (!meter->anew && meter->read_at > 0 && now > meter->read_at)
		meter_note_memory(meter, memory > 0 ? memory : vm->definition->memory.size,
				  now - meter->read_at);
	meter->read_at = now;
	meter->anew = false;
	if (++meter->unwritten >= METER_WRITES)
		meter_keep(vm);
}

void vm_meter_read(struct vm *vm)
{
	const struct vm_statistics *statistics = &vm->statistics;
	uint64_t values[_METER_COUNT];

	if (!vm->meter.on || vm->run.started_at == 0)
		return;
	for (size_t i = 0; i < _METER_COUNT; i++)
		values[i] = statistics->values[counters[i].statistic];
	values[METER_CPU_US] = statistics->usage.guest_us + statistics->usage.host_us;
	meter_note(vm, values, vm_clock(CLOCK_BOOTTIME));
}

/* Not what is no number, or runs backwards. */
static uint64_t meter_end_value(struct json_object *end, const char *group, const char *name,
				uint64_t before)
{
	struct json_object *members = end, *value;

	if ((group && (!json_object_object_get_ex(end, group, &members) ||
		       !json_object_is_type(members, json_type_object))) ||
	    !json_object_object_get_ex(members, name, &value) ||
	    !json_object_is_type(value, json_type_int) ||
	    json_object_get_int64(value) < (int64_t)before)
		return before;
	return (uint64_t)json_object_get_int64(value);
}

static void meter_take_end(struct vm *vm, struct json_object *end)
{
	struct vm_meter *meter = &vm->meter;
	uint64_t values[_METER_COUNT], now = vm_clock(CLOCK_BOOTTIME);

	meter_enter_run(vm);
	for (size_t i = 0; i < _METER_COUNT; i++)
		values[i] =
			meter_end_value(end, counters[i].group,
					counters[i].group ? counters[i].counter : counters[i].name,
					meter->counters[i]);
	/* It may have ended long ago. */
	meter_note(vm, values, MIN(now, meter_end_value(end, NULL, "boot_us", meter->read_at)));
}

void vm_meter_end(struct vm *vm, struct json_object *end)
{
	struct json_object *used;

	vm->meter.timer = sd_event_source_disable_unref(vm->meter.timer);
	if (!vm->meter.on || vm->run.started_at == 0)
		return;
	if (end && json_object_object_get_ex(end, "used", &used) &&
	    json_object_is_type(used, json_type_object))
		meter_take_end(vm, used);
	meter_keep(vm);
}

/* ---- Reading now and then ---- */

static int meter_time(sd_event_source *source, uint64_t time, void *data)
{
	struct vm *vm = data;

	statistics_refresh(vm);
	(void)sd_event_source_set_time_relative(source, METER_INTERVAL * UINT64_C(1000000));
	(void)sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
	return 0;
}

void vm_meter_begin(struct vm *vm)
{
	int r;

	if (!vm->meter.on || vm->meter.timer || vm->run.started_at == 0)
		return;
	r = sd_event_add_time_relative(vm->manager->loop, &vm->meter.timer, CLOCK_MONOTONIC,
				       METER_INTERVAL * UINT64_C(1000000), 0, meter_time, vm);
	if (r < 0)
		vm_log(vm, VM_EVENT_HOST, LOG_LEVEL_WARNING, "its meter is not read: %s",
		       strerror(-r));
}

/* ---- What is asked of it ---- */

/* Counting begins now: from 0 of the next run, or from what this one has used so far. */
static void meter_begin_anew(const struct vm *vm, struct vm_meter *meter)
{
	*meter = (struct vm_meter){ .on = true, .since = vm_clock(CLOCK_REALTIME) };
	if (vm->run.started_at == 0)
		return;
	meter->run = vm->run.started_at;
	meter->anew = true;
}

static int meter_change(struct vm *vm, struct vm_meter *meter, struct failure *failure)
{
	int r;

	meter->timer = NULL;
	meter->unwritten = 0;
	r = meter_write(vm, meter);
	if (r < 0)
		return failure_set(failure, DBUS_ERROR_STORE,
				   "the meter of VM '%s' cannot be written to %s: %s",
				   vm->definition->name, folder_path(vm->manager->meters),
				   strerror(-r));
	meter->timer = vm->meter.timer;
	vm->meter = *meter;
	if (meter->on) {
		statistics_refresh(vm);
		vm_meter_begin(vm);
	} else {
		vm->meter.timer = sd_event_source_disable_unref(vm->meter.timer);
	}
	return 0;
}

int vm_meter_switch(struct vm *vm, bool on, struct failure *failure)
{
	struct vm_meter meter = vm->meter;

	if (vm->meter.on == on)
		return 0;
	meter.on = false;
	if (on)
		meter_begin_anew(vm, &meter);
	return meter_change(vm, &meter, failure);
}

int vm_meter_reset(struct vm *vm, struct failure *failure)
{
	struct vm_meter meter;

	if (!vm->meter.on)
		return failure_set(failure, DBUS_ERROR_INVALID_STATE,
				   "the meter of VM '%s' is off; 'vmctl meter enable %s' switches "
				   "it on, from 0",
				   vm->definition->name, vm->definition->name);
	meter_begin_anew(vm, &meter);
	return meter_change(vm, &meter, failure);
}

uint64_t vm_meter_memory_average(const struct vm_meter *meter)
{
	uint64_t ms = meter->memory_ms, mib_ms = meter->memory_mib_ms;

	return ms > 0 ? mib_ms / ms * MIB + mib_ms % ms * MIB / ms : 0;
}

struct json_object *vm_meter_to_json(const struct vm *vm)
{
	const struct vm_meter *meter = &vm->meter;
	struct json_object *tree;
	char uuid[GUID_TEXT_SIZE];

	guid_format(&vm->definition->uuid, uuid);
	tree = json_make("name", json_object_new_string(vm->definition->name), "uuid",
			 json_object_new_string(uuid), "owner",
			 json_object_new_string(vm_owner(vm)), "on",
			 json_object_new_boolean(meter->on), NULL);
	if (meter->since == 0)
		return tree;
	json_add(&tree, "since", json_object_new_uint64(meter->since));
	json_add(&tree, "run_us", json_object_new_uint64(meter->run_us));
	for (size_t i = 0; i < _METER_COUNT; i++)
		json_add(&tree, counters[i].name, json_object_new_uint64(meter->sums[i]));
	json_add(&tree, "memory",
		 json_make("average", json_object_new_uint64(vm_meter_memory_average(meter)),
			   "minimum", json_object_new_uint64(meter->memory_least), "maximum",
			   json_object_new_uint64(meter->memory_most), NULL));
	return tree;
}
