/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A disk that a server has, which speaks the network block device protocol (common/wire/nbd.h).
 *
 * Data go straight from and to the requester's memory, which usually is the guest's. A request is
 * sent in pieces, one after the other; pieces of many requests are under way together, each in a
 * slot, whose number is its cookie. What waits to be sent goes out by one write. While a reply is
 * waited for a read is under way: for the rest of the data of one, and the head of the next.
 *
 * The server may be hostile, or die. A reply that nobody waits for ends the connection; the read
 * and the write under way are cancelled, and only when the kernel has let go of the memory that
 * they name do all requests wait for the next connection, or, where there will be none, fail.
 */
#include "common/base/cleanup.h"
#include "common/wire/nbd.h"
#include "vsp/iov.h"
#include "vsp/storage/disk.h"
#include "vsp/storage/nbd_handshake.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define SLOTS           64u
#define PIECE_SIZE      (1u << 20)
#define PIECE_VECTORS   500u /* of a piece's memory */
#define GATHER_VECTORS  (PIECE_VECTORS + 1)
#define ZERO_PIECE_SIZE (256u << 20)
#define ABANDON_NS      (UINT64_C(5) * 1000000000) /* for an answer that nobody waits for */

enum slot_state {
	SLOT_FREE,
	SLOT_QUEUED,
	SLOT_SENDING,
	SLOT_SENT,
};

struct slot {
	enum slot_state state;
	struct disk_request *request;
	struct list link; /* in `queued` or `sending` */
	struct nbd_request header;
	uint32_t piece;  /* bytes of the request that are under way */
	uint64_t covers; /* of a flush: `written` before it was sent */
};

struct disk_nbd {
	struct disk disk;
	struct loop *loop;
	int fd;
	uint32_t piece_size; /* bytes that one request to the server moves at most */
	struct disk_nbd_owner owner;
	bool waits; /* for another connection, when this one has ended */
	bool broken, freed;
	int next_fd; /* another connection, when the kernel has let go of this one; -1: none yet */
	bool read_only;

	/*
	 * Writes that the server has acknowledged, and how many of them a flush came after. The
	 * others may have been in the memory of a server that died.
	 */
	uint64_t written, flushed;

	bool completing; /* a request's owner is being told, and may free the disk */
	struct loop_deferred iteration;
	struct loop_timer timer; /* while the server may finish what was abandoned */
	bool timer_runs;
	struct list waiting; /* requests without a slot */
	struct slot slots[SLOTS];
	unsigned used; /* slots that are not free */

	struct loop_operation send;
	bool is_sending;
	struct list queued, sending; /* slots, oldest first */
	struct iovec gather[GATHER_VECTORS], *out;
	unsigned out_count;

	struct loop_operation receive;
	bool is_receiving;
	struct slot *replied; /* whose data are coming */
	uint32_t data_left;
	size_t header_size; /* bytes of `reply` that have come */
	struct nbd_reply reply;
	struct iovec vectors[GATHER_VECTORS], *in;
	unsigned in_count;
};

static struct disk_nbd *disk_nbd(struct disk *disk)
{
	return container_of(disk, struct disk_nbd, disk);
}

static void nbd_defer(struct disk_nbd *nbd)
{
	loop_defer(nbd->loop, &nbd->iteration);
}

static void nbd_break(struct disk_nbd *nbd, const char *why)
{
	if (nbd->broken)
		return;
	nbd->broken = true;
	if (nbd->is_receiving)
		loop_cancel(nbd->loop, &nbd->receive);
	if (nbd->is_sending)
		loop_cancel(nbd->loop, &nbd->send);
	if (nbd->owner.broken && !nbd->freed)
		nbd->owner.broken(nbd->owner.data, &nbd->disk, why);
	nbd_defer(nbd);
}

/* ---- Pieces ---- */

static bool moves_data(const struct disk_request *request)
{
	return request->operation == DISK_READ || request->operation == DISK_WRITE;
}

/* How much of the request's memory so many vectors name: whole sectors. */
static uint32_t nbd_measure(const struct disk_nbd *nbd, const struct disk_request *request)
{
	size_t size = iov_size(request->iov, MIN(request->iov_count, PIECE_VECTORS));

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

static void slot_queue(struct disk_nbd *nbd, struct slot *slot)
{
	const struct disk_request *request = slot->request;

	if (moves_data(request))
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
	slot->state = SLOT_QUEUED;
	list_append(&nbd->queued, &slot->link);
	nbd_defer(nbd);
}

static void nbd_complete(struct disk_nbd *nbd, struct disk_request *request, int result)
{
	nbd->completing = true;
	disk_complete(request, result);
	nbd->completing = false;
}

static void slot_complete(struct disk_nbd *nbd, struct slot *slot, int result)
{
	struct disk_request *request = TAKE_PTR(slot->request);

	slot->state = SLOT_FREE;
	nbd->used--;
	nbd_defer(nbd);
	nbd_complete(nbd, request, result);
}

/* What is left of the request; the size of one that moves data stays, for the counters. */
static bool request_advance(struct disk_request *request, uint32_t piece)
{
	request->offset += piece;
	if (moves_data(request)) {
		iov_consume(&request->iov, &request->iov_count, piece);
		return request->iov_count > 0;
	}
	request->size -= piece;
	return request->size > 0;
}

static void slot_answered(struct disk_nbd *nbd, struct slot *slot)
{
	if (slot->request->operation == DISK_FLUSH)
		nbd->flushed = MAX(nbd->flushed, slot->covers);
	else if (slot->request->operation != DISK_READ && !slot->request->durable)
		nbd->written++;
	if (!request_advance(slot->request, slot->piece))
		slot_complete(nbd, slot, 0);
	else if (UNLIKELY(slot->request->abandoned))
		slot_complete(nbd, slot, -ECANCELED);
	else
		slot_queue(nbd, slot);
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

/* `size` bytes of the memory, which no more than PIECE_VECTORS name. Return: how many do. */
static unsigned slice(const struct disk_request *request, uint32_t size, struct iovec *vectors)
{
	return iov_slice(request->iov, MIN(request->iov_count, PIECE_VECTORS), 0, size, vectors);
}

/* Return: whether there was room. */
static bool nbd_gather(struct disk_nbd *nbd, struct slot *slot)
{
	bool data = slot->request->operation == DISK_WRITE;
	unsigned most = data ? MIN(slot->request->iov_count, PIECE_VECTORS) : 0;

	if (nbd->out_count + 1 + most > GATHER_VECTORS)
		return false;
	nbd->gather[nbd->out_count++] = (struct iovec){ &slot->header, sizeof(slot->header) };
	if (data)
		nbd->out_count += slice(slot->request, slot->piece, nbd->gather + nbd->out_count);
	slot->state = SLOT_SENDING;
	list_unlink(&slot->link);
	list_append(&nbd->sending, &slot->link);
	return true;
}

static void nbd_start_send(struct disk_nbd *nbd)
{
	nbd->is_sending = true;
	loop_writev(nbd->loop, &nbd->send, nbd->fd, nbd->out, nbd->out_count, 0, 0);
}

static void nbd_send_queued(struct disk_nbd *nbd)
{
	if (nbd->is_sending || list_empty(&nbd->queued))
		return;
	nbd->out = nbd->gather;
	nbd->out_count = 0;
	while (!list_empty(&nbd->queued)) {
		if (!nbd_gather(nbd, container_of(nbd->queued.next, struct slot, link)))
			break;
	}
	nbd_start_send(nbd);
}

static void nbd_all_sent(struct disk_nbd *nbd)
{
	list_for_each (link, &nbd->sending) {
		struct slot *slot = container_of(link, struct slot, link);

		list_unlink(&slot->link);
		slot->state = SLOT_SENT;
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
static void nbd_expect(struct disk_nbd *nbd, struct slot *slot)
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
static struct slot *nbd_replied_slot(struct disk_nbd *nbd)
{
	uint64_t cookie = be64toh(nbd->reply.cookie);
	struct slot *slot = cookie < SLOTS ? &nbd->slots[cookie] : NULL;

	if (be32toh(nbd->reply.magic) != NBD_REPLY_MAGIC || !slot)
		return NULL;
	return slot->state == SLOT_SENDING || slot->state == SLOT_SENT ? slot : NULL;
}

/* The head of a reply is there. */
static void nbd_take_reply(struct disk_nbd *nbd)
{
	struct slot *slot = nbd_replied_slot(nbd);
	uint32_t error = be32toh(nbd->reply.error);

	if (!slot) {
		nbd_break(nbd, "its server has broken the protocol");
		return;
	}
	/* The write that the request is part of has not told its end: that comes first. */
	if (slot->state == SLOT_SENDING)
		return;
	if (!error && slot->request->operation == DISK_READ) {
		nbd_expect(nbd, slot);
		return;
	}
	nbd_expect(nbd, NULL);
	if (error)
		slot_complete(nbd, slot, nbd_result(slot->request, error));
	else
		slot_answered(nbd, slot);
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
		slot_answered(nbd, TAKE_PTR(nbd->replied));
	if (nbd->broken)
		return; /* the disk was given up just now */
	if (nbd->header_size == sizeof(nbd->reply))
		nbd_take_reply(nbd);
	else if (nbd->header_size > 0 || nbd->data_left > 0)
		nbd_start_receive(nbd);
	else
		nbd_defer(nbd);
}

/* ---- Turns ---- */

/* Return: a request that waits, or NULL. */
static struct disk_request *nbd_next_request(struct disk_nbd *nbd)
{
	struct disk_request *request;

	if (list_empty(&nbd->waiting))
		return NULL;
	request = container_of(nbd->waiting.next, struct disk_request, link);
	list_unlink(&request->link);
	return request;
}

static void nbd_admit(struct disk_nbd *nbd, struct slot *slot, struct disk_request *request)
{
	/* Memory in crumbs, of which the guest alone can make a request. */
	if (UNLIKELY(moves_data(request) && nbd_measure(nbd, request) == 0)) {
		nbd_complete(nbd, request, -EINVAL);
		return;
	}
	if (request->operation == DISK_UNMAP && !nbd->disk.unmap) {
		nbd_complete(nbd, request, 0);
		return;
	}
	slot->request = request;
	nbd->used++;
	slot_queue(nbd, slot);
}

static void nbd_admit_waiting(struct disk_nbd *nbd)
{
	for (unsigned i = 0; i < SLOTS && !list_empty(&nbd->waiting); i++) {
		if (nbd->slots[i].state == SLOT_FREE)
			nbd_admit(nbd, &nbd->slots[i], nbd_next_request(nbd));
	}
}

static void nbd_fail_all(struct disk_nbd *nbd)
{
	struct disk_request *request;

	for (unsigned i = 0; i < SLOTS; i++) {
		struct slot *slot = &nbd->slots[i];

		if (slot->state == SLOT_QUEUED || slot->state == SLOT_SENDING)
			list_unlink(&slot->link);
		if (slot->state != SLOT_FREE)
			slot_complete(nbd, slot, -EIO);
	}
	while ((request = nbd_next_request(nbd)))
		nbd_complete(nbd, request, -EIO);
}

/* ---- Another connection ---- */

/* What was under way waits, before what has waited; what nobody waits for any more ends. */
static void nbd_take_back(struct disk_nbd *nbd)
{
	struct list waiting;

	list_init(&waiting);
	for (unsigned i = 0; i < SLOTS; i++) {
		struct slot *slot = &nbd->slots[i];

		if (slot->state == SLOT_QUEUED || slot->state == SLOT_SENDING)
			list_unlink(&slot->link);
		if (slot->state == SLOT_FREE)
			continue;
		slot->state = SLOT_FREE;
		nbd->used--;
		list_append(&waiting, &TAKE_PTR(slot->request)->link);
	}
	while (!list_empty(&nbd->waiting)) {
		struct list *link = nbd->waiting.next;

		list_unlink(link);
		list_append(&waiting, link);
	}
	while (!list_empty(&waiting)) {
		struct list *link = waiting.next;

		list_unlink(link);
		list_append(&nbd->waiting, link);
	}
}

/* Return: one that waits and was abandoned, or NULL. */
static struct disk_request *nbd_find_abandoned(struct disk_nbd *nbd)
{
	list_for_each (link, &nbd->waiting) {
		struct disk_request *request = container_of(link, struct disk_request, link);

		if (request->abandoned)
			return request;
	}
	return NULL;
}

static void nbd_end_abandoned(struct disk_nbd *nbd)
{
	struct disk_request *request;

	while ((request = nbd_find_abandoned(nbd))) {
		list_unlink(&request->link);
		nbd_complete(nbd, request, -ECANCELED);
	}
}

/* No flush is acknowledged over writes that are lost: the server need not be asked. */
static void nbd_fail_flushes(struct disk_nbd *nbd)
{
	list_for_each (link, &nbd->waiting) {
		struct disk_request *request = container_of(link, struct disk_request, link);

		if (request->operation != DISK_FLUSH)
			continue;
		list_unlink(&request->link);
		nbd_complete(nbd, request, DISK_E_LOST);
	}
}

static void nbd_begin_anew(struct disk_nbd *nbd)
{
	nbd->disk.lost |= nbd->written != nbd->flushed;
	nbd->flushed = nbd->written;
	close(nbd->fd);
	nbd->fd = TAKE_FD(nbd->next_fd);
	nbd->broken = false;
	nbd->out_count = 0;
	nbd_expect(nbd, NULL);
}

/* The connection has ended, and the kernel has let go of the memory. */
static void nbd_wait(struct disk_nbd *nbd)
{
	if (!nbd->waits) {
		nbd_fail_all(nbd);
		return;
	}
	nbd_take_back(nbd);
	nbd_end_abandoned(nbd);
	if (nbd->next_fd >= 0 && !nbd->freed)
		nbd_begin_anew(nbd);
}

static void nbd_destroy(struct disk_nbd *nbd)
{
	loop_deferred_cancel(&nbd->iteration);
	close(nbd->fd);
	close_fdp(&nbd->next_fd);
	free(nbd);
}

static void nbd_iteration(struct loop_deferred *deferred)
{
	struct disk_nbd *nbd = container_of(deferred, struct disk_nbd, iteration);
	bool quiet = !nbd->is_sending && !nbd->is_receiving;

	if (nbd->freed && quiet && !nbd->timer_runs) {
		nbd_destroy(nbd);
		return;
	}
	if (nbd->broken) {
		/* The kernel has let go of the memory. */
		if (quiet)
			nbd_wait(nbd);
		return;
	}
	if (UNLIKELY(nbd->disk.lost))
		nbd_fail_flushes(nbd);
	if (nbd->broken)
		return; /* the disk was given up just now */
	nbd_admit_waiting(nbd);
	nbd_send_queued(nbd);
	if (nbd->is_receiving)
		return;
	if (nbd->header_size == sizeof(nbd->reply))
		nbd_take_reply(nbd);
	else if (nbd->used > 0)
		nbd_start_receive(nbd);
}

/* ---- The disk ---- */

static void disk_nbd_submit(struct disk *disk, struct disk_request *request)
{
	struct disk_nbd *nbd = disk_nbd(disk);

	list_append(&nbd->waiting, &request->link);
	nbd_defer(nbd);
}

/* No request is under way: nor is anything else, unless the server has said too much. */
static void disk_nbd_free(struct disk *disk)
{
	struct disk_nbd *nbd = disk_nbd(disk);

	if (!nbd->completing && !nbd->is_receiving && !nbd->is_sending && !nbd->timer_runs) {
		nbd_destroy(nbd);
		return;
	}
	nbd->freed = true;
	if (nbd->timer_runs)
		loop_cancel(nbd->loop, &nbd->timer.operation);
	nbd_break(nbd, "");
	nbd_defer(nbd);
}

/*
 * A server that does not answer would hold up a reset, or the end of a disk, for ever. To do
 * without its answer takes an end of the connection: else it might still write to the requester's
 * memory.
 */
static void nbd_abandon_over(struct loop_operation *operation, int result, bool more)
{
	struct disk_nbd *nbd = container_of(operation, struct disk_nbd, timer.operation);

	nbd->timer_runs = false;
	nbd_defer(nbd);
	for (unsigned i = 0; i < SLOTS && !nbd->freed; i++)
		if (nbd->slots[i].state != SLOT_FREE && nbd->slots[i].request->abandoned)
			nbd_break(nbd, "its server does not answer");
}

static void disk_nbd_abandon(struct disk *disk)
{
	struct disk_nbd *nbd = disk_nbd(disk);

	nbd_defer(nbd);
	if (nbd->timer_runs)
		return;
	nbd->timer_runs = true;
	loop_timer_start(nbd->loop, &nbd->timer, ABANDON_NS);
}

static const struct disk_ops disk_nbd_ops = {
	.submit = disk_nbd_submit,
	.abandon = disk_nbd_abandon,
	.free = disk_nbd_free,
};

static void disk_nbd_init(struct disk_nbd *nbd, const struct nbd_export *export,
			  uint32_t sector_size)
{
	nbd->disk = (struct disk){
		.ops = &disk_nbd_ops,
		.size = export->size - export->size % sector_size,
		.sector_size = sector_size,
		.physical_block_size = MAX(sector_size, MIN(export->preferred, 4096u)),
		.unmap = (export->flags & NBD_HAS_TRIM) != 0,
		/* The server keeps what it could not write. */
		.flush_is_repeatable = true,
	};
	disk_init(&nbd->disk);
	nbd->piece_size = MIN(export->payload_maximum, PIECE_SIZE);
	nbd->send.complete = nbd_sent;
	nbd->receive.complete = nbd_received;
	nbd->iteration.run = nbd_iteration;
	nbd->timer.operation.complete = nbd_abandon_over;
	list_init(&nbd->iteration.link);
	list_init(&nbd->waiting);
	list_init(&nbd->queued);
	list_init(&nbd->sending);
	for (unsigned i = 0; i < SLOTS; i++)
		list_init(&nbd->slots[i].link);
}

static int disk_nbd_check(const struct nbd_export *export, uint32_t sector_size, bool read_only)
{
	if (export->size < sector_size)
		return NBD_E_EMPTY;
	if (export->minimum > sector_size)
		return NBD_E_BLOCKS;
	return (export->flags & NBD_IS_READ_ONLY) && !read_only ? NBD_E_READ_ONLY : 0;
}

int disk_nbd_new(struct loop *loop, int socket, const struct disk_nbd_options *options,
		 struct disk **ret_disk)
{
	AUTO_CLOSE int fd = socket;
	struct nbd_export export;
	struct disk_nbd *nbd;
	int r;

	r = nbd_handshake(fd, &export);
	if (r == 0)
		r = disk_nbd_check(&export, options->sector_size, options->read_only);
	if (r)
		return r;
	nbd = calloc(1, sizeof(*nbd));
	if (!nbd)
		return -ENOMEM;
	nbd->loop = loop;
	nbd->fd = TAKE_FD(fd);
	nbd->next_fd = -1;
	nbd->waits = options->waits;
	nbd->read_only = options->read_only;
	nbd->owner = options->owner;
	disk_nbd_init(nbd, &export, options->sector_size);
	nbd->disk.read_only = options->read_only;
	nbd->disk.unmap_zeroes = nbd->disk.unmap && options->unmap_zeroes;
	nbd_expect(nbd, NULL);
	*ret_disk = &nbd->disk;
	return 0;
}

int disk_nbd_reconnect(struct disk *disk, int socket)
{
	AUTO_CLOSE int fd = socket;
	struct nbd_export export;
	struct disk_nbd *nbd;
	int r;

	if (disk->ops != &disk_nbd_ops || !disk_nbd(disk)->waits)
		return -EINVAL;
	nbd = disk_nbd(disk);
	r = nbd_handshake(fd, &export);
	if (r == 0)
		r = disk_nbd_check(&export, disk->sector_size, nbd->read_only);
	/*
	 * The guest has been told what it is: a server that knows another disk has the wrong image.
	 */
	if (r == 0 && (export.size - export.size % disk->sector_size != disk->size ||
		       export.payload_maximum < nbd->piece_size))
		r = NBD_E_REFUSED;
	if (r)
		return r;
	close_fdp(&nbd->next_fd);
	nbd->next_fd = TAKE_FD(fd);
	nbd_break(nbd, "it has another server");
	nbd_defer(nbd);
	return 0;
}

bool disk_nbd_is_unflushed(const struct disk *disk)
{
	const struct disk_nbd *nbd = container_of(disk, const struct disk_nbd, disk);

	return disk->ops == &disk_nbd_ops && (disk->lost || nbd->written != nbd->flushed);
}

void disk_nbd_give_up(struct disk *disk)
{
	if (disk->ops != &disk_nbd_ops)
		return;
	disk_nbd(disk)->waits = false;
	nbd_break(disk_nbd(disk), "it has no server");
	nbd_defer(disk_nbd(disk));
}
