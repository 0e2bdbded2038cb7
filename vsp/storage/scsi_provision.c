/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Giving blocks back and filling them: UNMAP and WRITE SAME.
 *
 * UNMAP's descriptors are copied out of guest memory into a buffer, checked all together, and then
 * carried out one after the other. WRITE SAME of zeros is left to the disk; any other pattern is
 * repeated in a buffer that is written as often as needed.
 */
#include "vsp/iov.h"
#include "vsp/storage/scsi_unit.h"

#include <string.h>

#define ANCHOR_UNMAP          0x01 /* UNMAP, CDB byte 1 */
#define UNMAP_HEADER_SIZE     8
#define UNMAP_DESCRIPTOR_SIZE 16
#define WRITE_SAME_PROTECT    0xe0 /* WRITE SAME, CDB byte 1 */
#define WRITE_SAME_ANCHOR     0x10
#define WRITE_SAME_UNMAP      0x08
#define WRITE_SAME_OBSOLETE   0x06
#define WRITE_SAME_NO_DATA    0x01 /* 16 only: zeros */
#define SECTOR_SIZE_MAX       4096

_Static_assert(UNMAP_HEADER_SIZE + SCSI_UNMAP_DESCRIPTORS_MAX * UNMAP_DESCRIPTOR_SIZE <=
		       BUFFER_SIZE,
	       "the longest list fits a buffer");
_Static_assert(BUFFER_SIZE % SECTOR_SIZE_MAX == 0, "a buffer holds whole sectors");

/* ---- UNMAP ---- */

static struct scsi_extent unmap_descriptor(const struct scsi_command *command, unsigned index)
{
	const uint8_t *descriptor =
		command->buffer + UNMAP_HEADER_SIZE + index * UNMAP_DESCRIPTOR_SIZE;

	return (struct scsi_extent){ scsi_get_64(descriptor), scsi_get_32(descriptor + 8) };
}

/* Return: 0, or the sense to fail with. */
static uint32_t unmap_check(const struct scsi_command *command)
{
	const struct scsi_unit *unit = command->unit;
	uint64_t blocks = 0;

	if (command->count > SCSI_UNMAP_DESCRIPTORS_MAX)
		return SCSI_SENSE_INVALID_PARAMETER;
	for (unsigned i = 0; i < command->count; i++) {
		struct scsi_extent extent = unmap_descriptor(command, i);

		if (!scsi_extent_is_valid(unit, &extent))
			return SCSI_SENSE_LBA_RANGE;
		blocks += extent.blocks;
	}
	if (blocks > SCSI_UNMAP_BLOCKS_MAX)
		return SCSI_SENSE_INVALID_PARAMETER;
	return 0;
}

static void unmap_next(struct scsi_command *command);

static void unmap_done(struct disk_request *request, int result)
{
	struct scsi_command *command = container_of(request, struct scsi_command, request);

	if (result)
		scsi_finish_request(command, result, 0);
	else
		unmap_next(command);
}

static void unmap_next(struct scsi_command *command)
{
	const struct scsi_unit *unit = command->unit;
	uint32_t sector_size = unit->disk->sector_size;
	struct scsi_extent extent = { 0, 0 };

	while (command->index < command->count && !extent.blocks)
		extent = unmap_descriptor(command, command->index++);
	if (!extent.blocks) {
		scsi_finish(command, command->transferred);
		return;
	}
	command->request = (struct disk_request){
		.operation =
			unit->unmap_zeroes && !unit->disk->unmap_zeroes ? DISK_ZERO : DISK_UNMAP,
		.unmap = true,
		.offset = extent.lba * sector_size,
		.size = extent.blocks * sector_size,
		.complete = unmap_done,
	};
	scsi_submit(command);
}

static void unmap_start(struct scsi_command *command)
{
	uint16_t length = scsi_get_16(command->cdb + 7);
	uint32_t sense;

	command->transferred = (uint32_t)iov_copy_in(command->buffer, MIN(length, BUFFER_SIZE),
						     command->iov, command->iov_count);
	command->index = 0;
	command->count =
		(unsigned)MIN(scsi_get_16(command->buffer + 2), length - UNMAP_HEADER_SIZE) /
		UNMAP_DESCRIPTOR_SIZE;
	sense = unmap_check(command);
	if (sense)
		scsi_fail(command, sense);
	else
		unmap_next(command);
}

void scsi_unmap(struct scsi_command *command)
{
	uint16_t length = scsi_get_16(command->cdb + 7);

	if (!command->unit->disk->unmap)
		scsi_fail(command, SCSI_SENSE_INVALID_OPCODE);
	else if ((command->cdb[1] & ANCHOR_UNMAP) || length > command->transfer_length)
		scsi_fail(command, SCSI_SENSE_INVALID_FIELD);
	else if (!length)
		scsi_finish(command, 0);
	else if (length < UNMAP_HEADER_SIZE)
		scsi_fail(command, SCSI_SENSE_LIST_LENGTH);
	else
		scsi_with_buffer(command, unmap_start);
}

/* ---- WRITE SAME ---- */

static void write_same_step(struct scsi_command *command);

static void write_same_written(struct disk_request *request, int result)
{
	struct scsi_command *command = container_of(request, struct scsi_command, request);

	if (result) {
		scsi_finish_request(command, result, 0);
		return;
	}
	command->offset += request->size;
	command->left -= request->size;
	write_same_step(command);
}

static void write_same_step(struct scsi_command *command)
{
	if (command->left > 0)
		scsi_submit_piece(command, DISK_WRITE, write_same_written);
	else
		scsi_finish(command, command->transferred);
}

static void write_same_pattern(struct scsi_command *command)
{
	uint32_t sector_size = command->transferred;

	iov_copy_in(command->buffer, sector_size, command->iov, command->iov_count);
	for (size_t filled = sector_size; filled < BUFFER_SIZE; filled += sector_size)
		memcpy(command->buffer + filled, command->buffer, sector_size);
	write_same_step(command);
}

static void write_same_zeroed(struct disk_request *request, int result)
{
	struct scsi_command *command = container_of(request, struct scsi_command, request);

	if (!result && !command->unit->write_cache)
		scsi_flush(command);
	else
		scsi_finish_request(command, result, command->transferred);
}

static void write_same_zeros(struct scsi_command *command, bool unmap)
{
	command->request = (struct disk_request){
		.operation = DISK_ZERO,
		.unmap = unmap,
		.offset = command->offset,
		.size = command->left,
		.complete = write_same_zeroed,
	};
	scsi_submit(command);
}

static bool write_same_is_zero(const struct scsi_command *command, uint32_t sector_size)
{
	uint8_t sector[SECTOR_SIZE_MAX];

	iov_copy_in(sector, sector_size, command->iov, command->iov_count);
	return sector[0] == 0 && memcmp(sector, sector + 1, sector_size - 1) == 0;
}

/* Return: 0, or the sense to fail with. */
static uint32_t write_same_check(const struct scsi_command *command,
				 const struct scsi_extent *extent, bool no_data)
{
	const struct scsi_unit *unit = command->unit;
	uint32_t sector_size = unit->disk->sector_size;

	if (command->cdb[1] & (WRITE_SAME_PROTECT | WRITE_SAME_ANCHOR | WRITE_SAME_OBSOLETE))
		return SCSI_SENSE_INVALID_FIELD;
	if (!extent->blocks || extent->blocks > SCSI_WRITE_SAME_BYTES_MAX / sector_size)
		return SCSI_SENSE_INVALID_FIELD;
	if (!no_data && command->transfer_length != sector_size)
		return SCSI_SENSE_INVALID_FIELD;
	return scsi_extent_is_valid(unit, extent) ? 0 : SCSI_SENSE_LBA_RANGE;
}

void scsi_write_same(struct scsi_command *command)
{
	struct scsi_extent extent = scsi_cdb_extent(command->cdb);
	uint32_t sector_size = command->unit->disk->sector_size, sense;
	bool no_data =
		command->cdb[0] == SCSI_WRITE_SAME_16 && (command->cdb[1] & WRITE_SAME_NO_DATA);

	sense = write_same_check(command, &extent, no_data);
	if (sense) {
		scsi_fail(command, sense);
		return;
	}
	command->offset = extent.lba * sector_size;
	command->left = extent.blocks * sector_size;
	command->transferred = no_data ? 0 : sector_size;
	if (no_data || write_same_is_zero(command, sector_size))
		write_same_zeros(command, command->cdb[1] & WRITE_SAME_UNMAP);
	else
		scsi_with_buffer(command, write_same_pattern);
}
