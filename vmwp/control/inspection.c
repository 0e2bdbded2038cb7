/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The worker's objects as they are. */
#include "vmwp/control/inspection.h"

#include "common/base/json.h"
#include "vmwp/control/worker.h"
#include "vmwp/device/devices.h"
#include "vmwp/machine/machine.h"
#include "vsp/socket/sockets.h"

/*
 * Of one answer. A vp takes 6 KiB of text at most and a channel 2 KiB: of the CONTROL_MESSAGE_MAX
 * bytes of a message that is half. Devices come at once: the 256 units of the controllers are 20
 * KiB, and 8 adapters of 16 channels 30. A GPADL or a connection takes 256 bytes.
 */
#define VPS_AT_ONCE         20
#define CHANNELS_AT_ONCE    64
#define GPADLS_AT_ONCE      256
#define CONNECTIONS_AT_ONCE 64

/* ---- The machine ---- */

static struct json_object *inspect_machine(const struct worker *worker)
{
	const struct machine *machine = worker->machine;
	struct json_object *tree = json_make(
		"state", json_object_new_string(machine_state_name(machine_state(machine))),
		"engine", json_object_new_string(hvshim_engine_name(machine_engine(machine))),
		"vps", json_object_new_int64(machine_vp_count(machine)), NULL);

	devices_inspect_machine(worker->devices, &tree);
	return tree;
}

/* ---- Virtual processors ---- */

static struct json_object *inspect_vp(struct power_cycle *power_cycle, uint32_t index,
				      const struct vp_registers *registers)
{
	const struct vid_vp *vp = power_cycle_vp(power_cycle, index);
	struct json_object *tree =
		json_make("vp", json_object_new_int64(index), "apic_id",
			  json_object_new_int64(vid_vp_apic_id(vp)), "running",
			  json_object_new_boolean(registers->running), "synic",
			  hvshim_inspect_vp(power_cycle_hvshim(power_cycle), index), NULL);

	if (registers->there)
		vp_registers_add(registers, &tree);
	vp_counters_add(vp, &tree);
	return tree;
}

/* All at the same moment, for which the vps stop. */
static void read_registers(struct machine *machine, uint32_t first, uint32_t count,
			   struct vp_registers *registers)
{
	struct power_cycle *power_cycle = machine_power_cycle(machine);
	bool held;

	for (uint32_t i = 0; i < count; i++)
		registers[i].running = vid_vp_is_running(power_cycle_vp(power_cycle, first + i));
	held = machine_hold(machine);
	for (uint32_t i = 0; i < count; i++)
		registers[i].there = machine_vp_registers(machine, first + i, &registers[i].general,
							  &registers[i].system) == 0;
	if (held)
		machine_release(machine);
}

static struct json_object *inspect_vps(struct machine *machine, uint32_t first, uint32_t *ret_next)
{
	struct vp_registers registers[VPS_AT_ONCE];
	uint32_t count = machine_vp_count(machine);
	struct json_object *vps = json_object_new_array();

	if (first >= count)
		return vps;
	if (count - first > VPS_AT_ONCE) {
		count = first + VPS_AT_ONCE;
		*ret_next = count;
	}
	read_registers(machine, first, count - first, registers);
	for (uint32_t i = first; i < count; i++)
		json_append(&vps,
			    inspect_vp(machine_power_cycle(machine), i, &registers[i - first]));
	return vps;
}

/* ---- Devices ---- */

static struct json_object *inspect_devices(const struct worker *worker)
{
	struct json_object *tree = json_object_new_object();

	devices_inspect(worker->devices, &tree);
	return tree;
}

static struct json_object *inspect_sockets(const struct worker *worker, uint32_t first,
					   uint32_t *ret_next)
{
	const struct sockets *sockets =
		guest_sockets_all(devices_get(worker->devices, DEVICE_SOCKETS));

	if (!sockets)
		return json_object_new_array();
	return sockets_inspect(sockets, first, CONNECTIONS_AT_ONCE, ret_next);
}

/* ---- All ---- */

static struct json_object *inspect_part(const struct worker *worker, enum control_part part,
					uint32_t first, uint32_t *ret_next)
{
	switch (part) {
	case CONTROL_PART_MACHINE:
		return inspect_machine(worker);
	case CONTROL_PART_VPS:
		return inspect_vps(worker->machine, first, ret_next);
	case CONTROL_PART_VMBUS:
		return vmbus_inspect(machine_bus(worker->machine));
	case CONTROL_PART_GPADLS:
		return vmbus_inspect_gpadls(machine_bus(worker->machine), first, GPADLS_AT_ONCE,
					    ret_next);
	case CONTROL_PART_DEVICES:
		return inspect_devices(worker);
	case CONTROL_PART_SOCKETS:
		return inspect_sockets(worker, first, ret_next);
	default:
		return vmbus_inspect_channels(machine_bus(worker->machine), first, CHANNELS_AT_ONCE,
					      ret_next);
	}
}

struct json_object *inspection_report(const struct worker *worker, enum control_part part,
				      uint32_t first)
{
	uint32_t next = 0;
	struct json_object *report =
		json_make(control_part_names[part], inspect_part(worker, part, first, &next), NULL);

	if (next)
		json_add(&report, "next", json_object_new_int64(next));
	return report;
}
