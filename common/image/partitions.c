/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How far partitions of a disk reach. */
#include "common/image/partitions.h"

#include <stdbool.h>
#include <string.h>

#define SECTOR_MAX       4096u
#define GPT_SIGNATURE    UINT64_C(0x5452415020494645) /* "EFI PART" */
#define GPT_ENTRIES_MAX  1024u
#define GPT_ENTRY_SIZE   128u
#define GPT_ENTRY_MAX    4096u
#define MBR_TABLE        446
#define MBR_ENTRIES      4
#define MBR_PROTECTIVE   0xee
#define MBR_SIGNATURE    510
#define MBR_EXTENDED_MAX 128u /* logical partitions that are followed */

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "structures are used as they lie");

struct mbr_entry {
	uint8_t status, first[3], type, last[3];
	uint32_t start, count; /* sectors */
};
_Static_assert(sizeof(struct mbr_entry) == 16, "stored format");

struct gpt_header {
	uint64_t signature;
	uint32_t revision, size, checksum, reserved;
	uint64_t here, other, first, last;
	uint8_t disk[16];
	uint64_t entries;
	uint32_t entry_count, entry_size, entries_checksum;
} __attribute__((packed));
_Static_assert(sizeof(struct gpt_header) == 92, "stored format");

struct gpt_entry {
	uint8_t type[16], id[16];
	uint64_t first, last; /* sectors; both belong to it */
};
_Static_assert(sizeof(struct gpt_entry) == 48, "stored format");

struct reading {
	const struct partitions_source *source;
	uint32_t sector_size;
	struct partitions *partitions;
};

/* *ret_there: what lies beyond the end of the disk is not. Return: 0; what `read` returned. */
static int partitions_read_sector(const struct reading *reading, uint64_t sector, void *buffer,
				  size_t size, bool *ret_there)
{
	uint64_t disk = reading->source->size;

	*ret_there = sector <= disk / reading->sector_size &&
		     size <= disk - sector * reading->sector_size;
	if (!*ret_there)
		return 0;
	return reading->source->read(reading->source->data, sector * reading->sector_size, buffer,
				     size);
}

/* A partition that begins beyond the end of the disk has nothing there to lose. */
static void partitions_add(const struct reading *reading, uint64_t first, uint64_t count)
{
	uint64_t sectors = reading->source->size / reading->sector_size, end;

	if (count == 0 || first >= sectors)
		return;
	end = count > sectors - first ? sectors : first + count;
	reading->partitions->count++;
	reading->partitions->end = MAX(reading->partitions->end, end * reading->sector_size);
}

/* ---- Master boot record ---- */

static bool mbr_is_extended(uint8_t type)
{
	return type == 0x05 || type == 0x0f || type == 0x85;
}

static bool mbr_take_table(const uint8_t *sector, struct mbr_entry entries[MBR_ENTRIES])
{
	memcpy(entries, sector + MBR_TABLE, sizeof(struct mbr_entry) * MBR_ENTRIES);
	return sector[MBR_SIGNATURE] == 0x55 && sector[MBR_SIGNATURE + 1] == 0xaa;
}

/* A chain of tables, each with one partition and the next table; all lies in the extended one. */
static int mbr_follow(const struct reading *reading, uint64_t extended)
{
	uint8_t sector[SECTOR_MAX];
	struct mbr_entry entries[MBR_ENTRIES];
	uint64_t at = extended;
	bool there;
	int r;

	for (unsigned i = 0; i < MBR_EXTENDED_MAX; i++) {
		r = partitions_read_sector(reading, at, sector, reading->sector_size, &there);
		if (r || !there || !mbr_take_table(sector, entries))
			return r;
		if (entries[0].type)
			partitions_add(reading, at + entries[0].start, entries[0].count);
		if (!mbr_is_extended(entries[1].type) || entries[1].count == 0)
			return 0;
		at = extended + entries[1].start;
	}
	return 0;
}

/* *ret_protective: it says that there is a GPT. */
static int mbr_read(const struct reading *reading, bool *ret_protective)
{
	uint8_t sector[SECTOR_MAX];
	struct mbr_entry entries[MBR_ENTRIES];
	bool there;
	int r = partitions_read_sector(reading, 0, sector, reading->sector_size, &there);

	*ret_protective = false;
	if (r || !there || !mbr_take_table(sector, entries))
		return r;
	/* A file system without partitions has a boot sector with the same end, and code there. */
	for (unsigned i = 0; i < MBR_ENTRIES; i++) {
		if (entries[i].status != 0 && entries[i].status != 0x80)
			return 0;
	}
	for (unsigned i = 0; r == 0 && i < MBR_ENTRIES; i++) {
		if (!entries[i].type || !entries[i].count)
			continue;
		*ret_protective |= entries[i].type == MBR_PROTECTIVE;
		reading->partitions->kind = PARTITIONS_MBR;
		partitions_add(reading, entries[i].start, entries[i].count);
		if (mbr_is_extended(entries[i].type))
			r = mbr_follow(reading, entries[i].start);
	}
	return r;
}

/* ---- GPT ---- */

static bool gpt_is_used(const struct gpt_entry *entry)
{
	static const uint8_t none[16];

	return memcmp(entry->type, none, sizeof(none)) != 0 && entry->last >= entry->first;
}

static int gpt_read_entries(const struct reading *reading, const struct gpt_header *header)
{
	uint32_t count = MIN(header->entry_count, GPT_ENTRIES_MAX);
	uint64_t base = header->entries * reading->sector_size, disk = reading->source->size;
	int r = 0;

	if (header->entries > disk / reading->sector_size)
		return 0;
	for (uint32_t i = 0; r == 0 && i < count; i++) {
		uint64_t offset = base + (uint64_t)i * header->entry_size;
		struct gpt_entry entry;

		if (offset > disk || sizeof(entry) > disk - offset)
			return 0;
		r = reading->source->read(reading->source->data, offset, &entry, sizeof(entry));
		if (r == 0 && gpt_is_used(&entry) && entry.last < UINT64_MAX)
			partitions_add(reading, entry.first, entry.last - entry.first + 1);
	}
	return r;
}

/* Its second table, and the entries, are at the end of the disk. */
static uint64_t gpt_room(const struct reading *reading, const struct gpt_header *header)
{
	uint64_t entries = (uint64_t)MIN(header->entry_count, GPT_ENTRIES_MAX) * header->entry_size;

	return ALIGN_UP(entries, (uint64_t)reading->sector_size) + reading->sector_size;
}

/* The table at that sector. Return: 0, with the kind set where there is one; an error. */
static int gpt_read(const struct reading *reading, uint64_t sector)
{
	uint8_t buffer[SECTOR_MAX];
	struct gpt_header header;
	bool there;
	int r = partitions_read_sector(reading, sector, buffer, reading->sector_size, &there);

	if (r || !there)
		return r;
	memcpy(&header, buffer, sizeof(header));
	if (header.signature != GPT_SIGNATURE || header.entry_size < GPT_ENTRY_SIZE ||
	    header.entry_size > GPT_ENTRY_MAX)
		return 0;
	*reading->partitions =
		(struct partitions){ .kind = PARTITIONS_GPT, .room = gpt_room(reading, &header) };
	return gpt_read_entries(reading, &header);
}

/* ---- Either ---- */

static int partitions_read_as(const struct partitions_source *source, uint32_t sector_size,
			      struct partitions *ret_partitions)
{
	struct reading reading = { source, sector_size, ret_partitions };
	uint64_t last = source->size / sector_size;
	bool protective;
	int r;

	*ret_partitions = (struct partitions){ .kind = PARTITIONS_NONE };
	r = mbr_read(&reading, &protective);
	if (r == 0 && (protective || ret_partitions->kind == PARTITIONS_NONE))
		r = gpt_read(&reading, 1);
	if (r == 0 && protective && ret_partitions->kind != PARTITIONS_GPT && last)
		r = gpt_read(&reading, last - 1);
	return r;
}

int partitions_read(const struct partitions_source *source, uint32_t sector_size,
		    struct partitions *ret_partitions)
{
	struct partitions larger;
	int r = partitions_read_as(source, sector_size ? sector_size : 512, ret_partitions);

	if (r || sector_size)
		return r;
	/* A boot record does not tell which sectors it counts; those are nearly always of 512. */
	r = partitions_read_as(source, 4096, &larger);
	if (r == 0 && larger.kind == PARTITIONS_GPT && ret_partitions->kind != PARTITIONS_GPT)
		*ret_partitions = larger;
	return r;
}
