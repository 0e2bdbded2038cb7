/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Pictures that were encoded, and are decoded here: the same pixel for pixel, in each format. */
#include "tests/unit/unit.h"
#include "vmms/rfb/rfb.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define WIDTH  150 /* two tiles and a part of one */
#define HEIGHT 70

static const struct rfb_format formats[] = {
	{ 32, 24, false, { 255, 255, 255 }, { 16, 8, 0 } },
	{ 32, 24, true, { 255, 255, 255 }, { 16, 8, 0 } },
	{ 32, 24, false, { 255, 255, 255 }, { 24, 16, 8 } },
	{ 32, 24, true, { 255, 255, 255 }, { 8, 16, 24 } },
	{ 32, 32, false, { 255, 255, 255 }, { 0, 8, 16 } },
	{ 32, 24, false, { 255, 255, 255 }, { 0, 12, 24 } },
	{ 16, 16, false, { 31, 63, 31 }, { 11, 5, 0 } },
	{ 16, 16, true, { 31, 63, 31 }, { 11, 5, 0 } },
	{ 8, 8, false, { 7, 7, 3 }, { 0, 3, 6 } },
};

/* ---- Decoding ---- */

struct decoder {
	const struct rfb_format *format;
	const uint8_t *at, *end;
	unsigned size, first; /* of a pixel */
};

static uint8_t take(struct decoder *decoder)
{
	assert_true(decoder->at < decoder->end);
	return *decoder->at++;
}

static uint32_t take_number(struct decoder *decoder, unsigned size, bool big_endian)
{
	uint32_t number = 0;

	for (unsigned i = 0; i < size; i++)
		number |= (uint32_t)take(decoder) << 8 * (big_endian ? size - 1 - i : i);
	return number;
}

static uint32_t take_pixel(struct decoder *decoder)
{
	return take_number(decoder, decoder->size, decoder->format->big_endian)
	       << 8 * decoder->first;
}

static unsigned take_length(struct decoder *decoder)
{
	unsigned length = 1;
	uint8_t byte;

	do
		length += byte = take(decoder);
	while (byte == 255);
	return length;
}

static void take_packed(struct decoder *decoder, unsigned colours, unsigned width, unsigned height,
			uint32_t *pixels)
{
	unsigned bits = colours == 2 ? 1 : colours <= 4 ? 2 : 4;
	uint32_t palette[16];

	for (unsigned i = 0; i < colours; i++)
		palette[i] = take_pixel(decoder);
	for (unsigned y = 0; y < height; y++) {
		unsigned byte = 0, left = 0;

		for (unsigned x = 0; x < width; x++) {
			if (left == 0) {
				byte = take(decoder);
				left = 8;
			}
			left -= bits;
			assert_true((byte >> left & ((1u << bits) - 1)) < colours);
			*pixels++ = palette[byte >> left & ((1u << bits) - 1)];
		}
	}
}

static void take_runs(struct decoder *decoder, unsigned colours, unsigned count, uint32_t *pixels)
{
	uint32_t palette[128];

	for (unsigned i = 0; i < colours; i++)
		palette[i] = take_pixel(decoder);
	while (count > 0) {
		unsigned index = colours > 0 ? take(decoder) : 0, length = 1;
		uint32_t pixel;

		assert_true(colours == 0 || (index & 127) < colours);
		pixel = colours > 0 ? palette[index & 127] : take_pixel(decoder);
		if (colours == 0 || (index & 128))
			length = take_length(decoder);
		assert_true(length <= count);
		for (count -= length; length > 0; length--)
			*pixels++ = pixel;
	}
}

/* kinds: how often each was seen. */
static void take_tile(struct decoder *decoder, unsigned width, unsigned height, uint32_t *pixels,
		      unsigned kinds[256])
{
	uint8_t kind = take(decoder);
	uint32_t solid;

	kinds[kind]++;
	if (kind == 0) {
		for (unsigned i = 0; i < width * height; i++)
			pixels[i] = take_pixel(decoder);
	} else if (kind == 1) {
		solid = take_pixel(decoder);
		for (unsigned i = 0; i < width * height; i++)
			pixels[i] = solid;
	} else if (kind <= 16) {
		take_packed(decoder, kind, width, height, pixels);
	} else {
		assert_true(kind == 128 || kind >= 130);
		take_runs(decoder, kind - 128u, width * height, pixels);
	}
}

/* ---- What is to come out ---- */

static uint32_t expected_pixel(const struct rfb_format *format, const struct rfb_picture *picture,
			       unsigned x, unsigned y)
{
	bool inside = x < picture->width && y < picture->height;
	uint32_t pixel = inside ? picture->pixels[y * picture->width + x] : 0, result = 0;

	for (unsigned i = 0; i < 3; i++) {
		uint32_t colour = pixel >> (16 - 8 * i) & 0xff;

		result |= (colour * format->max[i] + 127) / 255 << format->shift[i];
	}
	return result;
}

static void assert_tile(const struct decoder *decoder, const struct rfb_picture *picture,
			const struct rfb_rectangle *tile, const uint32_t *pixels)
{
	for (unsigned y = 0; y < tile->height; y++)
		for (unsigned x = 0; x < tile->width; x++)
			assert_int_equal(*pixels++, expected_pixel(decoder->format, picture,
								   tile->x + x, tile->y + y));
}

static uint32_t head_number(const struct rfb_output *output, size_t at, unsigned size)
{
	struct decoder decoder = { .at = output->bytes + at, .end = output->bytes + output->size };

	return take_number(&decoder, size, true);
}

static void assert_head(const struct rfb_output *output, const struct rfb_rectangle *rectangle,
			enum rfb_encoding encoding)
{
	assert_false(output->failed);
	assert_int_equal(head_number(output, 0, 2), rectangle->x);
	assert_int_equal(head_number(output, 2, 2), rectangle->y);
	assert_int_equal(head_number(output, 4, 2), rectangle->width);
	assert_int_equal(head_number(output, 6, 2), rectangle->height);
	assert_int_equal((int32_t)head_number(output, 8, 4), encoding);
}

static void assert_raw(const struct rfb_format *format, const struct rfb_picture *picture,
		       const struct rfb_rectangle *rectangle)
{
	CLEANUP(rfb_output_deinit) struct rfb_output output = { 0 };
	struct decoder decoder = { .format = format, .size = format->bits / 8u };

	rfb_put_raw(&output, format, picture, rectangle);
	assert_head(&output, rectangle, RFB_RAW);
	decoder.at = output.bytes + 12;
	decoder.end = output.bytes + output.size;
	for (unsigned y = 0; y < rectangle->height; y++)
		for (unsigned x = 0; x < rectangle->width; x++)
			assert_int_equal(take_pixel(&decoder),
					 expected_pixel(format, picture, rectangle->x + x,
							rectangle->y + y));
	assert_ptr_equal(decoder.at, decoder.end);
}

/* Which bytes a compact pixel has, by RFC 6143, 7.7.5. */
static void decoder_compact(struct decoder *decoder)
{
	const struct rfb_format *format = decoder->format;
	uint64_t all = 0;

	decoder->size = format->bits / 8u;
	for (unsigned i = 0; i < 3; i++)
		all |= (uint64_t)format->max[i] << format->shift[i];
	if (format->bits != 32 || format->depth > 24 || ((all & 0xff) && (all & 0xff000000)))
		return;
	decoder->size = 3;
	decoder->first = all & 0xff000000 ? 1 : 0;
}

static void assert_zrle(struct rfb_zrle *zrle, z_stream *stream, const struct rfb_format *format,
			const struct rfb_picture *picture, const struct rfb_rectangle *rectangle,
			unsigned kinds[256])
{
	static uint8_t bytes[1 << 20];
	CLEANUP(rfb_output_deinit) struct rfb_output output = { 0 };
	struct decoder decoder = { .format = format, .at = bytes };

	rfb_put_zrle(&output, zrle, format, picture, rectangle);
	assert_head(&output, rectangle, RFB_ZRLE);
	assert_int_equal(head_number(&output, 12, 4), output.size - 16);
	stream->next_in = output.bytes + 16;
	stream->avail_in = (uInt)output.size - 16;
	stream->next_out = bytes;
	stream->avail_out = sizeof(bytes);
	assert_int_equal(inflate(stream, Z_SYNC_FLUSH), Z_OK);
	assert_int_equal(stream->avail_in, 0);
	decoder.end = stream->next_out;
	decoder_compact(&decoder);
	for (unsigned y = 0; y < rectangle->height; y += 64) {
		for (unsigned x = 0; x < rectangle->width; x += 64) {
			const struct rfb_rectangle tile = {
				(uint16_t)(rectangle->x + x), (uint16_t)(rectangle->y + y),
				(uint16_t)MIN(rectangle->width - x, 64u),
				(uint16_t)MIN(rectangle->height - y, 64u)
			};
			uint32_t pixels[64 * 64];

			take_tile(&decoder, tile.width, tile.height, pixels, kinds);
			assert_tile(&decoder, picture, &tile, pixels);
		}
	}
	assert_ptr_equal(decoder.at, decoder.end);
}

/* ---- Pictures ---- */

static uint32_t noise(void)
{
	static uint32_t state = 1;

	return state = state * 1664525 + 1013904223;
}

/* So many colours, in runs of at most so many pixels. */
static void paint(uint32_t *pixels, unsigned colours, unsigned run)
{
	for (unsigned i = 0, length; i < WIDTH * HEIGHT; i += length) {
		uint32_t colour = (noise() >> 8) % colours * 0x9e3779u & 0xffffff;

		length = MIN(1 + (noise() >> 8) % run, WIDTH * HEIGHT - i);
		for (unsigned at = 0; at < length; at++)
			pixels[i + at] = colour | noise() << 24;
	}
}

static void pictures_come_out_as_they_were(void **state)
{
	static const unsigned colours[] = { 1, 2, 3, 4, 5, 16, 17, 60, 127, 128, 1000, 1 << 24 };
	static const unsigned runs[] = { 1, 3, 20, 300, 5000 };
	static const struct rfb_rectangle parts[] = {
		{ 0, 0, WIDTH, HEIGHT }, { 3, 5, 1, 1 },    { 64, 0, 64, 64 },
		{ 1, 1, 65, 65 },        { 0, 69, 150, 1 }, { 100, 10, 100, 100 },
	};
	static uint32_t pixels[WIDTH * HEIGHT];
	const struct rfb_picture picture = { pixels, WIDTH, HEIGHT };
	unsigned kinds[256] = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
		CLEANUP(rfb_zrle_freep) struct rfb_zrle *zrle = NULL;
		z_stream stream = { 0 };

		assert_int_equal(rfb_zrle_new(&zrle), 0);
		assert_int_equal(inflateInit(&stream), Z_OK);
		for (size_t c = 0; c < ARRAY_SIZE(colours) * ARRAY_SIZE(runs); c++) {
			paint(pixels, colours[c / ARRAY_SIZE(runs)], runs[c % ARRAY_SIZE(runs)]);
			for (size_t part = 0; part < ARRAY_SIZE(parts); part++) {
				assert_raw(&formats[i], &picture, &parts[part]);
				assert_zrle(zrle, &stream, &formats[i], &picture, &parts[part],
					    kinds);
			}
		}
		inflateEnd(&stream);
	}
	/* Each kind of tile was among them. */
	for (unsigned kind = 0; kind <= 16; kind++)
		assert_true(kinds[kind] > 0 || (kind > 5 && kind < 16));
	assert_true(kinds[128] > 0 && kinds[128 + 127] > 0 && kinds[128 + 2] > 0);
}

static void a_screen_that_shows_nothing_is_black(void **state)
{
	const struct rfb_rectangle whole = { 0, 0, 640, 480 };
	const struct rfb_picture none = { 0 };
	CLEANUP(rfb_zrle_freep) struct rfb_zrle *zrle = NULL;
	unsigned kinds[256] = { 0 };
	z_stream stream = { 0 };

	assert_int_equal(rfb_zrle_new(&zrle), 0);
	assert_int_equal(inflateInit(&stream), Z_OK);
	assert_zrle(zrle, &stream, &formats[0], &none, &whole, kinds);
	assert_int_equal(kinds[1], 10 * 8);
	inflateEnd(&stream);
}

/* ---- The pointer ---- */

static void pointers_have_their_shape(void **state)
{
	const uint32_t pixels[] = { 0xff102030, 0x80405060, 0x7f708090, 0, 0xffffffff,
				    0,          0,          0,          0, 0xff010203 };
	const struct rfb_cursor cursor = { pixels, 10, 1, 3, 0 }, none = { 0 };
	static const uint8_t plain[] = {
		0,    3,    0,    0,    0,    10,   0,    1, 0xff, 0xff, 0xff, 0x11, /* rectangle */
		0x30, 0x20, 0x10, 0,    0x60, 0x50, 0x40, 0, 0x90, 0x80, 0x70, 0,    0,    0,
		0,    0,    0xff, 0xff, 0xff, 0,    0,    0, 0,    0,    0,    0,    0,    0,
		0,    0,    0,    0,    0,    0,    0,    0, 3,    2,    1,    0,    0xc8, 0x40
	};
	static const uint8_t alpha[] = { 0xff, 0xff, 0xfe, 0xc6, 0,    0,    0,    0,
					 0x10, 0x20, 0x30, 0xff, 0x20, 0x28, 0x30, 0x80 };
	CLEANUP(rfb_output_deinit) struct rfb_output output = { 0 };

	rfb_put_cursor(&output, &rfb_native_format, &cursor);
	assert_int_equal(output.size, sizeof(plain));
	assert_memory_equal(output.bytes, plain, sizeof(plain));
	rfb_output_drop(&output, output.size);
	rfb_put_alpha_cursor(&output, &cursor);
	assert_int_equal(output.size, 12 + 4 + 40);
	assert_memory_equal(output.bytes + 8, alpha, sizeof(alpha));
	rfb_output_drop(&output, output.size);
	rfb_put_cursor(&output, &rfb_native_format, &none);
	assert_int_equal(output.size, 12);
}

/* ---- Messages ---- */

static void messages_are_put_together(void **state)
{
	static const uint8_t expected[] =
		"RFB 003.008\n"
		"\1\1"
		"\0\0\0\1"
		"\0\0\0\0"
		"\2\x80\1\xe0\x20\x18\0\1\0\xff\0\xff\0\xff\x10\x8\0\0\0\0\0\0\0\2vm"
		"\xf8\0\0\0\0\0\0\5\2ab"
		"\x96"
		"\0\0\0\1"
		"\0\1\0\1\3\x20\2\x58\xff\xff\xfe\xcc\1\0\0\0\0\0\0\1\0\0\0\0\3\x20\2\x58\0\0\0\0";
	CLEANUP(rfb_output_deinit) struct rfb_output output = { 0 };

	rfb_put_version(&output);
	rfb_put_security(&output, 8);
	rfb_put_security(&output, 3);
	rfb_put_security_result(&output);
	rfb_put_init(&output, 640, 480, "vm");
	rfb_put_fence(&output, 5, (const uint8_t *)"ab", 2);
	rfb_put_end_of_continuous_updates(&output);
	rfb_put_update(&output, 1);
	rfb_put_extended_size(&output, RFB_SIZE_OF_VIEWER, RFB_SIZE_PROHIBITED, 800, 600);
	assert_int_equal(output.size, sizeof(expected) - 1);
	assert_memory_equal(output.bytes, expected, output.size);
	rfb_output_drop(&output, 12);
	assert_memory_equal(output.bytes, expected + 12, output.size);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pictures_come_out_as_they_were),
		cmocka_unit_test(a_screen_that_shows_nothing_is_black),
		cmocka_unit_test(pointers_have_their_shape),
		cmocka_unit_test(messages_are_put_together),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
