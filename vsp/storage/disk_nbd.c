/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A disk that a server has, which speaks the network block device protocol (common/wire/nbd.h).
 *
 * Requests wait here until one of the slots of the connection is free (nbd_transfer.c).
 *
 * The server may be hostile, or die. The read and the write under way are cancelled then, and only
 * when the kernel has let go of the memory that they name do all requests wait for the next
 * connection, or, where there will be none, fail.
 */
#include "vsp/storage/disk_nbd.h"

#include "common/base/cleanup.h"
#include "vsp/storage/nbd_handshake.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define ABANDON_NS (UINT64_C(5) * 1000000000) /* for an answer that nobody waits for */

static struct disk_nbd *disk_nbd(struct disk *disk)
{
	return container_of(disk, struct disk_nbd, disk);
}

void nbd_defer(struct disk_nbd *nbd)
{
	loop_defer(nbd->loop, &nbd->iteration);
}

void nbd_break(struct disk_nbd *nbd, const char *why)
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

void nbd_complete(struct disk_nbd *nbd, struct disk_request *request, int result)
{
	nbd->completing = true;
	disk_complete(request, result);
	nbd->completing = false;
}

/* ---- Iterations ---- */

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

static void nbd_admit(struct disk_nbd *nbd, struct nbd_slot *slot, struct disk_request *request)
{
	/* Memory in crumbs, of which the guest alone can make a request. */
	if (UNLIKELY(nbd_moves_data(request) && nbd_measure(nbd, request) == 0)) {
		nbd_complete(nbd, request, -EINVAL);
		return;
	}
	if (request->operation == DISK_UNMAP && !nbd->disk.unmap) {
		nbd_complete(nbd, request, 0);
		return;
	}
	slot->request = request;
	nbd->used++;
	nbd_slot_queue(nbd, slot);
}

static void nbd_admit_waiting(struct disk_nbd *nbd)
{
	for (unsigned i = 0; i < NBD_SLOTS && !list_empty(&nbd->waiting); i++) {
		if (nbd->slots[i].state == NBD_SLOT_FREE)
			nbd_admit(nbd, &nbd->slots[i], nbd_next_request(nbd));
	}
}

static void nbd_fail_all(struct disk_nbd *nbd)
{
	struct disk_request *request;

	for (unsigned i = 0; i < NBD_SLOTS; i++) {
		struct nbd_slot *slot = &nbd->slots[i];

		if (slot->state == NBD_SLOT_QUEUED || slot->state == NBD_SLOT_SENDING)
			list_unlink(&slot->link);
		if (slot->state != NBD_SLOT_FREE)
			nbd_slot_complete(nbd, slot, -EIO);
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
	for (unsigned i = 0; i < NBD_SLOTS; i++) {
		struct nbd_slot *slot = &nbd->slots[i];

		if (slot->state == NBD_SLOT_QUEUED || slot->state == NBD_SLOT_SENDING)
			list_unlink(&slot->link);
		if (slot->state == NBD_SLOT_FREE)
			continue;
		slot->state = NBD_SLOT_FREE;
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
	nbd_transfer_begin(nbd);
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
	nbd_receive(nbd);
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
	for (unsigned i = 0; i < NBD_SLOTS && !nbd->freed; i++)
		if (nbd->slots[i].state != NBD_SLOT_FREE && nbd->slots[i].request->abandoned)
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
	nbd->piece_size = MIN(export->payload_maximum, NBD_PIECE_SIZE);
	nbd->iteration.run = nbd_iteration;
	nbd->timer.operation.complete = nbd_abandon_over;
	list_init(&nbd->iteration.link);
	list_init(&nbd->waiting);
	nbd_transfer_init(nbd);
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
	nbd_transfer_begin(nbd);
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
