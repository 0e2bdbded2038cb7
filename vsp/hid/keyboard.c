/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The synthetic keyboard. */
#include "vsp/hid/keyboard.h"

#include "common/base/state.h"
#include "common/wire/keyboard.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define KEY_FLAGS (KEYBOARD_BREAK | KEYBOARD_E0 | KEYBOARD_E1)

struct keyboard {
	struct vmbus *bus;
	struct vmbus_channel *channel;
	enum keyboard_state state;

	struct keyboard_key queue[KEYBOARD_KEYS_MAX]; /* the first is the next */
	size_t waiting;
	uint64_t sent;
	bool quiet; /* nothing is sent */
};

/* ---- Keys ---- */

static bool keyboard_send_key(struct keyboard *keyboard, const struct keyboard_key *key)
{
	const struct keyboard_event event = {
		.type = KEYBOARD_EVENT,
		.make_code = key->make_code,
		.flags = key->flags,
	};

	return vmbus_channel_send(keyboard->channel, RING_PACKET_INBAND, false, 0, &event,
				  sizeof(event)) == 0;
}

/* As many as the ring takes: `writable` sends the rest. */
static void keyboard_send(struct keyboard *keyboard)
{
	size_t count = 0;

	if (keyboard->state != KEYBOARD_READY || keyboard->quiet)
		return;
	while (count < keyboard->waiting && keyboard_send_key(keyboard, &keyboard->queue[count]))
		count++;
	keyboard->sent += count;
	keyboard->waiting -= count;
	memmove(keyboard->queue, keyboard->queue + count,
		keyboard->waiting * sizeof(keyboard->queue[0]));
}

int keyboard_press(struct keyboard *keyboard, const struct keyboard_key *keys, size_t count)
{
	loop_assert_thread(vmbus_loop(keyboard->bus));
	if (keyboard->state != KEYBOARD_READY)
		return KEYBOARD_E_ABSENT;
	if (count > KEYBOARD_KEYS_MAX - keyboard->waiting)
		return KEYBOARD_E_FULL;
	for (size_t i = 0; i < count; i++)
		assert(!(keys[i].flags & ~KEY_FLAGS));
	memcpy(keyboard->queue + keyboard->waiting, keys, count * sizeof(keys[0]));
	keyboard->waiting += count;
	keyboard_send(keyboard);
	return 0;
}

/* ---- What the guest sends ---- */

static void keyboard_enter(struct keyboard *keyboard, enum keyboard_state state)
{
	keyboard->state = state;
	keyboard->waiting = 0;
}

/* Linux waits for the response, and needs the completion for the room that its request took. */
static void on_protocol_request(struct keyboard *keyboard, const struct vmbus_packet *packet)
{
	struct keyboard_protocol_response response = { .type = KEYBOARD_PROTOCOL_RESPONSE };
	struct keyboard_protocol_request request;
	int r = 0;

	memcpy(&request, packet->payload, sizeof(request));
	response.status = request.version == KEYBOARD_VERSION_1_0 ? KEYBOARD_ACCEPTED : 0;
	if (packet->completion_requested)
		r = vmbus_channel_complete(keyboard->channel, packet->transaction_id, NULL, 0);
	if (r == 0)
		r = vmbus_channel_send(keyboard->channel, RING_PACKET_INBAND, false, 0, &response,
				       sizeof(response));
	if (r)
		keyboard_enter(keyboard, KEYBOARD_REFUSED);
	else if (response.status == KEYBOARD_ACCEPTED)
		keyboard_enter(keyboard, KEYBOARD_READY);
	else
		keyboard_enter(keyboard, KEYBOARD_NEGOTIATING);
}

/* What is not known is nothing to us, and neither are the LEDs: newer guests may say more. */
static void keyboard_receive(struct keyboard *keyboard, const struct vmbus_packet *packet)
{
	uint32_t type;

	if (keyboard->state == KEYBOARD_REFUSED)
		return;
	/* The shortest message; a ring has multiples of 8 anyway. */
	if (packet->type != RING_PACKET_INBAND ||
	    packet->size < sizeof(struct keyboard_protocol_request)) {
		keyboard_enter(keyboard, KEYBOARD_REFUSED);
		return;
	}
	memcpy(&type, packet->payload, sizeof(type));
	if (type == KEYBOARD_PROTOCOL_REQUEST)
		on_protocol_request(keyboard, packet);
}

/* ---- The channel ---- */

static int keyboard_opened(void *device, struct vmbus_channel *channel, const uint8_t *user_data)
{
	keyboard_enter(device, KEYBOARD_NEGOTIATING);
	return 0;
}

static void keyboard_closed(void *device, struct vmbus_channel *channel)
{
	keyboard_enter(device, KEYBOARD_ABSENT);
	vmbus_channel_closed(channel);
}

static void keyboard_readable(void *device, struct vmbus_channel *channel)
{
	struct vmbus_packet packet;

	while (vmbus_channel_receive(channel, &packet) == 0)
		keyboard_receive(device, &packet);
}

static void keyboard_writable(void *device, struct vmbus_channel *channel)
{
	keyboard_send(device);
}

static void keyboard_released(void *device, struct vmbus_channel *channel)
{
	struct keyboard *keyboard = device;

	keyboard->channel = NULL;
}

static const struct vmbus_channel_ops keyboard_channel_ops = {
	.open = keyboard_opened,
	.close = keyboard_closed,
	.readable = keyboard_readable,
	.writable = keyboard_writable,
	.released = keyboard_released,
};

int keyboard_new(struct vmbus *bus, struct keyboard **ret_keyboard)
{
	static const struct vmbus_offer offer = {
		.type = KEYBOARD_TYPE,
		.instance = KEYBOARD_INSTANCE,
		.flags = VMBUS_OFFER_ENUMERATE,
		.name = "keyboard",
	};
	CLEANUP(keyboard_freep) struct keyboard *keyboard = calloc(1, sizeof(*keyboard));
	int r;

	if (!keyboard)
		return -ENOMEM;
	keyboard->bus = bus;
	r = vmbus_channel_offer(bus, &offer, &keyboard_channel_ops, keyboard, &keyboard->channel);
	if (r < 0)
		return r;
	*ret_keyboard = TAKE_PTR(keyboard);
	return 0;
}

void keyboard_free(struct keyboard *keyboard)
{
	if (!keyboard)
		return;
	loop_assert_thread(vmbus_loop(keyboard->bus));
	assert(keyboard->state == KEYBOARD_ABSENT);
	vmbus_channel_free(keyboard->channel);
	free(keyboard);
}

struct keyboard_report keyboard_report(const struct keyboard *keyboard)
{
	return (struct keyboard_report){
		.state = keyboard->state,
		.waiting = keyboard->waiting,
		.sent = keyboard->sent,
	};
}

const char *keyboard_state_name(enum keyboard_state state)
{
	static const char *const names[] = {
		[KEYBOARD_ABSENT] = "absent",
		[KEYBOARD_NEGOTIATING] = "negotiating",
		[KEYBOARD_READY] = "ready",
		[KEYBOARD_REFUSED] = "refused",
	};

	return names[state];
}

/* ---- State ---- */

#define KEYBOARD_STATE_VERSION 1

/* The keys follow that wait. */
struct keyboard_state_record {
	uint32_t state; /* enum keyboard_state */
	uint32_t waiting;
};
_Static_assert(sizeof(struct keyboard_state_record) == 8, "stored format");

void keyboard_quiesce(struct keyboard *keyboard)
{
	keyboard->quiet = true;
}

void keyboard_resume(struct keyboard *keyboard)
{
	keyboard->quiet = false;
	keyboard_send(keyboard);
}

void keyboard_save(const struct keyboard *keyboard, const char *name, struct state_writer *writer)
{
	const struct keyboard_state_record state = {
		.state = keyboard->state,
		.waiting = (uint32_t)keyboard->waiting,
	};

	state_begin(writer, name, KEYBOARD_STATE_VERSION);
	state_put(writer, &state, sizeof(state));
	state_put(writer, keyboard->queue, keyboard->waiting * sizeof(keyboard->queue[0]));
	state_end(writer);
}

static bool keyboard_state_is_valid(const struct keyboard *keyboard,
				    const struct keyboard_state_record *state)
{
	bool open = keyboard->channel && vmbus_channel_is_open(keyboard->channel);

	return state->state <= KEYBOARD_REFUSED && (state->state != KEYBOARD_ABSENT) == open &&
	       state->waiting <= (state->state == KEYBOARD_READY ? KEYBOARD_KEYS_MAX : 0);
}

int keyboard_restore(struct keyboard *keyboard, const char *name, const struct state_reader *reader)
{
	struct keyboard_state_record state;
	struct state_record record;
	int r;

	r = state_open(reader, name, KEYBOARD_STATE_VERSION, &state, sizeof(state), &record);
	if (r)
		return r;
	if (!keyboard_state_is_valid(keyboard, &state) ||
	    state_get(&record, keyboard->queue, state.waiting * sizeof(keyboard->queue[0])) ||
	    record.left > 0)
		return STATE_E_INVALID;
	for (uint32_t i = 0; i < state.waiting; i++)
		if (keyboard->queue[i].flags & ~KEY_FLAGS)
			return STATE_E_INVALID;
	keyboard->quiet = true;
	keyboard->state = (enum keyboard_state)state.state;
	keyboard->waiting = state.waiting;
	return 0;
}
