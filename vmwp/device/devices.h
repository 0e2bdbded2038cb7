/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * All devices of a machine: the table of rows (vmwp/base/device.h), and the walks through it.
 *
 * A device is added to enum device_id and to the table in devices.c; what else it needs is in its
 * row. Thread: the loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/cleanup.h"
#include "common/base/json.h"
#include "vmwp/base/device.h"
#include "vmwp/base/failure.h"
#include "vmwp/device/adapters.h"
#include "vmwp/device/disk_backup.h"
#include "vmwp/device/disk_fork.h"
#include "vmwp/device/disk_health.h"
#include "vmwp/device/disks.h"
#include "vmwp/device/guest_addresses.h"
#include "vmwp/device/guest_keyboard.h"
#include "vmwp/device/guest_memory.h"
#include "vmwp/device/guest_mouse.h"
#include "vmwp/device/guest_sockets.h"
#include "vmwp/device/guest_video.h"
#include "vmwp/device/ide_disks.h"
#include "vsp/ic/ic.h"

#include <stdbool.h>
#include <stdint.h>

struct devices;

/* In the order in which they are made; they are freed in the opposite one. */
enum device_id {
	DEVICE_MEMORY,
	DEVICE_PARTITION,
	DEVICE_PROCESSORS,
	DEVICE_HYPERVISOR,
	DEVICE_CHIPSET,
	DEVICE_VMBUS,
	DEVICE_STORAGE,
	DEVICE_IDE,
	DEVICE_SHUTDOWN,
	DEVICE_HEARTBEAT,
	DEVICE_NETWORK,
	DEVICE_TIME,
	DEVICE_KVP,
	DEVICE_VSS,
	DEVICE_FILE_COPY,
	DEVICE_SOCKETS,
	DEVICE_ADDRESSES,
	DEVICE_BALLOON,
	DEVICE_KEYBOARD,
	DEVICE_VIDEO,
	DEVICE_MOUSE,
	_DEVICE_COUNT,
};

/* What devices tell the worker. All are required where the definition has the device. */
struct devices_callbacks {
	/* The guest's heartbeat is "ok", "lost" or "unknown" now. */
	void (*heartbeat)(void *data, const char *status);

	/* The guest took the medium out of a DVD drive. */
	void (*ejected)(void *data, unsigned controller, unsigned lun);

	/* As struct disk_healths_callbacks. */
	void (*disk_changed)(void *data, unsigned controller, unsigned lun,
			     struct json_object *report);
	void (*disk_pause)(void *data, const char *why);
	void (*disk_go_on)(void *data);
	void (*disk_stop)(void *data, const char *why);

	/* The network behind an adapter has ended by itself; its link is down. */
	void (*network_ended)(void *data, const char *adapter);

	/* An adapter has come, or has another network than before; also during devices_new(). */
	void (*network_connected)(void *data, const char *adapter);

	/* As ic_kvp_callbacks, and guest_addresses_config.changed. */
	void (*guest)(void *data, const struct ic_kvp_guest *guest);
	void (*guest_refreshed)(void *data);
	void (*addresses)(void *data, const char *adapter, const char *addresses);

	/* As ic_vss_callbacks.thawed; reason: "limit", "gone" or "unknown". */
	void (*thawed)(void *data, const char *reason);

	/* As sockets_callbacks.connect. */
	void (*socket)(void *data, uint32_t request, uint32_t port);

	/*
	 * What the balloon has changed: as the data of the control socket's "memory" event; taken
	 * over; NULL without memory.
	 */
	void (*memory)(void *data, struct json_object *report);
};

/*
 * Makes all. config: copied; its `devices` is filled in. Return: 0; -errno and *failure, with none
 * left.
 */
int devices_new(const struct device_config *config, struct devices **ret_devices,
		struct failure *failure) MUST_CHECK;

/* The machine has stopped, and the loop has ended. */
void devices_free(struct devices *devices);
DEFINE_CLEANUP(struct devices *, devices_free)

/* No guest has connected, and the loop runs on. Accepts NULL. */
void devices_discard(struct devices *devices);

/* NULL: the definition has none. */
void *devices_get(const struct devices *devices, enum device_id id);

/* As the operations of these names, of all that have them. */
void devices_pause(struct devices *devices);
void devices_resume(struct devices *devices);
void devices_reset(struct devices *devices);

/* done(data) is called when all are quiet, perhaps at once. Not again before devices_resume(). */
void devices_quiesce(struct devices *devices, void (*done)(void *data), void *data);

/* Nobody waits for that any more: done() is not called. */
void devices_forget_quiesce(struct devices *devices);

/*
 * Return: 0; -ENOTSUP with the names of all that cannot be saved in *failure; -EINVAL with what is
 * wrong with the state in *failure; -errno.
 */
int devices_save(struct devices *devices, struct state_writer *writer,
		 struct failure *failure) MUST_CHECK;
int devices_restore(struct devices *devices, struct state_reader *reader,
		    struct failure *failure) MUST_CHECK;

/*
 * The same of memory alone, while the guest runs, and before its contents are read; then
 * devices_restore() does it once more.
 */
int devices_save_memory(struct devices *devices, struct state_writer *writer) MUST_CHECK;
int devices_restore_memory(struct devices *devices, struct state_reader *reader,
			   struct failure *failure) MUST_CHECK;

/*
 * All descriptors of the devices, which they keep. Return: 0; -ENOTSUP: some cannot be handed over,
 * and *failure says why; -errno and *failure.
 */
int devices_hand_over(const struct devices *devices, struct handover *handover,
		      struct failure *failure) MUST_CHECK;

/*
 * Reports: what the devices add to the control socket's "status"; the parts "machine" and "devices"
 * of "inspect"; and "statistics".
 */
void devices_status(const struct devices *devices, struct json_object **tree);
void devices_inspect_machine(const struct devices *devices, struct json_object **tree);
void devices_inspect(const struct devices *devices, struct json_object **tree);
void devices_counters(const struct devices *devices, struct json_object **tree);

/* "ok", "lost" or "unknown". */
const char *devices_heartbeat(const struct devices *devices);
