/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Dynamic memory of a machine. */
#include "vmwp/device/devices.h"

#include "vmwp/machine/machine.h"
#include "vsp/memory/balloon.h"

#include <errno.h>
#include <stdlib.h>

struct guest_memory {
	struct balloon *balloon;
	const struct device_config *config;
};

static void memory_changed(void *data)
{
	struct guest_memory *memory = data;

	memory->config->callbacks->memory(memory->config->data, guest_memory_report(memory));
}

static const struct balloon_callbacks balloon_callbacks = { .changed = memory_changed };

static struct balloon_options balloon_options_of(const struct machine *machine,
						 const struct definition_memory *memory)
{
	const struct vid_memory *ram = machine_memory(machine);
	struct vid_memory_region room = machine_room(machine);
	struct balloon_options options = {
		.room = room.gpa,
		.room_size = room.size,
		.maximum = room.size ? memory->dynamic.maximum : 0,
	};

	for (size_t i = 0; i < vid_memory_region_count(ram); i++) {
		struct vid_memory_region region = vid_memory_region(ram, i);

		options.size += region.size;
		options.end = MAX(options.end, region.gpa.value + region.size);
	}
	return options;
}

static int guest_memory_make(struct device_config *config, void **ret_device,
			     struct failure *failure)
{
	const struct definition_memory *definition = &config->definition->memory;
	struct balloon_options options;
	struct guest_memory *memory;

	if (!definition->dynamic.on)
		return 0;
	memory = calloc(1, sizeof(*memory));
	if (!memory)
		return -ENOMEM;
	memory->config = config;
	*ret_device = memory;
	options = balloon_options_of(config->machine, definition);
	return balloon_new(config->bus, &options, &balloon_callbacks, memory, &memory->balloon);
}

static void guest_memory_free(void *device)
{
	struct guest_memory *memory = device;

	balloon_free(memory->balloon);
	free(memory);
}

static void guest_memory_reset(void *device)
{
	struct guest_memory *memory = device;

	balloon_start_over(memory->balloon);
}

/* ---- State ---- */

static void guest_memory_quiesce(void *device, void (*done)(void *data), void *data)
{
	struct guest_memory *memory = device;

	balloon_quiesce(memory->balloon);
	done(data);
}

static void guest_memory_resume(void *device)
{
	struct guest_memory *memory = device;

	balloon_resume(memory->balloon);
}

static int guest_memory_save(void *device, struct state_writer *writer)
{
	struct guest_memory *memory = device;

	balloon_save(memory->balloon, guest_memory_ops.name, writer);
	return 0;
}

static int guest_memory_restore(void *device, struct state_reader *reader, struct failure *failure)
{
	const char *name = guest_memory_ops.name;
	struct guest_memory *memory = device;

	return device_restore_result(balloon_restore(memory->balloon, name, reader), name, failure);
}

/* ---- What others ask ---- */

void guest_memory_set_target(struct guest_memory *memory, uint64_t bytes)
{
	balloon_set_target(memory->balloon, bytes);
}

struct json_object *guest_memory_report(const struct guest_memory *memory)
{
	struct balloon_report report = balloon_report(memory->balloon);

	return json_make("state", json_object_new_string(balloon_state_name(report.state)),
			 "target", json_object_new_uint64(report.target), "assigned",
			 json_object_new_uint64(report.assigned), "reported",
			 json_object_new_boolean(report.reported), "demand",
			 json_object_new_uint64(report.demand), "available",
			 json_object_new_uint64(report.available), "failures",
			 json_object_new_uint64(report.failures), NULL);
}

static void guest_memory_inspect(void *device, struct json_object **tree)
{
	json_add(tree, "memory", guest_memory_report(device));
}

const struct device_ops guest_memory_ops = {
	.name = "balloon",
	.kind = DEVICE_SYNTHETIC,
	.make = guest_memory_make,
	.free = guest_memory_free,
	.quiesce = guest_memory_quiesce,
	.resume = guest_memory_resume,
	.reset = guest_memory_reset,
	.save = guest_memory_save,
	.restore = guest_memory_restore,
	.inspect = guest_memory_inspect,
};
