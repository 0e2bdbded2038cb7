/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Mode pages: MODE SENSE and MODE SELECT, of 6 and of 10 bytes.
 *
 * The one thing a guest can change is whether a disk has a write cache: without, every write is on
 * stable storage when it completes.
 */
#include "vsp/iov.h"
#include "vsp/storage/scsi_unit.h"

#include <string.h>

#define MODE_BUFFER_SIZE 128
#define DESCRIPTOR_SIZE  8
#define NO_DESCRIPTORS   0x08 /* MODE SENSE, CDB byte 1: DBD */
#define SAVE_PAGES       0x01 /* MODE SELECT, CDB byte 1: SP */
#define WRITE_PROTECTED  0x80 /* device-specific parameter */
#define HAS_DPO_FUA      0x10
#define WRITE_CACHE      0x04 /* caching page, byte 2: WCE */
#define PAGE_CACHING     0x08
#define PAGE_ALL         0x3f

enum mode_values { MODE_CURRENT, MODE_CHANGEABLE, MODE_DEFAULT, MODE_SAVED };

/* ---- Pages: each function fills one, zeroed, behind its two bytes of header ---- */

static void mode_caching(const struct scsi_unit *unit, enum mode_values values, uint8_t *page)
{
	if (values == MODE_CURRENT ? unit->write_cache : true)
		page[2] = WRITE_CACHE;
}

static void mode_control(const struct scsi_unit *unit, enum mode_values values, uint8_t *page)
{
	if (values != MODE_CHANGEABLE)
		page[3] = 0x10; /* unrestricted reordering */
}

/* MM capabilities and mechanical status. MMC-3 5.5.10 */
static void mode_capabilities(const struct scsi_unit *unit, enum mode_values values, uint8_t *page)
{
	const uint16_t speed = 7056; /* kB/s: 40 x CD */

	if (values == MODE_CHANGEABLE)
		return;
	page[2] = 0x0b; /* reads CD-R, CD-RW, DVD-ROM */
	page[4] = 0x70; /* mode 2 form 1 and 2, multi-session */
	page[6] = 0x29; /* tray; ejects; can be locked */
	if (unit->removal_prevented)
		page[6] |= 0x02;
	scsi_put_16(page + 8, speed);
	scsi_put_16(page + 12, 128); /* KiB of buffer */
	scsi_put_16(page + 14, speed);
}

static void mode_nothing(const struct scsi_unit *unit, enum mode_values values, uint8_t *page)
{
}

static const struct mode_page {
	uint8_t code, size; /* size: without the header */
	bool disk, cdrom;
	void (*fill)(const struct scsi_unit *unit, enum mode_values values, uint8_t *page);
} mode_pages[] = {
	{ 0x01, 10, true, true, mode_nothing }, /* read-write error recovery */
	{ PAGE_CACHING, 18, true, false, mode_caching },
	{ 0x0a, 10, true, false, mode_control },
	{ 0x2a, 18, false, true, mode_capabilities },
};

static bool mode_has(const struct scsi_unit *unit, const struct mode_page *page)
{
	return unit->device_type == SCSI_DEVICE_DISK ? page->disk : page->cdrom;
}

/* Return: bytes written; 0 if the unit has no such page. */
static size_t mode_fill_pages(const struct scsi_unit *unit, uint8_t code, enum mode_values values,
			      uint8_t *data)
{
	size_t size = 0;

	for (size_t i = 0; i < ARRAY_SIZE(mode_pages); i++) {
		const struct mode_page *page = &mode_pages[i];

		if (!mode_has(unit, page) || (code != PAGE_ALL && code != page->code))
			continue;
		memset(data + size, 0, page->size + 2u);
		data[size] = page->code;
		data[size + 1] = page->size;
		page->fill(unit, values, data + size);
		size += page->size + 2u;
	}
	return size;
}

static size_t mode_fill_descriptor(const struct scsi_unit *unit, uint8_t *data)
{
	uint64_t blocks = scsi_unit_blocks(unit);

	if (unit->device_type != SCSI_DEVICE_DISK)
		return 0;
	scsi_put_32(data, (uint32_t)MIN(blocks, (uint64_t)UINT32_MAX));
	scsi_put_32(data + 4, unit->disk->sector_size);
	return DESCRIPTOR_SIZE;
}

static uint8_t mode_device_specific(const struct scsi_unit *unit)
{
	if (unit->device_type != SCSI_DEVICE_DISK)
		return 0;
	return HAS_DPO_FUA | (unit->disk->read_only ? WRITE_PROTECTED : 0);
}

void scsi_mode_sense(struct scsi_command *command)
{
	const struct scsi_unit *unit = command->unit;
	bool ten = command->cdb[0] == SCSI_MODE_SENSE_10;
	size_t header = ten ? 8 : 4, size = header, pages;
	enum mode_values values = command->cdb[2] >> 6;
	uint8_t code = command->cdb[2] & 0x3f, subpage = command->cdb[3];
	uint8_t data[MODE_BUFFER_SIZE] = { 0 };

	if (values == MODE_SAVED) {
		scsi_fail(command, SCSI_SENSE_SAVING_NOT_SUPPORTED);
		return;
	}
	if (!(command->cdb[1] & NO_DESCRIPTORS))
		size += mode_fill_descriptor(unit, data + header);
	data[ten ? 7 : 3] = (uint8_t)(size - header);
	data[ten ? 3 : 2] = mode_device_specific(unit);
	pages = mode_fill_pages(unit, code, values, data + size);
	if (!pages || (subpage && !(subpage == 0xff && code == PAGE_ALL))) {
		scsi_fail(command, SCSI_SENSE_INVALID_FIELD);
		return;
	}
	size += pages;
	if (ten)
		scsi_put_16(data, (uint16_t)(size - 2));
	else
		data[0] = (uint8_t)(size - 1);
	scsi_reply(command, data, size, ten ? scsi_get_16(command->cdb + 7) : command->cdb[4]);
}

/* ---- MODE SELECT ---- */

/*
 * Checks one page against what it may say: its current values, but for the changeable bits.
 * Return: the bytes it takes; 0 with *ret_sense if refused.
 */
static size_t mode_check_page(const struct scsi_unit *unit, const uint8_t *data, size_t size,
			      bool *ret_write_cache, uint32_t *ret_sense)
{
	uint8_t current[MODE_BUFFER_SIZE], changeable[MODE_BUFFER_SIZE];
	size_t expected;

	*ret_sense = SCSI_SENSE_INVALID_PARAMETER;
	if ((data[0] & 0x3f) == PAGE_ALL)
		return 0;
	expected = mode_fill_pages(unit, data[0], MODE_CURRENT, current);
	if (!expected || size < 2 || data[1] != expected - 2)
		return 0;
	if (size < expected) {
		*ret_sense = SCSI_SENSE_LIST_LENGTH;
		return 0;
	}
	mode_fill_pages(unit, data[0], MODE_CHANGEABLE, changeable);
	for (size_t i = 2; i < expected; i++)
		if ((data[i] ^ current[i]) & ~changeable[i])
			return 0;
	if (data[0] == PAGE_CACHING)
		*ret_write_cache = data[2] & WRITE_CACHE;
	return expected;
}

/* The blocks are what they are: whoever asks for others hears so. SBC-3 6.4.2.2 */
static bool mode_descriptor_is_valid(const struct scsi_unit *unit, const uint8_t *descriptor)
{
	uint8_t current[DESCRIPTOR_SIZE] = { 0 };
	uint32_t blocks = scsi_get_32(descriptor);

	mode_fill_descriptor(unit, current);
	return scsi_get_24(descriptor + 5) == scsi_get_24(current + 5) &&
	       (blocks == 0 || blocks == UINT32_MAX || blocks == scsi_get_32(current));
}

/* Return: 0, or the sense to fail with. */
static uint32_t mode_parse(const struct scsi_unit *unit, const uint8_t *data, size_t size,
			   size_t header, bool *ret_write_cache)
{
	size_t descriptors, offset;

	if (size < header)
		return SCSI_SENSE_LIST_LENGTH;
	descriptors = header == 8 ? scsi_get_16(data + 6) : data[3];
	if (descriptors != 0 && descriptors != DESCRIPTOR_SIZE)
		return SCSI_SENSE_INVALID_PARAMETER;
	if (size < header + descriptors)
		return SCSI_SENSE_LIST_LENGTH;
	if (descriptors && !mode_descriptor_is_valid(unit, data + header))
		return SCSI_SENSE_INVALID_PARAMETER;
	for (offset = header + descriptors; offset < size;) {
		uint32_t sense;
		size_t page = mode_check_page(unit, data + offset, size - offset, ret_write_cache,
					      &sense);

		if (!page)
			return sense;
		offset += page;
	}
	return 0;
}

void scsi_mode_select(struct scsi_command *command)
{
	struct scsi_unit *unit = command->unit;
	bool ten = command->cdb[0] == SCSI_MODE_SELECT_10;
	size_t size = ten ? scsi_get_16(command->cdb + 7) : command->cdb[4];
	bool write_cache = unit->write_cache, flush;
	uint8_t data[MODE_BUFFER_SIZE];
	uint32_t sense;

	if ((command->cdb[1] & SAVE_PAGES) || size > sizeof(data) ||
	    size > command->transfer_length) {
		scsi_fail(command, SCSI_SENSE_INVALID_FIELD);
		return;
	}
	iov_copy_in(data, size, command->iov, command->iov_count);
	sense = size ? mode_parse(unit, data, size, ten ? 8 : 4, &write_cache) : 0;
	if (sense) {
		scsi_fail(command, sense);
		return;
	}
	flush = unit->write_cache && !write_cache;
	unit->write_cache = write_cache;
	command->transferred = (uint32_t)size;
	if (flush)
		scsi_flush(command);
	else
		scsi_finish(command, command->transferred);
}
