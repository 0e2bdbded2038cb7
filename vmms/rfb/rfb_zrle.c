/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ZRLE: tiles of 64 x 64 pixels, each in the shortest of several ways, in one compressed stream.
 *
 * The ways are told apart by what they would take before compression. All pixels of a tile are
 * copied first, so that what the picture is made of may change meanwhile.
 */
#include "vmms/rfb/rfb_pixels.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define TILE          64u
#define TILE_PIXELS   (TILE * TILE)
#define COLOURS_MAX   127 /* of a palette whose pixels come in runs */
#define PACKED_MAX    16  /* of one whose pixels come one by one */
#define HASH_SIZE     512
#define COMPRESSION   1
#define TILE_SIZE_MAX (1 + TILE_PIXELS * 4)

/* Kinds of tiles, by their first byte; below PACKED_MAX it is the size of a packed palette. */
#define KIND_RAW   0
#define KIND_SOLID 1
#define KIND_RUNS  128 /* and the size of the palette */

struct rfb_zrle {
	z_stream stream;
};

int rfb_zrle_new(struct rfb_zrle **ret_zrle)
{
	struct rfb_zrle *zrle = calloc(1, sizeof(*zrle));

	if (!zrle || deflateInit(&zrle->stream, COMPRESSION) != Z_OK) {
		free(zrle);
		return -ENOMEM;
	}
	*ret_zrle = zrle;
	return 0;
}

void rfb_zrle_free(struct rfb_zrle *zrle)
{
	if (!zrle)
		return;
	deflateEnd(&zrle->stream);
	free(zrle);
}

/* ---- What is in a tile ---- */

struct tile {
	uint32_t pixels[TILE_PIXELS];
	unsigned width, height, count;
	unsigned colours; /* COLOURS_MAX + 1: too many */
	uint32_t palette[COLOURS_MAX + 1];
	unsigned runs, singles; /* those of one pixel are among the runs */
	unsigned run_bytes;     /* of the lengths of others */

	/* The place of a colour in the palette, from 1 on; 0: none. */
	uint8_t hash[HASH_SIZE];
};

static unsigned tile_hash(uint32_t pixel)
{
	return (pixel * UINT32_C(0x9e3779b1)) >> 23;
}

/* Return: its place in the palette; COLOURS_MAX: it is not there. */
static unsigned tile_find(const struct tile *tile, uint32_t pixel)
{
	for (unsigned at = tile_hash(pixel); tile->hash[at] != 0; at = (at + 1) % HASH_SIZE)
		if (tile->palette[tile->hash[at] - 1] == pixel)
			return tile->hash[at] - 1u;
	return COLOURS_MAX;
}

static void tile_note_colour(struct tile *tile, uint32_t pixel)
{
	unsigned at = tile_hash(pixel);

	if (tile->colours > COLOURS_MAX || tile_find(tile, pixel) < COLOURS_MAX)
		return;
	if (tile->colours < COLOURS_MAX) {
		while (tile->hash[at] != 0)
			at = (at + 1) % HASH_SIZE;
		tile->hash[at] = (uint8_t)(tile->colours + 1);
		tile->palette[tile->colours] = pixel;
	}
	tile->colours++;
}

static unsigned tile_run(const struct tile *tile, unsigned first)
{
	unsigned end = first + 1;

	while (end < tile->count && tile->pixels[end] == tile->pixels[first])
		end++;
	return end - first;
}

static void tile_take(struct tile *tile, const struct rfb_format *format,
		      const struct rfb_picture *picture, const struct rfb_rectangle *part)
{
	rfb_take_pixels(format, picture, part, tile->pixels);
	tile->width = part->width;
	tile->height = part->height;
	tile->count = tile->width * tile->height;
	tile->colours = tile->runs = tile->singles = tile->run_bytes = 0;
	memset(tile->hash, 0, sizeof(tile->hash));
	for (unsigned at = 0, run; at < tile->count; at += run) {
		run = tile_run(tile, at);
		tile->runs++;
		tile->singles += run == 1;
		tile->run_bytes += run == 1 ? 0 : 1 + (run - 1) / 255;
		tile_note_colour(tile, tile->pixels[at]);
	}
}

/* ---- Writing it ---- */

static unsigned packed_bits(unsigned colours)
{
	return colours <= 2 ? 1 : colours <= 4 ? 2 : 4;
}

static uint8_t *write_length(uint8_t *at, unsigned run)
{
	for (run--; run >= 255; run -= 255)
		*at++ = 255;
	*at++ = (uint8_t)run;
	return at;
}

static uint8_t *write_runs(const struct tile *tile, const struct rfb_writer *writer, uint8_t *at)
{
	*at++ = KIND_RUNS;
	for (unsigned i = 0, run; i < tile->count; i += run) {
		run = tile_run(tile, i);
		at = rfb_write_pixel(writer, at, tile->pixels[i]);
		at = write_length(at, run);
	}
	return at;
}

/* Of a run of 1 there is no length. */
static uint8_t *write_palette_runs(const struct tile *tile, const struct rfb_writer *writer,
				   uint8_t *at)
{
	*at++ = (uint8_t)(KIND_RUNS + tile->colours);
	at = rfb_write_pixels(writer, at, tile->palette, tile->colours);
	for (unsigned i = 0, run; i < tile->count; i += run) {
		unsigned colour = tile_find(tile, tile->pixels[i]);

		run = tile_run(tile, i);
		*at++ = (uint8_t)(colour | (run > 1 ? 0x80u : 0));
		if (run > 1)
			at = write_length(at, run);
	}
	return at;
}

/* Each row begins with a byte of its own. */
static uint8_t *write_packed(const struct tile *tile, const struct rfb_writer *writer, uint8_t *at)
{
	unsigned bits = packed_bits(tile->colours);

	*at++ = (uint8_t)tile->colours;
	at = rfb_write_pixels(writer, at, tile->palette, tile->colours);
	for (unsigned y = 0; y < tile->height; y++) {
		const uint32_t *row = tile->pixels + y * tile->width;
		unsigned byte = 0, filled = 0;

		for (unsigned x = 0; x < tile->width; x++) {
			byte = byte << bits | tile_find(tile, row[x]);
			filled += bits;
			if (filled == 8) {
				*at++ = (uint8_t)byte;
				byte = filled = 0;
			}
		}
		if (filled > 0)
			*at++ = (uint8_t)(byte << (8 - filled));
	}
	return at;
}

static uint8_t *write_raw(const struct tile *tile, const struct rfb_writer *writer, uint8_t *at)
{
	*at++ = KIND_RAW;
	return rfb_write_pixels(writer, at, tile->pixels, tile->count);
}

static uint8_t *write_solid(const struct tile *tile, const struct rfb_writer *writer, uint8_t *at)
{
	*at++ = KIND_SOLID;
	return rfb_write_pixel(writer, at, tile->pixels[0]);
}

/* The shortest way. */
static uint8_t *tile_write(const struct tile *tile, const struct rfb_writer *writer, uint8_t *at)
{
	uint8_t *(*write)(const struct tile *, const struct rfb_writer *, uint8_t *) = write_raw;
	unsigned best = tile->count * writer->size, size;

	if (tile->colours == 1)
		return write_solid(tile, writer, at);
	size = tile->runs * writer->size + tile->run_bytes + tile->singles;
	if (size < best) {
		best = size;
		write = write_runs;
	}
	size = tile->colours * writer->size + tile->runs + tile->run_bytes;
	if (tile->colours <= COLOURS_MAX && size < best) {
		best = size;
		write = write_palette_runs;
	}
	if (tile->colours <= PACKED_MAX) {
		size = tile->colours * writer->size +
		       (tile->width * packed_bits(tile->colours) + 7) / 8 * tile->height;
		if (size < best)
			write = write_packed;
	}
	return write(tile, writer, at);
}

/* ---- The stream ---- */

static void zrle_compress(struct rfb_zrle *zrle, struct rfb_output *output, uint8_t *bytes,
			  size_t size, int flush)
{
	uint8_t compressed[8192];

	zrle->stream.next_in = bytes;
	zrle->stream.avail_in = (uInt)size;
	do {
		zrle->stream.next_out = compressed;
		zrle->stream.avail_out = sizeof(compressed);
		/* It says that it can do no more when all was done just before. */
		(void)deflate(&zrle->stream, flush);
		rfb_put(output, compressed, sizeof(compressed) - zrle->stream.avail_out);
	} while (zrle->stream.avail_out == 0);
}

static void output_set_u32(struct rfb_output *output, size_t at, uint32_t number)
{
	if (output->failed)
		return;
	for (unsigned i = 0; i < 4; i++)
		output->bytes[at + i] = (uint8_t)(number >> (24 - 8 * i));
}

void rfb_put_zrle(struct rfb_output *output, struct rfb_zrle *zrle, const struct rfb_format *format,
		  const struct rfb_picture *picture, const struct rfb_rectangle *rectangle)
{
	const struct rfb_writer writer = rfb_writer_of(format, true);
	uint8_t bytes[TILE_SIZE_MAX];
	struct tile tile;
	size_t length;

	rfb_put_rectangle(output, rectangle, RFB_ZRLE);
	length = output->size;
	rfb_put_u32(output, 0);
	for (uint32_t y = 0; y < rectangle->height; y += TILE) {
		for (uint32_t x = 0; x < rectangle->width; x += TILE) {
			const struct rfb_rectangle part = {
				.x = (uint16_t)(rectangle->x + x),
				.y = (uint16_t)(rectangle->y + y),
				.width = (uint16_t)MIN(rectangle->width - x, TILE),
				.height = (uint16_t)MIN(rectangle->height - y, TILE),
			};
			const uint8_t *end;

			tile_take(&tile, format, picture, &part);
			end = tile_write(&tile, &writer, bytes);
			zrle_compress(zrle, output, bytes, (size_t)(end - bytes), Z_NO_FLUSH);
		}
	}
	zrle_compress(zrle, output, bytes, 0, Z_SYNC_FLUSH);
	output_set_u32(output, length, (uint32_t)(output->size - length - 4));
}
