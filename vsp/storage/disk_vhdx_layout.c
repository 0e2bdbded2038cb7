/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where things are in a VHDX image. */
#include "vsp/storage/disk_vhdx.h"

static _Alignas(VHDX_PAGE) uint8_t zeros[VHDX_PAGE];

static enum vhdx_state disk_vhdx_get(const struct disk_vhdx *vhdx, const struct vhdx_page *page,
				     uint64_t index, uint64_t *ret_place)
{
	uint64_t entry = page->entries[index % VHDX_PAGE_ENTRIES];
	enum vhdx_state state = (enum vhdx_state)(entry & VHDX_STATE_MASK);

	*ret_place = entry & VHDX_OFFSET_MASK;
	/* Where there is no parent, no block can be there in part. */
	return state == VHDX_PARTIALLY && !vhdx->parent ? VHDX_UNDEFINED : state;
}

static void disk_vhdx_set(struct disk_vhdx *vhdx, struct vhdx_page *page, uint64_t index,
			  enum vhdx_state state, uint64_t place)
{
	page->entries[index % VHDX_PAGE_ENTRIES] = place | state;
}

static bool disk_vhdx_may_use(const struct disk_vhdx *vhdx, uint64_t place, uint64_t size)
{
	return vhdx_may_use(&vhdx->image, vhdx->file_size, place, size);
}

static uint64_t disk_vhdx_reserve(struct disk_vhdx *vhdx, uint32_t size)
{
	vhdx->end += size;
	return vhdx->end - size;
}

/* The file grows by its last page, and the rest is zeros. */
static void disk_vhdx_begin(struct vhdx_block *change)
{
	change->iov = (struct iovec){ zeros, VHDX_PAGE };
	change->request = (struct disk_request){ .operation = DISK_WRITE,
						 .offset = change->place + change->size - VHDX_PAGE,
						 .size = VHDX_PAGE,
						 .iov = &change->iov,
						 .iov_count = 1,
						 .complete = disk_vhdx_block_changed };
	disk_submit(change->vhdx->file, &change->request);
}

const struct vhdx_layout disk_vhdx_layout = {
	.page_size = VHDX_PAGE,
	.page_entries = VHDX_PAGE_ENTRIES,
	.page_count = 256,
	.logged = true,
	.has_states = true,
	.get = disk_vhdx_get,
	.set = disk_vhdx_set,
	.may_use = disk_vhdx_may_use,
	.reserve = disk_vhdx_reserve,
	.begin = disk_vhdx_begin,
	.bits = disk_vhdx_bits,
	.prepare = disk_vhdx_bitmap_prepare,
};
