/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A storage controller that is quiet, and its state as a record.
 *
 * The record: struct storage_state; the sub-channels' indices; the units; the requests, each
 * followed by the places of its buffer in guest memory. There are three kinds of requests: those that
 * the disk has not answered, which are done once more; replies that found no room in the ring; and
 * resets that wait. All that a command does can be done twice, but for COMPARE AND WRITE: with one of
 * these under way the state cannot be taken.
 *
 * Media are opened by whoever makes the controller; that they are of the same size is checked.
 */
#include "common/base/state.h"

#include "vsp/iov.h"
#include "vsp/storage/scsi_unit.h"
#include "vsp/storage/storvsp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define STORAGE_STATE_VERSION 1

#define STORAGE_STATE_ENUMERATE_WANTED 0x1u
#define STORAGE_STATE_COMMANDED        0x2u
#define STORAGE_STATE_FLAGS            0x3u

struct storage_state {
	uint32_t state; /* enum storvsp_state */
	uint32_t flags; /* STORAGE_STATE_ */
	uint32_t sub_channels_wanted, sub_channel_count;
	uint32_t unit_count, request_count;
};
_Static_assert(sizeof(struct storage_state) == 24, "stored format");

struct sub_channel_state {
	uint32_t index, reserved;
};
_Static_assert(sizeof(struct sub_channel_state) == 8, "stored format");

enum request_kind {
	REQUEST_UNDER_WAY = 1,
	REQUEST_REPLY = 2,
	REQUEST_RESET = 3,
};

struct request_state {
	uint64_t transaction_id;
	uint32_t sub_channel; /* index; 0: the primary one */
	uint32_t kind;        /* enum request_kind */
	uint32_t size;        /* of the guest's packet, bytes */
	uint32_t completion_requested;
	uint32_t extent_count; /* struct extent_state that follow */
	uint32_t reserved;
	uint8_t packet[sizeof(struct storvsp_packet)];
};
_Static_assert(sizeof(struct request_state) == 96, "stored format");

struct extent_state {
	uint64_t gpa;
	uint32_t size; /* bytes */
	uint32_t reserved;
};
_Static_assert(sizeof(struct extent_state) == 16, "stored format");

/* ---- Quiet ---- */

static unsigned storage_executing(const struct storage_controller *controller)
{
	unsigned count = 0;

	for (unsigned i = 0; i < controller->fresh; i++)
		count += controller->requests[i].executing;
	return count;
}

static void storage_end_quiesce(struct storage_controller *controller)
{
	void (*done)(void *data) = TAKE_PTR(controller->quiesced);

	controller->frozen = true;
	done(controller->quiesced_data);
}

void storage_try_quiesced(struct storage_controller *controller)
{
	if (controller->quiesced && list_empty(&controller->iteration.link) &&
	    storage_executing(controller) == 0)
		storage_end_quiesce(controller);
}

static void storage_start_quiesce_timer(struct storage_controller *controller, uint64_t delay_ns)
{
	controller->quiesce_timer_runs = true;
	loop_timer_start(controller->loop, &controller->quiesce_timer, delay_ns);
}

void storage_quiesce_over(struct loop_operation *operation, int result, bool more)
{
	struct storage_controller *controller =
		container_of(operation, struct storage_controller, quiesce_timer.operation);

	uint64_t now = loop_now();

	controller->quiesce_timer_runs = false;
	if (controller->quiesced && now >= controller->quiesce_end)
		storage_end_quiesce(controller);
	else if (controller->quiesced && !storvsp_is_closing(controller))
		storage_start_quiesce_timer(controller, controller->quiesce_end - now);
	storvsp_defer(controller);
}

void storage_controller_quiesce(struct storage_controller *controller, uint64_t limit_ns,
				void (*done)(void *data), void *data)
{
	controller->quiesced = done;
	controller->quiesced_data = data;
	controller->quiesce_end = loop_now() + limit_ns;
	if (!controller->quiesce_timer_runs && storage_executing(controller) > 0)
		storage_start_quiesce_timer(controller, limit_ns);
	storvsp_defer(controller);
}

/* What was under way when the state was taken is done again here. */
static void storage_execute_restored(struct storage_controller *controller)
{
	for (unsigned i = 0; i < controller->fresh; i++) {
		struct storvsp_request *request = &controller->requests[i];

		if (!request->restored)
			continue;
		request->restored = false;
		request->executing = true;
		scsi_target_execute(controller->target, &request->command);
	}
}

void storage_controller_resume(struct storage_controller *controller)
{
	controller->quiesced = NULL;
	if (!controller->frozen)
		return;
	controller->frozen = false;
	list_for_each (link, &controller->channels.channels)
		storvsp_send_unsent(container_of(link, struct device_channel, link));
	storage_execute_restored(controller);
	storvsp_defer(controller);
}

void storage_drop_restored(struct storage_controller *controller,
			   const struct device_channel *channel)
{
	for (unsigned i = 0; i < controller->fresh; i++) {
		struct storvsp_request *request = &controller->requests[i];

		if (!request->restored || (channel && request->channel != channel))
			continue;
		request->restored = false;
		storvsp_request_free(request);
	}
	if (!controller->frozen)
		return;
	/* Resets, for which there is no iteration until the controller goes on. */
	list_for_each (link, &controller->resets) {
		struct storvsp_request *request = container_of(link, struct storvsp_request, link);

		if (channel && request->channel != channel)
			continue;
		list_unlink(&request->link);
		storvsp_request_free(request);
	}
}

/* ---- Saving ---- */

static bool request_is_under_way(const struct storvsp_request *request)
{
	return request->executing || request->restored;
}

/* Return: 0; -EBUSY. */
static int storage_count_requests(const struct storage_controller *controller, uint32_t *ret_count)
{
	uint32_t count = 0;

	for (unsigned i = 0; i < controller->fresh; i++) {
		const struct storvsp_request *request = &controller->requests[i];

		if (!request_is_under_way(request))
			continue;
		if (!scsi_command_is_repeatable(&request->command))
			return -EBUSY;
		count++;
	}
	list_for_each (link, &controller->channels.channels) {
		const struct device_channel *channel =
			container_of(link, struct device_channel, link);

		list_for_each (unsent, &channel->unsent)
			count++;
	}
	list_for_each (link, &controller->resets)
		count++;
	*ret_count = count;
	return 0;
}

static void request_save(const struct storvsp_request *request, enum request_kind kind,
			 struct state_writer *writer)
{
	struct request_state state = {
		.transaction_id = request->transaction_id,
		.sub_channel = request->channel->index,
		.kind = kind,
		.size = request->size,
		.completion_requested = request->completion_requested,
		.extent_count = kind == REQUEST_UNDER_WAY ? request->extent_count : 0,
	};

	memcpy(state.packet, &request->packet, sizeof(state.packet));
	state_put(writer, &state, sizeof(state));
	for (unsigned i = 0; i < state.extent_count; i++) {
		struct extent_state extent = {
			.gpa = request->extents[i].gpa.value,
			.size = request->extents[i].size,
		};

		state_put(writer, &extent, sizeof(extent));
	}
}

static void storage_save_requests(const struct storage_controller *controller,
				  struct state_writer *writer)
{
	for (unsigned i = 0; i < controller->fresh; i++)
		if (request_is_under_way(&controller->requests[i]))
			request_save(&controller->requests[i], REQUEST_UNDER_WAY, writer);
	list_for_each (link, &controller->channels.channels) {
		const struct device_channel *channel =
			container_of(link, struct device_channel, link);

		list_for_each (unsent, &channel->unsent)
			request_save(container_of(unsent, struct storvsp_request, link),
				     REQUEST_REPLY, writer);
	}
	list_for_each (link, &controller->resets)
		request_save(container_of(link, struct storvsp_request, link), REQUEST_RESET,
			     writer);
}

static void storage_save_sub_channels(const struct storage_controller *controller,
				      struct state_writer *writer)
{
	list_for_each (link, &controller->channels.channels) {
		const struct device_channel *channel =
			container_of(link, struct device_channel, link);
		struct sub_channel_state state = { .index = channel->index };

		if (channel->index > 0 && !channel->leaving)
			state_put(writer, &state, sizeof(state));
	}
}

int storage_controller_save(const struct storage_controller *controller, const char *name,
			    struct state_writer *writer)
{
	struct storage_state state = {
		.state = controller->state,
		.flags = (controller->enumerate_wanted ? STORAGE_STATE_ENUMERATE_WANTED : 0) |
			 (controller->commanded ? STORAGE_STATE_COMMANDED : 0),
		.sub_channels_wanted = controller->sub_channels_wanted,
		.sub_channel_count = device_channels_count_subs(&controller->channels),
		.unit_count = scsi_target_unit_count(controller->target),
	};
	int r;

	r = storage_count_requests(controller, &state.request_count);
	if (r < 0)
		return r;
	state_begin(writer, name, STORAGE_STATE_VERSION);
	state_put(writer, &state, sizeof(state));
	storage_save_sub_channels(controller, writer);
	scsi_target_save(controller->target, writer);
	storage_save_requests(controller, writer);
	state_end(writer);
	return 0;
}

/* ---- Restoring ---- */

static bool storage_state_is_valid(const struct storage_controller *controller,
				   const struct storage_state *state)
{
	bool open = controller->primary && vmbus_channel_is_open(controller->primary->channel);

	if (state->state == 0 || state->state > STORVSP_READY ||
	    (state->state & (state->state - 1)) != 0 || (state->state != STORVSP_CLOSED) != open)
		return false;
	return !(state->flags & ~STORAGE_STATE_FLAGS) &&
	       state->sub_channels_wanted <= controller->sub_channel_max &&
	       state->sub_channel_count <= controller->sub_channel_max &&
	       (state->sub_channel_count == 0 || state->sub_channels_wanted == 0) &&
	       state->request_count <= STORVSP_REQUEST_MAX;
}

static int storage_restore_sub_channels(struct storage_controller *controller,
					struct state_record *record, uint32_t count)
{
	struct device_channel *channel;
	struct sub_channel_state state;
	int r;

	for (uint32_t i = 0; i < count; i++) {
		if (state_get(record, &state, sizeof(state)) || state.index == 0 ||
		    state.index > controller->sub_channel_max ||
		    device_channels_find(&controller->channels, state.index))
			return STATE_E_INVALID;
		r = storvsp_channel_new(controller, (uint16_t)state.index, &channel);
		if (r < 0)
			return r;
	}
	return 0;
}

/* The guest's buffer, from where it lies. */
static int request_restore_buffer(struct storvsp_request *request, struct state_record *record,
				  uint32_t count)
{
	const struct vsp_host *host = vmbus_host(storvsp_controller(request->channel)->bus);
	uint64_t size = 0;

	if (count > STORVSP_PAGE_MAX)
		return STATE_E_INVALID;
	for (uint32_t i = 0; i < count; i++) {
		struct extent_state extent;
		void *address;

		if (state_get(record, &extent, sizeof(extent)) || extent.size == 0 ||
		    extent.size > STORVSP_TRANSFER_MAX)
			return STATE_E_INVALID;
		address = host->ops->map(host->host, GPA(extent.gpa), extent.size);
		if (!address)
			return STATE_E_INVALID;
		request->extents[i] =
			(struct vmbus_extent){ .gpa = GPA(extent.gpa), .size = extent.size };
		request->iov[i] = (struct iovec){ .iov_base = address, .iov_len = extent.size };
		size += extent.size;
	}
	request->extent_count = count;
	request->command.iov_count = count;
	return size <= STORVSP_TRANSFER_MAX ? 0 : STATE_E_INVALID;
}

static int request_restore_under_way(struct storvsp_request *request, struct state_record *record,
				     uint32_t extent_count)
{
	int r = request_restore_buffer(request, record, extent_count);

	if (r == 0 &&
	    (request->packet.operation != STORVSP_EXECUTE_SRB || storvsp_request_prepare(request)))
		r = STATE_E_INVALID;
	request->restored = r == 0;
	return r;
}

static int storage_restore_request(struct storage_controller *controller,
				   struct state_record *record)
{
	struct storvsp_request *request;
	struct device_channel *channel;
	struct request_state state;

	if (state_get(record, &state, sizeof(state)) || state.completion_requested > 1 ||
	    state.size < STORVSP_PACKET_SIZE_MIN || state.size > sizeof(struct storvsp_packet))
		return STATE_E_INVALID;
	channel = device_channels_find(&controller->channels, state.sub_channel);
	if (!channel || !vmbus_channel_is_open(channel->channel))
		return STATE_E_INVALID;
	request = storvsp_request_take(channel);
	if (!request)
		return STATE_E_INVALID;
	request->transaction_id = state.transaction_id;
	request->completion_requested = state.completion_requested;
	request->size = state.size;
	memcpy(&request->packet, state.packet, sizeof(request->packet));
	switch (state.kind) {
	case REQUEST_UNDER_WAY:
		if (request_restore_under_way(request, record, state.extent_count) == 0)
			return 0;
		break;
	case REQUEST_REPLY:
		list_append(&channel->unsent, &request->link);
		return 0;
	case REQUEST_RESET:
		list_append(&controller->resets, &request->link);
		return 0;
	}
	storvsp_request_free(request);
	return STATE_E_INVALID;
}

static int storage_restore_with(struct storage_controller *controller, struct state_record *record)
{
	struct storage_state state;
	int r;

	if (state_get(record, &state, sizeof(state)) || !storage_state_is_valid(controller, &state))
		return STATE_E_INVALID;
	controller->frozen = true;
	controller->state = (enum storvsp_state)state.state;
	controller->enumerate_wanted = state.flags & STORAGE_STATE_ENUMERATE_WANTED;
	controller->commanded = state.flags & STORAGE_STATE_COMMANDED;
	controller->sub_channels_wanted = (uint16_t)state.sub_channels_wanted;
	r = storage_restore_sub_channels(controller, record, state.sub_channel_count);
	if (r == 0)
		r = scsi_target_restore(controller->target, record, state.unit_count);
	for (uint32_t i = 0; r == 0 && i < state.request_count; i++)
		r = storage_restore_request(controller, record);
	return r == 0 && record->left > 0 ? STATE_E_INVALID : r;
}

int storage_controller_restore(struct storage_controller *controller, const char *name,
			       const struct state_reader *reader)
{
	struct state_record record;
	int r;

	r = state_find(reader, name, STORAGE_STATE_VERSION, &record);
	return r ?: storage_restore_with(controller, &record);
}
