/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Requests: their pool, and SRBs on their way to the SCSI target and back.
 *
 * A request is taken when a packet is received and freed when its reply is in the ring; so their
 * number bounds whatever a guest can make the host hold, including replies to a guest that does
 * not read them. The pool is one mapping that is touched no further than requests are under way.
 *
 * Data moves between the medium and the guest's pages, which the packet's range names; each page
 * is looked up once, here.
 */
#include "vsp/iov.h"
#include "vsp/storage/storvsp.h"

#include <string.h>

struct storvsp_request *storvsp_request_take(struct device_channel *channel)
{
	struct storage_controller *controller = storvsp_controller(channel);
	struct storvsp_request *request;

	if (!list_empty(&controller->free)) {
		request = container_of(controller->free.previous, struct storvsp_request, link);
		list_unlink(&request->link);
	} else if (controller->fresh < STORVSP_REQUEST_MAX) {
		request = &controller->requests[controller->fresh++];
		list_init(&request->link);
	} else {
		return NULL;
	}
	request->channel = channel;
	device_channel_begin(channel);
	return request;
}

void storvsp_request_free(struct storvsp_request *request)
{
	struct device_channel *channel = request->channel;
	struct storage_controller *controller = storvsp_controller(channel);

	list_append(&controller->free, &request->link);
	device_channel_end(channel);
	/* The pool may have been empty, or somebody waits for the last request. */
	if (controller->channels.in_flight == STORVSP_REQUEST_MAX - 1 || channel->closing)
		storvsp_defer(controller);
}

static bool storvsp_answer_send(struct list *answer)
{
	struct storvsp_request *request = container_of(answer, struct storvsp_request, link);
	struct device_channel *channel = request->channel;

	return channel->closing || !request->completion_requested ||
	       vmbus_channel_complete(channel->channel, request->transaction_id, &request->packet,
				      request->size) != VMBUS_E_FULL;
}

static void storvsp_answer_sent(struct list *answer)
{
	storvsp_request_free(container_of(answer, struct storvsp_request, link));
}

const struct device_channels_ops storvsp_answer_ops = {
	.send = storvsp_answer_send,
	.sent = storvsp_answer_sent,
};

/* The state is being taken, or was: the guest is told when it goes on. */
static bool storvsp_keeps_replies(const struct device_channel *channel)
{
	return UNLIKELY(storvsp_controller(channel)->frozen) && !channel->closing;
}

void storvsp_request_reply(struct storvsp_request *request, uint32_t status)
{
	struct device_channel *channel = request->channel;

	request->packet.operation = STORVSP_COMPLETE_IO;
	request->packet.flags = 0;
	request->packet.status = status;
	device_channel_send(channel, &request->link, storvsp_keeps_replies(channel));
}

void storvsp_send_unsent(struct device_channel *channel)
{
	if (storvsp_keeps_replies(channel))
		return;
	device_channel_send_unsent(channel);
	storvsp_defer(storvsp_controller(channel));
}

/* ---- SRBs ---- */

static void storvsp_mark_written(struct storvsp_request *request, uint32_t size)
{
	const struct vsp_host *host = vmbus_host(storvsp_controller(request->channel)->bus);

	for (unsigned i = 0; i < request->extent_count && size; i++) {
		uint32_t length = MIN(request->extents[i].size, size);

		host->ops->mark_written(host->host, request->extents[i].gpa, length);
		size -= length;
	}
}

static void storvsp_put_sense(struct storvsp_request *request)
{
	struct storvsp_srb *srb = &request->packet.srb;
	uint8_t size = MIN(srb->sense_length, (uint8_t)SCSI_SENSE_SIZE);

	srb->srb_status = STORVSP_SRB_ERROR;
	if (!size || (srb->srb_flags & STORVSP_SRB_DISABLE_AUTOSENSE)) {
		scsi_command_keep_sense(&request->command);
		srb->sense_length = 0;
		return;
	}
	srb->srb_status |= STORVSP_SRB_AUTOSENSE_VALID;
	srb->sense_length = size;
	memset(srb->sense, 0, sizeof(srb->sense));
	memcpy(srb->sense, request->command.sense, size);
}

/*
 * Linux removes the unit when it reads STORVSP_SRB_INVALID_LUN, and looks for it without regard to
 * the path: so only path 0 may say so.
 */
static bool storvsp_is_removed(const struct scsi_command *command)
{
	return command->absent && command->path == 0 && command->target == 0;
}

static void storvsp_executed(struct scsi_command *command)
{
	struct storvsp_request *request = container_of(command, struct storvsp_request, command);
	struct storage_controller *controller = storvsp_controller(request->channel);
	struct storvsp_srb *srb = &request->packet.srb;

	/* What failed may have read something all the same. */
	if (srb->data_in == STORVSP_DIRECTION_IN)
		storvsp_mark_written(request, command->status == SCSI_GOOD
						      ? command->transferred
						      : command->transfer_length);
	srb->scsi_status = command->status;
	srb->transfer_length = command->transferred;
	if (command->status == SCSI_GOOD) {
		srb->srb_status = STORVSP_SRB_SUCCESS;
	} else if (storvsp_is_removed(command)) {
		srb->srb_status = STORVSP_SRB_INVALID_LUN;
		srb->scsi_status = SCSI_GOOD;
	} else if (command->status == SCSI_BUSY) {
		srb->srb_status = STORVSP_SRB_BUSY;
	} else {
		storvsp_put_sense(request);
	}
	request->executing = false;
	if (UNLIKELY(storvsp_holds(controller) || controller->quiesced))
		storvsp_defer(controller);
	storvsp_request_reply(request, STORVSP_STATUS_SUCCESS);
}

/* Maps the guest's buffer. Return: 0, or VMBUS_E_INVALID if it is not one. */
static int storvsp_map(struct storvsp_request *request, const struct vmbus_packet *packet)
{
	const struct storvsp_srb *srb = &request->packet.srb;
	struct scsi_command *command = &request->command;

	command->iov_count = 0;
	request->extent_count = 0;
	if (srb->data_in == STORVSP_DIRECTION_NONE || !srb->transfer_length)
		return srb->transfer_length ? VMBUS_E_INVALID : 0;
	if (packet->range_count != 1 || srb->transfer_length > packet->range_size ||
	    packet->range_size > STORVSP_TRANSFER_MAX || packet->page_count > STORVSP_PAGE_MAX ||
	    vmbus_packet_map(request->channel->channel, packet, request->iov, request->extents,
			     STORVSP_PAGE_MAX, &command->iov_count))
		return VMBUS_E_INVALID;
	request->extent_count = command->iov_count;
	return 0;
}

/*
 * An IDE device is there alone: at the target that is its place on the channel. Which path a guest
 * names varies by its driver.
 */
static void storvsp_address(const struct storage_controller *controller,
			    const struct storvsp_srb *srb, struct scsi_command *command)
{
	bool ide = controller->options.kind == STORAGE_IDE;

	command->path = ide ? 0 : srb->path;
	command->target = ide ? srb->target ^ controller->options.ide_device : srb->target;
	command->lun = srb->lun;
}

int storvsp_request_prepare(struct storvsp_request *request)
{
	static const enum scsi_direction directions[] = {
		[STORVSP_DIRECTION_OUT] = SCSI_DATA_OUT,
		[STORVSP_DIRECTION_IN] = SCSI_DATA_IN,
		[STORVSP_DIRECTION_NONE] = SCSI_DATA_NONE,
	};
	const struct storvsp_srb *srb = &request->packet.srb;
	struct scsi_command *command = &request->command;

	if (srb->cdb_length > SCSI_CDB_SIZE || srb->data_in >= ARRAY_SIZE(directions) ||
	    iov_size(request->iov, command->iov_count) < srb->transfer_length)
		return VMBUS_E_INVALID;
	command->iov_count = iov_truncate(request->iov, command->iov_count, srb->transfer_length);
	storvsp_address(storvsp_controller(request->channel), srb, command);
	memcpy(command->cdb, srb->cdb, sizeof(command->cdb));
	command->cdb_length = srb->cdb_length;
	command->direction = directions[srb->data_in];
	command->transfer_length = srb->transfer_length;
	command->iov = request->iov;
	command->complete = storvsp_executed;
	return 0;
}

void storvsp_execute(struct storvsp_request *request, const struct vmbus_packet *vmbus_packet)
{
	struct storage_controller *controller = storvsp_controller(request->channel);
	struct storvsp_srb *srb = &request->packet.srb;

	if (UNLIKELY(storvsp_map(request, vmbus_packet) || storvsp_request_prepare(request))) {
		controller->refused++;
		srb->srb_status = STORVSP_SRB_INVALID_REQUEST;
		srb->scsi_status = SCSI_GOOD;
		srb->transfer_length = 0;
		srb->sense_length = 0;
		storvsp_request_reply(request, STORVSP_STATUS_SUCCESS);
		return;
	}
	controller->commands++;
	if (UNLIKELY(!controller->commanded)) {
		controller->commanded = true;
		if (controller->enumerate_wanted)
			storvsp_defer(controller);
	}
	request->executing = true;
	scsi_target_execute(controller->target, &request->command);
}

unsigned storvsp_abort(struct storage_controller *controller, const struct device_channel *channel,
		       int lun)
{
	unsigned left = 0;

	for (unsigned i = 0; i < controller->fresh; i++) {
		struct storvsp_request *request = &controller->requests[i];

		if (!request->executing || (channel && request->channel != channel) ||
		    (lun >= 0 && request->command.lun != lun))
			continue;
		scsi_command_abort(&request->command);
		left += request->executing;
	}
	return left;
}
