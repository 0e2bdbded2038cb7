/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A set of tiles of a screen. */
#include "vmms/screen/tiles.h"

/* Bits from first to before end, of TILES_MAX. */
static uint64_t tiles_bits(uint32_t first, uint32_t end)
{
	uint64_t below = end >= TILES_MAX ? UINT64_MAX : (UINT64_C(1) << end) - 1;

	return first >= end || first >= TILES_MAX ? 0 : below & UINT64_MAX << first;
}

static uint32_t tiles_end(uint32_t pixels)
{
	return pixels / TILE_SIZE + (pixels % TILE_SIZE > 0);
}

void tiles_add(struct tiles *tiles, uint32_t x1, uint32_t y1, uint32_t x2, uint32_t y2)
{
	uint64_t bits = x1 < x2 ? tiles_bits(x1 / TILE_SIZE, tiles_end(x2)) : 0;
	uint32_t end = y1 < y2 ? MIN(tiles_end(y2), (uint32_t)TILES_MAX) : 0;

	for (uint32_t row = y1 / TILE_SIZE; row < end; row++)
		tiles->rows[row] |= bits;
}

void tiles_add_all(struct tiles *tiles, const struct tiles *others)
{
	for (unsigned row = 0; row < TILES_MAX; row++)
		tiles->rows[row] |= others->rows[row];
}

void tiles_cut(struct tiles *tiles, uint32_t width, uint32_t height)
{
	uint64_t bits = tiles_bits(0, tiles_end(width));

	for (uint32_t row = 0; row < TILES_MAX; row++)
		tiles->rows[row] = row < tiles_end(height) ? tiles->rows[row] & bits : 0;
}

bool tiles_is_empty(const struct tiles *tiles)
{
	uint64_t all = 0;

	for (unsigned row = 0; row < TILES_MAX; row++)
		all |= tiles->rows[row];
	return all == 0;
}

unsigned tiles_count_runs(const struct tiles *tiles)
{
	unsigned count = 0;

	/* A run begins where the tile before is not there. */
	for (unsigned row = 0; row < TILES_MAX; row++)
		count +=
			(unsigned)__builtin_popcountll(tiles->rows[row] & ~(tiles->rows[row] << 1));
	return count;
}

bool tiles_take_run(struct tiles *tiles, unsigned *ret_row, unsigned *ret_first,
		    unsigned *ret_count)
{
	for (unsigned row = 0; row < TILES_MAX; row++) {
		uint64_t bits = tiles->rows[row], rest;
		unsigned first;

		if (bits == 0)
			continue;
		first = (unsigned)__builtin_ctzll(bits);
		rest = ~(bits >> first);
		*ret_row = row;
		*ret_first = first;
		*ret_count = rest == 0 ? TILES_MAX : (unsigned)__builtin_ctzll(rest);
		tiles->rows[row] &= ~tiles_bits(first, first + *ret_count);
		return true;
	}
	return false;
}
