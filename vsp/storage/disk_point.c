/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A view of a disk as it was at one instant. */
#include "vsp/storage/disk_point.h"

#include "common/base/cleanup.h"
#include "common/base/log.h"
#include "vsp/storage/disk_changes.h"
#include "vsp/storage/disk_throttle.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COPIES       16u /* under way at a time */
#define PLACES_LEAST 256
#define BUFFERS      4u /* for disks that need one */
#define ALIGNMENT    4096u

struct point_copy {
	struct disk_point *point;
	bool used;
	uint64_t granule;
	uint32_t place;      /* of its bytes in the scratch file, in granules */
	uint32_t size, done; /* of its bytes; how many are in the scratch file */
	void *buffer;        /* kept for the next one; or NULL */
	struct iovec iov;
	struct disk_request request;
	struct loop_operation operation;
};

/* Where the bytes of a granule are; granule + 1, for 0 is free. */
struct point_place {
	uint32_t key, place;
};

struct disk_point {
	struct disk *disk;
	struct loop *loop;
	struct disk_changes *changes;
	struct changes_head known;
	const uint64_t *bits;
	uint64_t size, granules;
	uint32_t sector_size;
	int scratch;
	uint32_t scratch_max, scratch_used; /* granules */
	uint64_t copied_bytes;
	struct point_place *places;    /* of those that were copied: a hash table */
	size_t place_count, place_max; /* place_max: a power of two */
	uint64_t *copied, *released;   /* by granules */
	struct point_copy copies[COPIES];
	unsigned copying;
	struct list reads;
	struct buffer_pool *buffers;
	int broken; /* -errno; 0: it is there */
	bool ended;
	void (*gone)(void *data);
	void *data;
};

/* ---- Granules ---- */

static uint64_t point_offset(const struct disk_point *point, uint64_t granule)
{
	return granule << point->known.shift;
}

static bool bit_is_set(const uint64_t *bits, uint64_t index)
{
	return bits[index / 64] & UINT64_C(1) << index % 64;
}

static void bit_set(uint64_t *bits, uint64_t index)
{
	bits[index / 64] |= UINT64_C(1) << index % 64;
}

/* The first granule from `first` to `last` whose old bytes are on the disk alone; or last + 1. */
static uint64_t point_next_needed(const struct disk_point *point, uint64_t first, uint64_t last)
{
	for (uint64_t granule = first; granule <= last;) {
		uint64_t spared = point->copied[granule / 64] | point->released[granule / 64];
		uint64_t needed = ~spared & UINT64_MAX << granule % 64;

		if (needed)
			return MIN(granule / 64 * 64 + (unsigned)__builtin_ctzll(needed), last + 1);
		granule = (granule / 64 + 1) * 64;
	}
	return last + 1;
}

static bool point_is_being_read(const struct disk_point *point, uint64_t first, uint64_t last)
{
	uint64_t begin = point_offset(point, first), end = point_offset(point, last + 1);

	list_for_each (link, (struct list *)&point->reads) {
		const struct disk_point_read *read =
			container_of(link, struct disk_point_read, link);
		uint64_t offset = read->offset + read->done;

		if (read->live && offset < end && offset + read->piece > begin)
			return true;
	}
	return false;
}

/* ---- Places in the scratch file ---- */

static struct point_place *place_find(struct point_place *places, size_t max, uint64_t granule)
{
	uint32_t key = (uint32_t)granule + 1;
	size_t i = (key * 2654435761u) & (max - 1);

	while (places[i].key && places[i].key != key)
		i = (i + 1) & (max - 1);
	return &places[i];
}

static int places_grow(struct disk_point *point)
{
	size_t max = point->place_max ? 2 * point->place_max : PLACES_LEAST;
	struct point_place *places = calloc(max, sizeof(*places));

	if (!places)
		return -ENOMEM;
	for (size_t i = 0; i < point->place_max; i++) {
		if (point->places[i].key)
			*place_find(places, max, point->places[i].key - 1) = point->places[i];
	}
	free(point->places);
	point->places = places;
	point->place_max = max;
	return 0;
}

static int place_add(struct disk_point *point, uint64_t granule, uint32_t place)
{
	struct point_place *entry;
	int r = 2 * point->place_count >= point->place_max ? places_grow(point) : 0;

	if (r < 0)
		return r;
	entry = place_find(point->places, point->place_max, granule);
	*entry = (struct point_place){ (uint32_t)granule + 1, place };
	point->place_count++;
	return 0;
}

/* ---- Copies ---- */

void disk_point_break(struct disk_point *point, int error)
{
	if (point->broken)
		return;
	point->broken = error;
	if (error != -ECANCELED)
		log_warning("a disk cannot be read any more as it was when its backup began: %s",
			    error == -ENOSPC ? "the guest has changed more than there is room for"
					     : strerror(-error));
}

static void point_end_if_quiet(struct disk_point *point)
{
	if (!point->ended || point->copying > 0)
		return;
	assert(list_empty(&point->reads));
	for (unsigned i = 0; i < COPIES; i++)
		free(point->copies[i].buffer);
	buffer_pool_free(point->buffers);
	close(point->scratch);
	free(point->copied);
	free(point->released);
	free(point->places);
	if (point->gone)
		point->gone(point->data);
	free(point);
}

static void point_copy_end(struct point_copy *copy, int result)
{
	struct disk_point *point = copy->point;
	struct disk_changes *changes = point->changes;

	copy->used = false;
	point->copying--;
	if (result == 0)
		result = place_add(point, copy->granule, copy->place);
	if (result < 0) {
		disk_point_break(point, result);
	} else {
		bit_set(point->copied, copy->granule);
		point->copied_bytes += copy->size;
	}
	point_end_if_quiet(point);
	disk_changes_settle(changes);
}

static void point_copy_write(struct point_copy *copy)
{
	copy->iov = (struct iovec){ (uint8_t *)copy->buffer + copy->done, copy->size - copy->done };
	loop_writev(copy->point->loop, &copy->operation, copy->point->scratch, &copy->iov, 1,
		    point_offset(copy->point, copy->place) + copy->done, 0);
}

static void point_copy_written(struct loop_operation *operation, int result, bool more)
{
	struct point_copy *copy = container_of(operation, struct point_copy, operation);
	struct disk *disk = copy->point->disk;

	if (result == -EINTR || result == -EAGAIN)
		result = 0;
	else if (result == 0)
		result = -EIO;
	if (result >= 0) {
		copy->done += (uint32_t)result;
		if (copy->done < copy->size) {
			point_copy_write(copy);
			return;
		}
	}
	point_copy_end(copy, MIN(result, 0));
	disk_put(disk);
}

static void point_copy_read(struct disk_request *request, int result)
{
	struct point_copy *copy = container_of(request, struct point_copy, request);

	if (result) {
		point_copy_end(copy, result < 0 ? result : -EIO);
		return;
	}
	copy->done = 0;
	copy->point->disk->in_flight++;
	point_copy_write(copy);
}

/* Return: NULL: as many are under way as may be, or there is no memory, which breaks the view. */
static struct point_copy *point_find_copy(struct disk_point *point)
{
	for (unsigned i = 0; i < COPIES; i++) {
		struct point_copy *copy = &point->copies[i];

		if (copy->used)
			continue;
		if (!copy->buffer)
			copy->buffer = aligned_alloc(ALIGNMENT, (size_t)1 << point->known.shift);
		if (copy->buffer)
			return copy;
		disk_point_break(point, -ENOMEM);
		return NULL;
	}
	return NULL;
}

static bool point_is_copying(const struct disk_point *point, uint64_t granule)
{
	for (unsigned i = 0; i < COPIES; i++) {
		if (point->copies[i].used && point->copies[i].granule == granule)
			return true;
	}
	return false;
}

/* Return: whether one was started. */
static bool point_copy_start(struct disk_point *point, uint64_t granule)
{
	uint64_t offset = point_offset(point, granule);
	uint64_t size = MIN(UINT64_C(1) << point->known.shift, point->size - offset);
	struct point_copy *copy = point_find_copy(point);

	if (!copy)
		return false;
	if (point->scratch_used == point->scratch_max) {
		disk_point_break(point, -ENOSPC);
		return false;
	}
	copy->place = point->scratch_used++;
	point->copying++;
	copy->used = true;
	copy->granule = granule;
	copy->size = (uint32_t)size;
	copy->iov = (struct iovec){ copy->buffer, size };
	copy->request = (struct disk_request){ .operation = DISK_READ,
					       .offset = offset,
					       .size = size,
					       .iov = &copy->iov,
					       .iov_count = 1,
					       .buffers = point->buffers,
					       .complete = point_copy_read };
	disk_submit_aside(point->disk, &copy->request);
	return true;
}

bool disk_point_admits(struct disk_point *point, uint64_t first, uint64_t last)
{
	uint64_t granule;

	if (first >= point->granules)
		return true;
	last = MIN(last, point->granules - 1);
	/* Whoever reads there reads what is there, the view being broken or not. */
	if (point_is_being_read(point, first, last))
		return false;
	if (point->broken || point->ended)
		return true;
	granule = point_next_needed(point, first, last);
	if (granule > last)
		return true;
	for (; granule <= last; granule = point_next_needed(point, granule + 1, last)) {
		if (!point_is_copying(point, granule) && !point_copy_start(point, granule))
			break;
		if (granule == last)
			break;
	}
	return point->broken != 0;
}

/* ---- Reading ---- */

static void point_read_next(struct disk_point_read *read);

static void point_read_end(struct disk_point_read *read, int result)
{
	struct disk_changes *changes = read->point->changes;
	struct disk *disk = read->point->disk;

	list_unlink(&read->link);
	read->live = false;
	if (changes)
		disk_changes_settle(changes);
	read->complete(read, result);
	if (disk)
		disk_put(disk);
}

static void point_read_advance(struct disk_point_read *read, uint32_t size)
{
	struct disk_changes *changes = read->point->changes;
	bool was_live = read->live;

	read->live = false;
	read->done += size;
	if (was_live)
		disk_changes_settle(changes);
	if (read->done < read->size)
		point_read_next(read);
	else
		point_read_end(read, 0);
}

static void point_read_disk_done(struct disk_request *request, int result)
{
	struct disk_point_read *read = container_of(request, struct disk_point_read, request);

	if (result)
		point_read_end(read, result < 0 ? result : -EIO);
	else
		point_read_advance(read, read->piece);
}

static void point_read_scratch_done(struct loop_operation *operation, int result, bool more)
{
	struct disk_point_read *read = container_of(operation, struct disk_point_read, operation);

	if (result == -EINTR || result == -EAGAIN)
		point_read_next(read);
	else if (result <= 0)
		point_read_end(read, result ? result : -EIO);
	else
		point_read_advance(read, (uint32_t)result);
}

/* As much as comes from one place; of copied ones, a granule. */
static void point_measure_piece(struct disk_point_read *read)
{
	const struct disk_point *point = read->point;
	uint64_t offset = read->offset + read->done, end = read->offset + read->size;
	uint64_t granule = offset >> point->known.shift;
	bool copied = bit_is_set(point->copied, granule);

	while (!copied && point_offset(point, granule + 1) < end &&
	       !bit_is_set(point->copied, granule + 1))
		granule++;
	read->live = !copied;
	read->piece = (uint32_t)(MIN(point_offset(point, granule + 1), end) - offset);
}

static uint64_t point_scratch_offset(const struct disk_point *point, uint64_t offset)
{
	uint64_t granule = offset >> point->known.shift;
	const struct point_place *entry = place_find(point->places, point->place_max, granule);

	return point_offset(point, entry->place) + (offset - point_offset(point, granule));
}

static bool point_read_is_released(const struct disk_point_read *read)
{
	const struct disk_point *point = read->point;
	uint64_t last = (read->offset + read->size - 1) >> point->known.shift;

	for (uint64_t i = read->offset >> point->known.shift; i <= last; i++) {
		if (bit_is_set(point->released, i))
			return true;
	}
	return false;
}

static void point_read_next(struct disk_point_read *read)
{
	struct disk_point *point = read->point;
	uint64_t offset = read->offset + read->done;

	if (point->broken) {
		read->result = point->broken;
		loop_defer(point->loop, &read->deferred);
		return;
	}
	point_measure_piece(read);
	read->iov = (struct iovec){ (uint8_t *)read->buffer + read->done, read->piece };
	if (read->live) {
		read->request = (struct disk_request){ .operation = DISK_READ,
						       .offset = offset,
						       .size = read->piece,
						       .iov = &read->iov,
						       .iov_count = 1,
						       .buffers = point->buffers,
						       .complete = point_read_disk_done };
		disk_submit_aside(point->disk, &read->request);
	} else {
		loop_readv(point->loop, &read->operation, point->scratch, &read->iov, 1,
			   point_scratch_offset(point, offset));
	}
}

static void point_read_failed(struct loop_deferred *deferred)
{
	struct disk_point_read *read = container_of(deferred, struct disk_point_read, deferred);

	point_read_end(read, read->result);
}

void disk_point_read(struct disk_point *point, struct disk_point_read *read)
{
	assert(read->size > 0 && read->offset <= point->size &&
	       read->size <= point->size - read->offset);
	read->point = point;
	read->done = 0;
	read->live = false;
	read->operation.complete = point_read_scratch_done;
	read->deferred.run = point_read_failed;
	list_init(&read->deferred.link);
	list_init(&read->link);
	list_append(&point->reads, &read->link);
	if (point->disk)
		point->disk->in_flight++;
	if (point_read_is_released(read)) {
		read->result = -ENODATA;
		loop_defer(point->loop, &read->deferred);
		return;
	}
	point_read_next(read);
}

void disk_point_release(struct disk_point *point, uint64_t offset, uint64_t size)
{
	uint64_t granule_size = UINT64_C(1) << point->known.shift;
	uint64_t end = offset + size, first = (offset + granule_size - 1) >> point->known.shift;
	uint64_t last = end == point->size ? point->granules : end >> point->known.shift;

	for (uint64_t i = first; i < last; i++)
		bit_set(point->released, i);
	if (point->changes)
		disk_changes_settle(point->changes);
}

/* ---- What it is ---- */

uint64_t disk_point_size(const struct disk_point *point)
{
	return point->size;
}

uint32_t disk_point_sector_size(const struct disk_point *point)
{
	return point->sector_size;
}

const struct changes_head *disk_point_known(const struct disk_point *point)
{
	return &point->known;
}

uint64_t disk_point_copied(const struct disk_point *point)
{
	return point->copied_bytes;
}

bool disk_point_has_changed(const struct disk_point *point, uint64_t offset, uint64_t limit,
			    uint64_t *ret_size)
{
	uint64_t granule = offset >> point->known.shift;
	uint64_t end = MIN(point->size, offset + limit);
	bool changed;

	if (!point->bits) {
		*ret_size = end - offset;
		return true;
	}
	changed = bit_is_set(point->bits, granule);
	while (point_offset(point, granule + 1) < end &&
	       bit_is_set(point->bits, granule + 1) == changed)
		granule++;
	*ret_size = MIN(point_offset(point, granule + 1), end) - offset;
	return changed;
}

int disk_point_new(const struct disk_point_options *options, struct disk_point **ret_point)
{
	struct disk_point *point = calloc(1, sizeof(*point));
	int r;

	if (!point)
		return -ENOMEM;
	*point = (struct disk_point){
		.disk = options->disk,
		.loop = options->loop,
		.changes = options->changes,
		.known = *options->head,
		.bits = options->bits,
		.size = options->disk->size,
		.granules = changes_granule_count(options->head, options->disk->size),
		.sector_size = options->disk->sector_size,
		.scratch_max = (uint32_t)MIN(options->scratch_max >> options->head->shift,
					     (uint64_t)UINT32_MAX),
		.gone = options->gone,
		.data = options->data,
	};
	list_init(&point->reads);
	for (unsigned i = 0; i < COPIES; i++) {
		point->copies[i].point = point;
		point->copies[i].operation.complete = point_copy_written;
	}
	point->copied = calloc(point->granules / 64 + 1, sizeof(*point->copied));
	point->released = calloc(point->granules / 64 + 1, sizeof(*point->released));
	r = point->copied && point->released ? buffer_pool_new(BUFFERS, &point->buffers) : -ENOMEM;
	if (r < 0) {
		free(point->copied);
		free(point->released);
		free(point);
		return r;
	}
	point->scratch = options->scratch;
	*ret_point = point;
	return 0;
}

void disk_point_free(struct disk_point *point)
{
	disk_point_break(point, -ECANCELED);
	point->ended = true;
	point_end_if_quiet(point);
}

void disk_point_move(struct disk_point *point, struct disk *disk)
{
	point->disk = disk;
}

void disk_point_end(struct disk_point *point, bool complete)
{
	if (point->changes)
		disk_changes_end_point(point->changes, complete);
	else
		disk_point_free(point);
}

void disk_point_orphan(struct disk_point *point)
{
	disk_point_break(point, -ECANCELED);
	point->disk = NULL;
	point->changes = NULL;
	point->bits = NULL;
	point->gone = NULL;
}
