/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The data of a disk in a backup: restoring and merging. */
#include "vmms/vmctl/backup_data_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The newest point counts; what it has not comes from the one before, down to a full one. */
struct restoring {
	const struct backup_target *target;
	const struct backup_progress *progress;
	uint64_t size, done;
	uint64_t *covered; /* by granules: newer points have them */
	char *why;
};

static uint64_t granules(uint64_t size)
{
	return size / BACKUP_GRANULE + (size % BACKUP_GRANULE != 0);
}

/* Return: whether it was not. */
static bool restoring_cover(struct restoring *restoring, uint64_t granule)
{
	uint64_t bit = UINT64_C(1) << granule % 64, *word = &restoring->covered[granule / 64];
	bool was = *word & bit;

	*word |= bit;
	return !was;
}

static int restore_say(struct restoring *restoring, const char *what, int error)
{
	snprintf(restoring->why, BACKUP_WHY_MAX, "%s: %s", what, strerror(-error));
	return error;
}

/* Those granules of a chunk that no newer point has. bytes: NULL: zeros, which the target is. */
static int restore_chunk(struct restoring *restoring, const struct backup_record *record,
			 const uint8_t *bytes)
{
	uint64_t end = MIN(record->offset + record->size, restoring->size);
	int r = 0;

	for (uint64_t at = record->offset; r == 0 && at < end; at += BACKUP_GRANULE) {
		size_t size = (size_t)MIN(end - at, (uint64_t)BACKUP_GRANULE);
		const uint8_t *granule = bytes ? bytes + (at - record->offset) : NULL;

		if (!restoring_cover(restoring, at / BACKUP_GRANULE))
			continue;
		restoring->done += size;
		if (granule && !data_is_zero(granule, size))
			r = restoring->target->write(restoring->target->data, at, granule, size);
	}
	return r < 0 ? restore_say(restoring, "what was restored cannot be written", r) : 0;
}

static int restore_point(struct restoring *restoring, const struct backup_set *set,
			 const struct backup_disk *disk)
{
	const struct backup_progress *progress = restoring->progress;
	struct data_reader reader;
	int r = data_reader_init(&reader, set, disk, restoring->why);

	for (uint64_t i = 0; r == 0 && i < disk->chunks; i++) {
		const struct backup_record *record = &reader.records[i];
		bool zero = record->place == BACKUP_ZERO_PLACE;

		if (!progress->tell(progress->data, restoring->done, restoring->size))
			r = restore_say(restoring, "restoring", -ECANCELED);
		if (r == 0 && !zero)
			r = data_reader_read(&reader, record, restoring->why);
		if (r == 0)
			r = restore_chunk(restoring, record, zero ? NULL : reader.buffer);
	}
	data_reader_deinit(&reader);
	return r;
}

int backup_data_restore(const struct backup_set *set, const struct backup_point *point,
			const struct backup_disk *disk, const struct backup_target *target,
			const struct backup_progress *progress, char why[static BACKUP_WHY_MAX])
{
	AUTO_FREE uint64_t *covered = calloc(granules(disk->size) / 64 + 1, sizeof(*covered));
	struct restoring restoring = { .target = target,
				       .progress = progress,
				       .size = disk->size,
				       .covered = covered,
				       .why = why };
	unsigned controller = disk->controller, lun = disk->lun;

	if (!covered)
		return restore_say(&restoring, "restoring", -ENOMEM);
	while (disk) {
		int r = restore_point(&restoring, set, disk);

		if (r < 0 || disk->full)
			return r;
		point = point->parent ? backup_set_find(set, point->parent) : NULL;
		disk = point ? backup_point_find((struct backup_point *)point, controller, lun)
			     : NULL;
	}
	snprintf(why, BACKUP_WHY_MAX, "disk %u:%u of it stands on a point that is not there",
		 controller, lun);
	return -EBADMSG;
}

/* ---- Merging ---- */

static int merge_write(void *data, uint64_t offset, const void *bytes, size_t size)
{
	struct data_writer *writer = data;

	return data_write_at(writer->data, offset, bytes, size);
}

/* The index of a raw image that is there. */
static int merge_index(struct data_writer *writer)
{
	uint64_t size = writer->disk->size;
	int r = 0;

	writer->placed = true;
	for (uint64_t at = 0; r == 0 && at < size;) {
		uint32_t piece = (uint32_t)MIN(size - at, (uint64_t)BACKUP_CHUNK_MAX);
		off_t data = lseek(writer->data, (off_t)at, SEEK_DATA);
		bool hole = data < 0 || (uint64_t)data >= at + piece;
		ssize_t count =
			hole ? piece : file_read_at(writer->data, at, writer->buffer, piece);

		if (count != (ssize_t)piece)
			r = count < 0 ? (int)count : -EIO;
		else
			r = data_writer_add(writer, at, piece,
					    hole || data_is_zero(writer->buffer, piece));
		at += piece;
	}
	return r;
}

static int merge_into(struct data_writer *writer, const struct backup_set *set,
		      const struct backup_point *point, const struct backup_disk *disk,
		      const struct backup_progress *progress, char *why)
{
	const struct backup_target target = { .write = merge_write, .data = writer };
	int r = backup_data_restore(set, point, disk, &target, progress, why);

	if (r < 0)
		return r;
	if (ftruncate(writer->data, (off_t)disk->size) < 0)
		r = -errno;
	if (r == 0)
		r = merge_index(writer);
	if (r == 0)
		r = data_writer_end(writer);
	if (r < 0)
		snprintf(why, BACKUP_WHY_MAX, "a merged point cannot be written: %s", strerror(-r));
	return r;
}

int backup_data_merge(const struct backup_set *set, const struct backup_point *point,
		      struct backup_disk *disk, const struct backup_progress *progress,
		      char why[static BACKUP_WHY_MAX])
{
	struct backup_disk full = *disk;
	struct data_writer writer;
	int r;

	full.full = true;
	snprintf(full.data, sizeof(full.data), "%u-%u-%u.full.data", point->number,
		 disk->controller, disk->lun);
	snprintf(full.index, sizeof(full.index), "%u-%u-%u.full.index", point->number,
		 disk->controller, disk->lun);
	r = data_writer_init(&writer, set, &full);
	if (r < 0)
		snprintf(why, BACKUP_WHY_MAX, "a merged point cannot be made: %s", strerror(-r));
	else
		r = merge_into(&writer, set, point, disk, progress, why);
	data_writer_deinit(&writer);
	if (r == 0)
		*disk = full;
	return r;
}
