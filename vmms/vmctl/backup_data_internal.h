/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the files of a backup's data share: vmms/vmctl/backup_data.c writes and checks, backup_restore.c
 * restores and merges.
 */
#pragma once

#include "common/base/file.h"
#include "vmms/vmctl/backup_data.h"

#include <stdio.h>

struct data_writer {
	struct backup_disk *disk; /* whose numbers are counted up */
	int data;
	FILE *index;
	uint8_t *buffer; /* BACKUP_CHUNK_MAX: of the chunk that is added */
	bool placed;     /* the data are in their places already */
	struct backup_record zeros;
};

/* Return: 0; -errno; data_writer_deinit() in any case. */
int data_writer_init(struct data_writer *writer, const struct backup_set *set,
		     struct backup_disk *disk) MUST_CHECK;
void data_writer_deinit(struct data_writer *writer);

/* The next chunk, which is in the buffer unless it is zero. Return: 0; -errno. */
int data_writer_add(struct data_writer *writer, uint64_t offset, uint32_t size,
		    bool zero) MUST_CHECK;

/* All is durable. Return: 0; -errno. */
int data_writer_end(struct data_writer *writer) MUST_CHECK;

struct data_reader {
	const struct backup_disk *disk;
	int data;
	struct backup_record *records; /* disk->chunks, which make sense */
	uint8_t *buffer;               /* BACKUP_CHUNK_MAX */
};

/* Return: 0; negative with why filled; data_reader_deinit() in any case. */
int data_reader_init(struct data_reader *reader, const struct backup_set *set,
		     const struct backup_disk *disk, char *why) MUST_CHECK;
void data_reader_deinit(struct data_reader *reader);

/* A chunk that is not zeros, into the buffer. Return: 0; negative with why filled. */
int data_reader_read(struct data_reader *reader, const struct backup_record *record,
		     char *why) MUST_CHECK;

int data_write_at(int fd, uint64_t offset, const void *bytes, size_t size) MUST_CHECK;
bool data_is_zero(const uint8_t *bytes, size_t size);
