/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the files of disk_vhdx*.c share: a disk in a VHDX image, and in what its parents have; or in
 * one of VHD, the format before, which is the same but for where things are (struct vhdx_layout).
 *
 * Guest requests (disk_vhdx.c) look up their blocks in pages of the table (disk_vhdx_page.c), of
 * which a bounded number is kept. What changes in a page is seen at once by all that come after; it
 * gets to the file by the log (disk_vhdx_commit.c): all pages changed until then in one entry, one
 * entry after the other. Space for a block is there, and zeros, before a page names it.
 *
 * Thread: the loop's.
 */
#pragma once

#include "common/image/image.h"
#include "vsp/storage/disk.h"

#define VHDX_CACHE_BUCKETS  256u
#define VHDX_PAGE_ENTRIES   (VHDX_PAGE / 8)
#define VHDX_APPLY_PARALLEL 8u

struct disk_vhdx;

/* A page of the table of blocks, or of a bitmap of sectors. */
struct vhdx_page {
	struct list bucket, age; /* age: oldest first */
	uint64_t offset;         /* in the file */
	union {
		void *bytes;
		uint64_t *entries; /* of VHDX */
		uint32_t *sectors; /* of VHD: big-endian */
		uint8_t *bits;
	};
	bool loading;
	bool dirty;          /* changed since it was last logged */
	bool logged;         /* in the entry that is being written or applied */
	unsigned pins;       /* changes that are about to be made in it */
	struct list waiters; /* of struct vhdx_io */
	struct disk_vhdx *vhdx;
	struct disk_request request;
	struct iovec iov;
};

/* A block, or a bitmap, whose state is changing: requests to it wait, others go on. */
struct vhdx_block {
	struct list link;
	struct disk_vhdx *vhdx;
	uint64_t index, place; /* of its entry in the table; where in the file its data are */
	uint32_t size;
	enum vhdx_state state; /* to be */
	bool fresh;            /* space that has never been used */
	struct vhdx_page *page;
	struct list waiters; /* of struct vhdx_io */
	struct disk_request request;
	struct iovec iov;
};

/* A guest's request. */
struct vhdx_io {
	struct list link;
	struct disk_vhdx *vhdx;
	struct disk_request *request;
	uint64_t offset, left; /* what has not been begun */
	size_t done;           /* bytes of the I/O vector before that */
	unsigned pieces;       /* under way */
	int result;
	bool needs_commit; /* durable only when the log is */
	bool whole;        /* in one piece, of the request's own vector */
};

/* What is different in VHD. */
struct vhdx_layout {
	uint32_t page_size; /* of what is kept, and written at once */
	unsigned page_entries, page_count;
	bool logged;     /* else pages are written to their places at once */
	bool has_states; /* a block may be zeros, or trimmed, and have no space; else it is here */
	bool highest_first; /* of a byte's bits */

	/* An entry of the table: what the block is, and where its data are. */
	enum vhdx_state (*get)(const struct disk_vhdx *vhdx, const struct vhdx_page *page,
			       uint64_t index, uint64_t *ret_place);
	void (*set)(struct disk_vhdx *vhdx, struct vhdx_page *page, uint64_t index,
		    enum vhdx_state state, uint64_t place);

	/* Whether data may be there. */
	bool (*may_use)(const struct disk_vhdx *vhdx, uint64_t place, uint64_t size);

	/* Space at the end of the file: where the data go; 0: the format knows no such place. */
	uint64_t (*reserve)(struct disk_vhdx *vhdx, uint32_t size);

	/* Begins to make that space, whose request ends it. */
	void (*begin)(struct vhdx_block *change);

	/* As disk_vhdx_bits() and disk_vhdx_bitmap_prepare(). */
	struct vhdx_page *(*bits)(struct disk_vhdx *vhdx, struct vhdx_io *io, uint64_t place,
				  uint64_t *size, unsigned *ret_first);
	bool (*prepare)(struct disk_vhdx *vhdx, struct vhdx_io *io, uint64_t block);
};

/* The footer of a VHD image, on its way to a place that leaves room for blocks. */
struct vhd_move {
	bool busy;
	uint64_t to;
	uint8_t *footer;
	struct list waiters; /* of struct vhdx_block */
	struct disk_request request;
	struct iovec iov;
};

enum vhdx_stage {
	VHDX_IDLE,
	VHDX_FLUSH_PAYLOAD,
	VHDX_WRITE_LOG,
	VHDX_FLUSH_LOG,
	VHDX_APPLY,
	VHDX_FLUSH_APPLIED,
};

struct vhdx_apply {
	struct disk_vhdx *vhdx;
	struct disk_request request;
	struct iovec iov;
	bool busy;
};

struct vhdx_commit {
	enum vhdx_stage stage;
	bool logged; /* it failed after the log was written: to be applied before anything else */
	unsigned count, next, pending;
	int result;
	struct vhdx_page *pages[VHDX_ENTRY_PAGES];
	uint64_t offsets[VHDX_ENTRY_PAGES];
	uint8_t *copies; /* of the pages, as they are in the entry */
	uint8_t *entry;  /* VHDX_ENTRY_SIZE */
	uint32_t length;
	uint64_t flushed;         /* size of the file that the payload's flush made durable */
	struct list flushes;      /* of struct vhdx_io: done when the log is durable */
	struct list next_flushes; /* by the next commit */
	struct disk_request request;
	struct iovec iov;
	struct vhdx_apply applies[VHDX_APPLY_PARALLEL];
};

/* Headers that are to be written, one step after the other. */
struct vhdx_plan {
	const char *steps; /* NULL: nothing is under way */
	void (*ended)(struct disk_vhdx *vhdx, int result);
	bool unsure; /* a header has been written, and not been flushed */
	uint8_t *page;
	struct disk_request request;
	struct iovec iov;
};

struct disk_vhdx {
	struct disk disk;
	struct loop *loop;
	struct disk *file;
	struct disk *parent; /* what is not here is there; NULL: none */
	const struct vhdx_layout *layout;
	struct vhdx image;           /* of VHD, what there is of it */
	struct vhdx_patches patches; /* of an image that may not be written */
	uint64_t file_size;          /* that there is */
	uint64_t end;                /* from where on there is no block, and may be one */

	struct list buckets[VHDX_CACHE_BUCKETS], ages;
	unsigned page_count;
	struct list starved; /* ios that wait for any page */
	struct list room;    /* ios that wait until fewer pages are dirty */
	unsigned dirty, reserved;

	struct list blocks, spares; /* spares: of space whose making has failed */

	bool active;            /* the headers say that it is in use */
	struct list activation; /* ios that wait for that */
	struct guid log;
	uint64_t sequence; /* of the last entry */
	struct vhdx_plan plan;
	struct vhdx_commit commit;

	struct loop_deferred deferred;
	struct list ended;    /* ios that ended before their submission did */
	struct list unserved; /* requests that there was no memory for */
	unsigned submitting, ios;
	bool closing, close_tried;
	void (*sealed)(void *data); /* of disk_vhdx_seal(); NULL: the disk is retired */
	void *sealed_data;

	/* Of VHD. */
	struct vhd vhd;
	struct vhd_move move;
	uint8_t *bitmaps[2]; /* that new blocks get: zeros, and ones */
	uint8_t *whole;      /* a bit for each block: it is known that all of it is here */
};

/* ---- disk_vhdx.c ---- */

/* What a disk begins with whose file, parent and image are set. Return: 0; -ENOMEM: it is freed. */
int disk_vhdx_start(struct disk_vhdx *vhdx, struct disk **ret_disk) MUST_CHECK;

/* What is said of the image of such a disk; NULL: it is no such disk. */
const struct vhdx *disk_vhdx_image(struct disk *disk);

/* Goes on with all requests of a list, which is empty then. result: not 0: they fail. */
void disk_vhdx_wake(struct disk_vhdx *vhdx, struct list *waiters, int result);

/* It may be that the disk can be closed now. */
void disk_vhdx_try_close(struct disk_vhdx *vhdx);

/* Keep the disk for as long as they hold it. The last may free it. */
void disk_vhdx_hold(struct disk_vhdx *vhdx);
void disk_vhdx_release(struct disk_vhdx *vhdx);

/* ---- disk_vhdx_page.c ---- */

/* Return: the page with that offset; NULL: the request waits for it, or has failed. */
struct vhdx_page *disk_vhdx_page(struct disk_vhdx *vhdx, struct vhdx_io *io, uint64_t offset);

/* The same of the page of the table with that entry. */
struct vhdx_page *disk_vhdx_table_page(struct disk_vhdx *vhdx, struct vhdx_io *io, uint64_t index);
void disk_vhdx_pages_init(struct disk_vhdx *vhdx);
void disk_vhdx_pages_deinit(struct disk_vhdx *vhdx);

/* ---- disk_vhdx_block.c ---- */

/* The change that the entry is in; NULL: none. */
struct vhdx_block *disk_vhdx_block_find(struct disk_vhdx *vhdx, uint64_t index);

/*
 * Begins to change what an entry names: space is got for it, or given back; requests wait for that.
 * Return: 0; -ENOMEM.
 */
int disk_vhdx_block_change(struct disk_vhdx *vhdx, struct vhdx_io *io, struct vhdx_page *page,
			   uint64_t index, enum vhdx_state state) MUST_CHECK;

/* Its request has been submitted, or never was: it ends. */
void disk_vhdx_block_changed(struct disk_request *request, int result);

/* ---- disk_vhdx_bitmap.c ---- */

/*
 * The page with the bits of what is next of the request, which lies in a block that is there in
 * part, whose data are at that place. *ret_first: the bit of its first sector; *size: cut to what
 * the page has bits of. NULL: the request waits, or has failed.
 */
struct vhdx_page *disk_vhdx_bits(struct disk_vhdx *vhdx, struct vhdx_io *io, uint64_t place,
				 uint64_t *size, unsigned *ret_first);

/* Whether a bit is set; how many of `count` have the same value, from it on. */
bool disk_vhdx_bit(const struct vhdx_page *page, unsigned bit);
unsigned disk_vhdx_bits_run(const struct vhdx_page *page, unsigned first, unsigned count);
void disk_vhdx_bits_set(struct vhdx_page *page, unsigned first, unsigned count);

/* Whether a block may become one that is there in part: no bit of its is set. Else the request waits. */
bool disk_vhdx_bitmap_prepare(struct disk_vhdx *vhdx, struct vhdx_io *io, uint64_t block);

/* ---- disk_vhdx_layout.c, disk_vhd.c ---- */

extern const struct vhdx_layout disk_vhdx_layout, disk_vhd_layout;

/* ---- disk_vhdx_commit.c ---- */

int disk_vhdx_commit_init(struct disk_vhdx *vhdx) MUST_CHECK;
void disk_vhdx_commit_deinit(struct disk_vhdx *vhdx);

/* Whether there are changes of pages that are not in a durable log. */
bool disk_vhdx_is_uncommitted(const struct disk_vhdx *vhdx);
void disk_vhdx_dirty(struct disk_vhdx *vhdx, struct vhdx_page *page);
void disk_vhdx_commit(struct disk_vhdx *vhdx);

/* Whether one more page may become dirty; else the request waits. */
bool disk_vhdx_has_room(struct disk_vhdx *vhdx, struct vhdx_io *io);

/* ---- disk_vhdx_header.c ---- */

void disk_vhdx_activate(struct disk_vhdx *vhdx);
void disk_vhdx_deactivate(struct disk_vhdx *vhdx);
