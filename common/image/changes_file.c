/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The file that keeps which blocks of a disk have changed. */
#include "common/image/changes_file.h"

#include "common/base/cleanup.h"
#include "common/base/crc32c.h"
#include "common/base/error.h"
#include "common/base/file.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

_Static_assert(__BYTE_ORDER == __LITTLE_ENDIAN, "maps and heads are used as they are stored");

/* A page of the map of regions stands for so many granules. */
#define UNIT (UINT64_C(8) * CHANGES_PAGE * CHANGES_REGION)

#define SHIFT_MOST 40
#define NS         INT64_C(1000000000)

/* ---- The head ---- */

void changes_head_init(struct changes_head *head, uint64_t disk_size)
{
	uint64_t granules;

	*head = (struct changes_head){ .shift = CHANGES_SHIFT_LEAST, .disk_size = disk_size };
	memcpy(head->magic, CHANGES_MAGIC, sizeof(head->magic));
	while ((granules = changes_granule_count(head, disk_size)) > CHANGES_GRANULES_MAX)
		head->shift++;
	/* It may become twice as large. */
	head->capacity = ALIGN_UP(MAX(2 * granules, UINT64_C(1)), UNIT);
}

uint64_t changes_granule_count(const struct changes_head *head, uint64_t disk_size)
{
	return (disk_size >> head->shift) + ((disk_size & ((UINT64_C(1) << head->shift) - 1)) != 0);
}

uint64_t changes_regions_offset(const struct changes_head *head)
{
	return CHANGES_PAGE;
}

uint64_t changes_granules_offset(const struct changes_head *head)
{
	return CHANGES_PAGE + head->capacity / CHANGES_REGION / 8;
}

uint64_t changes_file_size(const struct changes_head *head)
{
	return changes_granules_offset(head) + head->capacity / 8;
}

static uint32_t head_checksum(const struct changes_head *head)
{
	struct changes_head copy = *head;

	copy.checksum = 0;
	return crc32c(0, &copy, sizeof(copy));
}

void changes_head_seal(struct changes_head *head)
{
	head->checksum = head_checksum(head);
}

bool changes_head_is_valid(const struct changes_head *head)
{
	return memcmp(head->magic, CHANGES_MAGIC, sizeof(head->magic)) == 0 &&
	       head->checksum == head_checksum(head) && head->shift >= CHANGES_SHIFT_LEAST &&
	       head->shift <= SHIFT_MOST && head->capacity > 0 && head->capacity % UNIT == 0 &&
	       head->capacity <= 4 * CHANGES_GRANULES_MAX &&
	       changes_granule_count(head, head->disk_size) <= head->capacity &&
	       head->point_count <= CHANGES_POINTS_MAX;
}

bool changes_head_knows(const struct changes_head *head, const struct guid *point)
{
	for (uint32_t i = 0; i < head->point_count; i++) {
		if (guid_equal(&head->points[i], point))
			return true;
	}
	return false;
}

void changes_head_add_point(struct changes_head *head, const struct guid *point)
{
	if (changes_head_knows(head, point))
		return;
	if (head->point_count == CHANGES_POINTS_MAX) {
		head->point_count--;
		memmove(head->points, head->points + 1,
			head->point_count * sizeof(head->points[0]));
	}
	head->points[head->point_count++] = *point;
}

/* ---- Whose it is ---- */

void changes_identify(int fd, struct changes_identity *ret_identity)
{
	struct stat status;

	*ret_identity = (struct changes_identity){ 0 };
	if (fd < 0 || fstat(fd, &status) < 0)
		return;
	if (S_ISREG(status.st_mode))
		*ret_identity = (struct changes_identity){
			.device = status.st_dev,
			.inode = status.st_ino,
			.size = (uint64_t)status.st_size,
			.modified = status.st_mtim.tv_sec * NS + status.st_mtim.tv_nsec,
		};
	/* Nothing tells when a block device was written. */
	if (S_ISBLK(status.st_mode))
		ret_identity->device = status.st_rdev;
}

bool changes_identity_equal(const struct changes_identity *a, const struct changes_identity *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

const char *changes_loss_text(enum changes_loss loss)
{
	static const char *const texts[] = {
		[_CHANGES_KEPT] = "all changes are known",
		[CHANGES_NEW] = "there has been no backup of it",
		[CHANGES_TORN] = "the map of changed blocks makes no sense",
		[CHANGES_RESIZED] = "the disk is smaller than it was",
		[CHANGES_OUTSIDE] = "its image is another one, or somebody else has changed it",
	};

	return texts[loss];
}

/* ---- Reading ---- */

/* A file that was not closed says nothing of when its image was last written by the VM. */
static bool identity_fits(const struct changes_head *head, const struct changes_identity *now)
{
	struct changes_identity then = head->identity;

	if (!(head->flags & CHANGES_CLOSED)) {
		then.size = now->size;
		then.modified = now->modified;
	}
	return changes_identity_equal(&then, now);
}

static enum changes_loss head_judge(const struct changes_head *head, uint64_t disk_size,
				    const struct changes_identity *identity)
{
	static const struct changes_head nothing;

	if (memcmp(head, &nothing, sizeof(nothing)) == 0)
		return CHANGES_NEW;
	if (!changes_head_is_valid(head))
		return CHANGES_TORN;
	if (head->point_count == 0)
		return CHANGES_NEW;
	if (!identity_fits(head, identity))
		return CHANGES_OUTSIDE;
	if (disk_size < head->disk_size || changes_granule_count(head, disk_size) > head->capacity)
		return CHANGES_RESIZED;
	return _CHANGES_KEPT;
}

static int read_exactly(int fd, uint64_t offset, void *bytes, size_t size)
{
	ssize_t count = file_read_at(fd, offset, bytes, size);

	if (count < 0)
		return (int)count;
	return (size_t)count == size ? 0 : error_origin(-EIO);
}

/* All granules of a region that is said to have changed. */
static int read_regions(int fd, const struct changes_head *head, uint64_t *bits)
{
	size_t size = head->capacity / CHANGES_REGION / 8;
	AUTO_FREE uint8_t *regions = malloc(size);
	int r = regions ? read_exactly(fd, changes_regions_offset(head), regions, size) : -ENOMEM;

	for (size_t i = 0; r == 0 && i < size * 8; i++) {
		if (regions[i / 8] & 1u << i % 8)
			bits[i] = UINT64_MAX;
	}
	return r;
}

/* What the disk has grown by has changed. */
static void set_grown(const struct changes_head *head, uint64_t disk_size, uint64_t *bits)
{
	uint64_t first = head->disk_size >> head->shift;

	if (disk_size == head->disk_size)
		return;
	for (uint64_t i = first; i < changes_granule_count(head, disk_size); i++)
		bits[i / 64] |= UINT64_C(1) << i % 64;
}

int changes_file_read(int fd, uint64_t disk_size, const struct changes_identity *identity,
		      struct changes_head *ret_head, uint64_t **ret_bits)
{
	AUTO_FREE uint64_t *bits = NULL;
	enum changes_loss loss;
	int r;

	r = read_exactly(fd, 0, ret_head, sizeof(*ret_head));
	if (r < 0 && r != -EIO)
		return r;
	loss = r ? CHANGES_TORN : head_judge(ret_head, disk_size, identity);
	if (loss)
		changes_head_init(ret_head, disk_size);
	bits = calloc(ret_head->capacity / 64, sizeof(*bits));
	if (!bits)
		return -ENOMEM;
	r = 0;
	if (!loss && ret_head->flags & CHANGES_CLOSED)
		r = read_exactly(fd, changes_granules_offset(ret_head), bits,
				 ret_head->capacity / 8);
	else if (!loss)
		r = read_regions(fd, ret_head, bits);
	if (r < 0)
		return r;
	if (!loss)
		set_grown(ret_head, disk_size, bits);
	*ret_bits = TAKE_PTR(bits);
	return (int)loss;
}
