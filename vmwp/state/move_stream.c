/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The records of a VM that moves. */
#include "vmwp/state/move_stream.h"

#include "common/base/crc32c.h"

#include <errno.h>

/* What a record of each type may have. */
static const struct {
	uint32_t size_most;
	uint32_t pages_most; /* 0: it has none */
	uint32_t flags;
} kinds[_MOVE_TYPE_COUNT] = {
	[MOVE_BEGIN] = { .size_most = 1u << 20 },
	[MOVE_PAGES] = { .size_most = MOVE_PAGES_MAX * MOVE_PAGE_SIZE,
			 .pages_most = MOVE_PAGES_MAX },
	[MOVE_ZEROS] = { .pages_most = UINT32_MAX },
	[MOVE_STATE] = { .size_most = STATE_SIZE_MAX, .flags = MOVE_FLAG_RUNS },
	[MOVE_GO] = { .size_most = 0 },
	[MOVE_READY] = { .size_most = 0 },
	[MOVE_RUNS] = { .size_most = 0 },
	[MOVE_REFUSED] = { .size_most = MOVE_TEXT_MAX },
};

static uint32_t header_crc(const struct move_header *header, const void *bytes)
{
	struct move_header counted = *header;

	counted.crc = 0;
	return crc32c(crc32c(0, &counted, sizeof(counted)), bytes, header->size);
}

void move_header_fill(struct move_header *header, enum move_type type, const void *bytes,
		      uint32_t size)
{
	header->magic = MOVE_MAGIC;
	header->version = MOVE_VERSION;
	header->type = (uint16_t)type;
	header->size = size;
	header->crc = header_crc(header, bytes);
}

static int header_check_pages(const struct move_header *header, struct state_refusal *refusal)
{
	uint32_t most = kinds[header->type].pages_most;

	if (most == 0)
		return header->page_count == 0 && header->gpa == 0
			       ? 0
			       : state_refuse(refusal, "a record has pages that can have none");
	if (header->page_count == 0 || header->page_count > most ||
	    header->gpa % MOVE_PAGE_SIZE != 0)
		return state_refuse(refusal, "a record has pages that there cannot be");
	if (header->type == MOVE_PAGES && header->size != header->page_count * MOVE_PAGE_SIZE)
		return state_refuse(refusal, "a record of pages has another size than they");
	return 0;
}

int move_header_check(const struct move_header *header, struct state_refusal *refusal)
{
	if (header->magic != MOVE_MAGIC)
		return state_refuse(refusal, "what comes is no VM");
	if (header->version != MOVE_VERSION)
		return state_refuse(refusal, "it comes in version %u of the stream; here is %u",
				    header->version, MOVE_VERSION);
	if (header->type == _MOVE_NONE || header->type >= _MOVE_TYPE_COUNT)
		return state_refuse(refusal, "a record has the unknown type %u", header->type);
	if (header->size > kinds[header->type].size_most)
		return state_refuse(refusal, "a record of type %u has %u bytes", header->type,
				    header->size);
	if (header->flags & ~kinds[header->type].flags)
		return state_refuse(refusal, "a record of type %u has the flags 0x%x", header->type,
				    header->flags);
	return header_check_pages(header, refusal);
}

int move_header_check_bytes(const struct move_header *header, const void *bytes,
			    struct state_refusal *refusal)
{
	if (header->crc != header_crc(header, bytes))
		return state_refuse(refusal, "a record has another checksum than its contents");
	return 0;
}
