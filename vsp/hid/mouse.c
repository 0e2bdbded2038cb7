/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The synthetic mouse. */
#include "vsp/hid/mouse.h"

#include "common/base/state.h"
#include "common/wire/mouse.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Five buttons, a place on the screen, a wheel: struct mouse_report. */
static const uint8_t report_descriptor[] = {
	0x05, 0x01,       /* generic desktop */
	0x09, 0x02,       /* mouse */
	0xa1, 0x01,       /* application: */
	0x09, 0x01,       /*  pointer */
	0xa1, 0x00,       /*  physical: */
	0x05, 0x09,       /*   buttons */
	0x19, 0x01,       /*   from 1 */
	0x29, 0x05,       /*   to 5 */
	0x15, 0x00,       /*   values from 0 */
	0x25, 0x01,       /*   to 1 */
	0x95, 0x05,       /*   five */
	0x75, 0x01,       /*   bits */
	0x81, 0x02,       /*   of input */
	0x95, 0x01,       /*   one */
	0x75, 0x03,       /*   of three bits */
	0x81, 0x01,       /*   that says nothing */
	0x05, 0x01,       /*   generic desktop */
	0x09, 0x30,       /*   x */
	0x09, 0x31,       /*   y */
	0x35, 0x00,       /*   which begin at 0 */
	0x15, 0x00,       /*   values from 0 */
	0x26, 0xff, 0x7f, /*   to MOUSE_POSITION_MAX */
	0x75, 0x10,       /*   of 16 bits */
	0x95, 0x02,       /*   two */
	0x81, 0x02,       /*   of input, absolute */
	0x09, 0x38,       /*   wheel */
	0x16, 0x01, 0x80, /*   values from -32767 */
	0x26, 0xff, 0x7f, /*   to 32767 */
	0x75, 0x10,       /*   of 16 bits */
	0x95, 0x01,       /*   one */
	0x81, 0x06,       /*   of input, relative */
	0xc0, 0xc0,
};
_Static_assert(sizeof(report_descriptor) == 67, "as long as Hyper-V's, whose bytes are not known");

struct mouse {
	struct vmbus *bus;
	struct vmbus_channel *channel;
	enum mouse_state state;

	struct mouse_event queue[MOUSE_EVENTS_MAX]; /* the first is the next */
	size_t waiting;
	uint64_t sent;
	bool quiet; /* nothing is sent */
};

/* ---- Sending ---- */

#define BODY_MAX (sizeof(struct mouse_device_info) + sizeof(report_descriptor))

/* Return: 0; VMBUS_E_. */
static int mouse_send(struct mouse *mouse, enum mouse_message_type type, const void *body,
		      size_t size)
{
	struct {
		struct mouse_header header;
		uint8_t body[BODY_MAX];
	} PACKED message;

	assert(size <= sizeof(message.body));
	message.header = (struct mouse_header){
		.pipe_type = MOUSE_PIPE_DATA,
		.pipe_size = (uint32_t)(2 * sizeof(uint32_t) + size),
		.type = type,
		.size = (uint32_t)size,
	};
	memcpy(message.body, body, size);
	return vmbus_channel_send(mouse->channel, RING_PACKET_INBAND, false, 0, &message,
				  sizeof(message.header) + size);
}

static int mouse_send_info(struct mouse *mouse)
{
	struct {
		struct mouse_device_info info;
		uint8_t descriptor[sizeof(report_descriptor)];
	} PACKED body = {
		.info = { .size = offsetof(struct mouse_device_info, hid_size),
			  .vendor = MOUSE_VENDOR,
			  .product = MOUSE_PRODUCT,
			  .version = MOUSE_VERSION,
			  .hid_size = sizeof(struct mouse_device_info) -
				      offsetof(struct mouse_device_info, hid_size),
			  .hid_type = MOUSE_HID_DESCRIPTOR,
			  .hid_version = MOUSE_HID_VERSION,
			  .descriptor_count = 1,
			  .report_type = MOUSE_REPORT_DESCRIPTOR,
			  .report_size = sizeof(report_descriptor) },
	};

	memcpy(body.descriptor, report_descriptor, sizeof(report_descriptor));
	return mouse_send(mouse, MOUSE_DEVICE_INFO, &body, sizeof(body));
}

static bool mouse_send_event(struct mouse *mouse, const struct mouse_event *event)
{
	const struct mouse_report report = {
		.buttons = event->buttons, .x = event->x, .y = event->y, .wheel = event->wheel
	};

	return mouse_send(mouse, MOUSE_REPORT, &report, sizeof(report)) == 0;
}

/* As many as the ring takes: `writable` sends the rest. */
static void mouse_send_events(struct mouse *mouse)
{
	size_t count = 0;

	if (mouse->state != MOUSE_READY || mouse->quiet)
		return;
	while (count < mouse->waiting && mouse_send_event(mouse, &mouse->queue[count]))
		count++;
	mouse->sent += count;
	mouse->waiting -= count;
	memmove(mouse->queue, mouse->queue + count, mouse->waiting * sizeof(mouse->queue[0]));
}

/* ---- Events ---- */

static bool event_is_valid(const struct mouse_event *event)
{
	return !(event->buttons & ~MOUSE_BUTTONS) && event->zero == 0 &&
	       event->x <= MOUSE_POSITION_MAX && event->y <= MOUSE_POSITION_MAX;
}

/* The wheel's turns add up as far as a report can say. */
static void event_merge(struct mouse_event *event, const struct mouse_event *later)
{
	int32_t wheel = event->wheel + later->wheel;

	*event = *later;
	event->wheel = (int16_t)MAX(-INT16_MAX, MIN(wheel, INT16_MAX));
}

int mouse_point(struct mouse *mouse, const struct mouse_event *event)
{
	struct mouse_event *last = mouse->waiting > 0 ? &mouse->queue[mouse->waiting - 1] : NULL;

	loop_assert_thread(vmbus_loop(mouse->bus));
	assert(event_is_valid(event));
	if (mouse->state != MOUSE_READY)
		return MOUSE_E_ABSENT;
	if (last && (mouse->waiting == MOUSE_EVENTS_MAX ||
		     (last->buttons == event->buttons && last->wheel == 0 && event->wheel == 0)))
		event_merge(last, event);
	else
		mouse->queue[mouse->waiting++] = *event;
	mouse_send_events(mouse);
	return 0;
}

/* ---- What the guest sends ---- */

static void mouse_enter(struct mouse *mouse, enum mouse_state state)
{
	mouse->state = state;
	mouse->waiting = 0;
}

static void on_protocol_request(struct mouse *mouse, const uint8_t *body)
{
	struct mouse_protocol_request request;
	struct mouse_protocol_response response;
	int r;

	memcpy(&request, body, sizeof(request));
	response.version = request.version;
	response.accepted = request.version == MOUSE_VERSION_2_0 ? MOUSE_ACCEPTED : 0;
	r = mouse_send(mouse, MOUSE_PROTOCOL_RESPONSE, &response, sizeof(response));
	if (r == 0 && response.accepted)
		r = mouse_send_info(mouse);
	if (r)
		mouse_enter(mouse, MOUSE_REFUSED);
	else
		mouse_enter(mouse, response.accepted ? MOUSE_DESCRIBED : MOUSE_NEGOTIATING);
}

/* What is not known is nothing to us: newer guests may say more. */
static void mouse_take_message(struct mouse *mouse, uint32_t type, const uint8_t *body, size_t size)
{
	if (type == MOUSE_PROTOCOL_REQUEST && size >= sizeof(struct mouse_protocol_request))
		on_protocol_request(mouse, body);
	else if (type == MOUSE_PROTOCOL_REQUEST)
		mouse_enter(mouse, MOUSE_REFUSED);
	else if (type == MOUSE_DEVICE_INFO_ACK && mouse->state == MOUSE_DESCRIBED)
		mouse_enter(mouse, MOUSE_READY);
}

static void mouse_receive(struct mouse *mouse, const struct vmbus_packet *packet)
{
	struct mouse_header header;

	if (mouse->state == MOUSE_REFUSED)
		return;
	if (packet->type != RING_PACKET_INBAND || packet->size < sizeof(header) ||
	    (packet->completion_requested &&
	     vmbus_channel_complete(mouse->channel, packet->transaction_id, NULL, 0))) {
		mouse_enter(mouse, MOUSE_REFUSED);
		return;
	}
	memcpy(&header, packet->payload, sizeof(header));
	mouse_take_message(mouse, header.type, packet->payload + sizeof(header),
			   packet->size - sizeof(header));
}

/* ---- The channel ---- */

static int mouse_opened(void *device, struct vmbus_channel *channel, const uint8_t *user_data)
{
	mouse_enter(device, MOUSE_NEGOTIATING);
	return 0;
}

static void mouse_closed(void *device, struct vmbus_channel *channel)
{
	mouse_enter(device, MOUSE_ABSENT);
	vmbus_channel_closed(channel);
}

static void mouse_readable(void *device, struct vmbus_channel *channel)
{
	struct vmbus_packet packet;

	while (vmbus_channel_receive(channel, &packet) == 0)
		mouse_receive(device, &packet);
}

static void mouse_writable(void *device, struct vmbus_channel *channel)
{
	mouse_send_events(device);
}

static void mouse_released(void *device, struct vmbus_channel *channel)
{
	struct mouse *mouse = device;

	mouse->channel = NULL;
}

static const struct vmbus_channel_ops mouse_channel_ops = {
	.open = mouse_opened,
	.close = mouse_closed,
	.readable = mouse_readable,
	.writable = mouse_writable,
	.released = mouse_released,
};

int mouse_new(struct vmbus *bus, struct mouse **ret_mouse)
{
	static const uint32_t pipe_mode = VMBUS_PIPE_MODE_MESSAGE;
	struct vmbus_offer offer = {
		.type = MOUSE_TYPE,
		.instance = MOUSE_INSTANCE,
		.flags = VMBUS_OFFER_ENUMERATE,
		.name = "mouse",
	};
	CLEANUP(mouse_freep) struct mouse *mouse = calloc(1, sizeof(*mouse));
	int r;

	if (!mouse)
		return -ENOMEM;
	mouse->bus = bus;
	memcpy(offer.user_defined, &pipe_mode, sizeof(pipe_mode));
	r = vmbus_channel_offer(bus, &offer, &mouse_channel_ops, mouse, &mouse->channel);
	if (r < 0)
		return r;
	*ret_mouse = TAKE_PTR(mouse);
	return 0;
}

void mouse_free(struct mouse *mouse)
{
	if (!mouse)
		return;
	loop_assert_thread(vmbus_loop(mouse->bus));
	assert(mouse->state == MOUSE_ABSENT);
	vmbus_channel_free(mouse->channel);
	free(mouse);
}

struct mouse_status mouse_status(const struct mouse *mouse)
{
	return (struct mouse_status){ .state = mouse->state,
				      .waiting = mouse->waiting,
				      .sent = mouse->sent };
}

const char *mouse_state_name(enum mouse_state state)
{
	static const char *const names[] = {
		[MOUSE_ABSENT] = "absent",       [MOUSE_NEGOTIATING] = "negotiating",
		[MOUSE_DESCRIBED] = "described", [MOUSE_READY] = "ready",
		[MOUSE_REFUSED] = "refused",
	};

	return names[state];
}

/* ---- State ---- */

#define MOUSE_STATE_VERSION 1

/* The events follow that wait. */
struct mouse_state_record {
	uint32_t state; /* enum mouse_state */
	uint32_t waiting;
};
_Static_assert(sizeof(struct mouse_state_record) == 8, "stored format");

void mouse_quiesce(struct mouse *mouse)
{
	mouse->quiet = true;
}

void mouse_resume(struct mouse *mouse)
{
	mouse->quiet = false;
	mouse_send_events(mouse);
}

void mouse_save(const struct mouse *mouse, const char *name, struct state_writer *writer)
{
	const struct mouse_state_record state = { .state = mouse->state,
						  .waiting = (uint32_t)mouse->waiting };

	state_begin(writer, name, MOUSE_STATE_VERSION);
	state_put(writer, &state, sizeof(state));
	state_put(writer, mouse->queue, mouse->waiting * sizeof(mouse->queue[0]));
	state_end(writer);
}

static bool mouse_state_is_valid(const struct mouse *mouse, const struct mouse_state_record *state)
{
	bool open = mouse->channel && vmbus_channel_is_open(mouse->channel);

	return state->state <= MOUSE_REFUSED && (state->state != MOUSE_ABSENT) == open &&
	       state->waiting <= (state->state == MOUSE_READY ? MOUSE_EVENTS_MAX : 0);
}

int mouse_restore(struct mouse *mouse, const char *name, const struct state_reader *reader)
{
	struct mouse_state_record state;
	struct state_record record;
	int r;

	r = state_open(reader, name, MOUSE_STATE_VERSION, &state, sizeof(state), &record);
	if (r)
		return r;
	if (!mouse_state_is_valid(mouse, &state) ||
	    state_get(&record, mouse->queue, state.waiting * sizeof(mouse->queue[0])) ||
	    record.left > 0)
		return STATE_E_INVALID;
	for (uint32_t i = 0; i < state.waiting; i++)
		if (!event_is_valid(&mouse->queue[i]))
			return STATE_E_INVALID;
	mouse->quiet = true;
	mouse->state = (enum mouse_state)state.state;
	mouse->waiting = state.waiting;
	return 0;
}
