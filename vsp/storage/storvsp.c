/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The storage protocol: channels, packets, and the negotiation.
 *
 * The guest opens the primary channel and goes through the states of enum storvsp_state: BEGIN, a
 * version that we speak, properties, END. Then it may ask for sub-channels, which are offered under
 * the same instance, and carry SRBs without a negotiation of their own. When the guest closes the
 * primary channel or goes, they are taken back, and the next guest begins anew.
 *
 * Packets are received until the ring is empty, the pool of requests is, or the controller holds,
 * for a reset. A few at a time are sent on their way to the medium, so that it works while we read
 * on. A channel that stopped early is `starved`, and goes on in a later iteration of the loop. An
 * iteration is what this file does once all callbacks of the moment have returned: whatever ends
 * objects or calls the worker happens there, and not below a completion.
 *
 * Commands that a reset is for, or whose channel closes, are aborted: whoever waits for their end
 * may be the machine that is to stop, and a guest can ask for the reading of whole disks. There is
 * no way to take back what the host's disk is doing, so each waits for the step that is under way.
 * Meanwhile a reset keeps new ones out.
 */
#include "vsp/storage/storvsp.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct guid storvsp_types[] = {
	[STORAGE_SCSI] =
		GUID(0xba6163d9, 0x04a1, 0x4d29, 0xb6, 0x05, 0x72, 0xe2, 0xff, 0xb1, 0xdc, 0x7f),
	[STORAGE_IDE] =
		GUID(0x32412632, 0x86cb, 0x44a2, 0x9b, 0x5c, 0x50, 0xd1, 0x41, 0x73, 0x54, 0xf5),
};

#define REQUESTS_PER_SUBMISSION 8

/* ---- Operations: each ends the request, now or later ---- */

typedef void (*storvsp_operation_fn)(struct storvsp_request *request,
				     const struct vmbus_packet *vmbus_packet);

static void storvsp_begin(struct storvsp_request *request, const struct vmbus_packet *vmbus_packet)
{
	storvsp_controller(request->channel)->state = STORVSP_BEGUN;
	storvsp_request_reply(request, STORVSP_STATUS_SUCCESS);
}

static void storvsp_query_version(struct storvsp_request *request,
				  const struct vmbus_packet *vmbus_packet)
{
	static const uint16_t versions[] = {
		STORVSP_VERSION_WIN10,
		STORVSP_VERSION_WIN8_1,
		STORVSP_VERSION_WIN8,
	};

	for (size_t i = 0; i < ARRAY_SIZE(versions); i++) {
		if (versions[i] != request->packet.version.version)
			continue;
		storvsp_controller(request->channel)->state = STORVSP_VERSIONED;
		storvsp_request_reply(request, STORVSP_STATUS_SUCCESS);
		return;
	}
	storvsp_request_reply(request, STORVSP_STATUS_REVISION_MISMATCH);
}

static void storvsp_query_properties(struct storvsp_request *request,
				     const struct vmbus_packet *vmbus_packet)
{
	uint16_t sub_channel_max = storvsp_controller(request->channel)->sub_channel_max;

	memset(request->packet.bytes, 0, sizeof(request->packet.bytes));
	request->packet.properties = (struct storvsp_properties){
		.sub_channel_max = sub_channel_max,
		.flags = sub_channel_max ? STORVSP_SUPPORTS_SUB_CHANNELS : 0,
		.transfer_max = STORVSP_TRANSFER_MAX,
	};
	storvsp_request_reply(request, STORVSP_STATUS_SUCCESS);
}

static void storvsp_end(struct storvsp_request *request, const struct vmbus_packet *vmbus_packet)
{
	storvsp_controller(request->channel)->state = STORVSP_READY;
	storvsp_request_reply(request, STORVSP_STATUS_SUCCESS);
}

static void storvsp_create_sub_channels(struct storvsp_request *request,
					const struct vmbus_packet *vmbus_packet)
{
	struct storage_controller *controller = storvsp_controller(request->channel);
	uint16_t count = request->packet.sub_channel_count;

	if (controller->sub_channels_wanted ||
	    device_channels_count_subs(&controller->channels) > 0) {
		storvsp_request_reply(request, STORVSP_STATUS_INVALID_DEVICE_STATE);
	} else if (!count || count > controller->sub_channel_max) {
		storvsp_request_reply(request, STORVSP_STATUS_INVALID_PARAMETER);
	} else {
		controller->sub_channels_wanted = count;
		storvsp_defer(controller);
		storvsp_request_reply(request, STORVSP_STATUS_SUCCESS);
	}
}

static void storvsp_reset(struct storvsp_request *request, const struct vmbus_packet *vmbus_packet)
{
	struct storage_controller *controller = storvsp_controller(request->channel);

	list_append(&controller->resets, &request->link);
	storvsp_defer(controller);
}

static void storvsp_refuse(struct storvsp_request *request, const struct vmbus_packet *vmbus_packet)
{
	storvsp_request_reply(request, STORVSP_STATUS_INVALID_REQUEST);
}

static const struct {
	unsigned states; /* where it is allowed: enum storvsp_state */
	bool primary_only;
	storvsp_operation_fn run;
} storvsp_operations[] = {
	[STORVSP_EXECUTE_SRB] = { STORVSP_READY, false, storvsp_execute },
	[STORVSP_RESET_LUN] = { STORVSP_READY, false, storvsp_reset },
	[STORVSP_RESET_ADAPTER] = { STORVSP_READY, false, storvsp_reset },
	[STORVSP_RESET_BUS] = { STORVSP_READY, false, storvsp_reset },
	[STORVSP_BEGIN_INITIALIZATION] = { STORVSP_OPENED, true, storvsp_begin },
	[STORVSP_QUERY_PROTOCOL_VERSION] = { STORVSP_BEGUN, true, storvsp_query_version },
	[STORVSP_QUERY_PROPERTIES] = { STORVSP_VERSIONED, true, storvsp_query_properties },
	[STORVSP_END_INITIALIZATION] = { STORVSP_VERSIONED, true, storvsp_end },
	[STORVSP_FCHBA_DATA] = { STORVSP_VERSIONED, true, storvsp_refuse },
	[STORVSP_CREATE_SUB_CHANNELS] = { STORVSP_READY, true, storvsp_create_sub_channels },
};

static void storvsp_dispatch(struct storvsp_request *request,
			     const struct vmbus_packet *vmbus_packet)
{
	struct storage_controller *controller = storvsp_controller(request->channel);
	uint32_t operation = request->packet.operation;
	uint32_t status = STORVSP_STATUS_SUCCESS;

	if (vmbus_packet->size < STORVSP_PACKET_SIZE_MIN ||
	    operation >= ARRAY_SIZE(storvsp_operations) || !storvsp_operations[operation].run)
		status = STORVSP_STATUS_INVALID_PARAMETER;
	else if (!(storvsp_operations[operation].states & controller->state) ||
		 (storvsp_operations[operation].primary_only && request->channel->index > 0))
		status = STORVSP_STATUS_INVALID_DEVICE_STATE;
	if (UNLIKELY(status)) {
		controller->refused++;
		storvsp_request_reply(request, status);
		return;
	}
	storvsp_operations[operation].run(request, vmbus_packet);
}

/* ---- Receiving ---- */

static void storvsp_receive(struct device_channel *channel, struct storvsp_request *request,
			    const struct vmbus_packet *packet)
{
	request->transaction_id = packet->transaction_id;
	request->completion_requested = packet->completion_requested;
	request->size = MAX(MIN(packet->size, (uint32_t)sizeof(request->packet)),
			    (uint32_t)STORVSP_PACKET_SIZE_MIN);
	if (LIKELY(packet->size >= sizeof(request->packet))) {
		memcpy(&request->packet, packet->payload, sizeof(request->packet));
	} else {
		memset(&request->packet, 0, sizeof(request->packet));
		memcpy(&request->packet, packet->payload, packet->size);
	}
	if (packet->type == RING_PACKET_INBAND || packet->type == RING_PACKET_GPA_DIRECT)
		storvsp_dispatch(request, packet);
	else
		storvsp_request_free(request);
}

static void storvsp_readable(void *device, struct vmbus_channel *vmbus_channel)
{
	struct device_channel *channel = device;
	struct storage_controller *controller = storvsp_controller(channel);
	struct storvsp_request *request;
	struct vmbus_packet packet;

	device_channel_feed(channel);
	for (unsigned i = 1;; i++) {
		request = storvsp_holds(controller) ? NULL : storvsp_request_take(channel);
		if (!request) {
			device_channel_starve(channel);
			return;
		}
		if (vmbus_channel_receive(vmbus_channel, &packet)) {
			storvsp_request_free(request);
			return;
		}
		storvsp_receive(channel, request, &packet);
		if (i % REQUESTS_PER_SUBMISSION == 0)
			loop_flush(vmbus_loop(controller->bus));
	}
}

static void storvsp_writable(void *device, struct vmbus_channel *vmbus_channel)
{
	struct device_channel *channel = device;

	storvsp_send_unsent(channel);
}

/* ---- Channels ---- */

static int storvsp_open(void *device, struct vmbus_channel *vmbus_channel, const uint8_t *user_data)
{
	struct device_channel *channel = device;
	struct storage_controller *controller = storvsp_controller(channel);

	if (channel->index > 0)
		return 0;
	controller->state = STORVSP_OPENED;
	controller->enumerate_wanted = false;
	controller->commanded = false;
	scsi_target_power_on(controller->target);
	return 0;
}

static void storvsp_close(void *device, struct vmbus_channel *vmbus_channel)
{
	struct device_channel *channel = device;
	struct storage_controller *controller = storvsp_controller(channel);

	channel->closing = true;
	device_channel_feed(channel);
	storvsp_send_unsent(channel); /* which now means: forget */
	storage_drop_restored(controller, channel->index == 0 ? NULL : channel);
	if (channel->index == 0) {
		controller->state = STORVSP_CLOSED;
		if (controller->quiesce_timer_runs)
			loop_cancel(controller->loop, &controller->quiesce_timer.operation);
		controller->sub_channels_wanted = 0;
		device_channels_take_back(&controller->channels, vmbus_channel_rescind);
	}
	storvsp_defer(controller);
}

static void storvsp_released(void *device, struct vmbus_channel *vmbus_channel)
{
	struct device_channel *channel = device;

	device_channel_released(channel);
	free(channel);
}

static const struct vmbus_channel_ops storvsp_channel_ops = {
	.open = storvsp_open,
	.close = storvsp_close,
	.readable = storvsp_readable,
	.writable = storvsp_writable,
	.released = storvsp_released,
};

int storvsp_channel_new(struct storage_controller *controller, uint16_t sub_channel_index,
			struct device_channel **ret_channel)
{
	const struct storvsp_ide_offer ide = {
		.path = controller->options.ide_channel,
		.target = controller->options.ide_device,
		.flags = STORVSP_IDE_OFFER_FLAGS,
	};
	struct vmbus_offer offer = {
		.type = storvsp_types[controller->options.kind],
		.instance = controller->options.instance,
		.flags = VMBUS_OFFER_ENUMERATE,
		.sub_channel_index = sub_channel_index,
	};
	struct device_channel *channel;
	int r;

	if (controller->options.kind == STORAGE_IDE)
		memcpy(offer.user_defined, &ide, sizeof(ide));
	snprintf(offer.name, sizeof(offer.name), "%s", controller->options.name ?: "");
	channel = calloc(1, sizeof(*channel));
	if (!channel)
		return -ENOMEM;
	r = device_channel_offer(&controller->channels, &offer, &storvsp_channel_ops, channel);
	if (r < 0) {
		free(channel);
		return r;
	}
	*ret_channel = channel;
	return 0;
}

/* ---- Iterations of the loop ---- */

void storvsp_enumerate(struct storage_controller *controller)
{
	if (controller->state != STORVSP_READY)
		return;
	controller->enumerate_wanted = true;
	storvsp_defer(controller);
}

/*
 * After the replies that are to come first, and not before the guest's first command: Linux makes
 * the workqueue in which it looks for units after it has seen the end of the negotiation.
 */
static void storvsp_send_enumerate(struct storage_controller *controller)
{
	struct storvsp_packet packet = { .operation = STORVSP_ENUMERATE_BUS };

	if (!controller->enumerate_wanted || !controller->commanded ||
	    !list_empty(&controller->primary->unsent))
		return;
	if (vmbus_channel_send(controller->primary->channel, RING_PACKET_INBAND, false, 0, &packet,
			       sizeof(packet)) != VMBUS_E_FULL)
		controller->enumerate_wanted = false;
}

static void storvsp_offer_sub_channels(struct storage_controller *controller)
{
	struct device_channel *channel;
	uint16_t count = controller->sub_channels_wanted;

	if (!count || !list_empty(&controller->primary->unsent))
		return;
	controller->sub_channels_wanted = 0;
	for (uint16_t i = 1; i <= count; i++)
		/* The guest makes do with those it gets. */
		if (storvsp_channel_new(controller, i, &channel) < 0)
			return;
}

static void storvsp_run_resets(struct storage_controller *controller)
{
	while (!list_empty(&controller->resets)) {
		struct storvsp_request *request =
			container_of(controller->resets.next, struct storvsp_request, link);
		const struct storvsp_packet *packet = &request->packet;
		bool one = packet->operation == STORVSP_RESET_LUN &&
			   controller->options.kind == STORAGE_SCSI;
		int lun = one ? packet->srb.lun : -1;

		if (storvsp_abort(controller, NULL, lun))
			return;
		list_unlink(&request->link);
		scsi_target_reset(controller->target, lun);
		storvsp_request_reply(request, STORVSP_STATUS_SUCCESS);
	}
}

static void storvsp_feed(struct storage_controller *controller)
{
	struct device_channel *channel;

	while ((channel = device_channels_starved(&controller->channels)) &&
	       !storvsp_holds(controller) && controller->channels.in_flight < STORVSP_REQUEST_MAX)
		storvsp_readable(channel, channel->channel);
}

/* Without the primary channel the others are of no use. */
static void storvsp_abort_closing(struct storage_controller *controller)
{
	if (storvsp_is_closing(controller)) {
		(void)storvsp_abort(controller, NULL, -1);
		return;
	}
	list_for_each (link, &controller->channels.channels) {
		struct device_channel *channel = container_of(link, struct device_channel, link);

		if (channel->closing)
			(void)storvsp_abort(controller, channel, -1);
	}
}

static void storvsp_serve(struct storage_controller *controller)
{
	storvsp_run_resets(controller);
	if (controller->state == STORVSP_READY) {
		storvsp_send_enumerate(controller);
		storvsp_offer_sub_channels(controller);
	}
	storvsp_feed(controller);
}

void storvsp_iteration(struct loop_deferred *deferred)
{
	struct storage_controller *controller =
		container_of(deferred, struct storage_controller, iteration);
	struct device_channel *channel;

	if (!controller->frozen)
		storvsp_serve(controller);
	storvsp_abort_closing(controller);
	/* The loop may still hold the timer. */
	channel = device_channels_closed(&controller->channels, controller->quiesce_timer_runs);
	if (channel) {
		/* Who hears of the last one may free the controller. */
		storvsp_defer(controller);
		channel->closing = false;
		vmbus_channel_closed(channel->channel);
	} else {
		storage_try_quiesced(controller);
	}
}
