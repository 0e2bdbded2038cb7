/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * VHDX images: what one says of itself, its log, and making new ones.
 *
 * Reads and writes go through a few functions of the caller's and wait for them. A running disk is
 * not served from here, but by vsp/storage/disk_vhdx.c. Everything in a file is taken for hostile:
 * memory and time are bounded, whatever it claims.
 *
 * Thread: any.
 */
#pragma once

#include "common/base/cc.h"
#include "common/image/vhdx_wire.h"

#include <stdbool.h>

enum {
	_VHDX_E_OK,
	VHDX_E_OTHER,       /* it is no VHDX */
	VHDX_E_HEADER,      /* neither header is whole */
	VHDX_E_REGIONS,     /* its regions make no sense */
	VHDX_E_METADATA,    /* what it says of its disk makes no sense */
	VHDX_E_LOG,         /* its log is to be replayed, and is corrupt */
	VHDX_E_TRUNCATED,   /* the file is shorter than it has to be */
	VHDX_E_UNSUPPORTED, /* it needs what nobody here knows */
	VHDX_E_UNREPLAYED,  /* its log was to be replayed before (vhdx_recover()) */
	VHDX_E_PARENT,      /* its parent is needed, or is another than it was made on */
};

/* What a VHDX_E_ code or a negative errno of these functions says to a person. Static text. */
const char *vhdx_error_text(int error);

/*
 * The file below: all of the bytes are moved, at offsets of any alignment. Return: 0; -errno.
 */
struct vhdx_file {
	int (*read)(void *data, uint64_t offset, void *buffer, size_t size);
	int (*write)(void *data, uint64_t offset, const void *buffer, size_t size);
	int (*flush)(void *data);
	int (*grow)(void *data, uint64_t size);
	void *data;
	uint64_t size;
};

/* Of a descriptor; `fd` is borrowed, and must live as long as what is made here. */
struct vhdx_file vhdx_file_of(const int *fd, uint64_t size);

#define VHDX_PATH_MAX 1024 /* bytes, with the NUL */

/* How a differencing image names its parent. "": not in that way. */
struct vhdx_parent {
	struct guid linkage;  /* the parent's DataWriteGuid */
	struct guid linkage2; /* another that it may be; null: none */
	char relative[VHDX_PATH_MAX], volume[VHDX_PATH_MAX], absolute[VHDX_PATH_MAX];
};

struct vhdx {
	struct vhdx_header header; /* the current one */
	unsigned header_index;     /* at VHDX_HEADER_OFFSET of that */
	uint64_t bat_offset;
	uint32_t bat_size;
	uint64_t metadata_offset;
	uint32_t metadata_size;

	uint64_t size;        /* of the disk */
	uint64_t size_offset; /* where the file has it */
	uint32_t block_size, sector_size, physical_sector_size;
	bool fixed, has_parent;
	struct guid id;
	struct vhdx_parent parent;

	/* What follows from them. */
	uint64_t block_count, chunk_ratio; /* payload blocks; how many of them a bitmap is for */
	uint64_t bat_count;                /* entries */
};

/* Where in the table the entry of a payload block is; and of the bitmap of its chunk. */
uint64_t vhdx_bat_index(const struct vhdx *vhdx, uint64_t block);
uint64_t vhdx_bitmap_index(const struct vhdx *vhdx, uint64_t block);

/* Whether that entry is of a bitmap. */
bool vhdx_is_bitmap(const struct vhdx *vhdx, uint64_t index);

/* Whether the child was made on what that parent is now: by the parent's DataWriteGuid. */
bool vhdx_is_parent(const struct vhdx *child, const struct vhdx *parent);

/*
 * Whether space that an entry of the table names may be used: it is in the file, and nothing else
 * is there.
 */
bool vhdx_may_use(const struct vhdx *vhdx, uint64_t file_size, uint64_t offset, uint64_t size);

/* ---- The log ---- */

/* Pages that a log would write: kept in memory where the file may not be written. */
struct vhdx_patch {
	uint64_t offset, size; /* whole pages */
	uint8_t *bytes;        /* one page; NULL: `size` bytes of zeros */
};

struct vhdx_patches {
	struct vhdx_patch *items; /* a later one counts more */
	size_t count;
	uint64_t file_size; /* what it would have become */
};
void vhdx_patches_deinit(struct vhdx_patches *patches);

/* Changes what was read from the file at `offset` into what it would be after the replay. */
void vhdx_patches_apply(const struct vhdx_patches *patches, uint64_t offset, void *buffer,
			size_t size);

/*
 * Reads as it would be after the replay. Return: 0; VHDX_E_TRUNCATED; -errno.
 */
int vhdx_read_patched(const struct vhdx_file *file, const struct vhdx_patches *patches,
		      uint64_t offset, void *buffer, size_t size) MUST_CHECK;

/* The same of a page of the table of blocks; page: VHDX_PAGE bytes. */
int vhdx_read_bat_page(const struct vhdx_file *file, const struct vhdx_patches *patches,
		       const struct vhdx *vhdx, uint64_t index, void *page) MUST_CHECK;

#define VHDX_LOG_MAX     (32u << 20) /* the longest log that is replayed */
#define VHDX_ENTRY_PAGES 120u        /* pages that one entry of ours may write */
#define VHDX_ENTRY_SIZE  ((1u + VHDX_ENTRY_PAGES) * VHDX_PAGE)

struct vhdx_log_page {
	uint64_t offset;
	const void *bytes;
};

struct vhdx_log_position {
	uint64_t sequence, flushed, last;
	uint32_t tail;
};

/*
 * Writes an entry with those pages into the buffer, which has VHDX_ENTRY_SIZE bytes; no more than
 * VHDX_ENTRY_PAGES. Return: its bytes, whole pages.
 */
uint32_t vhdx_entry_make(void *buffer, const struct guid *log,
			 const struct vhdx_log_position *position,
			 const struct vhdx_log_page *pages, unsigned count);

/*
 * Finds what the log still has to write, and writes it: to the file, which then is flushed; or, if
 * that may not be written, to ret_patches. The caller deinits them. Return: 0; VHDX_E_; -errno.
 */
int vhdx_replay(struct vhdx_file *file, const struct vhdx_header *header, bool writable,
		struct vhdx_patches *ret_patches) MUST_CHECK;

/* ---- An image ---- */

/* Fills in what a header must have, and its checksum. page: VHDX_PAGE bytes. */
void vhdx_header_make(void *page, const struct vhdx_header *header);

/*
 * Reads what the image says of itself. A log that there is has been replayed after: in the file, if
 * it may be written, and there is none any more; in ret_patches, if not, which the caller deinits.
 * Return: 0; VHDX_E_; -errno.
 */
int vhdx_open(struct vhdx_file *file, bool writable, struct vhdx *ret_vhdx,
	      struct vhdx_patches *ret_patches) MUST_CHECK;

/*
 * What an image says of itself that somebody else is writing, who has said in its headers that it is in
 * use: all that no log ever changes. Return: 0; VHDX_E_; -errno.
 */
int vhdx_look_fd(int fd, struct vhdx *ret_vhdx) MUST_CHECK;

/*
 * The same as vhdx_open() of a descriptor, which may be open for direct I/O. *ret_size: of the file,
 * as it is after.
 */
int vhdx_open_fd(int fd, bool writable, struct vhdx *ret_vhdx, struct vhdx_patches *ret_patches,
		 uint64_t *ret_size) MUST_CHECK;

/*
 * Makes an image fit for a disk that is going to be opened of that descriptor: its log is replayed,
 * if it is to be written. *ret_most: bytes that its file may grow to. Return: 0; VHDX_E_; -errno.
 */
int vhdx_recover(int fd, bool writable, uint64_t *ret_most) MUST_CHECK;

struct vhdx_options {
	uint64_t size; /* of the disk: whole sectors */
	uint32_t block_size, sector_size, physical_sector_size;
	bool fixed;
	const struct vhdx_parent *parent; /* NULL: none */
};

/*
 * Makes an image in an empty file, and flushes it. Return: 0; -EINVAL: there can be no such image;
 * -errno.
 */
int vhdx_make(struct vhdx_file *file, const struct vhdx_options *options) MUST_CHECK;
