/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The file of a VM that is saved: its definition, the records of its devices (common/base/state.h),
 * and its RAM.
 *
 *	offset 0        struct state_file_head
 *	                regions of RAM, each a struct state_file_region, in the order of the memory
 *	                the records
 *	                the definition: JSON, as vmms-vm.json(5)
 *	                the version of who wrote the file: text
 *	ram_offset      the regions' bytes, one after the other; pages of zeros are holes
 *	...             struct state_file_end, with which the file ends
 *
 * The end is written last, after all else is on the disk: a file without one was not finished. Its
 * CRC-32C is of all that lies before the RAM, and of the end itself; RAM has none. ram_offset
 * follows from the sizes, so that RAM can be mapped where it lies: it is a multiple of
 * STATE_FILE_RAM_ALIGNMENT, and each region begins at a page. Numbers are little-endian.
 *
 * A file without regions has no RAM: that is with the machine that it is for, handed over.
 *
 * A file may come from another host, and is believed in nothing: all sizes are bounded and checked
 * before they are used. Nobody else writes to a file that is read; what is used of its head is a
 * copy.
 *
 * Thread: the loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/cleanup.h"
#include "common/base/loop.h"
#include "common/base/state.h"
#include "common/definition/definition.h"
#include "vid/vid.h"

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STATE_FILE_MAGIC          "vmms-vm+"
#define STATE_FILE_END_MAGIC      "vmms-end"
#define STATE_FILE_VERSION        1u
#define STATE_FILE_RAM_ALIGNMENT  (2u << 20) /* bytes; a large page */
#define STATE_FILE_REGIONS_MAX    128u
#define STATE_FILE_DEFINITION_MAX DEFINITION_SIZE_MAX /* bytes */
#define STATE_FILE_WRITER_MAX     255u                /* bytes */
#define STATE_FILE_RAM_MAX        (UINT64_C(1) << 52)

struct state_file_head {
	uint8_t magic[8];
	uint32_t version;
	uint32_t engine; /* enum hvshim_engine, of the VM that was saved: for people */
	uint32_t region_count;
	uint32_t records_size, definition_size, writer_size; /* bytes */
	uint64_t ram_size;                                   /* bytes, of all regions */
	uint8_t zero[24];
};
static_assert(sizeof(struct state_file_head) == 64, "stored format");
static_assert(offsetof(struct state_file_head, ram_size) == 32, "stored format");

struct state_file_region {
	uint64_t gpa, size; /* bytes, page-aligned */
};
static_assert(sizeof(struct state_file_region) == 16, "stored format");

struct state_file_end {
	uint8_t magic[8];
	uint64_t head_size; /* bytes before the padding that RAM follows */
	uint64_t ram_size;
	uint32_t region_count;
	uint32_t crc;
};
static_assert(sizeof(struct state_file_end) == 32, "stored format");
static_assert(offsetof(struct state_file_end, crc) == 28, "stored format");

/* What a file has before its RAM. All borrowed. */
struct state_file_parts {
	uint32_t engine;
	const struct state_file_region *regions;
	const uint8_t *records;
	const char *definition, *writer; /* without a NUL */
	uint32_t region_count, records_size, definition_size, writer_size;
	uint64_t ram_size; /* bytes, of all regions */
};

/* Of what is read and what is written. */
uint64_t state_file_ram_offset(size_t head_size);

/*
 * Lays out what comes before the RAM, and the end. parts->ram_size is not looked at. Return: 0, the
 * caller frees *ret_head; -EFBIG: beyond what a file may have; -ENOMEM.
 */
int state_file_make(const struct state_file_parts *parts, void **ret_head, size_t *ret_head_size,
		    struct state_file_end *ret_end) MUST_CHECK;

/*
 * How many bytes lie before the RAM, by the first ones. Return: 0; -EINVAL: no such file, and
 * *refusal says why.
 */
int state_file_head_size(const struct state_file_head *head, size_t *ret_size,
			 struct state_refusal *refusal) MUST_CHECK;

/*
 * Checks all but the RAM. bytes: head_size of them, 8-aligned, which *ret_parts refers to.
 * file_size: bytes. Return: as above.
 */
int state_file_check(const void *bytes, size_t head_size, const struct state_file_end *end,
		     uint64_t file_size, struct state_file_parts *ret_parts,
		     struct state_refusal *refusal) MUST_CHECK;

/* ---- Files as a whole ---- */

struct state_file {
	struct state_file_parts parts; /* in `head` */
	void *head;
	uint64_t ram_offset;
};

/*
 * Reads and checks all but the RAM. fd: borrowed. Return: 0, the caller deinits *ret_file; -EINVAL:
 * no such file, and *refusal says why; -errno.
 */
int state_file_open(int fd, struct state_file *ret_file, struct state_refusal *refusal) MUST_CHECK;
void state_file_deinit(struct state_file *file);

struct state_file_callbacks {
	/* Bytes of RAM that are done, of all. */
	void (*progress)(void *data, uint64_t done, uint64_t size);

	/*
	 * Once, and the transfer may be freed then. result: 0; -ECANCELED; -EINVAL: a file that
	 * ends too early; -errno of reading or writing. bytes: that were read or written.
	 */
	void (*done)(void *data, int result, uint64_t bytes);
};

struct state_file_transfer;

/* What state_file_write() takes. Return: 0; -EINVAL: it is none; -errno. */
int state_file_is_empty(int fd) MUST_CHECK;

/*
 * Begins to write a file, or to read the RAM of one into memory that was just made and is all
 * zeros; neither does anything before the loop goes on. What is in memory stays as it is
 * meanwhile. fd, memory, loop and callbacks are borrowed until it is done; parts->regions and
 * ->ram_size are not looked at, for they are the memory's.
 *
 * Return: 0; -EINVAL: to write takes an empty regular file that is open for it, and to read takes
 * memory with the regions that the file has; -EFBIG, as state_file_make(); -errno.
 */
int state_file_write(const struct vid_memory *memory, const struct state_file_parts *parts, int fd,
		     struct loop *loop, const struct state_file_callbacks *callbacks, void *data,
		     struct state_file_transfer **ret_transfer) MUST_CHECK;
int state_file_read(struct vid_memory *memory, const struct state_file *file, int fd,
		    struct loop *loop, const struct state_file_callbacks *callbacks, void *data,
		    struct state_file_transfer **ret_transfer) MUST_CHECK;

/* It is done soon. */
void state_file_cancel(struct state_file_transfer *transfer);

/* One that is done, or whose loop has been freed. NULL is allowed. */
void state_file_transfer_free(struct state_file_transfer *transfer);
DEFINE_CLEANUP(struct state_file_transfer *, state_file_transfer_free)
