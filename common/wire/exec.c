/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Frames of a stream: those between vmctl and the agent in a guest. */
#include "common/wire/exec.h"

/* Freestanding: without memcpy(3) of a header. */
static void copy(uint8_t *to, const uint8_t *from, size_t size)
{
	for (size_t i = 0; i < size; i++)
		to[i] = from[i];
}

uint8_t *exec_reader_room(struct exec_reader *reader, size_t *ret_size)
{
	copy(reader->bytes, reader->bytes + reader->first, reader->end - reader->first);
	reader->end -= reader->first;
	reader->first = 0;
	*ret_size = sizeof(reader->bytes) - reader->end;
	return reader->bytes + reader->end;
}

void exec_reader_fill(struct exec_reader *reader, size_t size)
{
	reader->end += size;
}

int exec_reader_next(struct exec_reader *reader, struct exec_frame *ret_frame)
{
	const uint8_t *at = reader->bytes + reader->first;
	size_t there = reader->end - reader->first;
	uint16_t size;

	if (there < sizeof(struct exec_header))
		return EXEC_E_EMPTY;
	size = (uint16_t)(at[2] | at[3] << 8);
	if (at[1] != 0 || size > EXEC_PAYLOAD_MAX)
		return EXEC_E_INVALID;
	if (there < sizeof(struct exec_header) + size)
		return EXEC_E_EMPTY;
	*ret_frame = (struct exec_frame){ at[0], size, at + sizeof(struct exec_header) };
	reader->first += sizeof(struct exec_header) + size;
	return 0;
}

bool exec_frame_get(const struct exec_frame *frame, void *ret_payload, size_t size)
{
	if (frame->size != size)
		return false;
	copy(ret_payload, frame->payload, size);
	return true;
}
