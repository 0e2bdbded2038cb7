/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a viewer is sent, but pixels. */
#include "vmms/rfb/rfb.h"

#include <stdlib.h>
#include <string.h>

#define ROOM_MIN 4096 /* bytes */

/* ---- Bytes ---- */

void rfb_output_deinit(struct rfb_output *output)
{
	free(output->bytes);
	*output = (struct rfb_output){ 0 };
}

/* An output that is empty keeps no more than a little. */
void rfb_output_drop(struct rfb_output *output, size_t size)
{
	output->size -= size;
	if (output->size > 0) {
		memmove(output->bytes, output->bytes + size, output->size);
	} else if (output->capacity > ROOM_MIN) {
		free(TAKE_PTR(output->bytes));
		output->capacity = 0;
	}
}

static bool output_make_room(struct rfb_output *output, size_t size)
{
	size_t capacity = MAX(output->capacity, (size_t)ROOM_MIN);
	uint8_t *bytes;

	if (output->failed)
		return false;
	while (capacity - output->size < size)
		capacity *= 2;
	if (capacity == output->capacity)
		return true;
	bytes = realloc(output->bytes, capacity);
	if (!bytes) {
		output->failed = true;
		return false;
	}
	output->bytes = bytes;
	output->capacity = capacity;
	return true;
}

void rfb_put(struct rfb_output *output, const void *bytes, size_t size)
{
	if (size == 0 || !output_make_room(output, size))
		return;
	memcpy(output->bytes + output->size, bytes, size);
	output->size += size;
}

void rfb_put_u8(struct rfb_output *output, uint8_t number)
{
	rfb_put(output, &number, 1);
}

void rfb_put_u16(struct rfb_output *output, uint16_t number)
{
	rfb_put_u8(output, (uint8_t)(number >> 8));
	rfb_put_u8(output, (uint8_t)number);
}

void rfb_put_u32(struct rfb_output *output, uint32_t number)
{
	rfb_put_u16(output, (uint16_t)(number >> 16));
	rfb_put_u16(output, (uint16_t)number);
}

/* ---- The beginning ---- */

const struct rfb_format rfb_native_format = {
	.bits = 32, .depth = 24, .max = { 255, 255, 255 }, .shift = { 16, 8, 0 }
};

void rfb_put_version(struct rfb_output *output)
{
	static const char version[] = "RFB 003.008\n";

	rfb_put(output, version, sizeof(version) - 1);
}

void rfb_put_security(struct rfb_output *output, uint32_t version)
{
	if (version == 3) {
		rfb_put_u32(output, RFB_SECURITY_NONE);
		return;
	}
	rfb_put_u8(output, 1);
	rfb_put_u8(output, RFB_SECURITY_NONE);
}

void rfb_put_security_result(struct rfb_output *output)
{
	rfb_put_u32(output, 0);
}

static void output_put_format(struct rfb_output *output, const struct rfb_format *format)
{
	static const uint8_t padding[3];

	rfb_put_u8(output, format->bits);
	rfb_put_u8(output, format->depth);
	rfb_put_u8(output, format->big_endian);
	rfb_put_u8(output, 1); /* true colour */
	for (unsigned i = 0; i < 3; i++)
		rfb_put_u16(output, format->max[i]);
	rfb_put(output, format->shift, sizeof(format->shift));
	rfb_put(output, padding, sizeof(padding));
}

void rfb_put_init(struct rfb_output *output, uint16_t width, uint16_t height, const char *name)
{
	rfb_put_u16(output, width);
	rfb_put_u16(output, height);
	output_put_format(output, &rfb_native_format);
	rfb_put_u32(output, (uint32_t)strlen(name));
	rfb_put(output, name, strlen(name));
}

/* ---- Messages ---- */

void rfb_put_fence(struct rfb_output *output, uint32_t flags, const uint8_t *bytes, uint8_t size)
{
	static const uint8_t head[] = { 248, 0, 0, 0 };

	rfb_put(output, head, sizeof(head));
	rfb_put_u32(output, flags);
	rfb_put_u8(output, size);
	rfb_put(output, bytes, size);
}

void rfb_put_end_of_continuous_updates(struct rfb_output *output)
{
	rfb_put_u8(output, 150);
}

void rfb_put_update(struct rfb_output *output, uint16_t rectangles)
{
	rfb_put_u16(output, 0);
	rfb_put_u16(output, rectangles);
}

void rfb_put_rectangle(struct rfb_output *output, const struct rfb_rectangle *rectangle,
		       enum rfb_encoding encoding)
{
	rfb_put_u16(output, rectangle->x);
	rfb_put_u16(output, rectangle->y);
	rfb_put_u16(output, rectangle->width);
	rfb_put_u16(output, rectangle->height);
	rfb_put_u32(output, (uint32_t)encoding);
}

/* One screen, which is all of it. */
void rfb_put_extended_size(struct rfb_output *output, enum rfb_size_reason reason,
			   enum rfb_size_status status, uint16_t width, uint16_t height)
{
	const struct rfb_rectangle rectangle = { (uint16_t)reason, (uint16_t)status, width,
						 height };
	static const uint8_t one_screen[] = { 1, 0, 0, 0 };

	rfb_put_rectangle(output, &rectangle, RFB_EXTENDED_DESKTOP_SIZE);
	rfb_put(output, one_screen, sizeof(one_screen));
	rfb_put_u32(output, 1); /* its number */
	rfb_put_u32(output, 0); /* x, y */
	rfb_put_u16(output, width);
	rfb_put_u16(output, height);
	rfb_put_u32(output, 0); /* flags */
}
