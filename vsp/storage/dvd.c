/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What only a DVD drive does: its tray, and the multimedia commands that guests ask on the way to
 * the blocks of a disc. The disc has one data track, one session, and is closed.
 *
 * Source: MMC-6.
 */
#include "vsp/storage/scsi_unit.h"

#include <string.h>

#define PROFILE_CDROM  0x0008
#define PROFILE_DVDROM 0x0010

#define START      0x01 /* START STOP UNIT, CDB byte 4 */
#define LOAD_EJECT 0x02

#define TRACK_LEAD_OUT    0xaa
#define TRACK_CONTROL     0x14 /* data track, position in the sub-channel */
#define MINUTE_SECOND     0x02 /* READ TOC, CDB byte 1: addresses as minute, second, frame */
#define FRAMES_PER_SECOND 75
#define LEAD_IN_FRAMES    150

#define EVENT_POLLED      0x01 /* GET EVENT STATUS NOTIFICATION, CDB byte 1 */
#define EVENT_NONE        0x80
#define EVENT_CLASS_MEDIA 4
#define MEDIUM_PRESENT    0x02

/* ---- The tray ---- */

void dvd_start_stop(struct scsi_command *command)
{
	struct scsi_unit *unit = command->unit;
	uint8_t action = command->cdb[4] & (LOAD_EJECT | START);

	if (action != LOAD_EJECT || !unit->disk) {
		/* Loading finds what is in the tray; spinning up and down is nothing to do. */
		scsi_finish(command, 0);
		return;
	}
	if (unit->removal_prevented) {
		scsi_fail(command, SCSI_SENSE_REMOVAL_PREVENTED);
		return;
	}
	scsi_unit_set_medium(unit, NULL, NULL, NULL);
	scsi_target_ejected(command->scsi_target, unit);
	scsi_finish(command, 0);
}

void dvd_prevent_removal(struct scsi_command *command)
{
	command->unit->removal_prevented = command->cdb[4] & 1;
	scsi_finish(command, 0);
}

/* ---- Table of contents ---- */

static void dvd_put_address(uint8_t field[4], uint64_t lba, bool minute_second)
{
	if (minute_second) {
		uint64_t frames = lba + LEAD_IN_FRAMES, seconds = frames / FRAMES_PER_SECOND;

		field[0] = 0;
		field[1] = (uint8_t)MIN(seconds / 60, (uint64_t)255);
		field[2] = (uint8_t)(seconds % 60);
		field[3] = (uint8_t)(frames % FRAMES_PER_SECOND);
	} else {
		scsi_put_32(field, (uint32_t)MIN(lba, (uint64_t)UINT32_MAX));
	}
}

static uint8_t *dvd_put_track(uint8_t *descriptor, uint8_t track, uint64_t lba, bool minute_second)
{
	descriptor[0] = 0;
	descriptor[1] = TRACK_CONTROL;
	descriptor[2] = track;
	descriptor[3] = 0;
	dvd_put_address(descriptor + 4, lba, minute_second);
	return descriptor + 8;
}

void dvd_read_toc(struct scsi_command *command)
{
	bool minute_second = command->cdb[1] & MINUTE_SECOND;
	uint8_t format = command->cdb[2] & 0x0f, first = command->cdb[6];
	uint8_t data[4 + 2 * 8], *end = data + 4;

	/* Older drivers put the format into the control byte. */
	if (!format)
		format = command->cdb[9] >> 6;
	if (format > 1 || (format == 0 && first > 1 && first != TRACK_LEAD_OUT)) {
		scsi_fail(command, SCSI_SENSE_INVALID_FIELD);
		return;
	}
	if (format == 1 || first <= 1)
		end = dvd_put_track(end, 1, 0, minute_second);
	if (format == 0)
		end = dvd_put_track(end, TRACK_LEAD_OUT, scsi_unit_blocks(command->unit),
				    minute_second);
	scsi_put_16(data, (uint16_t)(end - data - 2));
	data[2] = 1; /* first track, or session */
	data[3] = 1; /* last */
	scsi_reply(command, data, (size_t)(end - data), scsi_get_16(command->cdb + 7));
}

void dvd_read_disc_information(struct scsi_command *command)
{
	uint8_t data[34] = {
		[1] = sizeof(data) - 2,
		[2] = 0x0e, /* last session complete, disc finalised */
		[3] = 1,    /* first track */
		[4] = 1,    /* sessions */
		[5] = 1,    /* first and last track of the last session */
		[6] = 1,
		[7] = 0x20, /* unrestricted use */
	};

	if (command->cdb[1] & 0x07) {
		scsi_fail(command, SCSI_SENSE_INVALID_FIELD);
		return;
	}
	memset(data + 16, 0xff, 8); /* no further lead-in or lead-out */
	scsi_reply(command, data, sizeof(data), scsi_get_16(command->cdb + 7));
}

/* Asked for by an address, a track or a session: all of them lead to the one track. */
void dvd_read_track_information(struct scsi_command *command)
{
	uint64_t blocks = scsi_unit_blocks(command->unit);
	uint8_t type = command->cdb[1] & 0x03;
	uint32_t which = scsi_get_32(command->cdb + 2);
	uint8_t data[36] = {
		[1] = sizeof(data) - 2,
		[2] = 1,    /* track */
		[3] = 1,    /* session */
		[5] = 0x04, /* a data track, recorded uninterrupted */
		[6] = 0x01, /* mode 1 */
	};

	if (type > 2 || (type == 0 ? which >= blocks : which != 1)) {
		scsi_fail(command, SCSI_SENSE_INVALID_FIELD);
		return;
	}
	scsi_put_32(data + 24, (uint32_t)MIN(blocks, (uint64_t)UINT32_MAX));
	scsi_reply(command, data, sizeof(data), scsi_get_16(command->cdb + 7));
}

/* ---- Features ---- */

/* version << 2 | persistent << 1 | current. What can be current without a disc is persistent. */
#define FEATURE(version) ((version) << 2)
#define PERSISTENT       0x03
#define WITH_DISC        0x01

static const struct dvd_feature {
	uint16_t code;
	uint8_t flags;
	bool with_disc; /* current when there is a disc */
	uint8_t size;
	uint8_t data[12];
} dvd_features[] = {
	{ 0x0000,
	  PERSISTENT,
	  false,
	  8,
	  { PROFILE_DVDROM >> 8, PROFILE_DVDROM, 0, 0, PROFILE_CDROM >> 8, PROFILE_CDROM, 0, 0 } },
	{ 0x0001, FEATURE(2) | PERSISTENT, false, 8, { 0, 0, 0, 1, 1 } }, /* core: SCSI; DBE */
	{ 0x0002, FEATURE(1) | PERSISTENT, false, 4, { 0x02 } },          /* morphing: events */
	{ 0x0003, FEATURE(1) | PERSISTENT, false, 4, { 0x29 } },          /* removable: tray */
	{ 0x0010, 0, true, 8, { 0, 0, 0x08, 0, 0, 1, 0 } },               /* 2048-byte blocks */
	{ 0x001e, FEATURE(2), true, 4, { 0 } },                           /* CD read */
	{ 0x001f, FEATURE(1), true, 4, { 0 } },                           /* DVD read */
};

/* Return: bytes written. */
static size_t dvd_put_feature(const struct dvd_feature *feature, const struct scsi_unit *unit,
			      uint8_t *data)
{
	scsi_put_16(data, feature->code);
	data[2] = feature->flags | (feature->with_disc && unit->disk ? WITH_DISC : 0);
	data[3] = feature->size;
	memcpy(data + 4, feature->data, feature->size);
	if (feature->code == 0 && unit->disk)
		data[4 + 2] = WITH_DISC; /* the DVD-ROM profile */
	return 4u + feature->size;
}

void dvd_get_configuration(struct scsi_command *command)
{
	const struct scsi_unit *unit = command->unit;
	enum { ALL, CURRENT, ONE } which = command->cdb[1] & 0x03;
	uint16_t start = scsi_get_16(command->cdb + 2);
	uint8_t data[8 + ARRAY_SIZE(dvd_features) * 16] = { 0 };
	size_t size = 8;

	if (which > ONE) {
		scsi_fail(command, SCSI_SENSE_INVALID_FIELD);
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(dvd_features); i++) {
		const struct dvd_feature *feature = &dvd_features[i];

		if (feature->code < start || (which == ONE && feature->code != start) ||
		    (which == CURRENT && feature->with_disc && !unit->disk))
			continue;
		size += dvd_put_feature(feature, unit, data + size);
	}
	scsi_put_32(data, (uint32_t)(size - 4));
	scsi_put_16(data + 6, unit->disk ? PROFILE_DVDROM : 0);
	scsi_reply(command, data, size, scsi_get_16(command->cdb + 7));
}

/* ---- Events ---- */

void dvd_get_event_status(struct scsi_command *command)
{
	struct scsi_unit *unit = command->unit;
	bool media = command->cdb[4] & 1u << EVENT_CLASS_MEDIA;
	uint8_t data[8] = {
		[1] = media ? 6 : 2,
		[2] = media ? EVENT_CLASS_MEDIA : EVENT_NONE,
		[3] = 1u << EVENT_CLASS_MEDIA,
		[4] = media ? unit->media_event : 0,
		[5] = unit->disk ? MEDIUM_PRESENT : 0,
	};

	if (!(command->cdb[1] & EVENT_POLLED)) {
		scsi_fail(command, SCSI_SENSE_INVALID_FIELD);
		return;
	}
	/* An event is told once, to who has room for it. */
	if (media && MIN(scsi_get_16(command->cdb + 7), command->transfer_length) > 4)
		unit->media_event = SCSI_MEDIA_NONE;
	scsi_reply(command, data, media ? 8 : 4, scsi_get_16(command->cdb + 7));
}
