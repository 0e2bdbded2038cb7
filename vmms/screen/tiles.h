/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A set of tiles of a screen, for what has changed: however often something does, it takes no more
 * room. A tile has TILE_SIZE pixels in either direction.
 */
#pragma once

#include "common/base/cc.h"

#include <stdbool.h>
#include <stdint.h>

#define TILE_SIZE 64
#define TILES_MAX 64 /* in either direction */

struct tiles {
	uint64_t rows[TILES_MAX]; /* bit 0 is the leftmost */
};

/* All that a rectangle touches; x2 and y2 are outside. It may be empty, or larger than all. */
void tiles_add(struct tiles *tiles, uint32_t x1, uint32_t y1, uint32_t x2, uint32_t y2);
void tiles_add_all(struct tiles *tiles, const struct tiles *others);

/* Those beyond a screen of that size are none. */
void tiles_cut(struct tiles *tiles, uint32_t width, uint32_t height);

bool tiles_is_empty(const struct tiles *tiles);

/* How many runs of tiles side by side there are. */
unsigned tiles_count_runs(const struct tiles *tiles);

/* Takes the next run out. Return: false: there is none. */
bool tiles_take_run(struct tiles *tiles, unsigned *ret_row, unsigned *ret_first,
		    unsigned *ret_count);
