/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A network for adapters under test: keeps what was sent, hands out what the test lets come. */
#include "tests/fake/netvsc.h"
#include "vsp/iov.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct fake_network *network_of(struct net_backend *backend)
{
	return container_of(backend, struct fake_network, backend);
}

static uint32_t bytes_elsewhere(const struct fake_network *network, const struct net_frame *frame)
{
	uint32_t size = 0;

	for (unsigned i = 1; i < frame->iov_count; i++) {
		const uint8_t *at = frame->iov[i].iov_base;

		if (network->ram && (at < network->ram || at >= network->ram + network->ram_size))
			size += (uint32_t)frame->iov[i].iov_len;
	}
	return size;
}

/* As a network does that takes its time: with whatever the frame's memory holds by now. */
static void network_take(const struct net_frame *frame, struct fake_network_frame *sent)
{
	sent->header = frame->header;
	iov_copy_in(sent->bytes, sent->size, frame->iov + 1, frame->iov_count - 1);
	sent->frame = NULL;
}

static void network_send(struct net_backend *backend, unsigned queue, struct net_frame *frame)
{
	struct fake_network *network = network_of(backend);
	struct fake_network_frame *sent = &network->sent[network->sent_count % FAKE_NETWORK_FRAMES];

	assert(queue < backend->queue_count);
	assert(frame->iov_count >= 2 && frame->iov_count - 1 <= NET_FRAME_PIECES);
	assert(frame->iov[0].iov_len == NET_HEADER_SIZE);
	assert(iov_size(frame->iov + 1, frame->iov_count - 1) <= NET_FRAME_MAX);
	free(sent->bytes);
	sent->queue = queue;
	sent->size = (uint32_t)iov_size(frame->iov + 1, frame->iov_count - 1);
	sent->own = bytes_elsewhere(network, frame);
	sent->bytes = malloc(sent->size);
	assert(sent->bytes);
	network_take(frame, sent);
	network->sent_count++;
	if (network->hold) {
		sent->frame = frame;
		list_append(&network->held, &frame->link);
	} else {
		frame->sent(frame, 0);
	}
}

static void network_return_frames(struct fake_network *network, int result)
{
	while (!list_empty(&network->held)) {
		struct net_frame *frame = container_of(network->held.next, struct net_frame, link);

		for (unsigned i = 0; i < FAKE_NETWORK_FRAMES; i++)
			if (network->sent[i].frame == frame)
				network_take(frame, &network->sent[i]);
		list_unlink(&frame->link);
		frame->sent(frame, result);
	}
}

void fake_network_release(struct fake_network *network)
{
	network_return_frames(network, 0);
}

static bool network_has_buffers(const struct fake_network *network)
{
	for (unsigned queue = 0; queue < network->backend.queue_count; queue++)
		if (!list_empty(&network->buffers[queue]))
			return true;
	return false;
}

static void network_receive(struct net_backend *backend, unsigned queue, struct net_buffer *buffer)
{
	struct fake_network *network = network_of(backend);

	/* None is given until all that were withdrawn have come back. */
	assert(!network->withdrawn || !network_has_buffers(network));
	network->withdrawn = false;
	assert(queue < backend->queue_count);
	list_append(&network->buffers[queue], &buffer->link);
	network->buffer_count[queue]++;
}

void fake_network_return(struct fake_network *network)
{
	network->withdrawn = false;
	network_return_frames(network, -ECANCELED);
	for (unsigned queue = 0; queue < network->backend.queue_count; queue++) {
		while (!list_empty(&network->buffers[queue])) {
			struct net_buffer *buffer =
				container_of(network->buffers[queue].next, struct net_buffer, link);

			list_unlink(&buffer->link);
			network->buffer_count[queue]--;
			buffer->filled(buffer, -ECANCELED);
		}
	}
}

static void network_withdraw(struct net_backend *backend)
{
	struct fake_network *network = network_of(backend);

	network->withdrawn = true;
	if (!network->slow)
		fake_network_return(network);
}

static void network_set_offloads(struct net_backend *backend, unsigned offloads)
{
	network_of(backend)->offloads = offloads;
}

static void network_free(struct net_backend *backend)
{
	struct fake_network *network = network_of(backend);

	if (network->freed)
		*network->freed = true;
	for (size_t i = 0; i < FAKE_NETWORK_FRAMES; i++)
		free(network->sent[i].bytes);
	free(network);
}

static void network_close(struct net_backend *backend)
{
	struct fake_network *network = network_of(backend);
	void (*closed)(void *data) = backend->closed;
	void *data = backend->closed_data;

	fake_network_release(network);
	fake_network_return(network);
	network_free(backend);
	if (closed)
		closed(data);
}

static const struct net_backend_ops network_ops = {
	.name = "fake",
	.send = network_send,
	.receive = network_receive,
	.withdraw = network_withdraw,
	.set_offloads = network_set_offloads,
	.close = network_close,
	.free = network_free,
};

struct fake_network *fake_network_new(unsigned queue_count)
{
	struct fake_network *network = calloc(1, sizeof(*network));

	assert(network && queue_count >= 1 && queue_count <= NET_QUEUE_MAX);
	network->backend.ops = &network_ops;
	network->backend.queue_count = queue_count;
	list_init(&network->held);
	for (size_t i = 0; i < NET_QUEUE_MAX; i++)
		list_init(&network->buffers[i]);
	return network;
}

const struct fake_network_frame *fake_network_last(const struct fake_network *network)
{
	assert(network->sent_count > 0);
	return &network->sent[(network->sent_count - 1) % FAKE_NETWORK_FRAMES];
}

bool fake_network_deliver(struct fake_network *network, unsigned queue,
			  const struct virtio_net_hdr *header, const void *frame, size_t size)
{
	struct net_buffer *buffer;

	if (list_empty(&network->buffers[queue]))
		return false;
	buffer = container_of(network->buffers[queue].next, struct net_buffer, link);
	list_unlink(&buffer->link);
	network->buffer_count[queue]--;
	buffer->header = header ? *header : (struct virtio_net_hdr){ 0 };
	size = iov_copy_out(buffer->iov + 1, buffer->iov_count - 1, frame, size);
	buffer->filled(buffer, (int)size);
	return true;
}
