/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a viewer says, message by message.
 *
 * Lists and texts of any length are not kept: of a list each element is a message of its own, and a
 * text is left out as it comes.
 */
#include "vmms/rfb/rfb.h"

#include <string.h>

#define VERSION_SIZE    12
#define SCREEN_SIZE     16 /* of one screen in a request */
#define SHARED_KEY_SIZE 12

static uint16_t get_u16(const uint8_t *bytes)
{
	return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

static uint32_t get_u32(const uint8_t *bytes)
{
	return (uint32_t)get_u16(bytes) << 16 | get_u16(bytes + 2);
}

/* ---- Before the connection is open ---- */

/* A version that is not known is to be treated as the oldest. */
static int read_version(struct rfb_reader *reader, const uint8_t *bytes,
			struct rfb_message *message)
{
	if (memcmp(bytes, "RFB 003.", 8) != 0 || bytes[11] != '\n')
		return RFB_E_UNKNOWN;
	message->kind = RFB_VERSION;
	message->number = 3;
	if (memcmp(bytes + 8, "007", 3) == 0)
		message->number = 7;
	else if (memcmp(bytes + 8, "008", 3) == 0)
		message->number = 8;
	/* In the oldest the server chooses. */
	reader->stage = message->number == 3 ? RFB_STAGE_INIT : RFB_STAGE_SECURITY;
	return RFB_MESSAGE;
}

static int read_security(struct rfb_reader *reader, const uint8_t *bytes,
			 struct rfb_message *message)
{
	if (bytes[0] != RFB_SECURITY_NONE)
		return RFB_E_UNKNOWN;
	message->kind = RFB_SECURITY;
	message->number = bytes[0];
	reader->stage = RFB_STAGE_INIT;
	return RFB_MESSAGE;
}

static int read_init(struct rfb_reader *reader, const uint8_t *bytes, struct rfb_message *message)
{
	message->kind = RFB_INIT;
	reader->stage = RFB_STAGE_OPEN;
	return RFB_MESSAGE;
}

/* ---- Messages ---- */

static bool format_is_valid(const struct rfb_format *format)
{
	if (format->bits != 8 && format->bits != 16 && format->bits != 32)
		return false;
	for (unsigned i = 0; i < 3; i++) {
		uint32_t max = format->max[i];

		if (max == 0 || (max & (max + 1)) != 0 || format->shift[i] >= format->bits ||
		    ((uint64_t)max << format->shift[i]) >> format->bits != 0)
			return false;
	}
	return true;
}

static int read_format(struct rfb_reader *reader, const uint8_t *bytes, struct rfb_message *message)
{
	const uint8_t *pixel = bytes + 4;
	struct rfb_format format = {
		.bits = pixel[0],
		.depth = pixel[1],
		.big_endian = pixel[2] != 0,
		.max = { get_u16(pixel + 4), get_u16(pixel + 6), get_u16(pixel + 8) },
		.shift = { pixel[10], pixel[11], pixel[12] },
	};

	/* A map of colours, of which none is known to be asked for any more. */
	if (pixel[3] == 0 || !format_is_valid(&format))
		return RFB_E_FORMAT;
	message->kind = RFB_FORMAT;
	message->format = format;
	return RFB_MESSAGE;
}

static int read_encodings(struct rfb_reader *reader, const uint8_t *bytes,
			  struct rfb_message *message)
{
	message->kind = RFB_ENCODINGS;
	reader->encodings = get_u16(bytes + 2);
	return RFB_MESSAGE;
}

static void read_rectangle(const uint8_t *bytes, struct rfb_message *message)
{
	message->x = get_u16(bytes);
	message->y = get_u16(bytes + 2);
	message->width = get_u16(bytes + 4);
	message->height = get_u16(bytes + 6);
}

static int read_update_request(struct rfb_reader *reader, const uint8_t *bytes,
			       struct rfb_message *message)
{
	message->kind = RFB_UPDATE_REQUEST;
	message->incremental = bytes[1] != 0;
	read_rectangle(bytes + 2, message);
	return RFB_MESSAGE;
}

static int read_key(struct rfb_reader *reader, const uint8_t *bytes, struct rfb_message *message)
{
	message->kind = RFB_KEY;
	message->down = bytes[1] != 0;
	message->keysym = get_u32(bytes + 4);
	return RFB_MESSAGE;
}

static int read_pointer(struct rfb_reader *reader, const uint8_t *bytes,
			struct rfb_message *message)
{
	message->kind = RFB_POINTER;
	message->number = bytes[1];
	message->x = get_u16(bytes + 2);
	message->y = get_u16(bytes + 4);
	return RFB_MESSAGE;
}

/*
 * The clipboard, for which the guest has no place. What is longer than the number tells, for it is
 * negative, is an extension that nobody may use who was not told of it.
 */
static int read_cut_text(struct rfb_reader *reader, const uint8_t *bytes,
			 struct rfb_message *message)
{
	reader->skip = get_u32(bytes + 4);
	return RFB_MORE;
}

static int read_continuous_updates(struct rfb_reader *reader, const uint8_t *bytes,
				   struct rfb_message *message)
{
	message->kind = RFB_CONTINUOUS_UPDATES;
	message->enable = bytes[1] != 0;
	read_rectangle(bytes + 2, message);
	return RFB_MESSAGE;
}

static int read_fence(struct rfb_reader *reader, const uint8_t *bytes, struct rfb_message *message)
{
	message->kind = RFB_FENCE;
	message->number = get_u32(bytes + 4);
	message->fence_size = bytes[8];
	memcpy(message->fence, bytes + 9, message->fence_size);
	return RFB_MESSAGE;
}

static int read_size_request(struct rfb_reader *reader, const uint8_t *bytes,
			     struct rfb_message *message)
{
	message->kind = RFB_SIZE_REQUEST;
	message->width = get_u16(bytes + 2);
	message->height = get_u16(bytes + 4);
	reader->skip = (uint64_t)bytes[6] * SCREEN_SIZE;
	return RFB_MESSAGE;
}

static int read_extended_key(struct rfb_reader *reader, const uint8_t *bytes,
			     struct rfb_message *message)
{
	if (bytes[1] != 0)
		return RFB_E_UNKNOWN;
	message->kind = RFB_EXTENDED_KEY;
	message->down = get_u16(bytes + 2) != 0;
	message->keysym = get_u32(bytes + 4);
	message->number = get_u32(bytes + 8);
	return RFB_MESSAGE;
}

struct row {
	uint8_t size; /* 0: there is no such message */
	int (*read)(struct rfb_reader *reader, const uint8_t *bytes, struct rfb_message *message);
};

static const struct row stages[] = {
	[RFB_STAGE_VERSION] = { VERSION_SIZE, read_version },
	[RFB_STAGE_SECURITY] = { 1, read_security },
	[RFB_STAGE_INIT] = { 1, read_init },
};

static const struct row messages[256] = {
	[0] = { 20, read_format },
	[2] = { 4, read_encodings },
	[3] = { 10, read_update_request },
	[4] = { 8, read_key },
	[5] = { 6, read_pointer },
	[6] = { 8, read_cut_text },
	[150] = { 10, read_continuous_updates },
	[248] = { 9, read_fence }, /* and what it carries */
	[251] = { 8, read_size_request },
	[255] = { SHARED_KEY_SIZE, read_extended_key },
};

static int read_row(struct rfb_reader *reader, const uint8_t *bytes, size_t size, size_t *used,
		    struct rfb_message *message)
{
	const struct row *row = &stages[reader->stage];
	size_t needed;

	if (reader->stage == RFB_STAGE_OPEN)
		row = &messages[bytes[0]];
	if (!row->read)
		return RFB_E_UNKNOWN;
	needed = row->size;
	if (row->read == read_fence && size >= needed) {
		if (bytes[8] > RFB_FENCE_MAX)
			return RFB_E_FORMAT;
		needed += bytes[8];
	}
	if (size < needed)
		return RFB_MORE;
	*used = needed;
	return row->read(reader, bytes, message);
}

static int read_encoding(struct rfb_reader *reader, const uint8_t *bytes, size_t size, size_t *used,
			 struct rfb_message *message)
{
	if (size < 4)
		return RFB_MORE;
	reader->encodings--;
	message->kind = RFB_ENCODING;
	message->number = get_u32(bytes);
	*used = 4;
	return RFB_MESSAGE;
}

int rfb_read(struct rfb_reader *reader, const uint8_t *bytes, size_t size, size_t *ret_used,
	     struct rfb_message *ret_message)
{
	*ret_message = (struct rfb_message){ 0 };
	*ret_used = (size_t)MIN(reader->skip, size);
	reader->skip -= *ret_used;
	if (*ret_used > 0 || size == 0)
		return RFB_MORE;
	return reader->encodings > 0 ? read_encoding(reader, bytes, size, ret_used, ret_message)
				     : read_row(reader, bytes, size, ret_used, ret_message);
}
