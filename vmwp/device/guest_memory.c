/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Dynamic memory of a machine. */
#include "vmwp/device/guest_memory.h"

#include "vsp/memory/balloon.h"

#include <errno.h>
#include <stdlib.h>

struct guest_memory {
	struct balloon *balloon;
	guest_memory_fn changed;
	void *data;
};

static void memory_changed(void *data)
{
	struct guest_memory *memory = data;

	memory->changed(memory->data, guest_memory_report(memory));
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

int guest_memory_new(struct machine *machine, const struct definition *definition,
		     guest_memory_fn changed, void *data, struct guest_memory **ret_memory)
{
	CLEANUP(guest_memory_freep) struct guest_memory *memory = NULL;
	struct balloon_options options = balloon_options_of(machine, &definition->memory);
	int r;

	*ret_memory = NULL;
	if (!definition->memory.dynamic.on)
		return 0;
	memory = calloc(1, sizeof(*memory));
	if (!memory)
		return -ENOMEM;
	memory->changed = changed;
	memory->data = data;
	r = balloon_new(machine_bus(machine), &options, &balloon_callbacks, memory,
			&memory->balloon);
	if (r < 0)
		return r;
	*ret_memory = TAKE_PTR(memory);
	return 0;
}

void guest_memory_free(struct guest_memory *memory)
{
	if (!memory)
		return;
	balloon_free(memory->balloon);
	free(memory);
}

void guest_memory_start_over(struct guest_memory *memory)
{
	balloon_start_over(memory->balloon);
}

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
