/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A core file of the guest.
 *
 * First the memory is searched for the guest's VMCOREINFO, of which the head of the file needs to
 * know; then head and memory are written, one piece at a time. What needs no writing (the search,
 * holes) is done in bounded iterations of the loop.
 */
#include "vmwp/control/memory_dump.h"

#include "common/base/cleanup.h"
#include "common/base/error.h"
#include "vmwp/control/core_file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>

#define PAGE_SIZE        4096u
#define PIECE_SIZE       (1u << 20) /* that is written at once, or is a hole */
#define ITERATION_PIECES 64u        /* that are looked at in one iteration */

static const char vmcoreinfo_begins[] = "OSRELEASE=";

struct memory_dump {
	struct machine *machine;
	const struct vid_memory *memory;
	struct loop *loop;
	int fd;
	const struct memory_dump_callbacks *callbacks;
	void *data;

	struct loop_deferred iteration;
	struct loop_operation write;
	struct iovec iov; /* what is left of the write under way, and where it goes */
	uint64_t at;
	size_t piece_size; /* of memory that it writes; 0: it is the head */
	bool cancelled, searched, head_written;

	struct vid_memory_region *regions;
	size_t region_count;
	size_t region;   /* where the search, and then the writing, is */
	uint64_t offset; /* in that region */
	uint64_t done, size;

	uint8_t vmcoreinfo[VMCOREINFO_SIZE_MAX];
	size_t vmcoreinfo_size;
	void *head;
	size_t head_size;
};

static void dump_end(struct memory_dump *dump, int result)
{
	loop_deferred_cancel(&dump->iteration);
	close_fdp(&dump->fd);
	dump->callbacks->done(dump->data, result);
}

/* ---- Where it is ---- */

static void dump_rewind(struct memory_dump *dump)
{
	dump->region = 0;
	dump->offset = dump->done = 0;
}

/* The piece it is at. Return: NULL after the last. */
static uint8_t *dump_piece(const struct memory_dump *dump, size_t *ret_size)
{
	const struct vid_memory_region *region = &dump->regions[dump->region];

	if (dump->region == dump->region_count)
		return NULL;
	*ret_size = MIN(region->size - dump->offset, (uint64_t)PIECE_SIZE);
	return vid_memory_map(dump->memory, gpa_add(region->gpa, dump->offset), *ret_size);
}

static void dump_advance(struct memory_dump *dump, size_t size)
{
	dump->done += size;
	dump->offset += size;
	if (dump->offset < dump->regions[dump->region].size)
		return;
	dump->offset = 0;
	dump->region++;
}

/* ---- The search ---- */

/* Return: whether the note at the beginning of that page is one. Copies its text. */
static bool dump_take_vmcoreinfo(struct memory_dump *dump, const uint8_t *page, size_t left)
{
	uint8_t head[VMCOREINFO_HEAD_SIZE];
	size_t size;

	memcpy(head, page, sizeof(head));
	size = vmcoreinfo_at(head);
	if (size < sizeof(vmcoreinfo_begins) - 1 || size > left - sizeof(head))
		return false;
	memcpy(dump->vmcoreinfo, page + sizeof(head), size);
	if (memcmp(dump->vmcoreinfo, vmcoreinfo_begins, sizeof(vmcoreinfo_begins) - 1) != 0)
		return false;
	dump->vmcoreinfo_size = size;
	return true;
}

static bool dump_search_piece(struct memory_dump *dump, const uint8_t *piece, size_t size)
{
	for (size_t at = 0; at < size; at += PAGE_SIZE)
		if (dump_take_vmcoreinfo(dump, piece + at, size - at))
			return true;
	return false;
}

static int dump_make_head(struct memory_dump *dump)
{
	struct core_file file = {
		.regions = dump->regions,
		.region_count = dump->region_count,
		.vp_count = machine_vp_count(dump->machine),
		.vmcoreinfo = dump->vmcoreinfo_size ? dump->vmcoreinfo : NULL,
		.vmcoreinfo_size = dump->vmcoreinfo_size,
	};
	AUTO_FREE struct core_file_vp *vps = calloc(file.vp_count, sizeof(*vps));

	if (!vps)
		return -ENOMEM;
	for (uint32_t i = 0; i < file.vp_count; i++) {
		int r = machine_vp_registers(dump->machine, i, &vps[i].registers, &vps[i].system);

		if (r)
			return r < 0 ? r : -ECANCELED;
	}
	file.vps = vps;
	return core_file_head(&file, &dump->head, &dump->head_size);
}

/* Return: whether it is over, and *ret_result. */
static bool dump_search(struct memory_dump *dump, int *ret_result)
{
	uint8_t *piece = NULL;
	size_t size;

	*ret_result = 0;
	for (unsigned i = 0; i < ITERATION_PIECES; i++) {
		piece = dump_piece(dump, &size);
		if (!piece || dump_search_piece(dump, piece, size))
			break;
		dump_advance(dump, size);
	}
	if (piece && !dump->vmcoreinfo_size)
		return false;
	dump_rewind(dump);
	*ret_result = dump_make_head(dump);
	return true;
}

/* ---- Writing ---- */

static bool is_zero(const uint8_t *bytes, size_t size)
{
	return bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0;
}

static bool is_last(const struct memory_dump *dump, size_t size)
{
	return dump->done + size == dump->size;
}

static void dump_submit(struct memory_dump *dump)
{
	loop_writev(dump->loop, &dump->write, dump->fd, &dump->iov, 1, dump->at, 0);
}

static void dump_write_piece(struct memory_dump *dump, void *piece, size_t size)
{
	dump->iov = (struct iovec){ piece, size };
	dump->at = dump->head_size + dump->done;
	dump->piece_size = size;
	dump_submit(dump);
}

static void dump_write_head(struct memory_dump *dump)
{
	dump->head_written = true;
	dump->iov = (struct iovec){ dump->head, dump->head_size };
	dump->at = 0;
	dump->piece_size = 0;
	dump_submit(dump);
}

/* The next piece; the last is written whatever it is, so that the file has its size. */
static void dump_write_next(struct memory_dump *dump)
{
	size_t size;
	uint8_t *piece;

	if (!dump->head_written) {
		dump_write_head(dump);
		return;
	}
	for (unsigned i = 0; i < ITERATION_PIECES; i++) {
		piece = dump_piece(dump, &size);
		if (!piece) {
			dump_end(dump, 0);
			return;
		}
		if (is_last(dump, size) || !is_zero(piece, size)) {
			dump_write_piece(dump, piece, size);
			return;
		}
		dump_advance(dump, size);
	}
	dump->callbacks->progress(dump->data, dump->done, dump->size);
	loop_defer(dump->loop, &dump->iteration);
}

static void dump_written(struct loop_operation *operation, int result, bool more)
{
	struct memory_dump *dump = container_of(operation, struct memory_dump, write);

	if (dump->cancelled && result >= 0)
		result = -ECANCELED;
	if (result == 0)
		result = -ENOSPC;
	if (result < 0) {
		dump_end(dump, result);
		return;
	}
	dump->iov.iov_base = (uint8_t *)dump->iov.iov_base + result;
	dump->iov.iov_len -= (size_t)result;
	dump->at += (uint64_t)result;
	if (dump->iov.iov_len > 0) {
		dump_submit(dump);
		return;
	}
	if (dump->piece_size > 0)
		dump_advance(dump, dump->piece_size);
	dump->callbacks->progress(dump->data, dump->done, dump->size);
	dump_write_next(dump);
}

static void dump_iteration(struct loop_deferred *deferred)
{
	struct memory_dump *dump = container_of(deferred, struct memory_dump, iteration);
	int r = dump->cancelled ? -ECANCELED : 0;

	if (r == 0 && !dump->searched) {
		dump->searched = dump_search(dump, &r);
		if (r == 0 && !dump->searched)
			loop_defer(dump->loop, &dump->iteration);
	}
	if (r < 0)
		dump_end(dump, r);
	else if (dump->searched)
		dump_write_next(dump);
}

/* ---- Beginning and end ---- */

int memory_dump_check(int fd)
{
	int flags = fcntl(fd, F_GETFL);
	struct stat stat;

	if (flags < 0 || fstat(fd, &stat) < 0)
		return error_origin(-errno);
	if (!S_ISREG(stat.st_mode) || stat.st_size != 0 || (flags & O_ACCMODE) == O_RDONLY ||
	    flags & O_APPEND)
		return -EINVAL;
	return 0;
}

static int dump_take_regions(struct memory_dump *dump)
{
	dump->region_count = vid_memory_region_count(dump->memory);
	dump->regions = calloc(dump->region_count, sizeof(*dump->regions));
	if (!dump->regions)
		return -ENOMEM;
	for (size_t i = 0; i < dump->region_count; i++) {
		dump->regions[i] = vid_memory_region(dump->memory, i);
		dump->size += dump->regions[i].size;
	}
	return 0;
}

int memory_dump_new(struct machine *machine, struct loop *loop, int fd,
		    const struct memory_dump_callbacks *callbacks, void *data,
		    struct memory_dump **ret_dump)
{
	CLEANUP(memory_dump_freep) struct memory_dump *dump = NULL;
	enum machine_state state = machine_state(machine);
	int r;

	if (state != MACHINE_PAUSED && state != MACHINE_KEPT)
		return MACHINE_E_STATE;
	dump = calloc(1, sizeof(*dump));
	if (!dump)
		return -ENOMEM;
	dump->machine = machine;
	dump->memory = machine_memory(machine);
	dump->loop = loop;
	dump->callbacks = callbacks;
	dump->data = data;
	dump->fd = -1;
	dump->iteration.run = dump_iteration;
	dump->write.complete = dump_written;
	list_init(&dump->iteration.link);
	r = dump_take_regions(dump);
	if (r == 0)
		r = memory_dump_check(fd);
	if (r < 0)
		return r;
	dump->fd = fd;
	loop_defer(loop, &dump->iteration);
	*ret_dump = TAKE_PTR(dump);
	return 0;
}

void memory_dump_cancel(struct memory_dump *dump)
{
	dump->cancelled = true;
}

void memory_dump_free(struct memory_dump *dump)
{
	if (!dump)
		return;
	/* It has its file until it is done. */
	assert(dump->fd < 0 || !loop_exists(dump->loop));
	close_fdp(&dump->fd);
	free(dump->regions);
	free(dump->head);
	free(dump);
}
