/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A VHDX or VHD image after a loss of power, at any moment; with a parent, too.
 *
 * A workload runs on a disk whose file is a recorder: it keeps each write and flush with the times at
 * which it was submitted and completed. Then power is lost at times chosen at random: what a flush
 * had made durable is there; of everything else each write is there, or is not, or is torn at
 * borders of sectors, whatever came before or after it. The image is opened as always, and each sector has to be what was
 * flushed last, or something newer.
 *
 * usage: test_disk_vhdx_crash [CRASHES [SEED]]
 */
#include "common/image/vhd.h"
#include "common/image/vhdx.h"
#include "tests/unit/unit.h"
#include "vsp/storage/disk.h"

#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define SECTOR       512u
#define FILE_MAX     (48u << 20)
#define BLOCKS       24u
#define BLOCK        (1u << 20)                   /* of VHD, too, which is content with it */
#define PARENT       UINT64_C(0x7a7a7a7a7a7a7a7a) /* what the parent has everywhere */
#define SLOTS        4u                           /* in each block */
#define SLOT         4096u
#define CONCURRENT   6u
#define STEPS        160u
#define RECORDS_MAX  4096u
#define HISTORY_MAX  256u
#define CRASHES      3000ul
#define CRASHES_EACH 100u /* of one workload */

/* Of a write to the file; bytes: NULL: zeros. */
struct record {
	struct disk_request *request; /* until it is completed */
	enum disk_operation operation;
	uint64_t submitted, completed;
	uint64_t offset, size;
	uint8_t *bytes;
	bool durable, ignored;
	bool applied; /* to the image that is made for a time */
};

struct version {
	uint64_t value, submitted, completed;
	bool hint; /* it need not have happened */
};

struct slot {
	bool busy;
	unsigned count;
	struct version versions[HISTORY_MAX];
};

struct operation {
	struct disk_request request;
	struct iovec iov[2];
	uint8_t bytes[2 * SLOT];
	unsigned first, slots; /* slots == 0: a flush */
	uint64_t submitted;
	bool busy;
};

struct flush {
	uint64_t submitted, completed;
};

/* What a harness leaves out, to see that it would be noticed. */
enum fault { FAULT_NONE, FAULT_NO_LOG, FAULT_NO_FLUSHES };

enum kind { VHDX, VHDX_ON_PARENT, VHD, VHD_ON_PARENT, KINDS };

static const char *const kind_names[] = { "VHDX", "VHDX on a parent", "VHD", "VHD on a parent" };

/* A parent that is the same everywhere. */
struct parent {
	struct disk disk;
	struct loop *loop;
	struct loop_deferred deferred;
	struct list requests;
};

struct crash {
	uint64_t random, now, value;
	struct loop *loop;
	struct disk file; /* the recorder */
	struct loop_deferred deferred;
	struct disk *disk;
	uint8_t *live, *image; /* the file as it is; as it is after a crash */
	uint64_t image_size;
	struct record records[RECORDS_MAX];
	unsigned record_count, entries;
	struct slot slots[BLOCKS * SLOTS];
	struct operation operations[CONCURRENT];
	struct flush flushes[RECORDS_MAX];
	unsigned flush_count;
	enum fault fault;
	enum kind kind;
	struct parent parent;
	bool retired;
	struct {
		uint64_t offset, size;
		uint8_t *bytes;
	} undo[RECORDS_MAX];
	unsigned undo_count;
	uint64_t undo_size;
};

static uint64_t any(struct crash *c, uint64_t below)
{
	c->random ^= c->random << 13;
	c->random ^= c->random >> 7;
	c->random ^= c->random << 17;
	return c->random % below;
}

/* ---- The recorder ---- */

static struct crash *crash_of(struct disk *file)
{
	return container_of(file, struct crash, file);
}

static void record_read(struct crash *c, const struct disk_request *request)
{
	uint64_t at = request->offset;

	for (unsigned i = 0; i < request->iov_count; i++) {
		memcpy(request->iov[i].iov_base, c->live + at, request->iov[i].iov_len);
		at += request->iov[i].iov_len;
	}
}

static void record_write(struct crash *c, struct record *record, const struct disk_request *request)
{
	uint64_t done = 0;

	assert_true(request->offset + request->size <= FILE_MAX);
	if (request->operation == DISK_WRITE) {
		record->bytes = malloc(request->size);
		for (unsigned i = 0; i < request->iov_count; i++) {
			memcpy(record->bytes + done, request->iov[i].iov_base,
			       request->iov[i].iov_len);
			done += request->iov[i].iov_len;
		}
		assert_int_equal(done, request->size);
		memcpy(c->live + request->offset, record->bytes, request->size);
	} else {
		memset(c->live + request->offset, 0, request->size);
	}
}

static void recorder_submit(struct disk *file, struct disk_request *request)
{
	struct crash *c = crash_of(file);
	struct record *record = &c->records[c->record_count++];

	assert_true(c->record_count <= RECORDS_MAX);
	*record = (struct record){ .request = request,
				   .operation = request->operation,
				   .submitted = ++c->now,
				   .offset = request->offset,
				   .size = request->size,
				   .durable = request->durable };
	if (request->operation == DISK_READ)
		record_read(c, request);
	else if (request->operation != DISK_FLUSH)
		record_write(c, record, request);
	if (c->kind <= VHDX_ON_PARENT && request->operation == DISK_WRITE &&
	    request->offset >= VHDX_MIB && request->offset < 2 * VHDX_MIB)
		record->ignored = c->fault == FAULT_NO_LOG && c->entries++ > 0;
	loop_defer(c->loop, &c->deferred);
}

/* One of those under way, whichever, ends. */
static void recorder_run(struct loop_deferred *deferred)
{
	struct crash *c = container_of(deferred, struct crash, deferred);
	unsigned waiting[64], count = 0;
	struct record *record;

	for (unsigned i = 0; i < c->record_count && count < ARRAY_SIZE(waiting); i++)
		if (c->records[i].request)
			waiting[count++] = i;
	if (!count)
		return;
	if (count > 1)
		loop_defer(c->loop, &c->deferred);
	record = &c->records[waiting[any(c, count)]];
	record->completed = ++c->now;
	disk_complete(TAKE_PTR(record->request), 0);
}

static void recorder_free(struct disk *file)
{
	loop_deferred_cancel(&crash_of(file)->deferred);
}

static const struct disk_ops recorder_ops = { .submit = recorder_submit, .free = recorder_free };

/* ---- The parent ---- */

static void parent_run(struct loop_deferred *deferred)
{
	struct parent *parent = container_of(deferred, struct parent, deferred);
	struct disk_request *request =
		container_of(parent->requests.next, struct disk_request, link);

	list_unlink(&request->link);
	if (!list_empty(&parent->requests))
		loop_defer(parent->loop, &parent->deferred);
	for (unsigned i = 0; i < request->iov_count; i++)
		memset(request->iov[i].iov_base, (uint8_t)PARENT, request->iov[i].iov_len);
	disk_complete(request, 0);
}

static void parent_submit(struct disk *disk, struct disk_request *request)
{
	struct parent *parent = container_of(disk, struct parent, disk);

	assert_int_equal(request->operation, DISK_READ);
	list_append(&parent->requests, &request->link);
	loop_defer(parent->loop, &parent->deferred);
}

static void parent_free(struct disk *disk)
{
	loop_deferred_cancel(&container_of(disk, struct parent, disk)->deferred);
}

static const struct disk_ops parent_ops = { .submit = parent_submit, .free = parent_free };

static struct disk *make_parent(struct crash *c)
{
	struct parent *parent = &c->parent;

	if (c->kind == VHDX || c->kind == VHD)
		return NULL;
	parent->loop = c->loop;
	parent->disk = (struct disk){ .ops = &parent_ops,
				      .size = BLOCKS * BLOCK,
				      .sector_size = SECTOR,
				      .physical_block_size = SECTOR,
				      .read_only = true };
	disk_init(&parent->disk);
	parent->deferred.run = parent_run;
	list_init(&parent->deferred.link);
	list_init(&parent->requests);
	return &parent->disk;
}

/* ---- What is durable ---- */

/* Whether a write is on stable storage at that time. */
static bool is_durable(const struct crash *c, const struct record *record, uint64_t time)
{
	if (!record->completed || record->completed > time)
		return false;
	if (record->durable)
		return true;
	for (unsigned i = 0; i < c->record_count; i++) {
		const struct record *flush = &c->records[i];

		if (flush->operation == DISK_FLUSH && flush->completed &&
		    flush->completed <= time && record->completed <= flush->submitted)
			return c->fault != FAULT_NO_FLUSHES || flush->completed % 2;
	}
	return false;
}

/* ---- The workload ---- */

static uint64_t slot_offset(unsigned slot)
{
	static const uint32_t places[SLOTS] = { 0, 300 << 10, 512 << 10, BLOCK - SLOT };

	return (uint64_t)(slot / SLOTS) * BLOCK + places[slot % SLOTS];
}

static void completed(struct disk_request *request, int result)
{
	struct operation *operation = container_of(request, struct operation, request);
	struct crash *c = request->iov[1].iov_base;

	assert_int_equal(result, 0);
	c->now++;
	for (unsigned i = operation->first; i < operation->first + operation->slots; i++) {
		struct slot *slot = &c->slots[i];

		slot->versions[slot->count - 1].completed = c->now;
		slot->busy = false;
	}
	if (!operation->slots || request->durable) {
		assert_true(c->flush_count < RECORDS_MAX);
		/* A durable write counts for itself alone. */
		if (!operation->slots)
			c->flushes[c->flush_count++] =
				(struct flush){ operation->submitted, c->now };
		else
			for (unsigned i = 0; i < operation->slots; i++)
				c->slots[operation->first + i]
					.versions[c->slots[operation->first + i].count - 1]
					.value |= UINT64_C(1) << 63;
	}
	operation->busy = false;
}

static bool take(struct crash *c, struct operation *operation, unsigned first, unsigned count)
{
	for (unsigned i = first; i < first + count; i++)
		if (c->slots[i].busy || c->slots[i].count == HISTORY_MAX)
			return false;
	operation->first = first;
	operation->slots = count;
	return true;
}

static void stamp(uint8_t *bytes, size_t size, uint64_t value)
{
	for (size_t i = 0; i < size; i += sizeof(value))
		memcpy(bytes + i, &value, sizeof(value));
}

static void fill(struct crash *c, struct operation *operation, bool zeros, bool hint)
{
	c->value++;
	for (unsigned i = 0; i < operation->slots; i++) {
		struct slot *slot = &c->slots[operation->first + i];
		struct version version = { .value = zeros ? 0 : c->value * 8 + i,
					   .submitted = c->now,
					   .hint = hint };

		slot->busy = true;
		slot->versions[slot->count++] = version;
		if (!zeros)
			stamp(operation->bytes + i * SLOT, SLOT, version.value);
	}
}

static bool choose_write(struct crash *c, struct operation *operation)
{
	unsigned first = (unsigned)any(c, BLOCKS * SLOTS);
	/* The last of a block and the first of the next lie side by side. */
	unsigned count =
		first % SLOTS == SLOTS - 1 && first + 1 < BLOCKS * SLOTS && any(c, 2) ? 2 : 1;

	if (!take(c, operation, first, count))
		return false;
	operation->request.operation = DISK_WRITE;
	operation->request.durable = any(c, 8) == 0;
	operation->request.offset = slot_offset(first);
	operation->request.size = count * SLOT;
	fill(c, operation, false, false);
	return true;
}

static bool choose_zeros(struct crash *c, struct operation *operation, enum disk_operation kind)
{
	unsigned block = (unsigned)any(c, BLOCKS);
	bool part = any(c, 3) == 0;

	if (!take(c, operation, block * SLOTS + part, part ? 2 : SLOTS))
		return false;
	operation->request.operation = kind;
	operation->request.unmap = any(c, 2);
	operation->request.offset = slot_offset(operation->first);
	operation->request.size =
		part ? slot_offset(operation->first + 1) + SLOT - operation->request.offset : BLOCK;
	fill(c, operation, true, kind == DISK_UNMAP);
	return true;
}

static bool choose(struct crash *c, struct operation *operation)
{
	uint64_t kind = any(c, 10);

	if (kind == 0)
		return choose_zeros(c, operation, DISK_UNMAP);
	if (kind == 1)
		return choose_zeros(c, operation, DISK_ZERO);
	if (kind > 2)
		return choose_write(c, operation);
	operation->first = operation->slots = 0;
	operation->request.operation = DISK_FLUSH;
	return true;
}

static void start(struct crash *c, struct operation *operation)
{
	operation->request = (struct disk_request){ .complete = completed };
	operation->submitted = ++c->now;
	if (!choose(c, operation))
		return;
	operation->busy = true;
	operation->iov[0] = (struct iovec){ operation->bytes, operation->request.size };
	operation->iov[1] = (struct iovec){ c, 0 };
	operation->request.iov = operation->iov;
	operation->request.iov_count = 1;
	disk_submit(c->disk, &operation->request);
}

static bool is_busy(const struct crash *c)
{
	for (unsigned i = 0; i < CONCURRENT; i++)
		if (c->operations[i].busy)
			return true;
	return false;
}

static void set_retired(void *data)
{
	((struct crash *)data)->retired = true;
}

static void run_workload(struct crash *c)
{
	for (unsigned i = 0; i < STEPS; i++) {
		struct operation *operation = &c->operations[any(c, CONCURRENT)];

		if (!operation->busy)
			start(c, operation);
		if (any(c, 2))
			assert_int_equal(loop_run_once(c->loop, 0), 0);
	}
	while (is_busy(c))
		assert_int_equal(loop_run_once(c->loop, 0), 0);
	disk_retire(c->disk, set_retired, c);
	while (!c->retired)
		assert_int_equal(loop_run_once(c->loop, 0), 0);
}

/* ---- The file as it is in memory ---- */

static int memory_read(void *data, uint64_t offset, void *buffer, size_t size)
{
	memcpy(buffer, (*(uint8_t **)data) + offset, size);
	return 0;
}

static int live_write(void *data, uint64_t offset, const void *buffer, size_t size)
{
	memcpy((*(uint8_t **)data) + offset, buffer, size);
	return 0;
}

static int memory_flush(void *data)
{
	return 0;
}

static int memory_grow(void *data, uint64_t size)
{
	return size <= FILE_MAX ? 0 : -ENOSPC;
}

static void make_vhdx(struct crash *c, struct vhdx_file *file)
{
	const struct vhdx_parent parent = { .linkage = { { 1 } }, .relative = "parent" };
	const struct vhdx_options options = { .size = BLOCKS * BLOCK,
					      .block_size = BLOCK,
					      .sector_size = SECTOR,
					      .physical_sector_size = SECTOR,
					      .parent =
						      c->kind == VHDX_ON_PARENT ? &parent : NULL };
	struct vhdx_patches patches;
	struct vhdx vhdx;

	assert_int_equal(vhdx_make(file, &options), 0);
	assert_int_equal(vhdx_open(file, true, &vhdx, &patches), 0);
	assert_int_equal(disk_vhdx_new(c->loop, &c->file, make_parent(c), &vhdx, &patches,
				       file->size, &c->disk),
			 0);
}

static void make_vhd(struct crash *c, struct vhdx_file *file)
{
	const struct vhd_parent parent = { .id = { 1 }, .name = "parent", .relative = "parent" };
	const struct vhd_options options = { .size = BLOCKS * BLOCK,
					     .block_size = BLOCK,
					     .parent = c->kind == VHD_ON_PARENT ? &parent : NULL };
	struct vhd vhd;

	assert_int_equal(vhd_make(file, &options), 0);
	assert_int_equal(vhd_repair(file, &vhd), 0);
	assert_int_equal(disk_vhd_new(c->loop, &c->file, make_parent(c), &vhd, &c->disk), 0);
}

static void make_image(struct crash *c)
{
	struct vhdx_file file = { memory_read, live_write, memory_flush, memory_grow, &c->live, 0 };

	c->file = (struct disk){ .ops = &recorder_ops,
				 .size = FILE_MAX,
				 .sector_size = SECTOR,
				 .physical_block_size = SECTOR,
				 .unmap = true,
				 .unmap_zeroes = true };
	disk_init(&c->file);
	c->deferred.run = recorder_run;
	list_init(&c->deferred.link);
	if (c->kind <= VHDX_ON_PARENT)
		make_vhdx(c, &file);
	else
		make_vhd(c, &file);
	memcpy(c->image, c->live, file.size);
	c->image_size = file.size;
}

/* ---- The loss of power ---- */

static void image_put(struct crash *c, uint64_t offset, const uint8_t *bytes, uint64_t size,
		      bool undo)
{
	if (undo) {
		assert_true(c->undo_count < RECORDS_MAX);
		c->undo[c->undo_count].offset = offset;
		c->undo[c->undo_count].size = size;
		c->undo[c->undo_count].bytes = malloc(size);
		memcpy(c->undo[c->undo_count++].bytes, c->image + offset, size);
	}
	if (bytes)
		memcpy(c->image + offset, bytes, size);
	else
		memset(c->image + offset, 0, size);
	c->image_size = MAX(c->image_size, offset + size);
}

static void image_undo(struct crash *c)
{
	while (c->undo_count) {
		c->undo_count--;
		memcpy(c->image + c->undo[c->undo_count].offset, c->undo[c->undo_count].bytes,
		       c->undo[c->undo_count].size);
		free(c->undo[c->undo_count].bytes);
	}
	c->image_size = c->undo_size;
}

static int image_write(void *data, uint64_t offset, const void *buffer, size_t size)
{
	image_put(container_of(data, struct crash, image), offset, buffer, size, true);
	return 0;
}

/* Part of a write. One that came later and is on stable storage stays what it is. */
static void image_apply(struct crash *c, unsigned index, uint64_t from, uint64_t to, bool undo)
{
	const struct record *record = &c->records[index];
	uint64_t first = record->offset + from, end = record->offset + to;

	image_put(c, first, record->bytes ? record->bytes + from : NULL, to - from, undo);
	for (unsigned i = index + 1; i < c->record_count; i++) {
		const struct record *later = &c->records[i];

		if (later->applied && later->offset < end && first < later->offset + later->size)
			image_put(c, later->offset, later->bytes, later->size, undo);
	}
}

/* A write that no flush came after. */
static void lose(struct crash *c, unsigned index)
{
	const struct record *record = &c->records[index];
	uint64_t from = 0, to = record->size;

	if (any(c, 2))
		return;
	if (any(c, 2)) {
		from = any(c, record->size / SECTOR) * SECTOR;
		to = from + (any(c, (record->size - from) / SECTOR) + 1) * SECTOR;
	}
	image_apply(c, index, from, to, true);
}

/*
 * Writes to the same sector do not overtake each other, since none is submitted before the one
 * before it is completed: any of them may be the last that counts.
 */
static void lose_power(struct crash *c, uint64_t time)
{
	unsigned lost[RECORDS_MAX], count = 0;

	for (unsigned i = 0; i < c->record_count && c->records[i].submitted <= time; i++) {
		struct record *record = &c->records[i];

		if (record->operation == DISK_READ || record->operation == DISK_FLUSH ||
		    record->applied || record->ignored)
			continue;
		record->applied = is_durable(c, record, time);
		if (record->applied)
			image_apply(c, i, 0, record->size, false);
		else
			lost[count++] = i;
	}
	c->undo_size = c->image_size;
	for (unsigned i = 0; i < count; i++)
		lose(c, lost[i]);
}

/* Whether a sector may have that value, by the first version that counts, and all after it. */
static bool may_be(const struct crash *c, const struct slot *slot, uint64_t value, uint64_t time)
{
	unsigned floor = 0;
	bool may;

	for (unsigned i = 0; i < slot->count; i++) {
		const struct version *version = &slot->versions[i];

		if (version->hint || !version->completed || version->completed > time)
			continue;
		if (version->value >> 63)
			floor = i + 1;
		for (unsigned j = 0; j < c->flush_count; j++)
			if (version->completed <= c->flushes[j].submitted &&
			    c->flushes[j].completed <= time)
				floor = i + 1;
	}
	may = floor == 0 && value == (c->kind % 2 ? PARENT : 0);
	for (unsigned i = floor ? floor - 1 : 0; i < slot->count; i++)
		if (slot->versions[i].submitted <= time &&
		    (slot->versions[i].value & ~(UINT64_C(1) << 63)) == value)
			may = true;
	return may;
}

/* Where in the image a sector of the disk is. Return: 0: it is zeros; UINT64_MAX: the parent's. */
static uint64_t find_in_vhdx(const struct crash *c, const struct vhdx *vhdx, uint64_t offset)
{
	uint64_t none = c->kind == VHDX ? 0 : UINT64_MAX, block = offset / BLOCK, entry, bitmap;
	uint64_t sector = offset / SECTOR % (VHDX_BITMAP_SIZE * 8);

	memcpy(&entry, c->image + vhdx->bat_offset + vhdx_bat_index(vhdx, block) * 8, 8);
	if ((entry & VHDX_STATE_MASK) == VHDX_NOT_PRESENT)
		return none;
	if ((entry & VHDX_STATE_MASK) < VHDX_FULLY)
		return 0;
	if (!vhdx_may_use(vhdx, c->image_size, entry & VHDX_OFFSET_MASK, BLOCK))
		return 1;
	if ((entry & VHDX_STATE_MASK) == VHDX_FULLY)
		return (entry & VHDX_OFFSET_MASK) + offset % BLOCK;
	memcpy(&bitmap, c->image + vhdx->bat_offset + vhdx_bitmap_index(vhdx, block) * 8, 8);
	if ((bitmap & VHDX_STATE_MASK) != VHDX_FULLY ||
	    !vhdx_may_use(vhdx, c->image_size, bitmap & VHDX_OFFSET_MASK, VHDX_BITMAP_SIZE))
		return 1;
	bitmap = (bitmap & VHDX_OFFSET_MASK) + sector / 8;
	return c->image[bitmap] >> sector % 8 & 1 ? (entry & VHDX_OFFSET_MASK) + offset % BLOCK
						  : none;
}

static uint64_t find_in_vhd(const struct crash *c, const struct vhd *vhd, uint64_t offset)
{
	uint64_t none = c->kind == VHD ? 0 : UINT64_MAX, place;
	unsigned sector = (unsigned)(offset % BLOCK / SECTOR);
	uint32_t entry;

	memcpy(&entry, c->image + vhd->bat_offset + offset / BLOCK * 4, 4);
	if (entry == VHD_UNUSED)
		return none;
	place = (uint64_t)be32toh(entry) * VHD_SECTOR;
	if (place < vhd->data_end || place + vhd->bitmap_size + BLOCK > vhd->end)
		return 1;
	return c->image[place + sector / 8] & 0x80 >> sector % 8
		       ? place + vhd->bitmap_size + offset % BLOCK
		       : none;
}

/* What is known of the image that is opened. */
struct opened {
	struct vhdx vhdx;
	struct vhd vhd;
};

static bool check_sector(const struct crash *c, const struct opened *opened, unsigned slot,
			 unsigned sector, uint64_t time)
{
	uint64_t offset = slot_offset(slot) + sector * SECTOR, values[SECTOR / 8] = { 0 };
	uint64_t place = c->kind <= VHDX_ON_PARENT ? find_in_vhdx(c, &opened->vhdx, offset)
						   : find_in_vhd(c, &opened->vhd, offset);

	if (place == 1)
		return false;
	if (place == UINT64_MAX)
		values[0] = PARENT;
	else if (place)
		memcpy(values, c->image + place, sizeof(values));
	for (unsigned i = 1; i < SECTOR / 8 && place != UINT64_MAX; i++)
		if (values[i] != values[0])
			return false;
	return may_be(c, &c->slots[slot], values[0], time);
}

static int image_shrink(void *data, uint64_t size)
{
	container_of(data, struct crash, image)->image_size = size;
	return 0;
}

/* As whoever opens images for disks does it. */
static bool open_image(struct crash *c, struct opened *opened)
{
	struct vhdx_file file = { memory_read, image_write, memory_flush,
				  memory_grow, &c->image,   c->image_size };
	struct vhdx_patches patches;

	if (c->kind >= VHD) {
		file.grow = image_shrink;
		return vhd_repair(&file, &opened->vhd) == 0;
	}
	if (vhdx_open(&file, true, &opened->vhdx, &patches) != 0)
		return false;
	vhdx_patches_deinit(&patches);
	c->image_size = MAX(c->image_size, file.size);
	return true;
}

/* Return: whether the image is what it has to be. */
static bool check(struct crash *c, uint64_t time)
{
	struct opened opened;

	if (!open_image(c, &opened))
		return false;
	for (unsigned slot = 0; slot < BLOCKS * SLOTS; slot++)
		for (unsigned i = 0; i < SLOT / SECTOR; i++)
			if (!check_sector(c, &opened, slot, i, time))
				return false;
	return true;
}

static uint8_t *map(void)
{
	void *bytes =
		mmap(NULL, FILE_MAX, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_true(bytes != MAP_FAILED);
	return bytes;
}

/* One workload, and many losses. Return: how many were not survived. */
static unsigned crash_run(enum kind kind, uint64_t seed, unsigned crashes, enum fault fault)
{
	struct crash *c = calloc(1, sizeof(*c));
	unsigned bad = 0;

	c->random = seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
	c->fault = fault;
	c->kind = kind;
	c->live = map();
	c->image = map();
	assert_int_equal(loop_new(64, &c->loop), 0);
	make_image(c);
	run_workload(c);
	for (unsigned i = 0; i < crashes; i++) {
		uint64_t time = c->now * (i + 1) / crashes;

		lose_power(c, time);
		if (!check(c, time)) {
			if (fault == FAULT_NONE)
				print_error("%s, seed %lu, time %lu of %lu\n", kind_names[kind],
					    (unsigned long)seed, (unsigned long)time,
					    (unsigned long)c->now);
			bad++;
		}
		image_undo(c);
	}
	for (unsigned i = 0; i < c->record_count; i++)
		free(c->records[i].bytes);
	loop_free(c->loop);
	munmap(c->live, FILE_MAX);
	munmap(c->image, FILE_MAX);
	free(c);
	return bad;
}

static unsigned long crashes = CRASHES, first_seed = 1;

/* All kinds take turns. */
static void test_nothing_is_lost(void **state)
{
	for (unsigned long done = 0, seed = first_seed; done < crashes;
	     done += CRASHES_EACH, seed++)
		assert_int_equal(
			crash_run((enum kind)(seed % KINDS), seed, CRASHES_EACH, FAULT_NONE), 0);
}

static void test_without_log_it_is_noticed(void **state)
{
	for (enum kind kind = VHDX; kind <= VHDX_ON_PARENT; kind++) {
		unsigned bad = 0;

		for (unsigned seed = 1; !bad && seed <= 20; seed++)
			bad += crash_run(kind, seed, CRASHES_EACH, FAULT_NO_LOG);
		assert_true(bad > 0);
	}
}

static void test_without_flushes_it_is_noticed(void **state)
{
	for (enum kind kind = VHDX; kind < KINDS; kind++) {
		unsigned bad = 0;

		for (unsigned seed = 1; !bad && seed <= 20; seed++)
			bad += crash_run(kind, seed, CRASHES_EACH, FAULT_NO_FLUSHES);
		assert_true(bad > 0);
	}
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_is_lost),
		cmocka_unit_test(test_without_log_it_is_noticed),
		cmocka_unit_test(test_without_flushes_it_is_noticed),
	};

	if (argc > 1)
		crashes = strtoul(argv[1], NULL, 10);
	if (argc > 2)
		first_seed = strtoul(argv[2], NULL, 10);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
