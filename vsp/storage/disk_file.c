/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A disk on a raw file or a block device, by io_uring.
 *
 * Reads and writes go to and from the requester's memory, which usually is the guest's. A short
 * transfer is continued where it stopped. Direct I/O that the memory is not aligned for goes
 * through a buffer of the requester's pool, a piece at a time.
 *
 * Space is given back by punching holes, which on a file zeroes exactly the range, and on a block
 * device asks for zeroes that need no space. What cannot be punched is left as it is, since giving
 * back is a hint; zeroing then falls back to writing zeros.
 */
#include "common/image/image.h"
#include "vsp/iov.h"
#include "vsp/storage/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <unistd.h>

struct disk_file {
	struct disk disk;
	struct loop *loop;
	int fd;
	uint32_t memory_alignment, transfer_alignment;
	bool drop_flushes;
};

/* What zeroing writes where holes cannot be punched. */
static _Alignas(4096) uint8_t zeros[BUFFER_SIZE];

static struct disk_file *disk_file(struct disk *disk)
{
	return container_of(disk, struct disk_file, disk);
}

static bool disk_file_is_passing(int result)
{
	return result == -EINTR || result == -EAGAIN;
}

static void disk_file_transfer(struct disk_file *file, struct disk_request *request,
			       const struct iovec *iov, unsigned iov_count)
{
	if (request->operation == DISK_READ)
		loop_readv(file->loop, &request->loop_operation, file->fd, iov, iov_count,
			   request->offset);
	else
		loop_writev(file->loop, &request->loop_operation, file->fd, iov, iov_count,
			    request->offset,
			    request->durable && !file->drop_flushes ? RWF_DSYNC : 0);
}

/* ---- Straight to and from the requester's memory ---- */

/* Whether direct I/O can use this memory. Without direct I/O the alignments are 1. */
static bool disk_file_is_aligned(const struct disk_file *file, const struct disk_request *request)
{
	uintptr_t addresses = 0, lengths = 0;

	for (unsigned i = 0; i < request->iov_count; i++) {
		addresses |= (uintptr_t)request->iov[i].iov_base;
		lengths |= request->iov[i].iov_len;
	}
	return IS_ALIGNED(addresses, file->memory_alignment) &&
	       IS_ALIGNED(lengths, file->transfer_alignment);
}

/*
 * `done` bytes of the request were moved. Return: true if that was the last of it, and the request
 * is completed.
 *
 * The request's own size stays what it was, for the counters; what is left is in the vector.
 */
static bool disk_file_advance(struct disk_file *file, struct disk_request *request, int done)
{
	request->offset += (unsigned)done;
	iov_consume(&request->iov, &request->iov_count, (size_t)done);
	if (!request->iov_count) {
		disk_complete(request, 0);
		return true;
	}
	/* Direct I/O stops at an odd place only where the file ends. */
	if (done == 0 || !IS_ALIGNED((unsigned)done, file->transfer_alignment)) {
		disk_complete(request, request->operation == DISK_READ ? DISK_E_SHORT : -EIO);
		return true;
	}
	return false;
}

static void disk_file_transferred(struct loop_operation *operation, int result, bool more)
{
	struct disk_request *request = container_of(operation, struct disk_request, loop_operation);
	struct disk_file *file = disk_file(request->disk);

	if (UNLIKELY(result < 0 && !disk_file_is_passing(result))) {
		disk_complete(request, result);
		return;
	}
	if (result >= 0 && disk_file_advance(file, request, result))
		return;
	disk_file_transfer(file, request, request->iov, request->iov_count);
}

/* ---- Through a buffer ---- */

static void disk_file_bounce_piece(struct disk_file *file, struct disk_request *request)
{
	size_t left = iov_size(request->iov, request->iov_count);

	request->buffer_iov.iov_base = request->buffer;
	request->buffer_iov.iov_len = MIN(left, (size_t)BUFFER_SIZE);
	if (request->operation == DISK_WRITE)
		iov_copy_in(request->buffer, request->buffer_iov.iov_len, request->iov,
			    request->iov_count);
	disk_file_transfer(file, request, &request->buffer_iov, 1);
}

static void disk_file_bounce_end(struct disk_request *request, int result)
{
	struct buffer_pool *buffers = request->buffers;
	void *buffer = request->buffer;

	disk_complete(request, result);
	buffer_pool_put(buffers, buffer);
}

static void disk_file_bounced(struct loop_operation *operation, int result, bool more)
{
	struct disk_request *request = container_of(operation, struct disk_request, loop_operation);
	struct disk_file *file = disk_file(request->disk);

	if (result < 0 && !disk_file_is_passing(result)) {
		disk_file_bounce_end(request, result);
		return;
	}
	if (result == 0) {
		disk_file_bounce_end(request,
				     request->operation == DISK_READ ? DISK_E_SHORT : -EIO);
		return;
	}
	if (result > 0) {
		/* Whole transfer units only: the rest of a short one is asked for again. */
		size_t done = ALIGN_DOWN((size_t)result, file->transfer_alignment);

		if (!done) {
			disk_file_bounce_end(request, DISK_E_SHORT);
			return;
		}
		if (request->operation == DISK_READ)
			iov_copy_out(request->iov, request->iov_count, request->buffer, done);
		request->offset += done;
		iov_consume(&request->iov, &request->iov_count, done);
		if (!request->iov_count) {
			disk_file_bounce_end(request, 0);
			return;
		}
	}
	disk_file_bounce_piece(file, request);
}

static void disk_file_bounce(struct buffer_waiter *waiter, void *buffer)
{
	struct disk_request *request = container_of(waiter, struct disk_request, waiter);

	request->buffer = buffer;
	request->loop_operation.complete = disk_file_bounced;
	disk_file_bounce_piece(disk_file(request->disk), request);
}

/* ---- Flushing, giving back, zeroing ---- */

static void disk_file_flush(struct disk_file *file, struct disk_request *request);

static void disk_file_flushed(struct loop_operation *operation, int result, bool more)
{
	struct disk_request *request = container_of(operation, struct disk_request, loop_operation);

	if (disk_file_is_passing(result))
		disk_file_flush(disk_file(request->disk), request);
	else
		disk_complete(request, MIN(result, 0));
}

static void disk_file_flush(struct disk_file *file, struct disk_request *request)
{
	request->loop_operation.complete = disk_file_flushed;
	if (file->drop_flushes)
		loop_nop(file->loop, &request->loop_operation);
	else
		loop_fdatasync(file->loop, &request->loop_operation, file->fd);
}

static void disk_file_allocate(struct disk_request *request)
{
	int mode = request->operation == DISK_UNMAP || request->unmap ? FALLOC_FL_PUNCH_HOLE
								      : FALLOC_FL_ZERO_RANGE;

	loop_fallocate(disk_file(request->disk)->loop, &request->loop_operation,
		       disk_file(request->disk)->fd, mode | FALLOC_FL_KEEP_SIZE, request->offset,
		       request->size);
}

static bool disk_file_is_unsupported(int result)
{
	return result == -EOPNOTSUPP || result == -EINVAL || result == -ENOSYS;
}

static void disk_file_unmapped(struct loop_operation *operation, int result, bool more)
{
	struct disk_request *request = container_of(operation, struct disk_request, loop_operation);

	if (disk_file_is_passing(result))
		disk_file_allocate(request);
	else
		disk_complete(request, disk_file_is_unsupported(result) ? 0 : MIN(result, 0));
}

static void disk_file_write_zeros(struct disk_request *request)
{
	struct disk_file *file = disk_file(request->disk);

	request->buffer_iov.iov_base = zeros;
	request->buffer_iov.iov_len = MIN(request->size, sizeof(zeros));
	loop_writev(file->loop, &request->loop_operation, file->fd, &request->buffer_iov, 1,
		    request->offset, 0);
}

static void disk_file_zeros_written(struct loop_operation *operation, int result, bool more)
{
	struct disk_request *request = container_of(operation, struct disk_request, loop_operation);

	if (result == 0 || (result < 0 && !disk_file_is_passing(result))) {
		disk_complete(request, result ? result : -EIO);
		return;
	}
	if (result > 0) {
		request->offset += (unsigned)result;
		request->size -= (unsigned)result;
	}
	if (!request->size)
		disk_complete(request, 0);
	else if (UNLIKELY(request->abandoned))
		disk_complete(request, -ECANCELED);
	else
		disk_file_write_zeros(request);
}

static void disk_file_zeroed(struct loop_operation *operation, int result, bool more)
{
	struct disk_request *request = container_of(operation, struct disk_request, loop_operation);

	if (disk_file_is_passing(result)) {
		disk_file_allocate(request);
	} else if (disk_file_is_unsupported(result)) {
		operation->complete = disk_file_zeros_written;
		disk_file_write_zeros(request);
	} else {
		disk_complete(request, MIN(result, 0));
	}
}

/* ---- The disk ---- */

static void disk_file_submit(struct disk *disk, struct disk_request *request)
{
	struct disk_file *file = disk_file(disk);

	switch (request->operation) {
	case DISK_READ:
	case DISK_WRITE:
		if (UNLIKELY(!disk_file_is_aligned(file, request))) {
			request->waiter.ready = disk_file_bounce;
			buffer_pool_get(request->buffers, &request->waiter);
			break;
		}
		request->loop_operation.complete = disk_file_transferred;
		disk_file_transfer(file, request, request->iov, request->iov_count);
		break;
	case DISK_FLUSH:
		disk_file_flush(file, request);
		break;
	case DISK_UNMAP:
		request->loop_operation.complete = disk_file_unmapped;
		disk_file_allocate(request);
		break;
	case DISK_ZERO:
		request->loop_operation.complete = disk_file_zeroed;
		disk_file_allocate(request);
		break;
	}
}

static void disk_file_free(struct disk *disk)
{
	struct disk_file *file = disk_file(disk);

	close(file->fd);
	free(file);
}

static int disk_file_measure(const struct disk *disk, uint64_t *ret_size)
{
	const struct disk_file *file = disk_file((struct disk *)disk);
	const struct image_options options = { .read_only = disk->read_only,
					       .sector_size = disk->sector_size };
	struct image image;
	int r = image_examine(file->fd, &options, &image);

	if (r)
		return r < 0 ? r : -EIO;
	*ret_size = image.size;
	return 0;
}

/* As image_open() takes it. */
static int disk_file_lock(struct disk *disk, enum disk_lock what)
{
	struct flock lock = { .l_type = disk->read_only ? F_RDLCK : F_WRLCK, .l_whence = SEEK_SET };
	int fd = disk_file(disk)->fd;

	if (what == DISK_LOCK_DROP)
		lock.l_type = F_UNLCK;
	if (what == DISK_LOCK_SHARE)
		lock.l_type = F_RDLCK;
	if (what != DISK_LOCK_FIND) {
		if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
			return 0;
		return errno == EACCES ? -EAGAIN : -errno;
	}
	lock.l_type = F_WRLCK; /* which nobody can have beside another's, of either kind */
	if (fcntl(fd, F_OFD_GETLK, &lock) < 0)
		return -errno;
	return lock.l_type == F_UNLCK ? -EAGAIN : 0;
}

static int disk_file_fd(const struct disk *disk)
{
	return container_of(disk, const struct disk_file, disk)->fd;
}

static const struct disk_ops disk_file_ops = {
	.submit = disk_file_submit,
	.free = disk_file_free,
	.descriptor = disk_file_fd,
	.measure = disk_file_measure,
	.lock = disk_file_lock,
};

int disk_file_new(struct loop *loop, const struct image *image, uint32_t sector_size,
		  struct disk **ret_disk)
{
	struct disk_file *file;

	file = calloc(1, sizeof(*file));
	if (!file) {
		close(image->fd);
		return -ENOMEM;
	}
	*file = (struct disk_file){
		.disk = {
			.ops = &disk_file_ops,
			.size = image->size,
			.sector_size = sector_size,
			.physical_block_size = image->physical_block_size,
			.read_only = image->read_only,
			.unmap = image->discard,
			/* A block device may have no zeroes to give, and keeps the data then. */
			.unmap_zeroes = image->discard && !image->block_device,
		},
		.loop = loop,
		.fd = image->fd,
		.memory_alignment = image->memory_alignment,
		.transfer_alignment = image->transfer_alignment,
	};
	disk_init(&file->disk);
	*ret_disk = &file->disk;
	return 0;
}

int disk_file_descriptor(const struct disk *disk)
{
	return disk->ops == &disk_file_ops ? disk_file_fd(disk) : -1;
}

void disk_file_drop_flushes(struct disk *disk)
{
	disk_file(disk)->drop_flushes = true;
}
