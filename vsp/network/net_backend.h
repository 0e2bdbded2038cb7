/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where an adapter's frames go to and come from: a const ops table per kind of network.
 *
 *   net_tap_new()     a tap interface: queues of descriptors, each frame behind a virtio header
 *   net_socket_new()  a stream socket, each frame behind its length: passt
 *   net_null_new()    nothing: what is sent is gone, to measure what all else costs
 *
 * The adapter owns frames and buffers and gives them away: a frame until `sent`, a buffer until
 * `filled`. Either may be called before the function that gave it away returns. How many are under
 * way is the adapter's to bound.
 *
 * A frame's memory may be the guest's, which changes under our hands: a back end believes nothing
 * that it reads there. The adapter's own are the virtio header, which has been checked against the
 * frame's size, and the headers of a large send: the first hdr_len bytes, in one piece.
 *
 * Thread: the loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/list.h"
#include "common/base/loop.h"

#include <linux/virtio_net.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#define NET_FRAME_MIN    14
#define NET_FRAME_MAX    (65535 + 18) /* bytes, with Ethernet header and VLAN tag */
#define NET_FRAME_PIECES 70           /* at most, of one frame */
#define NET_QUEUE_MAX    16
#define NET_HEADER_SIZE  10 /* of struct virtio_net_hdr on the wire */
_Static_assert(sizeof(struct virtio_net_hdr) == NET_HEADER_SIZE, "wire format");

/* What the adapter can take, net_backend_set_offloads(). */
#define NET_OFFLOAD_CHECKSUM 0x1u /* frames whose transport checksum is not filled in */
#define NET_OFFLOAD_LARGE    0x2u /* TCP segments larger than the network's */

struct net_backend;

/* A frame to send. iov[0] is the header, as the adapter wants the rest to be treated. */
struct net_frame {
	struct virtio_net_hdr header;
	struct iovec *iov;
	unsigned iov_count;
	/* result: 0; -errno: the frame was dropped. */
	void (*sent)(struct net_frame *frame, int result);

	/* The back end's. */
	struct net_backend *backend;
	struct loop_operation operation;
	struct list link;
	uint64_t end; /* of it, in a stream */
};

/* Room for a frame. iov[0] is the header, which the back end fills or clears. */
struct net_buffer {
	struct virtio_net_hdr header;
	struct iovec *iov;
	unsigned iov_count;
	/* result: bytes of the frame; -ECANCELED: the buffer comes back empty. */
	void (*filled)(struct net_buffer *buffer, int result);

	/* The back end's. */
	struct net_backend *backend;
	unsigned queue;
	struct loop_operation operation;
	struct list link;
};

struct net_backend_ops {
	const char *name; /* "tap", "socket", "null" */
	void (*send)(struct net_backend *backend, unsigned queue, struct net_frame *frame);
	void (*receive)(struct net_backend *backend, unsigned queue, struct net_buffer *buffer);

	/*
	 * Every buffer comes back, now or soon, and no other is given until they have; so does
	 * every frame that waits for a peer that does not read.
	 */
	void (*withdraw)(struct net_backend *backend);

	/* NET_OFFLOAD_ that received frames may make use of. Optional. */
	void (*set_offloads)(struct net_backend *backend, unsigned offloads);

	/*
	 * Frames and buffers come back; then the back end closes, frees itself, and calls closed.
	 */
	void (*close)(struct net_backend *backend);

	/* At once: the loop will not run again, and nothing comes back. */
	void (*free)(struct net_backend *backend);
};

struct net_backend {
	const struct net_backend_ops *ops;
	unsigned queue_count;

	/* Set by the owner: the network has ended by itself. Optional; called once at most. */
	void (*ended)(void *data);
	void *data;

	/* Of net_backend_close(). */
	void (*closed)(void *data);
	void *closed_data;
};

static inline void net_backend_send(struct net_backend *backend, unsigned queue,
				    struct net_frame *frame)
{
	frame->backend = backend;
	backend->ops->send(backend, queue % backend->queue_count, frame);
}

static inline void net_backend_receive(struct net_backend *backend, unsigned queue,
				       struct net_buffer *buffer)
{
	buffer->backend = backend;
	buffer->queue = queue;
	backend->ops->receive(backend, queue, buffer);
}

static inline void net_backend_withdraw(struct net_backend *backend)
{
	backend->ops->withdraw(backend);
}

static inline void net_backend_set_offloads(struct net_backend *backend, unsigned offloads)
{
	if (backend->ops->set_offloads)
		backend->ops->set_offloads(backend, offloads);
}

/* closed, which may be NULL, may be called before this returns. */
static inline void net_backend_close(struct net_backend *backend, void (*closed)(void *data),
				     void *data)
{
	backend->closed = closed;
	backend->closed_data = data;
	backend->ended = NULL;
	backend->ops->close(backend);
}

/* Where the loop will not run again: frames and buffers are the caller's as they are. */
static inline void net_backend_free(struct net_backend *backend)
{
	backend->ops->free(backend);
}

/*
 * A tap's queues: descriptors opened with IFF_TAP, IFF_NO_PI and IFF_VNET_HDR, which are taken over
 * on success. Return: 0; -EINVAL: a descriptor is none of that kind; -ENOMEM; -errno.
 */
int net_tap_new(struct loop *loop, const int *fds, unsigned count,
		struct net_backend **ret_backend) MUST_CHECK;

/* socket: connected, taken over on success. Return: 0; -EINVAL: it is no stream socket; -ENOMEM. */
int net_socket_new(struct loop *loop, int socket, struct net_backend **ret_backend) MUST_CHECK;

/* fd: of /dev/null, taken over on success. Return: 0; -EINVAL: it is another file; -ENOMEM. */
int net_null_new(int fd, struct net_backend **ret_backend) MUST_CHECK;
