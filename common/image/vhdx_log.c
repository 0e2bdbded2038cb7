/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The log of a VHDX image: entries of whole pages in a ring, each with the pages it writes.
 *
 * To be replayed is the run of entries with the highest sequence number at its end, from the tail
 * that its last entry names. The log is read into memory at once, twice in a row, so that an entry
 * that goes around the end lies in one piece.
 */
#include "common/base/cleanup.h"
#include "common/image/vhdx_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* An honest log is summed up about once. */
#define SUMMED_MAX(length) ((uint64_t)(length)*8)
#define ZEROED_MAX         (UINT64_C(1) << 30)

/* ---- Making entries ---- */

static void vhdx_entry_add(uint8_t *buffer, const struct vhdx_log_page *page, unsigned index,
			   uint64_t sequence)
{
	struct vhdx_descriptor *descriptor =
		(struct vhdx_descriptor *)(buffer + sizeof(struct vhdx_entry)) + index;
	struct vhdx_sector *sector = (struct vhdx_sector *)(buffer + VHDX_PAGE) + index;
	const uint8_t *bytes = page->bytes;

	descriptor->signature = VHDX_DATA_SIGNATURE;
	memcpy(&descriptor->leading, bytes, 8);
	memcpy(&descriptor->trailing, bytes + VHDX_PAGE - 4, 4);
	descriptor->offset = page->offset;
	descriptor->sequence = sequence;
	sector->signature = VHDX_SECTOR_SIGNATURE;
	sector->sequence_high = (uint32_t)(sequence >> 32);
	memcpy(sector->bytes, bytes + 8, sizeof(sector->bytes));
	sector->sequence_low = (uint32_t)sequence;
}

uint32_t vhdx_entry_make(void *buffer, const struct guid *log,
			 const struct vhdx_log_position *position,
			 const struct vhdx_log_page *pages, unsigned count)
{
	struct vhdx_entry *entry = buffer;

	memset(buffer, 0, VHDX_PAGE);
	*entry = (struct vhdx_entry){
		.signature = VHDX_ENTRY_SIGNATURE,
		.length = (1 + count) * VHDX_PAGE,
		.tail = position->tail,
		.sequence = position->sequence,
		.count = count,
		.log = *log,
		.flushed = position->flushed,
		.last = position->last,
	};
	for (unsigned i = 0; i < count; i++)
		vhdx_entry_add(buffer, &pages[i], i, position->sequence);
	vhdx_seal(buffer, entry->length);
	return entry->length;
}

/* ---- Patches ---- */

void vhdx_patches_deinit(struct vhdx_patches *patches)
{
	for (size_t i = 0; i < patches->count; i++)
		free(patches->items[i].bytes);
	free(patches->items);
	*patches = (struct vhdx_patches){ 0 };
}

static void vhdx_patch_apply(const struct vhdx_patch *patch, uint64_t offset, uint8_t *buffer,
			     size_t size)
{
	uint64_t from = MAX(offset, patch->offset);
	uint64_t to = MIN(offset + size, patch->offset + patch->size);

	if (from >= to)
		return;
	if (patch->bytes)
		memcpy(buffer + (from - offset), patch->bytes + (from - patch->offset), to - from);
	else
		memset(buffer + (from - offset), 0, to - from);
}

void vhdx_patches_apply(const struct vhdx_patches *patches, uint64_t offset, void *buffer,
			size_t size)
{
	for (size_t i = 0; i < patches->count; i++)
		vhdx_patch_apply(&patches->items[i], offset, buffer, size);
}

/* bytes: copied; NULL: zeros. */
static int vhdx_patches_add(struct vhdx_patches *patches, uint64_t offset, uint64_t size,
			    const uint8_t *bytes)
{
	struct vhdx_patch *items =
		realloc(patches->items, (patches->count + 1) * sizeof(*patches->items));
	struct vhdx_patch *item;

	if (!items)
		return -ENOMEM;
	patches->items = items;
	item = &items[patches->count];
	*item = (struct vhdx_patch){ .offset = offset, .size = size };
	if (bytes) {
		item->bytes = malloc(size);
		if (!item->bytes)
			return -ENOMEM;
		memcpy(item->bytes, bytes, size);
	}
	patches->count++;
	return 0;
}

/* ---- Finding the run ---- */

struct vhdx_log {
	uint8_t *bytes; /* twice */
	uint32_t length, pages;
	struct guid id;
	uint32_t *lengths; /* by page: of the entry that begins there; 0: none does */
	uint64_t summed;
};

static struct vhdx_entry *vhdx_log_entry(const struct vhdx_log *log, uint32_t page)
{
	return (struct vhdx_entry *)(log->bytes + (uint64_t)page * VHDX_PAGE);
}

/* Pages that hold the descriptors, of which the first is the entry's, too. */
static uint32_t vhdx_descriptor_pages(uint32_t count)
{
	if (count <= VHDX_DESCRIPTORS_FIRST)
		return 1;
	return 1 + (count - VHDX_DESCRIPTORS_FIRST + VHDX_DESCRIPTORS_OTHER - 1) /
			   VHDX_DESCRIPTORS_OTHER;
}

/* Descriptors follow each other, across pages. */
static const struct vhdx_descriptor *vhdx_descriptor(const struct vhdx_entry *entry, uint32_t i)
{
	return (const struct vhdx_descriptor *)(entry + 1) + i;
}

/* What a file is known by, and its headers, are written without a log: no entry may undo them. */
static bool vhdx_check_descriptor(const struct vhdx_entry *entry,
				  const struct vhdx_descriptor *descriptor, uint32_t *sectors)
{
	if (descriptor->sequence != entry->sequence ||
	    !IS_ALIGNED(descriptor->offset, (uint64_t)VHDX_PAGE) ||
	    descriptor->offset < VHDX_REGIONS_OFFSET(0) ||
	    descriptor->offset > (uint64_t)INT64_MAX - VHDX_PAGE)
		return false;
	if (descriptor->signature == VHDX_DATA_SIGNATURE) {
		++*sectors;
		return true;
	}
	return descriptor->signature == VHDX_ZERO_SIGNATURE &&
	       IS_ALIGNED(descriptor->leading, (uint64_t)VHDX_PAGE) &&
	       descriptor->leading <= (uint64_t)INT64_MAX - descriptor->offset;
}

/* Whether what the entry says of itself fits, and every page of it is of the same writing. */
static bool vhdx_check_entry(const struct vhdx_entry *entry)
{
	uint32_t pages = entry->length / VHDX_PAGE, head, sectors = 0;
	const struct vhdx_sector *sector;

	if (entry->count > pages * VHDX_DESCRIPTORS_OTHER)
		return false;
	head = vhdx_descriptor_pages(entry->count);
	if (head > pages)
		return false;
	for (uint32_t i = 0; i < entry->count; i++)
		if (!vhdx_check_descriptor(entry, vhdx_descriptor(entry, i), &sectors))
			return false;
	if (sectors > pages - head)
		return false;
	sector = (const struct vhdx_sector *)entry + head;
	for (uint32_t i = 0; i < sectors; i++, sector++)
		if (sector->signature != VHDX_SECTOR_SIGNATURE ||
		    sector->sequence_high != (uint32_t)(entry->sequence >> 32) ||
		    sector->sequence_low != (uint32_t)entry->sequence)
			return false;
	return true;
}

/* Return: its length; 0: no whole entry begins at that page. */
static uint32_t vhdx_log_measure(struct vhdx_log *log, uint32_t page)
{
	struct vhdx_entry *entry = vhdx_log_entry(log, page);

	if (entry->signature != VHDX_ENTRY_SIGNATURE || !guid_equal(&entry->log, &log->id) ||
	    entry->sequence == 0 || entry->length == 0 || entry->length > log->length ||
	    !IS_ALIGNED(entry->length, VHDX_PAGE) || entry->tail >= log->length ||
	    !IS_ALIGNED(entry->tail, VHDX_PAGE))
		return 0;
	log->summed += entry->length;
	if (log->summed > SUMMED_MAX(log->length))
		return 0;
	return vhdx_is_whole(entry, entry->length) && vhdx_check_entry(entry) ? entry->length : 0;
}

static uint32_t vhdx_log_next(const struct vhdx_log *log, uint32_t page)
{
	return (page + log->lengths[page] / VHDX_PAGE) % log->pages;
}

/*
 * Follows entries from a page on, as long as each is the next. *ret_head: the last. Return: whether
 * the tail that the last one names is among them.
 */
static bool vhdx_log_follow(const struct vhdx_log *log, uint32_t first, uint32_t *ret_head)
{
	uint32_t page = first, used = 0;

	for (;;) {
		uint32_t next = vhdx_log_next(log, page);

		used += log->lengths[page];
		*ret_head = page;
		if (!log->lengths[next] || used + log->lengths[next] > log->length ||
		    vhdx_log_entry(log, next)->sequence != vhdx_log_entry(log, page)->sequence + 1)
			break;
		page = next;
	}
	for (page = first;; page = vhdx_log_next(log, page)) {
		if (page == vhdx_log_entry(log, *ret_head)->tail / VHDX_PAGE)
			return true;
		if (page == *ret_head)
			return false;
	}
}

static int vhdx_log_find(struct vhdx_log *log, uint32_t *ret_tail, uint32_t *ret_head)
{
	uint64_t highest = 0;

	for (uint32_t page = 0; page < log->pages; page++)
		log->lengths[page] = vhdx_log_measure(log, page);
	if (log->summed > SUMMED_MAX(log->length))
		return VHDX_E_LOG;
	for (uint32_t page = 0; page < log->pages; page++) {
		uint32_t head;

		if (!log->lengths[page] || !vhdx_log_follow(log, page, &head) ||
		    vhdx_log_entry(log, head)->sequence <= highest)
			continue;
		highest = vhdx_log_entry(log, head)->sequence;
		*ret_head = head;
		*ret_tail = vhdx_log_entry(log, head)->tail / VHDX_PAGE;
	}
	return highest ? 0 : VHDX_E_LOG;
}

/* ---- Writing ---- */

struct vhdx_replay {
	struct vhdx_file *file;
	struct vhdx_patches *patches; /* NULL: to the file */
	uint64_t zeroed;
};

static int vhdx_replay_zeros(struct vhdx_replay *replay, uint64_t offset, uint64_t size)
{
	static const uint8_t zeros[16 * VHDX_PAGE];
	int r = 0;

	replay->zeroed += MIN(size, ZEROED_MAX + 1);
	if (replay->zeroed > ZEROED_MAX)
		return VHDX_E_LOG;
	if (replay->patches)
		return size ? vhdx_patches_add(replay->patches, offset, size, NULL) : 0;
	while (r == 0 && size) {
		size_t part = MIN(size, sizeof(zeros));

		r = replay->file->write(replay->file->data, offset, zeros, part);
		offset += part;
		size -= part;
	}
	return r;
}

static int vhdx_replay_page(struct vhdx_replay *replay, const struct vhdx_descriptor *descriptor,
			    const struct vhdx_sector *sector)
{
	uint8_t page[VHDX_PAGE];

	memcpy(page, &descriptor->leading, 8);
	memcpy(page + 8, sector->bytes, sizeof(sector->bytes));
	memcpy(page + VHDX_PAGE - 4, &descriptor->trailing, 4);
	if (replay->patches)
		return vhdx_patches_add(replay->patches, descriptor->offset, VHDX_PAGE, page);
	return replay->file->write(replay->file->data, descriptor->offset, page, VHDX_PAGE);
}

static int vhdx_replay_entry(struct vhdx_replay *replay, const struct vhdx_entry *entry)
{
	const struct vhdx_sector *sector =
		(const struct vhdx_sector *)entry + vhdx_descriptor_pages(entry->count);
	int r = 0;

	for (uint32_t i = 0; r == 0 && i < entry->count; i++) {
		const struct vhdx_descriptor *descriptor = vhdx_descriptor(entry, i);

		if (descriptor->signature == VHDX_ZERO_SIGNATURE)
			r = vhdx_replay_zeros(replay, descriptor->offset, descriptor->leading);
		else
			r = vhdx_replay_page(replay, descriptor, sector++);
	}
	return r;
}

static int vhdx_replay_end(struct vhdx_replay *replay, uint64_t last)
{
	struct vhdx_file *file = replay->file;
	int r = 0;

	if (replay->patches) {
		replay->patches->file_size = MAX(file->size, last);
		return 0;
	}
	if (last > file->size) {
		r = file->grow(file->data, last);
		if (r == 0)
			file->size = last;
	}
	return r ? r : file->flush(file->data);
}

static int vhdx_log_replay(const struct vhdx_log *log, struct vhdx_replay *replay, uint32_t tail,
			   uint32_t head)
{
	const struct vhdx_entry *last = vhdx_log_entry(log, head);
	int r;

	if (replay->file->size < last->flushed)
		return VHDX_E_TRUNCATED;
	if (last->last > INT64_MAX)
		return VHDX_E_LOG;
	for (uint32_t page = tail;; page = vhdx_log_next(log, page)) {
		r = vhdx_replay_entry(replay, vhdx_log_entry(log, page));
		if (r || page == head)
			break;
	}
	return r ? r : vhdx_replay_end(replay, last->last);
}

int vhdx_replay(struct vhdx_file *file, const struct vhdx_header *header, bool writable,
		struct vhdx_patches *ret_patches)
{
	AUTO_FREE uint8_t *bytes = NULL;
	AUTO_FREE uint32_t *lengths = NULL;
	struct vhdx_log log = { .length = header->log_length,
				.pages = header->log_length / VHDX_PAGE,
				.id = header->log };
	struct vhdx_replay replay = { .file = file };
	uint32_t tail, head;
	int r;

	*ret_patches = (struct vhdx_patches){ .file_size = file->size };
	if (log.length > VHDX_LOG_MAX)
		return VHDX_E_UNSUPPORTED;
	log.bytes = bytes = malloc(2 * (size_t)log.length);
	log.lengths = lengths = calloc(log.pages, sizeof(*lengths));
	if (!bytes || !lengths)
		return -ENOMEM;
	r = vhdx_read(file, header->log_offset, bytes, log.length);
	if (r)
		return r;
	memcpy(bytes + log.length, bytes, log.length);
	r = vhdx_log_find(&log, &tail, &head);
	replay.patches = writable ? NULL : ret_patches;
	if (r == 0)
		r = vhdx_log_replay(&log, &replay, tail, head);
	if (r)
		vhdx_patches_deinit(ret_patches);
	else if (writable)
		ret_patches->file_size = file->size;
	return r;
}
