/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One connection of vsp/socket/sockets.h.
 *
 * Callbacks of the channel and completions leave their mark in the struct, and stream_iteration()
 * does what is to be done, once per iteration of the loop. To the host goes one packet at a time,
 * from the channel's private copy of it: until that is written no other is received, the ring
 * fills, and the guest waits. To the guest goes one buffer at a time, cut into pieces; while one
 * does not fit into the ring, nothing is read, the socket fills, and the host's end waits.
 *
 * When both sides have said their last the offer is withdrawn, not rescinded: the channel stays
 * open for what the guest has not read, and no descriptor of the host's waits for that.
 */
#include "vsp/socket/socket_stream.h"

#include "common/base/cleanup.h"
#include "common/base/error.h"
#include "common/base/json.h"
#include "common/base/loop.h"
#include "common/wire/hv_socket.h"
#include "common/wire/ring.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUFFER_SIZE 16384

enum stream_state {
	STREAM_OFFERED,
	STREAM_OPEN,
	STREAM_DONE,    /* both sides have said their last; the guest may still read */
	STREAM_CLOSING, /* the channel is to close when the loop lets go of operations */
};

struct socket_stream {
	struct vmbus_channel *channel;
	const struct socket_stream_callbacks *callbacks;
	void *owner;
	struct loop *loop;
	int fd;
	enum stream_state state;
	bool was_opened;
	bool quiet;
	struct loop_deferred iteration;
	struct loop_operation read, write;
	bool reading, writing;

	/* From the guest. */
	const uint8_t *packet; /* what is left to write of the last one */
	uint32_t packet_left;
	bool guest_done; /* it sends no more, and the socket was told */
	bool deaf;       /* the host's end takes no more: what the guest sends is dropped */
	bool broken;     /* it does not follow the protocol */

	/* To the guest. */
	uint8_t *buffer;
	uint32_t buffer_first, buffer_end;
	bool host_done; /* the host's end sends no more */
	bool told_done; /* and the guest knows */
};

/* ---- From the guest to the host ---- */

/* Return: whether it makes sense. */
static bool stream_take_packet(struct socket_stream *stream, const struct vmbus_packet *packet)
{
	struct hv_socket_header header;

	if (packet->type != RING_PACKET_INBAND || packet->size < sizeof(header))
		return false;
	memcpy(&header, packet->payload, sizeof(header));
	if (header.type != HV_SOCKET_DATA || header.size > packet->size - sizeof(header))
		return false;
	if (header.size == 0) {
		stream->guest_done = true;
		if (!stream->deaf)
			(void)!shutdown(stream->fd, SHUT_WR);
	} else if (!stream->deaf) {
		stream->packet = packet->payload + sizeof(header);
		stream->packet_left = header.size;
	}
	return true;
}

static void stream_from_guest(struct socket_stream *stream)
{
	while (!stream->writing && !stream->guest_done && !stream->broken) {
		struct vmbus_packet packet;
		int r;

		if (stream->packet_left > 0) {
			stream->writing = true;
			loop_write(stream->loop, &stream->write, stream->fd, stream->packet,
				   stream->packet_left);
			return;
		}
		r = vmbus_channel_receive(stream->channel, &packet);
		if (r == VMBUS_E_EMPTY)
			return;
		stream->broken = r || !stream_take_packet(stream, &packet);
	}
}

/* ---- From the host to the guest ---- */

/* Return: whether it went. */
static bool stream_send_piece(struct socket_stream *stream, uint32_t size)
{
	struct {
		struct hv_socket_header header;
		uint8_t bytes[HV_SOCKET_PIECE_MAX];
	} piece = { .header = { .type = HV_SOCKET_DATA, .size = size } };
	int r;

	if (size > 0)
		memcpy(piece.bytes, stream->buffer + stream->buffer_first, size);
	r = vmbus_channel_send(stream->channel, RING_PACKET_INBAND, false, 0, &piece,
			       sizeof(piece.header) + size);
	stream->broken |= r && r != VMBUS_E_FULL;
	return r == 0;
}

static void stream_to_guest(struct socket_stream *stream)
{
	while (!stream->reading && !stream->broken && !stream->told_done) {
		uint32_t size = MIN(stream->buffer_end - stream->buffer_first, HV_SOCKET_PIECE_MAX);

		if (size == 0 && !stream->host_done) {
			stream->reading = true;
			loop_read(stream->loop, &stream->read, stream->fd, stream->buffer,
				  BUFFER_SIZE);
			return;
		}
		if (!stream_send_piece(stream, size))
			return;
		stream->buffer_first += size;
		stream->told_done = size == 0;
	}
}

/* ---- Iterations of the loop ---- */

static void stream_close_end(struct socket_stream *stream)
{
	close_fdp(&stream->fd);
}

static void stream_iteration(struct loop_deferred *deferred)
{
	struct socket_stream *stream = container_of(deferred, struct socket_stream, iteration);

	if (stream->state != STREAM_OPEN || stream->quiet)
		return;
	stream_from_guest(stream);
	stream_to_guest(stream);
	if (stream->broken) {
		vmbus_channel_rescind(stream->channel);
	} else if (stream->told_done && (stream->guest_done || stream->deaf)) {
		stream->state = STREAM_DONE;
		stream_close_end(stream);
		vmbus_channel_withdraw(stream->channel);
	}
}

static void stream_defer(struct socket_stream *stream)
{
	loop_defer(stream->loop, &stream->iteration);
}

static void stream_settle(struct socket_stream *stream)
{
	if (stream->state != STREAM_CLOSING || stream->reading || stream->writing)
		return;
	stream_close_end(stream);
	vmbus_channel_closed(stream->channel);
}

static void stream_has_read(struct loop_operation *operation, int result, bool more)
{
	struct socket_stream *stream = container_of(operation, struct socket_stream, read);

	stream->reading = false;
	stream->buffer_first = 0;
	stream->buffer_end = result > 0 ? (uint32_t)result : 0;
	stream->host_done = result <= 0;
	if (stream->state == STREAM_CLOSING)
		stream_settle(stream);
	else
		stream_defer(stream);
}

static void stream_written(struct loop_operation *operation, int result, bool more)
{
	struct socket_stream *stream = container_of(operation, struct socket_stream, write);

	stream->writing = false;
	if (result > 0) {
		stream->packet += result;
		stream->packet_left -= (uint32_t)result;
	} else {
		stream->packet_left = 0;
		stream->deaf = true;
	}
	if (stream->state == STREAM_CLOSING)
		stream_settle(stream);
	else
		stream_defer(stream);
}

/* ---- The channel ---- */

static int stream_opened(void *device, struct vmbus_channel *channel, const uint8_t *user_data)
{
	struct socket_stream *stream = device;

	stream->buffer = malloc(BUFFER_SIZE);
	if (!stream->buffer)
		return -ENOMEM;
	stream->state = STREAM_OPEN;
	stream->was_opened = true;
	stream->callbacks->opened(stream->owner, stream->fd);
	stream_defer(stream);
	return 0;
}

static void stream_closed(void *device, struct vmbus_channel *channel)
{
	struct socket_stream *stream = device;

	stream->state = STREAM_CLOSING;
	loop_deferred_cancel(&stream->iteration);
	if (stream->reading)
		loop_cancel(stream->loop, &stream->read);
	if (stream->writing)
		loop_cancel(stream->loop, &stream->write);
	/* Such a channel is of one connection, whoever comes next. */
	vmbus_channel_rescind(channel);
	stream_settle(stream);
}

static void stream_readable(void *device, struct vmbus_channel *channel)
{
	stream_defer(device);
}

static void stream_released(void *device, struct vmbus_channel *channel)
{
	struct socket_stream *stream = device;

	loop_deferred_cancel(&stream->iteration);
	stream_close_end(stream);
	stream->callbacks->ended(stream->owner);
	free(stream->buffer);
	free(stream);
}

static const struct vmbus_channel_ops stream_channel_ops = {
	.open = stream_opened,
	.close = stream_closed,
	.readable = stream_readable,
	.writable = stream_readable,
	.released = stream_released,
};

static int stream_offer(struct socket_stream *stream, const struct socket_stream_config *config)
{
	const struct hv_socket_offer parameters = {
		.pipe_mode = VMBUS_PIPE_MODE_BYTE,
		.from_host = config->from_host,
	};
	struct vmbus_offer offer = {
		.type = config->type,
		.instance = config->instance,
		.flags = VMBUS_OFFER_ENUMERATE | VMBUS_OFFER_NAMED_PIPE | VMBUS_OFFER_SOCKET,
		.name = "Hyper-V socket",
	};

	memcpy(offer.user_defined, &parameters, sizeof(parameters));
	return vmbus_channel_offer(config->bus, &offer, &stream_channel_ops, stream,
				   &stream->channel);
}

int socket_stream_new(const struct socket_stream_config *config, int fd,
		      struct socket_stream **ret_stream)
{
	struct socket_stream *stream;
	int flags, r;

	/* The loop waits for it, which it does not for what must not block. */
	flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) < 0)
		return error_origin(-errno);
	stream = calloc(1, sizeof(*stream));
	if (!stream)
		return -ENOMEM;
	stream->loop = vmbus_loop(config->bus);
	stream->callbacks = config->callbacks;
	stream->owner = config->owner;
	stream->fd = fd;
	stream->read.complete = stream_has_read;
	stream->write.complete = stream_written;
	stream->iteration.run = stream_iteration;
	list_init(&stream->iteration.link);
	r = stream_offer(stream, config);
	if (r < 0) {
		free(stream);
		return r;
	}
	*ret_stream = stream;
	return 0;
}

void socket_stream_abort(struct socket_stream *stream)
{
	vmbus_channel_rescind(stream->channel);
}

void socket_stream_set_quiet(struct socket_stream *stream, bool quiet)
{
	stream->quiet = quiet;
	if (!quiet)
		stream_defer(stream);
}

bool socket_stream_was_opened(const struct socket_stream *stream)
{
	return stream->was_opened;
}

/* ---- Inspection ---- */

struct json_object *socket_stream_inspect(const struct socket_stream *stream)
{
	static const char *const states[] = {
		[STREAM_OFFERED] = "offered",
		[STREAM_OPEN] = "open",
		[STREAM_DONE] = "done",
		[STREAM_CLOSING] = "closing",
	};
	uint32_t held = stream->buffer_end - stream->buffer_first;

	return json_make("state", json_object_new_string(states[stream->state]), "relid",
			 json_object_new_int64(vmbus_channel_relid(stream->channel)),
			 "bytes_to_host", json_object_new_int64(stream->packet_left),
			 "bytes_to_guest", json_object_new_int64(held), "reads",
			 json_object_new_boolean(stream->reading), "writes",
			 json_object_new_boolean(stream->writing), "guest_done",
			 json_object_new_boolean(stream->guest_done), "host_done",
			 json_object_new_boolean(stream->host_done), "host_deaf",
			 json_object_new_boolean(stream->deaf), NULL);
}
