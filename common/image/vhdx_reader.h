/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a VHDX image has, run by run: by its table of blocks, and, of blocks that are there in part,
 * by its bitmaps of sectors.
 *
 * Thread: any; one at a time for each object.
 */
#pragma once

#include "common/image/vhdx.h"

struct image_content;

enum content_kind {
	CONTENT_DATA,
	CONTENT_ZERO,   /* zeros, by a word of the image */
	CONTENT_HOLE,   /* zeros, since there is nothing */
	CONTENT_PARENT, /* of an image that stands on another: what that has */
};

struct content_run {
	enum content_kind kind;
	bool trimmed;                        /* of CONTENT_ZERO: it need not have been kept */
	uint64_t length;                     /* bytes, at least 1 */
	uint64_t file_offset;                /* of CONTENT_DATA: where the file has it */
	const struct image_content *content; /* whose file that is (image_content.h) */
};

/* Borrows all three, none of which may change but by vhdx_reader_forget(). */
struct vhdx_reader {
	const struct vhdx_file *file;
	const struct vhdx_patches *patches;
	const struct vhdx *vhdx;
	uint64_t page[VHDX_PAGE / sizeof(uint64_t)]; /* of the table of blocks */
	uint64_t page_index;                         /* UINT64_MAX: none is there */
	uint8_t bits[VHDX_PAGE];                     /* of a bitmap */
	uint64_t bits_offset;                        /* in the file; 0: none is there */
};

void vhdx_reader_begin(struct vhdx_reader *reader, const struct vhdx_file *file,
		       const struct vhdx_patches *patches, const struct vhdx *vhdx);

/* The file has been changed. */
void vhdx_reader_forget(struct vhdx_reader *reader);

/* An entry of the table. Return: 0; VHDX_E_; -errno. */
int vhdx_reader_entry(struct vhdx_reader *reader, uint64_t index, uint64_t *ret_entry) MUST_CHECK;

/*
 * What is at an offset of the disk, which is below its size. most: bytes that are looked at, but for
 * the rest of a block. Return: 0; VHDX_E_; -errno.
 */
int vhdx_reader_find(struct vhdx_reader *reader, uint64_t offset, uint64_t most,
		     struct content_run *ret_run) MUST_CHECK;

#define VHDX_RUN_MAX (UINT64_C(1) << 40)
