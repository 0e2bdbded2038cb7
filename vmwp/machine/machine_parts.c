/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The parts of the machine, as rows of the table of devices. */
#include "vmwp/machine/machine_parts.h"

#include "vmwp/chipset/chipset.h"
#include "vmwp/machine/machine.h"
#include "vmwp/machine/machine_state.h"
#include "vmwp/machine/vp_counters.h"
#include "vsp/vmbus/vmbus.h"

#include <errno.h>

/* The machine makes its parts itself, some of them anew by every reset. */
static int part_make(struct device_config *config, void **ret_device, struct failure *failure)
{
	*ret_device = config->machine;
	return 0;
}

/* ---- Guest memory ---- */

static void memory_inspect(void *device, struct json_object **tree)
{
	const struct vid_memory *memory = machine_memory(device);
	struct json_object *regions = json_object_new_array();

	for (size_t i = 0; i < vid_memory_region_count(memory); i++) {
		struct vid_memory_region region = vid_memory_region(memory, i);

		json_append(&regions, json_make("gpa", json_make_hex(region.gpa.value), "size",
						json_object_new_uint64(region.size), NULL));
	}
	json_add(tree, "memory",
		 json_make("regions", regions, "tracks_dirty",
			   json_object_new_boolean(vid_memory_tracks_dirty(memory)), NULL));
}

const struct device_ops machine_memory_ops = {
	.name = "memory",
	.kind = DEVICE_OF_MACHINE,
	.make = part_make,
	.save = machine_memory_save,
	.hand_over = machine_memory_hand_over,
	.restore = machine_memory_restore,
	.inspect = memory_inspect,
};

/* ---- The partition and its virtual processors ---- */

const struct device_ops machine_partition_ops = {
	.name = "partition",
	.kind = DEVICE_OF_MACHINE,
	.make = part_make,
	.save = machine_partition_save,
	.restore = machine_partition_restore,
};

static void processors_counters(void *device, struct json_object **tree)
{
	struct power_cycle_counters counters;

	machine_counters(device, &counters);
	vp_counters_add_sum(&counters, tree);
}

const struct device_ops machine_processors_ops = {
	.name = "processors",
	.kind = DEVICE_OF_MACHINE,
	.make = part_make,
	.save = machine_processors_save,
	.restore = machine_processors_restore,
	.counters = processors_counters,
};

/* ---- The Hyper-V personality ---- */

static void hypervisor_inspect(void *device, struct json_object **tree)
{
	struct power_cycle *power_cycle = machine_power_cycle(device);

	if (power_cycle)
		json_add(tree, "hypervisor", hvshim_inspect(power_cycle_hvshim(power_cycle)));
}

static void hypervisor_counters(void *device, struct json_object **tree)
{
	struct power_cycle_counters counters;

	machine_counters(device, &counters);
	json_add(tree, "vmbus",
		 json_make("interrupts", json_object_new_uint64(counters.interrupts), "messages",
			   json_object_new_uint64(counters.messages), "timers",
			   json_object_new_uint64(counters.timers), NULL));
}

const struct device_ops machine_hypervisor_ops = {
	.name = "hypervisor",
	.kind = DEVICE_OF_MACHINE,
	.make = part_make,
	.quiesce = machine_hypervisor_quiesce,
	.save = machine_hypervisor_save,
	.restore = machine_hypervisor_restore,
	.inspect = hypervisor_inspect,
	.counters = hypervisor_counters,
};

/* ---- Chipset and VMBus ---- */

static int part_save_chipset(void *device, struct state_writer *writer)
{
	return chipset_save(machine_chipset(device), writer);
}

static int part_restore_chipset(void *device, struct state_reader *reader, struct failure *failure)
{
	return chipset_restore(machine_chipset(device), reader, failure);
}

static void part_inspect_chipset(void *device, struct json_object **tree)
{
	json_add(tree, "chipset", chipset_inspect(machine_chipset(device)));
}

const struct device_ops machine_chipset_ops = {
	.name = "chipset",
	.kind = DEVICE_OF_MACHINE,
	.make = part_make,
	.save = part_save_chipset,
	.restore = part_restore_chipset,
	.restored = machine_generation_restored,
	.inspect = part_inspect_chipset,
};

static void bus_quiesce(void *device, void (*done)(void *data), void *data)
{
	vmbus_quiesce(machine_bus(device), done, data);
}

static void bus_resume(void *device)
{
	vmbus_resume(machine_bus(device));
}

static int bus_save(void *device, struct state_writer *writer)
{
	return vmbus_save(machine_bus(device), writer);
}

static int bus_restore(void *device, struct state_reader *reader, struct failure *failure)
{
	int r = vmbus_restore(machine_bus(device), reader);

	if (r == 0)
		machine_take_vmbus_version(device);
	return device_restore_result(r, "vmbus", failure);
}

static int bus_restored(void *device, struct failure *failure)
{
	char type_text[GUID_TEXT_SIZE], instance_text[GUID_TEXT_SIZE];
	struct guid type, instance;

	if (vmbus_restored(machine_bus(device), &type, &instance) == 0)
		return 0;
	guid_format(&type, type_text);
	guid_format(&instance, instance_text);
	return failure_set(failure, -EINVAL,
			   "The guest has a device that this VM does not have: %s of type %s.",
			   instance_text, type_text);
}

const struct device_ops machine_vmbus_ops = {
	.name = "vmbus",
	.kind = DEVICE_OF_MACHINE,
	.make = part_make,
	.quiesce = bus_quiesce,
	.resume = bus_resume,
	.save = bus_save,
	.restore = bus_restore,
	.restored = bus_restored,
};
