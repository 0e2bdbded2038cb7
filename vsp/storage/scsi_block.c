/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reading, writing and flushing blocks.
 *
 * Data moves between the medium and the guest's own pages. What a CDB asks for must fit the
 * guest's buffer; a buffer that is larger is used in part.
 */
#include "vsp/iov.h"
#include "vsp/storage/scsi_unit.h"

#include <string.h>

#define START           0x01 /* START STOP UNIT, CDB byte 4 */
#define POWER_CONDITION 0xf0

void scsi_test_unit_ready(struct scsi_command *command)
{
	scsi_finish(command, 0);
}

/* ---- Capacity ---- */

void scsi_read_capacity_10(struct scsi_command *command)
{
	uint64_t last = scsi_unit_blocks(command->unit) - 1;
	uint8_t data[8];

	scsi_put_32(data, (uint32_t)MIN(last, (uint64_t)UINT32_MAX));
	scsi_put_32(data + 4, command->unit->disk->sector_size);
	scsi_reply(command, data, sizeof(data), sizeof(data));
}

void scsi_service_action_in(struct scsi_command *command)
{
	const struct disk *disk = command->unit->disk;
	uint32_t ratio = disk->physical_block_size / disk->sector_size;
	uint8_t data[32] = { 0 };

	if ((command->cdb[1] & 0x1f) != SCSI_READ_CAPACITY_16) {
		scsi_fail(command, SCSI_SENSE_INVALID_FIELD);
		return;
	}
	scsi_put_64(data, scsi_unit_blocks(command->unit) - 1);
	scsi_put_32(data + 8, disk->sector_size);
	data[13] = (uint8_t)MIN(31 - __builtin_clz(ratio), 15); /* power of two */
	if (disk->unmap)
		data[14] = 0x80; /* provisioning management */
	if (disk->unmap && disk->unmap_zeroes)
		data[14] |= 0x40; /* what is unmapped reads as zeros */
	scsi_reply(command, data, sizeof(data), scsi_get_32(command->cdb + 10));
}

/* ---- Reading and writing ---- */

static void scsi_transfer_done(struct disk_request *request, int result)
{
	struct scsi_command *command = container_of(request, struct scsi_command, request);

	scsi_finish_request(command, result, (uint32_t)request->size);
}

static void scsi_transfer(struct scsi_command *command, enum disk_operation operation)
{
	const struct scsi_unit *unit = command->unit;
	struct scsi_extent extent = scsi_cdb_extent(command->cdb);
	bool six = command->cdb[0] >> 5 == 0;
	uint64_t size;

	if (!six && (command->cdb[1] & SCSI_PROTECT_MASK)) {
		scsi_fail(command, SCSI_SENSE_INVALID_FIELD);
		return;
	}
	if (!scsi_extent_is_valid(unit, &extent)) {
		scsi_fail(command, SCSI_SENSE_LBA_RANGE);
		return;
	}
	size = extent.blocks * unit->disk->sector_size;
	if (size > command->transfer_length) {
		scsi_fail(command, SCSI_SENSE_INVALID_FIELD);
		return;
	}
	if (!size) {
		scsi_finish(command, 0);
		return;
	}
	command->request = (struct disk_request){
		.operation = operation,
		.durable = !unit->write_cache || (!six && (command->cdb[1] & SCSI_FORCE_ACCESS)),
		.offset = extent.lba * unit->disk->sector_size,
		.size = size,
		.iov = command->iov,
		.iov_count = iov_truncate(command->iov, command->iov_count, size),
		.complete = scsi_transfer_done,
	};
	scsi_submit(command);
}

void scsi_read(struct scsi_command *command)
{
	scsi_transfer(command, DISK_READ);
}

void scsi_write(struct scsi_command *command)
{
	scsi_transfer(command, DISK_WRITE);
}

/* ---- Flushing and stopping ---- */

void scsi_synchronize_cache(struct scsi_command *command)
{
	struct scsi_extent extent = scsi_cdb_extent(command->cdb);

	/* The whole disk is flushed, whichever part was asked for. */
	if (scsi_extent_is_valid(command->unit, &extent))
		scsi_flush(command);
	else
		scsi_fail(command, SCSI_SENSE_LBA_RANGE);
}

void scsi_start_stop(struct scsi_command *command)
{
	struct scsi_unit *unit = command->unit;

	if (unit->device_type == SCSI_DEVICE_CDROM) {
		dvd_start_stop(command);
		return;
	}
	if (command->cdb[4] & POWER_CONDITION) {
		scsi_finish(command, 0);
		return;
	}
	unit->stopped = !(command->cdb[4] & START);
	if (unit->stopped)
		scsi_flush(command);
	else
		scsi_finish(command, 0);
}
