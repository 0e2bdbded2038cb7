/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Requests to a server of a disk, and its replies, over one connection.
 *
 * Data go straight from and to the requester's memory, which usually is the guest's. A request is
 * sent in pieces, one after the other; pieces of many requests are under way together, each in a
 * slot, whose number is its cookie. What waits to be sent goes out by one write. While a reply is
 * waited for a read is under way: for the rest of the data of one, and the head of the next.
 *
 * A reply that nobody waits for ends the connection.
 */
#include "common/base/cleanup.h"
#include "vsp/iov.h"
#include "vsp/storage/disk_nbd.h"

#include <endian.h>
#include <errno.h>

#define ZERO_PIECE_SIZE (256u << 20)

/* ---- Pieces ---- */

uint32_t nbd_measure(const struct disk_nbd *nbd, const struct disk_request *request)
{
	size_t size = iov_size(request->iov, MIN(request->iov_count, NBD_PIECE_VECTORS));

	return (uint32_t)ALIGN_DOWN(MIN(size, (size_t)nbd->piece_size),
				    (size_t)nbd->disk.sector_size);
}

static uint16_t nbd_command(const struct disk_request *request)
{
	static const uint16_t commands[] = {
		[DISK_READ] = NBD_READ,  [DISK_WRITE] = NBD_WRITE,       [DISK_FLUSH] = NBD_FLUSH,
		[DISK_UNMAP] = NBD_TRIM, [DISK_ZERO] = NBD_WRITE_ZEROES,
	};

	return commands[request->operation];
}

static uint16_t nbd_request_flags(const struct disk_request *request)
{
	if (request->operation == DISK_WRITE && request->durable)
		return NBD_FORCE_ACCESS;
	return request->operation == DISK_ZERO && !request->unmap ? NBD_NO_HOLE : 0;
}

void nbd_slot_queue(struct disk_nbd *nbd, struct nbd_slot *slot)
{
	const struct disk_request *request = slot->request;

	if (nbd_moves_data(request))
		slot->piece = nbd_measure(nbd, request);
	else
		slot->piece = (uint32_t)MIN(request->size, (uint64_t)ZERO_PIECE_SIZE);
	slot->header = (struct nbd_request){
		.magic = htobe32(NBD_REQUEST_MAGIC),
		.flags = htobe16(nbd_request_flags(request)),
		.command = htobe16(nbd_command(request)),
		.cookie = htobe64((uint64_t)(slot - nbd->slots)),
		.offset = htobe64(request->operation == DISK_FLUSH ? 0 : request->offset),
		.size = htobe32(slot->piece),
	};
	slot->covers = nbd->written;
	slot->state = NBD_SLOT_QUEUED;
	list_append(&nbd->queued, &slot->link);
	nbd_defer(nbd);
}

void nbd_slot_complete(struct disk_nbd *nbd, struct nbd_slot *slot, int result)
{
	struct disk_request *request = TAKE_PTR(slot->request);

	slot->state = NBD_SLOT_FREE;
	nbd->used--;
	nbd_defer(nbd);
	nbd_complete(nbd, request, result);
}

/* What is left of the request; the size of one that moves data stays, for the counters. */
static bool request_advance(struct disk_request *request, uint32_t piece)
{
	request->offset += piece;
	if (nbd_moves_data(request)) {
		iov_consume(&request->iov, &request->iov_count, piece);
		return request->iov_count > 0;
	}
	request->size -= piece;
	return request->size > 0;
}

static void nbd_slot_answered(struct disk_nbd *nbd, struct nbd_slot *slot)
{
	if (slot->request->operation == DISK_FLUSH)
		nbd->flushed = MAX(nbd->flushed, slot->covers);
	else if (slot->request->operation != DISK_READ && !slot->request->durable)
		nbd->written++;
	if (!request_advance(slot->request, slot->piece))
		nbd_slot_complete(nbd, slot, 0);
	else if (UNLIKELY(slot->request->abandoned))
		nbd_slot_complete(nbd, slot, -ECANCELED);
	else
		nbd_slot_queue(nbd, slot);
}

static int nbd_result(const struct disk_request *request, uint32_t error)
{
	if (request->operation == DISK_UNMAP)
		return 0; /* a hint */
	if (error == NBD_ENOSPC)
		return -ENOSPC;
	return error == NBD_EPERM ? -EPERM : -EIO;
}

/* ---- Sending ---- */

/* `size` bytes of the memory, which no more than NBD_PIECE_VECTORS name. Return: how many do. */
static unsigned slice(const struct disk_request *request, uint32_t size, struct iovec *vectors)
{
	return iov_slice(request->iov, MIN(request->iov_count, NBD_PIECE_VECTORS), 0, size,
			 vectors);
}

/* Return: whether there was room. */
static bool nbd_gather(struct disk_nbd *nbd, struct nbd_slot *slot)
{
	bool data = slot->request->operation == DISK_WRITE;
	unsigned most = data ? MIN(slot->request->iov_count, NBD_PIECE_VECTORS) : 0;

	if (nbd->out_count + 1 + most > NBD_GATHER_VECTORS)
		return false;
	nbd->gather[nbd->out_count++] = (struct iovec){ &slot->header, sizeof(slot->header) };
	if (data)
		nbd->out_count += slice(slot->request, slot->piece, nbd->gather + nbd->out_count);
	slot->state = NBD_SLOT_SENDING;
	list_unlink(&slot->link);
	list_append(&nbd->sending, &slot->link);
	return true;
}

static void nbd_start_send(struct disk_nbd *nbd)
{
	nbd->is_sending = true;
	loop_writev(nbd->loop, &nbd->send, nbd->fd, nbd->out, nbd->out_count, 0, 0);
}

void nbd_send_queued(struct disk_nbd *nbd)
{
	if (nbd->is_sending || list_empty(&nbd->queued))
		return;
	nbd->out = nbd->gather;
	nbd->out_count = 0;
	while (!list_empty(&nbd->queued)) {
		if (!nbd_gather(nbd, container_of(nbd->queued.next, struct nbd_slot, link)))
			break;
	}
	nbd_start_send(nbd);
}

static void nbd_all_sent(struct disk_nbd *nbd)
{
	list_for_each (link, &nbd->sending) {
		struct nbd_slot *slot = container_of(link, struct nbd_slot, link);

		list_unlink(&slot->link);
		slot->state = NBD_SLOT_SENT;
	}
	nbd_defer(nbd);
}

static void nbd_sent(struct loop_operation *operation, int result, bool more)
{
	struct disk_nbd *nbd = container_of(operation, struct disk_nbd, send);

	nbd->is_sending = false;
	if (result == -EINTR || result == -EAGAIN)
		result = 0;
	else if (result <= 0)
		nbd_break(nbd, "its server has ended");
	if (nbd->broken) {
		nbd_defer(nbd);
		return;
	}
	iov_consume(&nbd->out, &nbd->out_count, (size_t)result);
	if (nbd->out_count > 0)
		nbd_start_send(nbd);
	else
		nbd_all_sent(nbd);
}

/* ---- Receiving ---- */

static void nbd_start_receive(struct disk_nbd *nbd)
{
	nbd->is_receiving = true;
	loop_readv(nbd->loop, &nbd->receive, nbd->fd, nbd->in, nbd->in_count, 0);
}

/* The data of a reply, if there is one, and the head of the next. */
static void nbd_expect(struct disk_nbd *nbd, struct nbd_slot *slot)
{
	nbd->replied = slot;
	nbd->data_left = slot ? slot->piece : 0;
	nbd->header_size = 0;
	nbd->in = nbd->vectors;
	nbd->in_count = slot ? slice(slot->request, slot->piece, nbd->vectors) : 0;
	nbd->vectors[nbd->in_count++] = (struct iovec){ &nbd->reply, sizeof(nbd->reply) };
	if (slot)
		nbd_start_receive(nbd);
	else
		nbd_defer(nbd);
}

/* The slot that the reply is for, or NULL: for none. */
static struct nbd_slot *nbd_replied_slot(struct disk_nbd *nbd)
{
	uint64_t cookie = be64toh(nbd->reply.cookie);
	struct nbd_slot *slot = cookie < NBD_SLOTS ? &nbd->slots[cookie] : NULL;

	if (be32toh(nbd->reply.magic) != NBD_REPLY_MAGIC || !slot)
		return NULL;
	return slot->state == NBD_SLOT_SENDING || slot->state == NBD_SLOT_SENT ? slot : NULL;
}

/* The head of a reply is there. */
static void nbd_take_reply(struct disk_nbd *nbd)
{
	struct nbd_slot *slot = nbd_replied_slot(nbd);
	uint32_t error = be32toh(nbd->reply.error);

	if (!slot) {
		nbd_break(nbd, "its server has broken the protocol");
		return;
	}
	/* The write that the request is part of has not told its end: that comes first. */
	if (slot->state == NBD_SLOT_SENDING)
		return;
	if (!error && slot->request->operation == DISK_READ) {
		nbd_expect(nbd, slot);
		return;
	}
	nbd_expect(nbd, NULL);
	if (error)
		nbd_slot_complete(nbd, slot, nbd_result(slot->request, error));
	else
		nbd_slot_answered(nbd, slot);
}

static void nbd_received(struct loop_operation *operation, int result, bool more)
{
	struct disk_nbd *nbd = container_of(operation, struct disk_nbd, receive);
	uint32_t data;

	nbd->is_receiving = false;
	if (result == -EINTR || result == -EAGAIN)
		result = 0;
	else if (result <= 0)
		nbd_break(nbd, "its server has ended");
	if (nbd->broken) {
		nbd_defer(nbd);
		return;
	}
	iov_consume(&nbd->in, &nbd->in_count, (size_t)result);
	data = MIN((uint32_t)result, nbd->data_left);
	nbd->data_left -= data;
	nbd->header_size += (uint32_t)result - data;
	if (nbd->replied && nbd->data_left == 0)
		nbd_slot_answered(nbd, TAKE_PTR(nbd->replied));
	if (nbd->broken)
		return; /* the disk was given up just now */
	if (nbd->header_size == sizeof(nbd->reply))
		nbd_take_reply(nbd);
	else if (nbd->header_size > 0 || nbd->data_left > 0)
		nbd_start_receive(nbd);
	else
		nbd_defer(nbd);
}

void nbd_receive(struct disk_nbd *nbd)
{
	if (nbd->is_receiving)
		return;
	if (nbd->header_size == sizeof(nbd->reply))
		nbd_take_reply(nbd);
	else if (nbd->used > 0)
		nbd_start_receive(nbd);
}

/* ---- Beginning ---- */

void nbd_transfer_begin(struct disk_nbd *nbd)
{
	nbd->out_count = 0;
	nbd_expect(nbd, NULL);
}

void nbd_transfer_init(struct disk_nbd *nbd)
{
	nbd->send.complete = nbd_sent;
	nbd->receive.complete = nbd_received;
	list_init(&nbd->queued);
	list_init(&nbd->sending);
	for (unsigned i = 0; i < NBD_SLOTS; i++)
		list_init(&nbd->slots[i].link);
}
