/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Comparing what the medium has with what the guest sends: VERIFY, and COMPARE AND WRITE.
 *
 * COMPARE AND WRITE is one step for all who write: by its flag in the table, scsi_command.c runs it
 * when no other command of its unit writes, and holds the others back meanwhile.
 */
#include "vsp/iov.h"
#include "vsp/storage/scsi_unit.h"

#define BYTE_CHECK_MASK 0x06 /* CDB byte 1: BYTCHK */
#define BYTE_CHECK_DATA 0x02

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

/* ---- VERIFY: reads piece by piece into a buffer, and perhaps compares ---- */

static bool scsi_compares(const struct scsi_command *command)
{
	return (command->cdb[1] & BYTE_CHECK_MASK) == BYTE_CHECK_DATA;
}

static void scsi_verify_step(struct scsi_command *command);

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
	if (command->left > 0)
		scsi_submit_piece(command, DISK_READ, scsi_verify_read);
	else
		scsi_finish(command, command->transferred);
}

void scsi_verify(struct scsi_command *command)
{
	const struct scsi_unit *unit = command->unit;
	struct scsi_extent extent = scsi_cdb_extent(command->cdb);
	uint8_t check = command->cdb[1] & BYTE_CHECK_MASK;

	if ((command->cdb[1] & SCSI_PROTECT_MASK) || (check && check != BYTE_CHECK_DATA)) {
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

/* ---- COMPARE AND WRITE ---- */

static void compare_written(struct disk_request *request, int result)
{
	struct scsi_command *command = container_of(request, struct scsi_command, request);

	scsi_finish_request(command, result, 2 * (uint32_t)command->left);
}

static void compare_write(struct scsi_command *command)
{
	/* The guest's second half, copied: its pages may not be aligned as the medium asks. */
	iov_copy_in(command->buffer, command->left, command->iov, command->iov_count);
	command->buffer_iov.iov_base = command->buffer;
	command->buffer_iov.iov_len = command->left;
	command->request = (struct disk_request){
		.operation = DISK_WRITE,
		.durable = !command->unit->write_cache || (command->cdb[1] & SCSI_FORCE_ACCESS),
		.offset = command->offset,
		.size = command->left,
		.iov = &command->buffer_iov,
		.iov_count = 1,
		.complete = compare_written,
	};
	scsi_submit(command);
}

static void compare_read(struct disk_request *request, int result)
{
	struct scsi_command *command = container_of(request, struct scsi_command, request);
	size_t size = command->left, same;

	if (result) {
		scsi_finish_request(command, result, 0);
		return;
	}
	same = scsi_compare(command->buffer, size, command->iov, command->iov_count);
	if (same < size) {
		scsi_fail_at(command, SCSI_SENSE_MISCOMPARE, (uint32_t)same);
		return;
	}
	iov_consume(&command->iov, &command->iov_count, size);
	compare_write(command);
}

static void compare_start(struct scsi_command *command)
{
	command->buffer_iov.iov_base = command->buffer;
	command->buffer_iov.iov_len = command->left;
	command->request = (struct disk_request){
		.operation = DISK_READ,
		.offset = command->offset,
		.size = command->left,
		.iov = &command->buffer_iov,
		.iov_count = 1,
		.complete = compare_read,
	};
	scsi_submit(command);
}

void scsi_compare_and_write(struct scsi_command *command)
{
	const struct scsi_unit *unit = command->unit;
	struct scsi_extent extent = { scsi_get_64(command->cdb + 2), command->cdb[13] };

	if ((command->cdb[1] & SCSI_PROTECT_MASK) ||
	    extent.blocks > scsi_compare_blocks_max(unit)) {
		scsi_fail(command, SCSI_SENSE_INVALID_FIELD);
		return;
	}
	if (!scsi_extent_is_valid(unit, &extent)) {
		scsi_fail(command, SCSI_SENSE_LBA_RANGE);
		return;
	}
	command->offset = extent.lba * unit->disk->sector_size;
	command->left = extent.blocks * unit->disk->sector_size;
	/* Exactly, since 256 blocks look like none: what was not compared is not a success. */
	if (2 * command->left != command->transfer_length)
		scsi_fail(command, SCSI_SENSE_INVALID_FIELD);
	else if (!command->left)
		scsi_finish(command, 0);
	else
		scsi_with_buffer(command, compare_start);
}
