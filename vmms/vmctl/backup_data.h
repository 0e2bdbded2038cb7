/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The data of a disk in a backup. Stored format; integers are little-endian.
 *
 * An index has a record for each chunk, in the order of the disk, none of which overlap. The data of a
 * full one are a raw image of the disk, with holes, that any program reads; its records leave nothing
 * out. Those of an increment are its chunks, one after another.
 *
 * Thread: any.
 */
#pragma once

#include "common/base/cc.h"
#include "common/image/image.h"
#include "vmms/vmctl/backup_set.h"
#include "vmms/vmctl/backup_source.h"

#include <stdbool.h>
#include <stdint.h>

#define BACKUP_GRANULE    65536u /* bytes: what chunks are whole ones of, but for the end of a disk */
#define BACKUP_CHUNK_MAX  BACKUP_READ_MAX
#define BACKUP_ZERO_PLACE UINT64_MAX

struct backup_record {
	uint64_t offset;   /* in the disk */
	uint64_t place;    /* of the chunk in the data; BACKUP_ZERO_PLACE: it is all zeros */
	uint32_t size;     /* bytes; at most BACKUP_CHUNK_MAX, unless it is zeros */
	uint32_t checksum; /* CRC-32C; of zeros 0 */
};
_Static_assert(sizeof(struct backup_record) == 24, "stored format");

/* Called now and then. Return: whether to go on. */
struct backup_progress {
	bool (*tell)(void *data, uint64_t done, uint64_t total);
	void *data;
};

/* Where a disk is restored to. */
struct backup_target {
	/* Only what is not zero, once. Return: 0; -errno. */
	int (*write)(void *data, uint64_t offset, const void *bytes, size_t size);
	void *data;
};

/*
 * Reads a disk, all of it if disk->full, else what has changed, and names its files. Durable when it
 * returns. Return: 0; -ECANCELED; -errno.
 */
int backup_data_take(const struct backup_set *set, struct backup_disk *disk,
		     struct backup_source *source,
		     const struct backup_progress *progress) MUST_CHECK;

/* The same of a full one from its image, of which nobody has it now. Return: as above; VHDX_E_. */
int backup_data_copy(const struct backup_set *set, struct backup_disk *disk,
		     struct image_content *content,
		     const struct backup_progress *progress) MUST_CHECK;

/*
 * Whether what is in a point's files is what was written. Return: 0; -EBADMSG: it is not, with `why`
 * filled; -ECANCELED; -errno with `why` filled.
 */
int backup_data_verify(const struct backup_set *set, const struct backup_disk *disk,
		       const struct backup_progress *progress,
		       char why[static BACKUP_WHY_MAX]) MUST_CHECK;

/*
 * A disk as it was at a point, from all points that it stands on. Each chunk is checked. Return and
 * why: as above.
 */
int backup_data_restore(const struct backup_set *set, const struct backup_point *point,
			const struct backup_disk *disk, const struct backup_target *target,
			const struct backup_progress *progress,
			char why[static BACKUP_WHY_MAX]) MUST_CHECK;

/*
 * Makes a full one of a disk that is an increment, in files of its own, and changes *disk. Return and
 * why: as above.
 */
int backup_data_merge(const struct backup_set *set, const struct backup_point *point,
		      struct backup_disk *disk, const struct backup_progress *progress,
		      char why[static BACKUP_WHY_MAX]) MUST_CHECK;
