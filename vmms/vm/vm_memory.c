/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One VM: its dynamic memory, while it runs.
 *
 * What a guest has been promised and has not touched yet is not the host's to give any more; so it
 * is taken from what the host has available. A part of the host's memory is for the host.
 */
#include "vmms/vm/vm_memory.h"

#include "common/base/log.h"
#include "common/base/text.h"
#include "common/control.h"
#include "vmms/host/host.h"
#include "vmms/vm/manager.h"
#include "vmms/vm/memory_policy.h"
#include "vmms/vm/vm_internal.h"
#include "vmms/vm/vm_log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BALANCE_DELAY_US (2 * UINT64_C(1000000))
#define HOST_PART        20 /* so that 5 percent stay with the host, */
#define HOST_LEAST       (UINT64_C(256) << 20)

static const struct definition_dynamic_memory *memory_dynamic_of(const struct vm *vm)
{
	return &vm->definition->memory.dynamic;
}

static bool memory_is_running(const struct vm *vm)
{
	return vm->run.worker && vm->run.started_at > 0;
}

uint64_t vm_memory_assigned(const struct vm *vm)
{
	if (!memory_is_running(vm))
		return 0;
	return vm->memory.assigned > 0 ? vm->memory.assigned : vm->definition->memory.size;
}

/* ---- What the worker is told ---- */

static void memory_answered(void *data, struct json_object *result, const char *code,
			    const char *text)
{
	struct vm *vm = data;

	if (!result && strcmp(code, WORKER_ENDED) != 0)
		log_warning("VM %s: its memory cannot be set: %s", vm->definition->name, text);
}

static void memory_set_target(struct vm *vm, uint64_t bytes)
{
	AUTO_JSON struct json_object *arguments =
		json_make("size", json_object_new_uint64(bytes), NULL);
	int r = arguments
			? worker_request(vm->run.worker, "set_memory", arguments, NULL, 0,
					 vm->manager->settings.answer_timeout, memory_answered, vm)
			: -ENOMEM;

	if (r < 0)
		log_warning("VM %s: its memory cannot be set: %s", vm->definition->name,
			    strerror(-r));
	else
		vm->memory.asked = bytes;
}

void vm_memory_apply_size(struct vm *vm)
{
	if (memory_is_running(vm) && memory_dynamic_of(vm)->on)
		memory_set_target(vm, vm->definition->memory.size);
}

/* ---- What the worker tells ---- */

static void memory_take_event(struct vm *vm, const struct control_event_data *event)
{
	struct vm_memory *memory = &vm->memory, before = *memory;
	const char *state = event->state ? event->state : "";

	*memory = (struct vm_memory){
		.target = event->target,
		.assigned = event->assigned,
		.demand = event->demand,
		.available = event->available,
		.reported = event->reported,
		.asked = before.asked,
	};
	text_repair(memory->state, sizeof(memory->state), state, strlen(state));
	if (strcmp(memory->state, before.state) != 0)
		vm_notify(vm, "MemoryState", NULL);
	if (memory->target != before.target || memory->assigned != before.assigned)
		vm_notify(vm, "MemoryTarget", "MemoryAssigned", NULL);
}

void vm_memory_on_memory(struct vm *vm, const struct control_event_data *data)
{
	if (!memory_dynamic_of(vm)->on)
		return;
	memory_take_event(vm, data);
	vm_memory_balance_soon(vm->manager);
}

void vm_memory_forget(struct vm *vm)
{
	vm->memory = (struct vm_memory){ 0 };
	vm_notify(vm, "MemoryState", "MemoryTarget", "MemoryAssigned", NULL);
}

/* ---- Balance ---- */

/* Whose memory we choose. */
static bool memory_is_balanced(const struct vm *vm)
{
	return memory_is_running(vm) && vm->state == VM_RUNNING && vm->memory.reported &&
	       memory_dynamic_of(vm)->on && memory_dynamic_of(vm)->automatic;
}

/* What the guest may still touch of what it was promised. */
static uint64_t memory_untouched(const struct vm *vm)
{
	uint64_t resident, promised = MAX(vm->memory.target, vm_memory_assigned(vm));

	if (!memory_is_running(vm) || !memory_dynamic_of(vm)->on ||
	    process_resident_read(worker_pid(vm->run.worker), &resident) < 0)
		return 0;
	return promised - MIN(promised, resident);
}

static int64_t memory_spare_memory(const struct manager *manager)
{
	struct host_memory host;
	int64_t spare;

	/* Without /proc/meminfo nobody gets more, and nobody less. */
	if (host_memory_read(&host) < 0)
		return 0;
	spare = (int64_t)host.available - (int64_t)MAX(HOST_LEAST, host.total / HOST_PART);
	list_for_each (link, (struct list *)&manager->vms)
		spare -= (int64_t)memory_untouched(container_of(link, struct vm, link));
	return spare;
}

static struct memory_policy_guest memory_guest_of(const struct vm *vm)
{
	const struct definition_dynamic_memory *dynamic = memory_dynamic_of(vm);

	return (struct memory_policy_guest){ .minimum = dynamic->minimum,
					     .maximum = dynamic->maximum,
					     .buffer = dynamic->buffer,
					     .demand = vm->memory.demand,
					     .target = vm->memory.target };
}

static void memory_balance(struct manager *manager)
{
	AUTO_FREE struct memory_policy_guest *guests = NULL;
	size_t count = 0, i = 0;

	list_for_each (link, &manager->vms)
		count += memory_is_balanced(container_of(link, struct vm, link));
	guests = calloc(count, sizeof(*guests));
	if (count == 0 || !guests)
		return;
	list_for_each (link, &manager->vms) {
		const struct vm *vm = container_of(link, struct vm, link);

		if (memory_is_balanced(vm))
			guests[i++] = memory_guest_of(vm);
	}
	memory_policy_share(guests, count, memory_spare_memory(manager));
	i = 0;
	list_for_each (link, &manager->vms) {
		struct vm *vm = container_of(link, struct vm, link);

		if (!memory_is_balanced(vm))
			continue;
		if (guests[i].next != vm->memory.target && guests[i].next != vm->memory.asked)
			memory_set_target(vm, guests[i].next);
		i++;
	}
}

/* The definition alone counts. */
static void memory_apply_fixed(struct manager *manager)
{
	list_for_each (link, &manager->vms) {
		struct vm *vm = container_of(link, struct vm, link);
		uint64_t size = vm->definition->memory.size;

		if (memory_is_running(vm) && memory_dynamic_of(vm)->on &&
		    !memory_dynamic_of(vm)->automatic && vm->memory.target != size &&
		    vm->memory.asked != size)
			memory_set_target(vm, size);
	}
}

static int memory_balance_time(sd_event_source *source, uint64_t time, void *data)
{
	memory_apply_fixed(data);
	memory_balance(data);
	return 0;
}

void vm_memory_balance_soon(struct manager *manager)
{
	int state = SD_EVENT_OFF, r;

	if (!manager->memory_timer) {
		r = sd_event_add_time_relative(manager->loop, &manager->memory_timer,
					       CLOCK_MONOTONIC, BALANCE_DELAY_US, 0,
					       memory_balance_time, manager);
		if (r < 0)
			log_warning("memory is not balanced: %s", strerror(-r));
		return;
	}
	(void)sd_event_source_get_enabled(manager->memory_timer, &state);
	if (state != SD_EVENT_OFF)
		return;
	(void)sd_event_source_set_time_relative(manager->memory_timer, BALANCE_DELAY_US);
	(void)sd_event_source_set_enabled(manager->memory_timer, SD_EVENT_ONESHOT);
}

void vm_memory_end(struct manager *manager)
{
	manager->memory_timer = sd_event_source_disable_unref(manager->memory_timer);
}
