/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* All devices of a machine. */
#include "vmwp/device/devices.h"

#include "common/base/state.h"
#include "vmwp/device/devices_table.h"
#include "vmwp/device/services.h"
#include "vmwp/machine/machine.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct device_ops *const devices_table[_DEVICE_COUNT] = {
	[DEVICE_MEMORY] = &machine_memory_ops,
	[DEVICE_PARTITION] = &machine_partition_ops,
	[DEVICE_PROCESSORS] = &machine_processors_ops,
	[DEVICE_HYPERVISOR] = &machine_hypervisor_ops,
	[DEVICE_CHIPSET] = &machine_chipset_ops,
	[DEVICE_VMBUS] = &machine_vmbus_ops,
	[DEVICE_STORAGE] = &disks_ops,
	[DEVICE_IDE] = &ide_disks_ops,
	[DEVICE_SHUTDOWN] = &service_shutdown_ops,
	[DEVICE_HEARTBEAT] = &service_heartbeat_ops,
	[DEVICE_NETWORK] = &adapters_ops,
	[DEVICE_TIME] = &service_time_ops,
	[DEVICE_KVP] = &service_kvp_ops,
	[DEVICE_VSS] = &service_vss_ops,
	[DEVICE_FILE_COPY] = &service_file_copy_ops,
	[DEVICE_SOCKETS] = &guest_sockets_ops,
	[DEVICE_ADDRESSES] = &guest_addresses_ops,
	[DEVICE_BALLOON] = &guest_memory_ops,
	[DEVICE_KEYBOARD] = &guest_keyboard_ops,
	[DEVICE_VIDEO] = &guest_video_ops,
	[DEVICE_MOUSE] = &guest_mouse_ops,
};

#define DEVICES_SENTENCE 64 /* bytes around names of devices */

struct devices {
	struct device_config config;
	const struct device_ops *const *table; /* _DEVICE_COUNT rows */
	void *device[_DEVICE_COUNT];

	/* devices_quiesce() */
	struct device_quiet quiet;
};

/* ---- Making and freeing ---- */

int devices_new_of(const struct device_ops *const table[_DEVICE_COUNT],
		   const struct device_config *config, struct devices **ret_devices,
		   struct failure *failure)
{
	struct devices *devices = calloc(1, sizeof(*devices));
	int r;

	if (!devices)
		return -ENOMEM;
	devices->config = *config;
	devices->table = table;
	devices->config.devices = devices;
	for (unsigned id = 0; id < _DEVICE_COUNT; id++) {
		assert(!table[id]->save == !table[id]->restore);
		r = table[id]->make(&devices->config, &devices->device[id], failure);
		if (r == 0)
			continue;
		if (failure->message[0] == '\0')
			failure_set(failure, r, "The device '%s' cannot be made: %s.",
				    table[id]->name, strerror(-r));
		devices_discard(devices);
		return r;
	}
	devices->config.resources = NULL;
	*ret_devices = devices;
	return 0;
}

int devices_new(const struct device_config *config, struct devices **ret_devices,
		struct failure *failure)
{
	return devices_new_of(devices_table, config, ret_devices, failure);
}

void devices_free(struct devices *devices)
{
	if (!devices)
		return;
	for (unsigned id = _DEVICE_COUNT; id-- > 0;)
		if (devices->device[id] && devices->table[id]->free)
			devices->table[id]->free(TAKE_PTR(devices->device[id]));
	free(devices);
}

void devices_discard(struct devices *devices)
{
	if (!devices)
		return;
	for (unsigned id = _DEVICE_COUNT; id-- > 0;)
		if (devices->device[id] && devices->table[id]->discard)
			devices->table[id]->discard(TAKE_PTR(devices->device[id]));
	devices_free(devices);
}

void *devices_get(const struct devices *devices, enum device_id id)
{
	return devices->device[id];
}

/* ---- Pausing, resuming, resetting ---- */

void devices_pause(struct devices *devices)
{
	for (unsigned id = 0; id < _DEVICE_COUNT; id++)
		if (devices->device[id] && devices->table[id]->pause)
			devices->table[id]->pause(devices->device[id]);
}

void devices_resume(struct devices *devices)
{
	for (unsigned id = 0; id < _DEVICE_COUNT; id++)
		if (devices->device[id] && devices->table[id]->resume)
			devices->table[id]->resume(devices->device[id]);
}

void devices_reset(struct devices *devices)
{
	for (unsigned id = 0; id < _DEVICE_COUNT; id++)
		if (devices->device[id] && devices->table[id]->reset)
			devices->table[id]->reset(devices->device[id]);
}

/* ---- State ---- */

void devices_quiesce(struct devices *devices, void (*done)(void *data), void *data)
{
	device_quiet_begin(&devices->quiet, done, data);
	for (unsigned id = 0; id < _DEVICE_COUNT; id++) {
		if (!devices->device[id] || !devices->table[id]->quiesce)
			continue;
		device_quiet_await(&devices->quiet);
		devices->table[id]->quiesce(devices->device[id], device_quiet_one, &devices->quiet);
	}
	device_quiet_one(&devices->quiet);
}

void devices_forget_quiesce(struct devices *devices)
{
	device_quiet_forget(&devices->quiet);
}

/* Names all that cannot be saved. Return: 0; -ENOTSUP. */
static int devices_check_state(const struct devices *devices, struct failure *failure)
{
	char names[sizeof(failure->message) - DEVICES_SENTENCE];
	size_t used = 0;

	for (unsigned id = 0; id < _DEVICE_COUNT; id++)
		if (devices->device[id] && !devices->table[id]->save && used < sizeof(names))
			used += (size_t)snprintf(names + used, sizeof(names) - used, "%s%s",
						 used > 0 ? ", " : "", devices->table[id]->name);
	if (used == 0)
		return 0;
	return failure_set(failure, -ENOTSUP, "The state of these devices cannot be saved: %s.",
			   names);
}

int devices_save(struct devices *devices, struct state_writer *writer, struct failure *failure)
{
	int r = devices_check_state(devices, failure);

	for (unsigned id = 0; r == 0 && id < _DEVICE_COUNT; id++) {
		if (!devices->device[id])
			continue;
		r = devices->table[id]->save(devices->device[id], writer);
		if (r < 0)
			failure_set(failure, r, "The state of the device '%s' cannot be saved: %s.",
				    devices->table[id]->name, strerror(-r));
	}
	return r;
}

int devices_save_memory(struct devices *devices, struct state_writer *writer)
{
	return devices->table[DEVICE_MEMORY]->save(devices->device[DEVICE_MEMORY], writer);
}

static int devices_restore_one(struct devices *devices, enum device_id id,
			       struct state_reader *reader, struct failure *failure)
{
	int r = devices->table[id]->restore(devices->device[id], reader, failure);

	if (r < 0 && failure->message[0] == '\0')
		failure_set(failure, r, "The state of the device '%s' cannot be restored: %s.",
			    devices->table[id]->name, strerror(-r));
	return r;
}

int devices_restore_memory(struct devices *devices, struct state_reader *reader,
			   struct failure *failure)
{
	return devices_restore_one(devices, DEVICE_MEMORY, reader, failure);
}

int devices_restore(struct devices *devices, struct state_reader *reader, struct failure *failure)
{
	int r = devices_check_state(devices, failure);

	for (unsigned id = 0; r == 0 && id < _DEVICE_COUNT; id++)
		if (devices->device[id])
			r = devices_restore_one(devices, id, reader, failure);
	for (unsigned id = 0; r == 0 && id < _DEVICE_COUNT; id++)
		if (devices->device[id] && devices->table[id]->restored)
			r = devices->table[id]->restored(devices->device[id], failure);
	return r;
}

int devices_hand_over(const struct devices *devices, struct handover *handover,
		      struct failure *failure)
{
	int r = 0;

	for (unsigned id = 0; r == 0 && id < _DEVICE_COUNT; id++) {
		if (!devices->device[id] || !devices->table[id]->hand_over)
			continue;
		r = devices->table[id]->hand_over(devices->device[id], handover, failure);
		if (r < 0 && failure->message[0] == '\0')
			failure_set(failure, r,
				    "The descriptors of the device '%s' cannot be handed over: %s.",
				    devices->table[id]->name, strerror(-r));
	}
	return r;
}

/* ---- Reports ---- */

void devices_status(const struct devices *devices, struct json_object **tree)
{
	struct json_object *services = json_object_new_object();

	for (unsigned id = 0; id < _DEVICE_COUNT; id++)
		if (devices->table[id]->status)
			devices->table[id]->status(
				devices->device[id],
				devices->table[id]->kind == DEVICE_SERVICE ? &services : tree);
	json_add(tree, "services", services);
	json_add(tree, "heartbeat", json_object_new_string(devices_heartbeat(devices)));
}

/* Of the devices of one kind. */
static void devices_inspect_kind(const struct devices *devices, enum device_kind kind,
				 struct json_object **tree)
{
	for (unsigned id = 0; id < _DEVICE_COUNT; id++)
		if (devices->device[id] && devices->table[id]->inspect &&
		    devices->table[id]->kind == kind)
			devices->table[id]->inspect(devices->device[id], tree);
}

void devices_inspect_machine(const struct devices *devices, struct json_object **tree)
{
	devices_inspect_kind(devices, DEVICE_OF_MACHINE, tree);
}

void devices_inspect(const struct devices *devices, struct json_object **tree)
{
	struct json_object *integration = json_object_new_object();
	struct json_object *services = json_object_new_object();

	devices_inspect_kind(devices, DEVICE_SYNTHETIC, tree);
	for (unsigned id = 0; id < _DEVICE_COUNT; id++)
		if (devices->table[id]->status && devices->table[id]->kind == DEVICE_SERVICE)
			devices->table[id]->status(devices->device[id], &services);
	json_add(tree, "services", services);
	devices_inspect_kind(devices, DEVICE_SERVICE, &integration);
	json_add(tree, "integration", integration);
	json_add(tree, "heartbeat", json_object_new_string(devices_heartbeat(devices)));
}

void devices_counters(const struct devices *devices, struct json_object **tree)
{
	for (unsigned id = 0; id < _DEVICE_COUNT; id++)
		if (devices->device[id] && devices->table[id]->counters)
			devices->table[id]->counters(devices->device[id], tree);
}

const char *devices_heartbeat(const struct devices *devices)
{
	const struct ic_heartbeat *heartbeat = devices->device[DEVICE_HEARTBEAT];

	return ic_heartbeat_status_name(heartbeat ? ic_heartbeat_status(heartbeat)
						  : IC_HEARTBEAT_UNKNOWN);
}
