/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A tap interface as a network.
 *
 * The descriptors do not block, so that the kernel does every read and write of a batch while it
 * takes the batch in: one io_uring_enter(2) moves all the frames of a turn, whichever way they go.
 *
 * A queue that the poll found readable reads into a burst of the buffers it was given. A read that
 * found nothing ends the burst and the queue waits for the next poll; a burst that filled every
 * buffer is followed by a larger one. The poll stays armed, so nothing is missed between.
 *
 * A write that fails (the interface is down, its queue is full) is a frame dropped, as on a wire.
 */
#include "vsp/net_backend.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define BURST_MIN 2u
#define BURST_MAX 16u

struct net_tap;

struct tap_queue {
	struct net_tap *tap;
	int fd;
	struct loop_operation poll;
	struct loop_deferred turn;
	struct list buffers; /* that may be read into, oldest first */
	unsigned burst;      /* reads of the next batch */
	unsigned reading;    /* reads under way */
	bool polling;        /* the poll is armed */
	bool readable;       /* there may be frames */
	bool drained;        /* a read of this batch found none */
	bool withdrawing;    /* the reads under way are the last */
};

struct net_tap {
	struct net_backend backend;
	struct loop *loop;
	unsigned writing;     /* frames under way */
	bool closing, broken; /* broken: the interface is gone */
	struct loop_deferred end;
	struct tap_queue queues[];
};

/* ---- Receiving ---- */

static void tap_check_closed(struct net_tap *tap);

static void tap_withdraw_queue(struct tap_queue *queue)
{
	queue->withdrawing = queue->reading > 0;
	while (!list_empty(&queue->buffers)) {
		struct net_buffer *buffer =
			container_of(queue->buffers.next, struct net_buffer, link);

		list_unlink(&buffer->link);
		buffer->filled(buffer, -ECANCELED);
	}
}

/* All reads of a batch have ended. */
static void tap_batch_ended(struct tap_queue *queue)
{
	struct net_tap *tap = queue->tap;

	if (queue->drained)
		queue->burst = MAX(BURST_MIN, queue->burst / 2);
	else
		queue->burst = MIN(BURST_MAX, queue->burst * 2);
	queue->readable |= !queue->drained;
	queue->withdrawing = false;
	if (tap->closing)
		tap_check_closed(tap);
	else
		loop_defer(tap->loop, &queue->turn);
}

static void tap_broken(struct net_tap *tap)
{
	if (tap->broken || tap->closing)
		return;
	tap->broken = true;
	loop_defer(tap->loop, &tap->end);
}

static void tap_read_complete(struct loop_operation *operation, int result, bool more)
{
	struct net_buffer *buffer = container_of(operation, struct net_buffer, operation);
	struct net_tap *tap = container_of(buffer->backend, struct net_tap, backend);
	struct tap_queue *queue = &tap->queues[buffer->queue];

	queue->reading--;
	if (result >= NET_HEADER_SIZE) {
		buffer->filled(buffer, result - NET_HEADER_SIZE);
	} else {
		queue->drained = true;
		if (result == -EBADFD || result == -EFAULT)
			tap_broken(tap);
		if (queue->withdrawing)
			buffer->filled(buffer, -ECANCELED);
		else
			list_append(&queue->buffers, &buffer->link);
	}
	if (queue->reading == 0)
		tap_batch_ended(queue);
}

/* Starts a batch, if there may be frames and there is room for them. */
static void tap_read(struct tap_queue *queue)
{
	struct net_tap *tap = queue->tap;

	if (!queue->readable || queue->reading > 0 || tap->closing || tap->broken)
		return;
	if (list_empty(&queue->buffers))
		return;
	queue->readable = queue->drained = false;
	while (queue->reading < queue->burst && !list_empty(&queue->buffers)) {
		struct net_buffer *buffer =
			container_of(queue->buffers.next, struct net_buffer, link);

		list_unlink(&buffer->link);
		buffer->operation.complete = tap_read_complete;
		queue->reading++;
		loop_readv(tap->loop, &buffer->operation, queue->fd, buffer->iov, buffer->iov_count,
			   0);
	}
}

static void tap_turn(struct loop_deferred *deferred)
{
	tap_read(container_of(deferred, struct tap_queue, turn));
}

static void tap_polled(struct loop_operation *operation, int result, bool more)
{
	struct tap_queue *queue = container_of(operation, struct tap_queue, poll);
	struct net_tap *tap = queue->tap;

	queue->polling = more;
	if (tap->closing) {
		tap_check_closed(tap);
		return;
	}
	if (result < 0 && !more) {
		tap_broken(tap);
		return;
	}
	if (!more) {
		queue->polling = true;
		loop_poll(tap->loop, &queue->poll, queue->fd, POLLIN);
	}
	queue->readable = true;
	tap_read(queue);
}

static void tap_receive(struct net_backend *backend, unsigned number, struct net_buffer *buffer)
{
	struct net_tap *tap = container_of(backend, struct net_tap, backend);
	struct tap_queue *queue = &tap->queues[number];

	list_append(&queue->buffers, &buffer->link);
	if (queue->readable && queue->reading == 0)
		loop_defer(tap->loop, &queue->turn);
}

static void tap_withdraw(struct net_backend *backend)
{
	struct net_tap *tap = container_of(backend, struct net_tap, backend);

	for (unsigned i = 0; i < backend->queue_count; i++)
		tap_withdraw_queue(&tap->queues[i]);
}

/* ---- Sending ---- */

static void tap_write_complete(struct loop_operation *operation, int result, bool more)
{
	struct net_frame *frame = container_of(operation, struct net_frame, operation);
	struct net_tap *tap = container_of(frame->backend, struct net_tap, backend);

	tap->writing--;
	frame->sent(frame, result < 0 ? result : 0);
	if (tap->closing)
		tap_check_closed(tap);
}

static void tap_send(struct net_backend *backend, unsigned number, struct net_frame *frame)
{
	struct net_tap *tap = container_of(backend, struct net_tap, backend);

	frame->operation.complete = tap_write_complete;
	tap->writing++;
	loop_writev(tap->loop, &frame->operation, tap->queues[number].fd, frame->iov,
		    frame->iov_count, 0, 0);
}

static void tap_set_offloads(struct net_backend *backend, unsigned offloads)
{
	struct net_tap *tap = container_of(backend, struct net_tap, backend);
	unsigned long flags = 0;

	if (offloads & NET_OFFLOAD_CHECKSUM)
		flags |= TUN_F_CSUM;
	if (offloads & NET_OFFLOAD_LARGE)
		flags |= TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
	/* One setting for all queues. Without it the kernel finishes the frames itself. */
	(void)!ioctl(tap->queues[0].fd, TUNSETOFFLOAD, flags);
}

/* ---- Closing ---- */

static void tap_free(struct net_backend *backend)
{
	struct net_tap *tap = container_of(backend, struct net_tap, backend);

	loop_deferred_cancel(&tap->end);
	for (unsigned i = 0; i < tap->backend.queue_count; i++) {
		loop_deferred_cancel(&tap->queues[i].turn);
		close(tap->queues[i].fd);
	}
	free(tap);
}

/* Everything has come back: in a turn of its own, since who hears of it may end much else. */
static void tap_end(struct loop_deferred *deferred)
{
	struct net_tap *tap = container_of(deferred, struct net_tap, end);
	void (*closed)(void *data) = tap->backend.closed;
	void *data = tap->backend.closed_data;
	void (*ended)(void *data) = tap->backend.ended;

	if (!tap->closing) {
		tap->backend.ended = NULL;
		if (ended)
			ended(tap->backend.data);
		return;
	}
	tap_free(&tap->backend);
	if (closed)
		closed(data);
}

static void tap_check_closed(struct net_tap *tap)
{
	if (tap->writing > 0)
		return;
	for (unsigned i = 0; i < tap->backend.queue_count; i++)
		if (tap->queues[i].polling || tap->queues[i].reading > 0)
			return;
	loop_defer(tap->loop, &tap->end);
}

static void tap_close(struct net_backend *backend)
{
	struct net_tap *tap = container_of(backend, struct net_tap, backend);

	tap->closing = true;
	for (unsigned i = 0; i < backend->queue_count; i++) {
		tap_withdraw_queue(&tap->queues[i]);
		if (tap->queues[i].polling)
			loop_cancel(tap->loop, &tap->queues[i].poll);
	}
	tap_check_closed(tap);
}

static const struct net_backend_ops tap_ops = {
	.name = "tap",
	.send = tap_send,
	.receive = tap_receive,
	.withdraw = tap_withdraw,
	.set_offloads = tap_set_offloads,
	.close = tap_close,
	.free = tap_free,
};

/* ---- Opening ---- */

/* Return: 0; -EINVAL: not a tap with virtio headers; -errno. */
static int tap_prepare(int fd)
{
	struct ifreq request = { 0 };
	int size = NET_HEADER_SIZE, flags;

	if (ioctl(fd, TUNGETIFF, &request) < 0)
		return -EINVAL;
	if (!(request.ifr_flags & IFF_TAP) || !(request.ifr_flags & IFF_NO_PI) ||
	    !(request.ifr_flags & IFF_VNET_HDR))
		return -EINVAL;
	if (ioctl(fd, TUNSETVNETHDRSZ, &size) < 0)
		return -errno;
	flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	return 0;
}

int net_tap_new(struct loop *loop, const int *fds, unsigned count, struct net_backend **ret_backend)
{
	struct net_tap *tap;
	int r;

	if (count < 1 || count > NET_QUEUE_MAX)
		return -EINVAL;
	for (unsigned i = 0; i < count; i++) {
		r = tap_prepare(fds[i]);
		if (r < 0)
			return r;
	}
	tap = calloc(1, sizeof(*tap) + count * sizeof(*tap->queues));
	if (!tap)
		return -ENOMEM;
	tap->backend.ops = &tap_ops;
	tap->backend.queue_count = count;
	tap->loop = loop;
	tap->end.run = tap_end;
	list_init(&tap->end.link);
	for (unsigned i = 0; i < count; i++) {
		struct tap_queue *queue = &tap->queues[i];

		queue->tap = tap;
		queue->fd = fds[i];
		queue->burst = BURST_MIN;
		queue->readable = queue->polling = true;
		queue->poll.complete = tap_polled;
		queue->turn.run = tap_turn;
		list_init(&queue->turn.link);
		list_init(&queue->buffers);
		loop_poll(loop, &queue->poll, queue->fd, POLLIN);
	}
	tap_set_offloads(&tap->backend, 0);
	*ret_backend = &tap->backend;
	return 0;
}
