/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Disks without a file. Requests end in the order in which they came, each in an iteration. */
#include "tests/fake/disk_memory.h"

#include "vsp/iov.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

struct disk_memory {
	struct disk disk;
	struct loop *loop;
	struct loop_deferred deferred;
	struct list requests; /* under way */
	uint8_t *bytes;       /* NULL: keeps nothing */
};

static struct disk_memory *disk_memory(struct disk *disk)
{
	return container_of(disk, struct disk_memory, disk);
}

static void disk_memory_execute(struct disk_memory *memory, struct disk_request *request)
{
	uint8_t *bytes = memory->bytes;

	switch (request->operation) {
	case DISK_READ:
		if (bytes)
			iov_copy_out(request->iov, request->iov_count, bytes + request->offset,
				     request->size);
		break;
	case DISK_WRITE:
		if (bytes)
			iov_copy_in(bytes + request->offset, request->size, request->iov,
				    request->iov_count);
		break;
	case DISK_UNMAP:
	case DISK_ZERO:
		if (bytes)
			memset(bytes + request->offset, 0, request->size);
		break;
	case DISK_FLUSH:
		break;
	}
}

static void disk_memory_run(struct loop_deferred *deferred)
{
	struct disk_memory *memory = container_of(deferred, struct disk_memory, deferred);
	struct disk_request *request =
		container_of(memory->requests.next, struct disk_request, link);

	list_unlink(&request->link);
	if (!list_empty(&memory->requests))
		loop_defer(memory->loop, &memory->deferred);
	disk_memory_execute(memory, request);
	/* May free the disk. */
	disk_complete(request, 0);
}

static void disk_memory_submit(struct disk *disk, struct disk_request *request)
{
	struct disk_memory *memory = disk_memory(disk);

	list_append(&memory->requests, &request->link);
	loop_defer(memory->loop, &memory->deferred);
}

static void disk_memory_free(struct disk *disk)
{
	struct disk_memory *memory = disk_memory(disk);

	loop_deferred_cancel(&memory->deferred);
	if (memory->bytes)
		munmap(memory->bytes, disk->size);
	free(memory);
}

static const struct disk_ops disk_memory_ops = {
	.submit = disk_memory_submit,
	.free = disk_memory_free,
};

int disk_null_new(struct loop *loop, uint64_t size, uint32_t sector_size, struct disk **ret_disk)
{
	struct disk_memory *memory;

	memory = calloc(1, sizeof(*memory));
	if (!memory)
		return -ENOMEM;
	memory->disk = (struct disk){
		.ops = &disk_memory_ops,
		.size = size,
		.sector_size = sector_size,
		.physical_block_size = sector_size,
		.unmap = true,
	};
	disk_init(&memory->disk);
	memory->loop = loop;
	memory->deferred.run = disk_memory_run;
	list_init(&memory->deferred.link);
	list_init(&memory->requests);
	*ret_disk = &memory->disk;
	return 0;
}

int disk_memory_new(struct loop *loop, uint64_t size, uint32_t sector_size, struct disk **ret_disk)
{
	struct disk *disk;
	void *bytes;
	int r;

	bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (bytes == MAP_FAILED)
		return -ENOMEM;
	r = disk_null_new(loop, size, sector_size, &disk);
	if (r < 0) {
		munmap(bytes, size);
		return r;
	}
	disk_memory(disk)->bytes = bytes;
	disk->unmap_zeroes = true;
	*ret_disk = disk;
	return 0;
}

uint8_t *disk_memory_bytes(struct disk *disk)
{
	return disk_memory(disk)->bytes;
}
