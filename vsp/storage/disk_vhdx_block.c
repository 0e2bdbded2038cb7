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

static _Alignas(VHDX_PAGE) uint8_t zeros[VHDX_PAGE];

struct vhdx_block *disk_vhdx_block_find(struct disk_vhdx *vhdx, uint64_t index)
{
	list_for_each (link, &vhdx->blocks) {
		struct vhdx_block *change = container_of(link, struct vhdx_block, link);

		if (change->index == index)
			return change;
	}
	return NULL;
}

static uint64_t *disk_vhdx_block_entry(struct vhdx_block *change)
{
	return &change->page->entries[change->index % VHDX_PAGE_ENTRIES];
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

static void disk_vhdx_block_changed(struct disk_request *request, int result)
{
	struct vhdx_block *change = container_of(request, struct vhdx_block, request);
	struct disk_vhdx *vhdx = change->vhdx;
	struct list waiters;

	disk_vhdx_hold(vhdx);
	change->page->pins--;
	vhdx->reserved--;
	if (result == 0) {
		*disk_vhdx_block_entry(change) = change->offset | change->state;
		vhdx->file_size = MAX(vhdx->file_size, change->offset + change->size);
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
	if (fresh) {
		change->offset = vhdx->end;
		vhdx->end += size;
	}
	return change;
}

static void disk_vhdx_block_start(struct vhdx_block *change)
{
	change->request = (struct disk_request){ .complete = disk_vhdx_block_changed };
	if (change->fresh) {
		change->iov = (struct iovec){ zeros, VHDX_PAGE };
		change->request.operation = DISK_WRITE;
		change->request.offset = change->offset + change->size - VHDX_PAGE;
		change->request.size = VHDX_PAGE;
		change->request.iov = &change->iov;
		change->request.iov_count = 1;
	} else {
		change->request.operation = change->state == VHDX_UNMAPPED ? DISK_UNMAP : DISK_ZERO;
		change->request.unmap = true;
		change->request.offset = change->offset;
		change->request.size = change->size;
	}
	disk_submit(change->vhdx->file, &change->request);
}

int disk_vhdx_block_change(struct disk_vhdx *vhdx, struct vhdx_io *io, struct vhdx_page *page,
			   uint64_t index, enum vhdx_state state)
{
	uint64_t entry = page->entries[index % VHDX_PAGE_ENTRIES];
	uint32_t size =
		vhdx_is_bitmap(&vhdx->image, index) ? VHDX_BITMAP_SIZE : vhdx->image.block_size;
	/* What is named beside another state may be anything; our own is in the file. */
	bool keeps = (entry & VHDX_STATE_MASK) != VHDX_NOT_PRESENT &&
		     vhdx_may_use(&vhdx->image, vhdx->file_size, entry & VHDX_OFFSET_MASK, size);
	struct vhdx_block *change = disk_vhdx_block_new(vhdx, size, !keeps);

	if (!change)
		return -ENOMEM;
	if (keeps)
		change->offset = entry & VHDX_OFFSET_MASK;
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
