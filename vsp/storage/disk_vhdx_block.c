/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Blocks and bitmaps of a VHDX image that get space, or give it back.
 *
 * New space is at the end of the file, whose growing makes it zeros; that a page names it shows
 * nothing but zeros, whatever of the first write has got there. A block that was given back keeps
 * its place, and nobody else gets it: what lies there is of no other block.
 */
#include "vsp/storage/disk_vhdx.h"

#include <errno.h>
#include <stdlib.h>

struct vhdx_block *disk_vhdx_block_find(struct disk_vhdx *vhdx, uint64_t index)
{
	list_for_each (link, &vhdx->blocks) {
		struct vhdx_block *change = container_of(link, struct vhdx_block, link);

		if (change->index == index)
			return change;
	}
	return NULL;
}

/* New space that could not be made is kept for the next block: nothing has been there. */
static void disk_vhdx_block_discard(struct vhdx_block *change)
{
	list_unlink(&change->link);
	if (change->fresh)
		list_append(&change->vhdx->spares, &change->link);
	else
		free(change);
}

void disk_vhdx_block_changed(struct disk_request *request, int result)
{
	struct vhdx_block *change = container_of(request, struct vhdx_block, request);
	struct disk_vhdx *vhdx = change->vhdx;
	struct list waiters;

	disk_vhdx_hold(vhdx);
	change->page->pins--;
	vhdx->reserved--;
	if (result == 0) {
		vhdx->layout->set(vhdx, change->page, change->index, change->state, change->place);
		vhdx->file_size = MAX(vhdx->file_size, change->place + change->size);
		disk_vhdx_dirty(vhdx, change->page);
		change->fresh = false;
	}
	list_init(&waiters);
	list_for_each (link, &change->waiters) {
		list_unlink(link);
		list_append(&waiters, link);
	}
	disk_vhdx_block_discard(change);
	disk_vhdx_wake(vhdx, &waiters, result);
	/* What it had reserved may be another's. */
	disk_vhdx_wake(vhdx, &vhdx->room, 0);
	disk_vhdx_try_close(vhdx);
	disk_vhdx_release(vhdx);
}

static struct vhdx_block *disk_vhdx_block_spare(struct disk_vhdx *vhdx, uint32_t size)
{
	list_for_each (link, &vhdx->spares) {
		struct vhdx_block *change = container_of(link, struct vhdx_block, link);

		if (change->size != size)
			continue;
		list_unlink(&change->link);
		return change;
	}
	return NULL;
}

static struct vhdx_block *disk_vhdx_block_new(struct disk_vhdx *vhdx, uint32_t size, bool fresh)
{
	struct vhdx_block *change = fresh ? disk_vhdx_block_spare(vhdx, size) : NULL;

	if (change)
		return change;
	change = calloc(1, sizeof(*change));
	if (!change)
		return NULL;
	list_init(&change->link);
	list_init(&change->waiters);
	change->vhdx = vhdx;
	change->fresh = fresh;
	change->size = size;
	if (fresh)
		change->place = vhdx->layout->reserve(vhdx, size);
	return change;
}

/* What was there before is not to be seen again. */
static void disk_vhdx_block_start(struct vhdx_block *change)
{
	if (change->fresh) {
		change->vhdx->layout->begin(change);
		return;
	}
	change->request = (struct disk_request){
		.operation = change->state == VHDX_UNMAPPED ? DISK_UNMAP : DISK_ZERO,
		.unmap = true,
		.offset = change->place,
		.size = change->size,
		.complete = disk_vhdx_block_changed,
	};
	disk_submit(change->vhdx->file, &change->request);
}

int disk_vhdx_block_change(struct disk_vhdx *vhdx, struct vhdx_io *io, struct vhdx_page *page,
			   uint64_t index, enum vhdx_state state)
{
	const struct vhdx_layout *layout = vhdx->layout;
	uint64_t place = 0;
	uint32_t size =
		vhdx_is_bitmap(&vhdx->image, index) ? VHDX_BITMAP_SIZE : vhdx->image.block_size;
	/* What is named beside another state may be anything; our own is in the file. */
	bool keeps = layout->get(vhdx, page, index, &place) != VHDX_NOT_PRESENT &&
		     layout->may_use(vhdx, place, size);
	struct vhdx_block *change = disk_vhdx_block_new(vhdx, size, !keeps);

	if (!change)
		return -ENOMEM;
	if (!keeps && !change->place) {
		free(change);
		return -ENOSPC;
	}
	if (keeps)
		change->place = place;
	change->index = index;
	change->state = state;
	change->page = page;
	page->pins++;
	vhdx->reserved++;
	list_append(&vhdx->blocks, &change->link);
	list_append(&change->waiters, &io->link);
	disk_vhdx_block_start(change);
	return 0;
}
