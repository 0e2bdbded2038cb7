/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which blocks of a disk have changed.
 *
 * One write of the file is under way at a time: of its head, or of a page of its map of regions. A
 * page that loses regions, once a backup has been made, is written after the head that says so: what
 * the file knows is always true of the points in its head.
 */
#include "vsp/storage/disk_changes.h"

#include "common/base/cleanup.h"
#include "common/base/log.h"
#include "vsp/storage/disk_point.h"
#include "vsp/storage/disk_throttle.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum changes_write {
	CHANGES_WRITE_NONE,
	CHANGES_WRITE_HEAD,
	CHANGES_WRITE_PAGE,
	CHANGES_WRITE_BITS
};

struct disk_changes {
	struct disk *disk;
	struct loop *loop;
	int fd;
	struct changes_head head; /* as it is to be in the file */
	bool head_stale;          /* it is not there yet */
	bool opened;              /* the file says that it is not closed */
	bool known;               /* all changes since the points of the head */
	bool closed;
	uint64_t *bits; /* of granules that have changed, since the view's point if there is one */
	uint64_t *frozen;         /* those of before the view's point; or NULL */
	uint8_t *regions, *kept;  /* as the file is to have them; and surely has them */
	uint64_t pages;           /* of the map of regions: to be written */
	struct list waiting;      /* requests, oldest first */
	struct disk_point *point; /* or NULL */
	struct guid point_id;
	bool point_ended;

	struct loop_operation operation;
	enum changes_write writing;
	unsigned page;
	struct iovec iov;
	size_t written; /* of it */
	uint64_t offset;
	_Alignas(8) uint8_t buffer[CHANGES_PAGE];

	void (*told)(void *data); /* when the head is in the file; or NULL */
	void *told_data;
};

_Static_assert(4 * CHANGES_GRANULES_MAX / CHANGES_REGION / 8 / CHANGES_PAGE <= 64, "pages");

static void changes_write_next(struct disk_changes *changes);

/* ---- Bits ---- */

static uint64_t changes_granule(const struct disk_changes *changes, uint64_t offset)
{
	return offset >> changes->head.shift;
}

static bool region_is_set(const uint8_t *regions, uint64_t region)
{
	return regions[region / 8] & 1u << region % 8;
}

static void changes_set_regions(struct disk_changes *changes, uint64_t first, uint64_t last)
{
	for (uint64_t region = first; region <= last; region++) {
		changes->regions[region / 8] |= (uint8_t)(1u << region % 8);
		if (!region_is_set(changes->kept, region))
			changes->pages |= UINT64_C(1) << region / 8 / CHANGES_PAGE;
	}
}

static void bits_set(uint64_t *bits, uint64_t first, uint64_t last)
{
	for (uint64_t word = first / 64; word <= last / 64; word++) {
		uint64_t mask = UINT64_MAX;

		if (word == first / 64)
			mask &= UINT64_MAX << first % 64;
		if (word == last / 64)
			mask &= UINT64_MAX >> (63 - last % 64);
		bits[word] |= mask;
	}
}

/* A region is a word of the bits. */
_Static_assert(CHANGES_REGION == 64, "as bits are stored");

static void changes_set(struct disk_changes *changes, uint64_t first, uint64_t last)
{
	bits_set(changes->bits, first, last);
	changes_set_regions(changes, first / CHANGES_REGION, last / CHANGES_REGION);
}

static void changes_merge_frozen(struct disk_changes *changes)
{
	AUTO_FREE uint64_t *frozen = TAKE_PTR(changes->frozen);

	for (uint64_t i = 0; frozen && i < changes->head.capacity / 64; i++)
		changes->bits[i] |= frozen[i];
}

/* ---- The file ---- */

/* Nothing is known; the file is told so, if it takes that. */
static void changes_forget(struct disk_changes *changes)
{
	changes->known = false;
	changes->pages = 0;
	changes->head.point_count = 0;
	changes->head.flags = 0;
	changes->head_stale = true;
}

static void changes_break(struct disk_changes *changes, int error)
{
	if (!changes->known)
		return;
	log_warning("which blocks of a disk change is not known any more, and its next backup is a "
		    "full one: %s",
		    strerror(-error));
	changes_forget(changes);
}

static void changes_start_write(struct disk_changes *changes)
{
	loop_writev(changes->loop, &changes->operation, changes->fd, &changes->iov, 1,
		    changes->offset + changes->written, RWF_DSYNC);
}

static void changes_write(struct disk_changes *changes, enum changes_write what, void *bytes,
			  size_t size, uint64_t offset)
{
	changes->writing = what;
	changes->iov = (struct iovec){ bytes, size };
	changes->offset = offset;
	changes->written = 0;
	changes->disk->in_flight++;
	changes_start_write(changes);
}

static void changes_write_head(struct disk_changes *changes)
{
	changes->head_stale = false;
	changes_head_seal(&changes->head);
	memcpy(changes->buffer, &changes->head, sizeof(changes->head));
	changes_write(changes, CHANGES_WRITE_HEAD, changes->buffer, sizeof(changes->head), 0);
}

static void changes_write_page(struct disk_changes *changes)
{
	unsigned page = (unsigned)__builtin_ctzll(changes->pages);
	size_t offset = (size_t)page * CHANGES_PAGE;

	changes->pages &= changes->pages - 1;
	changes->page = page;
	memcpy(changes->buffer, changes->regions + offset, CHANGES_PAGE);
	for (size_t i = 0; i < CHANGES_PAGE; i++)
		changes->kept[offset + i] &= changes->buffer[i];
	changes_write(changes, CHANGES_WRITE_PAGE, changes->buffer, CHANGES_PAGE,
		      changes_regions_offset(&changes->head) + offset);
}

static void changes_tell(struct disk_changes *changes)
{
	void (*told)(void *data) = TAKE_PTR(changes->told);

	if (told)
		told(changes->told_data);
}

static void changes_wrote(struct disk_changes *changes, enum changes_write what)
{
	if (what == CHANGES_WRITE_HEAD) {
		changes->opened = !(changes->head.flags & CHANGES_CLOSED);
		if (!changes->head_stale)
			changes_tell(changes);
	} else if (what == CHANGES_WRITE_PAGE) {
		memcpy(changes->kept + (size_t)changes->page * CHANGES_PAGE, changes->buffer,
		       CHANGES_PAGE);
	} else {
		changes->head.flags |= CHANGES_CLOSED;
		changes->head_stale = true;
	}
}

static void changes_written(struct loop_operation *operation, int result, bool more)
{
	struct disk_changes *changes = container_of(operation, struct disk_changes, operation);
	struct disk *disk = changes->disk;
	enum changes_write what = changes->writing;

	if (result == -EINTR || result == -EAGAIN)
		result = 0;
	else if (result == 0)
		result = -EIO;
	if (result >= 0 && (size_t)result < changes->iov.iov_len) {
		changes->iov.iov_base = (uint8_t *)changes->iov.iov_base + result;
		changes->iov.iov_len -= (size_t)result;
		changes->written += (size_t)result;
		changes_start_write(changes);
		return;
	}
	changes->writing = CHANGES_WRITE_NONE;
	if (result < 0) {
		changes_break(changes, result);
		if (what == CHANGES_WRITE_HEAD)
			changes->head_stale = false; /* it was tried */
		changes_tell(changes);
	} else {
		changes_wrote(changes, what);
	}
	changes_write_next(changes);
	disk_changes_settle(changes);
	disk_put(disk);
}

static void changes_write_next(struct disk_changes *changes)
{
	if (changes->writing != CHANGES_WRITE_NONE)
		return;
	if (changes->head_stale)
		changes_write_head(changes);
	else if (changes->pages)
		changes_write_page(changes);
}

/* The file says that it is not closed, before something changes. */
static void changes_open(struct disk_changes *changes)
{
	struct changes_identity *identity = &changes->head.identity;

	if (changes->opened || !(changes->head.flags & CHANGES_CLOSED))
		return;
	changes->head.flags &= ~CHANGES_CLOSED;
	changes_identify(disk_descriptor(changes->disk), identity);
	changes->head_stale = true;
}

/* ---- Requests ---- */

static bool changes_are_kept(const struct disk_changes *changes, uint64_t first, uint64_t last)
{
	if (!changes->known)
		return true;
	for (uint64_t region = first / CHANGES_REGION; region <= last / CHANGES_REGION; region++) {
		if (!region_is_set(changes->kept, region))
			return false;
	}
	return changes->opened;
}

static bool changes_may_pass(struct disk_changes *changes, const struct disk_request *request)
{
	uint64_t first = changes_granule(changes, request->offset);
	uint64_t last = changes_granule(changes, request->offset + request->size - 1);
	bool kept = changes_are_kept(changes, first, last);

	return (!changes->point || disk_point_admits(changes->point, first, last)) && kept;
}

static bool changes_concern(const struct disk_request *request)
{
	return request->size > 0 && request->operation != DISK_READ &&
	       request->operation != DISK_FLUSH;
}

bool disk_changes_admit(struct disk_changes *changes, struct disk_request *request)
{
	if (!changes_concern(request))
		return true;
	if (changes->known) {
		changes_open(changes);
		changes_set(changes, changes_granule(changes, request->offset),
			    changes_granule(changes, request->offset + request->size - 1));
	}
	if (LIKELY(changes_may_pass(changes, request)))
		return true;
	request->throttled = true;
	list_init(&request->link);
	list_append(&changes->waiting, &request->link);
	changes_write_next(changes);
	return false;
}

void disk_changes_settle(struct disk_changes *changes)
{
	list_for_each (link, &changes->waiting) {
		struct disk_request *request = container_of(link, struct disk_request, link);

		if (!changes_may_pass(changes, request))
			continue;
		list_unlink(&request->link);
		request->throttled = false;
		changes->disk->ops->submit(changes->disk, request);
	}
}

struct disk_request *disk_changes_stop(struct disk_changes *changes)
{
	if (changes->point)
		disk_point_break(changes->point, -ECANCELED);
	if (list_empty(&changes->waiting))
		return NULL;
	return container_of(changes->waiting.next, struct disk_request, link);
}

void disk_changes_grow(struct disk_changes *changes, uint64_t old_size)
{
	uint64_t size = changes->disk->size;

	if (size == old_size || !changes->known)
		return;
	changes_open(changes);
	if (changes_granule_count(&changes->head, size) > changes->head.capacity)
		changes_break(changes, -E2BIG);
	else
		changes_set(changes, changes_granule(changes, old_size),
			    changes_granule(changes, size - 1));
	changes_write_next(changes);
}

/* ---- Points ---- */

/* The last of the view's requests has ended. */
static void changes_point_gone(void *data)
{
	struct disk_changes *changes = data;

	changes->point = NULL;
	changes->point_ended = false;
}

/* Nothing is known until now: all begins here. */
static void changes_begin(struct disk_changes *changes)
{
	size_t size = changes->head.capacity / CHANGES_REGION / 8;

	changes->head.disk_size = changes->disk->size;
	changes_identify(disk_descriptor(changes->disk), &changes->head.identity);
	memset(changes->regions, 0, size);
	memset(changes->kept, 0, size);
	changes->pages = (UINT64_C(2) << (size / CHANGES_PAGE - 1)) - 1;
	changes->known = true;
}

int disk_changes_begin_point(struct disk_changes *changes, const struct guid *id, int scratch,
			     uint64_t scratch_max, void (*written)(void *data), void *data,
			     struct disk_point **ret_point)
{
	AUTO_CLOSE int file = scratch;
	const struct disk_point_options options = {
		.disk = changes->disk,
		.loop = changes->loop,
		.changes = changes,
		.head = &changes->head,
		.bits = changes->bits,
		.scratch = file,
		.scratch_max = scratch_max,
		.gone = changes_point_gone,
		.data = changes,
	};
	unsigned own = changes->writing != CHANGES_WRITE_NONE;
	uint64_t *bits;
	int r;

	if (changes->point || changes->told || changes->disk->retiring ||
	    changes->disk->in_flight > own)
		return -EBUSY;
	if (changes_granule_count(&changes->head, changes->disk->size) > changes->head.capacity)
		return -E2BIG;
	bits = calloc(changes->head.capacity / 64, sizeof(*bits));
	if (!bits)
		return -ENOMEM;
	r = disk_point_new(&options, &changes->point);
	if (r < 0) {
		free(bits);
		return r;
	}
	(void)TAKE_FD(file);
	changes->frozen = changes->bits;
	changes->bits = bits;
	if (!changes->known)
		changes_begin(changes);
	changes_open(changes);
	changes_head_add_point(&changes->head, id);
	changes->point_id = *id;
	changes->head_stale = true;
	changes->told = written;
	changes->told_data = data;
	changes_write_next(changes);
	*ret_point = changes->point;
	return 0;
}

/* What has changed since the point, and nothing else. */
static void changes_forget_before_point(struct disk_changes *changes)
{
	uint64_t regions = changes->head.capacity / CHANGES_REGION;

	free(TAKE_PTR(changes->frozen));
	changes->head.points[0] = changes->point_id;
	changes->head.point_count = 1;
	changes->head.disk_size = changes->disk->size;
	changes->head_stale = true;
	for (uint64_t i = 0; i < regions; i += 8) {
		uint8_t *byte = &changes->regions[i / 8], before = *byte;

		*byte = 0;
		for (unsigned bit = 0; bit < 8; bit++)
			*byte |= (uint8_t)((changes->bits[i + bit] != 0) << bit);
		if (*byte != before)
			changes->pages |= UINT64_C(1) << i / 8 / CHANGES_PAGE;
	}
}

void disk_changes_end_point(struct disk_changes *changes, bool complete)
{
	assert(changes->point && !changes->point_ended);
	changes->point_ended = true;
	if (complete && changes->known)
		changes_forget_before_point(changes);
	else
		changes_merge_frozen(changes);
	changes_write_next(changes);
	disk_point_free(changes->point);
}

/* ---- Life ---- */

bool disk_changes_close(struct disk_changes *changes)
{
	struct changes_identity identity;

	if (changes->closed)
		return false;
	changes->closed = true;
	changes_merge_frozen(changes);
	if (!changes->known)
		return false;
	changes_identify(disk_descriptor(changes->disk), &identity);
	if (changes->head.flags & CHANGES_CLOSED) {
		/* Nothing has changed; but the image may have been touched. */
		changes->head_stale = !changes_identity_equal(&changes->head.identity, &identity);
		changes->head.identity = identity;
		changes_write_next(changes);
	} else {
		changes->head.identity = identity;
		changes->head.disk_size = changes->disk->size;
		changes_write(changes, CHANGES_WRITE_BITS, changes->bits,
			      changes->head.capacity / 8, changes_granules_offset(&changes->head));
	}
	return changes->writing != CHANGES_WRITE_NONE;
}

void disk_changes_move(struct disk_changes *changes, struct disk *disk)
{
	changes->disk = disk;
	if (changes->point)
		disk_point_move(changes->point, disk);
}

void disk_changes_abandon(struct disk_changes *changes)
{
	if (!changes->known)
		return;
	changes_forget(changes);
	changes_write_next(changes);
}

void disk_changes_free(struct disk_changes *changes)
{
	if (!changes)
		return;
	assert(changes->writing == CHANGES_WRITE_NONE && list_empty(&changes->waiting));
	assert(!changes->point || !changes->point_ended);
	if (changes->point)
		disk_point_orphan(changes->point);
	close(changes->fd);
	free(changes->bits);
	free(changes->frozen);
	free(changes->regions);
	free(changes->kept);
	free(changes);
}

static int changes_read(struct disk_changes *changes, const struct changes_identity *opened)
{
	if (opened)
		return changes_file_read(changes->fd, changes->disk->size, opened, &changes->head,
					 &changes->bits);
	changes_head_init(&changes->head, changes->disk->size);
	changes->bits = calloc(changes->head.capacity / 64, sizeof(*changes->bits));
	return changes->bits ? (int)CHANGES_NEW : -ENOMEM;
}

static int changes_load(struct disk_changes *changes, const struct changes_identity *opened,
			enum changes_loss *ret_loss)
{
	uint64_t regions;
	int r = changes_read(changes, opened);

	if (r < 0)
		return r;
	*ret_loss = (enum changes_loss)r;
	regions = changes->head.capacity / CHANGES_REGION;
	changes->regions = calloc(1, regions / 8);
	changes->kept = calloc(1, regions / 8);
	if (!changes->regions || !changes->kept)
		return -ENOMEM;
	for (uint64_t i = 0; i < regions; i++)
		changes->regions[i / 8] |= (uint8_t)((changes->bits[i] != 0) << i % 8);
	if (*ret_loss == _CHANGES_KEPT) {
		memcpy(changes->kept, changes->regions, regions / 8);
		changes->known = true;
		changes->opened = !(changes->head.flags & CHANGES_CLOSED);
		return 0;
	}
	changes_forget(changes);
	return 0;
}

int disk_changes_new(struct disk *disk, struct loop *loop, int fd,
		     const struct changes_identity *opened, enum changes_loss *ret_loss)
{
	struct disk_changes *changes = calloc(1, sizeof(*changes));
	int r = disk->changes ? -EEXIST : -ENOMEM;

	if (!changes || disk->changes) {
		close(fd);
		free(changes);
		return r;
	}
	changes->disk = disk;
	changes->loop = loop;
	changes->fd = fd;
	changes->operation.complete = changes_written;
	list_init(&changes->waiting);
	r = changes_load(changes, opened, ret_loss);
	if (r < 0) {
		disk_changes_free(changes);
		return r;
	}
	disk->changes = changes;
	changes_write_next(changes);
	return 0;
}

struct disk_changes *disk_changes_of(const struct disk *disk)
{
	return disk->changes;
}
