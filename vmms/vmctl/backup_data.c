/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The data of a disk in a backup: writing and checking. */
#include "vmms/vmctl/backup_data.h"

#include "common/base/crc32c.h"
#include "vmms/vmctl/backup_data_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- Files ---- */

int data_write_at(int fd, uint64_t offset, const void *bytes, size_t size)
{
	for (size_t done = 0; done < size;) {
		ssize_t count =
			pwrite(fd, (const char *)bytes + done, size - done, (off_t)(offset + done));

		if (count < 0 && errno == EINTR)
			continue;
		if (count <= 0)
			return count < 0 ? -errno : -EIO;
		done += (size_t)count;
	}
	return 0;
}

bool data_is_zero(const uint8_t *bytes, size_t size)
{
	return bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0;
}

/* ---- Writing ---- */

void data_writer_deinit(struct data_writer *writer)
{
	if (writer->index)
		fclose(writer->index);
	close_fdp(&writer->data);
	free(writer->buffer);
}

int data_writer_init(struct data_writer *writer, const struct backup_set *set,
		     struct backup_disk *disk)
{
	int fd;

	*writer = (struct data_writer){ .disk = disk, .data = -1 };
	writer->buffer = malloc(BACKUP_CHUNK_MAX);
	if (!writer->buffer)
		return -ENOMEM;
	disk->chunks = disk->bytes = 0;
	disk->checksum = 0;
	writer->data = openat(set->folder, disk->data, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (writer->data < 0)
		return -errno;
	fd = openat(set->folder, disk->index, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	writer->index = fd < 0 ? NULL : fdopen(fd, "w");
	if (!writer->index) {
		int error = -errno;

		if (fd >= 0)
			close(fd);
		return error;
	}
	return 0;
}

static int writer_add_record(struct data_writer *writer, const struct backup_record *record)
{
	if (record->size == 0)
		return 0;
	writer->disk->chunks++;
	writer->disk->checksum = crc32c(writer->disk->checksum, record, sizeof(*record));
	return fwrite(record, sizeof(*record), 1, writer->index) == 1 ? 0 : -EIO;
}

static int writer_end_zeros(struct data_writer *writer)
{
	struct backup_record zeros = writer->zeros;

	writer->zeros = (struct backup_record){ 0 };
	return writer_add_record(writer, &zeros);
}

static int writer_add_zeros(struct data_writer *writer, uint64_t offset, uint32_t size)
{
	struct backup_record *zeros = &writer->zeros;
	int r = 0;

	if (zeros->size == 0 || zeros->offset + zeros->size != offset ||
	    zeros->size > UINT32_MAX - size) {
		r = writer_end_zeros(writer);
		*zeros = (struct backup_record){ .offset = offset, .place = BACKUP_ZERO_PLACE };
	}
	zeros->size += size;
	return r;
}

int data_writer_add(struct data_writer *writer, uint64_t offset, uint32_t size, bool zero)
{
	struct backup_record record = { .offset = offset, .size = size };
	int r;

	if (zero)
		return writer_add_zeros(writer, offset, size);
	r = writer_end_zeros(writer);
	record.place = writer->disk->full ? offset : writer->disk->bytes;
	record.checksum = crc32c(0, writer->buffer, size);
	writer->disk->bytes += size;
	if (r == 0 && !writer->placed)
		r = data_write_at(writer->data, record.place, writer->buffer, size);
	return r < 0 ? r : writer_add_record(writer, &record);
}

int data_writer_end(struct data_writer *writer)
{
	int r = writer_end_zeros(writer);

	if (r == 0 && writer->disk->full && ftruncate(writer->data, (off_t)writer->disk->size) < 0)
		r = -errno;
	if (r == 0 && fsync(writer->data) < 0)
		r = -errno;
	if (r == 0 && (fflush(writer->index) != 0 || fsync(fileno(writer->index)) < 0))
		r = -errno;
	return r;
}

/* What changed there is read, written, and let go. */
static int take_range(struct data_writer *writer, struct backup_source *source, uint64_t offset,
		      uint64_t end, const struct backup_progress *progress)
{
	uint64_t begin = offset;
	int r = 0;

	while (r == 0 && offset < end) {
		/* Chunks begin at the same places, whatever has changed. */
		uint64_t next = ALIGN_DOWN(offset, (uint64_t)BACKUP_CHUNK_MAX) + BACKUP_CHUNK_MAX;
		uint32_t size = (uint32_t)(MIN(next, end) - offset);
		bool zero;

		if (!progress->tell(progress->data, offset, writer->disk->size))
			return -ECANCELED;
		r = backup_source_read(source, offset, writer->buffer, size, &zero);
		if (r == 0)
			r = data_writer_add(writer, offset, size, zero);
		offset += size;
	}
	return r < 0 ? r : backup_source_release(source, begin, end - begin);
}

static int take_all(struct data_writer *writer, struct backup_source *source,
		    const struct backup_progress *progress)
{
	uint64_t size = writer->disk->size, found, step = 64 * (uint64_t)BACKUP_CHUNK_MAX;
	int r = 0;

	for (uint64_t offset = 0; r == 0 && offset < size; offset += found) {
		bool changed = true;

		found = MIN(size - offset, step);
		if (!writer->disk->full)
			r = backup_source_find(source, offset, &changed, &found);
		if (r == 0 && changed)
			r = take_range(writer, source, offset, offset + found, progress);
		else if (r == 0)
			r = backup_source_release(source, offset, found);
	}
	return r;
}

int backup_data_take(const struct backup_set *set, struct backup_disk *disk,
		     struct backup_source *source, const struct backup_progress *progress)
{
	struct data_writer writer;
	int r = data_writer_init(&writer, set, disk);

	if (r == 0)
		r = take_all(&writer, source, progress);
	if (r == 0)
		r = data_writer_end(&writer);
	data_writer_deinit(&writer);
	return r;
}

/* ---- Of a disk that nobody has ---- */

static int copy_piece(struct data_writer *writer, struct image_content *content, uint64_t offset,
		      uint32_t size)
{
	struct content_run run;
	bool zero;
	int r = image_content_find(content, offset, &run);

	if (r)
		return r;
	zero = run.kind != CONTENT_DATA && run.length >= size;
	if (!zero) {
		r = image_content_read(content, offset, writer->buffer, size);
		if (r)
			return r;
		zero = data_is_zero(writer->buffer, size);
	}
	return data_writer_add(writer, offset, size, zero);
}

int backup_data_copy(const struct backup_set *set, struct backup_disk *disk,
		     struct image_content *content, const struct backup_progress *progress)
{
	struct data_writer writer;
	int r = data_writer_init(&writer, set, disk);

	for (uint64_t offset = 0; r == 0 && offset < disk->size; offset += BACKUP_CHUNK_MAX) {
		uint32_t size = (uint32_t)MIN(disk->size - offset, (uint64_t)BACKUP_CHUNK_MAX);

		if (!progress->tell(progress->data, offset, disk->size))
			r = -ECANCELED;
		else
			r = copy_piece(&writer, content, offset, size);
	}
	if (r == 0)
		r = data_writer_end(&writer);
	data_writer_deinit(&writer);
	return r;
}

/* ---- Reading ---- */

void data_reader_deinit(struct data_reader *reader)
{
	close_fdp(&reader->data);
	free(reader->records);
	free(reader->buffer);
}

static int reader_say(const struct backup_disk *disk, const char *what, int error, char *why)
{
	snprintf(why, BACKUP_WHY_MAX, "disk %u:%u of it: %s%s%s", disk->controller, disk->lun, what,
		 error ? ": " : "", error ? strerror(-error) : "");
	return error ? error : -EBADMSG;
}

/* In order, within the disk; of a full one, all of it. */
static bool records_make_sense(const struct data_reader *reader)
{
	const struct backup_disk *disk = reader->disk;
	uint64_t at = 0;

	for (uint64_t i = 0; i < disk->chunks; i++) {
		const struct backup_record *record = &reader->records[i];
		bool zero = record->place == BACKUP_ZERO_PLACE;

		if (record->offset < at || record->size == 0 || record->offset > disk->size ||
		    record->size > disk->size - record->offset ||
		    record->offset % BACKUP_GRANULE != 0 ||
		    (!zero && (record->size > BACKUP_CHUNK_MAX || record->place > INT64_MAX)) ||
		    (disk->full && record->offset != at))
			return false;
		at = record->offset + record->size;
		if (at % BACKUP_GRANULE != 0 && at != disk->size)
			return false;
	}
	return !disk->full || at == disk->size;
}

static int reader_load(struct data_reader *reader, const struct backup_set *set, char *why)
{
	const struct backup_disk *disk = reader->disk;
	size_t size = disk->chunks * sizeof(struct backup_record);
	AUTO_CLOSE int fd = openat(set->folder, disk->index, O_RDONLY | O_CLOEXEC);
	ssize_t count;

	if (fd < 0)
		return reader_say(disk, "its index cannot be opened", -errno, why);
	if (disk->chunks > disk->size / BACKUP_GRANULE + 1)
		return reader_say(disk, "it has more chunks than can be", 0, why);
	reader->records = malloc(size + 1);
	if (!reader->records)
		return reader_say(disk, "its index", -ENOMEM, why);
	count = file_read_at(fd, 0, reader->records, size + 1);
	if (count < 0)
		return reader_say(disk, "its index cannot be read", (int)count, why);
	if ((size_t)count != size || crc32c(0, reader->records, size) != disk->checksum ||
	    !records_make_sense(reader))
		return reader_say(disk, "its index is damaged", 0, why);
	return 0;
}

int data_reader_init(struct data_reader *reader, const struct backup_set *set,
		     const struct backup_disk *disk, char *why)
{
	*reader = (struct data_reader){ .disk = disk, .data = -1 };
	reader->buffer = malloc(BACKUP_CHUNK_MAX);
	if (!reader->buffer)
		return reader_say(disk, "its data", -ENOMEM, why);
	reader->data = openat(set->folder, disk->data, O_RDONLY | O_CLOEXEC);
	if (reader->data < 0)
		return reader_say(disk, "its data cannot be opened", -errno, why);
	return reader_load(reader, set, why);
}

int data_reader_read(struct data_reader *reader, const struct backup_record *record, char *why)
{
	ssize_t count = file_read_at(reader->data, record->place, reader->buffer, record->size);
	char what[96];

	if (count < 0)
		return reader_say(reader->disk, "its data cannot be read", (int)count, why);
	if ((uint32_t)count == record->size &&
	    crc32c(0, reader->buffer, record->size) == record->checksum)
		return 0;
	snprintf(what, sizeof(what), "what it has of the disk's bytes from %llu on is damaged",
		 (unsigned long long)record->offset);
	return reader_say(reader->disk, what, 0, why);
}

/* ---- Checking ---- */

/* A hole need not be read. */
static int verify_zeros(struct data_reader *reader, const struct backup_record *record, char *why)
{
	uint64_t end = record->offset + record->size;

	for (uint64_t at = record->offset; reader->disk->full && at < end;) {
		off_t data = lseek(reader->data, (off_t)at, SEEK_DATA);
		size_t size;
		ssize_t count;

		if (data < 0 || (uint64_t)data >= end)
			break;
		at = (uint64_t)data;
		size = (size_t)MIN(end - at, (uint64_t)BACKUP_CHUNK_MAX);
		count = file_read_at(reader->data, at, reader->buffer, size);
		if (count != (ssize_t)size || !data_is_zero(reader->buffer, size))
			return reader_say(reader->disk, "what should be zeros is not", 0, why);
		at += size;
	}
	return 0;
}

int backup_data_verify(const struct backup_set *set, const struct backup_disk *disk,
		       const struct backup_progress *progress, char why[static BACKUP_WHY_MAX])
{
	struct data_reader reader;
	int r = data_reader_init(&reader, set, disk, why);

	for (uint64_t i = 0; r == 0 && i < disk->chunks; i++) {
		const struct backup_record *record = &reader.records[i];

		if (!progress->tell(progress->data, record->offset, disk->size))
			r = reader_say(disk, "stopped", -ECANCELED, why);
		else if (record->place == BACKUP_ZERO_PLACE)
			r = verify_zeros(&reader, record, why);
		else
			r = data_reader_read(&reader, record, why);
	}
	data_reader_deinit(&reader);
	return r;
}
