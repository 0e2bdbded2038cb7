/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The synthetic devices of a machine: SCSI controllers with their disks and drives, network
 * adapters, and the integration services, as the definition has them, and as they come and go while
 * the guest runs.
 *
 * Thread: the loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/cleanup.h"
#include "common/base/json.h"
#include "common/base/loop.h"
#include "common/definition/definition.h"
#include "vmwp/base/failure.h"
#include "vmwp/device/adapters.h"
#include "vmwp/device/disk_health.h"
#include "vmwp/device/guest_addresses.h"
#include "vmwp/device/guest_memory.h"
#include "vmwp/device/guest_services.h"
#include "vmwp/resource/resources.h"
#include "vsp/ic/ic.h"
#include "vsp/vmbus/vmbus.h"

#include <stdbool.h>

struct devices;
struct storage_counters;

enum {
	_DEVICES_E_OK,
	DEVICES_E_TAKEN,   /* there is a disk at that place */
	DEVICES_E_ABSENT,  /* there is none */
	DEVICES_E_KIND,    /* not a DVD drive */
	DEVICES_E_LOCKED,  /* the guest has locked the medium in, and was asked to let go */
	DEVICES_E_REFUSED, /* the image, or the definition of the disk, will not do */
};

struct devices_callbacks {
	/* The guest's heartbeat is "ok", "lost" or "unknown" now. */
	void (*heartbeat)(void *data, const char *status);

	/* The guest took the medium out of a DVD drive. */
	void (*ejected)(void *data, unsigned controller, unsigned lun);

	/* The network behind an adapter has ended by itself. */
	void (*network_ended)(void *data, const char *adapter);

	/* As struct disk_healths_callbacks. */
	void (*disk_changed)(void *data, unsigned controller, unsigned lun,
			     struct json_object *report);
	void (*disk_pause)(void *data, const char *why);
	void (*disk_go_on)(void *data);
	void (*disk_stop)(void *data, const char *why);

	/* An adapter has come, or has another network than before; also during devices_new(). */
	void (*network_connected)(void *data, const char *adapter);
};

/* All pointers are borrowed; the disks' descriptors are taken from the resources. */
struct devices_config {
	struct vmbus *bus;
	const struct definition *definition;
	struct resources *resources;
	const struct devices_callbacks *callbacks;
	void *data;
};

/* Offers everything. Return: 0; -errno and *failure. */
int devices_new(const struct devices_config *config, struct devices **ret_devices,
		struct failure *failure) MUST_CHECK;

/* The machine has stopped. */
void devices_free(struct devices *devices);
DEFINE_CLEANUP(struct devices *, devices_free)

/* No guest has connected, and the loop runs on. */
void devices_discard(struct devices *devices);

struct adapters *devices_adapters(struct devices *devices);

/* How the disks are. */
struct disk_healths *devices_disks(struct devices *devices);

/*
 * While the vps do not run by our own doing, no heartbeat is missed. When they run again, what
 * disks hold is tried again.
 */
void devices_pause(struct devices *devices);
void devices_resume(struct devices *devices);

const char *devices_heartbeat(const struct devices *devices);

/* As ic_shutdown_request(), vsp/ic/ic.h; -ENOTCONN too if the definition has no such service. */
int devices_shut_down(struct devices *devices, enum ic_shutdown_action action, bool force,
		      void (*done)(void *data, int result), void *data) MUST_CHECK;

/*
 * Disks that come and go. fd: of the image, taken over, -1 for an empty drive. done, where there is
 * one, is called once the medium that leaves is closed, perhaps before returning; but only if 0 is
 * returned. Return: 0; DEVICES_E_, with *failure; -errno.
 */
int devices_attach(struct devices *devices, const struct definition_disk *disk, int fd,
		   struct failure *failure) MUST_CHECK;
int devices_detach(struct devices *devices, unsigned controller, unsigned lun,
		   void (*done)(void *data), void *data, struct failure *failure) MUST_CHECK;
int devices_insert(struct devices *devices, unsigned controller, unsigned lun, int fd,
		   void (*done)(void *data), void *data, struct failure *failure) MUST_CHECK;
int devices_eject(struct devices *devices, unsigned controller, unsigned lun, bool force,
		  void (*done)(void *data), void *data, struct failure *failure) MUST_CHECK;

/*
 * Another connection to the server of a disk's image, taken over; or there will be none. Return: as
 * above.
 */
int devices_reconnect(struct devices *devices, unsigned controller, unsigned lun, int fd,
		      struct failure *failure) MUST_CHECK;
int devices_give_up(struct devices *devices, unsigned controller, unsigned lun,
		    struct failure *failure) MUST_CHECK;

/* The sum of all controllers. */
void devices_storage_counters(const struct devices *devices, struct storage_counters *ret_counters);

/* Requests, errors and bytes of all controllers. New reference; NULL without memory. */
struct json_object *devices_counters(const struct devices *devices);

/* An array of the controllers as they are now. New reference; NULL without memory. */
struct json_object *devices_inspect_storage(const struct devices *devices);

/* Adds shutdown and heartbeat, as ic_service_inspect() has them, if they are offered. */
void devices_inspect_services(const struct devices *devices, struct json_object **tree);
