/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Changes of a VHDX image's table on their way to the file.
 *
 * A commit takes all pages that have changed: flushes what they name, writes them to the log and
 * flushes that, writes them to their places and flushes those. Then comes the next. So each entry
 * stands for itself, its tail being its own beginning; it lies in the half of the log where the one
 * before does not, which stays whole until this one is.
 *
 * A flush of the guest's is done when a log is durable whose commit began after it came.
 *
 * VHD has no log: no entry of its table, and no bit, says more than one of a sector that may be torn
 * off, and all that they stand for is durable before. Pages go to their places at once, and a flush
 * is done when these are durable.
 */
#include "vsp/storage/disk_vhdx.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void disk_vhdx_commit_step(struct disk_vhdx *vhdx);

bool disk_vhdx_is_uncommitted(const struct disk_vhdx *vhdx)
{
	const struct vhdx_commit *commit = &vhdx->commit;

	return vhdx->dirty || (commit->count && commit->stage != VHDX_IDLE &&
			       (commit->stage <= VHDX_FLUSH_LOG || !vhdx->layout->logged));
}

void disk_vhdx_dirty(struct disk_vhdx *vhdx, struct vhdx_page *page)
{
	if (!page->dirty) {
		page->dirty = true;
		vhdx->dirty++;
	}
	disk_vhdx_commit(vhdx);
}

bool disk_vhdx_has_room(struct disk_vhdx *vhdx, struct vhdx_io *io)
{
	if (vhdx->dirty + vhdx->reserved < VHDX_ENTRY_PAGES)
		return true;
	list_append(&vhdx->room, &io->link);
	if (vhdx->dirty)
		disk_vhdx_commit(vhdx);
	return false;
}

static void disk_vhdx_commit_move(struct list *from, struct list *to)
{
	list_for_each (link, from) {
		list_unlink(link);
		list_append(to, link);
	}
}

/* ---- Its beginning and its end ---- */

static void disk_vhdx_commit_take(struct disk_vhdx *vhdx)
{
	struct vhdx_commit *commit = &vhdx->commit;

	commit->count = 0;
	list_for_each (link, &vhdx->ages) {
		struct vhdx_page *page = container_of(link, struct vhdx_page, age);

		if (!page->dirty)
			continue;
		commit->pages[commit->count] = page;
		commit->offsets[commit->count] = page->offset;
		memcpy(commit->copies + (size_t)commit->count * VHDX_PAGE, page->bytes,
		       vhdx->layout->page_size);
		commit->count++;
		page->dirty = false;
		page->logged = true;
	}
	vhdx->dirty = 0;
	commit->flushed = vhdx->file_size;
}

void disk_vhdx_commit(struct disk_vhdx *vhdx)
{
	struct vhdx_commit *commit = &vhdx->commit;

	if (commit->stage != VHDX_IDLE)
		return;
	commit->result = 0;
	if (commit->logged) {
		commit->stage = VHDX_APPLY;
	} else {
		commit->stage = VHDX_FLUSH_PAYLOAD;
		disk_vhdx_commit_move(&commit->next_flushes, &commit->flushes);
		disk_vhdx_commit_take(vhdx);
	}
	disk_vhdx_hold(vhdx);
	disk_vhdx_commit_step(vhdx);
}

static void disk_vhdx_commit_end(struct disk_vhdx *vhdx)
{
	struct vhdx_commit *commit = &vhdx->commit;

	commit->stage = VHDX_IDLE;
	commit->logged = false;
	for (unsigned i = 0; i < commit->count; i++)
		commit->pages[i]->logged = false;
	commit->count = 0;
	if (vhdx->dirty || !list_empty(&commit->next_flushes))
		disk_vhdx_commit(vhdx);
	disk_vhdx_wake(vhdx, &vhdx->starved, 0);
	disk_vhdx_wake(vhdx, &vhdx->room, 0);
	disk_vhdx_try_close(vhdx);
	disk_vhdx_release(vhdx);
}

/*
 * All that wait are told. Nothing has been lost: the next flush or change tries again. What is in
 * the log has to be applied first.
 */
static void disk_vhdx_commit_fail(struct disk_vhdx *vhdx, int result)
{
	struct vhdx_commit *commit = &vhdx->commit;

	/* The entry before this one is whole: the next goes to the same place as this. */
	if (commit->stage == VHDX_WRITE_LOG || commit->stage == VHDX_FLUSH_LOG)
		vhdx->sequence--;
	commit->logged = vhdx->layout->logged && commit->stage >= VHDX_APPLY;
	commit->stage = VHDX_IDLE;
	for (unsigned i = 0; !commit->logged && i < commit->count; i++) {
		struct vhdx_page *page = commit->pages[i];

		page->logged = false;
		vhdx->dirty += !page->dirty;
		page->dirty = true;
	}
	if (!commit->logged)
		commit->count = 0;
	disk_vhdx_commit_move(&commit->next_flushes, &commit->flushes);
	disk_vhdx_wake(vhdx, &commit->flushes, result);
	disk_vhdx_wake(vhdx, &vhdx->room, result);
	disk_vhdx_wake(vhdx, &vhdx->starved, result);
	disk_vhdx_try_close(vhdx);
	disk_vhdx_release(vhdx);
}

/* ---- Its stages ---- */

static void disk_vhdx_commit_stepped(struct disk_request *request, int result)
{
	struct disk_vhdx *vhdx = container_of(request, struct disk_vhdx, commit.request);
	struct vhdx_commit *commit = &vhdx->commit;

	if (result) {
		disk_vhdx_commit_fail(vhdx, result);
		return;
	}
	if (commit->stage == VHDX_FLUSH_LOG ||
	    (commit->stage == VHDX_FLUSH_PAYLOAD && !commit->count)) {
		commit->stage = commit->count ? VHDX_APPLY : VHDX_FLUSH_APPLIED;
		disk_vhdx_wake(vhdx, &commit->flushes, 0);
		if (!commit->count) {
			disk_vhdx_commit_end(vhdx);
			return;
		}
	} else if (commit->stage == VHDX_FLUSH_APPLIED) {
		disk_vhdx_wake(vhdx, &commit->flushes, 0);
		disk_vhdx_commit_end(vhdx);
		return;
	} else if (!vhdx->layout->logged) {
		commit->stage = VHDX_APPLY;
	} else {
		commit->stage++;
	}
	disk_vhdx_commit_step(vhdx);
}

static void disk_vhdx_commit_flush(struct disk_vhdx *vhdx)
{
	vhdx->commit.request = (struct disk_request){ .operation = DISK_FLUSH,
						      .complete = disk_vhdx_commit_stepped };
	disk_submit(vhdx->file, &vhdx->commit.request);
}

static void disk_vhdx_commit_log(struct disk_vhdx *vhdx)
{
	struct vhdx_commit *commit = &vhdx->commit;
	struct vhdx_log_page pages[VHDX_ENTRY_PAGES];
	uint32_t half = vhdx->image.header.log_length / 2, at;
	struct vhdx_log_position position;

	vhdx->sequence++;
	at = vhdx->sequence % 2 ? 0 : half;
	position = (struct vhdx_log_position){ .sequence = vhdx->sequence,
					       .flushed = ALIGN_DOWN(commit->flushed, VHDX_MIB),
					       .last = ALIGN_DOWN(commit->flushed, VHDX_MIB),
					       .tail = at };
	for (unsigned i = 0; i < commit->count; i++)
		pages[i] = (struct vhdx_log_page){ commit->offsets[i],
						   commit->copies + (size_t)i * VHDX_PAGE };
	commit->length =
		vhdx_entry_make(commit->entry, &vhdx->log, &position, pages, commit->count);
	commit->iov = (struct iovec){ commit->entry, commit->length };
	commit->request = (struct disk_request){ .operation = DISK_WRITE,
						 .offset = vhdx->image.header.log_offset + at,
						 .size = commit->length,
						 .iov = &commit->iov,
						 .iov_count = 1,
						 .complete = disk_vhdx_commit_stepped };
	disk_submit(vhdx->file, &commit->request);
}

static void disk_vhdx_apply_next(struct disk_vhdx *vhdx);

static void disk_vhdx_applied(struct disk_request *request, int result)
{
	struct vhdx_apply *apply = container_of(request, struct vhdx_apply, request);
	struct disk_vhdx *vhdx = apply->vhdx;
	struct vhdx_commit *commit = &vhdx->commit;

	apply->busy = false;
	commit->pending--;
	if (result && !commit->result)
		commit->result = result;
	if (!commit->result)
		disk_vhdx_apply_next(vhdx);
	if (commit->pending)
		return;
	if (commit->result) {
		disk_vhdx_commit_fail(vhdx, commit->result);
		return;
	}
	commit->stage = VHDX_FLUSH_APPLIED;
	disk_vhdx_commit_flush(vhdx);
}

static void disk_vhdx_apply_write(struct disk_vhdx *vhdx, struct vhdx_apply *apply)
{
	struct vhdx_commit *commit = &vhdx->commit;
	unsigned i = commit->next++;

	apply->busy = true;
	commit->pending++;
	apply->iov =
		(struct iovec){ commit->copies + (size_t)i * VHDX_PAGE, vhdx->layout->page_size };
	apply->request = (struct disk_request){ .operation = DISK_WRITE,
						.offset = commit->offsets[i],
						.size = apply->iov.iov_len,
						.iov = &apply->iov,
						.iov_count = 1,
						.complete = disk_vhdx_applied };
	disk_submit(vhdx->file, &apply->request);
}

static void disk_vhdx_apply_next(struct disk_vhdx *vhdx)
{
	struct vhdx_commit *commit = &vhdx->commit;

	for (size_t i = 0; i < VHDX_APPLY_PARALLEL && commit->next < commit->count; i++)
		if (!commit->applies[i].busy)
			disk_vhdx_apply_write(vhdx, &commit->applies[i]);
}

static void disk_vhdx_commit_step(struct disk_vhdx *vhdx)
{
	switch (vhdx->commit.stage) {
	case VHDX_WRITE_LOG:
		disk_vhdx_commit_log(vhdx);
		break;
	case VHDX_APPLY:
		vhdx->commit.next = 0;
		disk_vhdx_apply_next(vhdx);
		break;
	default:
		disk_vhdx_commit_flush(vhdx);
		break;
	}
}

int disk_vhdx_commit_init(struct disk_vhdx *vhdx)
{
	struct vhdx_commit *commit = &vhdx->commit;

	list_init(&commit->flushes);
	list_init(&commit->next_flushes);
	for (size_t i = 0; i < VHDX_APPLY_PARALLEL; i++)
		commit->applies[i].vhdx = vhdx;
	/* Untouched, they take no memory. */
	commit->entry = aligned_alloc(VHDX_PAGE, VHDX_ENTRY_SIZE);
	commit->copies = aligned_alloc(VHDX_PAGE, (size_t)VHDX_ENTRY_PAGES * VHDX_PAGE);
	vhdx->plan.page = aligned_alloc(VHDX_PAGE, VHDX_PAGE);
	return commit->entry && commit->copies && vhdx->plan.page ? 0 : -ENOMEM;
}

void disk_vhdx_commit_deinit(struct disk_vhdx *vhdx)
{
	free(vhdx->commit.entry);
	free(vhdx->commit.copies);
	free(vhdx->plan.page);
}
