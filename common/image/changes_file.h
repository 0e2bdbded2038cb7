/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The file that keeps which blocks of a disk have changed since a backup: made by the service, written
 * by the worker of the VM (vsp/storage/disk_changes.h), and read by either. Stored format; all
 * integers are little-endian.
 *
 * A head of 4 KiB; then a map with a bit for each region of 64 granules, which says before a region is
 * first changed that it is; then a map with a bit for each granule, which counts only where the head
 * says that the file was closed. What counts of the head fits into a sector, so that no loss of power
 * tears it. Both maps have room for more granules than the disk has, for a disk may grow.
 *
 * A file says since which points it knows of all changes; one without points knows nothing.
 *
 * Thread: any.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/guid.h"

#include <stdbool.h>
#include <stdint.h>

#define CHANGES_MAGIC        "vmmschg1"
#define CHANGES_PAGE         4096u /* bytes: the head, and what of the maps is written at once */
#define CHANGES_POINTS_MAX   8
#define CHANGES_SHIFT_LEAST  16                  /* granules of 64 KiB */
#define CHANGES_GRANULES_MAX (UINT64_C(1) << 25) /* of a disk: a map of 4 MiB, whatever its size */
#define CHANGES_REGION       64                  /* granules */

#define CHANGES_CLOSED 1u /* the fine map counts, and the image was as `identity` says */

/* By what a file is known again, and whether somebody else has written it. Zeros: of no file. */
struct changes_identity {
	uint64_t device, inode, size;
	int64_t modified; /* nanoseconds since 1970 */
};
_Static_assert(sizeof(struct changes_identity) == 32, "stored format");

struct changes_head {
	uint8_t magic[8];
	uint32_t checksum; /* CRC-32C of the whole, this being zero */
	uint32_t shift;    /* of a granule's size */
	uint64_t disk_size;
	uint64_t capacity; /* granules: a multiple of CHANGES_PAGE * 8 * CHANGES_REGION */
	uint32_t flags;
	uint32_t point_count;
	struct guid points[CHANGES_POINTS_MAX]; /* the oldest first */
	struct changes_identity identity;
	uint8_t zero[312];
};
_Static_assert(sizeof(struct changes_head) == 512, "stored format");

/* What a new file of a disk begins with, but for its points. disk_size: bytes. */
void changes_head_init(struct changes_head *head, uint64_t disk_size);

/* Bytes of the whole file, and where its maps are. */
uint64_t changes_file_size(const struct changes_head *head);
uint64_t changes_regions_offset(const struct changes_head *head);
uint64_t changes_granules_offset(const struct changes_head *head);

/* How many granules a disk of that size has. */
uint64_t changes_granule_count(const struct changes_head *head, uint64_t disk_size);

void changes_head_seal(struct changes_head *head);

/* Whether it is one, and makes sense. */
bool changes_head_is_valid(const struct changes_head *head);

/* Whether all changes since that point are known. */
bool changes_head_knows(const struct changes_head *head, const struct guid *point);

/* One point more; the oldest makes room. */
void changes_head_add_point(struct changes_head *head, const struct guid *point);

/* Of an open file; zeros where it is none of which that can be told. */
void changes_identify(int fd, struct changes_identity *ret_identity);
bool changes_identity_equal(const struct changes_identity *a, const struct changes_identity *b);

/* Why what a file knows does not count. */
enum changes_loss {
	_CHANGES_KEPT,
	CHANGES_NEW,     /* it knows nothing yet */
	CHANGES_TORN,    /* it makes no sense */
	CHANGES_RESIZED, /* the disk is smaller than it was */
	CHANGES_OUTSIDE, /* somebody else has written the image, or it is another one */
};
const char *changes_loss_text(enum changes_loss loss);

/*
 * Reads a file of a disk that has this size and identity now. bits: a bit for each granule of the
 * capacity, which the caller frees; what cannot be known is set. Return: 0, or a positive enum
 * changes_loss, with *ret_head being that of a new file, and no bits set; -errno.
 */
int changes_file_read(int fd, uint64_t disk_size, const struct changes_identity *identity,
		      struct changes_head *ret_head, uint64_t **ret_bits) MUST_CHECK;
