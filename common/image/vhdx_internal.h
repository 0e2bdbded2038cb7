/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of vhdx*.c share. */
#pragma once

#include "common/image/vhdx.h"

/* Return: 0; VHDX_E_TRUNCATED; -errno. */
int vhdx_read(const struct vhdx_file *file, uint64_t offset, void *buffer, size_t size) MUST_CHECK;

/* Of structures that begin with a signature and a checksum. */
bool vhdx_is_whole(void *structure, size_t size);
void vhdx_seal(void *structure, size_t size);

/* Writes the header to both places, each with a higher number. Return: 0; -errno. */
int vhdx_write_headers(struct vhdx_file *file, struct vhdx *vhdx) MUST_CHECK;

/* Fills in what follows from sizes. */
void vhdx_derive(struct vhdx *vhdx);

/* Reads the metadata region. Return: 0; VHDX_E_; -errno. */
int vhdx_metadata_read(const struct vhdx_file *file, const struct vhdx_patches *patches,
		       struct vhdx *vhdx) MUST_CHECK;

/*
 * Reads the table of regions that counts, as it would be after the replay. table: of
 * VHDX_REGIONS_SIZE bytes. Return: 0; VHDX_E_; -errno.
 */
int vhdx_read_regions(const struct vhdx_file *file, const struct vhdx_patches *patches,
		      uint8_t *table) MUST_CHECK;

/* ---- Changes by the log, of an image that nobody uses (vhdx_edit.c) ---- */

struct vhdx_editor {
	struct vhdx_file *file;
	struct vhdx *vhdx; /* without a log when it begins */
	uint8_t *entry;
	uint64_t sequence; /* of the next entry */

	/* Pages that have changed. */
	uint8_t *pages;
	uint64_t page_offsets[VHDX_ENTRY_PAGES];
	unsigned page_count;
};

/* The image gets new GUIDs, and a log. Return: 0; VHDX_E_UNSUPPORTED; -errno. */
int vhdx_edit_begin(struct vhdx_editor *editor, struct vhdx_file *file,
		    struct vhdx *vhdx) MUST_CHECK;

/* The same, known to its children by that; its own: what they read is not changed. */
int vhdx_edit_begin_as(struct vhdx_editor *editor, struct vhdx_file *file, struct vhdx *vhdx,
		       const struct guid *data_write) MUST_CHECK;

/*
 * Writes pages, at most VHDX_ENTRY_PAGES, all or none of which a crash leaves; whatever was written
 * to the file before is durable first. Return: 0; -errno.
 */
int vhdx_edit_commit(struct vhdx_editor *editor, const struct vhdx_log_page *pages,
		     unsigned count) MUST_CHECK;

/*
 * The page at an offset of the file, to be changed before the next call; what is changed counts after
 * vhdx_edit_commit_entries() at the latest, never before what was changed in an earlier call. Return:
 * 0; VHDX_E_; -errno.
 */
int vhdx_edit_page(struct vhdx_editor *editor, uint64_t offset, uint8_t **ret_page) MUST_CHECK;

/* The same of an entry of the table of blocks. */
int vhdx_edit_entry(struct vhdx_editor *editor, uint64_t index, uint64_t entry) MUST_CHECK;
int vhdx_edit_commit_entries(struct vhdx_editor *editor) MUST_CHECK;

/* There is no log any more. Return: 0; -errno. */
int vhdx_edit_end(struct vhdx_editor *editor) MUST_CHECK;

/* Frees what the editor has, whether it has begun and ended or not. */
void vhdx_edit_abandon(struct vhdx_editor *editor);

/* ---- What names a parent (vhdx_locator.c) ---- */

#define VHDX_LOCATOR_MAX (16u * VHDX_PATH_MAX) /* bytes */

/* *ret_size: bytes of the buffer, which has VHDX_LOCATOR_MAX. Return: 0; -EINVAL: it cannot be said. */
int vhdx_locator_make(void *buffer, const struct vhdx_parent *parent,
		      uint32_t *ret_size) MUST_CHECK;

/* ---- What the table of blocks names ---- */

struct vhdx_place {
	uint64_t offset, size; /* in the file */
	uint64_t index;        /* of its entry; UINT64_MAX: it is no block's */
};

struct vhdx_places {
	struct vhdx_place *items; /* by offset */
	size_t count;
	uint64_t wrong;   /* entries that make no sense, or name a place that is another's */
	uint64_t blocks;  /* that are there */
	uint64_t kept;    /* places of blocks that have been given back */
	uint64_t missing; /* entries that name a place beyond the end of the file */
};

/* All places that are in use: blocks, regions, the log, the headers. The caller deinits them. */
int vhdx_places_read(const struct vhdx_file *file, const struct vhdx_patches *patches,
		     const struct vhdx *vhdx, struct vhdx_places *ret_places) MUST_CHECK;
void vhdx_places_deinit(struct vhdx_places *places);

/* Where the last of them ends. */
uint64_t vhdx_places_end(const struct vhdx_places *places);

/* Cuts the file off behind the last place that is in use. Return: 0; -errno; VHDX_E_. */
int vhdx_places_trim(struct vhdx_file *file, struct vhdx_patches *patches,
		     const struct vhdx *vhdx) MUST_CHECK;
