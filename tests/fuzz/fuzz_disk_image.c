/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Disks in VHDX and VHD images whose tables and bitmaps are anything, with a parent and without.
 *
 * An input is a byte for the kind of image, and records of four bytes or more. The first bit of a
 * record says whether it changes the image, before it is opened, or is a request of the guest: then
 * what, where and how long. Each request ends once, and so does the disk.
 */
#include "common/image/vhd.h"
#include "common/image/vhdx.h"
#include "vsp/storage/disk.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FILE_MAX (16u << 20)
#define DISK     (4u << 20)
#define PAGE     4096u
#define PAGES    (FILE_MAX / PAGE)
#define REQUESTS 8u
#define MOST     (64u << 10)
#define KINDS    4u
#define TURNS    100000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct loop *loop;
static uint8_t *image, *images[KINDS], *base[KINDS];
static uint64_t base_size[KINDS];
static bool touched[PAGES]; /* of the image, since it was as its base */

/* Where tables and bitmaps are, in each kind: those that are made by the first writes, too. */
static const uint64_t parts[KINDS][2] = {
	{ 3 << 20, 4 << 20 }, { 3 << 20, 4 << 20 }, { 1536, 2048 }, { 1536, 3072 }
};

/* ---- The file, and the parent ---- */

struct memory {
	struct disk disk;
	struct loop_deferred deferred;
	struct list requests;
	bool parent;
};

static struct memory file, parent;

static void touch(uint64_t offset, uint64_t size)
{
	for (uint64_t page = offset / PAGE; page * PAGE < offset + size; page++)
		touched[page] = true;
}

static int memory_execute(const struct memory *memory, struct disk_request *request)
{
	uint64_t at = request->offset;

	if (request->operation == DISK_FLUSH)
		return 0;
	if (!memory->parent && (at > FILE_MAX || request->size > FILE_MAX - at))
		return request->operation == DISK_READ ? DISK_E_SHORT : -ENOSPC;
	if (request->operation >= DISK_UNMAP) {
		touch(at, request->size);
		memset(image + at, 0, request->size);
		return 0;
	}
	for (unsigned i = 0; i < request->iov_count; i++) {
		struct iovec *iov = &request->iov[i];

		if (memory->parent)
			memset(iov->iov_base, 0x7a, iov->iov_len);
		else if (request->operation == DISK_READ)
			memcpy(iov->iov_base, image + at, iov->iov_len);
		else
			memcpy(image + at, iov->iov_base, iov->iov_len);
		if (request->operation == DISK_WRITE)
			touch(at, iov->iov_len);
		at += iov->iov_len;
	}
	return 0;
}

static void memory_run(struct loop_deferred *deferred)
{
	struct memory *memory = container_of(deferred, struct memory, deferred);

	while (!list_empty(&memory->requests)) {
		struct disk_request *request =
			container_of(memory->requests.next, struct disk_request, link);

		list_unlink(&request->link);
		disk_complete(request, memory_execute(memory, request));
	}
}

static void memory_submit(struct disk *disk, struct disk_request *request)
{
	struct memory *memory = container_of(disk, struct memory, disk);

	list_append(&memory->requests, &request->link);
	loop_defer(loop, &memory->deferred);
}

static void memory_free(struct disk *disk)
{
	loop_deferred_cancel(&container_of(disk, struct memory, disk)->deferred);
}

static const struct disk_ops memory_ops = { .submit = memory_submit, .free = memory_free };

static struct disk *make_memory(struct memory *memory, uint64_t size, bool is_parent)
{
	*memory = (struct memory){ .parent = is_parent };
	memory->disk = (struct disk){ .ops = &memory_ops,
				      .size = size,
				      .sector_size = 512,
				      .physical_block_size = 512,
				      .read_only = is_parent,
				      .unmap = true,
				      .unmap_zeroes = true };
	disk_init(&memory->disk);
	memory->deferred.run = memory_run;
	list_init(&memory->deferred.link);
	list_init(&memory->requests);
	return &memory->disk;
}

static int image_read(void *data, uint64_t offset, void *buffer, size_t size)
{
	assert(offset <= FILE_MAX && size <= FILE_MAX - offset);
	memcpy(buffer, image + offset, size);
	return 0;
}

static int image_write(void *data, uint64_t offset, const void *buffer, size_t size)
{
	if (offset > FILE_MAX || size > FILE_MAX - offset)
		return -ENOSPC;
	touch(offset, size);
	memcpy(image + offset, buffer, size);
	return 0;
}

static int image_flush(void *data)
{
	return 0;
}

static int image_grow(void *data, uint64_t size)
{
	return size <= FILE_MAX ? 0 : -ENOSPC;
}

static struct vhdx_file file_of(uint64_t size)
{
	return (struct vhdx_file){ image_read, image_write, image_flush, image_grow, NULL, size };
}

/* ---- Disks ---- */

static struct disk *parent_of(unsigned kind)
{
	return kind % 2 ? make_memory(&parent, DISK, true) : NULL;
}

static struct disk *open_vhdx(unsigned kind)
{
	struct vhdx_file bytes = file_of(base_size[kind]);
	struct vhdx_patches patches;
	struct vhdx vhdx;
	struct disk *disk;
	int r;

	if (vhdx_open(&bytes, true, &vhdx, &patches) != 0)
		return NULL;
	r = disk_vhdx_new(loop, make_memory(&file, INT64_MAX, false), parent_of(kind), &vhdx,
			  &patches, bytes.size, &disk);
	assert(r == 0);
	return disk;
}

static struct disk *open_vhd(unsigned kind)
{
	struct vhdx_file bytes = file_of(base_size[kind]);
	struct disk *disk;
	struct vhd vhd;
	int r;

	if (vhd_open(&bytes, &vhd) != 0)
		return NULL;
	r = disk_vhd_new(loop, make_memory(&file, INT64_MAX, false), parent_of(kind), &vhd, &disk);
	assert(r == 0);
	return disk;
}

static struct request {
	struct disk_request request;
	struct iovec iov[2];
	uint8_t bytes[MOST];
	bool busy;
} requests[REQUESTS];

static void completed(struct disk_request *request, int result)
{
	struct request *r = container_of(request, struct request, request);

	assert(r->busy);
	r->busy = false;
}

static void wait_for(const bool *busy)
{
	for (int i = 0; *busy; i++) {
		assert(i < TURNS);
		if (loop_run_once(loop, 0) < 0)
			abort();
	}
}

/* what, and where and how long in sectors. */
static void start(struct disk *disk, struct request *r, const uint8_t *record)
{
	enum disk_operation operation = (enum disk_operation)(record[0] >> 1 & 3);
	uint64_t offset = (record[1] + record[2] * 256u) * UINT64_C(512) % DISK;
	uint64_t size = (record[3] + 1u) * UINT64_C(512);

	if (record[0] & 0x20)
		operation = DISK_ZERO;
	/* Of whole blocks, too. */
	if (operation >= DISK_UNMAP && record[0] & 0x40)
		size *= 16;
	if (operation < DISK_UNMAP)
		size = MIN(size, (uint64_t)MOST);
	size = MIN(size, DISK - offset);
	wait_for(&r->busy);
	r->busy = true;
	r->iov[0] = (struct iovec){ r->bytes, 512 };
	r->iov[1] = (struct iovec){ r->bytes + 512, size - 512 };
	r->request = (struct disk_request){ .operation = operation,
					    .durable = operation == DISK_WRITE && record[0] & 8,
					    .unmap = record[0] & 16,
					    .offset = operation == DISK_FLUSH ? 0 : offset,
					    .size = operation == DISK_FLUSH ? 0 : size,
					    .iov = r->iov,
					    .iov_count = size > 512 ? 2 : 1,
					    .complete = completed };
	disk_submit(disk, &r->request);
}

static bool open_disk;

static void closed(void *data)
{
	open_disk = false;
}

static void close_it(struct disk *disk)
{
	for (unsigned i = 0; i < REQUESTS; i++)
		wait_for(&requests[i].busy);
	open_disk = true;
	disk_retire(disk, closed, NULL);
	wait_for(&open_disk);
	/* The file and the parent end no later than that. */
	if (loop_run_once(loop, 0) < 0)
		abort();
}

/* ---- Images ---- */

static void make_base(unsigned kind)
{
	static const uint8_t writes[][4] = { { 2, 3, 0, 8 }, { 2, 0, 9, 100 }, { 4, 0, 0, 0 } };
	const struct vhdx_parent of_vhdx = { .linkage = { { 1 } }, .relative = "x" };
	const struct vhd_parent of_vhd = { .id = { 1 }, .relative = "x", .name = "x" };
	const struct vhdx_options vhdx = { .size = DISK,
					   .block_size = 1 << 20,
					   .sector_size = 512,
					   .physical_sector_size = 512,
					   .parent = kind % 2 ? &of_vhdx : NULL };
	const struct vhd_options vhd = { .size = DISK,
					 .block_size = 1 << 20,
					 .parent = kind % 2 ? &of_vhd : NULL };
	struct vhdx_file bytes = file_of(0);
	struct disk *disk;
	int r = kind < 2 ? vhdx_make(&bytes, &vhdx) : vhd_make(&bytes, &vhd);

	assert(r == 0);
	base_size[kind] = bytes.size;
	disk = kind < 2 ? open_vhdx(kind) : open_vhd(kind);
	for (unsigned i = 0; i < ARRAY_SIZE(writes); i++)
		start(disk, &requests[i], writes[i]);
	close_it(disk);
	/* All that was written: what it is that ends the file is found anew. */
	base_size[kind] = kind < 2 ? 8 << 20 : base_size[kind];
	if (kind >= 2) {
		struct vhd found;

		bytes = file_of(FILE_MAX);
		r = vhd_repair(&bytes, &found);
		assert(r == 0);
		base_size[kind] = bytes.size;
	}
	base[kind] = malloc(FILE_MAX);
	memcpy(base[kind], image, FILE_MAX);
	memset(touched, 0, sizeof(touched));
}

static void restore(unsigned kind)
{
	for (unsigned page = 0; page < PAGES; page++) {
		if (touched[page])
			memcpy(image + (size_t)page * PAGE, base[kind] + (size_t)page * PAGE, PAGE);
		touched[page] = false;
	}
}

static const uint8_t *change(unsigned kind, const uint8_t *data, const uint8_t *end)
{
	uint64_t offset = parts[kind][data[0] >> 1 & 1] + data[1] + data[2] * 256u;
	size_t size = MIN((size_t)data[3] % 32, (size_t)(end - data - 4));

	image_write(NULL, offset, data + 4, size);
	return data + 4 + size;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *end = data + size;
	struct disk *disk;
	unsigned kind;

	if (size < 1 || (!loop && loop_new(64, &loop) < 0))
		return 0;
	for (unsigned i = 0; !images[KINDS - 1] && i < KINDS; i++) {
		image = images[i] = calloc(1, FILE_MAX);
		make_base(i);
	}
	kind = *data++ % KINDS;
	image = images[kind];
	while (end - data >= 4 && data[0] & 1)
		data = change(kind, data, end);
	disk = kind < 2 ? open_vhdx(kind) : open_vhd(kind);
	for (unsigned i = 0; disk && end - data >= 4; i++, data += 4)
		start(disk, &requests[i % REQUESTS], data);
	if (disk)
		close_it(disk);
	restore(kind);
	return 0;
}
