/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Pixels in a viewer's format, raw rectangles, and shapes of the pointer. */
#include "vmms/rfb/rfb_pixels.h"

#include <string.h>

#define COLOURS 0xffffffu /* of a pixel in the picture */

static bool format_is_native(const struct rfb_format *format)
{
	const struct rfb_format *native = &rfb_native_format;

	return format->bits == native->bits && !format->big_endian &&
	       memcmp(format->max, native->max, sizeof(format->max)) == 0 &&
	       memcmp(format->shift, native->shift, sizeof(format->shift)) == 0;
}

/* Whether all colours are within three bytes, of which the lowest is `first`. */
static bool format_fits_three(const struct rfb_format *format, unsigned first)
{
	uint64_t all = 0;

	for (unsigned i = 0; i < 3; i++)
		all |= (uint64_t)format->max[i] << format->shift[i];
	return (all & ~((uint64_t)COLOURS << 8 * first)) == 0;
}

struct rfb_writer rfb_writer_of(const struct rfb_format *format, bool compact)
{
	struct rfb_writer writer = { .native = format_is_native(format),
				     .size = format->bits / 8u,
				     .big_endian = format->big_endian };

	if (!compact || format->bits != 32 || format->depth > 24)
		return writer;
	if (format_fits_three(format, 0) || format_fits_three(format, 1)) {
		writer.native = false;
		writer.size = 3;
		writer.first = format_fits_three(format, 0) ? 0 : 1;
	}
	return writer;
}

static uint32_t pixel_of_viewer(const struct rfb_format *format, uint32_t pixel)
{
	uint32_t result = 0;

	for (unsigned i = 0; i < 3; i++) {
		uint32_t colour = pixel >> (16 - 8 * i) & 0xff;

		result |= (colour * format->max[i] + 127) / 255 << format->shift[i];
	}
	return result;
}

void rfb_take_pixels(const struct rfb_format *format, const struct rfb_picture *picture,
		     const struct rfb_rectangle *part, uint32_t *pixels)
{
	bool native = format_is_native(format);
	uint32_t last = UINT32_MAX, converted = 0;

	for (uint32_t y = part->y; y < (uint32_t)part->y + part->height; y++) {
		const size_t row = (size_t)y * picture->width;

		for (uint32_t x = part->x; x < (uint32_t)part->x + part->width; x++) {
			bool inside = y < picture->height && x < picture->width;
			uint32_t pixel = inside ? picture->pixels[row + x] & COLOURS : 0;

			/* Neighbours are mostly the same. */
			if (!native && pixel != last) {
				last = pixel;
				converted = pixel_of_viewer(format, pixel);
			}
			*pixels++ = native ? pixel : converted;
		}
	}
}

uint8_t *rfb_write_pixel(const struct rfb_writer *writer, uint8_t *at, uint32_t pixel)
{
	for (unsigned i = 0; i < writer->size; i++) {
		unsigned byte = writer->big_endian ? writer->size - 1 - i : i;

		*at++ = (uint8_t)(pixel >> 8 * (writer->first + byte));
	}
	return at;
}

uint8_t *rfb_write_pixels(const struct rfb_writer *writer, uint8_t *at, const uint32_t *pixels,
			  size_t count)
{
	if (writer->native) {
		memcpy(at, pixels, count * sizeof(pixels[0]));
		return at + count * sizeof(pixels[0]);
	}
	for (size_t i = 0; i < count; i++)
		at = rfb_write_pixel(writer, at, pixels[i]);
	return at;
}

static void put_pixels(struct rfb_output *output, const struct rfb_format *format,
		       const struct rfb_picture *picture, const struct rfb_rectangle *rectangle)
{
	const struct rfb_writer writer = rfb_writer_of(format, false);
	struct rfb_rectangle part = *rectangle;

	for (uint32_t y = 0; y < rectangle->height; y++) {
		for (uint32_t x = 0; x < rectangle->width; x += part.width) {
			uint32_t pixels[256];
			uint8_t bytes[sizeof(pixels)];

			part = (struct rfb_rectangle){
				.x = (uint16_t)(rectangle->x + x),
				.y = (uint16_t)(rectangle->y + y),
				.width = (uint16_t)MIN(rectangle->width - x, ARRAY_SIZE(pixels)),
				.height = 1,
			};
			rfb_take_pixels(format, picture, &part, pixels);
			rfb_put(output, bytes,
				(size_t)(rfb_write_pixels(&writer, bytes, pixels, part.width) -
					 bytes));
		}
	}
}

void rfb_put_raw(struct rfb_output *output, const struct rfb_format *format,
		 const struct rfb_picture *picture, const struct rfb_rectangle *rectangle)
{
	rfb_put_rectangle(output, rectangle, RFB_RAW);
	put_pixels(output, format, picture, rectangle);
}

/* ---- The pointer ---- */

static bool cursor_is_opaque(const struct rfb_cursor *cursor, uint32_t x, uint32_t y)
{
	return cursor->pixels[(size_t)y * cursor->width + x] >> 24 >= 0x80;
}

void rfb_put_cursor(struct rfb_output *output, const struct rfb_format *format,
		    const struct rfb_cursor *cursor)
{
	const struct rfb_rectangle rectangle = { cursor->hot_x, cursor->hot_y, cursor->width,
						 cursor->height };
	const struct rfb_picture picture = { cursor->pixels, cursor->width, cursor->height };
	const struct rfb_rectangle whole = { 0, 0, cursor->width, cursor->height };

	rfb_put_rectangle(output, &rectangle, RFB_CURSOR);
	put_pixels(output, format, &picture, &whole);
	for (uint32_t y = 0; y < cursor->height; y++) {
		for (uint32_t x = 0; x < cursor->width; x += 8) {
			uint8_t mask = 0;

			for (uint32_t i = 0; i < 8 && x + i < cursor->width; i++)
				if (cursor_is_opaque(cursor, x + i, y))
					mask |= (uint8_t)(0x80u >> i);
			rfb_put_u8(output, mask);
		}
	}
}

/* Red, green, blue and alpha, of which the others have their share. */
void rfb_put_alpha_cursor(struct rfb_output *output, const struct rfb_cursor *cursor)
{
	const struct rfb_rectangle rectangle = { cursor->hot_x, cursor->hot_y, cursor->width,
						 cursor->height };

	rfb_put_rectangle(output, &rectangle, RFB_ALPHA_CURSOR);
	rfb_put_u32(output, RFB_RAW);
	for (size_t i = 0; i < (size_t)cursor->width * cursor->height; i++) {
		uint32_t pixel = cursor->pixels[i], alpha = pixel >> 24;

		for (unsigned shift = 16; shift <= 16; shift -= 8)
			rfb_put_u8(output,
				   (uint8_t)(((pixel >> shift & 0xff) * alpha + 127) / 255));
		rfb_put_u8(output, (uint8_t)alpha);
	}
}
