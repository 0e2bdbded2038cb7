/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Pictures as files of PNG. */
#include "vmms/vmctl/png.h"

#include "common/base/cleanup.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define PIXEL_SIZE 4 /* bytes, of the screen's */
#define COLOUR_RGB 2
#define FILTER     0 /* none: before each row */

static void put_be32(uint8_t *bytes, uint32_t value)
{
	for (unsigned i = 0; i < 4; i++)
		bytes[i] = (uint8_t)(value >> (24 - 8 * i));
}

/* A chunk: its size, its type, the data, and a checksum of type and data. */
static bool png_put_chunk(FILE *file, const char *type, const uint8_t *data, uint32_t size)
{
	uLong checksum = crc32(crc32(0, NULL, 0), (const Bytef *)type, 4);
	uint8_t before[8], after[4];

	if (size > 0)
		checksum = crc32(checksum, data, size);
	put_be32(before, size);
	memcpy(before + 4, type, 4);
	put_be32(after, (uint32_t)checksum);
	return fwrite(before, 1, sizeof(before), file) == sizeof(before) &&
	       fwrite(data, 1, size, file) == size &&
	       fwrite(after, 1, sizeof(after), file) == sizeof(after);
}

/* All rows, each a filter and its pixels, compressed. NULL without memory. */
static uint8_t *png_compress(const uint8_t *pixels, uint32_t width, uint32_t height,
			     uint32_t *ret_size)
{
	const size_t row = 1 + (size_t)width * 3, size = row * height;
	AUTO_FREE uint8_t *rows = malloc(size);
	AUTO_FREE uint8_t *compressed = NULL;
	uLongf compressed_size = compressBound(size);
	uint8_t *at = rows;

	compressed = malloc(compressed_size);
	if (!rows || !compressed)
		return NULL;
	for (uint32_t y = 0; y < height; y++) {
		*at++ = FILTER;
		for (uint32_t x = 0; x < width; x++, pixels += PIXEL_SIZE) {
			*at++ = pixels[2];
			*at++ = pixels[1];
			*at++ = pixels[0];
		}
	}
	if (compress2(compressed, &compressed_size, rows, size, Z_DEFAULT_COMPRESSION) != Z_OK)
		return NULL;
	*ret_size = (uint32_t)compressed_size;
	return TAKE_PTR(compressed);
}

int png_write(FILE *file, const uint8_t *pixels, uint32_t width, uint32_t height)
{
	static const uint8_t signature[] = { 0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n' };
	uint8_t head[13] = { [8] = 8, [9] = COLOUR_RGB };
	AUTO_FREE uint8_t *data = NULL;
	uint32_t size;

	put_be32(head, width);
	put_be32(head + 4, height);
	data = png_compress(pixels, width, height, &size);
	if (!data)
		return -ENOMEM;
	if (fwrite(signature, 1, sizeof(signature), file) != sizeof(signature) ||
	    !png_put_chunk(file, "IHDR", head, sizeof(head)) ||
	    !png_put_chunk(file, "IDAT", data, size) || !png_put_chunk(file, "IEND", head, 0))
		return -EIO;
	return 0;
}
