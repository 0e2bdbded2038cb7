/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A saved VM's file is written, or its RAM is read, one piece at a time. What needs no I/O (pages of
 * zeros, holes) is passed over in bounded iterations of the loop.
 */
#include "vmwp/state/state_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE_SIZE      4096u
#define PIECE_SIZE     (1u << 20)  /* that is written or read at once */
#define ITERATION_SIZE (64u << 20) /* that is looked at in one iteration */

enum transfer_step {
	STEP_HEAD, /* those of writing begin here, … */
	STEP_RAM,  /* … and those of reading here, and end with it */
	STEP_SYNC,
	STEP_END,
	STEP_END_SYNC,
	STEP_DONE,
};

struct state_file_transfer {
	const struct vid_memory *memory;
	struct vid_memory *read_into; /* NULL: it writes */
	struct loop *loop;
	int fd;
	const struct state_file_callbacks *callbacks;
	void *data;

	struct loop_deferred iteration;
	struct loop_operation operation;
	struct iovec iov;   /* what is left of the operation under way, … */
	uint64_t at;        /* … and where in the file */
	uint64_t piece_gpa; /* of a piece of RAM, … */
	size_t piece_size;  /* … or 0 */

	enum transfer_step step;
	bool cancelled;
	void *head; /* written first; owned */
	size_t head_size;
	struct state_file_end end;

	uint64_t ram_offset, ram_size;
	size_t region;
	uint64_t offset; /* in that region */
	uint64_t done;   /* bytes of all regions */
	uint64_t moved;  /* bytes, by operations */
};

static void transfer_end(struct state_file_transfer *transfer, int result)
{
	loop_deferred_cancel(&transfer->iteration);
	transfer->step = STEP_DONE;
	transfer->callbacks->done(transfer->data, result, transfer->moved);
}

static void transfer_submit(struct state_file_transfer *transfer)
{
	if (transfer->read_into)
		loop_readv(transfer->loop, &transfer->operation, transfer->fd, &transfer->iov, 1,
			   transfer->at);
	else
		loop_writev(transfer->loop, &transfer->operation, transfer->fd, &transfer->iov, 1,
			    transfer->at, 0);
}

static void transfer_move(struct state_file_transfer *transfer, void *bytes, size_t size,
			  uint64_t at)
{
	transfer->iov = (struct iovec){ bytes, size };
	transfer->at = at;
	transfer_submit(transfer);
}

/* ---- Where in RAM it is ---- */

/* size: within the region. */
static void transfer_advance(struct state_file_transfer *transfer, uint64_t size)
{
	transfer->done += size;
	transfer->offset += size;
	if (transfer->offset < vid_memory_region(transfer->memory, transfer->region).size)
		return;
	transfer->offset = 0;
	transfer->region++;
}

/* At most `most` bytes of one region from here on, *ret_size of them; not after the last. */
static uint8_t *transfer_here(struct state_file_transfer *transfer, uint64_t most, size_t *ret_size)
{
	struct vid_memory_region region = vid_memory_region(transfer->memory, transfer->region);

	*ret_size = (size_t)MIN(region.size - transfer->offset, most);
	transfer->piece_gpa = region.gpa.value + transfer->offset;
	return vid_memory_map(transfer->memory, GPA(transfer->piece_gpa), *ret_size);
}

/* ---- What is to be moved ---- */

static bool page_is_zero(const uint8_t *page)
{
	return page[0] == 0 && memcmp(page, page + 1, PAGE_SIZE - 1) == 0;
}

/* How many bytes from `bytes` on are pages of zeros, or are none. */
static size_t pages_alike(const uint8_t *bytes, size_t size, bool zero)
{
	size_t run = 0;

	while (run < size && page_is_zero(bytes + run) == zero)
		run += PAGE_SIZE;
	return run;
}

/*
 * How many bytes of the file from here on are a hole, in whole pages, `size` at most. Its end is
 * data, and lies behind all RAM: where there is none the file has become shorter.
 */
static int transfer_hole(const struct state_file_transfer *transfer, size_t size, size_t *ret_hole)
{
	uint64_t here = transfer->ram_offset + transfer->done;
	off_t found = lseek(transfer->fd, (off_t)here, SEEK_DATA);

	if (found < 0)
		return errno == ENXIO ? -EINVAL : -errno;
	*ret_hole = size;
	if ((uint64_t)found < here + size)
		*ret_hole = ALIGN_DOWN((size_t)((uint64_t)found - here), (size_t)PAGE_SIZE);
	return 0;
}

/* How many bytes of the file from here on are none of a hole, in whole pages, `size` at most. */
static size_t transfer_data(const struct state_file_transfer *transfer, size_t size)
{
	uint64_t here = transfer->ram_offset + transfer->done;
	off_t found = lseek(transfer->fd, (off_t)here, SEEK_HOLE);

	if (found < 0 || (uint64_t)found <= here || (uint64_t)found - here >= size)
		return size;
	return ALIGN_UP((size_t)((uint64_t)found - here), (size_t)PAGE_SIZE);
}

/* Bytes that need no I/O. */
static int transfer_nothing(struct state_file_transfer *transfer, size_t *ret_size)
{
	size_t size;
	uint8_t *bytes = transfer_here(transfer, ITERATION_SIZE, &size);

	if (transfer->read_into)
		return transfer_hole(transfer, size, ret_size);
	*ret_size = pages_alike(bytes, size, true);
	return 0;
}

/* The piece that is next, which is no hole. */
static void transfer_piece(struct state_file_transfer *transfer)
{
	size_t size;
	uint8_t *bytes = transfer_here(transfer, PIECE_SIZE, &size);

	size = transfer->read_into ? transfer_data(transfer, size)
				   : pages_alike(bytes, size, false);
	transfer->piece_size = size;
	transfer_move(transfer, bytes, size, transfer->ram_offset + transfer->done);
}

static void transfer_next_step(struct state_file_transfer *transfer);

static void transfer_ram(struct state_file_transfer *transfer)
{
	uint64_t looked_at = 0;
	size_t size;
	int r;

	while (looked_at < ITERATION_SIZE && transfer->done < transfer->ram_size) {
		r = transfer_nothing(transfer, &size);
		if (r < 0) {
			transfer_end(transfer, r);
			return;
		}
		if (size == 0) {
			transfer_piece(transfer);
			return;
		}
		transfer_advance(transfer, size);
		looked_at += size;
	}
	if (transfer->done == transfer->ram_size)
		transfer_next_step(transfer);
	else
		loop_defer(transfer->loop, &transfer->iteration);
}

/* ---- Steps ---- */

static void transfer_go_on(struct state_file_transfer *transfer)
{
	switch (transfer->step) {
	case STEP_HEAD:
		transfer_move(transfer, transfer->head, transfer->head_size, 0);
		return;
	case STEP_RAM:
		transfer_ram(transfer);
		return;
	case STEP_SYNC:
	case STEP_END_SYNC:
		loop_fdatasync(transfer->loop, &transfer->operation, transfer->fd);
		return;
	case STEP_END:
		transfer_move(transfer, &transfer->end, sizeof(transfer->end),
			      transfer->ram_offset + transfer->ram_size);
		return;
	case STEP_DONE:
		transfer_end(transfer, 0);
		return;
	}
}

static void transfer_next_step(struct state_file_transfer *transfer)
{
	transfer->step = transfer->read_into ? STEP_DONE : transfer->step + 1;
	transfer_go_on(transfer);
}

static void transfer_piece_moved(struct state_file_transfer *transfer)
{
	size_t size = transfer->piece_size;

	if (transfer->read_into)
		vid_memory_mark_written(transfer->read_into, GPA(transfer->piece_gpa), size);
	transfer->piece_size = 0;
	transfer_advance(transfer, size);
	transfer->callbacks->progress(transfer->data, transfer->done, transfer->ram_size);
	transfer_go_on(transfer);
}

static void transfer_complete(struct loop_operation *operation, int result, bool more)
{
	struct state_file_transfer *transfer =
		container_of(operation, struct state_file_transfer, operation);
	bool syncs = transfer->step == STEP_SYNC || transfer->step == STEP_END_SYNC;

	if (transfer->cancelled && result >= 0)
		result = -ECANCELED;
	if (result == 0 && !syncs)
		result = transfer->read_into ? -EINVAL : -ENOSPC;
	if (result < 0) {
		transfer_end(transfer, result);
		return;
	}
	if (!syncs) {
		transfer->moved += (uint64_t)result;
		transfer->at += (uint64_t)result;
		transfer->iov.iov_base = (uint8_t *)transfer->iov.iov_base + result;
		transfer->iov.iov_len -= (size_t)result;
		if (transfer->iov.iov_len > 0) {
			transfer_submit(transfer);
			return;
		}
	}
	if (transfer->piece_size > 0)
		transfer_piece_moved(transfer);
	else
		transfer_next_step(transfer);
}

static void transfer_iterate(struct loop_deferred *deferred)
{
	struct state_file_transfer *transfer =
		container_of(deferred, struct state_file_transfer, iteration);

	if (transfer->cancelled)
		transfer_end(transfer, -ECANCELED);
	else
		transfer_go_on(transfer);
}

/* ---- Beginning and end ---- */

static struct state_file_transfer *transfer_new(int fd, struct loop *loop,
						const struct state_file_callbacks *callbacks,
						void *data)
{
	struct state_file_transfer *transfer = calloc(1, sizeof(*transfer));

	if (!transfer)
		return NULL;
	transfer->fd = fd;
	transfer->loop = loop;
	transfer->callbacks = callbacks;
	transfer->data = data;
	transfer->iteration.run = transfer_iterate;
	transfer->operation.complete = transfer_complete;
	list_init(&transfer->iteration.link);
	return transfer;
}

int state_file_is_empty(int fd)
{
	int flags = fcntl(fd, F_GETFL);
	struct stat stat;

	if (flags < 0 || fstat(fd, &stat) < 0)
		return -errno;
	if (!S_ISREG(stat.st_mode) || stat.st_size != 0 || (flags & O_ACCMODE) == O_RDONLY ||
	    flags & O_APPEND)
		return -EINVAL;
	return 0;
}

/* Return: 0; as state_file_make(). */
static int transfer_make_head(struct state_file_transfer *transfer,
			      const struct state_file_parts *given)
{
	struct state_file_region regions[STATE_FILE_REGIONS_MAX];
	struct state_file_parts parts = *given;
	size_t count = vid_memory_region_count(transfer->memory);
	int r;

	if (count > ARRAY_SIZE(regions))
		return -EFBIG;
	for (size_t i = 0; i < count; i++) {
		struct vid_memory_region region = vid_memory_region(transfer->memory, i);

		regions[i] =
			(struct state_file_region){ .gpa = region.gpa.value, .size = region.size };
	}
	parts.regions = regions;
	parts.region_count = (uint32_t)count;
	r = state_file_make(&parts, &transfer->head, &transfer->head_size, &transfer->end);
	if (r < 0)
		return r;
	transfer->ram_size = transfer->end.ram_size;
	transfer->ram_offset = state_file_ram_offset(transfer->head_size);
	return 0;
}

int state_file_write(const struct vid_memory *memory, const struct state_file_parts *parts, int fd,
		     struct loop *loop, const struct state_file_callbacks *callbacks, void *data,
		     struct state_file_transfer **ret_transfer)
{
	CLEANUP(state_file_transfer_freep) struct state_file_transfer *transfer = NULL;
	int r = state_file_is_empty(fd);

	if (r < 0)
		return r;
	transfer = transfer_new(fd, loop, callbacks, data);
	if (!transfer)
		return -ENOMEM;
	transfer->memory = memory;
	transfer->step = STEP_HEAD;
	r = transfer_make_head(transfer, parts);
	if (r < 0)
		return r;
	loop_defer(loop, &transfer->iteration);
	*ret_transfer = TAKE_PTR(transfer);
	return 0;
}

static bool file_has_memory(const struct state_file_parts *parts, const struct vid_memory *memory)
{
	if (parts->region_count != vid_memory_region_count(memory))
		return false;
	for (uint32_t i = 0; i < parts->region_count; i++) {
		struct vid_memory_region region = vid_memory_region(memory, i);

		if (parts->regions[i].gpa != region.gpa.value ||
		    parts->regions[i].size != region.size)
			return false;
	}
	return true;
}

int state_file_read(struct vid_memory *memory, const struct state_file *file, int fd,
		    struct loop *loop, const struct state_file_callbacks *callbacks, void *data,
		    struct state_file_transfer **ret_transfer)
{
	struct state_file_transfer *transfer;

	if (!file_has_memory(&file->parts, memory))
		return -EINVAL;
	transfer = transfer_new(fd, loop, callbacks, data);
	if (!transfer)
		return -ENOMEM;
	transfer->memory = transfer->read_into = memory;
	transfer->step = STEP_RAM;
	transfer->ram_offset = file->ram_offset;
	transfer->ram_size = file->parts.ram_size;
	loop_defer(loop, &transfer->iteration);
	*ret_transfer = transfer;
	return 0;
}

void state_file_cancel(struct state_file_transfer *transfer)
{
	transfer->cancelled = true;
}

void state_file_transfer_free(struct state_file_transfer *transfer)
{
	if (!transfer)
		return;
	free(transfer->head);
	free(transfer);
}
