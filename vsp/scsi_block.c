/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reading, writing, verifying and flushing blocks.
 *
 * Data moves between the medium and the guest's own pages. What a CDB asks for must fit the
 * guest's buffer; a buffer that is larger is used in part.
 */
#include "vsp/iov.h"
#include "vsp/scsi_unit.h"

#include <string.h>

#define PROTECT_MASK    0xe0 /* CDB byte 1: RDPROTECT, WRPROTECT, VRPROTECT */
#define FORCE_ACCESS    0x08 /* CDB byte 1: FUA */
#define BYTE_CHECK_MASK 0x06 /* CDB byte 1: BYTCHK */
#define BYTE_CHECK_DATA 0x02
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
		data[14] = 0xc0; /* provisioning management; unmapped reads as zeros */
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

	if (!six && (command->cdb[1] & PROTECT_MASK)) {
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
		.durable = !unit->write_cache || (!six && (command->cdb[1] & FORCE_ACCESS)),
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

/* ---- Verifying: reads piece by piece into a buffer, and perhaps compares ---- */

static bool scsi_compares(const struct scsi_command *command)
{
	return (command->cdb[1] & BYTE_CHECK_MASK) == BYTE_CHECK_DATA;
}

static void scsi_verify_step(struct scsi_command *command);

/* Return: how many bytes are the same, from the first on. */
static size_t scsi_compare(const uint8_t *data, size_t size, const struct iovec *iov,
			   unsigned iov_count)
{
	size_t same = 0;

	for (unsigned i = 0; i < iov_count && same < size; i++) {
		const uint8_t *bytes = iov[i].iov_base;
		size_t length = MIN(iov[i].iov_len, size - same);

		for (size_t j = 0; j < length; j++, same++)
			if (bytes[j] != data[same])
				return same;
	}
	return same;
}

static void scsi_verify_read(struct disk_request *request, int result)
{
	struct scsi_command *command = container_of(request, struct scsi_command, request);
	size_t size = request->size, same = size;

	if (result) {
		scsi_finish_request(command, result, 0);
		return;
	}
	if (scsi_compares(command)) {
		same = scsi_compare(command->buffer, size, command->iov, command->iov_count);
		iov_consume(&command->iov, &command->iov_count, same);
		command->transferred += (uint32_t)same;
	}
	if (same < size) {
		scsi_fail_at(command, SCSI_SENSE_MISCOMPARE, command->transferred);
		return;
	}
	command->offset += size;
	command->left -= size;
	scsi_verify_step(command);
}

static void scsi_verify_step(struct scsi_command *command)
{
	if (!command->left) {
		scsi_finish(command, command->transferred);
		return;
	}
	command->buffer_iov.iov_base = command->buffer;
	command->buffer_iov.iov_len = MIN(command->left, (uint64_t)BUFFER_SIZE);
	command->request = (struct disk_request){
		.operation = DISK_READ,
		.offset = command->offset,
		.size = command->buffer_iov.iov_len,
		.iov = &command->buffer_iov,
		.iov_count = 1,
		.complete = scsi_verify_read,
	};
	scsi_submit(command);
}

void scsi_verify(struct scsi_command *command)
{
	const struct scsi_unit *unit = command->unit;
	struct scsi_extent extent = scsi_cdb_extent(command->cdb);
	uint8_t check = command->cdb[1] & BYTE_CHECK_MASK;

	if ((command->cdb[1] & PROTECT_MASK) || (check && check != BYTE_CHECK_DATA)) {
		scsi_fail(command, SCSI_SENSE_INVALID_FIELD);
		return;
	}
	if (!scsi_extent_is_valid(unit, &extent)) {
		scsi_fail(command, SCSI_SENSE_LBA_RANGE);
		return;
	}
	command->offset = extent.lba * unit->disk->sector_size;
	command->left = extent.blocks * unit->disk->sector_size;
	if (check && command->left > command->transfer_length) {
		scsi_fail(command, SCSI_SENSE_INVALID_FIELD);
		return;
	}
	scsi_with_buffer(command, scsi_verify_step);
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
