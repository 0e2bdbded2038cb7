/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The target: 64 numbers with a unit or without.
 *
 * Linux scans eight paths of two targets each, all on this one controller. Where nothing is, an
 * INQUIRY must succeed and say that there is nothing, since the driver takes every INQUIRY for
 * successful; and REPORT LUNS must succeed with an empty list, which ends the scan at once
 * (drivers/scsi/storvsc_drv.c, drivers/scsi/scsi_scan.c).
 *
 * A guest finds out that a unit was removed when a command to it fails. If another unit took its
 * number before, the guest would go on as if it were the same disk. So a number whose unit the
 * guest has seen stays a ghost until the guest was told of the absence, and a unit attached there
 * meanwhile is hidden until then.
 */
#include "vsp/storage/scsi_unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BUFFER_COUNT 8

struct scsi_target {
	const struct scsi_target_callbacks *callbacks;
	void *data;
	struct buffer_pool *buffers;
	struct scsi_slot slots[SCSI_UNIT_MAX];
	struct disk_counters past; /* of units that have left */
};

int scsi_target_new(const struct scsi_target_callbacks *callbacks, void *data,
		    struct scsi_target **ret_target)
{
	struct scsi_target *target;
	int r;

	target = calloc(1, sizeof(*target));
	if (!target)
		return -ENOMEM;
	r = buffer_pool_new(BUFFER_COUNT, &target->buffers);
	if (r < 0) {
		free(target);
		return r;
	}
	target->callbacks = callbacks;
	target->data = data;
	*ret_target = target;
	return 0;
}

void scsi_target_free(struct scsi_target *target)
{
	if (!target)
		return;
	buffer_pool_free(target->buffers);
	free(target);
}

struct buffer_pool *scsi_target_buffers(struct scsi_target *target)
{
	return target->buffers;
}

/* ---- Units come and go ---- */

struct scsi_slot *scsi_target_slot(struct scsi_target *target, unsigned lun)
{
	return &target->slots[lun];
}

static struct scsi_unit *scsi_target_unit(const struct scsi_target *target, unsigned lun)
{
	return lun < SCSI_UNIT_MAX ? target->slots[lun].unit : NULL;
}

const struct disk *scsi_target_disk(const struct scsi_target *target, unsigned lun)
{
	struct scsi_unit *unit = scsi_target_unit(target, lun);

	return unit ? unit->disk : NULL;
}

static void scsi_unit_add_counters(const struct scsi_unit *unit, struct disk_counters *sum)
{
	disk_counters_add(sum, &unit->past);
	if (unit->disk)
		disk_counters_add(sum, &unit->disk->counters);
}

void scsi_target_counters(const struct scsi_target *target, struct disk_counters *ret_counters)
{
	*ret_counters = target->past;
	for (unsigned lun = 0; lun < SCSI_UNIT_MAX; lun++)
		if (target->slots[lun].unit)
			scsi_unit_add_counters(target->slots[lun].unit, ret_counters);
}

int scsi_target_attach(struct scsi_target *target, unsigned lun, uint8_t device_type,
		       const struct scsi_identity *identity, struct disk *disk)
{
	struct scsi_unit *unit;
	int r;

	if (scsi_target_unit(target, lun))
		return SCSI_E_TAKEN;
	r = scsi_unit_new(lun, device_type, identity, disk, &unit);
	if (r < 0)
		return r;
	target->slots[lun].unit = unit;
	target->callbacks->changed(target->data);
	return 0;
}

int scsi_target_detach(struct scsi_target *target, unsigned lun, void (*done)(void *data),
		       void *data)
{
	struct scsi_unit *unit = scsi_target_unit(target, lun);

	if (!unit)
		return SCSI_E_ABSENT;
	scsi_unit_add_counters(unit, &target->past);
	target->slots[lun].unit = NULL;
	target->slots[lun].ghost |= unit->seen;
	scsi_unit_retire(unit, done, data);
	target->callbacks->changed(target->data);
	return 0;
}

int scsi_target_change_medium(struct scsi_target *target, unsigned lun, struct disk *disk,
			      bool force, void (*done)(void *data), void *data)
{
	struct scsi_unit *unit = scsi_target_unit(target, lun);

	if (!unit)
		return SCSI_E_ABSENT;
	if (unit->device_type != SCSI_DEVICE_CDROM)
		return SCSI_E_KIND;
	if (unit->removal_prevented && unit->disk && !force) {
		unit->media_event = SCSI_MEDIA_EJECT_REQUEST;
		return SCSI_E_PREVENTED;
	}
	scsi_unit_set_medium(unit, disk, done, data);
	return 0;
}

int scsi_target_measure(struct scsi_target *target, unsigned lun)
{
	struct scsi_unit *unit = scsi_target_unit(target, lun);
	uint64_t before;
	int r;

	if (!unit)
		return SCSI_E_ABSENT;
	if (unit->device_type != SCSI_DEVICE_DISK)
		return SCSI_E_KIND;
	before = unit->disk->size;
	r = disk_measure(unit->disk);
	if (r < 0)
		return r == -ENOTSUP ? SCSI_E_KIND : r;
	if (unit->disk->size > before) {
		scsi_unit_set_larger(unit);
		target->callbacks->changed(target->data);
	}
	return 0;
}

/* What the guest has been told of unmapped sectors is true of them from now on, too. */
void scsi_target_replace_disk(struct scsi_target *target, unsigned lun, struct disk *disk)
{
	struct scsi_unit *unit = scsi_target_unit(target, lun);

	unit->unmap_zeroes |= unit->disk->unmap_zeroes;
	unit->disk = disk;
}

void scsi_target_ejected(struct scsi_target *target, struct scsi_unit *unit)
{
	target->callbacks->ejected(target->data, unit->lun);
}

void scsi_target_power_on(struct scsi_target *target)
{
	for (unsigned lun = 0; lun < SCSI_UNIT_MAX; lun++) {
		struct scsi_unit *unit = target->slots[lun].unit;

		target->slots[lun].ghost = false;
		if (!unit)
			continue;
		scsi_unit_power_on(unit);
		/* Its driver begins anew: it has nothing in mind that could be missing. */
		if (unit->disk)
			unit->disk->lost = false;
	}
}

void scsi_target_reset(struct scsi_target *target, int lun)
{
	for (unsigned i = 0; i < SCSI_UNIT_MAX; i++)
		if (target->slots[i].unit && (lun < 0 || i == (unsigned)lun))
			scsi_unit_reset(target->slots[i].unit);
}

/* ---- Commands ---- */

static bool scsi_target_is_here(const struct scsi_command *command)
{
	return command->path == 0 && command->target == 0;
}

/* The units that may be seen; none on other paths and targets. */
static void scsi_target_report_luns(const struct scsi_target *target, struct scsi_command *command)
{
	uint8_t data[8 + SCSI_UNIT_MAX * 8] = { 0 };
	size_t size = 8;

	for (unsigned lun = 0; lun < SCSI_UNIT_MAX && scsi_target_is_here(command); lun++) {
		if (!target->slots[lun].unit || target->slots[lun].ghost)
			continue;
		data[size + 1] = (uint8_t)lun; /* peripheral device addressing, SAM-5 4.7.7.2 */
		size += 8;
	}
	scsi_put_32(data, (uint32_t)(size - 8));
	scsi_reply(command, data, size, scsi_get_32(command->cdb + 6));
}

/* The guest was told that there is no unit: now it may see the one that has come since. */
static void scsi_target_exorcise(struct scsi_target *target, struct scsi_slot *slot)
{
	bool hidden = slot->ghost && slot->unit;

	slot->ghost = false;
	if (hidden)
		target->callbacks->changed(target->data);
}

static void scsi_target_answer_absent(struct scsi_target *target, struct scsi_slot *slot,
				      struct scsi_command *command)
{
	static const uint8_t inquiry[36] = {
		[0] = SCSI_DEVICE_ABSENT, [2] = 5, [3] = 2, [4] = sizeof(inquiry) - 5
	};
	/* A guest that has such a device asks for its pages, but not what it is. */
	bool believes = command->cdb[0] == SCSI_INQUIRY && (command->cdb[1] & 1);

	if (command->cdb[0] == SCSI_INQUIRY) {
		scsi_reply(command, inquiry, sizeof(inquiry), scsi_get_16(command->cdb + 3));
	} else {
		command->absent = true;
		scsi_fail(command, SCSI_SENSE_NO_UNIT);
	}
	/* The guest must hear of the absence first. */
	if (slot && !believes)
		scsi_target_exorcise(target, slot);
}

void scsi_target_execute(struct scsi_target *target, struct scsi_command *command)
{
	struct scsi_slot *slot = NULL;

	command->scsi_target = target;
	command->unit = NULL;
	command->buffer = NULL;
	command->absent = false;
	command->aborted = false;
	command->waiting = false;
	command->request.held = false;
	command->request.throttled = false;
	command->request.under_way = false;
	command->writing = false;
	list_init(&command->held);
	if (scsi_target_is_here(command) && command->lun < SCSI_UNIT_MAX)
		slot = &target->slots[command->lun];
	if (slot && slot->unit && !slot->ghost && command->cdb[0] != SCSI_REPORT_LUNS)
		scsi_unit_execute(slot->unit, command);
	else if (command->transfer_length && command->direction != SCSI_DATA_IN)
		scsi_fail(command, SCSI_SENSE_INVALID_FIELD);
	else if (command->cdb[0] == SCSI_REPORT_LUNS)
		scsi_target_report_luns(target, command);
	else
		scsi_target_answer_absent(target, slot, command);
}
