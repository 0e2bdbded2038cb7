/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the worker that a VM leaves (the source) and the one that it comes to (the target) send each
 * other over a stream socket: records, each a struct move_header and `size` bytes.
 *
 *	source                                          target
 *	MOVE_BEGIN   the record "memory" of the state
 *	MOVE_PAGES   contents of pages of RAM, and
 *	MOVE_ZEROS   pages that are zeros by now,
 *	             as often as it takes
 *	MOVE_STATE   the records of all devices
 *	                                                MOVE_READY
 *	MOVE_GO
 *	                                                MOVE_RUNS
 *
 * The target may answer with MOVE_REFUSED in place of its answers, whose bytes say why. RAM of the
 * target begins as zeros. From MOVE_GO on the source's guest does not run again, unless the target
 * has refused; before it the target's does not run.
 *
 * Numbers are little-endian. The records of the state are those of a saved VM's file
 * (common/base/state.h). What comes may come from another host, and is believed in nothing.
 *
 * Thread: any.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/state.h"

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#define MOVE_MAGIC     0x6d766d76u /* "vmvm" */
#define MOVE_VERSION   1u
#define MOVE_PAGE_SIZE 4096u
#define MOVE_PAGES_MAX 256u /* in a record with their contents */
#define MOVE_TEXT_MAX  511u /* bytes */

enum move_type {
	_MOVE_NONE,
	MOVE_BEGIN,
	MOVE_PAGES,
	MOVE_ZEROS,
	MOVE_STATE,
	MOVE_GO,
	MOVE_READY,
	MOVE_RUNS,
	MOVE_REFUSED,
	_MOVE_TYPE_COUNT,
};

#define MOVE_FLAG_RUNS 1u /* MOVE_STATE: the guest ran, and is to run on */

struct move_header {
	uint32_t magic;
	uint16_t version;
	uint16_t type; /* enum move_type */
	uint32_t size; /* bytes that follow */
	uint32_t crc;  /* CRC-32C of the header, this being 0, and of what follows */
	uint64_t gpa;  /* of the first page */
	uint32_t page_count;
	uint32_t flags;
};
static_assert(sizeof(struct move_header) == 32, "wire format");
static_assert(offsetof(struct move_header, gpa) == 16, "wire format");

/* bytes: `size` of them; gpa, page_count and flags are as they are to be sent. */
void move_header_fill(struct move_header *header, enum move_type type, const void *bytes,
		      uint32_t size);

/* All but the checksum. Return: 0; -EINVAL, and *refusal says why. */
int move_header_check(const struct move_header *header, struct state_refusal *refusal) MUST_CHECK;

/* Return: 0; -EINVAL: the checksum is not that of the header and the bytes. */
int move_header_check_bytes(const struct move_header *header, const void *bytes,
			    struct state_refusal *refusal) MUST_CHECK;
