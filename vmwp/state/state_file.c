/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The format of a saved VM's file: what is laid out before and behind its RAM, and checked. */
#include "vmwp/state/state_file.h"

#include "common/base/crc32c.h"
#include "common/base/file.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define PAGE_SIZE 4096u

uint64_t state_file_ram_offset(size_t head_size)
{
	return ALIGN_UP((uint64_t)head_size, STATE_FILE_RAM_ALIGNMENT);
}

/* All are bounded, so that the sum of them fits. */
static size_t state_file_sum(const struct state_file_head *head)
{
	return sizeof(*head) + head->region_count * sizeof(struct state_file_region) +
	       head->records_size + head->definition_size + head->writer_size;
}

static bool state_file_is_bounded(const struct state_file_head *head)
{
	return head->region_count <= STATE_FILE_REGIONS_MAX &&
	       head->records_size <= STATE_SIZE_MAX &&
	       head->definition_size <= STATE_FILE_DEFINITION_MAX &&
	       head->writer_size <= STATE_FILE_WRITER_MAX;
}

static uint32_t state_file_crc(const void *head, size_t size, const struct state_file_end *end)
{
	return crc32c(crc32c(0, head, size), end, offsetof(struct state_file_end, crc));
}

/* ---- Making ---- */

static uint8_t *state_file_put(uint8_t *at, const void *bytes, size_t size)
{
	if (size > 0)
		memcpy(at, bytes, size);
	return at + size;
}

int state_file_make(const struct state_file_parts *parts, void **ret_head, size_t *ret_head_size,
		    struct state_file_end *ret_end)
{
	struct state_file_head head = {
		.magic = STATE_FILE_MAGIC,
		.version = STATE_FILE_VERSION,
		.engine = parts->engine,
		.region_count = parts->region_count,
		.records_size = parts->records_size,
		.definition_size = parts->definition_size,
		.writer_size = parts->writer_size,
	};
	uint8_t *bytes, *at;
	size_t size;

	if (!state_file_is_bounded(&head))
		return -EFBIG;
	for (uint32_t i = 0; i < parts->region_count; i++)
		head.ram_size += parts->regions[i].size;
	size = state_file_sum(&head);
	bytes = malloc(size);
	if (!bytes)
		return -ENOMEM;
	at = state_file_put(bytes, &head, sizeof(head));
	at = state_file_put(at, parts->regions, parts->region_count * sizeof(*parts->regions));
	at = state_file_put(at, parts->records, parts->records_size);
	at = state_file_put(at, parts->definition, parts->definition_size);
	state_file_put(at, parts->writer, parts->writer_size);
	*ret_end = (struct state_file_end){
		.magic = STATE_FILE_END_MAGIC,
		.head_size = size,
		.ram_size = head.ram_size,
		.region_count = head.region_count,
	};
	ret_end->crc = state_file_crc(bytes, size, ret_end);
	*ret_head = bytes;
	*ret_head_size = size;
	return 0;
}

/* ---- Checking ---- */

int state_file_head_size(const struct state_file_head *head, size_t *ret_size,
			 struct state_refusal *refusal)
{
	static const uint8_t zeros[sizeof(head->zero)];

	if (memcmp(head->magic, STATE_FILE_MAGIC, sizeof(head->magic)) != 0)
		return state_refuse(refusal, "the file is not that of a saved VM");
	if (head->version != STATE_FILE_VERSION)
		return state_refuse(refusal,
				    "the file has version %" PRIu32 " of the format; known is %u",
				    head->version, STATE_FILE_VERSION);
	if (!state_file_is_bounded(head) || (head->ram_size == 0) != (head->region_count == 0) ||
	    head->ram_size > STATE_FILE_RAM_MAX || memcmp(head->zero, zeros, sizeof(zeros)) != 0)
		return state_refuse(refusal, "the file's head is not what it says it is");
	*ret_size = state_file_sum(head);
	return 0;
}

static bool state_file_regions_are_sound(const struct state_file_parts *parts)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < parts->region_count; i++) {
		const struct state_file_region *region = &parts->regions[i];

		if (region->size == 0 || region->size > parts->ram_size - sum ||
		    !IS_ALIGNED(region->size, PAGE_SIZE) || !IS_ALIGNED(region->gpa, PAGE_SIZE) ||
		    region->gpa > STATE_FILE_RAM_MAX)
			return false;
		sum += region->size;
	}
	return sum == parts->ram_size;
}

static int state_file_check_end(const void *bytes, size_t head_size,
				const struct state_file_end *end, uint64_t file_size,
				struct state_refusal *refusal)
{
	const struct state_file_head *head = bytes;

	if (file_size != state_file_ram_offset(head_size) + head->ram_size + sizeof(*end) ||
	    memcmp(end->magic, STATE_FILE_END_MAGIC, sizeof(end->magic)) != 0)
		return state_refuse(refusal, "the file was not finished");
	if (end->head_size != head_size || end->ram_size != head->ram_size ||
	    end->region_count != head->region_count ||
	    end->crc != state_file_crc(bytes, head_size, end))
		return state_refuse(refusal, "the file was damaged: its checksum is another");
	return 0;
}

int state_file_check(const void *bytes, size_t head_size, const struct state_file_end *end,
		     uint64_t file_size, struct state_file_parts *ret_parts,
		     struct state_refusal *refusal)
{
	const struct state_file_head *head = bytes;
	struct state_reader reader;
	size_t size;
	int r;

	assert(head);
	if (head_size < sizeof(*head))
		return state_refuse(refusal, "the file was not finished");
	r = state_file_head_size(head, &size, refusal);
	if (r == 0 && size != head_size)
		r = state_refuse(refusal, "the file's head is not what it says it is");
	if (r == 0)
		r = state_file_check_end(bytes, head_size, end, file_size, refusal);
	if (r < 0)
		return r;
	*ret_parts = (struct state_file_parts){
		.engine = head->engine,
		.region_count = head->region_count,
		.records_size = head->records_size,
		.definition_size = head->definition_size,
		.writer_size = head->writer_size,
		.ram_size = head->ram_size,
		.regions = (const struct state_file_region *)(head + 1),
	};
	ret_parts->records = (const uint8_t *)(ret_parts->regions + head->region_count);
	ret_parts->definition = (const char *)ret_parts->records + head->records_size;
	ret_parts->writer = ret_parts->definition + head->definition_size;
	if (!state_file_regions_are_sound(ret_parts))
		return state_refuse(refusal, "the file's RAM is none that a VM can have");
	if (state_reader_init(&reader, ret_parts->records, ret_parts->records_size) != 0)
		return state_refuse(refusal, "the file's records are not what they say they are");
	return 0;
}

/* ---- Opening ---- */

/* Return: 0; -EINVAL: the file ends before; -errno. */
static int state_file_get(int fd, void *bytes, size_t size, uint64_t offset)
{
	ssize_t n = file_read_at(fd, offset, bytes, size);

	return n < 0 ? (int)n : (size_t)n < size ? -EINVAL : 0;
}

static int state_file_get_head(int fd, uint64_t file_size, void **ret_head, size_t *ret_size,
			       struct state_refusal *refusal)
{
	AUTO_FREE void *bytes = NULL;
	struct state_file_head head;
	int r;

	r = state_file_get(fd, &head, sizeof(head), 0);
	if (r < 0)
		return r;
	r = state_file_head_size(&head, ret_size, refusal);
	if (r < 0)
		return r;
	if (*ret_size > file_size)
		return state_refuse(refusal, "the file was not finished");
	bytes = malloc(*ret_size);
	if (!bytes)
		return -ENOMEM;
	r = state_file_get(fd, bytes, *ret_size, 0);
	if (r < 0)
		return r;
	*ret_head = TAKE_PTR(bytes);
	return 0;
}

int state_file_open(int fd, struct state_file *ret_file, struct state_refusal *refusal)
{
	struct state_file file = { .head = NULL };
	struct state_file_end end;
	struct stat stat;
	size_t size = 0;
	int r;

	if (fstat(fd, &stat) < 0)
		return -errno;
	if (!S_ISREG(stat.st_mode) || (uint64_t)stat.st_size < sizeof(struct state_file_head))
		return state_refuse(refusal, "the file is not that of a saved VM");
	r = state_file_get_head(fd, (uint64_t)stat.st_size, &file.head, &size, refusal);
	if (r == 0)
		r = state_file_get(fd, &end, sizeof(end), (uint64_t)stat.st_size - sizeof(end));
	if (r == 0)
		r = state_file_check(file.head, size, &end, (uint64_t)stat.st_size, &file.parts,
				     refusal);
	if (r < 0) {
		free(file.head);
		return r;
	}
	file.ram_offset = state_file_ram_offset(size);
	*ret_file = file;
	return 0;
}

void state_file_deinit(struct state_file *file)
{
	free(file->head);
	*file = (struct state_file){ .head = NULL };
}
