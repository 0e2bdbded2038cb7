/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The file of a UEFI's variables. */
#include "common/firmware/variables_file.h"

#include "common/base/crc32c.h"
#include "common/base/file.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#define MAGIC   "VMMSVARS"
#define VERSION 1

static uint32_t variables_head_sum(const struct variables_head *head)
{
	return crc32c(0, head, offsetof(struct variables_head, head_sum));
}

static bool variables_copy_is_whole(const struct variables_copy *copy)
{
	const struct variables_head *head = &copy->head;

	return memcmp(head->magic, MAGIC, sizeof(head->magic)) == 0 && head->version == VERSION &&
	       head->size == VARIABLES_SIZE && head->sequence > 0 &&
	       head->head_sum == variables_head_sum(head) &&
	       head->sum == crc32c(0, copy->bytes, VARIABLES_SIZE);
}

void variables_copy_seal(struct variables_copy *copy, uint64_t sequence)
{
	struct variables_head *head = &copy->head;

	*head = (struct variables_head){ .version = VERSION,
					 .size = VARIABLES_SIZE,
					 .sequence = sequence };
	memcpy(head->magic, MAGIC, sizeof(head->magic));
	head->sum = crc32c(0, copy->bytes, VARIABLES_SIZE);
	head->head_sum = variables_head_sum(head);
}

uint64_t variables_copy_place(uint64_t sequence)
{
	return sequence % VARIABLES_COPIES * sizeof(struct variables_copy);
}

/* The first write is to the second copy: where it was not finished, there is nothing in the first. */
int variables_file_read(int fd, struct variables_copy *copy,
			uint8_t ret_bytes[static VARIABLES_SIZE], uint64_t *ret_sequence)
{
	bool written = false;

	*ret_sequence = 0;
	for (unsigned i = 0; i < VARIABLES_COPIES; i++) {
		ssize_t size = file_read_at(fd, variables_copy_place(i), copy, sizeof(*copy));

		if (size < 0)
			return (int)size;
		if ((size_t)size < sizeof(*copy))
			break;
		written |= i == 0 && copy->head.magic[0] != '\0';
		if (!variables_copy_is_whole(copy) || copy->head.sequence <= *ret_sequence)
			continue;
		*ret_sequence = copy->head.sequence;
		memcpy(ret_bytes, copy->bytes, VARIABLES_SIZE);
	}
	if (*ret_sequence > 0)
		return VARIABLES_FILE_WHOLE;
	return written ? VARIABLES_FILE_DAMAGED : VARIABLES_FILE_NEW;
}
