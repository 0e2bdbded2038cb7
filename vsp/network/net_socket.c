/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A stream socket as a network: passt(1), or QEMU's "stream" at the other end.
 *
 * Each frame lies behind its length, 4 bytes, big-endian. The peer takes plain frames: what has
 * gathered goes out by one write, from where it lies (vsp/network/net_gather.h), and the frames
 * stay under way until the socket has taken them; while the peer does not read, they wait. One that
 * has to come back sooner, having gone out in part, is copied then, so that the stream stays one of
 * frames.
 *
 * Likewise one read takes in whatever has come, and frames are copied from there to the buffers.
 * While no buffer is there nothing is read, and the peer waits.
 */
#include "common/base/cleanup.h"
#include "common/base/error.h"
#include "vsp/iov.h"
#include "vsp/network/net_backend.h"
#include "vsp/network/net_gather.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define RECEIVE_SIZE (256u * 1024)

struct net_socket {
	struct net_backend backend;
	struct loop *loop;
	int fd;
	struct list frames;  /* that wait for the write under way */
	struct list sending; /* in `gather`, not taken to the end; oldest first */
	struct list buffers; /* to be filled */
	struct loop_operation read, write;
	bool reading, writing, closing, broken;
	bool withdrawing; /* the write under way is to end */
	struct loop_deferred iteration;

	uint8_t *received;
	size_t received_first, received_end; /* bytes that have come and not been handed on */

	uint64_t taken, begun; /* bytes of the stream: in all, and by the end of the last frame */
	struct iovec *pieces;  /* of `gather`, that the write under way has left */
	unsigned piece_count;
	uint8_t *rest; /* of a frame that came back before it was taken, or NULL */
	struct net_gather gather;
};

static void socket_defer(struct net_socket *net)
{
	loop_defer(net->loop, &net->iteration);
}

static void socket_break(struct net_socket *net)
{
	net->broken = true;
	socket_defer(net);
}

/* ---- Sending ---- */

static void socket_start_write(struct net_socket *net)
{
	net->writing = true;
	loop_writev(net->loop, &net->write, net->fd, net->pieces, net->piece_count, 0, 0);
}

/* What becomes of the frame: 0: it is to be sent; -errno: it is dropped. */
static int socket_judge(const struct net_socket *net, const struct net_frame *frame)
{
	const struct virtio_net_hdr *header = &frame->header;

	if (net->broken || net->closing)
		return -EPIPE;
	if (header->gso_type != VIRTIO_NET_HDR_GSO_NONE && header->gso_size < NET_GATHER_SEGMENT)
		return -EMSGSIZE;
	return 0;
}

/* Return: whether there was room. */
static bool socket_gather(struct net_socket *net, struct net_frame *frame)
{
	if (!net_gather_add(&net->gather, frame))
		return false;
	frame->end = net->taken + net->gather.size;
	list_unlink(&frame->link);
	list_append(&net->sending, &frame->link);
	return true;
}

static void socket_send_waiting(struct net_socket *net)
{
	if (net->writing)
		return;
	net_gather_empty(&net->gather);
	net->begun = net->taken;
	while (!list_empty(&net->frames)) {
		struct net_frame *frame = container_of(net->frames.next, struct net_frame, link);
		int result = socket_judge(net, frame);

		if (result == 0 && !socket_gather(net, frame))
			break;
		if (result < 0) {
			list_unlink(&frame->link);
			frame->sent(frame, result);
		}
	}
	net->pieces = net->gather.pieces;
	net->piece_count = net->gather.count;
	if (net->piece_count > 0)
		socket_start_write(net);
}

static void socket_send(struct net_backend *backend, unsigned queue, struct net_frame *frame)
{
	struct net_socket *net = container_of(backend, struct net_socket, backend);

	list_append(&net->frames, &frame->link);
	socket_defer(net);
}

/* Frames come back that the socket has taken to their end. */
static void socket_release_taken(struct net_socket *net)
{
	while (!list_empty(&net->sending)) {
		struct net_frame *frame = container_of(net->sending.next, struct net_frame, link);

		if (frame->end > net->taken)
			return;
		net->begun = frame->end;
		list_unlink(&frame->link);
		frame->sent(frame, 0);
	}
}

static void socket_return(struct list *frames, int result)
{
	while (!list_empty(frames)) {
		struct net_frame *frame = container_of(frames->next, struct net_frame, link);

		list_unlink(&frame->link);
		frame->sent(frame, result);
	}
}

/*
 * All frames are to come back. What is left of one that has gone in part is copied, and of the
 * others nothing is sent. Return: 0; -ENOMEM.
 */
static int socket_keep_rest(struct net_socket *net)
{
	struct net_frame *frame = container_of(net->sending.next, struct net_frame, link);
	size_t size = net->taken > net->begun ? (size_t)(frame->end - net->taken) : 0;

	if (size > 0) {
		net->rest = malloc(size);
		if (!net->rest)
			return -ENOMEM;
		iov_copy_in(net->rest, size, net->pieces, net->piece_count);
		net->pieces = net->gather.pieces;
		net->pieces[0] = (struct iovec){ net->rest, size };
		list_unlink(&frame->link);
		frame->sent(frame, 0);
	}
	net->piece_count = size > 0;
	socket_return(&net->sending, -ECANCELED);
	return 0;
}

static void socket_written(struct loop_operation *operation, int result, bool more)
{
	struct net_socket *net = container_of(operation, struct net_socket, write);

	net->writing = false;
	if (result > 0) {
		net->taken += (uint64_t)result;
		iov_consume(&net->pieces, &net->piece_count, (size_t)result);
		socket_release_taken(net);
	} else if (result != -ECANCELED) {
		socket_break(net);
	}
	if (net->withdrawing && !net->broken && !list_empty(&net->sending) &&
	    socket_keep_rest(net) < 0)
		socket_break(net);
	net->withdrawing = false;
	if (net->broken || net->closing) {
		net->piece_count = 0;
		socket_return(&net->sending, -EPIPE);
	}
	if (net->piece_count > 0)
		socket_start_write(net);
	else
		free(TAKE_PTR(net->rest));
	socket_defer(net);
}

/* ---- Receiving ---- */

/* Return: whether a frame was handed on. */
static bool socket_deliver(struct net_socket *net)
{
	size_t left = net->received_end - net->received_first;
	const uint8_t *at = net->received + net->received_first;
	struct net_buffer *buffer;
	uint32_t size;

	if (left < 4 || list_empty(&net->buffers))
		return false;
	size = (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
	if (size > NET_FRAME_MAX) {
		socket_break(net);
		return false;
	}
	if (left < 4 + size)
		return false;
	net->received_first += 4 + size;
	buffer = container_of(net->buffers.next, struct net_buffer, link);
	list_unlink(&buffer->link);
	memset(&buffer->header, 0, sizeof(buffer->header));
	size = (uint32_t)iov_copy_out(buffer->iov + 1, buffer->iov_count - 1, at + 4, size);
	buffer->filled(buffer, (int)size);
	return true;
}

static void socket_start_read(struct net_socket *net)
{
	size_t left = net->received_end - net->received_first;

	/* Not before the largest frame fits behind what is there. */
	if (net->reading || net->broken || net->closing || list_empty(&net->buffers))
		return;
	memmove(net->received, net->received + net->received_first, left);
	net->received_first = 0;
	net->received_end = left;
	net->reading = true;
	loop_read(net->loop, &net->read, net->fd, net->received + left, RECEIVE_SIZE - left);
}

static void socket_has_read(struct loop_operation *operation, int result, bool more)
{
	struct net_socket *net = container_of(operation, struct net_socket, read);

	net->reading = false;
	if (result <= 0)
		socket_break(net);
	else
		net->received_end += (size_t)result;
	socket_defer(net);
}

static void socket_receive(struct net_backend *backend, unsigned queue, struct net_buffer *buffer)
{
	struct net_socket *net = container_of(backend, struct net_socket, backend);

	list_append(&net->buffers, &buffer->link);
	socket_defer(net);
}

static void socket_withdraw(struct net_backend *backend)
{
	struct net_socket *net = container_of(backend, struct net_socket, backend);

	while (!list_empty(&net->buffers)) {
		struct net_buffer *buffer =
			container_of(net->buffers.next, struct net_buffer, link);

		list_unlink(&buffer->link);
		buffer->filled(buffer, -ECANCELED);
	}
	socket_return(&net->frames, -ECANCELED);
	if (net->writing && !net->withdrawing && !list_empty(&net->sending)) {
		net->withdrawing = true;
		loop_cancel(net->loop, &net->write);
	}
}

/* ---- Iterations of the loop, and the end ---- */

static void socket_free(struct net_backend *backend)
{
	struct net_socket *net = container_of(backend, struct net_socket, backend);

	loop_deferred_cancel(&net->iteration);
	close(net->fd);
	free(net->received);
	free(net->rest);
	free(net);
}

static void socket_end(struct net_socket *net)
{
	void (*closed)(void *data) = net->backend.closed;
	void *data = net->backend.closed_data;

	if (net->reading || net->writing)
		return;
	socket_free(&net->backend);
	if (closed)
		closed(data);
}

static void socket_iteration(struct loop_deferred *deferred)
{
	struct net_socket *net = container_of(deferred, struct net_socket, iteration);
	void (*ended)(void *data) = net->backend.ended;

	socket_send_waiting(net);
	if (net->closing) {
		socket_end(net);
		return;
	}
	while (!net->broken && socket_deliver(net))
		;
	socket_start_read(net);
	if (net->broken && ended) {
		net->backend.ended = NULL;
		ended(net->backend.data);
	}
}

static void socket_close(struct net_backend *backend)
{
	struct net_socket *net = container_of(backend, struct net_socket, backend);

	net->closing = true;
	socket_withdraw(backend);
	if (net->reading)
		loop_cancel(net->loop, &net->read);
	if (net->writing)
		loop_cancel(net->loop, &net->write);
	socket_defer(net);
}

static const struct net_backend_ops socket_ops = {
	.name = "socket",
	.send = socket_send,
	.receive = socket_receive,
	.withdraw = socket_withdraw,
	.close = socket_close,
	.free = socket_free,
};

int net_socket_new(struct loop *loop, int socket, struct net_backend **ret_backend)
{
	struct net_socket *net;
	int flags, type;
	socklen_t size = sizeof(type);

	if (getsockopt(socket, SOL_SOCKET, SO_TYPE, &type, &size) < 0 || type != SOCK_STREAM)
		return -EINVAL;
	flags = fcntl(socket, F_GETFL);
	/* The loop waits for it, which it does not for what must not block. */
	if (flags < 0 || fcntl(socket, F_SETFL, flags & ~O_NONBLOCK) < 0)
		return error_origin(-errno);
	net = calloc(1, sizeof(*net));
	if (!net)
		return -ENOMEM;
	net->received = malloc(RECEIVE_SIZE);
	if (!net->received) {
		free(net);
		return -ENOMEM;
	}
	net->backend.ops = &socket_ops;
	net->backend.queue_count = 1;
	net->loop = loop;
	net->fd = socket;
	net->read.complete = socket_has_read;
	net->write.complete = socket_written;
	net->iteration.run = socket_iteration;
	list_init(&net->iteration.link);
	list_init(&net->frames);
	list_init(&net->sending);
	list_init(&net->buffers);
	*ret_backend = &net->backend;
	return 0;
}
