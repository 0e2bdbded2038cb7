/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The cells of a terminal's screen: rows of characters.
 *
 * Rows and columns count from 0. A row is always one of the grid; what is beyond the last column,
 * or counts more than there is, is cut. What a row holds after its last character costs nothing: to
 * clear or scroll is work by the row, not by the cell.
 */
#pragma once

#include "common/base/cc.h"

#include <stdint.h>

#define CELL_GRID_ROWS_MAX    200
#define CELL_GRID_COLUMNS_MAX 500

struct cell_grid {
	unsigned columns, rows;
	uint32_t *cells;
	struct cell_row {
		uint32_t *cells;
		unsigned length; /* cells behind are blank */
	} row[CELL_GRID_ROWS_MAX];
};

/* columns, rows: 1 to the maximum. grid: zeroed. Return: 0; -EINVAL; -ENOMEM. */
int cell_grid_init(struct cell_grid *grid, unsigned columns, unsigned rows) MUST_CHECK;
void cell_grid_deinit(struct cell_grid *grid);

/* width: 1 or 2 columns; where they do not fit, nothing is put. */
void cell_grid_put(struct cell_grid *grid, unsigned row, unsigned column, uint32_t character,
		   unsigned width);

/* Makes cells blank, from one column to before another. */
void cell_grid_erase(struct cell_grid *grid, unsigned row, unsigned from, unsigned to);

/* Blank cells push what is behind to the right, or what is behind closes up from there. */
void cell_grid_insert(struct cell_grid *grid, unsigned row, unsigned column, unsigned count);
void cell_grid_delete(struct cell_grid *grid, unsigned row, unsigned column, unsigned count);

/* Moves the rows from `top` to before `bottom`, up or down; blank ones come after them. top <=
 * bottom, bottom <= rows. */
void cell_grid_scroll_up(struct cell_grid *grid, unsigned top, unsigned bottom, unsigned count);
void cell_grid_scroll_down(struct cell_grid *grid, unsigned top, unsigned bottom, unsigned count);

/*
 * A row as UTF-8 without blanks at its end, freed by the caller; NULL without memory. Half of a
 * character of two columns is a blank.
 */
char *cell_grid_text_new(const struct cell_grid *grid, unsigned row);
