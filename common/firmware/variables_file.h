/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The file that keeps the variables of a VM's UEFI: two copies of its flash.
 *
 * The later copy that is whole counts; the other is written next, so that a crash at any time leaves
 * what was there before. A file without one is new, where nothing was written to it yet.
 *
 * The worker writes it, whom the service does not trust. Thread: any.
 */
#pragma once

#include "common/base/cc.h"

#include <stdint.h>

#define VARIABLES_SIZE   0x84000u /* of the flash: that of OVMF_VARS_4M.fd */
#define VARIABLES_COPIES 2

/* Of a copy. Stored format. */
struct variables_head {
	char magic[8];
	uint32_t version, size;
	uint64_t sequence;
	uint32_t sum; /* CRC-32C of the bytes */
	uint32_t head_sum;
	uint8_t zero[4096 - 32];
};
_Static_assert(sizeof(struct variables_head) == 4096, "stored format");

struct variables_copy {
	struct variables_head head;
	uint8_t bytes[VARIABLES_SIZE];
};
_Static_assert(sizeof(struct variables_copy) == 4096 + VARIABLES_SIZE, "stored format");

enum variables_file_state {
	VARIABLES_FILE_NEW,
	VARIABLES_FILE_WHOLE,
	VARIABLES_FILE_DAMAGED, /* something was written, and no copy is whole */
};

/* Fills the head for the bytes. */
void variables_copy_seal(struct variables_copy *copy, uint64_t sequence);

/* The place in the file of the copy of that sequence. */
uint64_t variables_copy_place(uint64_t sequence);

/*
 * copy: room for one, whose content is nothing then. *ret_sequence: of the copy that counts, whose
 * bytes are in ret_bytes; 0, with the bytes as they were, unless there is one. fd: of a regular file.
 * Return: the state; -errno.
 */
int variables_file_read(int fd, struct variables_copy *copy,
			uint8_t ret_bytes[static VARIABLES_SIZE],
			uint64_t *ret_sequence) MUST_CHECK;
