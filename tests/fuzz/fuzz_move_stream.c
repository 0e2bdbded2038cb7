/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A record of a VM that moves: a header and what follows it, with a checksum that fits unless the
 * first byte says otherwise. What is taken is bounded, and is made anew as it was.
 */
#include "vmwp/state/move_stream.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(struct move_header *header, const uint8_t *bytes, size_t size, bool fits)
{
	struct state_refusal refusal = { .text = "" };
	struct move_header again = *header;

	if (move_header_check(header, &refusal) < 0) {
		if (refusal.text[0] == '\0')
			abort();
		return;
	}
	if (header->size > STATE_SIZE_MAX || header->gpa % MOVE_PAGE_SIZE != 0)
		abort();
	if (header->size > size)
		return;
	move_header_fill(&again, header->type, bytes, header->size);
	if (fits)
		header->crc = again.crc;
	if ((move_header_check_bytes(header, bytes, &refusal) == 0) != (header->crc == again.crc))
		abort();
	if (fits && memcmp(header, &again, sizeof(again)) != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct move_header header;
	uint8_t *bytes;

	if (size < 1 + sizeof(header))
		return 0;
	memcpy(&header, data + 1, sizeof(header));
	size -= 1 + sizeof(header);
	/* Of its own, so that whatever is read beyond it is noticed. */
	bytes = malloc(size + 1);
	if (!bytes)
		abort();
	memcpy(bytes, data + 1 + sizeof(header), size);
	check(&header, bytes, size, data[0] != 0);
	free(bytes);
	return 0;
}
