/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Commands for a unit that come on another way than VMBus. */
#include "vsp/storage/storvsp.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* What the guest hears of a unit that is not there. */
#define SENSE_NO_UNIT SCSI_SENSE(SCSI_ILLEGAL_REQUEST, 0x25, 0x00)

struct storage_packet {
	struct scsi_command command;
	struct iovec iov;
	bool under_way;
	void (*done)(void *data);
	void *data;
};

int storage_packet_new(void (*done)(void *data), void *data, struct storage_packet **ret_packet)
{
	struct storage_packet *packet = calloc(1, sizeof(*packet));

	if (!packet)
		return -ENOMEM;
	packet->done = done;
	packet->data = data;
	*ret_packet = packet;
	return 0;
}

void storage_packet_free(struct storage_packet *packet)
{
	assert(!packet || !packet->under_way);
	free(packet);
}

static void packet_completed(struct scsi_command *command)
{
	struct storage_packet *packet = container_of(command, struct storage_packet, command);

	packet->under_way = false;
	packet->done(packet->data);
}

void storage_packet_execute(struct storage_packet *packet, struct storage_controller *controller,
			    unsigned lun, const uint8_t cdb[static STORAGE_PACKET_SIZE],
			    void *buffer, uint32_t size)
{
	struct scsi_command *command = &packet->command;

	packet->iov = (struct iovec){ buffer, size };
	*command = (struct scsi_command){
		.lun = (uint8_t)lun,
		.cdb_length = STORAGE_PACKET_SIZE,
		.direction = SCSI_DATA_IN,
		.transfer_length = size,
		.iov = &packet->iov,
		.iov_count = 1,
		.complete = packet_completed,
	};
	list_init(&command->held);
	memcpy(command->cdb, cdb, STORAGE_PACKET_SIZE);
	packet->under_way = true;
	scsi_target_execute(controller->target, command);
}

void storage_packet_abandon(struct storage_packet *packet)
{
	if (packet->under_way)
		scsi_command_abort(&packet->command);
}

uint32_t storage_packet_sense(const struct storage_packet *packet)
{
	const struct scsi_command *command = &packet->command;

	if (command->absent)
		return SENSE_NO_UNIT;
	if (command->status == SCSI_GOOD)
		return SCSI_SENSE_NONE;
	if (command->status != SCSI_CHECK_CONDITION)
		return SCSI_SENSE_ABORTED;
	return SCSI_SENSE(command->sense[2], command->sense[12], command->sense[13]);
}

uint32_t storage_packet_transferred(const struct storage_packet *packet)
{
	return packet->command.transferred;
}
