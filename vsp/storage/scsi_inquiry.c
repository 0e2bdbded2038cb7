/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a unit says about itself: INQUIRY, its vital product data, and REQUEST SENSE.
 *
 * Vendor and product are those that Linux and Windows know from Hyper-V; Linux allows WRITE SAME
 * only to a disk of this vendor (drivers/scsi/storvsc_drv.c).
 */
#include "vsp/storage/scsi_unit.h"

#include <stdio.h>
#include <string.h>

#define VERSION_SPC_3     5
#define RESPONSE_FORMAT   2
#define REMOVABLE         0x80 /* byte 1 */
#define COMMAND_QUEUEING  0x02 /* byte 7 */
#define ENABLE_VITAL      0x01 /* CDB byte 1: EVPD */
#define VITAL_HEADER_SIZE 4
#define VITAL_SIZE        128 /* of the longest page */
#define CDROM_SIZE        36
#define DISK_SIZE         74 /* with version descriptors */
#define DESCRIPTORS       58
#define CLAIMS_SAM_3      0x0060
#define CLAIMS_SPC_3      0x0300
#define CLAIMS_SBC_3      0x04c0
#define VENDOR            "Msft    "
#define PRODUCT_DISK      "Virtual Disk    "
#define PRODUCT_CDROM     "Virtual DVD-ROM "
#define REVISION          "1.0 "

static void scsi_inquiry_standard(struct scsi_command *command)
{
	bool cdrom = command->unit->device_type == SCSI_DEVICE_CDROM;
	size_t size = cdrom ? CDROM_SIZE : DISK_SIZE;
	uint8_t data[DISK_SIZE] = {
		[0] = command->unit->device_type,
		[1] = cdrom ? REMOVABLE : 0,
		[2] = VERSION_SPC_3,
		[3] = RESPONSE_FORMAT,
		[4] = (uint8_t)(size - 5),
		[7] = COMMAND_QUEUEING,
	};

	snprintf((char *)data + 8, sizeof(data) - 8, VENDOR "%s" REVISION,
		 cdrom ? PRODUCT_CDROM : PRODUCT_DISK);
	if (!cdrom) {
		scsi_put_16(data + DESCRIPTORS, CLAIMS_SAM_3);
		scsi_put_16(data + DESCRIPTORS + 2, CLAIMS_SPC_3);
		scsi_put_16(data + DESCRIPTORS + 4, CLAIMS_SBC_3);
	}
	scsi_reply(command, data, size, scsi_get_16(command->cdb + 3));
}

/* ---- Vital product data: each function fills a page after its header, and says how much ---- */

static size_t scsi_vital_serial(const struct scsi_unit *unit, uint8_t *page)
{
	size_t size = strlen(unit->identity.serial);

	memcpy(page, unit->identity.serial, size);
	return size;
}

/* Two designators: the world-wide name, and vendor with serial number. SPC-4 7.8.6 */
static size_t scsi_vital_identification(const struct scsi_unit *unit, uint8_t *page)
{
	static const uint8_t name_header[4] = { 0x01, 0x03, 0x00, 16 }; /* binary, NAA */
	size_t size = strlen(VENDOR) + strlen(unit->identity.serial);
	uint8_t *text = page + sizeof(name_header) + 16;

	memcpy(page, name_header, sizeof(name_header));
	scsi_unit_name(unit, page + sizeof(name_header));
	text[0] = 0x02; /* ASCII */
	text[1] = 0x01; /* T10 vendor identification */
	text[2] = 0;
	text[3] = (uint8_t)size;
	memcpy(text + 4, VENDOR, strlen(VENDOR));
	memcpy(text + 4 + strlen(VENDOR), unit->identity.serial, strlen(unit->identity.serial));
	return sizeof(name_header) + 16 + 4 + size;
}

/* Block limits. SBC-3 6.5.3. Offsets are the page's, from its header on. */
static size_t scsi_vital_limits(const struct scsi_unit *unit, uint8_t *page)
{
	uint8_t *data = page - VITAL_HEADER_SIZE;
	uint32_t sector_size = unit->disk->sector_size;
	uint32_t granularity = unit->disk->physical_block_size / sector_size;

	memset(page, 0, 60);
	data[4] = 1; /* WRITE SAME of no blocks is refused */
	data[5] = (uint8_t)scsi_compare_blocks_max(unit);
	scsi_put_16(data + 6, (uint16_t)MIN(granularity, 0xffffu));
	if (unit->disk->unmap) {
		scsi_put_32(data + 20, SCSI_UNMAP_BLOCKS_MAX);
		scsi_put_32(data + 24, SCSI_UNMAP_DESCRIPTORS_MAX);
		scsi_put_32(data + 28, granularity);
	}
	scsi_put_64(data + 36, SCSI_WRITE_SAME_BYTES_MAX / sector_size);
	return 60;
}

/* Block device characteristics. SBC-3 6.5.2 */
static size_t scsi_vital_characteristics(const struct scsi_unit *unit, uint8_t *page)
{
	memset(page, 0, 60);
	scsi_put_16(page, 1); /* does not rotate */
	return 60;
}

/* Logical block provisioning. SBC-3 6.5.4 */
static size_t scsi_vital_provisioning(const struct scsi_unit *unit, uint8_t *page)
{
	memset(page, 0, 4);
	if (unit->disk->unmap) {
		page[1] = 0xe0; /* by UNMAP, WRITE SAME(16), WRITE SAME(10) */
		page[2] = 2;    /* thin */
		if (unit->disk->unmap_zeroes || unit->unmap_zeroes)
			page[1] |= 0x04; /* what is unmapped reads as zeros */
	}
	return 4;
}

static size_t scsi_vital_pages(const struct scsi_unit *unit, uint8_t *page);

static const struct {
	uint8_t code;
	bool disk_only;
	size_t (*fill)(const struct scsi_unit *unit, uint8_t *page);
} scsi_vital[] = {
	{ 0x00, false, scsi_vital_pages },          { 0x80, false, scsi_vital_serial },
	{ 0x83, false, scsi_vital_identification }, { 0xb0, true, scsi_vital_limits },
	{ 0xb1, true, scsi_vital_characteristics }, { 0xb2, true, scsi_vital_provisioning },
};

static bool scsi_vital_has(const struct scsi_unit *unit, size_t index)
{
	return !scsi_vital[index].disk_only || unit->device_type == SCSI_DEVICE_DISK;
}

static size_t scsi_vital_pages(const struct scsi_unit *unit, uint8_t *page)
{
	size_t size = 0;

	for (size_t i = 0; i < ARRAY_SIZE(scsi_vital); i++)
		if (scsi_vital_has(unit, i))
			page[size++] = scsi_vital[i].code;
	return size;
}

static void scsi_inquiry_vital(struct scsi_command *command, uint8_t code)
{
	uint8_t data[VITAL_SIZE];

	for (size_t i = 0; i < ARRAY_SIZE(scsi_vital); i++) {
		size_t size;

		if (scsi_vital[i].code != code || !scsi_vital_has(command->unit, i))
			continue;
		size = scsi_vital[i].fill(command->unit, data + VITAL_HEADER_SIZE);
		data[0] = command->unit->device_type;
		data[1] = code;
		scsi_put_16(data + 2, (uint16_t)size);
		scsi_reply(command, data, VITAL_HEADER_SIZE + size, scsi_get_16(command->cdb + 3));
		return;
	}
	scsi_fail(command, SCSI_SENSE_INVALID_FIELD);
}

void scsi_inquiry(struct scsi_command *command)
{
	uint8_t code = command->cdb[2];

	if (command->cdb[1] & ENABLE_VITAL)
		scsi_inquiry_vital(command, code);
	else if (code)
		scsi_fail(command, SCSI_SENSE_INVALID_FIELD);
	else
		scsi_inquiry_standard(command);
}

void scsi_request_sense(struct scsi_command *command)
{
	struct scsi_unit *unit = command->unit;
	uint8_t data[SCSI_SENSE_SIZE];
	uint32_t sense = unit->kept_sense;

	if (command->cdb[1] & 1) { /* descriptor format */
		scsi_fail(command, SCSI_SENSE_INVALID_FIELD);
		return;
	}
	unit->kept_sense = SCSI_SENSE_NONE;
	if (!sense)
		sense = scsi_unit_take_attention(unit);
	scsi_format_sense(sense, data);
	scsi_reply(command, data, sizeof(data), command->cdb[4]);
}
