/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * From a command descriptor block to its handler, and from there to status and sense.
 *
 * The table says what each operation code needs; whatever is not in it is an illegal request. The
 * checks come in the order of SPC-4 5.5: is there such a command, is there a unit attention to
 * report first, is the CDB whole, does the data go the right way, is there a medium.
 *
 * A command that must be alone with the medium waits until no other writes, and those that come
 * after it, and write, wait for it; they start in the order they came.
 */
#include "vsp/iov.h"
#include "vsp/storage/scsi_unit.h"

#include <errno.h>
#include <string.h>

#define ALL (SCSI_FOR_DISK | SCSI_FOR_CDROM)

static const struct scsi_handler scsi_handlers[256] = {
	[SCSI_TEST_UNIT_READY] = { "TEST UNIT READY", 6, ALL | SCSI_NEEDS_MEDIUM,
				   scsi_test_unit_ready },
	[SCSI_REQUEST_SENSE] = { "REQUEST SENSE", 6, ALL | SCSI_SENDS | SCSI_DESPITE_CHANGE,
				 scsi_request_sense },
	[SCSI_INQUIRY] = { "INQUIRY", 6, ALL | SCSI_SENDS | SCSI_DESPITE_CHANGE, scsi_inquiry },
	[SCSI_MODE_SENSE_6] = { "MODE SENSE(6)", 6, ALL | SCSI_SENDS, scsi_mode_sense },
	[SCSI_MODE_SENSE_10] = { "MODE SENSE(10)", 10, ALL | SCSI_SENDS, scsi_mode_sense },
	[SCSI_MODE_SELECT_6] = { "MODE SELECT(6)", 6, SCSI_FOR_DISK | SCSI_TAKES,
				 scsi_mode_select },
	[SCSI_MODE_SELECT_10] = { "MODE SELECT(10)", 10, SCSI_FOR_DISK | SCSI_TAKES,
				  scsi_mode_select },

	[SCSI_MAINTENANCE_IN] = { "MAINTENANCE IN", 12, SCSI_FOR_DISK | SCSI_SENDS,
				  scsi_maintenance_in },

	[SCSI_READ_CAPACITY_10] = { "READ CAPACITY(10)", 10, ALL | SCSI_NEEDS_MEDIUM | SCSI_SENDS,
				    scsi_read_capacity_10 },
	[SCSI_SERVICE_ACTION_IN_16] = { "SERVICE ACTION IN(16)", 16,
					SCSI_FOR_DISK | SCSI_NEEDS_MEDIUM | SCSI_SENDS,
					scsi_service_action_in },
	[SCSI_READ_6] = { "READ(6)", 6, SCSI_FOR_DISK | SCSI_NEEDS_MEDIUM | SCSI_SENDS, scsi_read },
	[SCSI_READ_10] = { "READ(10)", 10, ALL | SCSI_NEEDS_MEDIUM | SCSI_SENDS, scsi_read },
	[SCSI_READ_12] = { "READ(12)", 12, ALL | SCSI_NEEDS_MEDIUM | SCSI_SENDS, scsi_read },
	[SCSI_READ_16] = { "READ(16)", 16, SCSI_FOR_DISK | SCSI_NEEDS_MEDIUM | SCSI_SENDS,
			   scsi_read },
	[SCSI_WRITE_6] = { "WRITE(6)", 6,
			   SCSI_FOR_DISK | SCSI_NEEDS_MEDIUM | SCSI_WRITES | SCSI_TAKES,
			   scsi_write },
	[SCSI_WRITE_10] = { "WRITE(10)", 10,
			    SCSI_FOR_DISK | SCSI_NEEDS_MEDIUM | SCSI_WRITES | SCSI_TAKES,
			    scsi_write },
	[SCSI_WRITE_12] = { "WRITE(12)", 12,
			    SCSI_FOR_DISK | SCSI_NEEDS_MEDIUM | SCSI_WRITES | SCSI_TAKES,
			    scsi_write },
	[SCSI_WRITE_16] = { "WRITE(16)", 16,
			    SCSI_FOR_DISK | SCSI_NEEDS_MEDIUM | SCSI_WRITES | SCSI_TAKES,
			    scsi_write },
	[SCSI_COMPARE_AND_WRITE] = { "COMPARE AND WRITE", 16,
				     SCSI_FOR_DISK | SCSI_NEEDS_MEDIUM | SCSI_WRITES | SCSI_TAKES |
					     SCSI_EXCLUSIVE,
				     scsi_compare_and_write },
	[SCSI_VERIFY_10] = { "VERIFY(10)", 10, ALL | SCSI_NEEDS_MEDIUM | SCSI_TAKES, scsi_verify },
	[SCSI_VERIFY_16] = { "VERIFY(16)", 16, SCSI_FOR_DISK | SCSI_NEEDS_MEDIUM | SCSI_TAKES,
			     scsi_verify },
	[SCSI_SYNCHRONIZE_CACHE_10] = { "SYNCHRONIZE CACHE(10)", 10,
					SCSI_FOR_DISK | SCSI_NEEDS_MEDIUM, scsi_synchronize_cache },
	[SCSI_SYNCHRONIZE_CACHE_16] = { "SYNCHRONIZE CACHE(16)", 16,
					SCSI_FOR_DISK | SCSI_NEEDS_MEDIUM, scsi_synchronize_cache },
	[SCSI_UNMAP] = { "UNMAP", 10, SCSI_FOR_DISK | SCSI_NEEDS_MEDIUM | SCSI_WRITES | SCSI_TAKES,
			 scsi_unmap },
	[SCSI_WRITE_SAME_10] = { "WRITE SAME(10)", 10,
				 SCSI_FOR_DISK | SCSI_NEEDS_MEDIUM | SCSI_WRITES | SCSI_TAKES,
				 scsi_write_same },
	[SCSI_WRITE_SAME_16] = { "WRITE SAME(16)", 16,
				 SCSI_FOR_DISK | SCSI_NEEDS_MEDIUM | SCSI_WRITES | SCSI_TAKES,
				 scsi_write_same },

	[SCSI_START_STOP_UNIT] = { "START STOP UNIT", 6, ALL, scsi_start_stop },
	[SCSI_PREVENT_ALLOW_MEDIUM_REMOVAL] = { "PREVENT ALLOW MEDIUM REMOVAL", 6, SCSI_FOR_CDROM,
						dvd_prevent_removal },
	[SCSI_READ_TOC] = { "READ TOC", 10, SCSI_FOR_CDROM | SCSI_NEEDS_MEDIUM | SCSI_SENDS,
			    dvd_read_toc },
	[SCSI_GET_CONFIGURATION] = { "GET CONFIGURATION", 10,
				     SCSI_FOR_CDROM | SCSI_SENDS | SCSI_DESPITE_CHANGE,
				     dvd_get_configuration },
	[SCSI_GET_EVENT_STATUS_NOTIFICATION] = { "GET EVENT STATUS NOTIFICATION", 10,
						 SCSI_FOR_CDROM | SCSI_SENDS | SCSI_DESPITE_CHANGE,
						 dvd_get_event_status },
	[SCSI_READ_DISC_INFORMATION] = { "READ DISC INFORMATION", 10,
					 SCSI_FOR_CDROM | SCSI_NEEDS_MEDIUM | SCSI_SENDS,
					 dvd_read_disc_information },
	[SCSI_READ_TRACK_INFORMATION] = { "READ TRACK INFORMATION", 10,
					  SCSI_FOR_CDROM | SCSI_NEEDS_MEDIUM | SCSI_SENDS,
					  dvd_read_track_information },
};

/* ---- The end of a command ---- */

static void scsi_write_ended(struct scsi_unit *unit);

static void scsi_complete(struct scsi_command *command)
{
	struct scsi_target *target = command->scsi_target;
	struct scsi_unit *unit = command->unit;
	void *buffer = command->buffer;
	bool writing = command->writing;

	/* Afterwards the command may be gone. */
	command->complete(command);
	if (buffer)
		buffer_pool_put(scsi_target_buffers(target), buffer);
	if (writing)
		scsi_write_ended(unit);
	if (unit)
		scsi_unit_release(unit);
}

void scsi_finish(struct scsi_command *command, uint32_t transferred)
{
	command->status = SCSI_GOOD;
	command->transferred = transferred;
	scsi_complete(command);
}

void scsi_format_sense(uint32_t sense, uint8_t data[SCSI_SENSE_SIZE])
{
	memset(data, 0, SCSI_SENSE_SIZE);
	data[0] = SCSI_SENSE_CURRENT_FIXED;
	data[2] = (uint8_t)(sense >> 16);
	data[7] = SCSI_SENSE_SIZE - 8;
	data[12] = (uint8_t)(sense >> 8);
	data[13] = (uint8_t)sense;
}

void scsi_fail(struct scsi_command *command, uint32_t sense)
{
	command->status = SCSI_CHECK_CONDITION;
	command->transferred = 0;
	scsi_format_sense(sense, command->sense);
	scsi_complete(command);
}

void scsi_fail_at(struct scsi_command *command, uint32_t sense, uint32_t information)
{
	command->status = SCSI_CHECK_CONDITION;
	command->transferred = 0;
	scsi_format_sense(sense, command->sense);
	command->sense[0] |= SCSI_SENSE_INFORMATION;
	scsi_put_32(command->sense + 3, information);
	scsi_complete(command);
}

static void scsi_fail_busy(struct scsi_command *command)
{
	command->status = SCSI_BUSY;
	command->transferred = 0;
	scsi_complete(command);
}

static uint32_t scsi_sense_of_error(enum disk_operation operation, int error)
{
	static const struct {
		int error;
		uint32_t sense;
	} senses[] = {
		{ -ENOSPC, SCSI_SENSE_SPACE_ALLOCATION }, { -EDQUOT, SCSI_SENSE_SPACE_ALLOCATION },
		{ -EFBIG, SCSI_SENSE_SPACE_ALLOCATION },  { -EROFS, SCSI_SENSE_WRITE_PROTECTED },
		{ -EPERM, SCSI_SENSE_WRITE_PROTECTED },   { -ENXIO, SCSI_SENSE_TARGET_FAILURE },
		{ -ENODEV, SCSI_SENSE_TARGET_FAILURE },   { -ESTALE, SCSI_SENSE_TARGET_FAILURE },
		{ -ENOLINK, SCSI_SENSE_TARGET_FAILURE },  { -ETIMEDOUT, SCSI_SENSE_TARGET_FAILURE },
		{ -ECANCELED, SCSI_SENSE_ABORTED },
	};

	for (size_t i = 0; i < ARRAY_SIZE(senses); i++)
		if (senses[i].error == error)
			return senses[i].sense;
	return operation == DISK_READ ? SCSI_SENSE_READ_ERROR : SCSI_SENSE_WRITE_ERROR;
}

void scsi_finish_request(struct scsi_command *command, int result, uint32_t transferred)
{
	if (!result)
		scsi_finish(command, transferred);
	else if (result == -ENOMEM)
		scsi_fail_busy(command);
	else
		scsi_fail(command, scsi_sense_of_error(command->request.operation, result));
}

void scsi_reply(struct scsi_command *command, const void *data, size_t size,
		uint32_t allocation_length)
{
	uint32_t room = MIN(allocation_length, command->transfer_length);
	size_t sent = iov_copy_out(command->iov, command->iov_count, data, MIN(size, (size_t)room));

	scsi_finish(command, (uint32_t)sent);
}

void scsi_command_keep_sense(struct scsi_command *command)
{
	if (command->unit && command->status == SCSI_CHECK_CONDITION)
		command->unit->kept_sense =
			SCSI_SENSE(command->sense[2], command->sense[12], command->sense[13]);
}

/* ---- Its way there ---- */

void scsi_submit(struct scsi_command *command)
{
	struct scsi_unit *unit = command->unit;

	if (UNLIKELY(unit->retiring || command->medium_generation != unit->medium_generation)) {
		scsi_fail(command, SCSI_SENSE_NO_MEDIUM);
		return;
	}
	if (UNLIKELY(command->aborted)) {
		scsi_fail(command, SCSI_SENSE_ABORTED);
		return;
	}
	command->request.buffers = scsi_target_buffers(command->scsi_target);
	disk_submit(unit->disk, &command->request);
}

static void scsi_buffer_ready(struct buffer_waiter *waiter, void *buffer)
{
	struct scsi_command *command = container_of(waiter, struct scsi_command, waiter);

	command->waiting = false;
	command->buffer = buffer;
	command->step(command);
}

void scsi_with_buffer(struct scsi_command *command, void (*step)(struct scsi_command *command))
{
	command->step = step;
	command->waiter.ready = scsi_buffer_ready;
	command->waiting = true;
	buffer_pool_get(scsi_target_buffers(command->scsi_target), &command->waiter);
}

void scsi_command_abort(struct scsi_command *command)
{
	command->aborted = true;
	disk_abandon(&command->request);
	if (command->waiting) {
		command->waiting = false;
		buffer_pool_leave(&command->waiter);
		scsi_fail(command, SCSI_SENSE_ABORTED);
	} else if (!list_empty(&command->held)) {
		list_unlink(&command->held);
		scsi_fail(command, SCSI_SENSE_ABORTED);
	}
}

static void scsi_flushed(struct disk_request *request, int result)
{
	struct scsi_command *command = container_of(request, struct scsi_command, request);
	struct disk *disk = request->disk;

	/* What it has not written the host's kernel forgets, and the next flush would succeed. */
	if (UNLIKELY(result && result != -ECANCELED && result != -ENOMEM &&
		     !disk->flush_is_repeatable))
		disk->lost = true;
	scsi_finish_request(command, result, command->transferred);
}

void scsi_flush(struct scsi_command *command)
{
	command->request = (struct disk_request){
		.operation = DISK_FLUSH,
		.complete = scsi_flushed,
	};
	scsi_submit(command);
}

/* Return: 0, or the sense to fail with. */
static uint32_t scsi_check(struct scsi_unit *unit, const struct scsi_command *command)
{
	const struct scsi_handler *handler = command->handler;
	enum scsi_direction direction = handler->flags & SCSI_SENDS   ? SCSI_DATA_IN
					: handler->flags & SCSI_TAKES ? SCSI_DATA_OUT
								      : SCSI_DATA_NONE;

	if (UNLIKELY(unit->attentions && !(handler->flags & SCSI_DESPITE_CHANGE)))
		return scsi_unit_take_attention(unit);
	if (command->cdb_length < handler->cdb_length)
		return SCSI_SENSE_INVALID_FIELD;
	if (command->transfer_length && direction != SCSI_DATA_NONE &&
	    command->direction != direction)
		return SCSI_SENSE_INVALID_FIELD;
	if (handler->flags & SCSI_NEEDS_MEDIUM) {
		if (!unit->disk)
			return SCSI_SENSE_NO_MEDIUM;
		if (unit->stopped)
			return SCSI_SENSE_STOPPED;
		if ((handler->flags & SCSI_WRITES) && unit->disk->read_only)
			return SCSI_SENSE_WRITE_PROTECTED;
	}
	return 0;
}

static const struct scsi_handler *scsi_find_handler(const struct scsi_unit *unit, uint8_t opcode)
{
	const struct scsi_handler *handler = &scsi_handlers[opcode];
	unsigned kind = unit->device_type == SCSI_DEVICE_DISK ? SCSI_FOR_DISK : SCSI_FOR_CDROM;

	return handler->flags & kind ? handler : NULL;
}

bool scsi_unit_has_command(const struct scsi_unit *unit, uint8_t opcode)
{
	/* The target's, whatever its units are. */
	if (opcode == SCSI_REPORT_LUNS)
		return true;
	if (opcode == SCSI_UNMAP && !(unit->disk && unit->disk->unmap))
		return false;
	return scsi_find_handler(unit, opcode) != NULL;
}

/* ---- One at a time ---- */

static bool scsi_may_start(const struct scsi_unit *unit, const struct scsi_command *command)
{
	return command->handler->flags & SCSI_EXCLUSIVE ? !unit->writing : !unit->exclusive;
}

static void scsi_start(struct scsi_unit *unit, struct scsi_command *command)
{
	command->writing = true;
	unit->writing++;
	unit->exclusive = command->handler->flags & SCSI_EXCLUSIVE;
	command->handler->execute(command);
}

static void scsi_start_held(struct scsi_unit *unit)
{
	/* One that ends at once comes back here: the loop goes on with the next. */
	if (unit->starting)
		return;
	unit->starting = true;
	while (!list_empty(&unit->held)) {
		struct scsi_command *command =
			container_of(unit->held.next, struct scsi_command, held);

		if (!scsi_may_start(unit, command))
			break;
		list_unlink(&command->held);
		scsi_start(unit, command);
	}
	unit->starting = false;
}

static void scsi_write_ended(struct scsi_unit *unit)
{
	unit->writing--;
	unit->exclusive = false;
	scsi_start_held(unit);
}

void scsi_unit_execute(struct scsi_unit *unit, struct scsi_command *command)
{
	uint32_t sense;

	unit->in_flight++;
	unit->seen = true;
	command->unit = unit;
	command->transferred = 0;
	command->medium_generation = unit->medium_generation;
	if (UNLIKELY(unit->kept_sense) && command->cdb[0] != SCSI_REQUEST_SENSE)
		unit->kept_sense = SCSI_SENSE_NONE;
	command->handler = scsi_find_handler(unit, command->cdb[0]);
	if (!command->handler) {
		scsi_fail(command, SCSI_SENSE_INVALID_OPCODE);
		return;
	}
	sense = scsi_check(unit, command);
	if (UNLIKELY(sense)) {
		scsi_fail(command, sense);
		return;
	}
	if (!(command->handler->flags & SCSI_WRITES))
		command->handler->execute(command);
	else if (LIKELY(list_empty(&unit->held) && scsi_may_start(unit, command)))
		scsi_start(unit, command);
	else
		list_append(&unit->held, &command->held);
}

/* ---- Fields ---- */

struct scsi_extent scsi_cdb_extent(const uint8_t *cdb)
{
	struct scsi_extent extent = { 0, 0 };

	/* The group code tells the length. SPC-4 4.2.5.1 */
	switch (cdb[0] >> 5) {
	case 0:
		extent.lba = scsi_get_24(cdb + 1) & 0x1fffff;
		extent.blocks = cdb[4] ? cdb[4] : 256;
		break;
	case 1:
	case 2:
		extent.lba = scsi_get_32(cdb + 2);
		extent.blocks = scsi_get_16(cdb + 7);
		break;
	case 4:
		extent.lba = scsi_get_64(cdb + 2);
		extent.blocks = scsi_get_32(cdb + 10);
		break;
	case 5:
		extent.lba = scsi_get_32(cdb + 2);
		extent.blocks = scsi_get_32(cdb + 6);
		break;
	}
	return extent;
}

bool scsi_extent_is_valid(const struct scsi_unit *unit, const struct scsi_extent *extent)
{
	uint64_t blocks = scsi_unit_blocks(unit);

	return extent->lba <= blocks && extent->blocks <= blocks - extent->lba;
}
