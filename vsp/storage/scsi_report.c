/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * REPORT SUPPORTED OPERATION CODES: which commands a disk knows, and which bits of their CDBs.
 *
 * The table has all commands of disks; scsi_unit_has_command() says whether this one has them. Its
 * masks are the CDB usage data of SPC-4 6.35.3: the operation code, the service action where there
 * is one, and a bit set for each that is looked at.
 */
#include "vsp/storage/scsi_unit.h"

#include <string.h>

#define SERVICE_ACTION_MASK 0x1f
#define RETURN_TIMEOUTS     0x80 /* CDB byte 2: RCTD */
#define OPTIONS_MASK        0x07
#define DESCRIPTOR_SIZE     8
#define TIMEOUTS_SIZE       12
#define HAS_TIMEOUTS        0x02 /* of a descriptor, byte 5: CTDP */
#define HAS_SERVICE_ACTION  0x01 /* SERVACTV */
#define ONE_HAS_TIMEOUTS    0x80 /* of one command, byte 1: CTDP */
#define NOT_SUPPORTED       0x01
#define SUPPORTED           0x03 /* as the standard says */
#define COMMANDS_MAX        40

enum report_options {
	REPORT_ALL,
	REPORT_CODE,           /* of a command without service actions */
	REPORT_SERVICE_ACTION, /* of one that has them */
	REPORT_EITHER,
};

#define LBA_4  0xff, 0xff, 0xff, 0xff
#define LBA_8  LBA_4, LBA_4
#define SIZE_2 0xff, 0xff
#define SIZE_4 0xff, 0xff, 0xff, 0xff
#define NONE_4 0, 0, 0, 0

static const struct reported {
	uint8_t cdb_length;
	bool has_service_action;
	uint8_t usage[SCSI_CDB_SIZE];
} reported[] = {
	{ 6, false, { SCSI_TEST_UNIT_READY } },
	{ 6, false, { SCSI_REQUEST_SENSE, 0, 0, 0, 0xff } },
	{ 6, false, { SCSI_READ_6, 0x1f, 0xff, 0xff, 0xff } },
	{ 6, false, { SCSI_WRITE_6, 0x1f, 0xff, 0xff, 0xff } },
	{ 6, false, { SCSI_INQUIRY, 0x01, 0xff, 0xff, 0xff } },
	{ 6, false, { SCSI_MODE_SELECT_6, 0x10, 0, 0, 0xff } },
	{ 6, false, { SCSI_MODE_SENSE_6, 0x08, 0xff, 0xff, 0xff } },
	{ 6, false, { SCSI_START_STOP_UNIT, 0x01, 0, 0, 0xf1 } },
	{ 10, false, { SCSI_READ_CAPACITY_10 } },
	{ 10, false, { SCSI_READ_10, 0x18, LBA_4, 0, SIZE_2 } },
	{ 10, false, { SCSI_WRITE_10, 0x18, LBA_4, 0, SIZE_2 } },
	{ 10, false, { SCSI_VERIFY_10, 0x12, LBA_4, 0, SIZE_2 } },
	{ 10, false, { SCSI_SYNCHRONIZE_CACHE_10, 0x02, LBA_4, 0, SIZE_2 } },
	{ 10, false, { SCSI_WRITE_SAME_10, 0x08, LBA_4, 0, SIZE_2 } },
	{ 10, false, { SCSI_UNMAP, 0, NONE_4, 0, SIZE_2 } },
	{ 10, false, { SCSI_MODE_SELECT_10, 0x10, NONE_4, 0, SIZE_2 } },
	{ 10, false, { SCSI_MODE_SENSE_10, 0x08, 0xff, 0xff, 0, 0, 0, SIZE_2 } },
	{ 16, false, { SCSI_READ_16, 0x18, LBA_8, SIZE_4 } },
	{ 16, false, { SCSI_COMPARE_AND_WRITE, 0x18, LBA_8, 0, 0, 0, 0xff } },
	{ 16, false, { SCSI_WRITE_16, 0x18, LBA_8, SIZE_4 } },
	{ 16, false, { SCSI_VERIFY_16, 0x12, LBA_8, SIZE_4 } },
	{ 16, false, { SCSI_SYNCHRONIZE_CACHE_16, 0x02, LBA_8, SIZE_4 } },
	{ 16, false, { SCSI_WRITE_SAME_16, 0x09, LBA_8, SIZE_4 } },
	{ 16, true, { SCSI_SERVICE_ACTION_IN_16, SCSI_READ_CAPACITY_16, NONE_4, NONE_4, SIZE_4 } },
	{ 12, false, { SCSI_REPORT_LUNS, 0, NONE_4, SIZE_4 } },
	{ 12,
	  true,
	  { SCSI_MAINTENANCE_IN, SCSI_REPORT_SUPPORTED_OPERATION_CODES,
	    RETURN_TIMEOUTS | OPTIONS_MASK, 0xff, SIZE_2, SIZE_4 } },
	{ 12, false, { SCSI_READ_12, 0x18, LBA_4, SIZE_4 } },
	{ 12, false, { SCSI_WRITE_12, 0x18, LBA_4, SIZE_4 } },
};

_Static_assert(ARRAY_SIZE(reported) <= COMMANDS_MAX, "the answer has room for all");

static uint8_t report_service_action(const struct reported *command)
{
	return command->has_service_action ? command->usage[1] : 0;
}

/* Nobody here knows how long a command takes: both times are 0, for "not specified". */
static size_t report_timeouts(uint8_t *data)
{
	scsi_put_16(data, TIMEOUTS_SIZE - 2);
	return TIMEOUTS_SIZE;
}

static void report_all(struct scsi_command *command, bool timeouts)
{
	uint8_t data[4 + COMMANDS_MAX * (DESCRIPTOR_SIZE + TIMEOUTS_SIZE)] = { 0 };
	size_t size = 4;

	for (size_t i = 0; i < ARRAY_SIZE(reported); i++) {
		uint8_t *descriptor = data + size;

		if (!scsi_unit_has_command(command->unit, reported[i].usage[0]))
			continue;
		descriptor[0] = reported[i].usage[0];
		scsi_put_16(descriptor + 2, report_service_action(&reported[i]));
		descriptor[5] =
			(uint8_t)((reported[i].has_service_action ? HAS_SERVICE_ACTION : 0) |
				  (timeouts ? HAS_TIMEOUTS : 0));
		scsi_put_16(descriptor + 6, reported[i].cdb_length);
		size += DESCRIPTOR_SIZE;
		if (timeouts)
			size += report_timeouts(data + size);
	}
	scsi_put_32(data, (uint32_t)(size - 4));
	scsi_reply(command, data, size, scsi_get_32(command->cdb + 6));
}

/* The command of a code, whichever its service action is; NULL: there is none. */
static const struct reported *report_find_code(const struct scsi_unit *unit, uint8_t code)
{
	for (size_t i = 0; i < ARRAY_SIZE(reported); i++)
		if (reported[i].usage[0] == code && scsi_unit_has_command(unit, code))
			return &reported[i];
	return NULL;
}

static void report_one(struct scsi_command *command, enum report_options options, bool timeouts)
{
	const struct reported *found = report_find_code(command->unit, command->cdb[3]);
	uint8_t data[4 + SCSI_CDB_SIZE + TIMEOUTS_SIZE] = { 0 };
	size_t size = 4;

	if (found && options != REPORT_EITHER &&
	    found->has_service_action != (options == REPORT_SERVICE_ACTION)) {
		scsi_fail(command, SCSI_SENSE_INVALID_FIELD);
		return;
	}
	if (found && found->has_service_action &&
	    scsi_get_16(command->cdb + 4) != report_service_action(found))
		found = NULL;
	data[1] = found ? SUPPORTED : NOT_SUPPORTED;
	if (found) {
		scsi_put_16(data + 2, found->cdb_length);
		memcpy(data + size, found->usage, found->cdb_length);
		size += found->cdb_length;
		if (timeouts) {
			data[1] |= ONE_HAS_TIMEOUTS;
			size += report_timeouts(data + size);
		}
	}
	scsi_reply(command, data, size, scsi_get_32(command->cdb + 6));
}

void scsi_maintenance_in(struct scsi_command *command)
{
	enum report_options options = command->cdb[2] & OPTIONS_MASK;
	bool timeouts = command->cdb[2] & RETURN_TIMEOUTS;

	if ((command->cdb[1] & SERVICE_ACTION_MASK) != SCSI_REPORT_SUPPORTED_OPERATION_CODES ||
	    options > REPORT_EITHER)
		scsi_fail(command, SCSI_SENSE_INVALID_FIELD);
	else if (options == REPORT_ALL)
		report_all(command, timeouts);
	else
		report_one(command, options, timeouts);
}
