/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The headers of a VHDX image: before its first change, and when it is closed.
 *
 * Before anything else changes, the headers get new GUIDs, by which others know that the image is
 * not what it was. A log is named only once there is an entry in it: an image that names a log
 * without any is corrupt.
 */
#include "vsp/storage/disk_vhdx.h"

#include <errno.h>

/*
 * h: the other header, with the next sequence number. f: flush. e: an entry without pages, in the
 * new log. l: from now on the log has that name; z: none.
 */
static const char activation_steps[] = "hfhfeflhfhf";
static const char closing_steps[] = "zhfhf";

static void disk_vhdx_plan_next(struct disk_vhdx *vhdx);

static void disk_vhdx_plan_end(struct disk_vhdx *vhdx, int result)
{
	vhdx->plan.steps = NULL;
	/* The other one is whole: the next goes to the same place as this. */
	if (result && vhdx->plan.unsure)
		vhdx->image.header_index ^= 1;
	vhdx->plan.unsure = false;
	vhdx->plan.ended(vhdx, result);
}

static void disk_vhdx_plan_stepped(struct disk_request *request, int result)
{
	struct disk_vhdx *vhdx = container_of(request, struct disk_vhdx, plan.request);

	disk_vhdx_hold(vhdx);
	if (result == 0 && request->operation == DISK_FLUSH)
		vhdx->plan.unsure = false;
	if (result || !*vhdx->plan.steps)
		disk_vhdx_plan_end(vhdx, result);
	else
		disk_vhdx_plan_next(vhdx);
	disk_vhdx_release(vhdx);
}

static void disk_vhdx_plan_write(struct disk_vhdx *vhdx, uint64_t offset)
{
	vhdx->plan.iov = (struct iovec){ vhdx->plan.page, VHDX_PAGE };
	vhdx->plan.request = (struct disk_request){ .operation = DISK_WRITE,
						    .offset = offset,
						    .size = VHDX_PAGE,
						    .iov = &vhdx->plan.iov,
						    .iov_count = 1,
						    .complete = disk_vhdx_plan_stepped };
	disk_submit(vhdx->file, &vhdx->plan.request);
}

static void disk_vhdx_plan_header(struct disk_vhdx *vhdx)
{
	vhdx->image.header.sequence++;
	vhdx->image.header_index ^= 1;
	vhdx->plan.unsure = true;
	vhdx_header_make(vhdx->plan.page, &vhdx->image.header);
	disk_vhdx_plan_write(vhdx, VHDX_HEADER_OFFSET(vhdx->image.header_index));
}

static void disk_vhdx_plan_entry(struct disk_vhdx *vhdx)
{
	const struct vhdx_log_position position = {
		.sequence = vhdx->sequence,
		.flushed = ALIGN_DOWN(vhdx->file_size, VHDX_MIB),
		.last = ALIGN_DOWN(vhdx->file_size, VHDX_MIB),
	};

	vhdx_entry_make(vhdx->plan.page, &vhdx->log, &position, NULL, 0);
	disk_vhdx_plan_write(vhdx, vhdx->image.header.log_offset);
}

static void disk_vhdx_plan_flush(struct disk_vhdx *vhdx)
{
	vhdx->plan.request = (struct disk_request){ .operation = DISK_FLUSH,
						    .complete = disk_vhdx_plan_stepped };
	disk_submit(vhdx->file, &vhdx->plan.request);
}

static void disk_vhdx_plan_next(struct disk_vhdx *vhdx)
{
	for (;;) {
		switch (*vhdx->plan.steps++) {
		case 'l':
			vhdx->image.header.log = vhdx->log;
			continue;
		case 'z':
			vhdx->image.header.log = (struct guid){ { 0 } };
			continue;
		case 'h':
			disk_vhdx_plan_header(vhdx);
			return;
		case 'e':
			disk_vhdx_plan_entry(vhdx);
			return;
		default:
			disk_vhdx_plan_flush(vhdx);
			return;
		}
	}
}

static void disk_vhdx_activated(struct disk_vhdx *vhdx, int result)
{
	vhdx->active = result == 0;
	disk_vhdx_wake(vhdx, &vhdx->activation, result);
	disk_vhdx_try_close(vhdx);
}

void disk_vhdx_activate(struct disk_vhdx *vhdx)
{
	struct vhdx_header *header = &vhdx->image.header;
	int r;

	if (vhdx->plan.steps)
		return;
	/* After a failure in the middle it begins anew. */
	header->log = (struct guid){ { 0 } };
	r = guid_generate(&header->file_write);
	if (r == 0)
		r = guid_generate(&header->data_write);
	if (r == 0)
		r = guid_generate(&vhdx->log);
	vhdx->sequence = 1;
	vhdx->plan.ended = disk_vhdx_activated;
	if (r < 0) {
		disk_vhdx_wake(vhdx, &vhdx->activation, r);
		return;
	}
	vhdx->plan.steps = activation_steps;
	disk_vhdx_plan_next(vhdx);
}

/* If that fails, the log is still there, and all in it has been applied: it does no harm. */
static void disk_vhdx_deactivated(struct disk_vhdx *vhdx, int result)
{
	vhdx->active = false;
	disk_vhdx_try_close(vhdx);
}

void disk_vhdx_deactivate(struct disk_vhdx *vhdx)
{
	vhdx->plan.ended = disk_vhdx_deactivated;
	vhdx->plan.steps = closing_steps;
	disk_vhdx_plan_next(vhdx);
}
