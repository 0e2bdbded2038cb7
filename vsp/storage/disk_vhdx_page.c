/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The pages of a VHDX image's table and bitmaps that are kept: a bounded number, the least recently
 * used go.
 */
#include "vsp/storage/disk_vhdx.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct list *disk_vhdx_bucket(struct disk_vhdx *vhdx, uint64_t offset)
{
	return &vhdx->buckets[offset / vhdx->layout->page_size % VHDX_CACHE_BUCKETS];
}

static struct vhdx_page *disk_vhdx_page_find(struct disk_vhdx *vhdx, uint64_t offset)
{
	list_for_each (link, disk_vhdx_bucket(vhdx, offset)) {
		struct vhdx_page *page = container_of(link, struct vhdx_page, bucket);

		if (page->offset == offset)
			return page;
	}
	return NULL;
}

static void disk_vhdx_page_free(struct vhdx_page *page)
{
	list_unlink(&page->bucket);
	list_unlink(&page->age);
	free(page->bytes);
	free(page);
}

static struct vhdx_page *disk_vhdx_page_new(struct disk_vhdx *vhdx)
{
	struct vhdx_page *page = calloc(1, sizeof(*page));

	if (!page)
		return NULL;
	page->bytes = aligned_alloc(vhdx->layout->page_size, vhdx->layout->page_size);
	if (!page->bytes) {
		free(page);
		return NULL;
	}
	page->vhdx = vhdx;
	list_init(&page->bucket);
	list_init(&page->age);
	list_init(&page->waiters);
	vhdx->page_count++;
	return page;
}

/* The oldest that can be read again. */
static struct vhdx_page *disk_vhdx_page_evict(struct disk_vhdx *vhdx)
{
	list_for_each (link, &vhdx->ages) {
		struct vhdx_page *page = container_of(link, struct vhdx_page, age);

		if (page->loading || page->dirty || page->logged || page->pins)
			continue;
		list_unlink(&page->bucket);
		list_unlink(&page->age);
		return page;
	}
	return NULL;
}

static void disk_vhdx_page_loaded(struct disk_request *request, int result)
{
	struct vhdx_page *page = container_of(request, struct vhdx_page, request);
	struct disk_vhdx *vhdx = page->vhdx;
	struct list waiters;

	disk_vhdx_hold(vhdx);
	page->loading = false;
	/* What a replay in memory has added to the file. */
	if (result == DISK_E_SHORT && page->offset < vhdx->patches.file_size) {
		memset(page->bytes, 0, vhdx->layout->page_size);
		result = 0;
	}
	vhdx_patches_apply(&vhdx->patches, page->offset, page->bytes, vhdx->layout->page_size);
	list_init(&waiters);
	list_for_each (link, &page->waiters) {
		list_unlink(link);
		list_append(&waiters, link);
	}
	if (result) {
		disk_vhdx_page_free(page);
		vhdx->page_count--;
	}
	disk_vhdx_wake(vhdx, &waiters, result);
	disk_vhdx_wake(vhdx, &vhdx->starved, 0);
	disk_vhdx_release(vhdx);
}

static void disk_vhdx_page_load(struct vhdx_page *page)
{
	uint32_t size = page->vhdx->layout->page_size;

	page->loading = true;
	page->iov = (struct iovec){ page->bytes, size };
	page->request = (struct disk_request){ .operation = DISK_READ,
					       .offset = page->offset,
					       .size = size,
					       .iov = &page->iov,
					       .iov_count = 1,
					       .complete = disk_vhdx_page_loaded };
	disk_submit(page->vhdx->file, &page->request);
}

static void disk_vhdx_page_begin(struct disk_vhdx *vhdx, struct vhdx_io *io, uint64_t offset)
{
	struct vhdx_page *page;

	if (vhdx->page_count < vhdx->layout->page_count) {
		page = disk_vhdx_page_new(vhdx);
		if (!page) {
			io->result = -ENOMEM;
			return;
		}
	} else {
		page = disk_vhdx_page_evict(vhdx);
		if (!page) {
			list_append(&vhdx->starved, &io->link);
			return;
		}
	}
	page->offset = offset;
	list_append(disk_vhdx_bucket(vhdx, offset), &page->bucket);
	list_append(&vhdx->ages, &page->age);
	list_append(&page->waiters, &io->link);
	disk_vhdx_page_load(page);
}

struct vhdx_page *disk_vhdx_page(struct disk_vhdx *vhdx, struct vhdx_io *io, uint64_t offset)
{
	struct vhdx_page *page = disk_vhdx_page_find(vhdx, offset);

	if (!page) {
		disk_vhdx_page_begin(vhdx, io, offset);
		return NULL;
	}
	if (page->loading) {
		list_append(&page->waiters, &io->link);
		return NULL;
	}
	list_unlink(&page->age);
	list_append(&vhdx->ages, &page->age);
	return page;
}

struct vhdx_page *disk_vhdx_table_page(struct disk_vhdx *vhdx, struct vhdx_io *io, uint64_t index)
{
	const struct vhdx_layout *layout = vhdx->layout;

	return disk_vhdx_page(vhdx, io,
			      vhdx->image.bat_offset +
				      index / layout->page_entries * layout->page_size);
}

void disk_vhdx_pages_init(struct disk_vhdx *vhdx)
{
	for (size_t i = 0; i < VHDX_CACHE_BUCKETS; i++)
		list_init(&vhdx->buckets[i]);
	list_init(&vhdx->ages);
	list_init(&vhdx->starved);
}

void disk_vhdx_pages_deinit(struct disk_vhdx *vhdx)
{
	list_for_each (link, &vhdx->ages)
		disk_vhdx_page_free(container_of(link, struct vhdx_page, age));
}
