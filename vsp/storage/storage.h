/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Synthetic SCSI controllers: disks and DVD drives for a guest; and its IDE devices, one by one.
 *
 * A controller is one offer on the bus, with as many sub-channels as the guest asks for, one per
 * vp unless told otherwise. It holds up to STORAGE_LUN_MAX units, which come and go while the
 * guest runs. Media are opened by the caller: disk_file_new() and its like, vsp/storage/disk.h.
 *
 *	storage_controller_new(bus, &options, &controller);
 *	disk_file_new(loop, &image, 512, &disk);
 *	storage_attach(controller, 0, &(struct storage_unit){ .serial = "root" }, disk);
 *
 * At tear-down: vmbus_reset(), then storage_controller_free(), then vmbus_free().
 *
 * Thread: the loop's. The callbacks may call anything here but storage_controller_free().
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/cleanup.h"
#include "common/base/guid.h"
#include "vsp/storage/disk.h"
#include "vsp/storage/disk_changes.h"
#include "vsp/storage/disk_point.h"
#include "vsp/storage/nbd_handshake.h"
#include "vsp/storage/nbd_server.h"
#include "vsp/vmbus/vmbus.h"

#include <stdbool.h>
#include <stdint.h>

struct storage_controller;

#define STORAGE_LUN_MAX                64
#define STORAGE_SERIAL_MAX             36 /* bytes of printable ASCII */
#define STORAGE_SUB_CHANNELS_AUTOMATIC UINT16_MAX

enum {
	_STORAGE_E_OK,
	STORAGE_E_TAKEN,     /* there is a unit at that number */
	STORAGE_E_ABSENT,    /* there is no unit at that number */
	STORAGE_E_KIND,      /* not a DVD drive, or not a disk on a raw file */
	STORAGE_E_PREVENTED, /* the guest has locked the medium in; it was asked to let go */
	STORAGE_E_SERIAL,    /* too long, or not printable ASCII */
};

enum storage_kind {
	STORAGE_SCSI,

	/*
	 * One disk of an IDE channel, which guests that have drivers for VMBus use there, since they
	 * leave the channel's registers alone under Hyper-V. It is unit 0. The guest knows channel
	 * and device by the instance, which is storage_ide_instance().
	 */
	STORAGE_IDE,

	STORAGE_UNOFFERED, /* nothing on VMBus: there are only storage_packet_execute()'s commands */
};

struct storage_options {
	enum storage_kind kind;
	uint8_t ide_channel, ide_device; /* STORAGE_IDE */
	struct guid machine;             /* the VM's: part of what makes disks' names unique */
	struct guid instance;            /* the controller's, which the guest sees */
	const char *name;         /* for people; borrowed for the controller's life; optional */
	uint16_t sub_channel_max; /* besides the first; STORAGE_SUB_CHANNELS_AUTOMATIC: by vps */

	/* The guest took the medium out of a DVD drive. Optional. */
	void (*ejected)(void *data, unsigned lun);
	void *data;
};

struct storage_unit {
	bool dvd;
	const char *serial; /* NULL: derived from machine, controller and lun */
};

struct storage_counters {
	uint64_t commands, refused; /* refused: malformed packets and commands */
	unsigned in_flight;
	unsigned sub_channels;
	struct disk_counters disks; /* of all media, those that are gone too */
};

/* As the drivers of guests take it apart. */
struct guid storage_ide_instance(uint8_t channel, uint8_t device);

/* Offers a controller without units. Return: 0; -ENOSPC; -ENOMEM; -errno. */
int storage_controller_new(struct vmbus *bus, const struct storage_options *options,
			   struct storage_controller **ret_controller) MUST_CHECK;

/* Frees the units, too. Only after vmbus_reset() is done. Accepts NULL. */
void storage_controller_free(struct storage_controller *controller);
DEFINE_CLEANUP(struct storage_controller *, storage_controller_free)

/*
 * Attaches a disk, or a DVD drive with a medium or without (disk NULL). Takes over the disk where
 * it succeeds. Return: 0; STORAGE_E_TAKEN; STORAGE_E_SERIAL; -ENOMEM.
 */
int storage_attach(struct storage_controller *controller, unsigned lun,
		   const struct storage_unit *unit, struct disk *disk) MUST_CHECK;

/*
 * Takes a unit from the guest, at once. done(data), which may be NULL, is called when its last I/O
 * has ended and the medium is closed, perhaps before this returns. Return: 0; STORAGE_E_ABSENT.
 */
int storage_detach(struct storage_controller *controller, unsigned lun, void (*done)(void *data),
		   void *data) MUST_CHECK;

/*
 * Puts a medium into a DVD drive, in place of what may be there, or takes it out (disk NULL). Takes
 * over the disk where it succeeds. force: even though the guest has locked the tray. done: as for
 * storage_detach(), for the medium that leaves.
 * Return: 0; STORAGE_E_ABSENT; STORAGE_E_KIND; STORAGE_E_PREVENTED.
 */
int storage_change_medium(struct storage_controller *controller, unsigned lun, struct disk *disk,
			  bool force, void (*done)(void *data), void *data) MUST_CHECK;

/*
 * The vps have stopped, and the bus is quiet: done(data) is called when nothing is under way any
 * more, or at the latest after limit_ns, perhaps before this returns. From then on, and until
 * storage_controller_resume(), the guest is told of nothing.
 */
void storage_controller_quiesce(struct storage_controller *controller, uint64_t limit_ns,
				void (*done)(void *data), void *data);
void storage_controller_resume(struct storage_controller *controller);

/*
 * The state of a controller that is quiet, as a record of that name; and a controller that was just
 * made, with the same units, on a bus that was restored, becomes as that one was. Requests that the
 * disk has not answered go along, and are done once more by storage_controller_resume(): see to it
 * that the first time is over by then.
 * Return: 0; -EBUSY: one of these must not be done twice; STATE_E_ of common/base/state.h; -errno.
 */
struct state_reader;
struct state_writer;
int storage_controller_save(const struct storage_controller *controller, const char *name,
			    struct state_writer *writer) MUST_CHECK;
int storage_controller_restore(struct storage_controller *controller, const char *name,
			       const struct state_reader *reader) MUST_CHECK;

/* The machine was reset: all units are as at power on. For a controller that is not offered. */
void storage_power_on(struct storage_controller *controller);

/*
 * What the medium of a unit had in memory may be gone, as by a loss of power: the guest's next
 * command hears of that, and finds the unit as it is at power on.
 */
void storage_power_lost(struct storage_controller *controller, unsigned lun);

/*
 * The file of a disk may have become larger: if so, the guest is told, and finds its new size.
 * Return: 0; STORAGE_E_ABSENT; STORAGE_E_KIND; -errno.
 */
int storage_measure(struct storage_controller *controller, unsigned lun) MUST_CHECK;

/*
 * Of a controller that is quiet, with nothing under way to that unit's medium: the unit has that disk
 * from now on, which the guest sees nothing of. The one that it had is the caller's.
 */
void storage_replace_disk(struct storage_controller *controller, unsigned lun, struct disk *disk);

/* The medium of a unit; NULL if there is none. */
const struct disk *storage_disk(const struct storage_controller *controller, unsigned lun);

void storage_counters(const struct storage_controller *controller,
		      struct storage_counters *ret_counters);

/*
 * A command of 12 bytes for a unit, beside those that come over VMBus, as from an ATAPI drive: it may
 * read, and writes nothing. One at a time; its own state is its owner's.
 *
 * execute: buffer, borrowed until done(data) is called, perhaps before this returns; the outcome is
 * there then: the sense as key << 16 | code << 8 | qualifier, 0 if it went well, and the bytes that
 * were read. abandon: what can be cut short ends soon, or before this returns. free: of one that is
 * not under way; accepts NULL. Return: 0; -ENOMEM.
 */
#define STORAGE_PACKET_SIZE 12
struct storage_packet;
int storage_packet_new(void (*done)(void *data), void *data,
		       struct storage_packet **ret_packet) MUST_CHECK;
void storage_packet_free(struct storage_packet *packet);
void storage_packet_execute(struct storage_packet *packet, struct storage_controller *controller,
			    unsigned lun, const uint8_t cdb[static STORAGE_PACKET_SIZE],
			    void *buffer, uint32_t size);
void storage_packet_abandon(struct storage_packet *packet);
uint32_t storage_packet_sense(const struct storage_packet *packet);
uint32_t storage_packet_transferred(const struct storage_packet *packet);

/* The controller as it is now, as JSON. New reference; NULL without memory. */
struct json_object;
struct json_object *storage_inspect(const struct storage_controller *controller);
