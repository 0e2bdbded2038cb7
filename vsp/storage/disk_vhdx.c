/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A disk in a VHDX image: the guest's requests.
 *
 * A request is cut at the borders of blocks, and its pieces go to the file side by side. It waits
 * for nothing but the page that names a block, and the change that the block itself is in.
 *
 * In an image with a parent it is cut where sectors that are here meet others, too, which are read
 * from the parent. Those that are written are here when they have been: their bits are set then.
 */
#include "vsp/storage/disk_vhdx.h"

#include "vsp/iov.h"
#include "vsp/storage/disk_throttle.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PIECES_MAX 8 /* of one request, at once */

/* A part of a request, in one block that is there, or of the parent. */
struct vhdx_piece {
	struct vhdx_io *io;
	struct vhdx_page *page; /* the bits to be set when it is done; NULL: none */
	unsigned first, count;
	struct disk_request request;
	struct iovec vector[];
};

static struct disk_vhdx *disk_vhdx(struct disk *disk)
{
	return container_of(disk, struct disk_vhdx, disk);
}

void disk_vhdx_hold(struct disk_vhdx *vhdx)
{
	vhdx->disk.in_flight++;
}

void disk_vhdx_release(struct disk_vhdx *vhdx)
{
	disk_put(&vhdx->disk);
}

/* ---- Ends ---- */

static void disk_vhdx_finish(struct vhdx_io *io)
{
	struct disk_vhdx *vhdx = io->vhdx;
	struct disk_request *request = io->request;
	int result = io->result;

	free(io);
	disk_vhdx_hold(vhdx);
	vhdx->ios--;
	disk_complete(request, result);
	disk_vhdx_try_close(vhdx);
	disk_vhdx_release(vhdx);
}

/* All its pieces are done. */
static void disk_vhdx_settle(struct vhdx_io *io)
{
	struct disk_vhdx *vhdx = io->vhdx;

	if (!io->result && io->needs_commit) {
		io->needs_commit = false;
		list_append(&vhdx->commit.next_flushes, &io->link);
		disk_vhdx_commit(vhdx);
	} else if (vhdx->submitting) {
		list_append(&vhdx->ended, &io->link);
		loop_defer(vhdx->loop, &vhdx->deferred);
	} else {
		disk_vhdx_finish(io);
	}
}

static void disk_vhdx_run_deferred(struct loop_deferred *deferred)
{
	struct disk_vhdx *vhdx = container_of(deferred, struct disk_vhdx, deferred);

	disk_vhdx_hold(vhdx);
	while (!list_empty(&vhdx->unserved)) {
		struct list *link = vhdx->unserved.next;

		list_unlink(link);
		disk_complete(container_of(link, struct disk_request, link), -ENOMEM);
	}
	while (!list_empty(&vhdx->ended)) {
		struct list *link = vhdx->ended.next;

		list_unlink(link);
		disk_vhdx_finish(container_of(link, struct vhdx_io, link));
	}
	disk_vhdx_release(vhdx);
}

/* ---- Pieces ---- */

static void disk_vhdx_go(struct vhdx_io *io);

/* Sectors are here now, and a flush that comes after has to see to it that they stay. */
static void disk_vhdx_mark(struct vhdx_piece *piece, int result)
{
	struct disk_vhdx *vhdx = piece->io->vhdx;

	piece->page->pins--;
	vhdx->reserved--;
	if (result == 0) {
		disk_vhdx_bits_set(piece->page, piece->first, piece->count);
		disk_vhdx_dirty(vhdx, piece->page);
	}
	disk_vhdx_wake(vhdx, &vhdx->room, 0);
}

static void disk_vhdx_moved(struct disk_request *request, int result)
{
	struct vhdx_piece *piece = container_of(request, struct vhdx_piece, request);
	struct vhdx_io *io = piece->io;
	struct disk_vhdx *vhdx = io->vhdx;

	disk_vhdx_hold(vhdx);
	/* Tried again, it goes on from where it stopped. */
	if (result && io->whole) {
		io->request->iov = request->iov;
		io->request->iov_count = request->iov_count;
	}
	if (result && !io->result)
		io->result = result;
	if (piece->page)
		disk_vhdx_mark(piece, result);
	io->pieces--;
	free(piece);
	if (list_empty(&io->link))
		disk_vhdx_go(io);
	disk_vhdx_release(vhdx);
}

/* What is next of the request, so many bytes, is dealt with. */
static bool disk_vhdx_advance(struct vhdx_io *io, uint64_t size)
{
	io->offset += size;
	io->left -= size;
	io->done += size;
	return true;
}

/* The next part of the request, for a disk below; NULL: there is no memory. */
static struct vhdx_piece *disk_vhdx_piece(struct vhdx_io *io, uint64_t offset, uint64_t size)
{
	struct disk_request *request = io->request;
	bool moves = request->operation == DISK_READ || request->operation == DISK_WRITE;
	bool whole = moves && io->done == 0 && size == io->left;
	unsigned room = moves && !whole ? request->iov_count : 0;
	struct vhdx_piece *piece = calloc(1, sizeof(*piece) + room * sizeof(struct iovec));

	if (!piece) {
		io->result = -ENOMEM;
		return NULL;
	}
	piece->io = io;
	piece->request = (struct disk_request){
		.operation = request->operation,
		.durable = request->durable && !io->needs_commit,
		.unmap = request->unmap,
		.offset = offset,
		.size = size,
		.iov = request->iov,
		.iov_count = request->iov_count,
		.buffers = request->buffers,
		.complete = disk_vhdx_moved,
	};
	if (room) {
		piece->request.iov = piece->vector;
		piece->request.iov_count =
			iov_slice(request->iov, request->iov_count, io->done, size, piece->vector);
	}
	io->whole = whole;
	return piece;
}

static bool disk_vhdx_submit_piece(struct vhdx_piece *piece, struct disk *below)
{
	struct vhdx_io *io = piece->io;

	io->pieces++;
	disk_vhdx_advance(io, piece->request.size);
	disk_submit(below, &piece->request);
	return true;
}

/* size: 0 for a flush. offset: in the file. */
static bool disk_vhdx_pass(struct vhdx_io *io, uint64_t offset, uint64_t size)
{
	struct vhdx_piece *piece = disk_vhdx_piece(io, offset, size);

	return piece && disk_vhdx_submit_piece(piece, io->vhdx->file);
}

/* The same of sectors whose bits are to be set after, from `first` on. */
static bool disk_vhdx_pass_new(struct vhdx_io *io, uint64_t offset, uint64_t size,
			       struct vhdx_page *page, unsigned first)
{
	struct vhdx_piece *piece;

	if (!disk_vhdx_has_room(io->vhdx, io))
		return false;
	if (io->request->durable)
		io->needs_commit = true;
	piece = disk_vhdx_piece(io, offset, size);
	if (!piece)
		return false;
	piece->page = page;
	piece->first = first;
	piece->count = (unsigned)(size / io->vhdx->image.sector_size);
	page->pins++;
	io->vhdx->reserved++;
	return disk_vhdx_submit_piece(piece, io->vhdx->file);
}

static bool disk_vhdx_read_zeros(struct vhdx_io *io, uint64_t size)
{
	const struct disk_request *request = io->request;
	size_t skip = io->done, left = size;

	for (unsigned i = 0; left && i < request->iov_count; i++) {
		const struct iovec *iov = &request->iov[i];
		size_t part = iov->iov_len > skip ? MIN(iov->iov_len - skip, left) : 0;

		if (part)
			memset((uint8_t *)iov->iov_base + skip, 0, part);
		left -= part;
		skip -= MIN(skip, iov->iov_len);
	}
	return disk_vhdx_advance(io, size);
}

/* What is not here. */
static bool disk_vhdx_read_below(struct vhdx_io *io, uint64_t size)
{
	struct disk *parent = io->vhdx->parent;
	struct vhdx_piece *piece;

	/* It may be smaller, and have been enlarged here. */
	if (!parent || io->offset >= parent->size)
		return disk_vhdx_read_zeros(io, size);
	piece = disk_vhdx_piece(io, io->offset, MIN(size, parent->size - io->offset));
	return piece && disk_vhdx_submit_piece(piece, parent);
}

/* ---- Blocks ---- */

/* The entry of a block, and what has been found there. */
struct vhdx_found {
	struct vhdx_page *page;
	uint64_t block, index, place;
	enum vhdx_state state;
};

static bool disk_vhdx_change(struct vhdx_io *io, const struct vhdx_found *found,
			     enum vhdx_state state)
{
	if (disk_vhdx_has_room(io->vhdx, io))
		io->result = disk_vhdx_block_change(io->vhdx, io, found->page, found->index, state);
	return false;
}

/* Of a block that is there in part. */
static bool disk_vhdx_next_part(struct vhdx_io *io, uint64_t place, uint64_t size)
{
	struct disk_vhdx *vhdx = io->vhdx;
	uint32_t sector_size = vhdx->image.sector_size;
	unsigned first, run;
	struct vhdx_page *page = vhdx->layout->bits(vhdx, io, place, &size, &first);
	bool here;

	if (!page)
		return false;
	place += io->offset % vhdx->image.block_size;
	run = disk_vhdx_bits_run(page, first, (unsigned)(size / sector_size));
	here = disk_vhdx_bit(page, first);
	if (io->request->operation == DISK_READ) {
		size = (uint64_t)run * sector_size;
		return here ? disk_vhdx_pass(io, place, size) : disk_vhdx_read_below(io, size);
	}
	if (io->request->operation == DISK_UNMAP || (here && run == size / sector_size))
		return disk_vhdx_pass(io, place, size);
	return disk_vhdx_pass_new(io, place, size, page, first);
}

/* Of a block that is there. */
static bool disk_vhdx_next_there(struct vhdx_io *io, const struct vhdx_found *found, uint64_t size)
{
	struct disk_vhdx *vhdx = io->vhdx;
	uint32_t block_size = vhdx->image.block_size;

	if (!vhdx->layout->may_use(vhdx, found->place, block_size)) {
		io->result = -EIO;
		return false;
	}
	if (io->request->operation == DISK_UNMAP && vhdx->image.fixed)
		return disk_vhdx_advance(io, size);
	if (io->request->operation == DISK_UNMAP && size == block_size && vhdx->layout->has_states)
		return disk_vhdx_change(io, found, VHDX_UNMAPPED);
	if (io->request->durable && disk_vhdx_is_uncommitted(vhdx))
		io->needs_commit = true;
	if (found->state == VHDX_PARTIALLY)
		return disk_vhdx_next_part(io, found->place, size);
	return disk_vhdx_pass(io, found->place + io->offset % block_size, size);
}

/* Of a block that the parent has. That it need not be kept is for the parent to know. */
static bool disk_vhdx_next_below(struct vhdx_io *io, const struct vhdx_found *found, uint64_t size)
{
	struct disk_vhdx *vhdx = io->vhdx;

	if (io->request->operation == DISK_READ)
		return disk_vhdx_read_below(io, size);
	if (io->request->operation == DISK_UNMAP)
		return disk_vhdx_advance(io, size);
	if (io->request->operation == DISK_ZERO && size == vhdx->image.block_size &&
	    vhdx->layout->has_states) {
		if (!disk_vhdx_has_room(vhdx, io))
			return false;
		vhdx->layout->set(vhdx, found->page, found->index, VHDX_ZERO, 0);
		disk_vhdx_dirty(vhdx, found->page);
		return disk_vhdx_advance(io, size);
	}
	return vhdx->layout->prepare(vhdx, io, found->block) &&
	       disk_vhdx_change(io, found, VHDX_PARTIALLY);
}

/* Return: whether the block's entry is known, and stays what it is; else the request waits. */
static bool disk_vhdx_find(struct vhdx_io *io, struct vhdx_found *found)
{
	struct disk_vhdx *vhdx = io->vhdx;
	struct vhdx_block *change;

	found->block = io->offset / vhdx->image.block_size;
	found->index = vhdx_bat_index(&vhdx->image, found->block);
	found->page = disk_vhdx_table_page(vhdx, io, found->index);
	if (!found->page)
		return false;
	change = list_empty(&vhdx->blocks) ? NULL : disk_vhdx_block_find(vhdx, found->index);
	if (change) {
		list_append(&change->waiters, &io->link);
		return false;
	}
	found->state = vhdx->layout->get(vhdx, found->page, found->index, &found->place);
	return true;
}

/*
 * One block's part of the request. Return: whether there may be more to do; false: the request
 * waits, or has failed.
 */
static bool disk_vhdx_next(struct vhdx_io *io)
{
	struct disk_vhdx *vhdx = io->vhdx;
	uint32_t block_size = vhdx->image.block_size;
	uint64_t size = MIN(io->left, block_size - io->offset % block_size);
	struct vhdx_found found;

	if (!disk_vhdx_find(io, &found))
		return false;
	if (found.state == VHDX_FULLY || found.state == VHDX_PARTIALLY)
		return disk_vhdx_next_there(io, &found, size);
	if (found.state == VHDX_NOT_PRESENT && vhdx->parent)
		return disk_vhdx_next_below(io, &found, size);
	if (io->request->operation == DISK_READ)
		return disk_vhdx_read_zeros(io, size);
	if (io->request->operation == DISK_WRITE)
		return disk_vhdx_change(io, &found, VHDX_FULLY);
	return disk_vhdx_advance(io, size);
}

/* ---- Requests ---- */

static void disk_vhdx_go(struct vhdx_io *io)
{
	while (io->left && !io->result && io->pieces < PIECES_MAX) {
		/* A hint, or zeros, may be for many blocks. */
		if (io->request->abandoned && io->request->operation >= DISK_UNMAP)
			io->result = -ECANCELED;
		else if (!disk_vhdx_next(io))
			break;
	}
	if (list_empty(&io->link) && !io->pieces && (io->result || !io->left))
		disk_vhdx_settle(io);
}

void disk_vhdx_wake(struct disk_vhdx *vhdx, struct list *waiters, int result)
{
	struct list woken;

	list_init(&woken);
	list_for_each (link, waiters) {
		list_unlink(link);
		list_append(&woken, link);
	}
	disk_vhdx_hold(vhdx);
	while (!list_empty(&woken)) {
		struct vhdx_io *io = container_of(woken.next, struct vhdx_io, link);

		list_unlink(&io->link);
		if (result && !io->result)
			io->result = result;
		disk_vhdx_go(io);
	}
	disk_vhdx_release(vhdx);
}

static void disk_vhdx_begin(struct vhdx_io *io)
{
	struct disk_vhdx *vhdx = io->vhdx;
	struct disk_request *request = io->request;

	switch (request->operation) {
	case DISK_FLUSH:
		io->needs_commit = disk_vhdx_is_uncommitted(vhdx);
		if (!io->needs_commit)
			disk_vhdx_pass(io, 0, 0);
		break;
	case DISK_READ:
		break;
	case DISK_WRITE:
	case DISK_UNMAP:
	case DISK_ZERO:
		if (vhdx->active)
			break;
		list_append(&vhdx->activation, &io->link);
		disk_vhdx_activate(vhdx);
		return;
	}
	disk_vhdx_go(io);
}

static void disk_vhdx_submit(struct disk *disk, struct disk_request *request)
{
	struct disk_vhdx *vhdx = disk_vhdx(disk);
	struct vhdx_io *io = calloc(1, sizeof(*io));

	if (!io) {
		list_init(&request->link);
		list_append(&vhdx->unserved, &request->link);
		loop_defer(vhdx->loop, &vhdx->deferred);
		return;
	}
	io->vhdx = vhdx;
	io->request = request;
	io->left = request->size;
	/* One that is tried again may have been done in part. */
	if (request->operation == DISK_READ || request->operation == DISK_WRITE)
		io->left = iov_size(request->iov, request->iov_count);
	io->offset = request->offset + request->size - io->left;
	list_init(&io->link);
	vhdx->ios++;
	vhdx->submitting++;
	disk_vhdx_begin(io);
	vhdx->submitting--;
}

/* ---- The disk ---- */

static void disk_vhdx_closed(struct disk_vhdx *vhdx)
{
	void (*sealed)(void *data) = TAKE_PTR(vhdx->sealed);
	void *data = vhdx->sealed_data;

	vhdx->closing = false;
	disk_vhdx_release(vhdx);
	if (sealed)
		sealed(data);
}

/* Changes are written, and the headers say that there is no log to be replayed. */
void disk_vhdx_try_close(struct disk_vhdx *vhdx)
{
	bool unwritten = vhdx->dirty || vhdx->commit.logged;

	if (!vhdx->closing || vhdx->ios || !list_empty(&vhdx->blocks) || vhdx->plan.steps ||
	    vhdx->commit.stage != VHDX_IDLE)
		return;
	if (unwritten && !vhdx->close_tried) {
		vhdx->close_tried = true;
		disk_vhdx_commit(vhdx);
	} else if (vhdx->active && vhdx->layout->logged && !unwritten) {
		disk_vhdx_deactivate(vhdx);
	} else {
		disk_vhdx_closed(vhdx);
	}
}

void disk_vhdx_seal(struct disk *disk, void (*sealed)(void *data), void *data)
{
	struct disk_vhdx *vhdx = disk_vhdx(disk);

	vhdx->sealed = sealed;
	vhdx->sealed_data = data;
	vhdx->close_tried = false;
	disk_vhdx_hold(vhdx);
	vhdx->closing = true;
	disk_vhdx_try_close(vhdx);
}

int disk_vhdx_share(struct disk *disk)
{
	return disk_lock(disk_vhdx(disk)->file, DISK_LOCK_SHARE);
}

static void disk_vhdx_retire(struct disk *disk)
{
	struct disk_vhdx *vhdx = disk_vhdx(disk);

	disk_vhdx_hold(vhdx);
	vhdx->closing = true;
	disk_vhdx_try_close(vhdx);
}

static void disk_vhdx_free(struct disk *disk)
{
	struct disk_vhdx *vhdx = disk_vhdx(disk);

	loop_deferred_cancel(&vhdx->deferred);
	disk_vhdx_pages_deinit(vhdx);
	disk_vhdx_commit_deinit(vhdx);
	vhdx_patches_deinit(&vhdx->patches);
	list_for_each (link, &vhdx->spares)
		free(container_of(link, struct vhdx_block, link));
	disk_retire(vhdx->file, NULL, NULL);
	if (vhdx->parent)
		disk_retire(vhdx->parent, NULL, NULL);
	free(vhdx->move.footer);
	free(vhdx->bitmaps[0]);
	free(vhdx->bitmaps[1]);
	free(vhdx->whole);
	free(vhdx);
}

static int disk_vhdx_descriptor(const struct disk *disk)
{
	return disk_descriptor(container_of(disk, const struct disk_vhdx, disk)->file);
}

static const struct disk_ops disk_vhdx_ops = {
	.submit = disk_vhdx_submit,
	.free = disk_vhdx_free,
	.descriptor = disk_vhdx_descriptor,
	.retire = disk_vhdx_retire,
};

static void disk_vhdx_init(struct disk_vhdx *vhdx)
{
	const struct vhdx *image = &vhdx->image;
	const struct disk *file = vhdx->file;

	vhdx->disk = (struct disk){
		.ops = &disk_vhdx_ops,
		.size = image->size,
		.sector_size = image->sector_size,
		.physical_block_size = MAX(image->physical_sector_size, image->sector_size),
		.read_only = file->read_only,
		.unmap = file->unmap && !image->fixed,
		/* A part of a block that is trimmed is the parent's again, or stays. */
		.unmap_zeroes = file->unmap_zeroes && !image->fixed && !image->has_parent,
	};
	disk_init(&vhdx->disk);
	vhdx->deferred.run = disk_vhdx_run_deferred;
	list_init(&vhdx->deferred.link);
	list_init(&vhdx->ended);
	list_init(&vhdx->unserved);
	list_init(&vhdx->room);
	list_init(&vhdx->blocks);
	list_init(&vhdx->spares);
	list_init(&vhdx->activation);
	list_init(&vhdx->move.waiters);
	disk_vhdx_pages_init(vhdx);
}

const struct vhdx *disk_vhdx_image(struct disk *disk)
{
	return disk->ops == &disk_vhdx_ops ? &disk_vhdx(disk)->image : NULL;
}

bool disk_vhdx_can_be_parent(const struct disk *disk)
{
	return disk->ops == &disk_vhdx_ops && !disk->read_only &&
	       disk_vhdx((struct disk *)disk)->layout == &disk_vhdx_layout;
}

void disk_vhdx_set_parent(struct disk *disk, struct disk *parent)
{
	disk_vhdx(disk)->parent = parent;
}

int disk_vhdx_start(struct disk_vhdx *vhdx, struct disk **ret_disk)
{
	disk_vhdx_init(vhdx);
	if (disk_vhdx_commit_init(vhdx) < 0) {
		disk_retire(&vhdx->disk, NULL, NULL);
		return -ENOMEM;
	}
	*ret_disk = &vhdx->disk;
	return 0;
}
