/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a saved VM's file has before its RAM: any bytes, with an end that fits them unless the first
 * byte says otherwise. What is taken lies within the bytes, and is made anew as it was.
 */
#include "common/base/crc32c.h"
#include "vmwp/state/state_file.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const uint8_t *bytes, size_t size, bool fits)
{
	struct state_file_end end = { .magic = STATE_FILE_END_MAGIC, .head_size = size }, again;
	struct state_refusal refusal = { .text = "" };
	struct state_file_head head = { .version = 0 };
	struct state_file_parts parts;
	uint64_t file_size;
	size_t made_size;
	void *made;

	memcpy(&head, bytes, size < sizeof(head) ? size : sizeof(head));
	end.ram_size = head.ram_size;
	end.region_count = head.region_count;
	end.crc = crc32c(crc32c(0, bytes, size), &end, offsetof(struct state_file_end, crc));
	end.crc ^= !fits;
	file_size = state_file_ram_offset(size) + head.ram_size + sizeof(end);
	if (state_file_check(bytes, size, &end, file_size, &parts, &refusal) < 0) {
		if (refusal.text[0] == '\0')
			abort();
		return;
	}
	if (!fits || parts.writer + parts.writer_size != (const char *)bytes + size)
		abort();
	if (state_file_make(&parts, &made, &made_size, &again) < 0)
		abort();
	if (made_size != size || memcmp(made, bytes, size) != 0 ||
	    memcmp(&again, &end, sizeof(end)) != 0)
		abort();
	free(made);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *bytes;

	if (size < 2)
		return 0;
	/* Of its own, so that whatever is read beyond it is noticed. */
	bytes = malloc(size - 1);
	if (!bytes)
		abort();
	memcpy(bytes, data + 1, size - 1);
	check(bytes, size - 1, data[0] != 0);
	free(bytes);
	return 0;
}
