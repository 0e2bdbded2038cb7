/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * SCSI: a target with logical units, and the commands they understand.
 *
 * A unit is a disk or a DVD drive; its medium is a struct disk, which a drive may lack. A target
 * is what one storage controller shows: units 0 to 63 at path 0, target 0, and nothing anywhere
 * else, which also has to be answered in a certain way.
 *
 * A command is embedded in its owner's object, which is not to be touched until `complete` runs;
 * that may be before scsi_target_execute() returns. Every command completes.
 *
 * Sources: T10 SPC-4, SBC-3; MMC-6. What guests need beyond them: Linux drivers/scsi/sd.c,
 * drivers/scsi/sr.c, drivers/scsi/storvsc_drv.c.
 *
 * Thread: the loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/guid.h"
#include "common/wire/scsi.h"
#include "vsp/storage/buffer_pool.h"
#include "vsp/storage/disk.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

struct scsi_target;
struct scsi_unit;
struct scsi_handler;

#define SCSI_UNIT_MAX    64
#define SCSI_CDB_SIZE    16
#define SCSI_SERIAL_SIZE 37 /* with the NUL */

enum {
	_SCSI_E_OK,
	SCSI_E_TAKEN,     /* there is a unit at that number */
	SCSI_E_ABSENT,    /* there is no unit at that number */
	SCSI_E_KIND,      /* not a DVD drive, or not such a disk */
	SCSI_E_PREVENTED, /* the guest has locked the medium in; it was asked to let go */
};

enum scsi_direction { SCSI_DATA_NONE, SCSI_DATA_IN, SCSI_DATA_OUT };

struct scsi_command {
	/* Filled by the owner. */
	uint8_t path, target, lun;
	uint8_t cdb[SCSI_CDB_SIZE];
	uint8_t cdb_length;
	enum scsi_direction direction;
	uint32_t transfer_length; /* bytes of the guest's buffer */
	struct iovec *iov;        /* the buffer; the vector may be changed */
	unsigned iov_count;
	void (*complete)(struct scsi_command *command);

	/* The outcome. */
	bool absent;                    /* no unit there: the rest says nothing */
	uint8_t status;                 /* enum scsi_status */
	uint8_t sense[SCSI_SENSE_SIZE]; /* valid with SCSI_CHECK_CONDITION */
	uint32_t transferred;           /* bytes */

	/* The unit's, until `complete`. */
	struct scsi_target *scsi_target;
	struct scsi_unit *unit;
	const struct scsi_handler *handler;
	unsigned medium_generation;
	bool aborted, waiting; /* waiting: for a buffer */
	bool writing;          /* it counts among its unit's writing commands */
	struct list held;      /* in unit->held */
	struct disk_request request;
	void (*step)(struct scsi_command *command);
	struct buffer_waiter waiter;
	uint8_t *buffer;
	struct iovec buffer_iov;
	uint64_t offset, left; /* bytes: where the next step works, and how much there is to do */
	unsigned index, count; /* of unmap descriptors */
};

/* What the target tells its owner. All required. */
struct scsi_target_callbacks {
	/* The units are not what they were: the guest should look again. */
	void (*changed)(void *data);

	/* The guest took the medium out of a DVD drive. */
	void (*ejected)(void *data, unsigned lun);
};

/* Who a unit is, in pages 80 and 83 of its vital product data. */
struct scsi_identity {
	struct guid machine;           /* sets apart equal serial numbers on different machines */
	char serial[SCSI_SERIAL_SIZE]; /* printable ASCII */
};

/* Fills in the serial number of a unit that was given none. */
void scsi_identity_derive(struct scsi_identity *identity, const struct guid *controller,
			  unsigned lun);

int scsi_target_new(const struct scsi_target_callbacks *callbacks, void *data,
		    struct scsi_target **ret_target) MUST_CHECK;

/* Every unit must have been detached, and that be done. Accepts NULL. */
void scsi_target_free(struct scsi_target *target);

/*
 * Puts a disk or a DVD drive at a number; disk may be NULL for a drive. Takes over the disk where
 * it succeeds. Return: 0; SCSI_E_TAKEN; -ENOMEM.
 */
int scsi_target_attach(struct scsi_target *target, unsigned lun, uint8_t device_type,
		       const struct scsi_identity *identity, struct disk *disk) MUST_CHECK;

/*
 * Takes a unit away. The guest finds it absent at once; done(data), which may be NULL, is called
 * when the commands under way have ended and the disk is closed, perhaps before this returns.
 * Return: 0; SCSI_E_ABSENT.
 */
int scsi_target_detach(struct scsi_target *target, unsigned lun, void (*done)(void *data),
		       void *data) MUST_CHECK;

/*
 * Puts another medium into a DVD drive, in place of what is there, or none (disk NULL). Takes over
 * the disk where it succeeds. done: as above, for the medium that leaves.
 * Return: 0; SCSI_E_ABSENT; SCSI_E_KIND; SCSI_E_PREVENTED unless forced.
 */
int scsi_target_change_medium(struct scsi_target *target, unsigned lun, struct disk *disk,
			      bool force, void (*done)(void *data), void *data) MUST_CHECK;

/*
 * The file of a disk may have become larger: then the guest is told. Return: 0; SCSI_E_ABSENT;
 * SCSI_E_KIND: it is no disk of which disk_measure() can tell; -errno.
 */
int scsi_target_measure(struct scsi_target *target, unsigned lun) MUST_CHECK;

/* Of a unit with a medium, none of whose commands is under way: it has that disk in its place. */
void scsi_target_replace_disk(struct scsi_target *target, unsigned lun, struct disk *disk);

/* The medium of a unit, or NULL. */
const struct disk *scsi_target_disk(const struct scsi_target *target, unsigned lun);

/* Of all media of all units, those that are gone too. */
void scsi_target_counters(const struct scsi_target *target, struct disk_counters *ret_counters);

/* A guest takes over a target that is idle: everything is as after power on. */
void scsi_target_power_on(struct scsi_target *target);

/* Bus or unit reset. lun: which unit, or -1 for all; it has no commands. */
void scsi_target_reset(struct scsi_target *target, int lun);

void scsi_target_execute(struct scsi_target *target, struct scsi_command *command);

/*
 * Cuts a command short that is being executed. One that waits for a buffer ends before this
 * returns. One that works in steps ends when the disk is done with the one that is under way; any
 * other runs its course.
 */
void scsi_command_abort(struct scsi_command *command);

/* Within `complete`: the owner could not pass on the sense data, REQUEST SENSE will. */
void scsi_command_keep_sense(struct scsi_command *command);

/* Whether a command that may have been done can be done once more, and come to the same. */
bool scsi_command_is_repeatable(const struct scsi_command *command);

/*
 * What the guest did to the units, as a part of its controller's record; and the same units here
 * become as those were. Return: 0; STATE_E_INVALID of common/base/state.h: also where another unit is
 * here, or another medium.
 */
struct state_record;
struct state_writer;
uint32_t scsi_target_unit_count(const struct scsi_target *target);
void scsi_target_save(const struct scsi_target *target, struct state_writer *writer);
int scsi_target_restore(struct scsi_target *target, struct state_record *record,
			uint32_t count) MUST_CHECK;

/* The pool behind the commands' buffers; for tests. */
struct buffer_pool *scsi_target_buffers(struct scsi_target *target);
