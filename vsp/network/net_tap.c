/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A tap interface as a network.
 *
 * Reads wait in the ring: the kernel completes one for each frame that comes, and all frames of an
 * iteration are moved by one io_uring_enter(2), whichever way they go. Every wait of a queue is woken by
 * every frame, so only as many reads wait as frames are likely to come at once: twice as many when
 * the last iteration left none, half as many when it left most of them.
 *
 * The descriptors are O_NONBLOCK: that is how io_uring knows that a read of theirs can be tried
 * without blocking, and be left to wait, with no thread of its own.
 *
 * A write that fails (the interface is down) is a frame dropped, as on a wire.
 */
#include "vsp/network/net_backend.h"

#include "common/base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define WINDOW_MAX 16u /* reads of one queue that wait at once */

struct net_tap;

struct tap_queue {
	struct net_tap *tap;
	int fd;
	struct loop_deferred iteration;
	struct list buffers; /* that may be read into, oldest first */
	struct list reading; /* buffers whose reads wait */
	unsigned reading_count;
	unsigned window;   /* so many reads are to wait */
	unsigned finished; /* reads that ended in this iteration */
};

struct net_tap {
	struct net_backend backend;
	struct loop *loop;
	struct list writing;  /* frames under way */
	bool closing, broken; /* broken: the interface is gone */
	struct loop_deferred end;
	struct tap_queue queues[];
};

/* ---- Receiving ---- */

static void tap_check_closed(struct net_tap *tap);

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

	list_unlink(&buffer->link);
	queue->reading_count--;
	queue->finished++;
	if (result == -EBADFD || result == -EFAULT)
		tap_broken(tap);
	buffer->filled(buffer, result >= NET_HEADER_SIZE ? result - NET_HEADER_SIZE : -ECANCELED);
	if (tap->closing)
		tap_check_closed(tap);
	else
		loop_defer(tap->loop, &queue->iteration);
}

static void tap_adapt(struct tap_queue *queue)
{
	if (queue->finished && queue->reading_count == 0)
		queue->window = MIN(queue->window * 2, WINDOW_MAX);
	else if (queue->finished * 4 < queue->window)
		queue->window = MAX(queue->window / 2, 1u);
	queue->finished = 0;
}

static void tap_iteration(struct loop_deferred *deferred)
{
	struct tap_queue *queue = container_of(deferred, struct tap_queue, iteration);
	struct net_tap *tap = queue->tap;

	if (queue->finished)
		tap_adapt(queue);
	while (queue->reading_count < queue->window && !list_empty(&queue->buffers) &&
	       !tap->broken) {
		struct net_buffer *buffer =
			container_of(queue->buffers.next, struct net_buffer, link);

		list_unlink(&buffer->link);
		list_append(&queue->reading, &buffer->link);
		queue->reading_count++;
		buffer->operation.complete = tap_read_complete;
		loop_readv(tap->loop, &buffer->operation, queue->fd, buffer->iov, buffer->iov_count,
			   0);
	}
}

static void tap_receive(struct net_backend *backend, unsigned number, struct net_buffer *buffer)
{
	struct net_tap *tap = container_of(backend, struct net_tap, backend);
	struct tap_queue *queue = &tap->queues[number];

	list_append(&queue->buffers, &buffer->link);
	if (queue->reading_count < queue->window)
		loop_defer(tap->loop, &queue->iteration);
}

static void tap_withdraw_queue(struct tap_queue *queue)
{
	while (!list_empty(&queue->buffers)) {
		struct net_buffer *buffer =
			container_of(queue->buffers.next, struct net_buffer, link);

		list_unlink(&buffer->link);
		buffer->filled(buffer, -ECANCELED);
	}
	list_for_each (link, &queue->reading)
		loop_cancel(queue->tap->loop,
			    &container_of(link, struct net_buffer, link)->operation);
}

static void tap_withdraw(struct net_backend *backend)
{
	struct net_tap *tap = container_of(backend, struct net_tap, backend);

	for (unsigned i = 0; i < backend->queue_count; i++)
		tap_withdraw_queue(&tap->queues[i]);
	list_for_each (link, &tap->writing)
		loop_cancel(tap->loop, &container_of(link, struct net_frame, link)->operation);
}

/* ---- Sending ---- */

static void tap_write_complete(struct loop_operation *operation, int result, bool more)
{
	struct net_frame *frame = container_of(operation, struct net_frame, operation);
	struct net_tap *tap = container_of(frame->backend, struct net_tap, backend);

	list_unlink(&frame->link);
	frame->sent(frame, result < 0 ? result : 0);
	if (tap->closing)
		tap_check_closed(tap);
}

static void tap_send(struct net_backend *backend, unsigned number, struct net_frame *frame)
{
	struct net_tap *tap = container_of(backend, struct net_tap, backend);

	frame->operation.complete = tap_write_complete;
	list_append(&tap->writing, &frame->link);
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
		loop_deferred_cancel(&tap->queues[i].iteration);
		close(tap->queues[i].fd);
	}
	free(tap);
}

/* Everything has come back: in an iteration of its own, since who hears of it may end much else. */
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
	if (!list_empty(&tap->writing))
		return;
	for (unsigned i = 0; i < tap->backend.queue_count; i++)
		if (tap->queues[i].reading_count > 0)
			return;
	loop_defer(tap->loop, &tap->end);
}

static void tap_close(struct net_backend *backend)
{
	struct net_tap *tap = container_of(backend, struct net_tap, backend);

	tap->closing = true;
	tap_withdraw(backend);
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
		return error_origin(-errno);
	flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return error_origin(-errno);
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
	list_init(&tap->writing);
	for (unsigned i = 0; i < count; i++) {
		struct tap_queue *queue = &tap->queues[i];

		queue->tap = tap;
		queue->fd = fds[i];
		queue->window = 1;
		queue->iteration.run = tap_iteration;
		list_init(&queue->iteration.link);
		list_init(&queue->buffers);
		list_init(&queue->reading);
	}
	tap_set_offloads(&tap->backend, 0);
	*ret_backend = &tap->backend;
	return 0;
}
