/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Tables of partitions: whatever they say, nothing beyond the end of the disk is read, what is found
 * lies in the disk, and it ends soon.
 *
 * An input is a byte of flags, and what is at the beginning of the disk; of its last bytes, some are
 * at the end of it, too.
 */
#include "common/image/partitions.h"

#include <assert.h>
#include <string.h>

#define DISK      (UINT64_C(1) << 32)
#define READS_MAX 5000u
#define TAIL      512u

enum { FLAG_4096 = 1, FLAG_512 = 2, FLAG_SMALL = 4 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
	const uint8_t *bytes;
	size_t size;
	uint64_t disk;
	unsigned reads;
};

static int input_read(void *data, uint64_t offset, void *buffer, size_t size)
{
	struct input *input = data;

	input->reads++;
	assert(offset <= input->disk && size <= input->disk - offset);
	memset(buffer, 0, size);
	if (offset < input->size)
		memcpy(buffer, input->bytes + offset, MIN((uint64_t)size, input->size - offset));
	if (offset == input->disk - size && input->size >= TAIL)
		memcpy(buffer, input->bytes + input->size - TAIL, MIN(size, (size_t)TAIL));
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { 0 };
	struct partitions_source source = { .read = input_read, .data = &input };
	struct partitions partitions;
	uint8_t flags;

	if (size < 1)
		return 0;
	flags = data[0];
	input.bytes = data + 1;
	input.size = size - 1;
	input.disk = source.size = flags & FLAG_SMALL ? size * 2 : DISK;
	assert(partitions_read(&source,
			       flags & FLAG_512    ? 512
			       : flags & FLAG_4096 ? 4096
						   : 0,
			       &partitions) == 0);
	assert(partitions.end <= source.size && input.reads <= READS_MAX);
	assert(partitions.kind != PARTITIONS_NONE || partitions.count == 0);
	return 0;
}
